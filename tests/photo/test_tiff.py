"""TIFF files of every kind: depths, layouts, compressions, Lab, CMYK, alpha, and cut-off ones."""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import product
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import pyvips
import skimage.util
import tifffile
from imagecodecs import jpegxl_encode
from PIL import Image
from support.photos import raw_file, saved, scene

from photostyle import PhotostyleError, photo

H, W = 20, 23


def tiff(values: npt.NDArray[Any], **options: Any) -> BytesIO:
    stream = BytesIO()
    tifffile.imwrite(stream, values, metadata=None, **options)
    return stream


@pytest.mark.parametrize(
    ("compression", "predictor"),
    [
        *((name, False) for name in (None, "lzw", "zlib", "packbits", "zstd", "lzma")),
        *((name, True) for name in ("lzw", "zlib", "zstd")),
    ],
)
def test_every_layout_and_depth(compression: str | None, predictor: bool) -> None:
    colors: dict[str, int] = {"minisblack": 1, "miniswhite": 1, "rgb": 3, "separated": 4}
    layouts: list[dict[str, Any]] = [{"rowsperstrip": 7}, {"tile": (16, 16)}]
    for (kind, number), alpha, planar, dtype, layout in product(
        colors.items(),
        (None, "unassalpha"),
        ("contig", "separate"),
        ("u1", "u2", "u4"),
        layouts,
    ):
        channels = number + bool(alpha)
        if channels == 1 and planar == "separate":
            continue
        top = np.iinfo(dtype).max
        unit = np.linspace(0, 1, H * W * channels).reshape(H, W, channels)
        values = (unit * top).round().astype(dtype)
        stored = np.moveaxis(values, -1, 0) if planar == "separate" else values
        options: dict[str, Any] = {"photometric": kind, "compression": compression, **layout}
        options |= {"predictor": True} if predictor else {}
        options |= {"planarconfig": planar} if channels > 1 else {}
        options |= {"extrasamples": [alpha]} if alpha else {}
        read = photo.read(tiff(stored[..., 0] if channels == 1 else stored, **options))
        light = values[..., :number] / top
        if kind == "miniswhite":
            light = 1 - light
        if kind == "separated":
            light = (1 - light[..., :3]) * (1 - light[..., 3:])
        found = read.pixels / np.iinfo(read.pixels.dtype).max
        assert np.abs(found - light).max() * 255 <= 1, options
        assert read.depth == (8 if dtype == "u1" else 16)
        assert (read.alpha is not None) == (alpha == "unassalpha"), options
        if read.alpha is not None:
            assert np.abs(read.alpha / np.iinfo(read.alpha.dtype).max - unit[..., -1]).max() < 0.003


@pytest.mark.parametrize("kind", ["minisblack", "miniswhite"])
@pytest.mark.parametrize("bits", range(1, 9))
@pytest.mark.parametrize("layout", [{"rowsperstrip": 5}, {"tile": (16, 16)}])
def test_grey_of_few_bits(kind: str, bits: int, layout: dict[str, Any]) -> None:
    top = 2**bits - 1
    values = (np.arange(H * W) % (top + 1)).astype(np.uint8).reshape(H, W)
    read = photo.read(tiff(values, photometric=kind, bitspersample=bits, **layout))
    expected = np.round(values * (255 / top)).astype(np.uint8)
    assert read.depth == 8
    assert np.array_equal(read.pixels[..., 1], 255 - expected if kind == "miniswhite" else expected)


def test_rgb_with_an_undeclared_fourth_channel_has_alpha() -> None:
    values = np.dstack([scene(), scene()[..., 0]])
    data = bytearray(tiff(values, photometric="rgb", extrasamples=["unassalpha"]).getvalue())
    (directory,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, directory)
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        if struct.unpack_from("<H", data, entry) == (338,):  # ExtraSamples
            struct.pack_into("<H", data, entry, 65000)
    read = photo.read(BytesIO(data))
    assert read.alpha is not None
    assert np.array_equal(read.alpha, values[..., 3])


@pytest.mark.parametrize("compression", ["png", "jpegxl", "webp"])
def test_strips_of_other_image_formats(compression: str) -> None:
    options: dict[str, Any] = {"compression": compression, "rowsperstrip": 16}
    if compression == "webp":
        options["compressionargs"] = {"level": -1}  # lossless
    read = photo.read(tiff(scene(), photometric="rgb", **options))
    assert np.abs(read.pixels.astype(int) - scene()).max() <= (0 if compression == "png" else 9)


def test_a_strip_that_claims_to_be_huge_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = scene().astype(np.uint16) * 257
    data = tiff(deep, photometric="rgb", compression="jpegxl")
    monkeypatch.setattr(photo.limits, "MAX_PIXELS", 60 * 40)
    photo.read(data)
    data.seek(0)
    page = tifffile.TiffFile(data).pages.first
    large = jpegxl_encode(np.zeros((90, 90, 3), np.uint16), lossless=True)
    (offset,), (length,) = page.dataoffsets, page.databytecounts
    assert len(large) <= length
    changed = bytearray(data.getvalue())
    changed[offset : offset + len(large)] = large
    with pytest.raises(PhotostyleError, match="too large"):
        photo.read(BytesIO(changed))


# sRGB colours and their L*a*b* under D50, as Photoshop and B. Lindbloom's calculator give them.
LAB = {
    (255, 255, 255): (100, 0, 0),
    (119, 119, 119): (50.03, 0, 0),
    (255, 0, 0): (54.29, 80.81, 69.89),
    (0, 255, 0): (87.82, -79.29, 80.99),
    (0, 0, 255): (29.57, 68.30, -112.03),
}


def lab_values(photometric: str, bits: int) -> npt.NDArray[Any]:
    """The colours of `LAB` in one row, as TIFF 6.0 and Adobe's ICC L*a*b* encode them."""
    lab = np.array([list(LAB.values())])
    if photometric == "cielab":
        if bits == 8:
            unsigned = np.round(lab * [2.55, 1, 1]).astype(int) % 256
        else:
            unsigned = np.round(lab * [655.35, 256, 256]).astype(int) % 65536
    elif bits == 8:
        unsigned = np.round(lab * [2.55, 1, 1] + [0, 128, 128]).astype(int)
    else:
        unsigned = np.round(lab * [652.8, 256, 256] + [0, 32768, 32768]).astype(int)
    return unsigned.astype(np.uint8 if bits == 8 else np.uint16)


@pytest.mark.parametrize("photometric", ["cielab", "icclab"])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_lab(photometric: str, bits: int, alpha: bool) -> None:
    values, options = lab_values(photometric, bits), {}
    if alpha:
        opacity = np.full((1, len(LAB), 1), np.iinfo(values.dtype).max // 2, values.dtype)
        values, options = np.concatenate([values, opacity], -1), {"extrasamples": ["unassalpha"]}
    stream = tiff(values, photometric=photometric, planarconfig="contig", **options)
    read = photo.read(stream)
    assert read.depth == bits
    assert read.original == photo.color.SRGB
    found = read.pixels[0] / np.iinfo(read.pixels.dtype).max * 255
    error = np.abs(found - list(LAB)).max(axis=1)
    # In 8 bits Lab is too coarse for the dark red part of pure green.
    assert max(error[[0, 1, 2, 4]] if bits == 8 else error) <= (1 if bits == 8 else 0.5)
    assert (read.alpha is not None) == alpha
    if read.alpha is not None:
        assert np.array_equal(read.alpha, values[..., 3])


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_tiff_that_is_cut_off_is_refused(compression: str | None, dtype: type) -> None:
    pixels: npt.NDArray[Any] = scene().astype(dtype)
    data = tiff(pixels, photometric="rgb", compression=compression, rowsperstrip=8).getvalue()
    assert photo.read(BytesIO(data)).size == (60, 40)
    for length in (len(data) - 1, len(data) - 50, len(data) * 2 // 3):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(data[:length]))


@pytest.mark.filterwarnings("ignore:Truncated File Read")
def test_a_raw_photo_that_is_cut_off_anywhere_is_refused() -> None:
    pytest.importorskip("rawpy")
    data = raw_file()
    assert photo.read(BytesIO(data)).size == (96, 64)
    for length in [len(data) - 1, *range(100, len(data), len(data) // 30)]:
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(data[:length]))
    for start in (b"FUJIFILMCCD-RAW " + bytes(84), b"\0\0\0\x18ftypcrx \0\0\0\1crx isom"):
        with pytest.raises(PhotostyleError, match="damaged"):
            photo.read(BytesIO(start + struct.pack(">6I", 0, 0, 0, 0, 200, 9)))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32])
def test_integers_with_a_sign_are_black_below_zero(dtype: type) -> None:
    values = np.random.default_rng(0).integers(np.iinfo(dtype).min, np.iinfo(dtype).max, (H, W, 3))
    read = photo.read(tiff(values.astype(dtype), photometric="rgb"))
    unit = skimage.util.img_as_float64(values.astype(dtype)).clip(min=0)
    top = np.iinfo(read.pixels.dtype).max
    assert top == (255 if dtype is np.int8 else 65535)
    np.testing.assert_allclose(read.pixels / top, unit, atol=0.51 / top)


@pytest.mark.parametrize("alpha", [False, True])
def test_lab_of_floats_and_of_integers_with_a_sign(alpha: bool) -> None:
    rng = np.random.default_rng(0)
    extra: dict[str, Any] = {"extrasamples": ["unassalpha"]} if alpha else {}
    stored = rng.integers(-6000, 6000, (H, W, 3 + alpha)).astype(np.int16)
    stored[..., ::3] += 20_000
    plain = photo.read(tiff(stored.view(np.uint16), photometric="cielab", **extra))
    signed = photo.read(tiff(stored, photometric="cielab", **extra))
    floats = stored / np.array([655.35, 256, 256, 65535])[: 3 + alpha]
    measured = photo.read(tiff(floats.astype(np.float32), photometric="cielab", **extra))
    for read in (signed, measured):
        assert np.abs(read.pixels.astype(int) - plain.pixels).max() <= 2
        if alpha:
            assert read.alpha is not None
            assert plain.alpha is not None
            assert np.abs(read.alpha.astype(int) - plain.alpha).max() <= 1


def test_lab_of_another_depth_is_refused() -> None:
    with pytest.raises(PhotostyleError):
        photo.read(tiff(np.zeros((H, W, 3), np.uint32), photometric="cielab"))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("top", [255, 65535])
def test_palettes(bits: int, top: int) -> None:
    """With colours of 16 bits, or of 8 as old programs write them."""
    rng = np.random.default_rng(0)
    colors = rng.integers(0, top, (3, 2**bits), endpoint=True).astype(np.uint16)
    indices = rng.integers(0, 2**bits, (20, 30)).astype(f"u{bits // 8}")
    stream = BytesIO()
    tifffile.imwrite(stream, indices, photometric="palette", colormap=colors)
    read = photo.read(stream)
    expected = colors.T[indices] / top
    assert read.depth == bits
    assert np.abs(read.pixels / (2**bits - 1) - expected).max() < (0.005 if bits == 8 else 1e-6)
    if (bits, top) == (16, 255):  # libvips calls 8 bits 16
        return
    vips = pyvips.Image.new_from_buffer(stream.getvalue(), "").numpy()
    assert np.abs(vips / (257 if vips.dtype == np.uint16 else 1) - expected * 255).max() < 1.01


def test_a_smaller_copy_before_the_photo() -> None:
    stream = BytesIO()
    with tifffile.TiffWriter(stream) as file:
        file.write(scene(W, H)[::2, ::2], photometric="rgb", subfiletype=1, metadata=None)
        file.write(scene(W, H), photometric="rgb", metadata=None)
    read = photo.read(stream)
    assert np.array_equal(read.pixels, scene(W, H))
    assert len(read.notes) == 1


def test_grey_without_its_photometric_interpretation() -> None:
    values = scene(W, H)[..., 0]
    data = bytearray(tiff(values, photometric="minisblack").getvalue())
    tag = data.index(struct.pack("<HHI", 262, 3, 1))
    struct.pack_into("<H", data, tag, 254)  # another tag that is 1: a smaller copy
    assert np.array_equal(photo.read(BytesIO(bytes(data))).pixels[..., 0], values)


def test_a_damaged_second_directory_does_not_matter() -> None:
    """In a file that Pillow reads."""
    image = Image.fromarray(scene()).convert("1")
    data = bytearray(saved(image, "TIFF", compression="group4").getvalue())
    (main,) = struct.unpack_from("<I", data, 4)
    (count,) = struct.unpack_from("<H", data, main)
    struct.pack_into("<I", data, main + 2 + 12 * count, len(data))
    data += struct.pack("<HHHIII", 1, 305, 4, 1, 7, 0)  # without a size
    read = photo.read(BytesIO(data))
    assert np.array_equal(read.pixels[..., 0], np.where(np.asarray(image), 255, 0))
    assert len(read.notes) == 1

"""AVIF, HEIC, JPEG XL and JPEG 2000 of more than 8 bits per channel."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import numpy.typing as npt
import pytest
import pyvips
from PIL import Image
from support.photos import camera_exif, encoded, profile

from photostyle import photo
from photostyle.errors import PhotostyleError
from photostyle.jobs.photo import stylize_photo
from photostyle.photo import Photo
from photostyle.photo.formats import FORMATS
from photostyle.photo.metadata import Metadata

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
Values = npt.NDArray[np.uint16]


def gradient(bits: int, channels: int = 3) -> Values:
    """Values of all levels that fit, (48, 64, channels)."""
    y, x = np.mgrid[0:48, 0:64]
    planes = [x * 1040, y * 1390, (x + y) * 590, 65535 - x * 900][:channels]
    return (np.stack(planes, -1) >> (16 - bits)).astype(np.uint16)


def in_16_bits(values: Values, bits: int) -> npt.NDArray[np.float64]:
    return values * (65535 / (2**bits - 1))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("codec", "bits"), [("avif", 10), ("avif", 12), *(("jp2", b) for b in (10, 12, 16))]
)
def test_all_bits_are_read(codec: str, bits: int, channels: int) -> None:
    values = gradient(bits, channels)
    data = (
        imagecodecs.avif_encode(values, level=100, bitspersample=bits)
        if codec == "avif"
        else imagecodecs.jpeg2k_encode(
            values if channels > 1 else values[..., 0].copy(),
            level=0,
            codecformat="jp2",
            bitspersample=bits,
            reversible=True,
        )
    )
    read = photo.read(BytesIO(data))
    expected = in_16_bits(values, bits)
    assert np.abs(read.pixels - expected[..., :3]).max() <= 0.5
    if channels == 4:
        assert read.alpha is not None
        assert np.abs(read.alpha - expected[..., 3]).max() <= 0.5


@pytest.mark.parametrize("bits", [10, 12, 16, None])
def test_all_bits_of_jpeg_xl_are_read(bits: int | None) -> None:
    """What the encoder takes for linear light, as the profile in the file says."""
    pytest.importorskip("pillow_jxl")
    deep = gradient(bits or 16)
    values = deep if bits else (deep / 65535).astype(np.float32)
    data = imagecodecs.jpegxl_encode(values, bitspersample=bits, lossless=True)
    read = photo.read(BytesIO(data))
    linear = in_16_bits(deep, bits or 16) / 65535
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    assert read.depth == 16
    assert np.abs(read.pixels - srgb * 65535).max() < 40  # the profile is exact to 1/65536


def test_jpeg_xl_of_8_bits_stays_8() -> None:
    pytest.importorskip("pillow_jxl")
    data = imagecodecs.jpegxl_encode(gradient(8).astype(np.uint8), lossless=True)
    assert photo.read(BytesIO(data)).depth == 8


def deep_photo(alpha: bool) -> Photo:
    p3 = profile("Display P3")
    block = Metadata(camera_exif()).stamped("settings").exif
    opacity = gradient(16)[..., 0] if alpha else None
    return Photo(gradient(16), opacity, p3, p3, Metadata(block, XMP))


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("format", [f for f in ("AVIF", "HEIF") if f in FORMATS])
def test_10_bits_are_written_with_profile_and_metadata(format: str, alpha: bool) -> None:
    original = deep_photo(alpha)
    data = encoded(original, format)
    read = photo.read(BytesIO(data))
    assert read.original == original.original
    assert b"Maker" in read.metadata.exif
    assert read.metadata.xmp == XMP
    assert np.abs(read.pixels.astype(float) - original.pixels).mean() < 100  # a step is 64
    if alpha:
        assert read.alpha is not None
        assert original.alpha is not None
        assert np.abs(read.alpha.astype(float) - original.alpha).mean() < 100
    # Other readers find the same.
    with Image.open(BytesIO(data)) as image:
        assert image.info["icc_profile"] == original.original
        assert b"Maker" in image.info["exif"]
        assert image.info["xmp"] == XMP
    vips = pyvips.Image.new_from_buffer(data, "")
    assert vips.get("bits-per-sample") == 10
    assert vips.get("icc-profile-data") == original.original
    assert vips.hasalpha() == alpha


@pytest.mark.parametrize("without", ["profile", "exif", "xmp", "all"])
def test_avif_of_10_bits_without_some_blocks(without: str) -> None:
    original = deep_photo(True)
    metadata = original.metadata
    if without in ("profile", "all"):
        original = replace(original, profile=None, original=None)
    if without in ("exif", "all"):
        metadata = replace(metadata, exif=b"")
    if without in ("xmp", "all"):
        metadata = replace(metadata, xmp=b"")
    data = encoded(replace(original, metadata=metadata), "AVIF")
    read = photo.read(BytesIO(data))
    assert (read.original, read.metadata.xmp) == (original.original, metadata.xmp)
    assert bool(read.metadata.exif) == bool(metadata.exif)
    assert imagecodecs.avif_decode(data).max() == 1023


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("quality", [95, 100])
@pytest.mark.parametrize("depth", [8, 16])
def test_jpeg_xl_is_written_in_srgb_with_metadata(depth: int, quality: int, alpha: bool) -> None:
    pytest.importorskip("pillow_jxl")
    original = replace(deep_photo(alpha), profile=None, original=None).with_depth(depth)
    stream = BytesIO()
    photo.encode(original, "JXL", stream, quality=quality)
    read = photo.read(stream)
    assert read.depth == depth
    assert b"Maker" in read.metadata.exif
    assert read.metadata.xmp == XMP
    values = imagecodecs.jpegxl_decode(stream.getvalue())  # whatever the profile says
    differences = np.abs(values[..., :3].astype(float) - original.pixels)
    white = np.iinfo(values.dtype).max
    assert differences.max() == 0 if quality == 100 else differences.mean() < white / 255
    if alpha:
        assert original.alpha is not None
        assert np.array_equal(values[..., 3], original.alpha)
    with Image.open(stream) as image:
        assert b"Maker" in image.info["exif"]


def test_frames_of_more_than_8_bits() -> None:
    frames = [gradient(10), gradient(10)[::-1], gradient(10)[:, ::-1]]
    data = imagecodecs.avif_encode(np.stack(frames), level=100, bitspersample=10)
    read = photo.read(BytesIO(data))
    assert read.animation is not None
    shown = [read.pixels, *(frame.pixels for frame in read.animation.frames)]
    for pixels, frame in zip(shown, frames, strict=True):
        assert np.abs(pixels - in_16_bits(frame, 10)).max() <= 0.5
    assert np.array_equal(photo.read(BytesIO(data), still=True).pixels, read.pixels)
    (note,) = photo.unsupported_features(read, "AVIF")
    assert note == "Animations are written with 8 bits per channel; the photo has more."
    again = photo.read(BytesIO(encoded(read, "PNG"))).animation
    assert again is not None
    assert len(again.frames) == 2


def test_depth_from_file_to_file(tmp_path: Path) -> None:
    content, style = tmp_path / "a.avif", tmp_path / "style.png"
    content.write_bytes(imagecodecs.avif_encode(gradient(12), level=100, bitspersample=12))
    Image.effect_noise((32, 32), 90).convert("RGB").save(style)

    def depth_of(name: str, **options: object) -> tuple[type, tuple[str, ...]]:
        target = tmp_path / name
        done = stylize_photo(content, style, target, model="none", strength=0, **options)  # type: ignore[arg-type]
        return imagecodecs.imread(target, codec=[target.suffix[1:]]).dtype.type, done.notes

    assert depth_of("same.avif") == (np.uint16, ())
    assert depth_of("less.avif", depth="8") == (np.uint8, ())
    with pytest.raises(
        PhotostyleError, match=r"AVIF stores 8 or 10 bits .* use PNG or TIFF or JXL for 16"
    ):
        depth_of("more.avif", depth="16")
    with pytest.raises(PhotostyleError, match="PNG stores 8 or 16 bits"):
        depth_of("ten.png", depth="10")
    if "JXL" in FORMATS:
        assert depth_of("a.jxl") == (np.uint16, ())

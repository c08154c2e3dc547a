"""Photoshop files: every mode and depth, layers, transparency and damage."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import packbits_encode
from support.photos import camera_exif, deep_scene, profile, scene

from photostyle import PhotostyleError, photo

BITMAP, GRAY, INDEXED, RGB, CMYK, LAB = 0, 1, 2, 3, 4, 9


def resource(number: int, data: bytes) -> bytes:
    return b"8BIM" + struct.pack(">HHI", number, 0, len(data)) + data + bytes(len(data) % 2)


def psd(
    planes: npt.NDArray[Any],
    mode: int,
    *,
    depth: int | None = None,
    packed: bool = False,
    large: bool = False,
    palette: bytes = b"",
    resources: bytes = b"",
    layers: bytes = b"",
) -> BytesIO:
    """A file of planes (channels, H, W), or of 1-bit rows, as the specification of Adobe says."""
    channels, height, width = planes.shape
    depth = depth or planes.dtype.itemsize * 8
    rows = planes.astype(planes.dtype.newbyteorder(">"))
    if depth == 1:
        rows = np.packbits(planes, axis=-1)
    data = b"8BPS" + struct.pack(">H6xH2I2H", 1 + large, channels, height, width, depth, mode)
    data += struct.pack(">I", len(palette)) + palette + struct.pack(">I", len(resources))
    data += resources + struct.pack(">Q" if large else ">I", len(layers)) + layers
    lines = [row.tobytes() for plane in rows for row in plane]
    if packed:
        lines = [packbits_encode(line) for line in lines]
        counts = struct.pack(f">{len(lines)}{'I' if large else 'H'}", *map(len, lines))
        return BytesIO(data + struct.pack(">H", 1) + counts + b"".join(lines))
    return BytesIO(data + struct.pack(">H", 0) + b"".join(lines))


def layer_count(number: int, *, large: bool = False) -> bytes:
    """The start of a section with layers, whose pixels are not needed."""
    content = struct.pack(">h", number) + bytes(30)
    return struct.pack(">Q" if large else ">I", len(content)) + content + bytes(4)


@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("packed", [False, True])
def test_rgb_and_gray(packed: bool, large: bool) -> None:
    for pixels in (scene(), deep_scene()):
        planes = np.moveaxis(pixels, -1, 0)
        read = photo.read(psd(planes, RGB, packed=packed, large=large))
        assert read.depth == pixels.itemsize * 8
        assert read.alpha is None
        assert np.array_equal(read.pixels, pixels)
        gray = photo.read(psd(planes[:1], GRAY, packed=packed, large=large))
        assert np.array_equal(gray.pixels, np.broadcast_to(pixels[..., :1], pixels.shape))
        assert read.notes == gray.notes == ()


def test_a_bitmap_is_no_negative() -> None:
    black = (np.arange(7 * 13).reshape(1, 7, 13) % 3 == 0).astype(np.uint8)  # 1 is black
    for packed in (False, True):
        read = photo.read(psd(black, BITMAP, depth=1, packed=packed))
        assert np.array_equal(read.pixels[..., 0], (1 - black[0]) * 255)


def test_palette() -> None:
    indices = (np.arange(40 * 60) % 256).reshape(1, 40, 60).astype(np.uint8)
    palette = np.arange(768).reshape(3, 256) % 251
    table = palette.astype(np.uint8).tobytes()
    read = photo.read(psd(indices, INDEXED, palette=table))
    assert np.array_equal(read.pixels, palette.T[indices[0]])
    clear = resource(1047, struct.pack(">H", 9))
    read = photo.read(psd(indices, INDEXED, palette=table, resources=clear))
    assert read.alpha is not None
    assert np.array_equal(read.alpha == 0, indices[0] == 9)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_cmyk_and_lab(dtype: type) -> None:
    top = np.iinfo(dtype).max
    inks = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    planes: npt.NDArray[Any] = ((1 - inks.T[:, None]) * top).astype(dtype)
    read = photo.read(psd(planes, CMYK))
    expected = [(255, 255, 255), (0, 255, 255), (255, 0, 0), (0, 0, 0)]
    assert np.array_equal(read.pixels[0], np.array(expected) * (top // 255))
    lab = np.array([[100.0, 0, 0], [50.03, 0, 0], [54.29, 80.81, 69.89]])
    scale = [2.55, 1, 1] if dtype == np.uint8 else [655.35, 256, 256]
    middle = 128 if dtype == np.uint8 else 32768
    planes = (lab * scale + [0, middle, middle]).round().astype(dtype).T[:, None]
    read = photo.read(psd(planes, LAB))
    expected = [(255, 255, 255), (119, 119, 119), (255, 0, 0)]
    assert np.abs(read.pixels[0] * (255 / top) - expected).max() <= 1


def test_layers_are_left_out_with_a_note_and_are_no_animation() -> None:
    planes = np.moveaxis(scene(), -1, 0)
    for large in (False, True):
        read = photo.read(psd(planes, RGB, layers=layer_count(2, large=large), large=large))
        assert np.array_equal(read.pixels, scene())
        assert read.animation is None
        (note,) = read.notes
        assert note.endswith("The file has layers; only the merged image was read.")
    # With 16 bits the layers are in a block of their own, after the global mask.
    block = b"8BIMLr16" + struct.pack(">Ih", 6, 1) + bytes(6)
    deep = np.moveaxis(deep_scene(), -1, 0)
    read = photo.read(psd(deep, RGB, layers=bytes(8) + block))
    assert np.array_equal(read.pixels, deep_scene())
    assert len(read.notes) == 1
    unmerged = resource(1057, struct.pack(">IB", 1, 0))
    with pytest.raises(PhotostyleError, match="no merged image"):
        photo.read(psd(planes, RGB, layers=layer_count(2), resources=unmerged))


@pytest.mark.parametrize("marked", [layer_count(-1), bytes(8) + b"8BIMMtrn" + bytes(4)])
def test_transparency_over_white_is_undone(marked: bytes) -> None:
    opacity = np.tile(np.arange(4, 64, dtype=np.float64) / 63, (40, 1))[..., None]
    alpha = (opacity * 255).round().astype(np.uint8)
    over_white = scene() * (alpha / 255) + 255 * (1 - alpha / 255)
    planes = np.moveaxis(np.dstack([over_white.round().astype(np.uint8), alpha]), -1, 0)
    read = photo.read(psd(planes, RGB, layers=marked))
    assert read.alpha is not None
    assert np.array_equal(read.alpha, alpha[..., 0])
    error = np.abs(read.pixels.astype(int) - scene())
    assert (error <= np.ceil(0.5 / (alpha / 255)) + 1).all()
    # Colours that are not over white are left as they are.
    planes = np.moveaxis(np.dstack([scene() // 2, alpha]), -1, 0)
    assert np.array_equal(photo.read(psd(planes, RGB, layers=marked)).pixels, scene() // 2)


def test_a_saved_selection_is_no_transparency() -> None:
    planes = np.moveaxis(np.dstack([scene(), scene()[..., 0]]), -1, 0)
    names = resource(1006, b"\7Alpha 1")
    assert photo.read(psd(planes, RGB, resources=names)).alpha is None
    assert photo.read(psd(planes, RGB, layers=layer_count(2))).alpha is None
    clear = resource(1006, b"\x0cTransparency")
    assert photo.read(psd(planes, RGB, resources=clear)).alpha is not None
    assert photo.read(psd(planes, RGB)).alpha is not None


def test_profile_and_metadata() -> None:
    p3 = profile("Display P3")
    resources = (
        resource(1005, struct.pack(">IHHIHH", 300 << 16, 1, 1, 200 << 16, 1, 1))
        + resource(1039, p3)
        + resource(1058, camera_exif().removeprefix(b"Exif\0\0"))
        + resource(1060, b"<x:xmpmeta>Rating</x:xmpmeta>")
    )
    read = photo.read(psd(np.moveaxis(scene(), -1, 0), RGB, resources=resources))
    assert read.original == p3
    assert b"Maker" in read.metadata.exif
    assert b"Rating" in read.metadata.xmp
    assert read.metadata.dpi == (300, 200)


def test_damaged_and_huge_files_are_refused() -> None:
    data = psd(np.moveaxis(scene(), -1, 0), RGB, packed=True, layers=layer_count(2)).getvalue()
    for length in range(4, len(data), 97):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(data[:length]))
    huge = bytearray(data)
    struct.pack_into(">2I", huge, 14, 100_000, 100_000)
    with pytest.raises(PhotostyleError, match="too large"):
        photo.read(BytesIO(huge))
    with pytest.raises(PhotostyleError, match="damaged"):
        photo.read(BytesIO(data[:23] + b"\x07" + data[24:]))

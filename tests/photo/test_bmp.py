"""BMP files of every bit layout, and icons."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.photos import saved, scene

from photostyle import PhotostyleError, photo

H, W = 7, 11


def bitmap(
    rows: list[bytes],
    bits: int,
    *,
    compression: int = 0,
    after_header: bytes = b"",
    header_size: int = 40,
    upright: bool = False,
    height: int = H,
) -> bytes:
    """A header, masks or palette, and rows from top to bottom, as BMP and ICO files hold them."""
    fields = struct.pack("<2i2H6I", W, height, 1, bits, compression, 0, 0, 0, 0, 0)
    header = struct.pack("<I", header_size) + (fields.ljust(header_size, b"\0")[: header_size - 4])
    padded = [row + bytes(-len(row) % 4) for row in rows]
    return header + after_header + b"".join(padded if upright else padded[::-1])


def bmp(content: bytes, rows: list[bytes]) -> BytesIO:
    pixels = sum(len(row) + -len(row) % 4 for row in rows)
    offset = 14 + len(content) - pixels
    return BytesIO(b"BM" + struct.pack("<I4xI", 14 + len(content), offset) + content)


def channels() -> npt.NDArray[Any]:
    return np.random.default_rng(0).integers(0, 256, (H, W, 4))


@pytest.mark.parametrize(
    ("bits", "masks"),
    [
        (16, (0xF00, 0xF0, 0xF, 0xF000)),
        (16, (0xC000, 0x3800, 0x700, 0)),
        (16, (0xE000, 0x1C00, 0x3FF, 0)),
        (32, (0xFFE00000, 0x1FFC00, 0x3FF, 0)),
        (32, (0xFF000000, 0xFF0000, 0xFF00, 0)),
        (32, (0xFF, 0xFF00, 0xFF0000, 0xFF000000)),
        (32, (0x3F000000, 0x3F0000, 0x3F00, 0)),
    ],
)
def test_bit_fields(bits: int, masks: tuple[int, ...]) -> None:
    values = channels()
    words, expected = np.zeros((H, W), np.int64), []
    for number, mask in enumerate(masks):
        if mask:
            shift = (mask & -mask).bit_length() - 1
            top = mask >> shift
            stored = values[..., number] * top // 255
            words |= stored << shift
            expected.append(np.round(stored * 255 / top))
    rows = [row.tobytes() for row in words.astype(f"<u{bits // 8}")]
    given = struct.pack("<4I" if masks[3] else "<3I", *masks[: len(expected)])
    content = bitmap(rows, bits, compression=6 if masks[3] else 3, after_header=given)
    read = photo.read(bmp(content, rows))
    assert np.abs(read.pixels - np.dstack(expected[:3])).max() <= 1
    assert (read.alpha is not None) == bool(masks[3])
    if read.alpha is not None:
        assert np.abs(read.alpha - expected[3]).max() <= 1


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("header_size", [40, 16])
def test_palettes_and_short_headers(bits: int, header_size: int) -> None:
    count = 2**bits
    indices = np.arange(H * W).reshape(H, W) % count
    palette = np.random.default_rng(bits).integers(0, 256, (count, 4)).astype(np.uint8)
    bit_rows = ((indices[..., None] >> np.arange(bits)[::-1]) & 1).reshape(H, -1).astype(np.uint8)
    rows = [np.packbits(row).tobytes() for row in bit_rows]
    content = bitmap(rows, bits, after_header=palette.tobytes(), header_size=header_size)
    read = photo.read(bmp(content, rows))
    assert np.array_equal(read.pixels, palette[indices][..., 2::-1])


def test_one_bit_of_transparency() -> None:
    values = np.random.default_rng(0).integers(0, 1 << 16, (H, W))
    masks = struct.pack("<4I", 0x7C00, 0x3E0, 0x1F, 0x8000)
    fields = struct.pack("<I2i2H6I", 56, W, H, 1, 16, 3, 0, 0, 0, 0, 0) + masks
    rows = [row.astype("<u2").tobytes().ljust(W * 2 + 2, b"\0") for row in values[::-1]]
    read = photo.read(bmp(fields + b"".join(rows), rows))
    assert read.alpha is not None
    assert np.array_equal(read.alpha, values // 0x8000 * 255)
    assert np.array_equal(read.pixels[..., 2], np.round((values & 0x1F) * 255 / 31))


def test_runs_of_4_bits() -> None:
    palette = np.random.default_rng(0).integers(0, 256, (16, 4), np.uint8)
    runs = bytes([5, 0x12, 0, 6, 0x12, 0x34, 0x56, 0, 0, 0, 0, 2, 3, 1, 8, 0x77, 0, 1])
    indices = np.zeros((H, W), int)
    indices[-1] = [1, 2, 1, 2, 1, 1, 2, 3, 4, 5, 6]
    indices[-3, 3:11] = 7
    content = bitmap([], 4, compression=2, after_header=palette.tobytes()) + runs
    data = b"BM" + struct.pack("<I4xI", 14 + len(content), 14 + len(content) - len(runs)) + content
    assert np.array_equal(photo.read(BytesIO(data)).pixels, palette[indices][..., 2::-1])
    with pytest.raises(PhotostyleError, match="damaged"):
        photo.read(BytesIO(data[:-2]))


def test_a_png_file_in_a_bitmap() -> None:
    inner = saved(Image.fromarray(scene(W, H)), "PNG").getvalue()
    content = bitmap([], 0, compression=5) + inner
    data = b"BM" + struct.pack("<I4xI", 14 + len(content), 54) + content
    assert np.array_equal(photo.read(BytesIO(data)).pixels, scene(W, H))


def test_damaged_and_huge_bitmaps_are_refused() -> None:
    rows = [bytes(W * 2)] * H
    masks = struct.pack("<3I", 0xE000, 0x1C00, 0x3FF)
    data = bmp(bitmap(rows, 16, compression=3, after_header=masks), rows).getvalue()
    assert photo.read(BytesIO(data)).size == (W, H)
    for length in range(4, len(data), 5):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(data[:length]))
    huge = bytearray(data)
    struct.pack_into("<2i", huge, 18, 100_000, 100_000)
    with pytest.raises(PhotostyleError, match="too large"):
        photo.read(BytesIO(huge))


def icon(*images: bytes, kind: int = 1) -> BytesIO:
    data, offset = struct.pack("<3H", 0, kind, len(images)), 6 + 16 * len(images)
    for image in images:
        data += struct.pack("<4B2H2I", W, H, 0, 0, 1, 0, len(image), offset)
        offset += len(image)
    return BytesIO(data + b"".join(images))


def mask_rows(hidden: npt.NDArray[Any]) -> bytes:
    rows = [np.packbits(row).tobytes() for row in hidden.astype(np.uint8)]
    return b"".join(row + bytes(-len(row) % 4) for row in rows[::-1])


@pytest.mark.parametrize("kind", [1, 2])
@pytest.mark.parametrize("bits", [1, 4, 8, 24, 32])
def test_icons_and_cursors_of_every_depth(bits: int, kind: int) -> None:
    values = channels().astype(np.uint8)
    hidden = np.arange(H * W).reshape(H, W) % 3 == 0
    palette = b""
    if bits <= 8:
        indices = np.arange(H * W).reshape(H, W) % 2**bits
        table = np.random.default_rng(bits).integers(0, 256, (2**bits, 4)).astype(np.uint8)
        palette, expected = table.tobytes(), table[indices][..., 2::-1]
        shifted = (indices[..., None] >> np.arange(bits)[::-1]) & 1
        rows = [np.packbits(row).tobytes() for row in shifted.reshape(H, -1).astype(np.uint8)]
    else:
        expected = values[..., :3]
        order = [2, 1, 0, 3][: bits // 8]
        rows = [row.tobytes() for row in values[..., order]]
    content = bitmap(rows, bits, after_header=palette, height=2 * H) + mask_rows(hidden)
    read = photo.read(icon(content, kind=kind))
    assert np.array_equal(read.pixels, expected)
    assert read.alpha is not None
    assert np.array_equal(read.alpha, values[..., 3] if bits == 32 else np.where(hidden, 0, 255))
    if bits == 32:  # no alpha, so the mask counts
        values[..., 3] = 0
        rows = [row.tobytes() for row in values[..., [2, 1, 0, 3]]]
        read = photo.read(icon(bitmap(rows, 32, height=2 * H) + mask_rows(hidden)))
        assert read.alpha is not None
        assert np.array_equal(read.alpha, np.where(hidden, 0, 255))
    without_mask = bitmap(rows, bits, after_header=palette, height=2 * H)
    assert photo.read(icon(without_mask)).size == (W, H)


def test_the_largest_image_of_an_icon_is_read() -> None:
    rows = [bytes(W * 4)] * H
    small = bitmap(rows, 32, height=2 * H)
    png = saved(Image.fromarray(scene()), "PNG").getvalue()
    read = photo.read(icon(small, png, small))
    assert np.array_equal(read.pixels, scene())
    assert read.format == "ICO"
    assert read.notes == ()
    with pytest.raises(PhotostyleError):
        photo.read(icon(small[:60]))

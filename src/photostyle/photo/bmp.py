"""BMP files that Pillow refuses, and the bitmaps and PNG files in icons and cursors.

Source: Microsoft, "Bitmap Storage", BITMAPV5HEADER and ICONDIR.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from photostyle.photo import limits, png

MAGIC = b"BM"
ICON_MAGIC = (b"\0\0\1\0", b"\0\0\2\0")
"""Of icons and of cursors; TGA files may begin as these."""

_RGB, _RUNS_8, _RUNS_4, _BIT_FIELDS, _JPEG, _PNG, _ALPHA_BIT_FIELDS = range(7)  # compressions
_READ_HERE = (_RGB, _RUNS_4, _BIT_FIELDS, _ALPHA_BIT_FIELDS)
_CORE_HEADER, _INFO_HEADER, _SHORTEST_OS2_HEADER = 12, 40, 16  # bytes
_METRE_IN_INCHES = 0.0254
_DEFAULT_MASKS = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}


class _Header(NamedTuple):
    """Fields of a bitmap; masks are those of red, green, blue and alpha."""

    size: int
    width: int
    height: int
    bits: int
    compression: int
    colors: int
    dpi: tuple[float, float] | None
    masks: tuple[int, ...]


def open_bmp(stream: BinaryIO) -> Image.Image:
    """A BMP file as Pillow opens it.

    Raises ValueError or struct.error if it is damaged or of a kind that is not known here,
    TooLargeError as `photostyle.photo.limits.check_size` does.
    """
    stream.seek(0)
    data = stream.read()
    (pixels,) = struct.unpack_from("<10xI", data)
    header = _header(data, 14)
    limits.check_size(header.width, abs(header.height))
    if header.compression in (_JPEG, _PNG):
        image: Image.Image = Image.open(BytesIO(data[pixels:]), formats=["JPEG", "PNG"])
        image.load()
    else:
        image = Image.fromarray(_decoded(data, 14, pixels, header)[0])
    image.format = "BMP"
    if header.dpi:
        image.info["dpi"] = header.dpi
    return image


def is_unusual(stream: BinaryIO) -> bool:
    """Whether a BMP file has masks or runs of 4 bits, of which Pillow does not know all kinds."""
    stream.seek(0)
    kinds = _BIT_FIELDS, _ALPHA_BIT_FIELDS, _RUNS_4
    try:
        return _header(stream.read(256), 14).compression in kinds
    except (ValueError, struct.error):
        return False


def open_icon(stream: BinaryIO) -> Image.Image:
    """The largest image of an ICO or CUR file, of the deepest kind. Raises as `open_bmp`."""
    stream.seek(0)
    data = stream.read()
    (count,) = struct.unpack_from("<4xH", data)
    entries = [struct.unpack_from("<4B2H2I", data, 6 + 16 * number) for number in range(count)]
    images = [(entry[6], entry[7]) for entry in entries if 8 <= entry[6] <= len(data) - entry[7]]
    if not images:
        raise ValueError("an icon without images")
    length, offset = max(images, key=lambda extent: _extent(data[extent[1] :]))
    part = data[offset : offset + length]
    if part.startswith(png.MAGIC):
        image: Image.Image = Image.open(BytesIO(part))
    else:
        image = Image.fromarray(_decoded_icon(part))
    image.format = "ICO" if data.startswith(ICON_MAGIC[0]) else "CUR"
    return image


def _extent(part: bytes) -> tuple[int, int]:
    """Number of pixels and bits per pixel of an image in an icon; none if it is damaged."""
    try:
        if part.startswith(png.MAGIC):
            width, height = struct.unpack_from(">16x2I", part)
            return width * height, 32
        header = _header(part, 0)
    except (ValueError, struct.error):
        return 0, 0
    return header.width * (abs(header.height) // 2), header.bits


def _decoded_icon(data: bytes) -> npt.NDArray[np.uint8]:
    header = _header(data, 0)
    height = header.height // 2  # the mask of what is transparent follows
    limits.check_size(header.width, height)
    if header.bits == 32 and header.compression == _RGB:
        header = header._replace(masks=(*header.masks[:3], 0xFF000000))
    pixels, end = _decoded(data, 0, None, header._replace(height=height))
    if pixels.shape[2] == 4 and pixels[..., 3].any():
        return pixels
    stride = (header.width + 31) // 32 * 4
    mask = np.frombuffer(data[end : end + stride * height], np.uint8)
    if mask.size < stride * height:  # some programs leave it out
        return pixels[..., :3]
    hidden = np.unpackbits(mask.reshape(height, stride), axis=1)[::-1, : header.width]
    return np.dstack([pixels[..., :3], (1 - hidden) * np.uint8(255)])


def _header(data: bytes, at: int) -> _Header:
    (size,) = struct.unpack_from("<I", data, at)
    if size == _CORE_HEADER:
        width, height, _, bits = struct.unpack_from("<4H", data, at + 4)
        masks = _DEFAULT_MASKS.get(bits, (0, 0, 0, 0))
        return _Header(size, width, height, bits, _RGB, 0, None, masks)
    if not _SHORTEST_OS2_HEADER <= size <= 256:
        raise ValueError("a bitmap with an unknown header")
    # A short header of OS/2 ends early, and what it lacks is 0.
    fields = data[at + 4 : at + size].ljust(_INFO_HEADER, b"\0")
    width, height, _, bits, compression, _, x, y, colors = struct.unpack_from("<2i2H2I2iI", fields)
    dpi = (x * _METRE_IN_INCHES, y * _METRE_IN_INCHES) if x > 0 and y > 0 else None
    masks = _DEFAULT_MASKS.get(bits, (0, 0, 0, 0))
    if compression in (_BIT_FIELDS, _ALPHA_BIT_FIELDS):
        count = 4 if size >= 56 or compression == _ALPHA_BIT_FIELDS else 3
        masks = (*struct.unpack_from(f"<{count}I", data, at + _INFO_HEADER), 0)[:4]
        if size == _INFO_HEADER:  # the masks follow it
            size += 4 * count
    if width < 1 or height == 0 or compression not in (*_READ_HERE, _JPEG, _PNG):
        raise ValueError("a bitmap of an unknown kind")
    return _Header(size, width, height, bits, compression, colors, dpi, masks)


def _decoded(
    data: bytes, at: int, pixels: int | None, header: _Header
) -> tuple[npt.NDArray[np.uint8], int]:
    """The pixels (H, W, 3 or 4), and where they end.

    at: offset of the header. pixels: offset of the pixels; None if they follow the palette.
    """
    if header.bits not in (1, 2, 4, 8, 16, 24, 32):
        raise ValueError("a bitmap of an unknown depth")
    entry = 3 if header.size == _CORE_HEADER else 4
    start = at + header.size
    colors = (header.colors or 1 << header.bits) if header.bits <= 8 else header.colors
    if pixels is None:
        pixels = start + entry * colors
    height, stride = abs(header.height), (header.width * header.bits + 31) // 32 * 4
    if header.compression == _RUNS_4:
        data = data[:pixels] + _without_runs(data[pixels:], header.width, height, stride)
    end = pixels + height * stride
    if end > len(data):
        raise ValueError("a bitmap that is cut off")
    rows = np.frombuffer(data[pixels:end], np.uint8).reshape(height, stride)
    if header.height > 0:
        rows = rows[::-1]
    if header.bits <= 8:
        used = min(colors, 1 << header.bits, (pixels - start) // entry)
        table = np.zeros((256, 3), np.uint8)
        palette = np.frombuffer(data[start : start + entry * used], np.uint8)
        table[:used] = palette.reshape(used, entry)[:, 2::-1]
        return table[_indices(rows, header)], end
    if header.bits == 24:
        return rows[:, : header.width * 3].reshape(height, header.width, 3)[..., ::-1], end
    words = rows[:, : header.width * header.bits // 8].copy().view(f"<u{header.bits // 8}")
    masks = header.masks if header.masks[3] else header.masks[:3]
    return np.dstack([_field(words, mask) for mask in masks]), end


def _without_runs(data: bytes, width: int, height: int, stride: int) -> bytes:
    """Rows of 4 bits per pixel, from runs; what is skipped has the first colour."""
    rows = np.zeros((height, stride * 2), np.uint8)
    x = y = at = 0
    while y < height:
        if at + 2 > len(data):
            raise ValueError("a bitmap that is cut off")
        count, value = data[at], data[at + 1]
        at += 2
        if not count and value == 1:
            break
        if not count and value == 0:
            x, y = 0, y + 1
            continue
        if not count and value == 2:
            x, y, at = x + data[at], y + data[at + 1], at + 2
            continue
        length = count or value
        pairs = np.frombuffer(data[at : at + (length + 1) // 2], np.uint8)
        if count:
            pairs = np.full((count + 1) // 2, value, np.uint8)
        else:
            at += (length + 3) // 4 * 2
        pixels = np.stack([pairs >> 4, pairs & 15], -1).ravel()[:length]
        shown = rows[y, x : min(x + length, width)]
        shown[: len(pixels)] = pixels[: len(shown)]
        x += length
    return (rows[:, ::2] << 4 | rows[:, 1::2]).tobytes()


def _indices(rows: npt.NDArray[np.uint8], header: _Header) -> npt.NDArray[np.uint8]:
    bits = np.unpackbits(rows, axis=1).reshape(len(rows), -1, header.bits)
    values = np.packbits(bits, axis=2)[:, : header.width, 0]
    return np.asarray(values >> (8 - header.bits), np.uint8)


def _field(words: npt.NDArray[Any], mask: int) -> npt.NDArray[np.uint8]:
    """The bits of a mask as a channel of 8 bits; 0 if there are none."""
    if not mask:
        return np.zeros(words.shape, np.uint8)
    shift = (mask & -mask).bit_length() - 1
    top = mask >> shift
    values = (words.astype(np.uint64) & np.uint64(mask)) >> np.uint64(shift)
    return ((values * np.uint64(255) + np.uint64(top // 2)) // np.uint64(top)).astype(np.uint8)

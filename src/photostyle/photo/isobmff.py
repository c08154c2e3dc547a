"""Boxes of HEIF and AVIF files (ISO/IEC 14496-12), and properties of their images (23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import BinaryIO

_MAX_META = 1 << 24  # bytes


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of each box; ValueError if one is cut off."""
    at = 0
    while at + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if length == 1:
            length, header = struct.unpack_from(">Q", data, at + 8)[0], 16
        end = at + length if length else len(data)
        if not at + header <= end <= len(data):
            raise ValueError("a box that is cut off")
        yield kind, data[at + header : end]
        at = end


def outer_boxes(stream: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Type, offset and length of the content of each box of a file, as far as they are claimed.

    The length of a last box that reaches to the end of the file is -1. The stream is left at the
    content of the box.
    """
    at = 0
    while True:
        stream.seek(at)
        start = stream.read(8)
        if len(start) < 8:
            return
        length, kind = struct.unpack(">I4s", start)
        header = 8
        if length == 1:
            length, header = int.from_bytes(stream.read(8), "big"), 16
        if length and length < header:
            raise ValueError("a box of an invalid length")
        yield kind, at + header, length - header if length else -1
        if not length:
            return
        at += length


def primary_properties(stream: BinaryIO) -> list[tuple[bytes, bytes]]:
    """Type and content of the properties of the primary image, in their order.

    Raises ValueError or struct.error if the file is damaged.
    """
    for kind, _, length in outer_boxes(stream):
        if kind == b"meta":
            meta = list(
                boxes(stream.read(min(length, _MAX_META) if length >= 0 else _MAX_META)[4:])
            )
            found = dict(reversed(meta))
            return _properties(found.get(b"pitm", b""), found.get(b"iprp", b""))
    return []


def _properties(pitm: bytes, iprp: bytes) -> list[tuple[bytes, bytes]]:
    if not pitm or not iprp:
        return []
    (primary,) = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)
    containers = list(boxes(iprp))
    properties = [item for kind, data in containers if kind == b"ipco" for item in boxes(data)]
    for kind, ipma in containers:
        if kind != b"ipma":
            continue
        version, flags, count, at = ipma[0], ipma[3], *struct.unpack_from(">I", ipma, 4), 8
        for _ in range(count):
            item, number = struct.unpack_from(">IB" if version else ">HB", ipma, at)
            at += 5 if version else 3
            large = flags & 1
            indices = struct.unpack_from(f">{number}{'H' if large else 'B'}", ipma, at)
            at += number * (2 if large else 1)
            if item == primary:
                mask = 0x7FFF if large else 0x7F  # without the bit "essential"
                chosen = [index & mask for index in indices]
                return [properties[i - 1] for i in chosen if 0 < i <= len(properties)]
    return []


def clean_aperture(
    properties: list[tuple[bytes, bytes]], width: int, height: int
) -> tuple[int, int, int, int] | None:
    """The part of an image to show, as left, top, right, bottom; None for all of it.

    ISO/IEC 14496-12, 12.1.4. An aperture between pixels is rounded down, as libheif does, and one
    that is empty or not within the image is ignored.
    """
    clap = dict(properties).get(b"clap", b"")
    if len(clap) < 32:
        return None
    numbers = struct.unpack(">IIIIiIiI", clap[:32])
    if not all(numbers[1::2]):
        return None
    # Horizontal and vertical: the offset is between the centres of the aperture and the image.
    sides = [Fraction(*numbers[i : i + 2]) for i in (0, 2)]
    offsets = [Fraction(*numbers[i : i + 2]) for i in (4, 6)]
    left, top = (
        floor(offset + (whole - side) / 2)
        for offset, whole, side in zip(offsets, (width, height), sides, strict=True)
    )
    right, bottom = left + round(sides[0]), top + round(sides[1])
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        return None
    return None if (right - left, bottom - top) == (width, height) else (left, top, right, bottom)

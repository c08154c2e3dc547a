"""Boxes of HEIF and AVIF files (ISO/IEC 14496-12), and properties of their images (23008-12)."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from fractions import Fraction
from math import floor
from typing import BinaryIO

_MAX_META = 1 << 24  # bytes
_MAX_BRANDS = 1 << 10  # bytes


def box(kind: bytes, content: bytes) -> bytes:
    """A box of less than 4 GB."""
    return struct.pack(">I4s", 8 + len(content), kind) + content


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


def brands(stream: BinaryIO) -> set[bytes]:
    """The brands of a file: the formats that it says it is compatible with."""
    stream.seek(0)
    for kind, _, length in outer_boxes(stream):
        data = stream.read(min(max(length, 0), _MAX_BRANDS)) if kind == b"ftyp" else b""
        return {data[i : i + 4] for i in range(0, len(data), 4) if i != 4}
    return set()


def primary_properties(stream: BinaryIO) -> list[tuple[bytes, bytes]]:
    """Type and content of the properties of the primary image, in their order.

    An image made of tiles that does not tell its colour space or bits has those of its first
    tile. Raises ValueError or struct.error if the file is damaged.
    """
    meta = _meta(stream)
    pitm, properties = meta.get(b"pitm", b""), _properties(meta.get(b"iprp", b""))
    if not pitm:
        return []
    (primary,) = struct.unpack_from(">I" if pitm[0] else ">H", pitm, 4)
    found = properties.get(primary, [])
    missing = {b"colr", b"pixi", b"av1C"} - {kind for kind, _ in found}
    for tile in _sources(meta.get(b"iref", b""), primary)[:1]:
        found = found + [item for item in properties.get(tile, []) if item[0] in missing]
    return found


def item_kinds(stream: BinaryIO) -> set[bytes]:
    """The types of the items, such as b"grid", and of the auxiliary images, such as URNs."""
    meta = _meta(stream)
    entries = [entry for kind, entry in boxes(meta.get(b"iinf", b"")[6:]) if kind == b"infe"]
    kinds = {entry[8:12] if entry[:1] == b"\2" else entry[10:14] for entry in entries}
    for properties in _properties(meta.get(b"iprp", b"")).values():
        kinds |= {data[4:].partition(b"\0")[0] for kind, data in properties if kind == b"auxC"}
    return kinds


def item_data(stream: BinaryIO, kinds: tuple[bytes, ...]) -> dict[bytes, bytes]:
    """The data of the first item of each kind, such as b"Exif", or b"mime" for XMP."""
    meta = _meta(stream)
    found: dict[bytes, bytes] = {}
    locations = _locations(meta.get(b"iloc", b""))
    for box, entry in boxes(meta.get(b"iinf", b"")[6:]):
        if box == b"infe" and entry[:1] == b"\2":  # the version of all known writers
            item, kind = struct.unpack_from(">H2x4s", entry, 4)
            if kind in kinds and kind not in found:
                parts = []
                for offset, length in locations.get(item, ()):
                    stream.seek(offset)
                    parts.append(stream.read(min(length, _MAX_META)))
                found[kind] = b"".join(parts)
    return found


def _meta(stream: BinaryIO) -> dict[bytes, bytes]:
    """The boxes within the box that describes images, by type."""
    for kind, _, length in outer_boxes(stream):
        if kind == b"meta":
            data = stream.read(min(length, _MAX_META) if length >= 0 else _MAX_META)
            return dict(reversed(list(boxes(data[4:]))))
    return {}


def _locations(iloc: bytes) -> dict[int, list[tuple[int, int]]]:
    """Offsets and lengths of the parts of each item that lie in the file itself."""
    if len(iloc) < 8 or iloc[0] > 1:
        return {}
    sizes, count = struct.unpack_from(">HH", iloc, 4)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if iloc[0] else 0
    at, found = 8, dict[int, list[tuple[int, int]]]()

    def number(size: int) -> int:
        nonlocal at
        at += size
        return int.from_bytes(iloc[at - size : at], "big")

    for _ in range(count):
        item = number(2)
        in_file = not (number(2) & 15 if iloc[0] else 0)
        number(2)
        base = number(base_size)
        extents = []
        for _ in range(number(2)):
            number(index_size)
            extents.append((base + number(offset_size), number(length_size)))
        if in_file:
            found[item] = extents
    return found


def _properties(iprp: bytes) -> dict[int, list[tuple[bytes, bytes]]]:
    """Type and content of the properties of each item."""
    containers = list(boxes(iprp))
    properties = [item for kind, data in containers if kind == b"ipco" for item in boxes(data)]
    found: dict[int, list[tuple[bytes, bytes]]] = {}
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
            mask = 0x7FFF if large else 0x7F  # without the bit "essential"
            chosen = [index & mask for index in indices]
            found[item] = [properties[i - 1] for i in chosen if 0 < i <= len(properties)]
    return found


def _sources(iref: bytes, item: int) -> list[int]:
    """The items of which a derived image, such as a grid, is made."""
    code, size = ("I", 4) if iref[:1] == b"\1" else ("H", 2)
    for kind, data in boxes(iref[4:]):
        origin, count = struct.unpack_from(f">{code}H", data)
        if kind == b"dimg" and origin == item:
            return list(struct.unpack_from(f">{count}{code}", data, size + 2))
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

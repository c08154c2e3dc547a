"""HEIC and AVIF files of several items, put together box by box."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image
from support.photos import saved

from photostyle.photo.isobmff import box, item_data, primary_properties

CODEC = {"HEIF": b"hvc1", "AVIF": b"av01"}
_OPTIONS: dict[str, dict[str, object]] = {
    "HEIF": {"chroma": 444},
    "AVIF": {"subsampling": "4:4:4"},
}
_OF_THE_CODER = (b"hvcC", b"av1C", b"pixi", b"ispe")
_ESSENTIAL = (b"hvcC", b"av1C", b"clap", b"irot", b"imir")


class Item(NamedTuple):
    """An item of a file: properties are boxes, references pairs of a type and item numbers."""

    number: int
    kind: bytes
    data: bytes
    properties: tuple[bytes, ...] = ()
    references: tuple[tuple[bytes, tuple[int, ...]], ...] = ()


def coded(
    number: int, pixels: npt.NDArray[np.uint8], format: str, *properties: bytes, of: bytes = b""
) -> Item:
    """An image. of: the type of its reference to item 1, as of auxiliary images and thumbnails."""
    image = Image.fromarray(np.ascontiguousarray(pixels))
    stream = saved(image, format, quality=100, **_OPTIONS[format])
    own = [box(*found) for found in primary_properties(stream) if found[0] in _OF_THE_CODER]
    data = item_data(stream, (CODEC[format],))[CODEC[format]]
    references = ((of, (1,)),) if of else ()
    return Item(number, CODEC[format], data, (*own, *properties), references)


def tiled(
    pixels: npt.NDArray[np.uint8], format: str, properties: tuple[bytes, ...], *of_tiles: bytes
) -> list[Item]:
    """An image, item 1, made of tiles of 64 x 64 pixels; the last ones reach beyond it."""
    height, width = pixels.shape[:2]
    down, across = -(-height // 64), -(-width // 64)
    padded = np.pad(pixels, ((0, down * 64 - height), (0, across * 64 - width), (0, 0)), "edge")
    tiles = [
        coded(100 + row * across + column, padded[row * 64 :, column * 64 :][:64, :64], format)
        for row in range(down)
        for column in range(across)
    ]
    tiles = [tile._replace(properties=(*tile.properties, *of_tiles)) for tile in tiles]
    grid = struct.pack(">4B2H", 0, 0, down - 1, across - 1, width, height)
    numbers = tuple(tile.number for tile in tiles)
    size = _full(b"ispe", struct.pack(">2I", width, height))
    return [Item(1, b"grid", grid, (size, *properties), ((b"dimg", numbers),)), *tiles]


def clap(*numbers: int) -> bytes:
    """Clean aperture: width, height, horizontal and vertical offset, each as a fraction."""
    return box(b"clap", struct.pack(">IIIIiIiI", *numbers))


def irot(turns: int) -> bytes:
    """Quarter turns to the left."""
    return box(b"irot", bytes([turns]))


def imir(axis: int) -> bytes:
    """0 swaps top and bottom, 1 left and right."""
    return box(b"imir", bytes([axis]))


def auxiliary(kind: bytes) -> bytes:
    """What an auxiliary image is: an URN."""
    return _full(b"auxC", kind + b"\0")


def file(items: list[Item], format: str) -> BytesIO:
    """A file whose primary image is item 1."""
    brand = b"heic" if format == "HEIF" else b"avif"
    ftyp = box(b"ftyp", brand + bytes(4) + b"mif1" + brand)
    properties = list(dict.fromkeys(p for item in items for p in item.properties))
    of_items, entries, references = b"", b"", b""
    for item in sorted(items):
        indices = bytes(
            properties.index(p) + 1 | 0x80 * (p[4:8] in _ESSENTIAL) for p in item.properties
        )
        of_items += struct.pack(">HB", item.number, len(indices)) + indices
        entry = struct.pack(">H2x4sx", item.number, item.kind)
        entries += box(b"infe", b"\2\0\0" + bytes([item.number > 1]) + entry)  # others are hidden
        for kind, to in item.references:
            numbers = struct.pack(f">HH{len(to)}H", item.number, len(to), *to)
            references += box(kind, numbers)
    count = struct.pack(">I", len(items))
    association = _full(b"ipma", count + of_items)
    boxes = [
        _full(b"hdlr", bytes(4) + b"pict" + bytes(13)),
        _full(b"pitm", b"\0\1"),
        _full(b"iinf", count[2:] + entries),
        _full(b"iref", references),
        box(b"iprp", box(b"ipco", b"".join(properties)) + association),
    ]
    start = len(ftyp) + 12 + sum(map(len, boxes)) + 16 + 14 * len(items) + 8
    places = b""
    for item in items:
        places += struct.pack(">HHHII", item.number, 0, 1, start, len(item.data))
        start += len(item.data)
    boxes.append(_full(b"iloc", b"\x44\0" + count[2:] + places))
    data = box(b"mdat", b"".join(item.data for item in items))
    return BytesIO(ftyp + _full(b"meta", b"".join(boxes)) + data)


def _full(kind: bytes, content: bytes) -> bytes:
    return box(kind, bytes(4) + content)

"""Whether a file holds all the data that its directories name; some decoders make up the rest."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

from photostyle.photo import isobmff

# Tags of TIFF 6.0 and TIFF/EP. Offsets and the tags of the lengths that belong to them.
_SUB_DIRECTORIES = 330
_EXTENTS = ((273, 279), (324, 325), (513, 514))
_FORMATS = {3: "H", 4: "I", 13: "I"}  # unsigned integers, by type
_MAX_DIRECTORIES = 64
_MAX_VALUES = 1 << 20

_RAF_EXTENTS = 84  # of the JPEG, of the metadata, of the sensor's values
_RAF = b"FUJIFILMCCD-RAW"


def check_extents(extents: Iterable[tuple[int, int]], stream: BinaryIO) -> None:
    """Raise ValueError if an offset and length reach beyond the end of the stream."""
    size = stream.seek(0, os.SEEK_END)
    if any(offset + length > size for offset, length in extents):
        raise ValueError("the file is cut off")


def check_raw(stream: BinaryIO) -> None:
    """Raise ValueError if a raw file is cut off.

    Knows files in the structure of TIFF (most raw formats), RAF and CR3. LibRaw fills what is
    missing of them with black; of the others it reports it.
    """
    stream.seek(0)
    start = stream.read(12)
    if start.startswith((b"II", b"MM")):
        check_extents(_tiff_extents(stream), stream)
    elif start.startswith(_RAF[: len(start)]):
        stream.seek(_RAF_EXTENTS)
        numbers = struct.unpack(">6I", stream.read(24))
        check_extents(zip(numbers[::2], numbers[1::2], strict=True), stream)
    elif start[4:8] == b"ftyp":
        boxes = isobmff.outer_boxes(stream)
        check_extents([(at, length) for _, at, length in boxes if length > 0], stream)


def _tiff_extents(stream: BinaryIO) -> list[tuple[int, int]]:
    """Offset and length of all strips, tiles and previews of a file, of all its directories."""
    stream.seek(0)
    start = stream.read(8)
    order = "<" if start[:1] == b"I" else ">"
    pending, seen, extents = [struct.unpack(order + "I", start[4:])[0]], set[int](), []
    while pending and len(seen) < _MAX_DIRECTORIES:
        offset = pending.pop()
        if offset in seen:
            continue
        seen.add(offset)
        tags, following = _directory(stream, order, offset)
        pending += [*tags.get(_SUB_DIRECTORIES, ()), *([following] if following else [])]
        for offsets, lengths in _EXTENTS:
            extents += list(zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False))
    return extents


def _directory(stream: BinaryIO, order: str, offset: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """The tags of a directory that hold unsigned integers, and the offset of the next."""
    stream.seek(offset)
    (count,) = struct.unpack(order + "H", stream.read(2))
    entries = stream.read(12 * count)
    (following,) = struct.unpack(order + "I", stream.read(4).ljust(4, b"\0"))
    tags = {}
    wanted = {_SUB_DIRECTORIES, *(tag for pair in _EXTENTS for tag in pair)}
    for tag, kind, number, value in struct.iter_unpack(order + "HHI4s", entries):
        if tag in wanted and kind in _FORMATS and number <= _MAX_VALUES:
            form = f"{order}{number}{_FORMATS[kind]}"
            length = struct.calcsize(form)
            if length > 4:
                stream.seek(struct.unpack(order + "I", value)[0])
                value = stream.read(length)
            tags[tag] = struct.unpack(form, value[:length])
    return tags, following

"""Whether a file holds all the data that its directories name; some decoders make up the rest."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable
from typing import BinaryIO

from photostyle.photo import isobmff
from photostyle.photo.exif import Tiff

# Tags of TIFF 6.0 and TIFF/EP. Offsets and the tags of the lengths that belong to them.
_SUB_DIRECTORIES = 330
_EXTENTS = ((273, 279), (324, 325), (513, 514))
_WANTED = {_SUB_DIRECTORIES, *(tag for pair in _EXTENTS for tag in pair)}
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
    tiff = Tiff(stream)
    pending, seen, extents = [tiff.main], {0}, []  # 0: there is no other directory
    while pending and len(seen) < _MAX_DIRECTORIES:
        at = pending.pop()
        if at in seen:
            continue
        seen.add(at)
        fields, end = tiff.fields(at)
        tags = {
            field.tag: tiff.integers(field)
            for field in fields
            if field.tag in _WANTED and field.number <= _MAX_VALUES
        }
        pending += [*tags.get(_SUB_DIRECTORIES, ()), tiff.offset(end) if end else 0]
        for offsets, lengths in _EXTENTS:
            extents += list(zip(tags.get(offsets, ()), tags.get(lengths, ()), strict=False))
    return extents

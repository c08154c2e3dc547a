"""EXIF blocks, edited in place.

Bytes that are not changed stay where they are, with their types, byte order and text encoding, so
that the offsets inside maker notes stay true. Sources: TIFF 6.0, section 2; EXIF 2.32 (CIPA
DC-008), section 4.6.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Container, Iterable
from io import BytesIO
from operator import attrgetter
from typing import BinaryIO, NamedTuple

from PIL import ExifTags

MAIN = 0
"""The first directory of a block; the others are named by the tags that point to them."""
EXIF = int(ExifTags.IFD.Exif)
GPS = int(ExifTags.IFD.GPSInfo)
INTEROP = int(ExifTags.IFD.Interop)

# Tags of a TIFF file whose data are metadata of other kinds.
XMP, IPTC, RESOURCES = 700, 33723, 34377

_PARENTS = {EXIF: MAIN, GPS: MAIN, INTEROP: EXIF}
_PREFIX = b"Exif\0\0"
_LONGEST_PREFIX = 16
_HEADER = re.compile(rb"II\*\0|MM\0\*")
_ORDERS = {b"II": "<", b"MM": ">"}
_MAX_ENTRY = 1 << 24  # bytes
_FARTHEST_MAKER_NOTE = 1 << 15  # bytes from the beginning of a TIFF file
# Beginnings of maker notes whose offsets count from their own beginning.
_OWN_OFFSETS = (b"Apple iOS", b"FUJIFILM", b"Nikon\0\2", b"OLYMPUS\0", b"OM SYSTEM")

BYTE, LONG, UNDEFINED = 1, 4, 7
_ASCII, _SHORT, _RATIONAL, _SRATIONAL = 2, 3, 5, 10
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
_SIZES |= {16: 8, 17: 8, 18: 8, 129: 1}  # BigTIFF, and UTF-8 of EXIF 3.0
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_BIG = (16, 17, 18)

_Base = ExifTags.Base

_OFFSETS = (_Base.JpegIFOffset, _Base.StripOffsets)
_LENGTHS = (_Base.JpegIFByteCount, _Base.StripByteCounts)

# Tags of the main directory that describe how a TIFF file stores its pixels, that other fields of
# Metadata hold, or that contain another picture: old thumbnails and previews, layers, raw data.
STRUCTURE = {
    *range(254, 259),
    259,
    *range(262, 267),
    *(273, *range(277, 282), 284, *range(288, 294)),
    *(301, *range(317, 329), *range(330, 335), *range(336, 348)),
    *(*range(400, 406), *range(433, 436), *range(512, 522), *range(529, 533), 559),
    *(700, 33421, 33422, 33723, 34377, 34675, 37724, 50838, 50839),
    *range(50706, 51200),
    *range(52525, 52560),
}
"""Tags of a TIFF file's main directory that describe the file, not the photo."""


class Entry(NamedTuple):
    """One entry of a directory; ``data`` is in the byte order of the block.

    place: where the data have to lie; None for the end of the block.
    """

    tag: int
    type: int
    number: int
    data: bytes
    place: int | None = None


class Field(NamedTuple):
    """Where an entry and its data are; size is None for unknown types and missing data."""

    tag: int
    type: int
    number: int
    at: int
    data_at: int
    size: int | None


class Tiff:
    """The structure of a TIFF file or EXIF block; BigTIFF and the variants of raw files as well.

    Raises ValueError if there is no main directory.
    """

    def __init__(self, stream: BinaryIO):
        self.stream = stream
        self.length = stream.seek(0, 2)
        header = self.read(0, 16)
        order = _ORDERS.get(header[:2])
        if not order or len(header) < 8:
            raise ValueError("not in TIFF structure")
        self.order = order
        self.big = self.unpack("H", header[2:4]) == 43
        self.main = self.unpack("Q", header[8:16]) if self.big else self.unpack("I", header[4:8])

    def read(self, at: int, size: int) -> bytes:
        self.stream.seek(at)
        return self.stream.read(size)

    def unpack(self, format: str, data: bytes) -> int:
        return int(struct.unpack(self.order + format, data)[0])

    def offset(self, at: int) -> int:
        """The offset that is stored at a position; 0 beyond the end."""
        code, width = ("Q", 8) if self.big else ("I", 4)
        return self.unpack(code, self.read(at, width).ljust(width, b"\0"))

    def fields(self, at: int) -> tuple[list[Field], int]:
        """The complete entries of the directory at an offset, and the position of the next offset.

        A directory that is cut off yields the entries that are there.
        """
        head, width, entry = (8, 8, 20) if self.big else (2, 4, 12)
        count = self.read(at, head)
        if not at or len(count) < head:
            return [], 0
        number = self.unpack("Q" if self.big else "H", count)
        table = self.read(at + head, min(number, 65535) * entry)
        fields = []
        for start in range(0, len(table) - entry + 1, entry):
            raw = table[start : start + entry]
            format = self.order + ("HHQ" if self.big else "HHI")
            tag, type, length = struct.unpack(format, raw[:-width])
            position = at + head + start
            data_at, size = position + entry - width, None
            if type in _SIZES:
                size = _SIZES[type] * length
                if size > width:
                    data_at = self.unpack("Q" if self.big else "I", raw[-width:])
                    size = size if data_at + size <= self.length else None
            fields.append(Field(tag, type, length, position, data_at, size))
        return fields, at + head + number * entry

    def entry(self, field: Field) -> Entry:
        return Entry(*field[:3], self.read(field.data_at, field.size or 0))

    def integers(self, field: Field) -> list[int]:
        code = _INTEGERS.get(field.type)
        if not code or not field.size:
            return []
        data = self.read(field.data_at, field.size)
        return [value for (value,) in struct.iter_unpack(self.order + code, data)]


class ExifBlock:
    """An EXIF block that can be edited.

    Raises ValueError, if created from bytes that are no EXIF block. The bytes may begin with
    "Exif" as in JPEG files.
    """

    def __init__(self, data: bytes = b"II*\0\0\0\0\0"):
        start = _HEADER.search(data, 0, _LONGEST_PREFIX + 4)
        if not start:
            raise ValueError("not an EXIF block")
        self._tiff = Tiff(BytesIO(data[start.start() :]))

    def tobytes(self) -> bytes:
        """The block, beginning with "Exif"; empty if there are no entries."""
        return _PREFIX + self.tiff() if self._fields(MAIN) else b""

    def tiff(self) -> bytes:
        """The block in TIFF structure."""
        return self._tiff.read(0, self._tiff.length)

    @property
    def order(self) -> str:
        """Byte order as the module `struct` writes it, "<" or ">"."""
        return self._tiff.order

    def entries(self, directory: int = MAIN) -> list[Entry]:
        """The entries whose data are complete and of a known type."""
        return [
            self._tiff.entry(field) for field in self._fields(directory) if field.size is not None
        ]

    def data(self, tag: int, directory: int = MAIN) -> bytes | None:
        """The data of an entry; None if it is missing."""
        return next((e.data for e in self.entries(directory) if e.tag == tag), None)

    def integer(self, tag: int, directory: int = MAIN) -> int | None:
        """The value of an entry that is one integer; None for any other."""
        values = [self._tiff.integers(f) for f in self._fields(directory) if f.tag == tag]
        return values[0][0] if values and len(values[0]) == 1 else None

    def numbers(self, tag: int, directory: int = MAIN) -> list[float]:
        """The values of an entry of rationals or integers."""
        for field in self._fields(directory):
            if field.tag == tag and field.type in (_RATIONAL, _SRATIONAL) and field.size:
                code = self.order + ("II" if field.type == _RATIONAL else "ii")
                pairs = struct.iter_unpack(code, self._tiff.entry(field).data)
                return [a / b if b else 0.0 for a, b in pairs]
            if field.tag == tag:
                return [float(value) for value in self._tiff.integers(field)]
        return []

    def set(self, entries: Iterable[Entry], directory: int = MAIN) -> None:
        """Replace entries; a directory that has none of a tag gets it and moves to the end."""
        fields = self._fields(directory)
        present = {field.tag for field in fields}
        added = []
        for entry in entries:
            raw = self._raw(entry)
            for field in fields:
                if field.tag == entry.tag:
                    self._write(field.at, raw)
            if entry.tag not in present:
                added.append(raw)
        if added:
            self._extend(directory, added)

    def reserve(self, entry: Entry) -> None:
        """Keep the place of an entry that will be set later free; the block must be empty."""
        self._raw(entry)

    def text(self, tag: int, text: str) -> Entry:
        """An entry of text, in UTF-8 as most programs write it."""
        data = text.encode() + b"\0"
        return Entry(tag, _ASCII, len(data), data)

    def integers(self, tag: int, *values: int, type: int | None = None) -> Entry:
        """An entry of integers, by default 16 bits wide if they fit."""
        type = type or (_SHORT if max(values) <= 65535 else LONG)
        data = struct.pack(f"{self.order}{len(values)}{_INTEGERS[type]}", *values)
        return Entry(tag, type, len(values), data)

    def rational(self, tag: int, value: float) -> Entry:
        """An entry of one positive number, exact to 1/1000."""
        pair = (round(value), 1) if value == round(value) else (round(value * 1000), 1000)
        return Entry(tag, _RATIONAL, 1, struct.pack(self.order + "II", *pair))

    def remove(self, tags: Container[int], directory: int = MAIN) -> None:
        """Remove entries; the others stay in place."""
        at = self._offset(directory)
        fields, end = self._tiff.fields(at)
        kept = [self._tiff.read(field.at, 12) for field in fields if field.tag not in tags]
        if len(kept) == len(fields):
            return
        following = self._tiff.read(end, 4).ljust(4, b"\0")
        table = struct.pack(self.order + "H", len(kept)) + b"".join(kept) + following
        self._write(at, table.ljust(2 + 12 * len(fields) + 4, b"\0"))

    def remove_thumbnail(self) -> None:
        """Remove the directories after the main one, with their pictures."""
        _, link = self._tiff.fields(self._tiff.main)
        raw = self._tiff.read(link, 4) if link else b""
        if len(raw) < 4 or raw == bytes(4):
            return
        self._write(link, bytes(4))
        used = self._used()
        seen: set[int] = set()
        while len(raw) == 4 and (at := self._tiff.unpack("I", raw)) and at not in seen:
            seen.add(at)
            fields, link = self._tiff.fields(at)
            by_tag = {field.tag: self._tiff.integers(field) for field in fields}
            raw = self._tiff.read(link, 4) if link else b""
            spans = [(at, 2 + 12 * len(fields) + 4)]
            for offset, length in zip(_OFFSETS, _LENGTHS, strict=True):
                spans += zip(by_tag.get(offset, ()), by_tag.get(length, ()), strict=False)
            for start, size in spans:
                end = min(start + size, self._tiff.length)
                if start < end and all(end <= first or start >= last for first, last in used):
                    self._write(start, bytes(end - start))
        end = max(last for _, last in used)
        self._truncate(max(end, len(self.tiff().rstrip(b"\0"))))

    def _fields(self, directory: int) -> list[Field]:
        return self._tiff.fields(self._offset(directory))[0]

    def _offset(self, directory: int) -> int:
        """Where a directory begins; 0 if there is none."""
        if directory == MAIN:
            return self._tiff.main
        return self.integer(directory, _PARENTS[directory]) or 0

    def _used(self) -> list[tuple[int, int]]:
        """Start and end of the header, the directories and their data."""
        spans = [(0, 8)]
        for directory in (MAIN, EXIF, GPS, INTEROP):
            fields, end = self._tiff.fields(self._offset(directory))
            if fields:
                spans.append((self._offset(directory), min(end + 4, self._tiff.length)))
            spans += [(f.data_at, f.data_at + f.size) for f in fields if f.size]
        return spans

    def _raw(self, entry: Entry) -> bytes:
        """The 12 bytes of an entry, after its data have been appended if they are longer than 4."""
        data = entry.data
        if entry.place is not None:
            self._write(entry.place, data)
            data = struct.pack(self.order + "I", entry.place)
        elif len(data) > 4:
            data = struct.pack(self.order + "I", self._append(data))
        return struct.pack(self.order + "HHI", *entry[:3]) + data.ljust(4, b"\0")

    def _extend(self, directory: int, added: list[bytes]) -> None:
        """Write a directory anew at the end, with more entries (12 bytes each)."""
        at = self._offset(directory)
        fields, end = self._tiff.fields(at)
        following = self._tiff.read(end, 4).ljust(4, b"\0") if fields else bytes(4)
        raw = [*(self._tiff.read(field.at, 12) for field in fields), *added]
        raw.sort(key=lambda entry: self._tiff.unpack("H", entry[:2]))
        if fields:
            self._write(at, bytes(min(end + 4, self._tiff.length) - at))
        new = self._append(struct.pack(self.order + "H", len(raw)) + b"".join(raw) + following)
        pointer = struct.pack(self.order + "I", new)
        if directory == MAIN:
            self._write(4, pointer)
            self._tiff.main = new
        else:
            self.set([Entry(directory, LONG, 1, pointer)], _PARENTS[directory])

    def _append(self, data: bytes) -> int:
        at = self._tiff.length + self._tiff.length % 2
        self._write(self._tiff.length, bytes(at - self._tiff.length) + data)
        return at

    def _write(self, at: int, data: bytes) -> None:
        self._tiff.stream.seek(at)
        self._tiff.stream.write(data)
        self._tiff.length = max(self._tiff.length, at + len(data))

    def _truncate(self, length: int) -> None:
        self._tiff.stream.truncate(length)
        self._tiff.length = length


class TiffBlocks(NamedTuple):
    """The EXIF block of a TIFF or raw file, and the data of XMP, IPTC and RESOURCES by tag.

    The block holds the entries that describe the photo, with their bytes, types and byte order.
    moved: whether the maker notes lie in another place than in the file, although there may be
    offsets in them that count from the beginning of the file.
    """

    exif: ExifBlock
    others: dict[int, bytes]
    moved: bool


def read_tiff(stream: BinaryIO) -> TiffBlocks:
    """The metadata of a TIFF or raw file; ValueError if it has no TIFF structure."""
    tiff = Tiff(stream)
    block = ExifBlock(b"II*\0\0\0\0\0" if tiff.order == "<" else b"MM\0*\0\0\0\0")
    fields, _ = tiff.fields(tiff.main)
    others = {
        field.tag: tiff.entry(field).data
        for field in fields
        if field.tag in (XMP, IPTC, RESOURCES) and field.size and field.size <= _MAX_ENTRY
    }
    copied = _copied(tiff, tiff.main, MAIN)
    notes = [e for entries in copied.values() for e in entries if e.tag == _Base.MakerNote]
    for note in notes:
        if note.place is not None:
            block.reserve(note)
    for directory, entries in copied.items():
        block.set(entries, directory)
    moved = [n for n in notes if n.place is None and len(n.data) > 4]
    return TiffBlocks(block, others, any(not n.data.startswith(_OWN_OFFSETS) for n in moved))


def _copied(tiff: Tiff, at: int, directory: int) -> dict[int, list[Entry]]:
    """The entries to copy of a directory and of those below it, by directory."""
    fields, _ = tiff.fields(at)
    dropped = {*_PARENTS, *(STRUCTURE if directory == MAIN else ())}
    kept = {}
    for field in fields:
        if field.tag in dropped or field.type in _BIG or not field.size or field.size > _MAX_ENTRY:
            continue
        in_place = field.tag == _Base.MakerNote and 8 <= field.data_at <= _FARTHEST_MAKER_NOTE
        place = field.data_at if in_place and field.size > 4 else None
        kept[field.tag] = tiff.entry(field)._replace(place=place)
    found = {directory: sorted(kept.values(), key=attrgetter("tag"))} if kept else {}
    for child, parent in _PARENTS.items():
        offsets = [tiff.integers(f) for f in fields if f.tag == child and parent == directory]
        if offsets and len(offsets[0]) == 1:
            found |= _copied(tiff, offsets[0][0], child)
    return found

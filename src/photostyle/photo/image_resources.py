"""Photoshop image resources, which hold IPTC metadata in JPEG, TIFF and PSD files.

Sources: Adobe Photoshop File Formats Specification, "Image Resources Section"; IPTC-NAA
Information Interchange Model 4.2.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

IPTC, RESOLUTION, EXIF, XMP = 0x0404, 0x03ED, 0x0422, 0x0424

# Other resources hold the profile and thumbnails, or describe channels and layers.
_KEPT = (
    IPTC,
    RESOLUTION,
    0x0425,  # digest of IPTC
    0x040A,  # whether there is a copyright
    0x040B,  # URL
    0x041E,  # more URLs
    0x0408,  # grid and guides
    0x0BB7,  # name of the clipping path
)
_PATHS = range(2000, 2998)
_UTF8 = b"\x1b%G"
_TAG = b"\x1c"

# Names of XMP properties by dataset of IPTC's record 2, and those that may occur several times.
_PROPERTIES = {
    5: "dc:title",
    15: "photoshop:Category",
    20: "photoshop:SupplementalCategories",
    25: "dc:subject",
    40: "photoshop:Instructions",
    80: "dc:creator",
    85: "photoshop:AuthorsPosition",
    90: "photoshop:City",
    95: "photoshop:State",
    101: "photoshop:Country",
    103: "photoshop:TransmissionReference",
    105: "photoshop:Headline",
    110: "photoshop:Credit",
    115: "photoshop:Source",
    116: "dc:rights",
    120: "dc:description",
    122: "photoshop:CaptionWriter",
}
_LISTS = (20, 25, 80)
_OF_THE_RECORD = (0,)  # its version


class Resource(NamedTuple):
    """One resource: its number, its name as in the file, and its data."""

    number: int
    name: bytes
    data: bytes


def parse(block: bytes) -> Iterator[Resource]:
    """The resources of a block, up to the first that is damaged."""
    at = 0
    while at + 12 <= len(block):
        (number,) = struct.unpack_from(">H", block, at + 4)
        name_end = at + 6 + (block[at + 6] + 2) // 2 * 2
        if name_end + 4 > len(block):
            return
        (size,) = struct.unpack_from(">I", block, name_end)
        start = name_end + 4
        if start + size > len(block):
            return
        yield Resource(number, block[at + 6 : name_end], block[start : start + size])
        at = start + size + size % 2


def build(resources: list[Resource]) -> bytes:
    """A block of resources."""
    return b"".join(
        b"8BIM"
        + struct.pack(">H", r.number)
        + r.name
        + struct.pack(">I", len(r.data))
        + r.data
        + bytes(len(r.data) % 2)
        for r in resources
    )


def of_iptc(iptc: bytes) -> bytes:
    """A block that holds only IPTC metadata."""
    return build([Resource(IPTC, b"\0\0", iptc)]) if iptc else b""


def find(block: bytes, number: int) -> bytes:
    """The data of a resource; empty if it is missing."""
    return next((r.data for r in parse(block) if r.number == number), b"")


def still_true(block: bytes, turned: bool) -> bytes:
    """The resources that remain true for the changed photo, which may have been turned."""
    return build(
        [r for r in parse(block) if r.number in _KEPT or (r.number in _PATHS and not turned)]
    )


def as_xmp(block: bytes) -> tuple[dict[str, str | list[str]], bool]:
    """The IPTC metadata as XMP properties by name, and whether these are all of it."""
    found: dict[str, str | list[str]] = {}
    complete, utf8 = True, False
    for record, dataset, data in _datasets(find(block, IPTC)):
        if (record, dataset) == (1, 90):
            utf8 = data == _UTF8
        elif record == 2 and dataset in _PROPERTIES:
            name, text = _PROPERTIES[dataset], _decoded(data, utf8)
            known = found.get(name)
            if dataset not in _LISTS:
                found.setdefault(name, text)
            elif isinstance(known, list):
                known.append(text)
            else:
                found[name] = [text]
        elif record == 2 and dataset not in _OF_THE_RECORD:
            complete = False
    return found, complete


def _datasets(iptc: bytes) -> Iterator[tuple[int, int, bytes]]:
    at = 0
    while iptc[at : at + 1] == _TAG and at + 5 <= len(iptc):
        record, dataset, size = struct.unpack_from(">BBH", iptc, at + 1)
        at += 5
        if size & 0x8000:  # the length of the length
            width = size & 0x7FFF
            size = int.from_bytes(iptc[at : at + width], "big")
            at += width
        yield record, dataset, iptc[at : at + size]
        at += size


def _decoded(data: bytes, utf8: bool) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("utf-8", "replace") if utf8 else data.decode("latin-1")

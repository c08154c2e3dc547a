"""Photoshop image resources, which hold IPTC metadata in JPEG, TIFF and PSD files.

Sources: Adobe Photoshop File Formats Specification, "Image Resources Section"; IPTC-NAA
Information Interchange Model 4.2.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import NamedTuple

IPTC, RESOLUTION, EXIF, XMP = 0x0404, 0x03ED, 0x0422, 0x0424

# Resources that other fields of Metadata hold, that show the photo as it was, or that describe
# channels and layers.
_DROPPED = (
    *(EXIF, 0x0423, XMP, 0x040F, 0x0411),
    *(0x0409, 0x040C),  # thumbnails
    *(0x03E8, 0x03EB, 0x03EE, 0x03EF, 0x0415, 0x0416, 0x0417, 0x041D),  # channels and palettes
    *(0x0400, 0x0402, 0x042D, 0x0430, 0x0435),  # layers
)
_POSITIONS = (0x0408, 0x041A, *range(2000, 2998))  # guides, slices and paths
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
    92: "Iptc4xmpCore:Location",
    95: "photoshop:State",
    100: "Iptc4xmpCore:CountryCode",
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
_IDLE = (0, 62, 63)  # version of the record, date and time of scanning
_DATE, _TIME = 55, 60


_MOMENT = re.compile(r"(\d{4})(\d\d)(\d\d)(?:(\d\d)(\d\d)(\d\d)([+-]\d\d)(\d\d))?")


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


def without_iptc(block: bytes) -> bytes:
    """A block without IPTC metadata, for formats that hold them apart."""
    return build([r for r in parse(block) if r.number != IPTC])


def find(block: bytes, number: int) -> bytes:
    """The data of a resource; empty if it is missing."""
    return next((r.data for r in parse(block) if r.number == number), b"")


def still_true(block: bytes, turned: bool) -> bytes:
    """The resources that remain true for the changed photo, which may have been turned."""
    dropped = (*_DROPPED, *(_POSITIONS if turned else ()))
    return build([r for r in parse(block) if r.number not in dropped])


def as_xmp(block: bytes) -> tuple[dict[str, str | list[str]], bool]:
    """The IPTC metadata as XMP properties by name, and whether these are all of it."""
    found: dict[str, str | list[str]] = {}
    complete, utf8 = True, False
    moment: dict[int, str] = {}
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
        elif record == 2 and dataset in (_DATE, _TIME):
            moment[dataset] = _decoded(data, utf8)
        elif record == 2 and dataset not in _IDLE:
            complete = False
    if match := _MOMENT.fullmatch(moment.get(_DATE, "") + moment.get(_TIME, "")):
        year, month, day, *time = match.groups()
        clock = "T{}:{}:{}{}:{}".format(*time) if time[0] else ""
        found["photoshop:DateCreated"] = f"{year}-{month}-{day}{clock}"
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

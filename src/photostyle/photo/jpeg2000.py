"""JPEG 2000: profile, metadata and bits per channel, which Pillow leaves out.

Sources: ITU-T T.800, annex A.5.1 (SIZ) and I.5.3 (boxes); XMP specification part 3 (uuid).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO

from photostyle.photo import isobmff

_SIGNATURE = b"\0\0\0\x0cjP  "
_MAX_BOX = 1 << 24  # bytes of a box that is read
_XMP = bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_IPTC = bytes.fromhex("33C7A4D2B81D4723A0BAF1A3E097AD38")
_EXIF = b"JpgTiffExif->JP2"
_RESTRICTED_ICC, _ANY_ICC = 2, 3
_SIGNED = 0x80


def profile(stream: BinaryIO) -> bytes | None:
    """The ICC profile of a JP2 file, if it has one."""
    for kind, data in _boxes(stream, (b"jp2h",)):
        for inner, content in isobmff.boxes(data) if kind == b"jp2h" else ():
            if inner == b"colr" and content[0] in (_RESTRICTED_ICC, _ANY_ICC):
                return content[3:]
    return None


def metadata(stream: BinaryIO) -> dict[str, bytes]:
    """The data of boxes with metadata: "exif", "xmp", "iptc", and "xml" of other kinds."""
    found: dict[str, bytes] = {}
    names = {_XMP: "xmp", _IPTC: "iptc", _EXIF: "exif"}
    for kind, data in _boxes(stream, (b"uuid", b"xml ")):
        name = "xml" if kind == b"xml " else names.get(data[:16])
        if name:
            found.setdefault(name, data if kind == b"xml " else data[16:])
    return found


def bits_of_components(stream: BinaryIO) -> list[int]:
    """Bits of each component; 0 for one that has signs or is smaller than the photo.

    Raises ValueError or struct.error if the file is damaged.
    """
    at = 0
    stream.seek(0)
    if stream.read(8) == _SIGNATURE:
        found = (at for kind, at, _ in isobmff.outer_boxes(stream) if kind == b"jp2c")
        at = next(found, 0)
    stream.seek(at + 40)  # SOC, SIZ, and the fields before the number of components
    (count,) = struct.unpack(">H", stream.read(2))
    components = struct.iter_unpack("3B", stream.read(3 * min(count, 16)))
    return [0 if d & _SIGNED or (dx, dy) != (1, 1) else d + 1 for d, dx, dy in components]


def _boxes(stream: BinaryIO, kinds: tuple[bytes, ...]) -> Iterator[tuple[bytes, bytes]]:
    """Type and content of the outer boxes of some types; of a bare codestream none."""
    stream.seek(0)
    if stream.read(8) != _SIGNATURE:
        return
    for kind, _, length in isobmff.outer_boxes(stream):
        if kind in kinds and length <= _MAX_BOX:
            yield kind, stream.read(length)

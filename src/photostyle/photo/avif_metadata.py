"""Adds a profile and metadata to AVIF files, which the encoder for more than 8 bits cannot write.

Sources: ISO/IEC 14496-12, 8.11 (items), 23008-12, 6.5.5 (colr) and annex A (Exif and XMP).
"""

from __future__ import annotations

import struct

from photostyle.photo import isobmff

_SIZES = 0x4400  # iloc: offsets and lengths of 4 bytes, no base


def with_metadata(file: bytes, profile: bytes | None, exif: bytes, xmp: bytes) -> bytes:
    """A file of libavif with one image, with an ICC profile, EXIF (TIFF) and an XMP packet.

    Empty blocks are left out. Raises ValueError for a file of another structure.
    """
    outer = dict(isobmff.boxes(file))
    meta = dict(isobmff.boxes(outer[b"meta"][4:]))
    locations = meta[b"iloc"]
    if locations[:4] != bytes(4) or int.from_bytes(locations[4:6], "big") != _SIZES:
        raise ValueError("an AVIF file of an unknown structure")
    primary, count = meta[b"pitm"][4:6], struct.unpack(">H", locations[6:8])[0]
    items = [(b"Exif", b"", bytes(4) + exif)] * bool(exif)
    items += [(b"mime", b"application/rdf+xml\0", xmp)] * bool(xmp)
    numbered = [(struct.pack(">H", count + n), *item) for n, item in enumerate(items, 1)]

    total = struct.pack(">H", count + len(items))
    entries = [
        isobmff.box(b"infe", b"\2\0\0\0" + number + bytes(2) + kind + b"\0" + mime)
        for number, kind, mime, _ in numbered
    ]
    meta[b"iinf"] = b"".join([bytes(4), total, meta[b"iinf"][6:], *entries])
    if items:
        links = [isobmff.box(b"cdsc", number + b"\0\1" + primary) for number, *_ in numbered]
        meta[b"iref"] = b"".join([meta.get(b"iref", bytes(4)), *links])
    if profile:
        meta[b"iprp"] = _with_profile(meta[b"iprp"], primary, profile)
    data = b"".join(content for *_, content in numbered)

    # The locations have the same size wherever the data begins.
    added = bytes(14 * len(items))
    old, new = len(outer[b"meta"]), 4 + len(_joined({**meta, b"iloc": locations + added}))
    parts = [bytes(4), locations[4:6], total]
    for item, offset, length in _extents(locations, count):
        parts.append(struct.pack(">HHHII", item, 0, 1, offset + new - old, length))
    at = len(file) + new - old + 8
    for number, *_, content in numbered:
        parts.append(number + struct.pack(">HHII", 0, 1, at, len(content)))
        at += len(content)
    meta[b"iloc"] = b"".join(parts)
    outer[b"meta"] = bytes(4) + _joined(meta)
    return _joined(outer) + (isobmff.box(b"mdat", data) if data else b"")


def _with_profile(iprp: bytes, primary: bytes, profile: bytes) -> bytes:
    containers = dict(isobmff.boxes(iprp))
    index = 1 + sum(1 for _ in isobmff.boxes(containers[b"ipco"]))
    containers[b"ipco"] += isobmff.box(b"colr", b"prof" + profile)
    ipma = containers[b"ipma"]
    if ipma[:4] != bytes(4) or index > 127:
        raise ValueError("an AVIF file of an unknown structure")
    parts, at = [ipma[:8]], 8
    while at < len(ipma):
        number, count = ipma[at : at + 2], ipma[at + 2]
        indices = ipma[at + 3 : at + 3 + count] + bytes([index]) * (number == primary)
        parts += [number, bytes([len(indices)]), indices]
        at += 3 + count
    containers[b"ipma"] = b"".join(parts)
    return _joined(containers)


def _extents(locations: bytes, count: int) -> list[tuple[int, int, int]]:
    """Number, offset and length of items; ValueError if one is not in one piece."""
    found = []
    for at in range(8, 8 + 14 * count, 14):
        number, reference, pieces, offset, length = struct.unpack_from(">HHHII", locations, at)
        if reference or pieces != 1:
            raise ValueError("an AVIF file of an unknown structure")
        found.append((number, offset, length))
    return found


def _joined(boxes: dict[bytes, bytes]) -> bytes:
    return b"".join(isobmff.box(kind, data) for kind, data in boxes.items())

"""The chunks of PNG files; files that Pillow refuses, as it is stricter than other programs.

Source: PNG, third edition, 5.3, 11.3.3 and 13.1.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

from PIL import Image

MAGIC = b"\x89PNG\r\n\x1a\n"

_PIXELS = (b"IDAT", b"fdAT")
_TEXTS = (b"zTXt", b"iTXt", b"iCCP")  # which may be compressed
_SHORTEST = {b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"pHYs": 9}  # bytes
_HARMLESS = 1000
"""Bytes that zlib, which compresses at most 1 to 1032, expands to no more than Pillow allows."""
_MAX_PROFILE = 1 << 26  # bytes


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk with its length and checksum."""
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def chunks(stream: BinaryIO, *, pixels: bool = True) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of the chunks of a file; damaged ones are left out, and pixels if False."""
    stream.seek(len(MAGIC))
    while len(header := stream.read(8)) == 8:
        length, kind = struct.unpack(">I4s", header)
        if kind in _PIXELS and not pixels:
            stream.seek(length + 4, 1)
            continue
        content, checksum = stream.read(length), stream.read(4)
        if checksum == struct.pack(">I", zlib.crc32(kind + content)):
            yield kind, content
        if kind == b"IEND" or len(content) < length:
            return


class PngParts(NamedTuple):
    """A file for Pillow, a profile that it would refuse for its length, and notes."""

    stream: BinaryIO
    profile: bytes | None
    notes: list[str]


def readable(stream: BinaryIO) -> PngParts:
    """The file without ancillary chunks that are damaged or expand to more than Pillow allows.

    Texts are read from the file itself; see `photostyle.photo.metadata_blocks`.
    """
    left_out, profile, notes = [], None, []
    at = len(MAGIC)
    while True:
        stream.seek(at)
        header = stream.read(8)
        if len(header) < 8:
            break
        length, kind = struct.unpack(">I4s", header)
        end = at + 12 + length
        is_ancillary = bool(kind[0] & 0x20)
        if is_ancillary and kind not in _PIXELS:
            data = stream.read(length + 4)
            if len(data) < length + 4:
                break
            checksum = int.from_bytes(data[-4:], "big")
            if zlib.crc32(kind + data[:-4]) != checksum or _is_invalid(kind, data[:-4]):
                left_out.append((at, end))
                notes.append("A damaged part of the PNG file that holds no pixels was left out.")
            elif kind in _TEXTS and length > _HARMLESS:
                left_out.append((at, end))
                if kind == b"iCCP":
                    profile = _inflated(data[:-4].partition(b"\0")[2][1:])
        at = end
    stream.seek(0)
    if not left_out:
        return PngParts(stream, None, [])
    parts, start = [], 0
    for begin, end in left_out:
        stream.seek(start)
        parts.append(stream.read(begin - start))
        start = end
    stream.seek(start)
    parts.append(stream.read())  # what a last chunk that is cut off has left
    return PngParts(BytesIO(b"".join(parts)), profile, list(dict.fromkeys(notes)))


def _is_invalid(kind: bytes, content: bytes) -> bool:
    """Whether Pillow would refuse the file for the content of a chunk."""
    if kind in (b"iCCP", b"zTXt"):  # of which 0 is the only compression
        return content.partition(b"\0")[2][:1] not in (b"", b"\0")
    return len(content) < _SHORTEST.get(kind, 0)


def _inflated(data: bytes) -> bytes | None:
    inflate = zlib.decompressobj()
    try:
        profile = inflate.decompress(data, _MAX_PROFILE)
    except zlib.error:
        return None
    return profile if inflate.eof else None


def correct_transparency(image: Image.Image) -> None:
    """Correct the grey that is transparent: of 2 and 4 bits, which Pillow scales to 8."""
    tiles = getattr(image, "tile", [])
    gray = image.info.get("transparency") if image.format == "PNG" else None
    if tiles and isinstance(gray, int):
        image.info["transparency"] = gray * {"L;2": 85, "L;4": 17}.get(str(tiles[0].args), 1)

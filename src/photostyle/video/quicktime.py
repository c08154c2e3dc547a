"""What ffmpeg does not tell or write of mp4 and mov: edit lists, languages and the date.

Source: ISO/IEC 14496-12 (elst, mvhd, tkhd, mdhd) and "Language Code Values" of
Apple's QuickTime File Format.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

_EDITS = 1000
"""Maximum number of edits that are looked at."""

_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_PARENTS = (b"moov", b"trak", b"mdia", b"edts")


def is_cut(path: Path) -> bool:
    """Whether the edit list of a track plays several pieces of it."""
    with path.open("rb") as file:
        for kind, place in _boxes(file, 0, os.fstat(file.fileno()).st_size):
            if kind == b"elst":
                entry = struct.Struct(">QqI" if _is_long(file, place) else ">IiI")
                file.seek(place + 4)
                (count,) = struct.unpack(">I", file.read(4))
                listed = file.read(min(count, _EDITS) * entry.size)
                whole = len(listed) // entry.size * entry.size
                if sum(media >= 0 for _, media, _ in entry.iter_unpack(listed[:whole])) > 1:
                    return True
    return False


def complete(path: Path, languages: Sequence[str], created: str) -> None:
    """Set the languages of the first tracks, and the date of a file and its tracks.

    languages: codes of ISO 639-2; others stay as they are. ffmpeg's mov holds only those that were
    numbers on the Macintosh. created: the date in ISO 8601; empty for none. Besides the header,
    ffmpeg would repeat it as a key.
    """
    with path.open("r+b") as file:
        boxes = list(_boxes(file, 0, os.fstat(file.fileno()).st_size))
        tracks = [place for kind, place in boxes if kind == b"mdhd"]
        for place, language in zip(tracks, languages, strict=False):
            if len(language) == 3 and language.isascii() and language.islower():
                first, second, third = (ord(letter) - 0x60 for letter in language)
                file.seek(place + (32 if _is_long(file, place) else 20))
                file.write(struct.pack(">H", first << 10 | second << 5 | third))
        with suppress(ValueError):
            seconds = int((datetime.fromisoformat(created) - _EPOCH).total_seconds())
            for place in (place for kind, place in boxes if kind in (b"mvhd", b"tkhd", b"mdhd")):
                width = ">QQ" if _is_long(file, place) else ">II"
                with suppress(struct.error):  # after 2040, or before 1904
                    data = struct.pack(width, seconds, seconds)
                    file.seek(place + 4)
                    file.write(data)


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int]]:
    """The type and the place of the content of each box, and of those in the parents."""
    while start + 8 <= end:
        file.seek(start)
        size, kind = struct.unpack(">I4s", file.read(8))
        place = start + 8
        if size == 1 and start + 16 <= end:
            size, place = struct.unpack(">Q", file.read(8))[0], start + 16
        size = size or end - start
        if size < place - start or start + size > end:  # damaged
            return
        if start + size >= place + 8:
            yield kind, place
        if kind in _PARENTS:
            yield from _boxes(file, place, start + size)
        start += size


def _is_long(file: BinaryIO, place: int) -> bool:
    """Whether the times of a header have 64 bits."""
    file.seek(place)
    return file.read(1) == b"\x01"

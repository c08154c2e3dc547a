"""Writes animations with every frame and its duration; Pillow merges frames that are equal.

Each frame is encoded as a still, and its data goes into the container of the animation.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from photostyle.photo.png import chunk, chunks

Pixels = npt.NDArray[np.uint8]

ONCE = 1
"""Number of times to play an animation that does not say."""


def gif(
    frames: Sequence[Pixels],
    durations: Sequence[int],
    loop: int | None,
    options: Mapping[str, Any],
) -> list[bytes]:
    """GIF89a of frames (H, W, 3 or 4) and durations in milliseconds.

    options: of Pillow's encoder. Each frame has a colour table of its own, and what is below it
    does not show through.
    """
    parts = []
    for number, (frame, duration) in enumerate(zip(frames, durations, strict=True)):
        of_file = {} if number else dict(options)
        if not number and loop is not None:
            of_file["loop"] = loop
        data = _still(frame, "GIF", {"duration": duration, "disposal": 2, **of_file})[:-1]
        if not number:
            parts.append(data)
            continue
        # The global table of the still becomes the local one of the frame.
        flags = data[10] & 7
        end = 13 + (6 << flags)
        control, descriptor, values = data[end : end + 8], data[end + 8 : end + 17], data[end + 17]
        parts += [control, descriptor, bytes([values | 0x80 | flags]), data[13:end]]
        parts.append(data[end + 18 :])
    return [*parts, b";"]


def png(frames: Sequence[Pixels], durations: Sequence[int], loop: int | None) -> bytes:
    """PNG, third edition, of frames (H, W, 3 or 4) and durations in milliseconds.

    A frame holds the box that changes; one that is equal to the frame before holds one pixel.
    """
    from imagecodecs import png_encode

    parts, number = [], 0
    for index, (frame, duration) in enumerate(zip(frames, durations, strict=True)):
        top, bottom, left, right = _changed(frames[index - 1], frame) if index else _whole(frame)
        data = bytes(png_encode(np.ascontiguousarray(frame[top:bottom, left:right])))
        if not index:
            plays = ONCE if loop is None else loop
            parts += [data[:33], chunk(b"acTL", struct.pack(">II", len(frames), plays))]
        control = struct.pack(
            ">5I2H2B", number, right - left, bottom - top, left, top, *_delay(duration), 0, 0
        )
        parts.append(chunk(b"fcTL", control))
        number += 1
        for content in (part for kind, part in chunks(BytesIO(data)) if kind == b"IDAT"):
            if index:
                parts.append(chunk(b"fdAT", struct.pack(">I", number) + content))
                number += 1
            else:
                parts.append(chunk(b"IDAT", content))
    return b"".join([*parts, chunk(b"IEND", b"")])


def webp(
    frames: Sequence[Pixels],
    durations: Sequence[int],
    loop: int | None,
    options: Mapping[str, Any],
) -> list[bytes]:
    """WebP (RFC 9649) of frames (H, W, 3 or 4) and durations in milliseconds.

    options: of Pillow's encoder, with the profile and the metadata. A frame holds the box that
    changes; one that is equal to the frame before repeats it.
    """
    encoding = dict(options)
    blocks = [encoding.pop(key, None) or b"" for key in ("icc_profile", "exif", "xmp")]
    parts, images = [], b""
    box = (0, 0, 0, 0)
    for index, (frame, duration) in enumerate(zip(frames, durations, strict=True)):
        if not index or not np.array_equal(frame, frames[index - 1]):
            box = _changed(frames[index - 1], frame) if index else _whole(frame)
            top, bottom, left, right = box = (box[0] & ~1, box[1], box[2] & ~1, box[3])
            data = _still(frame[top:bottom, left:right], "WEBP", encoding)
            images = b"".join(
                _riff(kind, content)
                for kind, content in _riff_chunks(data[12:])
                if kind in (b"ALPH", b"VP8 ", b"VP8L")
            )
        top, bottom, left, right = box
        sizes = (left // 2, top // 2, right - left - 1, bottom - top - 1, min(duration, 0xFFFFFF))
        replace_below = b"\x02"
        fields = b"".join(size.to_bytes(3, "little") for size in sizes)
        parts.append(_riff(b"ANMF", fields + replace_below + images))
    height, width, channels = frames[0].shape
    profile, exif, xmp = blocks
    exif = exif.removeprefix(b"Exif\0\0")
    flags = 0x02 | 0x20 * bool(profile) | 0x10 * (channels == 4) | 0x08 * bool(exif)
    flags |= 0x04 * bool(xmp)
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunks = [
        _riff(b"VP8X", struct.pack("<I", flags) + size),
        _riff(b"ICCP", profile) if profile else b"",
        _riff(b"ANIM", struct.pack("<IH", 0, ONCE if loop is None else min(loop, 0xFFFF))),
        *parts,
        _riff(b"EXIF", exif) if exif else b"",
        _riff(b"XMP ", xmp) if xmp else b"",
    ]
    return [b"RIFF" + struct.pack("<I", 4 + sum(map(len, chunks))) + b"WEBP", *chunks]


def _still(frame: Pixels, format: str, options: Mapping[str, Any]) -> bytes:
    stream = BytesIO()
    Image.fromarray(frame).save(stream, format, **options)
    return stream.getvalue()


def _whole(frame: Pixels) -> tuple[int, int, int, int]:
    return 0, frame.shape[0], 0, frame.shape[1]


def _changed(before: Pixels, frame: Pixels) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what changes, at least one pixel."""
    changes = (before != frame).any(2)
    rows, columns = (np.flatnonzero(changes.any(axis)) for axis in (1, 0))
    if not len(rows):
        return 0, 1, 0, 1
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _delay(duration: int) -> tuple[int, int]:
    """Milliseconds as a fraction of seconds, of 16 bits each."""
    if duration <= 0xFFFF:
        return duration, 1000
    return min(round(duration / 1000), 0xFFFF), 1


def _riff(kind: bytes, content: bytes) -> bytes:
    return kind + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _riff_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each chunk."""
    found, at = [], 0
    while at + 8 <= len(data):
        kind, length = struct.unpack_from("<4sI", data, at)
        found.append((kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return found

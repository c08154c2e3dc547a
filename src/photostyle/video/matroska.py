"""Raw frames with their times as a Matroska stream, the simplest that ffmpeg reads from a pipe.

Elements and their numbers: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

import struct
from fractions import Fraction

SCALE = 1000
"""Nanoseconds of a unit of time: fine enough for the clocks of all containers."""


def header(width: int, height: int, rate: Fraction | None) -> bytes:
    """What comes before the frames; rate: frames per second, nominally."""
    ebml = _element(
        0x1A45DFA3,
        _number(0x4286, 1) + _number(0x42F7, 1) + _number(0x42F2, 4) + _number(0x42F3, 8),
        _element(0x4282, b"matroska") + _number(0x4287, 4) + _number(0x4285, 2),
    )
    info = _element(0x1549A966, _number(0x2AD7B1, SCALE))
    # Pixels are 8-bit planes of G, B and R: FFmpeg's own code for its gbrp.
    video = _element(
        0xE0, _number(0xB0, width) + _number(0xBA, height) + _element(0x2EB524, b"G3\0\x08")
    )
    track = (
        _number(0xD7, 1)
        + _number(0x73C5, 1)
        + _number(0x83, 1)
        + _element(0x86, b"V_UNCOMPRESSED")
        + (_number(0x23E383, round(1_000_000_000 / rate)) if rate else b"")
        + video
    )
    # A segment of unknown size: it lasts as long as the stream.
    return ebml + b"\x18\x53\x80\x67\xff" + info + _element(0x1654AE6B, _element(0xAE, track))


def cluster(time: Fraction, duration: Fraction, size: int) -> bytes:
    """What comes before a frame of ``size`` bytes; times in seconds, 0 or more.

    Each frame is a cluster of its own, since times within a cluster have but 16 bits.
    """
    block = b"\x81" + struct.pack(">hB", 0, 0x80)
    after = _number(0x9B, max(1, round(duration * 1_000_000_000 / SCALE)))
    # The duration comes first, so that the frame's bytes can follow as they are.
    inner = after + b"\xa1" + _size(len(block) + size) + block
    group = b"\xa0" + _size(len(inner) + size) + inner
    stamp = _number(0xE7, round(time * 1_000_000_000 / SCALE))
    return b"\x1f\x43\xb6\x75" + _size(len(stamp) + len(group) + size) + stamp + group


def _element(identity: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + _size(len(body)) + body


def _number(identity: int, value: int) -> bytes:
    return _element(identity, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _size(length: int) -> bytes:
    return (length | 1 << 56).to_bytes(8, "big")

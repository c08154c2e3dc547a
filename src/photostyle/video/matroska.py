"""Writes raw frames with their times as a Matroska stream, which ffmpeg can read from a pipe.

Source of element IDs: RFC 8794 (EBML) and RFC 9559 (Matroska).
"""

from __future__ import annotations

import struct
from fractions import Fraction

from photostyle.video.mastering import HdrMetadata

TIMESTAMP_SCALE = 1000
"""Nanoseconds per tick: finer than the time base of any container that we write."""


def header(
    width: int, height: int, rate: Fraction | None, channels: int, depth: int, hdr: HdrMetadata
) -> bytes:
    """The bytes before the first frame of planes of G, B, R and perhaps alpha of 8 or 16 bits.

    rate: nominal frames per second.
    """
    ebml = _element(
        0x1A45DFA3,
        _number(0x4286, 1) + _number(0x42F7, 1) + _number(0x42F2, 4) + _number(0x42F3, 8),
        _element(0x4282, b"matroska") + _number(0x4287, 4) + _number(0x4285, 2),
    )
    info = _element(0x1549A966, _number(0x2AD7B1, TIMESTAMP_SCALE))
    # ffmpeg's codes for gbrp, gbrp16le, gbrap and gbrap16le
    planes = b"G" + str(channels).encode() + bytes([0, depth])
    size = _number(0xB0, width) + _number(0xBA, height)
    video = _element(0xE0, size, _element(0x2EB524, planes), _color(hdr))
    track = (
        _number(0xD7, 1)
        + _number(0x73C5, 1)
        + _number(0x83, 1)
        + _element(0x86, b"V_UNCOMPRESSED")
        + (_number(0x23E383, round(1_000_000_000 / rate)) if rate else b"")
        + video
    )
    # A segment of unknown size lasts until the end of the stream.
    return ebml + b"\x18\x53\x80\x67\xff" + info + _element(0x1654AE6B, _element(0xAE, track))


def cluster(time: Fraction, duration: Fraction, size: int) -> bytes:
    """The bytes before a frame of ``size`` bytes; times in seconds, at least 0.

    Each frame has its own cluster, because times within a cluster have only 16 bits.
    """
    block = b"\x81" + struct.pack(">hB", 0, 0x80)
    # The duration comes first, so that nothing follows the frame's bytes.
    inner = _number(0x9B, max(1, _ticks(duration)))
    inner += b"\xa1" + _size(len(block) + size) + block
    group = b"\xa0" + _size(len(inner) + size) + inner
    timestamp = _number(0xE7, _ticks(time))
    return b"\x1f\x43\xb6\x75" + _size(len(timestamp) + len(group) + size) + timestamp + group


def _color(hdr: HdrMetadata) -> bytes:
    """The element Colour, by which ffmpeg passes on to the encoder what is said of the light."""
    light = zip((0x55BC, 0x55BD), hdr.light or (), strict=False)
    display = [
        *zip(range(0x55D1, 0x55D9), hdr.primaries or (), strict=False),
        *zip((0x55DA, 0x55D9), hdr.luminance or (), strict=False),
    ]
    mastering = [_element(identity, struct.pack(">d", value)) for identity, value in display]
    return _element(
        0x55B0,
        *(_number(identity, value) for identity, value in light),
        *([_element(0x55D0, *mastering)] if mastering else []),
    )


def _ticks(seconds: Fraction) -> int:
    return round(seconds * 1_000_000_000 / TIMESTAMP_SCALE)


def _element(identity: int, *content: bytes) -> bytes:
    body = b"".join(content)
    return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + _size(len(body)) + body


def _number(identity: int, value: int) -> bytes:
    return _element(identity, value.to_bytes(max(1, (value.bit_length() + 7) // 8), "big"))


def _size(length: int) -> bytes:
    return (length | 1 << 56).to_bytes(8, "big")

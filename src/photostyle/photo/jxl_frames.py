"""How long each frame of an animated JPEG XL file is shown, which decoders for Python do not tell.

Source: ISO/IEC 18181-1, FrameHeader and what it contains, and TOC.
"""

from __future__ import annotations

from typing import BinaryIO

from photostyle.photo import isobmff, jxl
from photostyle.photo.jxl import Bits, Header

_GRAY, _XYB = 1, 2  # colour spaces
_CUSTOM = 2  # white or primaries
_REGULAR, _LF, _REFERENCE, _SKIP_PROGRESSIVE = range(4)  # types of frames
_USES_LF_FRAME = 0x20  # flag
_REPLACE, _BLEND, _WEIGHTED_ADD, _MULTIPLY = 0, 2, 3, 4  # modes of blending
_MAX_FRAMES = 100_000
_MAX_PARTS = 1 << 20
_SIDE = (8, 0), (11, 256), (14, 2304), (30, 18688)
_POWER = (0, 1), (0, 2), (0, 4), (0, 8)
_LENGTH = (10, 0), (14, 1024), (22, 17408), (30, 4211712)


def durations(stream: BinaryIO) -> list[float]:
    """Milliseconds for each frame that is shown: layers without a duration belong to the next.

    Raises ValueError if it cannot be found out: for a codestream with an ICC profile, parts in
    another order, or of an unknown structure.
    """
    codestream = memoryview(_codestream(stream))
    bits = Bits(codestream)
    header = jxl.header_of(bits)
    extra, xyb = jxl.skip_extra_channels(bits), bool(bits.take(1))
    _skip_color(bits)
    if header.extended and not bits.take(1):
        bits.take(16 + 16 + 1 + 16)  # tone mapping
    bits.skip_extensions()
    if not bits.take(1):
        raise ValueError("a JPEG XL file with transforms of its own")
    bits.to_byte()
    at, found = bits.at // 8, list[float]()
    for _ in range(_MAX_FRAMES):
        if at >= len(codestream):
            raise ValueError("a JPEG XL file that is cut off")
        frame = _Frame(Bits(codestream[at:]), header, extra, xyb)
        if frame.is_shown and (frame.ticks or frame.is_last):
            found.append(frame.ticks * header.tick)
        if frame.is_last:
            return found
        at += frame.length
    raise ValueError("a JPEG XL file with too many frames")


def _codestream(stream: BinaryIO) -> bytes:
    stream.seek(0)
    data = stream.read()
    if data.startswith(jxl.MAGIC[0]):
        return data
    parts = [
        content[4 * (kind == b"jxlp") :]
        for kind, content in isobmff.boxes(data)
        if kind in (b"jxlc", b"jxlp")
    ]
    return b"".join(parts)


def _skip_color(bits: Bits) -> None:
    if bits.take(1):  # sRGB
        return
    if bits.take(1):
        raise ValueError("a JPEG XL animation with an ICC profile")
    space = bits.enum()
    point = (19, 0), (19, 524288), (20, 1048576), (21, 2097152)
    if space != _XYB and bits.enum() == _CUSTOM:
        for _ in range(2):
            bits.number(*point)
    if space not in (_GRAY, _XYB) and bits.enum() == _CUSTOM:
        for _ in range(6):
            bits.number(*point)
    if space != _XYB:
        if bits.take(1):
            bits.take(24)  # gamma
        else:
            bits.enum()  # transfer function
    bits.enum()  # rendering intent


class _Frame:
    """A frame: its ticks, its length in bytes, whether it is shown, and whether it is the last."""

    def __init__(self, bits: Bits, header: Header, extra: int, xyb: bool):
        self.ticks, self.is_last, self.is_shown = 0, True, True
        modular, kind, passes, shift, factor, level = False, _REGULAR, 1, 1, 1, 0
        width, height = header.width, header.height
        if not bits.take(1):  # all default
            kind, modular, flags = bits.take(2), bool(bits.take(1)), bits.long()
            ycc = not xyb and bool(bits.take(1))
            if ycc and not flags & _USES_LF_FRAME:
                bits.take(6)  # subsampling
            if not flags & _USES_LF_FRAME:
                factor = bits.number(*_POWER)
                for _ in range(extra):
                    bits.number(*_POWER)
            if modular:
                shift = bits.take(2)
            elif xyb:
                bits.take(6)  # scales of quantization
            if kind != _REFERENCE:
                passes = _passes(bits)
            if kind == _LF:
                level = bits.number((0, 1), (0, 2), (0, 3), (0, 4))
            self.is_shown = kind in (_REGULAR, _SKIP_PROGRESSIVE)
            partial = False
            if kind != _LF and bits.take(1):
                corner = [bits.number(*_SIDE), bits.number(*_SIDE)] if self.is_shown else [0, 0]
                size = width, height
                width, height = bits.number(*_SIDE), bits.number(*_SIDE)
                left, top = ((n >> 1) ^ -(n & 1) for n in corner)  # signed
                covers = left <= 0 <= left + width - size[0] and top <= 0 <= top + height - size[1]
                partial = self.is_shown and not covers
            replaces = True
            if self.is_shown:
                modes = [_blending(bits, extra, partial) for _ in range(1 + extra)]
                replaces = modes[0] == _REPLACE
                if header.animated:
                    self.ticks = bits.number((0, 0), (0, 1), (8, 0), (32, 0))
                    bits.take(32 * header.has_timecodes)
            self.is_last = self.is_shown and bool(bits.take(1))
            reference = bits.take(2) if kind != _LF and not self.is_last else 0
            referable = not self.is_last and kind != _LF and (not self.ticks or reference)
            resets = self.is_shown and replaces and not partial
            if kind == _REFERENCE or (referable and resets):
                bits.take(1)  # whether it is stored before the conversion of colours
            bits.skip_name()
            _skip_filters(bits, modular)
            bits.skip_extensions()
        for _ in range(level):
            factor *= 8
        width, height = -(-width // factor), -(-height // factor)
        side = 128 << shift
        groups = -(-width // side) * -(-height // side)
        lf_groups = -(-width // (8 * side)) * -(-height // (8 * side))
        parts = 1 if groups == passes == 1 else 2 + lf_groups + groups * passes
        if bits.take(1) or parts > _MAX_PARTS:
            raise ValueError("a JPEG XL file with parts in another order, or too many")
        bits.to_byte()
        lengths = [bits.number(*_LENGTH) for _ in range(parts)]
        bits.to_byte()
        self.length = bits.at // 8 + sum(lengths)


def _passes(bits: Bits) -> int:
    count = bits.number((0, 1), (0, 2), (0, 3), (3, 4))
    if count > 1:
        smaller = bits.number((0, 0), (0, 1), (0, 2), (1, 3))
        bits.take(2 * (count - 1))
        for _ in range(smaller):
            bits.number(*_POWER)
        for _ in range(smaller):
            bits.number((0, 0), (0, 1), (0, 2), (3, 0))
    return count


def _blending(bits: Bits, extra: int, partial: bool) -> int:
    mode = bits.number((0, 0), (0, 1), (0, 2), (2, 3))
    with_alpha = extra > 0 and mode in (_BLEND, _WEIGHTED_ADD)
    if with_alpha:
        bits.number((0, 0), (0, 1), (0, 2), (3, 3))
    if with_alpha or mode == _MULTIPLY:
        bits.take(1)  # whether it is clamped
    if mode != _REPLACE or partial:
        bits.take(2)  # what is below
    return mode


def _skip_filters(bits: Bits, modular: bool) -> None:
    if bits.take(1):  # all default
        return
    if bits.take(1) and bits.take(1):  # smoothing, with weights of its own
        bits.take(6 * 16)
    if bits.take(2):  # filters that keep edges
        if not modular and bits.take(1):
            bits.take(8 * 16)
        if bits.take(1):
            bits.take(5 * 16)
        if bits.take(1):
            bits.take((3 if modular else 4) * 16)
        if modular:
            bits.take(16)
    bits.skip_extensions()

"""JPEG XL: the header, which tells the size before a pixel is decoded, frames, more than 8 bits."""

from __future__ import annotations

from io import BytesIO
from typing import Any, BinaryIO, NamedTuple

import numpy.typing as npt

from photostyle.photo import isobmff, raster
from photostyle.photo.raster import Raster

MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""First bytes of a bare codestream and of a container of boxes."""

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDES = (9, 13, 18, 30)  # bits
_MAX_HEADER = 64  # bytes, more than the fields need that are read here
_LINEAR, _SRGB = 8, 13  # transfer functions


class Header(NamedTuple):
    """The beginning of a codestream.

    width and height  as stored
    orientation       as in EXIF, 1 to 8
    animated          whether it is an animation
    bits              per channel; None for floats
    loops             number of times to play an animation, 0 is forever
    tick              the unit of its durations, in milliseconds
    has_timecodes     whether its frames have them
    extended          whether there are unusual fields at the end of the header
    """

    width: int
    height: int
    orientation: int = 1
    animated: bool = False
    bits: int | None = 8
    loops: int = 0
    tick: float = 0
    has_timecodes: bool = False
    extended: bool = False

    @property
    def is_deep(self) -> bool:
        """Whether the values have more than 8 bits."""
        return self.bits is None or self.bits > 8


def read_header(stream: BinaryIO) -> Header:
    """Source: ISO/IEC 18181-1, SizeHeader, ImageMetadata, AnimationHeader and BitDepth; 18181-2,
    boxes.

    Raises ValueError if the file has no codestream.
    """
    return header_of(Bits(_start_of_codestream(stream)))


def with_srgb_curve(file: bytes) -> bytes:
    """A container with RGB by imagecodecs, which says of 16 bits that they are linear light.

    If it is lossless that is all that changes. If not, a decoder gives out other values, which
    show the same colours. Raises ValueError for a file of another structure.

    Source: ISO/IEC 18181-1, ImageMetadata, ExtraChannelInfo and ColourEncoding.
    """
    start = _start_of_codestream(BytesIO(file))
    bits = Bits(start)
    header_of(bits)
    skip_extra_channels(bits)
    bits.take(1)  # whether colours are XYB
    # Neither sRGB nor a profile; RGB, D65, primaries of sRGB; no gamma.
    usual = [bits.take(1), bits.take(1), bits.enum(), bits.enum(), bits.enum(), bits.take(1)]
    curve_at = bits.at
    if usual != [0, 0, 0, 1, 1, 0] or bits.enum() != _LINEAR:
        raise ValueError("a JPEG XL file of an unknown structure")
    difference = (_LINEAR - 2 ^ _SRGB - 2) << curve_at + 2
    changed = int.from_bytes(start, "little") ^ difference
    return file.replace(start, changed.to_bytes(len(start), "little"), 1)


def header_of(bits: Bits) -> Header:
    """The header at the start of a codestream, up to the bit depth."""
    bits.take(16)  # the signature

    def size() -> tuple[int, int]:
        small = bits.take(1)

        def side() -> int:
            return (bits.take(5) + 1) * 8 if small else bits.take(_SIDES[bits.take(2)]) + 1

        height = side()
        if ratio := bits.take(3):
            numerator, denominator = _RATIOS[ratio - 1]
            return height * numerator // denominator, height
        return side(), height

    def skip_preview_size() -> None:
        eighths = bits.take(1)

        def skip_side() -> None:
            bits.take(((0, 0, 5, 9) if eighths else (6, 8, 10, 12))[bits.take(2)])

        skip_side()
        if not bits.take(3):
            skip_side()

    width, height = size()
    if bits.take(1):  # all default
        return Header(width, height)
    header = Header(width, height)
    if bits.take(1):  # extra fields
        header = header._replace(orientation=1 + bits.take(3), extended=True)
        if bits.take(1):
            size()  # intrinsic
        if bits.take(1):
            skip_preview_size()
        if bits.take(1):
            ticks_per = bits.number((0, 100), (0, 1000), (10, 1), (30, 1))
            seconds = bits.number((0, 1), (0, 1001), (8, 1), (10, 1))
            header = header._replace(
                animated=True,
                tick=1000 * seconds / ticks_per,
                loops=bits.number((0, 0), (3, 0), (16, 0), (32, 0)),
                has_timecodes=bool(bits.take(1)),
            )
    return header._replace(bits=_bit_depth(bits))


def skip_extra_channels(bits: Bits) -> int:
    """Go from the bit depth of the header to whether colours are XYB; the number of channels."""
    bits.take(1)  # whether the decoder needs no more than 16 bits
    count = bits.number((0, 0), (0, 1), (4, 2), (12, 1))
    for _ in range(count):
        if bits.take(1):  # alpha of 8 bits
            continue
        if bits.enum() not in (0, 1, 3, 4, 6):  # alpha, depth, selection, black, thermal
            raise ValueError("a JPEG XL file with unusual channels")
        _bit_depth(bits)
        bits.number((0, 0), (0, 3), (0, 4), (3, 1))  # how much smaller
        bits.skip_name()
        bits.take(1)  # of alpha: whether colours are multiplied with it
    return count


def _bit_depth(bits: Bits) -> int | None:
    if bits.take(1):
        bits.number((0, 32), (0, 16), (0, 24), (6, 1))
        bits.take(4)  # of them in the exponent
        return None
    return bits.number((0, 8), (0, 10), (0, 12), (6, 1))


class Bits:
    """The fields of a codestream, from the lowest bit of each byte; zeros follow its end."""

    def __init__(self, data: bytes | memoryview):
        self.data, self.at = data, 0

    def take(self, count: int) -> int:
        """The number in the next bits."""
        start, self.at = self.at, self.at + count
        value = int.from_bytes(self.data[start // 8 : (self.at + 7) // 8], "little")
        return value >> start % 8 & (1 << count) - 1

    def number(self, *forms: tuple[int, int]) -> int:
        """U32 of the standard: the width and offset that the next two bits choose."""
        width, offset = forms[self.take(2)]
        return self.take(width) + offset

    def enum(self) -> int:
        """Enum of the standard."""
        return self.number((0, 0), (0, 1), (4, 2), (6, 18))

    def long(self) -> int:
        """U64 of the standard."""
        form = self.take(2)
        if form < 3:
            width, offset = ((0, 0), (4, 1), (8, 17))[form]
            return self.take(width) + offset
        value, shift = self.take(12), 12
        while self.take(1):
            value |= self.take(4 if shift == 60 else 8) << shift
            if shift == 60:
                break
            shift += 8
        return value

    def skip_name(self) -> None:
        """Skip a name of UTF-8."""
        self.take(8 * self.number((0, 0), (4, 0), (5, 16), (10, 48)))

    def skip_extensions(self) -> None:
        """Skip what newer versions of the standard may add."""
        used = self.long().bit_count()
        self.take(sum([self.long() for _ in range(used)]))

    def to_byte(self) -> None:
        """Go to the next byte."""
        self.at += -self.at % 8


def read_first_frame(stream: BinaryIO, header: Header) -> Raster:
    """The first frame with all its bits, without its profile.

    Pillow's plugin gives 8 bits, and of an animation the last frame.
    """
    from imagecodecs import jpegxl_decode

    stream.seek(0)
    values = jpegxl_decode(stream.read(), index=0 if header.animated else None)
    return _with_all_bits(values, header)


def read_frames(stream: BinaryIO, header: Header) -> list[Raster]:
    """All frames of an animation with all their bits, without their profile."""
    from imagecodecs import jpegxl_decode

    stream.seek(0)
    return [_with_all_bits(values, header) for values in jpegxl_decode(stream.read())]


def _with_all_bits(values: npt.NDArray[Any], header: Header) -> Raster:
    alpha = values.ndim == 3 and values.shape[-1] in (2, 4)
    if header.is_deep:
        values = raster.to_uint16(values, header.bits or 0, alpha=alpha)
    return raster.from_array(values, None)


def _start_of_codestream(stream: BinaryIO) -> bytes:
    """The first bytes of the codestream, which may be scattered over several boxes."""
    stream.seek(0)
    start = stream.read(_MAX_HEADER)
    if start.startswith(MAGIC[0]):
        return start
    start = b""
    for kind, _, length in isobmff.outer_boxes(stream):
        if kind == b"jxlp":
            stream.seek(4, 1)  # its number
            length -= 4
        if kind in (b"jxlc", b"jxlp"):
            start += stream.read(_MAX_HEADER if length < 0 else min(length, _MAX_HEADER))
            if kind == b"jxlc" or len(start) >= _MAX_HEADER:
                break
    if not start:
        raise ValueError("a JPEG XL file without a codestream")
    return start

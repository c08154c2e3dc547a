"""JPEG XL: the header, which tells the size before a pixel is decoded, and more than 8 bits."""

from __future__ import annotations

from typing import BinaryIO, NamedTuple

from photostyle.photo import isobmff, raster
from photostyle.photo.raster import Raster

MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""First bytes of a bare codestream and of a container of boxes."""

_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_SIDES = (9, 13, 18, 30)  # bits
_MAX_HEADER = 64  # bytes, more than the fields need that are read here


class Header(NamedTuple):
    """Width and height as stored, orientation as in EXIF (1 to 8), whether it is animated, and bits
    per channel; None for floats.
    """

    width: int
    height: int
    orientation: int = 1
    animated: bool = False
    bits: int | None = 8

    @property
    def is_deep(self) -> bool:
        """Whether the values have more than 8 bits."""
        return self.bits is None or self.bits > 8


def read_header(stream: BinaryIO) -> Header:
    """Source: ISO/IEC 18181-1, SizeHeader, ImageMetadata, AnimationHeader and BitDepth; 18181-2,
    boxes.

    Raises ValueError if the file has no codestream.
    """
    bits = int.from_bytes(_codestream(stream)[2:], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    def size() -> tuple[int, int]:
        small = take(1)

        def side() -> int:
            return (take(5) + 1) * 8 if small else take(_SIDES[take(2)]) + 1

        height = side()
        if ratio := take(3):
            numerator, denominator = _RATIOS[ratio - 1]
            return height * numerator // denominator, height
        return side(), height

    def skip_preview_size() -> None:
        eighths = take(1)

        def skip_side() -> None:
            take(((0, 0, 5, 9) if eighths else (6, 8, 10, 12))[take(2)])

        skip_side()
        if not take(3):
            skip_side()

    def skip_animation() -> None:
        take((0, 0, 10, 30)[take(2)])  # ticks per second: numerator
        take((0, 0, 8, 10)[take(2)])  # and denominator
        take((0, 3, 16, 32)[take(2)])  # loops
        take(1)  # whether frames have time codes

    def bit_depth() -> int | None:
        if take(1):
            return None
        form = take(2)
        return (8, 10, 12)[form] if form < 3 else 1 + take(6)

    width, height = size()
    if take(1):  # all default
        return Header(width, height)
    orientation, animated = 1, False
    if take(1):  # extra fields
        orientation = 1 + take(3)
        if take(1):
            size()  # intrinsic
        if take(1):
            skip_preview_size()
        animated = bool(take(1))
        if animated:
            skip_animation()
    return Header(width, height, orientation, animated, bit_depth())


def read_first_frame(stream: BinaryIO, header: Header) -> Raster:
    """The first frame with all its bits, without its profile.

    Pillow's plugin gives 8 bits, and of an animation the last frame.
    """
    from imagecodecs import jpegxl_decode

    stream.seek(0)
    values = jpegxl_decode(stream.read(), index=0 if header.animated else None)
    alpha = values.ndim == 3 and values.shape[-1] in (2, 4)
    if header.is_deep:
        values = raster.to_uint16(values, header.bits or 0, alpha=alpha)
    return raster.from_array(values, None)


def _codestream(stream: BinaryIO) -> bytes:
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

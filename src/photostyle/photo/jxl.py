"""The header of JPEG XL files, which tells their size before a pixel is decoded."""

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
    """Width and height as stored, orientation as in EXIF (1 to 8), and whether it is animated."""

    width: int
    height: int
    orientation: int
    animated: bool


def read_header(stream: BinaryIO) -> Header:
    """Source: ISO/IEC 18181-1, SizeHeader and ImageMetadata; 18181-2, boxes.

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

    width, height = size()
    all_default = take(1)
    if all_default or not take(1):  # no extra fields
        return Header(width, height, 1, False)
    orientation = 1 + take(3)
    if take(1):
        size()  # intrinsic
    if take(1):
        skip_preview_size()
    return Header(width, height, orientation, bool(take(1)))


def read_first_frame(stream: BinaryIO, profile: bytes | None) -> Raster:
    """The first frame of an animation, of which Pillow's plugin gives the last."""
    from imagecodecs import jpegxl_decode

    stream.seek(0)
    return raster.from_array(jpegxl_decode(stream.read(), index=0), profile)


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

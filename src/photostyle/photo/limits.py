"""How large a photo may be, checked before memory is asked for."""

from __future__ import annotations

from typing import BinaryIO

from PIL import Image

# Pillow's own limit of 179 megapixels is below what stitched photos have.
MAX_PIXELS = 500_000_000
"""The most pixels that a photo may have, all frames of an animation together."""
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

MAX_BYTES = 1 << 32
"""The most bytes that a file may have, or what comes through a pipe."""

JXL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""How JPEG XL files begin: as a codestream or as boxes."""

_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JXL_SIDES = (9, 13, 18, 30)  # bits


def check_size(width: int, height: int, frames: int = 1) -> None:
    """Raises Pillow's DecompressionBombError for more than MAX_PIXELS, ValueError for none."""
    if width * height > MAX_PIXELS:
        raise Image.DecompressionBombError
    if width * height * frames > MAX_PIXELS:
        raise Image.DecompressionBombError("With --still the first frame is taken.")
    if not width * height:
        raise ValueError("a photo without pixels")


def check_jxl(stream: BinaryIO) -> None:
    """`check_size` for JPEG XL, whose plugin decodes all pixels before it tells their number.

    ISO/IEC 18181-1, SizeHeader; 18181-2, boxes.
    """
    stream.seek(0)
    start = stream.read(12)
    if start == JXL_MAGIC[1]:
        while True:
            length, kind = int.from_bytes(stream.read(4), "big"), stream.read(4)
            header = 8
            if length == 1:
                length, header = int.from_bytes(stream.read(8), "big"), 16
            if kind in (b"jxlc", b"jxlp"):
                stream.seek(4 if kind == b"jxlp" else 0, 1)
                start = stream.read(12)
                break
            if length < header:
                raise ValueError("a JPEG XL file without a photo")
            stream.seek(length - header, 1)
    bits = int.from_bytes(start[2:], "little")

    def take(count: int) -> int:
        nonlocal bits
        value = bits & ((1 << count) - 1)
        bits >>= count
        return value

    small = take(1)

    def side() -> int:
        return (take(5) + 1) * 8 if small else take(_JXL_SIDES[take(2)]) + 1

    height = side()
    ratio = take(3)
    if ratio:
        numerator, denominator = _JXL_RATIOS[ratio - 1]
        width = height * numerator // denominator
    else:
        width = side()
    check_size(width, height)

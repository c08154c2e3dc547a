"""How large a photo may be, checked before a decoder allocates memory for the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import BinaryIO

from PIL import Image

# Pillow's own limit of 179 megapixels is too low for stitched panoramas.
MAX_PIXELS = 500_000_000
"""The most pixels that a photo may have; for an animation, all frames together."""

MAX_BYTES = 1 << 32
"""The largest file or stream that is read."""

JXL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""How JPEG XL files begin: as a codestream or as boxes."""

_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JXL_SIDES = (9, 13, 18, 30)  # bits


class TooLargeError(Exception):
    """A photo or file exceeds a limit, which the message names."""


def check_size(width: int, height: int, frames: int = 1) -> None:
    """Raise TooLargeError above MAX_PIXELS, ValueError if there are no pixels."""
    limit = f"the limit is {MAX_PIXELS // 1_000_000} megapixels."
    if width * height > MAX_PIXELS:
        raise TooLargeError(limit)
    if width * height * frames > MAX_PIXELS:
        raise TooLargeError(f"{limit} With --still only its first frame is read.")
    if not width * height:
        raise ValueError("a photo without pixels")


def check_jxl(stream: BinaryIO) -> None:
    """`check_size` for JPEG XL, whose plugin decodes all pixels before it tells the size.

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
                raise ValueError("a JPEG XL file without a codestream")
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


_reading: ContextVar[bool] = ContextVar("photostyle_reading", default=False)
_check_of_pillow = Image._decompression_bomb_check


@contextmanager
def replacing_pillow_limit() -> Iterator[None]:
    """In this thread, and in the block only, Pillow refuses images above MAX_PIXELS.

    `Image.MAX_IMAGE_PIXELS`, which holds for the whole process, stays as the host program set it.
    """
    token = _reading.set(True)
    try:
        yield
    finally:
        _reading.reset(token)


def _check_size_for_pillow(size: tuple[int, int], *, error_only: bool = False) -> None:
    if not _reading.get():
        _check_of_pillow(size, error_only=error_only)
    else:
        check_size(*(max(1, side) for side in size))


# Pillow calls this for every image, before it allocates memory, and has no other switch than the
# global limit.
Image._decompression_bomb_check = _check_size_for_pillow

"""The maximum size of a photo, checked before a decoder allocates memory for the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import BinaryIO

from PIL import Image

# Pillow's own limit of 179 megapixels is too low for stitched panoramas.
MAX_PIXELS = 500_000_000
"""Maximum number of pixels of a photo; for an animation, of all frames together."""

MAX_BYTES = 1 << 32
"""Maximum size of a file or stream, in bytes."""

JXL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
"""First bytes of JPEG XL files: of a bare codestream and of a container of boxes."""

_JXL_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_JXL_SIDES = (9, 13, 18, 30)  # bits


class TooLargeError(Exception):
    """A photo or file exceeds the limit in the message."""


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
    """`check_size` for JPEG XL, whose plugin reports the size only after it has decoded all pixels.

    Source: ISO/IEC 18181-1, SizeHeader; 18181-2, boxes.
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
    """Make Pillow refuse images above MAX_PIXELS, in this thread and only within the block.

    `Image.MAX_IMAGE_PIXELS`, which applies to the whole process, stays as the host program set it.
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


# Pillow calls this for every image before it allocates memory; its only setting is a global limit.
Image._decompression_bomb_check = _check_size_for_pillow

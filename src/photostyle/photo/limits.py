"""The maximum size of a photo, checked before a decoder allocates memory for the pixels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from PIL import Image

# Pillow's own limit of 179 megapixels is too low for stitched panoramas.
MAX_PIXELS = 500_000_000
"""Maximum number of pixels of a photo; for an animation, of all frames together."""

MAX_BYTES = 1 << 32
"""Maximum size of a file or stream, in bytes."""


class TooLargeError(Exception):
    """A photo or file exceeds the limit in the message."""


_most: ContextVar[int | None] = ContextVar("photostyle_most", default=None)


@contextmanager
def at_most(pixels: int) -> Iterator[None]:
    """Refuse photos of more pixels than that, in this thread and only within the block."""
    token = _most.set(pixels)
    try:
        yield
    finally:
        _most.reset(token)


def check_size(width: int, height: int, frames: int = 1) -> None:
    """Raise TooLargeError above the limit of pixels, ValueError if there are no pixels."""
    most = min(_most.get() or MAX_PIXELS, MAX_PIXELS)
    limit = f"the limit is {most // 1_000_000} megapixels."
    if width * height > most:
        raise TooLargeError(limit)
    if width * height * frames > most:
        raise TooLargeError(f"{limit} With --still only its first frame is read.")
    if not width * height:
        raise ValueError("a photo without pixels")


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


def _check_size_for_pillow(size: tuple[int, int], **options: bool) -> None:
    if not _reading.get():
        _check_of_pillow(size, **options)  # which Pillow has from version 13 on
    else:
        check_size(*(max(1, side) for side in size))


# Pillow calls this for every image before it allocates memory; its only setting is a global limit.
Image._decompression_bomb_check = _check_size_for_pillow

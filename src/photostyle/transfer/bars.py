"""The picture within black bars: above and below it, or at its sides (letterbox, pillarbox)."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from photostyle.transfer.canvas import Canvas
from photostyle.transfer.regions import Box

BLACK = 0.1
"""The brightest bar, in 0..1: video whose black is 16 of 255, and a little noise."""

EVEN = 0.02
"""How far a reduced bar differs from its corner, at most, in 0..1; at full size twice that."""

EDGE = 0.2
"""Fraction of the pixels beside a bar, at least, that are not black, too: bars end straight."""

LEAST, MOST = 0.01, 0.45
"""Size of a bar as a fraction of a side, at least and at most."""


class Bars(NamedTuple):
    """Black bars at opposite sides of a photo, as fractions of its height and width.

    They contain every pixel of the copy they were found in that is not all picture.
    """

    top: float = 0.0
    bottom: float = 0.0
    left: float = 0.0
    right: float = 0.0

    def picture(self, height: int, width: int, multiple: int = 1) -> Box:
        """What lies surely within the bars of a copy of height x width.

        multiple: the box starts and ends at a multiple of it, unless it does so at an edge.
        """
        top, bottom = (math.ceil(bar * height - 1e-6) for bar in (self.top, self.bottom))
        left, right = (math.ceil(bar * width - 1e-6) for bar in (self.left, self.right))
        return Box(
            -(-top // multiple) * multiple,
            (height - bottom) // multiple * multiple if bottom else height,
            -(-left // multiple) * multiple,
            (width - right) // multiple * multiple if right else width,
        )

    def crop(self, copy: Tensor) -> Tensor:
        """The picture of a copy of any size, (..., H, W)."""
        return self.picture(copy.shape[-2], copy.shape[-1]).of(copy)

    def exact_picture(self, canvas: Canvas, ratio: int) -> Box:
        """The picture of a photo to the pixel, as far as that differs from black.

        ratio: how many of its pixels one of the copy covers in which the bars were found.
        """
        box = self.picture(canvas.height, canvas.width)
        level = canvas.rows(0, 1)[:, :1, :1]

        def bar(top: int, bottom: int, left: int, right: int) -> Tensor:
            """Which pixels of a part of the photo are black."""
            part = canvas.rows(top, bottom, left, right)
            return (part - level).abs().amax(0) <= 2 * EVEN

        # An edge lies within the last two pixels of the copy's bar.
        reach = 2 * ratio + 1
        top, bottom, left, right = box
        if self.top:
            start = max(0, top - reach)
            top = start + _leading(bar(start, top, 0, canvas.width))
        if self.bottom:
            end = min(canvas.height, bottom + reach)
            bottom = end - _leading(bar(bottom, end, 0, canvas.width).flip(0))
        if self.left:
            start = max(0, left - reach)
            left = start + _leading(bar(top, bottom, start, left).mT)
        if self.right:
            end = min(canvas.width, right + reach)
            right = end - _leading(bar(top, bottom, right, end).mT.flip(0))
        return Box(top, bottom, left, right)


def find_bars(photo: Tensor) -> Bars:
    """The bars of a photo, RGB (1, 3, H, W), 0..1; of frames, those of their brightest values.

    Bars come in pairs of one size, are black and even, and end straight.
    """
    pixels = photo[0]
    level = pixels[:, :1, :1]
    if level.max() > BLACK:
        return Bars()
    black = (pixels - level).abs().amax(0) <= EVEN
    height, width = black.shape
    top, bottom = _pair(black)
    left, right = _pair(black[top : height - bottom].mT)
    return Bars(top / height, bottom / height, left / width, right / width)


def box_mask(box: Box, height: int, width: int) -> npt.NDArray[np.uint8]:
    """255 inside of a box, 0 outside: (height, width)."""
    mask = np.zeros((height, width), np.uint8)
    mask[box.top : box.bottom, box.left : box.right] = 255
    return mask


def both_masks(
    picture: npt.NDArray[np.uint8] | None, only: npt.NDArray[Any] | None
) -> npt.NDArray[Any] | None:
    """``only``, and 0 outside of a picture (H, W), 0 or 255; None for all of a photo."""
    if picture is None or only is None:
        return picture if only is None else only
    return np.where(picture, only, np.zeros_like(only))


def _pair(black: Tensor) -> tuple[int, int]:
    """Rows of (H, W) in the bars at the first and the last edge; 0 if these are no bars."""
    height = len(black)
    first, last = _leading(black), _leading(black.flip(0))
    if abs(first - last) > 2 or not max(1, LEAST * height) <= min(first, last) <= MOST * height:
        return 0, 0
    # The row that an edge falls on can be nearly black: it counts as bar.
    beside = black[[first + 1, height - last - 2]].float().mean(1)
    return (first + 1, last + 1) if bool((beside <= 1 - EDGE).all()) else (0, 0)


def _leading(black: Tensor) -> int:
    """Number of rows of (H, W), from the first on, of which every pixel is black."""
    return int(black.all(1).int().cumprod(0).sum())

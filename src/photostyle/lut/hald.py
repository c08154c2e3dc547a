"""Hald CLUTs: LUTs as images, in which every pixel is a point of the grid.

A Hald CLUT of level L is a square of L^3 pixels a side with a grid of L^2 points per axis; red
changes fastest, then green, then blue (Eskil Steenberg, http://www.quelsolaar.com/technology/clut.html).
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from photostyle import photo
from photostyle.errors import PhotostyleError
from photostyle.lut.lut import Lut, grid

MAX_LEVEL = 16
"""Level of a grid of 256 points per axis, in an image of 4096 x 4096 pixels."""


def read(path: Path) -> Lut:
    """Read a Hald CLUT from a photo file of any format.

    Raises PhotostyleError if it cannot be read or has no size of a Hald CLUT.
    """
    image = photo.read(path, still=True, color_managed=False)
    width, height = image.size
    level = round(width ** (1 / 3))
    if not (2 <= level <= MAX_LEVEL and width == height == level**3):
        raise PhotostyleError(
            f"{str(path)!r} is no Hald CLUT: {width} x {height} pixels are not the square of a "
            f"level from 2 to {MAX_LEVEL}, such as 512 x 512."
        )
    size = level**2
    values = image.pixels / np.iinfo(image.pixels.dtype).max
    table = values.reshape(size, size, size, 3).transpose(2, 1, 0, 3)
    return Lut(table, np.zeros(3), np.ones(3))


def write(lut: Lut, path: Path, *, overwrite: bool = False) -> None:
    """Write a LUT as a Hald CLUT with 16 bits per channel, clamped to 0..1.

    Its level is the smallest whose grid has as many points per axis as the LUT.

    Raises PhotostyleError if the file cannot be written.
    """
    photo.check_depth(photo.format_of(path), "16")
    level = max(2, math.isqrt(len(lut.table) - 1) + 1)
    values = lut.map(grid(level**2)).transpose(2, 1, 0, 3).reshape(level**3, level**3, 3)
    pixels = (values * 65535).round().astype(np.uint16)
    photo.write(photo.Photo(pixels), path, overwrite=overwrite)

"""3D lookup tables (LUTs) in `.cube` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photostyle.errors import PhotostyleError
from photostyle.photo.photo import strips

Array = npt.NDArray[np.float64]

MAX_SIZE = 256
"""Maximum number of grid points per axis that the `.cube` specification allows."""


@dataclass(frozen=True)
class Lut:
    """A colour transform, tabulated on a grid of RGB colours.

    table      (N, N, N, 3): RGB output colours in 0..1, indexed by red, green and blue
    low, high  (3,): RGB input colours of the first and the last grid point
    """

    table: Array
    low: Array
    high: Array

    def __call__(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Transform RGB pixels (H, W, 3), uint8 or floats in 0..1, to the same dtype and shape.

        Interpolation is trilinear. Colours outside the grid are clamped to it, results to 0..1.
        """
        result = np.empty_like(pixels)
        for rows in strips(pixels):
            if pixels.dtype == np.uint8:
                result[rows] = (self._interpolated(pixels[rows] / 255) * 255).round()
            else:
                result[rows] = self._interpolated(pixels[rows])
        return result

    def _interpolated(self, colors: npt.NDArray[Any]) -> Array:
        last = len(self.table) - 1
        position = ((colors - self.low) / (self.high - self.low) * last).clip(0, last)
        cell = np.minimum(np.nan_to_num(position).astype(int), last - 1)
        red, green, blue = np.moveaxis(cell, -1, 0)
        in_red, in_green, in_blue = np.moveaxis((position - cell)[..., None], -2, 0)

        def along_blue(red: npt.NDArray[Any], green: npt.NDArray[Any]) -> Array:
            return _lerp(self.table[red, green, blue], self.table[red, green, blue + 1], in_blue)

        def along_green(red: npt.NDArray[Any]) -> Array:
            return _lerp(along_blue(red, green), along_blue(red, green + 1), in_green)

        return _lerp(along_green(red), along_green(red + 1), in_red).clip(0, 1)


def _lerp(start: Array, end: Array, fraction: Array) -> Array:
    return start + (end - start) * fraction


def read(path: Path) -> Lut:
    """Read the 3D table of a `.cube` file (Adobe, Cube LUT Specification 1.0, 2013).

    Raises PhotostyleError if the file cannot be read or contains no valid 3D table.
    """
    try:
        text = path.read_text("utf-8-sig", errors="replace")
    except OSError as error:
        raise PhotostyleError(f"{str(path)!r} cannot be read: {error.strerror}.") from error

    keywords: dict[str, list[str]] = {}
    numbers: list[list[str]] = []
    for line in text.splitlines():
        words = line.split("#")[0].split()
        if words and words[0][0].isalpha():
            keywords[words[0].upper()] = words[1:]
        elif words:
            numbers.append(words)
    try:
        size = int(keywords["LUT_3D_SIZE"][0])
        # DaVinci Resolve writes one range instead of a domain for each channel.
        lowest, highest = keywords.get("LUT_3D_INPUT_RANGE", ["0", "1"])
        low = np.array(keywords.get("DOMAIN_MIN", [lowest] * 3), np.float64)
        high = np.array(keywords.get("DOMAIN_MAX", [highest] * 3), np.float64)
        # In the file red changes fastest and so is the last of the three axes.
        table = np.array(numbers, np.float64).reshape(size, size, size, 3).transpose(2, 1, 0, 3)
    except (KeyError, ValueError, IndexError) as error:
        raise PhotostyleError(f"{str(path)!r} contains no complete 3D lookup table.") from error
    valid = (
        2 <= size <= MAX_SIZE
        and low.shape == high.shape == (3,)
        and (low < high).all()
        and np.isfinite(table).all()
    )
    if not valid:
        raise PhotostyleError(
            f"{str(path)!r} is invalid: the size, domain or values of its table are out of range."
        )
    return Lut(table, low, high)

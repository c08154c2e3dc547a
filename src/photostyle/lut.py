"""3D lookup tables: looks in `.cube` files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from photostyle.errors import PhotostyleError, needs_extra

with needs_extra("evaluate"):
    from scipy import ndimage

MAX_SIZE = 256
"""Most points on a side; the `.cube` specification allows no more."""


@dataclass(frozen=True)
class Lut:
    """A look as colours on a grid in RGB.

    table: (N, N, N, 3), the colour for each red, green and blue, 0..1; low, high: (3,), the input
    colours that the first and the last point of the grid stand for.
    """

    table: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]

    def __call__(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Pixels (H, W, 3), uint8 or float in 0..1, in this look; the same type and shape.

        Between the points of the grid the interpolation is trilinear; colours beyond it count as
        those on its border, and results are cut to 0..1.
        """
        whole = pixels.dtype == np.uint8
        colours = pixels / 255 if whole else pixels
        places = (colours - self.low) / (self.high - self.low) * (len(self.table) - 1)
        axes = np.moveaxis(places, -1, 0)
        channels = [
            ndimage.map_coordinates(self.table[..., channel], axes, order=1, mode="nearest")
            for channel in range(3)
        ]
        result = np.stack(channels, axis=-1).clip(0, 1)
        return (result * 255).round().astype(np.uint8) if whole else result.astype(pixels.dtype)


def read(path: Path) -> Lut:
    """The 3D table in a `.cube` file (Adobe, Cube LUT Specification 1.0, 2013).

    Raises PhotostyleError if the file cannot be read or holds no such table.
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
        lowest, highest = keywords.get(
            "LUT_3D_INPUT_RANGE", ["0", "1"]
        )  # as DaVinci Resolve writes
        low = np.array(keywords.get("DOMAIN_MIN", [lowest] * 3), np.float64)
        high = np.array(keywords.get("DOMAIN_MAX", [highest] * 3), np.float64)
        # Red runs fastest in the file, so that it is the last of the three axes there.
        table = np.array(numbers, np.float64).reshape(size, size, size, 3).transpose(2, 1, 0, 3)
    except (KeyError, ValueError, IndexError) as error:
        raise PhotostyleError(f"{str(path)!r} holds no complete 3D table.") from error
    valid = (
        2 <= size <= MAX_SIZE
        and low.shape == high.shape == (3,)
        and (low < high).all()
        and np.isfinite(table).all()
    )
    if not valid:
        raise PhotostyleError(f"{str(path)!r} holds a 3D table that makes no sense.")
    return Lut(table, low, high)

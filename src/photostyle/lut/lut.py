"""A colour transform, tabulated."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from photostyle.photo.photo import strips

Array = npt.NDArray[np.float64]
Colors = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Curves:
    """A curve for each channel, at evenly spaced points.

    table      (N, 3): output of each channel
    low, high  (3,): input of each channel at the first and the last point
    """

    table: Array
    low: Array
    high: Array

    def __call__(self, colors: Colors) -> Colors:
        """Map colours (..., 3), interpolated linearly; inputs outside the curves are clamped."""
        result = np.empty_like(colors)
        for channel in range(3):
            points = np.linspace(self.low[channel], self.high[channel], len(self.table))
            result[..., channel] = np.interp(colors[..., channel], points, self.table[:, channel])
        return result


@dataclass(frozen=True)
class Lut:
    """A colour transform, tabulated on a grid of RGB colours.

    table      (N, N, N, 3): RGB output colours in 0..1, indexed by red, green and blue
    low, high  (3,): RGB input colours of the first and the last grid point
    curves     applied before the grid (a shaper), if any
    title      name for people
    comments   lines of text
    """

    table: Array
    low: Array
    high: Array
    curves: Curves | None = None
    title: str = ""
    comments: tuple[str, ...] = ()

    @classmethod
    def of(cls, function: Callable[[Array], Colors], size: int) -> Lut:
        """A LUT of ``size`` points per axis of a function of colours (..., 3) in 0..1."""
        return cls(np.asarray(function(grid(size)), np.float64), np.zeros(3), np.ones(3))

    def titled(self, title: str, *comments: str) -> Lut:
        """A copy with a title and comments."""
        return replace(self, title=title, comments=comments)

    def __call__(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Transform RGB pixels (H, W, 3), integers or floats in 0..1, to the same dtype and shape.

        Integers are uint8 or uint16. Interpolation is tetrahedral, in float32, or float64 if that
        is the dtype. Colours outside the grid are clamped to it, results to 0..1.
        """
        white = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else 0
        result = np.empty_like(pixels)
        for rows in strips(pixels):
            if white:
                result[rows] = (self.map(pixels[rows] / np.float32(white)) * white).round()
            else:
                result[rows] = self.map(pixels[rows].astype(np.result_type(pixels, np.float32)))
        return result

    def map(self, colors: Colors) -> Colors:
        """Transform colours (..., 3) in memory at once, clamped to 0..1."""
        if self.curves:
            colors = self.curves(colors)
        dtype, last = colors.dtype, len(self.table) - 1
        scale = last / (self.high - self.low)
        position = ((colors - self.low.astype(dtype)) * scale.astype(dtype)).clip(0, last)
        points, weights = tetrahedra(position, last + 1)
        table = self.table.reshape(-1, 3).astype(dtype)
        result = weights[0][..., None] * table[points[0]]
        for corner in range(1, 4):
            result += weights[corner][..., None] * table[points[corner]]
        return result.clip(0, 1)


def grid(size: int) -> Array:
    """Colours (N, N, N, 3) of a grid of ``size`` points per axis on 0..1: the identity's table."""
    steps = np.linspace(0, 1, size)
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)


def tetrahedra(position: Colors, size: int) -> tuple[list[npt.NDArray[np.intp]], list[Colors]]:
    """The tetrahedra of a grid of ``size`` points per axis in which positions (..., 3) lie.

    position: in grid steps, 0 to size - 1. Each cell of the grid is divided into six tetrahedra
    along its diagonal. Their four corners are reached from the cell's first point by a step along
    the axis of the largest fraction, then the middle, then the smallest one.

    Returns for each corner its index in the flattened grid, and its weight in linear interpolation.
    """
    cell = np.minimum(np.nan_to_num(position).astype(np.intp), size - 2)
    red, green, blue = np.moveaxis(position - cell, -1, 0)
    steps = np.array([size * size, size, 1])
    least, most = np.minimum(red, green), np.maximum(red, green)
    largest = np.where(blue > most, steps[2], np.where(red >= green, steps[0], steps[1]))
    smallest = np.where(blue <= least, steps[2], np.where(red >= green, steps[1], steps[0]))
    middle = np.maximum(least, np.minimum(most, blue))
    least, most = np.minimum(least, blue), np.maximum(most, blue)
    first = cell @ steps
    last = first + steps.sum()
    points = [first, first + largest, last - smallest, last]
    return points, [1 - most, most - middle, middle - least, least]

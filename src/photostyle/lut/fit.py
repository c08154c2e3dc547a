"""Fits LUTs to examples of a colour transform."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from photostyle.lut.lut import Array, Colors, Lut, grid, tetrahedra
from photostyle.lut.prior import Prior

_COARSE = 17
"""Points per axis of the grid that is solved first, and to which weights refer."""

_NOISE = 3e-4
"""Standard deviation of targets that are known exactly, in 0..1, as the prior sees them."""


class Examples:
    """Colours, what becomes of each, and how much it counts.

    colors, targets: (n, 3) in 0..1. weights: (n,); of pixels of a common colour they are divided
    by the square root of its frequency, so that small things count beside a sky.
    """

    def __init__(self, colors: Array, targets: Array, weights: Array | None = None) -> None:
        self.colors, self.targets = colors, targets
        self.weights = np.ones(len(colors)) if weights is None else weights
        bins = (colors * 31.999).astype(np.intp) @ [1024, 32, 1]
        self.frequent = np.bincount(bins, self.weights, 32**3)[bins].clip(1) ** -0.5

    @classmethod
    def together(cls, parts: Sequence[Examples]) -> Examples:
        """The examples of all parts."""
        return cls(
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("colors", "targets", "weights")
            )
        )

    def counts(self, residual: Array | None = None) -> Array:
        """The weight of each example; of outliers, whose ``residual`` is large, it is reduced."""
        counts = self.weights * self.frequent
        if residual is None:
            return counts
        error = np.sqrt((residual**2).sum(-1))
        usual = 3 * np.median(error) + 1e-3
        return counts / (1 + (error / usual) ** 2) ** 2


def fit(
    examples: Examples,
    size: int,
    *,
    prior: Prior | None = None,
    smoothness: float = 0.01,
    identity: float = 0.0,
) -> Lut:
    """The LUT of ``size`` points per axis that maps the colours of examples to their targets.

    It minimises the squared errors, plus ``smoothness`` times the squared second differences along
    each axis, plus ``identity`` times the squared changes, both per point of a grid of 17. With a
    prior these are counted from the LUT that the prior finds likeliest, which also says what
    becomes of colours that the examples lack.
    """
    start = np.zeros((_COARSE,) * 3 + (3,))
    counts, noise = examples.counts(), _NOISE
    if prior:
        changes = examples.targets - examples.colors
        for _ in range(3):
            start = prior.likeliest(examples.colors, changes, counts, noise)
            left = examples.targets - _changed(start, examples.colors)
            counts = examples.counts(left)
            noise = max(_NOISE, 0.1 * _rms(left, counts))
    change = start
    for points in sorted({min(size, _COARSE), size}):
        scale = (points - 1) / (_COARSE - 1)
        base, guess = (_table(one, points) for one in (start, change))
        system = _System(points, smoothness * scale, identity / scale**3)
        left = examples.targets - _changed(base, examples.colors)
        system.add(examples.colors, left, counts)
        change = base + system.solve(guess - base)
    return Lut(grid(size) + change, np.zeros(3), np.ones(3))


def _changed(change: Array, colors: Array) -> Array:
    """Colours (n, 3) changed as a table of changes says, not clamped."""
    size = len(change)
    points, weights = tetrahedra(colors * (size - 1), size)
    flat = change.reshape(-1, 3)
    parts = (w[:, None] * flat[p] for p, w in zip(points, weights, strict=True))
    return colors + sum(parts)


def _table(change: Array, size: int) -> Array:
    """A table of changes on a grid of another size."""
    if len(change) == size:
        return change
    colors = grid(size).reshape(-1, 3)
    return (_changed(change, colors) - colors).reshape(size, size, size, 3)


def _rms(values: Array, weights: Array) -> float:
    return float(np.sqrt((weights[:, None] * values**2).sum() / (3 * weights.sum())))


class _System:
    """The normal equations of a regularised fit on a grid of ``size`` points per axis.

    The corners of a tetrahedron differ by 0 or 1 along each axis, in one direction. So the matrix
    of the squared errors is a stencil: eight coefficients at each point, for itself and for the
    neighbours at the offsets (0..1, 0..1, 0..1); those of the opposite offsets are the same.
    """

    def __init__(self, size: int, smoothness: float, identity: float) -> None:
        self.size, self.smoothness, self.identity = size, smoothness, identity
        corners = np.stack(np.unravel_index(np.arange(8), (2, 2, 2)), -1)
        self.offsets = corners @ [size * size, size, 1]
        self.stencil = np.zeros((8, size**3))
        self.right = np.zeros((size**3, 3))

    def add(self, colors: Array, targets: Array, counts: Array) -> None:
        """Add examples (n, 3) that count as ``counts`` (n,)."""
        points, weights = tetrahedra(colors * (self.size - 1), self.size)
        number = len(self.right)
        for i in range(4):
            scaled = counts * weights[i]
            for channel in range(3):
                self.right[:, channel] += np.bincount(
                    points[i], scaled * targets[:, channel], number
                )
            for j in range(i, 4):
                offset = np.searchsorted(self.offsets, points[j] - points[i])
                sums = np.bincount(offset * number + points[i], scaled * weights[j], 8 * number)
                self.stencil += sums.reshape(8, number)

    def solve(self, start: Array, iterations: int = 150, tolerance: float = 1e-5) -> Array:
        """The table (N, N, N, 3) of least error, by preconditioned conjugate gradients."""
        solution = start.reshape(-1, 3).copy()
        diagonal = (self.stencil[0] + 18 * self.smoothness + self.identity + 1e-12)[:, None]
        residual = self.right - self._apply(solution)
        direction = ahead = residual / diagonal
        energy = (residual * ahead).sum(0)
        goal = tolerance**2 * ((self.right / diagonal) * self.right).sum(0)
        for _ in range(iterations):
            if (energy <= goal).all():
                break
            image = self._apply(direction)
            step = energy / ((direction * image).sum(0) + 1e-300)
            solution += step * direction
            residual = residual - step * image
            ahead = residual / diagonal
            before, energy = energy, (residual * ahead).sum(0)
            direction = ahead + energy / (before + 1e-300) * direction
        return solution.reshape(start.shape)

    def _apply(self, values: Array) -> Array:
        """The matrix times values (N^3, 3)."""
        result = self.stencil[0][:, None] * values + self.identity * values
        for offset, coefficients in zip(self.offsets[1:], self.stencil[1:], strict=True):
            along = coefficients[:-offset, None]
            result[:-offset] += along * values[offset:]
            result[offset:] += along * values[:-offset]
        table = values.reshape((self.size,) * 3 + (3,))
        smoothed = result.reshape(table.shape)
        for axis in range(3) if self.size > 2 else ():
            bend = self.smoothness * np.moveaxis(np.diff(table, 2, axis), axis, 0)
            target = np.moveaxis(smoothed, axis, 0)
            target[2:] += bend
            target[1:-1] -= 2 * bend
            target[:-2] += bend
        return result


def closeness(lut: Lut, colors: Colors, targets: npt.NDArray[Any]) -> float:
    """PSNR in dB between colours (..., 3) that a LUT has transformed and their targets, 0..1."""
    error = float(((lut.map(colors) - targets) ** 2).mean())
    return float(-10 * np.log10(max(error, 1e-10)))

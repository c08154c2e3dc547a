"""What displays show: primaries, the curve of sRGB, and a curve for light brighter than white."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
Matrix = npt.NDArray[np.float64]

BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
"""x and y of red, green, blue and white (ITU-R BT.709)."""

KNEE = 0.5
"""Light, relative to white, up to which `moebius` compresses nothing."""

_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)


def xyz_matrix(primaries: tuple[float, ...]) -> Matrix:
    """The matrix to XYZ from light in RGB of primaries: x and y of red, green, blue and white."""
    xy = np.array(primaries).reshape(4, 2)
    xyz = np.column_stack([xy, 1 - xy.sum(1)]).T / xy[:, 1]
    columns, white = xyz[:, :3], xyz[:, 3]
    return np.asarray(columns * np.linalg.solve(columns, white))


def conversion(source: tuple[float, ...], target: tuple[float, ...]) -> Matrix:
    """The matrix from light in RGB of one set of primaries to another.

    White stays white, by the chromatic adaptation of Bradford (ICC.1:2022, annex E).
    """
    to_xyz, from_xyz = xyz_matrix(source), np.linalg.inv(xyz_matrix(target))
    before, after = (_BRADFORD @ xyz_matrix(primaries).sum(1) for primaries in (source, target))
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(after / before) @ _BRADFORD
    return np.asarray(from_xyz @ adapted @ to_xyz)


def moebius(peak: float) -> tuple[float, float, float]:
    """The curve scale (x + a) / (x + b), as a, b and scale (as in ffmpeg's filter tonemap).

    It continues the identity smoothly from KNEE on, and is 1 at ``peak``.
    """
    j, p = KNEE, peak
    a = -j * j * (p - 1) / (j * j - 2 * j + p)
    b = (j * j - 2 * j * p + p) / (p - 1)
    return a, b, (b * b + 2 * b * j + j * j) / (b - a)


def encoded(light: Floats) -> Floats:
    """The curve of sRGB for light in 0..1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)

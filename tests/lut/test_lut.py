"""LUTs against tetrahedral interpolation written out case by case, and against ffmpeg's."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest
from support.photos import clouds

from photostyle import lut
from photostyle.lut import Curves, Lut

Array = npt.NDArray[np.float64]


def random_lut(size: int, low: Array | None = None, high: Array | None = None) -> Lut:
    table = np.random.default_rng(size).uniform(-0.1, 1.1, (size, size, size, 3))
    return Lut(table, np.zeros(3) if low is None else low, np.ones(3) if high is None else high)


def expected(lut: Lut, color: Array) -> Array:
    """Tetrahedral interpolation of one colour, with its six cases."""
    last = len(lut.table) - 1
    x = ((color - lut.low) / (lut.high - lut.low)).clip(0, 1) * last
    r0, g0, b0 = cell = np.minimum(x.astype(int), last - 1)
    r, g, b = x - cell
    at = lut.table[r0 : r0 + 2, g0 : g0 + 2, b0 : b0 + 2]
    black, white = at[0, 0, 0], at[1, 1, 1]
    if r >= g >= b:
        parts = (1 - r) * black + (r - g) * at[1, 0, 0] + (g - b) * at[1, 1, 0] + b * white
    elif r >= b >= g:
        parts = (1 - r) * black + (r - b) * at[1, 0, 0] + (b - g) * at[1, 0, 1] + g * white
    elif b >= r >= g:
        parts = (1 - b) * black + (b - r) * at[0, 0, 1] + (r - g) * at[1, 0, 1] + g * white
    elif g >= r >= b:
        parts = (1 - g) * black + (g - r) * at[0, 1, 0] + (r - b) * at[1, 1, 0] + b * white
    elif g >= b >= r:
        parts = (1 - g) * black + (g - b) * at[0, 1, 0] + (b - r) * at[0, 1, 1] + r * white
    else:
        parts = (1 - b) * black + (b - g) * at[0, 0, 1] + (g - r) * at[0, 1, 1] + r * white
    return np.asarray(parts).clip(0, 1)


@pytest.mark.parametrize("size", [2, 3, 17])
def test_interpolation_is_tetrahedral(size: int) -> None:
    rng = np.random.default_rng(size)
    lut = random_lut(size, np.array([-0.1, 0.0, 0.2]), np.array([1.0, 0.9, 1.3]))
    colors = rng.uniform(-0.3, 1.5, (20, 30, 3))
    colors[:5] = rng.integers(0, 2, (5, 30, 3))
    colors[5] = lut.low + (lut.high - lut.low) * rng.integers(0, size, (30, 3)) / (size - 1)
    colors[6] = colors[6, :, :1]  # ties
    right = np.array([[expected(lut, color) for color in row] for row in colors])
    np.testing.assert_allclose(lut(colors), right, rtol=0, atol=1e-14)
    for dtype, tolerance in ((np.float32, 1e-5), (np.float16, 1e-3)):
        single = colors.astype(dtype)
        assert lut(single).dtype == dtype
        right = np.array([[expected(lut, c) for c in row] for row in single.astype(float)])
        np.testing.assert_allclose(lut(single), right, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_integers_are_rounded_to_the_nearest(dtype: npt.DTypeLike) -> None:
    white = np.iinfo(dtype).max
    pixels = np.random.default_rng(0).integers(0, white + 1, (20, 30, 3)).astype(dtype)
    lut = random_lut(17)
    exact = np.array([[expected(lut, color / white) for color in row] for row in pixels]) * white
    result = lut(pixels)
    assert result.dtype == dtype
    assert np.abs(result - exact).max() < 0.5 + white * 1e-6
    np.testing.assert_array_equal(Lut.of(lambda colors: colors, 33)(pixels), pixels)


def test_nan_stays_nan() -> None:
    lut = Lut(np.zeros((2, 2, 2, 3)), np.zeros(3), np.ones(3))
    assert np.isnan(lut(np.full((1, 1, 3), np.nan))).all()


def test_curves_come_before_the_grid() -> None:
    squares = np.linspace(0, 2, 201)[:, None].repeat(3, 1) ** 2
    curves = Curves(squares, np.zeros(3), np.full(3, 2.0))
    negative = Lut.of(lambda colors: 1 - colors, 2)
    lut = Lut(negative.table, negative.low, np.full(3, 4.0), curves)
    colors = np.array([[[0.5, 1.0, 1.5], [0.0, 2.0, 3.0]]])
    right = 1 - colors.clip(0, 2) ** 2 / 4
    np.testing.assert_allclose(lut(colors), right, atol=1e-12)


@pytest.mark.parametrize("size", [17, 33])
def test_results_are_those_of_ffmpeg(tmp_path: Path, size: int) -> None:
    pixels = clouds(128, 96, seed=size)
    look = random_lut(size)
    lut.write(look, tmp_path / "look.cube")
    command = [
        *(imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "128x96", "-i", "pipe:0"),
        *("-vf", "lut3d=look.cube:interp=tetrahedral"),
        *("-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"),
    ]
    run = subprocess.run(
        command, input=pixels.tobytes(), capture_output=True, check=True, cwd=tmp_path
    )
    theirs = np.frombuffer(run.stdout, np.uint8).reshape(pixels.shape)
    assert np.abs(look(pixels).astype(int) - theirs).max() <= 1

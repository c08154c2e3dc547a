"""3D lookup tables against another implementation of trilinear interpolation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from photostyle.lut import Lut


@pytest.mark.parametrize("size", [2, 3, 17])
def test_interpolation_is_that_of_scipy(size: int) -> None:
    ndimage = pytest.importorskip("scipy.ndimage")
    rng = np.random.default_rng(size)
    low, high = np.array([-0.1, 0.0, 0.2]), np.array([1.0, 0.9, 1.3])
    table = rng.uniform(-0.1, 1.1, (size, size, size, 3))
    lut = Lut(table, low, high)
    colors = rng.uniform(-0.3, 1.5, (50, 60, 3))
    colors[:10] = rng.integers(0, 2, (10, 60, 3))
    colors[10] = low + (high - low) * rng.integers(0, size, (60, 3)) / (size - 1)

    def expected(colors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        position = np.moveaxis((colors - low) / (high - low) * (size - 1), -1, 0)
        channels = [
            ndimage.map_coordinates(table[..., channel], position, order=1, mode="nearest")
            for channel in range(3)
        ]
        return np.asarray(np.stack(channels, -1).clip(0, 1))

    np.testing.assert_allclose(lut(colors), expected(colors), rtol=0, atol=1e-14)
    for dtype in (np.float32, np.float16):
        single = colors.astype(dtype)
        assert lut(single).dtype == dtype
        np.testing.assert_allclose(lut(single), expected(single.astype(float)), rtol=0, atol=1e-3)
    pixels = rng.integers(0, 256, (50, 60, 3), np.uint8)
    rounded = (expected(pixels / 255) * 255).round()
    np.testing.assert_array_equal(lut(pixels), rounded)


def test_nan_stays_nan() -> None:
    lut = Lut(np.zeros((2, 2, 2, 3)), np.zeros(3), np.ones(3))
    assert np.isnan(lut(np.full((1, 1, 3), np.nan))).all()

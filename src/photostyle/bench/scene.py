"""Renders synthetic photos of any size quickly, with as much detail as real ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

TEXTURE = 512
"""Side of the repeating texture, in pixels."""

STRIP = 1 << 18
"""Pixels rendered at a time, which keeps memory low."""


def scene(width: int, height: int, evening: bool = False) -> npt.NDArray[np.uint8]:
    """A photo of land and sky, by day or in the evening: sRGB (H, W, 3), uint8.

    The texture has the spectrum of natural images, amplitude ~ 1 / frequency (Field 1987), at the
    scale of single pixels at any size, so that JPEG files are as large as those of a camera.
    """
    texture = _texture()
    columns = np.linspace(0, 1, width).astype(np.float32)
    lines = np.linspace(0, 1, height).astype(np.float32)
    horizon = 0.45 + 0.06 * np.sin(7 * columns) + 0.02 * np.sin(31 * columns + 1)
    sky = _gradient([[0.35, 0.55, 0.9], [0.8, 0.87, 0.95]])
    land = _gradient([[0.35, 0.5, 0.25], [0.25, 0.33, 0.12], [0.5, 0.4, 0.3]])
    if evening:
        sky = _gradient([[0.3, 0.25, 0.45], [1.0, 0.55, 0.25]])
        land = _gradient([[0.3, 0.2, 0.2], [0.12, 0.08, 0.1], [0.25, 0.15, 0.15]])

    photo = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, max(1, STRIP // width)):
        part = slice(top, min(height, top + max(1, STRIP // width)))
        y, edge = lines[part, None], horizon[None]
        above = y < edge
        colors = np.where(above[..., None], sky(y / edge), land((y - edge) / (1 - edge)))
        rows = np.arange(part.start, part.stop) % TEXTURE
        detail = texture[rows].take(np.arange(width) % TEXTURE, axis=1)
        colors += np.where(above, 0.02, 0.13)[..., None] * detail
        colors += 0.05 * np.sin(23 * columns + 17 * y)[..., None]
        photo[part] = (255 * colors.clip(0, 1)).round()
    return photo


def _gradient(
    colors: list[list[float]],
) -> Callable[[npt.NDArray[Any]], npt.NDArray[np.float32]]:
    """A function that interpolates evenly spaced RGB colours at positions in 0..1."""
    positions = np.linspace(0, 1, len(colors))
    channels = np.array(colors).T

    def at(t: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        return np.stack([np.interp(t, positions, c) for c in channels], -1).astype(np.float32)

    return at


def _texture() -> npt.NDArray[np.float32]:
    """Periodic noise, (TEXTURE, TEXTURE, 3), standard deviation about 1, mostly grey."""
    rng = np.random.default_rng(0)
    frequency = np.hypot(np.fft.fftfreq(TEXTURE)[:, None], np.fft.rfftfreq(TEXTURE))
    frequency[0, 0] = np.inf
    planes = np.fft.irfft2(
        np.fft.rfft2(rng.standard_normal((4, TEXTURE, TEXTURE))) / frequency, (TEXTURE, TEXTURE)
    )
    planes /= planes.std(axis=(1, 2), keepdims=True)
    return (planes[0] + 0.3 * planes[1:]).transpose(1, 2, 0).astype(np.float32)

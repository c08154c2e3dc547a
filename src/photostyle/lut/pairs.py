"""Two pictures of one frame, before and after an edit, as examples of a colour transform."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from photostyle.errors import PhotostyleError
from photostyle.lut.fit import Examples
from photostyle.lut.lut import Array

LONG_SIDE = 2048
"""Larger pictures are compared on copies of about this long side, in pixels."""

MAX_EXAMPLES = 1 << 17
"""Pixels that are taken of a pair, evenly spread."""

_FLAT = 0.03
"""Difference between neighbours, in 0..1, at which a pixel counts half: at edges even a small
displacement, blur or the coding of colours mixes colours."""

_ALIKE = 0.3
"""Least correlation between the edges of two pictures that show the same."""

_NEARLY = 0.05
"""Relative difference up to which two sizes may be those of a crop instead of a scaled picture."""

Pixels = npt.NDArray[np.unsignedinteger[Any]]


def examples(before: Pixels, after: Pixels, most: int = MAX_EXAMPLES) -> Examples:
    """Colours of ``before`` and what became of them in ``after``, both (H, W, 3), sRGB.

    The pictures may have different sizes, and be shifted by a few per cent. Raises
    PhotostyleError if they do not show the same.
    """
    first, second = aligned(_reduced(before), _reduced(after))
    weights = np.ones(first.shape[:2])
    if not _is_exact(first, second):
        weights /= 1 + (_steps(first) / _FLAT) ** 2 + (_steps(second) / _FLAT) ** 2
    step = max(1, weights.size // most)
    chosen = slice(step // 2, None, step)
    return Examples(
        first.reshape(-1, 3)[chosen].astype(float),
        second.reshape(-1, 3)[chosen].astype(float),
        weights.ravel()[chosen].astype(float),
    )


def samples(before: Pixels, after: Pixels, most: int = MAX_EXAMPLES) -> Examples:
    """As `examples`, of two pictures whose pixels match one by one; every pixel counts the same."""
    step = max(1, before[..., 0].size // most)
    chosen = slice(step // 2, None, step)
    colors, targets = (
        pixels.reshape(-1, 3)[chosen] / np.iinfo(pixels.dtype).max for pixels in (before, after)
    )
    return Examples(colors, targets)


def aligned(before: Array, after: Array) -> tuple[Array, Array]:
    """The parts of two pictures (H, W, 3) that show the same, at the size of the smaller.

    Raises PhotostyleError if they do not show the same.
    """
    best = (-1.0, before, after)
    for first, second in _candidates(before, after):
        down, right = _shift(_edges(first), _edges(second))
        first, second = _overlap(first, second, down, right)
        if min(first.shape[:2]) >= 8:
            alike = np.corrcoef(_edges(first).ravel(), _edges(second).ravel())[0, 1]
            best = max(best, (float(alike), first, second), key=lambda one: one[0])
    if not best[0] >= _ALIKE:
        raise PhotostyleError(
            "The pictures before and after do not show the same; give two versions of one frame."
        )
    return best[1], best[2]


def _candidates(before: Array, after: Array) -> list[tuple[Array, Array]]:
    """The pictures as two crops of one scale, and scaled to one size, as far as either can be."""
    sizes = np.array([before.shape[:2], after.shape[:2]], float)
    ratio = sizes[1] / sizes[0]
    found = []
    if (np.abs(ratio - 1) <= _NEARLY).all():
        found.append((before, after))
    if (sizes[0] != sizes[1]).any() and abs(ratio[0] / ratio[1] - 1) <= _NEARLY:
        height, width = sizes.min(0).astype(int)
        found.append((_resized(before, width, height), _resized(after, width, height)))
    return found


def _resized(picture: Array, width: int, height: int) -> Array:
    if picture.shape[:2] == (height, width):
        return picture
    planes = (Image.fromarray(np.ascontiguousarray(picture[..., c])) for c in range(3))
    resized = [plane.resize((width, height), Image.Resampling.BICUBIC) for plane in planes]
    return np.stack([np.asarray(plane) for plane in resized], -1).clip(0, 1)


def _reduced(pixels: Pixels) -> Array:
    """Pixels as float32 in 0..1, averaged to a long side below twice LONG_SIDE."""
    step = max(1, max(pixels.shape[:2]) // LONG_SIDE)
    height, width = (length // step * step for length in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(height // step, step, width // step, step, 3)
    mean = blocks.mean((1, 3), dtype=np.float32)
    return np.asarray(mean / np.iinfo(pixels.dtype).max)


def _is_exact(first: Array, second: Array) -> bool:
    """Whether pixels of one colour have one colour in the other picture as well, but for rounding.

    They have not if one was compressed, scaled or displaced, or if the edit differs from place to
    place.
    """
    numbers = (first * 255).round().astype(np.intp).reshape(-1, 3) @ [1 << 16, 1 << 8, 1]
    _, color, counts = np.unique(numbers, return_inverse=True, return_counts=True)
    errors = second.reshape(-1, 3).astype(float)
    for channel in range(3):
        means = np.bincount(color, errors[:, channel]) / counts
        errors[:, channel] -= means[color]
    repeated = errors[counts[color] > 1]
    return bool(len(repeated) and np.sqrt((repeated**2).mean()) < 0.5 / 255)


def _steps(picture: Array) -> Array:
    """(H, W): the largest difference from a neighbour in any channel."""
    result = np.zeros(picture.shape[:2], picture.dtype)
    for axis in (0, 1):
        step = np.abs(np.diff(picture, axis=axis)).max(-1)
        one, other = (np.moveaxis(result, axis, 0)[part] for part in (np.s_[1:], np.s_[:-1]))
        step = np.moveaxis(step, axis, 0)
        np.maximum(one, step, out=one)
        np.maximum(other, step, out=other)
    return result


def _edges(picture: Array) -> Array:
    """(H, W): where the picture has edges, hardly depending on its contrast, with mean 0."""
    steps = _steps(picture)
    edges = steps / (steps + steps.mean() + 1e-6)
    return np.asarray(edges - edges.mean())


def _shift(first: Array, second: Array) -> tuple[int, int]:
    """How far ``second`` lies below and right of ``first``, by phase correlation."""
    size = [max(lengths) for lengths in zip(first.shape, second.shape, strict=True)]
    spectra = (np.fft.rfft2(one, size) for one in (second, first))
    cross = next(spectra) * next(spectra).conj()
    surface = np.fft.irfft2(cross / (np.abs(cross) + 1e-9), size)
    limits = [max(2, int(_NEARLY * length)) for length in size]
    window = np.roll(surface, limits, (0, 1))[: 2 * limits[0] + 1, : 2 * limits[1] + 1]
    down, right = np.unravel_index(window.argmax(), window.shape)
    return int(down) - limits[0], int(right) - limits[1]


def _overlap(first: Array, second: Array, down: int, right: int) -> tuple[Array, Array]:
    """The parts that both pictures show."""
    first = first[max(0, -down) :, max(0, -right) :]
    second = second[max(0, down) :, max(0, right) :]
    height, width = np.minimum(first.shape[:2], second.shape[:2])
    return first[:height, :width], second[:height, :width]

"""Photos whose right answer is known: two crops of one photo in two looks.

The style is crop B in look Q, the content crop A in look P, and what a perfect transfer makes of
them is crop A in look Q, which serves as the target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from photostyle.evaluation import grades, metrics

Pixels = npt.NDArray[np.uint8]
Look = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""Pixels (H, W, 3), uint8, to the same in another look; a `photostyle.lut.Lut` is one."""

SHARE = 0.75
"""Of the width and of the height of the photo in a crop."""


class Triple(NamedTuple):
    content: Pixels
    style: Pixels
    target: Pixels


def triple(
    photo: Pixels,
    rng: np.random.Generator,
    style_look: Look | None = None,
    content_look: Look | None = None,
) -> Triple:
    """Content, style and target from ``photo`` (H, W, 3); looks not given are random grades."""
    a, b = random_crop(photo, rng), random_crop(photo, rng)
    p = content_look or random_look(rng)
    q = style_look or random_look(rng)
    return Triple(content=p(a), style=q(b), target=q(a))


def compare(triple: Triple, result: Pixels) -> dict[str, float]:
    """How close ``result`` comes to the target, and how close the content was as it is.

    psnr, ssim and ciede2000 of the result and, as content_psnr and so on, of the content; improved:
    1 where the result has the higher PSNR, else 0.
    """
    figures = metrics.against(triple.target, result)
    unchanged = metrics.against(triple.target, triple.content)
    return (
        figures
        | {f"content_{name}": value for name, value in unchanged.items()}
        | {"improved": float(figures["psnr"] > unchanged["psnr"])}
    )


def plain(pixels: Pixels) -> Pixels:
    """The look of the photo as it is."""
    return pixels


def random_look(rng: np.random.Generator) -> Look:
    """A random grade of `photostyle.evaluation.grades` as a look."""
    grade = grades.sample(rng)

    def look(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        channels = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
        graded = grade(channels).clamp(0, 1).permute(1, 2, 0).numpy()
        return (graded * 255).round().astype(np.uint8)

    return look


def random_crop(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """A crop at a random place, SHARE as wide and as high as the photo."""
    height, width = (max(1, round(SHARE * length)) for length in photo.shape[:2])
    top = int(rng.integers(photo.shape[0] - height + 1))
    left = int(rng.integers(photo.shape[1] - width + 1))
    return photo[top : top + height, left : left + width]

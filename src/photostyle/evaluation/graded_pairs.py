"""Pairs with a known answer: two crops of one photo with two colour grades.

The style is crop B with grade Q, the content is crop A with grade P. The result of a perfect
transfer is crop A with grade Q: the target.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from photostyle.evaluation import grades, metrics

Pixels = npt.NDArray[np.uint8]
Grading = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""A function that grades pixels (H, W, 3), uint8, such as a `photostyle.lut.Lut`."""

CROP = 0.75
"""Width and height of a crop as a fraction of the photo's."""


class Triple(NamedTuple):
    """A graded pair with its known answer, as (H, W, 3), uint8."""

    content: Pixels
    style: Pixels
    target: Pixels


def triple(
    photo: Pixels,
    rng: np.random.Generator,
    style_grading: Grading | None = None,
    content_grading: Grading | None = None,
) -> Triple:
    """Content, style and target from a photo (H, W, 3), uint8; a grading of None is random."""
    a, b = random_crop(photo, rng), random_crop(photo, rng)
    p = content_grading or random_grading(rng)
    q = style_grading or random_grading(rng)
    return Triple(content=p(a), style=q(b), target=q(a))


def compare(triple: Triple, result: Pixels) -> dict[str, float]:
    """Compare the result (H, W, 3), uint8, and the unchanged content with the target.

    Returns psnr, ssim and ciede2000 for the result; content_psnr, content_ssim and
    content_ciede2000 for the content; and improved, which is 1 if the result has the higher PSNR,
    else 0.
    """
    figures = metrics.compare_to_target(triple.target, result)
    unchanged = metrics.compare_to_target(triple.target, triple.content)
    return (
        figures
        | {f"content_{name}": value for name, value in unchanged.items()}
        | {"improved": float(figures["psnr"] > unchanged["psnr"])}
    )


def ungraded(pixels: Pixels) -> Pixels:
    """A `Grading` that changes nothing."""
    return pixels


def random_grading(rng: np.random.Generator) -> Grading:
    """A random grade of `photostyle.evaluation.grades` as a function of arrays."""
    grade = grades.sample(rng)

    def grade_pixels(pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        channels = torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)
        graded = grade(channels).clamp(0, 1).permute(1, 2, 0).numpy()
        return (graded * 255).round().astype(np.uint8)

    return grade_pixels


def random_crop(photo: Pixels, rng: np.random.Generator) -> Pixels:
    """A crop at a random position, with CROP times the photo's width and height."""
    height, width = (max(1, round(CROP * length)) for length in photo.shape[:2])
    top = int(rng.integers(photo.shape[0] - height + 1))
    left = int(rng.integers(photo.shape[1] - width + 1))
    return photo[top : top + height, left : left + width]

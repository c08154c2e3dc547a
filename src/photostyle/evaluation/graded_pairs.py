"""Pairs with a known answer: two crops of one photo with two colour grades.

The style is crop B with grade Q, the content is crop A with grade P. The result of a perfect
transfer is crop A with grade Q: the target.

The crops are one of

- ``overlap``: at random positions, with 75 % of the photo's width and height
- ``near``: at opposite ends of the photo's long side, 58 % of its length: 16 % are in both
- ``far``: at opposite ends of the photo's long side, 45 % of its length: nothing is in both
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from photostyle.evaluation import grades
from photostyle.evaluation.options import Crops

Pixels = npt.NDArray[np.uint8]
Grading = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]
"""A function that grades pixels (H, W, 3), uint8, such as a `photostyle.lut.Lut`."""

_OVERLAP = 0.75
OPPOSITE: dict[Crops, float] = {"near": 0.58, "far": 0.45}
"""Length of crops at opposite ends of a photo, as fractions of its long side."""


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
    crops: Crops = "overlap",
) -> Triple:
    """Content, style and target from a photo (H, W, 3), uint8; a grading of None is random."""
    a, b = crop_pair(photo, rng, crops)
    p = content_grading or random_grading(rng)
    q = style_grading or random_grading(rng)
    return Triple(content=p(a), style=q(b), target=q(a))


def compare(triple: Triple, result: Pixels) -> dict[str, float]:
    """Compare the result (H, W, 3), uint8, and the unchanged content with the target.

    Returns psnr, ssim and ciede2000 for the result; content_psnr, content_ssim and
    content_ciede2000 for the content; and improved, which is 1 if the result has the higher PSNR,
    else 0.
    """
    from photostyle.evaluation import metrics  # needs packages that training does not have

    figures = metrics.compare_to_target(triple.target, result)
    unchanged = metrics.compare_to_target(triple.target, triple.content)
    return (
        figures
        | {f"content_{name}": value for name, value in unchanged.items()}
        | {"improved": float(figures["psnr"] > unchanged["psnr"])}
    )


def worst_tenth(gains: Sequence[float]) -> float:
    """The mean of the lowest tenth of ``gains``, rounded to whole numbers but at least one."""
    return float(np.mean(sorted(gains)[: max(1, round(len(gains) / 10))]))


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


def crop_pair(
    photo: Pixels, rng: np.random.Generator, crops: Crops = "overlap"
) -> tuple[Pixels, Pixels]:
    """The crops of a photo (H, W, 3) for the content and for the style."""
    if crops == "overlap":
        return _random_crop(photo, rng), _random_crop(photo, rng)
    axis = int(photo.shape[0] < photo.shape[1])
    length = max(1, round(OPPOSITE[crops] * photo.shape[axis]))
    along = photo.swapaxes(0, axis)
    ends = [end.swapaxes(0, axis) for end in (along[:length], along[-length:])]
    content = int(rng.integers(2))
    return ends[content], ends[1 - content]


def _random_crop(photo: Pixels, rng: np.random.Generator) -> Pixels:
    height, width = (max(1, round(_OVERLAP * length)) for length in photo.shape[:2])
    top = int(rng.integers(photo.shape[0] - height + 1))
    left = int(rng.integers(photo.shape[1] - width + 1))
    return photo[top : top + height, left : left + width]

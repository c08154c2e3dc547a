"""Cuts between the shots of a clip."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

CHANGE, COLORS, LIKENESS = 0.08, 0.3, 0.9
"""A cut by colours: the least mean difference between two frames at a few pixels, in 0..1, the
least Hellinger distance between the histograms of their colours, and the largest correlation of
their pixels: a fade, a flash and a lamp change what is there."""

LIKE_COLORS = 0.02, 0.8, 0.5
"""A cut between pictures of like colours: the least difference, the largest correlation of pixels,
and the largest of edges."""

ALONE = 1.5
"""How many times more a cut changes the pattern than the frames before and after it do: a whip pan
changes it in many frames."""

EVEN = 1e-5
"""Variance of a few pixels of a frame, in 0..1, under which it shows no pattern."""

FrameOf = TypeVar("FrameOf")


class Step(NamedTuple):
    """From a frame to the next: by how much the pattern changes, and whether that may be a cut."""

    change: float = 0.0
    candidate: bool = False


class CutDetector:
    """Detects cuts between shots.

    A cut changes the picture and its colours, or the picture and its edges, at once; motion changes
    one more than the other, and light changes neither pattern. Even frames, as between two fades,
    have no pattern to compare.
    """

    def __init__(self) -> None:
        self._before: tuple[Tensor, npt.NDArray[np.float64]] | None = None
        self._patterns: tuple[Tensor, Tensor] | None = None
        self._step = Step()

    def step(self, small: Tensor) -> Step:
        """The step from the frame before to the frame (1, 3, h, w)."""
        now = F.adaptive_avg_pool2d(small, (9, 16)), _histogram(small)
        before, self._before = self._before, now
        likeness = edges = 1.0
        pattern = now[0] - now[0].mean((2, 3), keepdim=True)
        if float(pattern.square().mean()) > EVEN:
            patterns = pattern / pattern.norm(), _edges(small)
            if self._patterns is not None:
                likeness, edges = (
                    float((a * b).sum()) for a, b in zip(patterns, self._patterns, strict=True)
                )
            self._patterns = patterns
        if before is None:
            return Step()
        change = float((now[0] - before[0]).abs().mean())
        distance = float(np.sqrt(max(0.0, 1 - np.sqrt(now[1] * before[1]).sum())))
        by_colors = change > CHANGE and distance > COLORS and likeness < LIKENESS
        least, most, most_edges = LIKE_COLORS
        by_edges = change > least and likeness < most and edges < most_edges
        return Step(1 - likeness, by_colors or by_edges)

    def is_cut(self, small: Tensor) -> bool:
        """Whether the frame (1, 3, h, w) starts another shot, by the frames before it alone."""
        before, self._step = self._step, self.step(small)
        return _is_cut(before, self._step, Step())


def with_cuts(
    frames: Iterable[tuple[FrameOf, Tensor, int]],
) -> Iterator[tuple[FrameOf, Tensor, int, bool]]:
    """Frames with whether they start another shot.

    frames: each with its small copy (1, 3, h, w) and the ratio of that. The next frame is read
    before one is given out.
    """
    detector = CutDetector()
    waiting: tuple[FrameOf, Tensor, int] | None = None
    before = step = Step()
    for frame in frames:
        after = detector.step(frame[1])
        if waiting is not None:
            yield (*waiting, _is_cut(before, step, after))
        waiting, before, step = frame, step, after
    if waiting is not None:
        yield (*waiting, _is_cut(before, step, Step()))


def _is_cut(before: Step, step: Step, after: Step) -> bool:
    return step.candidate and step.change > ALONE * max(before.change, after.change)


def _edges(small: Tensor) -> Tensor:
    """Where the edges of a frame (1, 3, h, w) are: zero mean, unit norm."""
    grey = F.adaptive_avg_pool2d(small.mean(1, keepdim=True), (72, 128))
    size = grey[..., 1:, :-1].sub(grey[..., :-1, :-1]).abs()
    size = size + grey[..., :-1, 1:].sub(grey[..., :-1, :-1]).abs()
    # Edges that move by a few pixels are still the same.
    edges = F.avg_pool2d(size, 5, 2)
    edges = edges - edges.mean()
    return edges / edges.norm().clamp_min(1e-9)


def _histogram(small: Tensor) -> npt.NDArray[np.float64]:
    """The histogram of RGB (1, 3, h, w) in 6 x 6 x 6 bins; it adds up to 1."""
    steps = (small[0] * 5.999).long().clamp_(0, 5)
    counts = torch.bincount((36 * steps[0] + 6 * steps[1] + steps[2]).flatten(), minlength=216)
    return counts.double().cpu().numpy() / small[0, 0].numel()

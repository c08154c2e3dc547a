"""Light that changes over a whole picture: fades to black or white, lamps, exposure."""

from __future__ import annotations

import math
from collections import defaultdict

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.transfer.local_maps import LocalAffineMaps

ENDS = 0.0, 1.0
"""Where fades lead: to black and to white."""

LIKENESS = 0.98
"""Correlation of two frames, at least, of which only the light differs."""

STEP, TOLERANCE = 0.008, 0.15
"""The least change of light that counts, as a logarithm, and the fraction of it by which those of
the mean and of the contrast may differ."""

DIM = 0.05
"""The least light of a frame that is told from noise."""

LEAST = 1e-3
"""The least light; less is black or white."""


class Light:
    """How much light each frame of a clip has, of the most that its shot has.

    A frame that is the frame before times k, or 1 minus that of its negative, has k times as much.
    """

    def __init__(self) -> None:
        self._before: Tensor | None = None
        self._logs: list[tuple[int, float, float]] = []
        self._most: defaultdict[int, list[float]] = defaultdict(lambda: [-math.inf, -math.inf])

    def add(self, small: Tensor, shot: int) -> None:
        """The next frame (1, 3, h, w) of a clip, and the number of its shot."""
        now = F.adaptive_avg_pool2d(small, (9, 16))[0].double()
        logs = [0.0, 0.0]
        if self._before is not None and shot in self._most:
            logs = [
                log + _step(self._before, now, end)
                for log, end in zip(self._logs[-1][1:], ENDS, strict=True)
            ]
        self._before = now
        self._logs.append((shot, logs[0], logs[1]))
        self._most[shot] = [max(pair) for pair in zip(self._most[shot], logs, strict=True)]

    def of(self, number: int) -> tuple[float, float]:
        """The light of a frame for each of ENDS, over 0, up to 1; 1 for one that was not added."""
        if number >= len(self._logs):
            return 1.0, 1.0
        shot, *logs = self._logs[number]
        black, white = (
            max(DIM, math.exp(log - most)) for log, most in zip(logs, self._most[shot], strict=True)
        )
        return black, white


def in_full_light(pixels: Tensor, light: tuple[float, float]) -> Tensor:
    """Frames (..., 3, H, W) as they would be with all the light of their shot."""
    for end, level in zip(ENDS, light, strict=True):
        if level < 1:
            pixels = (end + (pixels - end) / level).clamp(0, 1)
    return pixels


def dimmed(maps: LocalAffineMaps, light: tuple[float, float]) -> LocalAffineMaps:
    """The maps of a frame, so that its result has as much of the light as the frame itself.

    With x = e + k (y - e), where y is the picture in full light and e black or white, it becomes
    e + k (A y + b - e) = A x + e - A e + k (A e + b - e).
    """
    for end, level in zip(ENDS, light, strict=True):
        if level < 1:
            matrix, bias = maps.maps[:9].unflatten(0, (3, 3)), maps.maps[9:12]
            moved = end * matrix.sum(1)
            bias = end - moved + level * (moved + bias - end)
            maps = LocalAffineMaps(torch.cat([maps.maps[:9], bias, maps.maps[12:]]), maps.ratio)
    return maps


def _step(before: Tensor, now: Tensor, end: float) -> float:
    """The logarithm of the change of light between two frames (3, h, w); 0 if more changed."""
    means = [float((frame.mean() - end).abs()) for frame in (before, now)]
    if min(means) < LEAST:
        return 0.0 if max(means) < LEAST else _log(means[1]) - _log(means[0])
    patterns = [frame - frame.mean() for frame in (before, now)]
    norms = [float(pattern.norm()) for pattern in patterns]
    if min(norms) < 1e-6:
        return 0.0
    likeness = float((patterns[0] * patterns[1]).sum()) / (norms[0] * norms[1])
    by_mean, by_contrast = (math.log(after / first) for first, after in (means, norms))
    alike = abs(by_mean - by_contrast) < TOLERANCE * abs(by_mean)
    return by_mean if likeness > LIKENESS and alike and abs(by_mean) > STEP else 0.0


def _log(mean: float) -> float:
    return math.log(max(mean, LEAST))

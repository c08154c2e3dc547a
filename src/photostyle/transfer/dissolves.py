"""Dissolves: frames in which one picture turns into another, as a mixture of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.transfer.local_maps import contrast

CHANGE = 0.06
"""The least RMS difference, on 0..1, between the pictures at both ends of a dissolve."""

STILL = 0.001
"""RMS difference of two frames, on 0..1, below which nothing changes."""

REST = 3
"""Number of frames without a change that end a dissolve."""

SHORTEST, LONGEST = 6, 150
"""Number of frames, at least and at most, of a dissolve."""

EXACT, LOOSE, NOISE = 0.06, 0.4, 0.01
"""How far frames are from mixtures of both ends, as fractions of the difference of those: of
pictures that stand still, and of moving ones. A difference of NOISE, on 0..1, never counts."""

LOSS = 0.5, 1.5
"""A mixture of two pictures has less detail than both have on average: how much less, all frames of
a dissolve together, as a fraction of the loss with pictures that have nothing in common. Where the
camera moves instead, the detail stays, or is gone altogether."""

BACK, JUMP = 0.1, 0.4
"""By how much the weight of the second picture may decrease, and increase from frame to frame: a
lamp is switched on at once."""

EVEN = 0.5
"""Contrast under which a picture is even: a dissolve to it is a fade."""


@dataclass(frozen=True)
class Dissolve:
    """From the frame ``start`` to the frame ``end``, both included.

    first, last: small copies of these frames, (1, 3, h, w), uint8. weights: of the last picture in
    each frame, 0..1.
    """

    start: int
    end: int
    first: Tensor
    last: Tensor
    weights: Sequence[float]


class _Look(NamedTuple):
    """What is known of a frame: its number, its colours (432,), and its energy of detail."""

    number: int
    colors: Tensor
    detail: float


class Dissolves:
    """Finds the dissolves of a clip, whose frames are added one after the other.

    found: those that have ended.
    """

    def __init__(self) -> None:
        self.found: list[Dissolve] = []
        self._run: list[_Look] = []
        self._small: list[Tensor] = []

    def add(self, number: int, small: Tensor, alone: bool) -> None:
        """The next frame (1, 3, h, w), 0..1; alone: it has nothing to do with the one before."""
        colors = F.adaptive_avg_pool2d(small, (9, 16)).flatten()
        look = _Look(number, colors, _detail(small))
        before = self._run[-REST:]
        rests = len(before) == REST and all(_rms(one.colors - colors) < STILL for one in before)
        run = [*self._run, look]
        if alone or rests or len(run) > LONGEST or not _is_mixture(_Line.of(run)):
            self.finish()
            self._run = [] if alone else before if rests else before[-1:]
            self._small = self._small[len(self._small) - len(self._run) :]
        self._run.append(look)
        self._small.append((small * 255).round().byte())

    def finish(self) -> None:
        """No further frame belongs to the dissolve at hand."""
        if len(self._run) < SHORTEST:
            return
        line = _Line.of(self._run)
        if _is_dissolve(self._run, line):
            ends = self._small[0], self._small[-1]
            if min(float(contrast(end / 255)) for end in ends) < EVEN:
                return
            weights = line.weights.clamp(0, 1).tolist()
            numbers = self._run[0].number, self._run[-1].number
            self.found.append(Dissolve(*numbers, *ends, weights))

    def at(self, number: int) -> Dissolve | None:
        """The dissolve that a frame is within."""
        return next((one for one in self.found if one.start < number < one.end), None)


class _Line(NamedTuple):
    """Some frames beside the mixtures of the first and the last of them.

    way: the RMS difference of those two. weights: of the last in each frame, (N,). distance: the
    largest from the mixtures.
    """

    way: float
    weights: Tensor
    distance: float

    @classmethod
    def of(cls, run: Sequence[_Look]) -> _Line:
        colors = torch.stack([look.colors for look in run])
        way, gone = colors[-1] - colors[0], colors - colors[0]
        weights = gone @ way / way.square().sum().clamp_min(1e-12)
        distance = (gone - weights[:, None] * way).square().mean(1).max().sqrt()
        return cls(_rms(way), weights, float(distance))


def _is_mixture(line: _Line) -> bool:
    """Whether some frames can be mixtures of the first and the last, of which the last grows."""
    if line.distance > max(LOOSE * line.way, NOISE):
        return False
    falls = (line.weights - line.weights.cummax(0).values).min()
    return line.way < 3 * NOISE or bool(falls > -BACK)


def _is_dissolve(run: Sequence[_Look], line: _Line) -> bool:
    if line.way < CHANGE or float(line.weights.diff().max()) > JUMP:
        return False
    return line.distance < EXACT * line.way or LOSS[0] < _loss(run, line.weights) < LOSS[1]


def _loss(run: Sequence[_Look], weights: Tensor) -> float:
    """See LOSS; energies add up: that of v x + w y is v^2 of that of x and w^2 of that of y."""
    weights = weights.clamp(0, 1)
    details = torch.tensor([look.detail for look in run])
    loss = torch.lerp(details[0], details[-1], weights) - details
    expected = weights * (1 - weights) * (details[0] + details[-1])
    return float(loss.sum() / expected.sum())


def _rms(difference: Tensor) -> float:
    return float(difference.square().mean().sqrt())


def _detail(small: Tensor) -> float:
    grey = small.mean(1)
    across, down = grey.diff(dim=2), grey.diff(dim=1)
    return float(across.square().mean() + down.square().mean())

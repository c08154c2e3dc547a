"""Settings that decide the result of a training run or a search; imports nothing heavy."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from photostyle.model.architecture import Widths
from photostyle.model.transfer_settings import TransferSettings

Score = Literal["pareto", "results", "paper"]
"""Objectives of a search: latency and distance to the teacher, latency and error of the results, or
the single score of the paper."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result of a training run, except the photos and VGG-19.

    architecture: the architecture string. widths: channels of the five levels. steps: number of
    steps. batch: pairs per step. size: side of the crops in pixels. learning_rate: its peak.
    unpaired_every: one in this many steps uses pairs of different photos, the others graded pairs.
    identity: fraction of graded pairs whose content and style are the same photo. regional:
    fraction of the other graded pairs in which two regions, separated by colour, have different
    grades. opposite: fraction of graded pairs whose crops lie at opposite ends of the photo. luts:
    number of LUTs, which are half of the grades if there are any. matcher: as identified by
    `photostyle.model.checkpoint.identify`, which finds regions and looks; "" for none. averaging:
    decay of the exponential moving average of the weights. supernet: also train all smaller
    networks, see `photostyle.training.supernet`. start, distil: the initial weights and the network
    to learn from, as identified by `photostyle.model.checkpoint.identify`; may be "".
    """

    architecture: str
    widths: Widths
    transfer: TransferSettings = field(default_factory=TransferSettings)
    steps: int = 6000
    batch: int = 4
    size: int = 96
    learning_rate: float = 2.5e-3
    seed: int = 0
    unpaired_every: int = 2
    identity: float = 0.25
    regional: float = 0.35
    opposite: float = 0.5
    luts: int = 0
    matcher: str = ""
    averaging: float = 0.997
    supernet: bool = False
    start: str = ""
    distil: str = ""

    def rate(self, step: int) -> float:
        """Learning rate at a step: linear warm-up over the first 3 %, then cosine decay."""
        return self.learning_rate * _schedule(step / self.steps)


@dataclass(frozen=True)
class MatcherRecipe:
    """Everything that decides the result of a matcher's training, except VGG-19 and the files.

    widths: channels of the encoder's levels. photos, luts: number of photos and LUTs to train on.
    steps: number of steps. batch: pairs per step. learning_rate: its peak; the encoder learns at
    half of it. hard: fraction of the pairs of different photos whose photos look alike. grades:
    number of random grades. scene_only: train only what judges whether both photos show the same
    scene. start: the initial weights, as identified by `photostyle.model.checkpoint.identify`.
    """

    widths: Widths
    photos: int
    luts: int
    steps: int = 6000
    batch: int = 24
    learning_rate: float = 1.2e-3
    seed: int = 0
    hard: float = 0.75
    grades: int = 2000
    scene_only: bool = False
    start: str = ""

    def rate(self, step: int) -> float:
        """Learning rate at a step, as of `Recipe`."""
        return self.learning_rate * _schedule(step / self.steps)

    @property
    def averaging(self) -> float:
        """Decay of the moving average of the weights, which spans a twelfth of the steps."""
        return 1 - 1 / max(1, self.steps / 12)


def _schedule(progress: float) -> float:
    """Learning rate relative to its peak, at a progress of 0..1."""
    if progress < 0.03:
        return 0.04 + 0.96 * progress / 0.03
    return 0.002 + 0.499 * (1 + math.cos(math.pi * progress))


@dataclass(frozen=True)
class SearchSettings:
    """Everything that decides the result of a search, except the machine's speed.

    supernet, reference, matcher: as of `photostyle.model.checkpoint.identify`. photos: number of
    photos. pairs: photo pairs per candidate; size: their side in pixels. latency_size: side of the
    timed photos in pixels. population: size of the evolutionary sampler's population.
    """

    supernet: str
    reference: str
    matcher: str
    photos: int
    score: Score = "pareto"
    pairs: int = 12
    size: int = 160
    latency_size: int = 192
    population: int = 50
    seed: int = 0

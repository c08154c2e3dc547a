"""Compares candidates of the search with the teacher, in quality and speed.

The teacher is the supernet's largest network or another given network. Both networks stylize the
same few pairs of photos; their results are clamped to 0..1 and compared.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from photostyle.evaluation import metrics
from photostyle.model.architecture import PHOTONET, Architecture
from photostyle.model.checkpoint import Checkpoint
from photostyle.model.matcher import Matcher
from photostyle.model.network import PhotoNet
from photostyle.model.transfer_settings import TransferSettings
from photostyle.model.vgg import VGGFeatures
from photostyle.training.data import Photos
from photostyle.training.distillation import Found, Outcome
from photostyle.training.recipe import Recipe
from photostyle.training.supernet import Supernet, canonical
from photostyle.training.trainer import Batch, make_batch, to_uint8
from photostyle.transfer.correspondence import resized_to

Figures = dict[str, float]

REPEATS = 3
"""Number of times that candidate and teacher are timed."""

REGION_ERROR = 20.0
"""Error of a result that has nothing of the style in any region, beside colour differences."""


def make_pairs(photos: Photos, count: int, size: int, seed: int) -> list[Batch]:
    """Batches of one pair each as in training, alternately graded and of different photos."""
    recipe = Recipe(str(PHOTONET), (1, 1, 1, 1, 1), batch=1, size=size, seed=seed, identity=0)
    return [make_batch(photos, recipe, number) for number in range(count)]


def paper_score(pixel: float, feature: float, architecture: Architecture) -> float:
    """The score 0.8 L_r + 0.1 L_p + 0.1 L_m, lower is better (An et al. 2020).

    L_r: ``pixel``, the mean squared difference of results. L_p: ``feature``, see `feature_error`.
    L_m: the fraction of ones in the 32 characters of the canonical architecture string, so that
    bits without effect cost nothing.
    """
    ones = str(canonical(architecture)).count("1")
    return 0.8 * pixel + 0.1 * feature + 0.1 * ones / 32


def feature_error(result: Sequence[Tensor], teacher: Sequence[Tensor]) -> float:
    """Mean squared difference of VGG features, averaged over levels.

    Each level is divided by the mean of the teacher's features, which gives the scale of the
    paper's normalized VGG with a mean activation of 1 (Gatys et al. 2016).
    """
    errors = [((f - t) / t.mean()).square().mean() for f, t in zip(result, teacher, strict=True)]
    return float(torch.stack(errors).mean())


class Evaluator:
    """Compares subnetworks of a supernet with the teacher.

    pairs: batches of one pair each, with sides that are multiples of 16. reference: the teacher;
    None for the supernet's largest network. vgg: VGG-19 for the paper's score, otherwise None.
    latency_size: side of the timed photos in pixels. matcher: finds regions and looks, once for
    each pair; None for a transfer of whole photos. Within ``supernet.shared_encodings()`` the pairs
    are encoded once for all candidates, which share the encoder.
    """

    def __init__(
        self,
        supernet: Supernet,
        settings: TransferSettings,
        pairs: Sequence[Batch],
        *,
        reference: Checkpoint | None = None,
        vgg: VGGFeatures | None = None,
        latency_size: int = 192,
        matcher: Matcher | None = None,
    ):
        self.supernet, self.settings, self.vgg = supernet, settings, vgg
        self.matcher = matcher
        self.device = next(supernet.parameters()).device
        self.pairs = [pair.to(self.device) for pair in pairs]
        self.teacher = reference or Checkpoint(supernet.extract(PHOTONET), settings)
        self.teacher.network.to(self.device).to(memory_format=torch.channels_last)
        generator = torch.Generator().manual_seed(0)
        shape = (1, 3, latency_size, latency_size)
        content, style = (torch.rand(shape, generator=generator) for _ in range(2))
        self._timed = Batch(content, style, None).to(self.device)
        with torch.inference_mode():
            outcomes = [
                self._outcome(self.teacher.network, self.teacher.transfer, pair, matcher)
                for pair in self.pairs
            ]
            self._found = [outcome.found for outcome in outcomes]
            self._results = [outcome.result.clamp(0, 1) for outcome in outcomes]
            self._features = [vgg(result) for result in self._results] if vgg else []

    def compare(self, network: PhotoNet, number: int) -> Figures:
        """Compare the network's result for pair ``number`` with the teacher's.

        Returns distance: mean CIEDE2000 between the results; pixel: their mean squared difference;
        feature: `feature_error`, if there is a VGG; target: for a graded pair, mean CIEDE2000
        between the network's result and the target; error: the same, or for two different photos
        REGION_ERROR (1 - region_style) by the regions that the matcher found, 0 without them.
        """
        pair = self.pairs[number]
        with torch.inference_mode():
            outcome = self._outcome(network, self.settings, pair, self._found[number])
            result = outcome.result.clamp(0, 1)
            teacher_result = self._results[number]
            figures = {"pixel": float((result - teacher_result).square().mean())}
            if self.vgg:
                figures["feature"] = feature_error(self.vgg(result), self._features[number])
        pixels = to_uint8(result[0])
        figures["distance"] = metrics.ciede2000(to_uint8(teacher_result[0]), pixels)
        if pair.target is None:
            figures["error"] = region_error(outcome, pair, pixels)
        else:
            figures["target"] = metrics.ciede2000(to_uint8(pair.target[0]), pixels)
            figures["error"] = figures["target"]
        return figures

    def latency(self, architecture: Architecture) -> float:
        """Time to learn and apply a style, divided by the teacher's time.

        It is the median of REPEATS ratios, each of two consecutive runs, so that other load on the
        machine slows down both.
        """
        candidate = self.supernet.extract(architecture).to(memory_format=torch.channels_last)
        with torch.inference_mode():
            ratios = [
                self._time(candidate, self.settings)
                / self._time(self.teacher.network, self.teacher.transfer)
                for _ in range(REPEATS)
            ]
        return statistics.median(ratios)

    def _time(self, network: PhotoNet, settings: TransferSettings) -> float:
        self._synchronize()
        start = time.perf_counter()
        self._outcome(network, settings, self._timed, self.matcher)
        self._synchronize()
        return time.perf_counter() - start

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @staticmethod
    def _outcome(
        network: PhotoNet, settings: TransferSettings, pair: Batch, matcher: Matcher | Found | None
    ) -> Outcome:
        return Outcome.of(network, pair.content, pair.style, settings, matcher)


def region_error(outcome: Outcome, pair: Batch, result: np.ndarray) -> float:
    """REGION_ERROR (1 - region_style) of a result (H, W, 3), uint8; 0 without two regions."""
    if outcome.regions is None:
        return 0.0
    labels = (
        resized_to(masks, photo).argmax(1)[0].cpu().numpy()
        for masks, photo in (
            (outcome.regions.content, pair.content),
            (outcome.regions.style, pair.style),
        )
    )
    style = metrics.region_style(result, to_uint8(pair.style[0]), *labels)
    return 0.0 if style is None else REGION_ERROR * (1 - style)

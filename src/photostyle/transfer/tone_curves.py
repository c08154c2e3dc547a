"""Tone curves: smooth, monotone curves that map the tones of one photo to those of another.

They do what an affine map of colours cannot: open shadows, hold highlights, give the dark half of a
photo another contrast than the bright half. Every tensor has a leading batch dimension B.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LOW, HIGH, BINS = -0.25, 1.25, 384
"""Range and bins of a histogram: values beyond it count in the first or the last bin."""

QUANTILES = 512
"""Number of quantiles by which two histograms are compared."""

SMOOTHING = 0.08
"""Standard deviation of the Gaussian that smooths the slope of a curve, on 0..1."""

SLOPES = (0.6, 1.6)
"""The smallest and the largest slope of a curve: steeper ones show banding and noise."""


@dataclass(frozen=True)
class ToneHistogram:
    """A histogram of each channel: counts (B, C, BINS), float64."""

    counts: Tensor

    @classmethod
    def of(cls, pixels: Tensor, weights: Tensor | None = None) -> ToneHistogram:
        """The histogram of pixels (B, C, H, W), about 0..1; weights as in `Moments.of`."""
        values = pixels.detach().flatten(2)
        # A value counts in the two bins that it lies between, so that rounding changes little.
        position = ((values - LOW) * (BINS / (HIGH - LOW)) - 0.5).clamp_(0, BINS - 1)
        below = position.long().clamp_(0, BINS - 2)  # the long of NaN is beyond any bin
        upper = position.double() - below
        if weights is None:
            pixel_weights = torch.ones_like(upper)
        else:
            pixel_weights = weights.flatten(2).double()
            some_count = pixel_weights.amax(2, keepdim=True) > 0
            pixel_weights = torch.where(some_count, pixel_weights, 1)
        counts = upper.new_zeros(*values.shape[:2], BINS)
        counts.scatter_add_(2, below, pixel_weights * (1 - upper))
        return cls(counts.scatter_add_(2, below + 1, pixel_weights * upper))

    @classmethod
    def merge(cls, parts: Iterable[ToneHistogram]) -> ToneHistogram:
        """The histograms of the union of disjoint sets."""
        return cls(torch.stack([part.counts for part in parts]).sum(0))

    @classmethod
    def barycenter(cls, parts: Sequence[ToneHistogram], weights: Sequence[float]) -> ToneHistogram:
        """The Wasserstein barycenter: quantiles are the weighted means of all quantiles.

        The weights add up to 1. Source: Agueh and Carlier 2011, section 6.1.
        """
        quantiles = [weight * part.quantiles() for part, weight in zip(parts, weights, strict=True)]
        return cls.of(torch.stack(quantiles).sum(0)[:, :, None])

    def to(self, device: torch.device) -> ToneHistogram:
        return ToneHistogram(self.counts.to(device))

    def quantiles(self) -> Tensor:
        """The values (B, C, QUANTILES) below which (k + 1/2) / QUANTILES of all lie."""
        cumulative = F.pad(self.counts.cumsum(-1), (1, 0))
        # Strictly increasing, so that every level lies in one bin.
        cumulative = cumulative + _numbers(BINS + 1, cumulative) * 1e-12
        cumulative = cumulative / cumulative[..., -1:]
        levels = (_numbers(QUANTILES, cumulative) + 0.5) / QUANTILES
        levels = levels.expand(*cumulative.shape[:2], -1).contiguous()
        return LOW + (HIGH - LOW) / BINS * _interpolated(cumulative, levels)

    def mean(self) -> Tensor:
        """The mean tone, (B, C)."""
        return (self.counts * _centers(self.counts)).sum(-1) / self.counts.sum(-1)

    def curves(self, target: ToneHistogram) -> ToneCurves:
        """The curves that map these tones to ``target``'s, as far as they stay gentle.

        The monotone transport between the two histograms (quantile onto quantile; Pitié, Kokaram
        and Dahyot 2007, section 2), with its slope smoothed where tones are frequent and kept
        within SLOPES. The mean tone becomes the target's.
        """
        width = (HIGH - LOW) / BINS
        edges = LOW + width * _numbers(BINS + 1, self.counts)
        source = self.quantiles()
        shift = target.quantiles() - source
        index = _interpolated(source, edges.expand(*source.shape[:2], -1).contiguous())
        slope = 1 + _at(shift, index).diff(dim=-1) / width
        weight = self.counts / self.counts.sum(-1, keepdim=True) + 1e-4
        slope = (_smoothed(slope * weight, width) / _smoothed(weight, width)).clamp(*SLOPES)
        shift = F.pad(((slope - 1) * width).cumsum(-1), (1, 0))
        density = self.counts / self.counts.sum(-1, keepdim=True)
        moved = (density * (shift[..., 1:] + shift[..., :-1]) / 2).sum(-1)
        return ToneCurves(shift + (target.mean() - self.mean() - moved)[..., None])


@dataclass(frozen=True)
class ToneCurves:
    """x -> x + shift(x) on each channel; shift: (B, C, BINS + 1), at the edges of the bins."""

    shift: Tensor

    def __call__(self, pixels: Tensor) -> Tensor:
        """Apply the curves to pixels (B, C, H, W)."""
        values = pixels.flatten(2)
        index = (values - LOW) * (BINS / (HIGH - LOW))
        shift = self.shift.to(values).expand(*values.shape[:2], -1)
        return (values + _at(shift, index)).view_as(pixels)


def _at(table: Tensor, index: Tensor) -> Tensor:
    """Values of table (B, C, N) at fractional indices (B, C, M), clamped to 0..N-1."""
    index = index.clamp(0, table.shape[-1] - 1)
    below = index.detach().floor().long().clamp(0, table.shape[-1] - 2)
    low, high = table.gather(-1, below), table.gather(-1, below + 1)
    return torch.lerp(low, high, index - below)


def _interpolated(increasing: Tensor, values: Tensor) -> Tensor:
    """The fractional indices (B, C, M) at which ``increasing`` (B, C, N) takes ``values``."""
    above = torch.searchsorted(increasing, values).clamp(1, increasing.shape[-1] - 1)
    low, high = increasing.gather(-1, above - 1), increasing.gather(-1, above)
    fraction = (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)
    return above - 1 + fraction.clamp(0, 1)


def _smoothed(values: Tensor, width: float) -> Tensor:
    """Values (B, C, N) smoothed by a Gaussian of SMOOTHING, with repeated ends."""
    sigma = SMOOTHING / width
    radius = round(4 * sigma)
    kernel = torch.exp(-0.5 * ((_numbers(2 * radius + 1, values) - radius) / sigma) ** 2)
    padded = F.pad(values, (radius, radius), mode="replicate")
    return padded.unfold(-1, len(kernel), 1) @ (kernel / kernel.sum())


def _centers(like: Tensor) -> Tensor:
    return LOW + (HIGH - LOW) / BINS * (_numbers(BINS, like) + 0.5)


def _numbers(count: int, like: Tensor) -> Tensor:
    """0 to count - 1, of the type and on the device of another tensor."""
    return torch.arange(count, dtype=like.dtype, device=like.device)

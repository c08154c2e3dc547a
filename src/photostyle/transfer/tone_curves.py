"""Tone curves: smooth, monotone curves that carry the tones of one photo onto another's.

What an affine map of colours cannot do: open shadows, hold highlights, give another contrast to
the dark half of a photo than to the bright one. A leading batch dimension B runs through
everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LOW, HIGH, BINS = -0.25, 1.25, 384
"""Of a histogram: values beyond count as the first or the last of its bins."""

QUANTILES = 512
"""As many quantiles of the two histograms are compared."""

SMOOTHING = 0.08
"""Standard deviation of the Gaussian that smooths the slope of a curve, on 0..1."""

SLOPES = (0.6, 1.6)
"""The flattest and the steepest that a curve may be: steeper ones show banding and noise."""


@dataclass(frozen=True)
class ToneHistogram:
    """Histograms of channels: counts (B, C, BINS), float64."""

    counts: Tensor

    @classmethod
    def of(cls, pixels: Tensor, weights: Tensor | None = None) -> ToneHistogram:
        """Of pixels (B, C, H, W), around 0..1; weights: (B, 1, H, W), as in `Moments.of`."""
        values = pixels.detach().flatten(2)
        # Each value counts for the two bins that it lies between: rounding errors stay small.
        place = ((values - LOW) * (BINS / (HIGH - LOW)) - 0.5).clamp_(0, BINS - 1)
        below = place.long().clamp_(0, BINS - 2)  # what is no number is beyond any bin
        part = place.double() - below
        if weights is None:
            share = torch.ones_like(part)
        else:
            share = weights.flatten(2).double()
            share = torch.where(share.amax(2, keepdim=True) > 0, share, 1)
        counts = part.new_zeros(*values.shape[:2], BINS)
        counts.scatter_add_(2, below, share * (1 - part))
        return cls(counts.scatter_add_(2, below + 1, share * part))

    @classmethod
    def merge(cls, parts: Iterable[ToneHistogram]) -> ToneHistogram:
        """The histograms of the union of disjoint sets."""
        return cls(torch.stack([part.counts for part in parts]).sum(0))

    def quantiles(self) -> Tensor:
        """(B, C, QUANTILES): the values below which lie (k + 1/2) / QUANTILES of all."""
        cumulative = F.pad(self.counts.cumsum(-1), (1, 0))
        # Strictly increasing, so that every level lies in one bin.
        cumulative = cumulative + _numbers(BINS + 1, cumulative) * 1e-12
        cumulative = cumulative / cumulative[..., -1:]
        levels = (_numbers(QUANTILES, cumulative) + 0.5) / QUANTILES
        levels = levels.expand(*cumulative.shape[:2], -1).contiguous()
        return LOW + (HIGH - LOW) / BINS * _interpolated(cumulative, levels)

    def mean(self) -> Tensor:
        """(B, C)."""
        return (self.counts * _centres(self.counts)).sum(-1) / self.counts.sum(-1)

    def curves(self, target: ToneHistogram) -> ToneCurves:
        """The curves that carry these tones onto ``target``'s, as far as they stay gentle.

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
        share = self.counts / self.counts.sum(-1, keepdim=True)
        moved = (share * (shift[..., 1:] + shift[..., :-1]) / 2).sum(-1)
        return ToneCurves(shift + (target.mean() - self.mean() - moved)[..., None])


@dataclass(frozen=True)
class ToneCurves:
    """x -> x + shift(x) on each channel; shift: (B, C, BINS + 1), at the edges of the bins."""

    shift: Tensor

    def __call__(self, pixels: Tensor) -> Tensor:
        """Canvas (B, C, H, W) under the curves."""
        values = pixels.flatten(2)
        index = (values - LOW) * (BINS / (HIGH - LOW))
        shift = self.shift.to(values).expand(*values.shape[:2], -1)
        return (values + _at(shift, index)).view_as(pixels)


def _at(table: Tensor, index: Tensor) -> Tensor:
    """Values of table (B, C, N) at fractional indices (B, C, M), cut off to 0..N-1."""
    index = index.clamp(0, table.shape[-1] - 1)
    below = index.detach().floor().long().clamp(0, table.shape[-1] - 2)
    low, high = table.gather(-1, below), table.gather(-1, below + 1)
    return torch.lerp(low, high, index - below)


def _interpolated(increasing: Tensor, values: Tensor) -> Tensor:
    """The fractional indices in ``increasing`` (B, C, N) at which it takes ``values`` (B, C, M)."""
    above = torch.searchsorted(increasing, values).clamp(1, increasing.shape[-1] - 1)
    low, high = increasing.gather(-1, above - 1), increasing.gather(-1, above)
    share = (values - low) / (high - low).clamp_min(torch.finfo(values.dtype).tiny)
    return above - 1 + share.clamp(0, 1)


def _smoothed(values: Tensor, width: float) -> Tensor:
    """Values (B, C, N) under a Gaussian of SMOOTHING, the ends repeated."""
    sigma = SMOOTHING / width
    radius = round(4 * sigma)
    kernel = torch.exp(-0.5 * ((_numbers(2 * radius + 1, values) - radius) / sigma) ** 2)
    padded = F.pad(values, (radius, radius), mode="replicate")
    return padded.unfold(-1, len(kernel), 1) @ (kernel / kernel.sum())


def _centres(like: Tensor) -> Tensor:
    return LOW + (HIGH - LOW) / BINS * (_numbers(BINS, like) + 0.5)


def _numbers(count: int, like: Tensor) -> Tensor:
    """0 to count - 1, made on the device itself."""
    return torch.arange(count, dtype=like.dtype, device=like.device)

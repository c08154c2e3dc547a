"""Colours of a composed result: matched to the style's, and kept from clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.moments import AffineMap, Moments, matrix_roots, transfer_map
from photostyle.transfer.tone_curves import ToneCurves, ToneHistogram

DAMPING = 1e-3
"""Damping of the affine maps of the match of a whole photo."""

GAINS = (0.0, 8.0)
"""The least and the largest gain of the match of a whole photo: noise is not a contrast."""

CORRECTION = 0.15
"""Exponent that makes bounds of the gain of a match those of the maps that follow."""

ROUNDS = 3
"""Number of affine maps that make up for the contrast that `roll_off` takes."""

SAMPLE = 1 << 16
"""Number of pixels of a photo, roughly, that its colours are matched by."""

KNEE = 0.7
"""Where `roll_off` starts, as a fraction of the headroom."""


@dataclass(frozen=True)
class Palette:
    """The colours of a photo: the moments and the tones of its pixels."""

    moments: Moments
    tones: ToneHistogram

    @classmethod
    def of(cls, pixels: Tensor, weights: Tensor | None = None) -> Palette:
        """The palette of RGB (B, 3, H, W), 0..1; weights as in `Moments.of`."""
        return cls(Moments.of(pixels, weights), ToneHistogram.of(pixels, weights))

    def to(self, device: torch.device) -> Palette:
        return Palette(self.moments.to(device), self.tones.to(device))


@dataclass(frozen=True)
class ColorMatch:
    """An affine map of colours, then tone curves, then another affine map."""

    before: AffineMap
    curves: ToneCurves
    after: AffineMap

    def __call__(self, pixels: Tensor) -> Tensor:
        """Match RGB (B, 3, H, W)."""
        return self.after(self.curves(self.before(pixels)))

    def lerp(self, other: ColorMatch, fraction: float) -> ColorMatch:
        """Linear interpolation: 0 is this match, 1 the other."""
        return ColorMatch(
            self.before.lerp(other.before, fraction),
            ToneCurves(torch.lerp(self.curves.shift, other.curves.shift, fraction)),
            self.after.lerp(other.after, fraction),
        )


def match_colors(
    result: Tensor,
    content: Tensor,
    style: Palette,
    method: str,
    weights: Tensor | None = None,
    damping: float = DAMPING,
    gains: tuple[float, float] = GAINS,
) -> ColorMatch:
    """The match of a result to the palette of the style, which it has after `roll_off`.

    result: as composed, content: the photo itself, both RGB (B, 3, H, W); a sample (`sampled`) is
    enough. damping: of the affine maps, see `photostyle.model.moments.classic`. gains: the least
    and the largest gain of the first affine map. That map matches means and covariances, curves
    match the tones; then, ROUNDS times, an affine map makes up for what `roll_off` changes.
    """

    def affine(pixels: Tensor, low: float, high: float) -> AffineMap:
        moments = Moments.of(pixels, weights)
        found = transfer_map(moments, style.moments, method, damping)
        return AffineMap.between(moments.mean, style.moments.mean, bounded(found.matrix, low, high))

    before = affine(result.clamp(0, 1), *gains)
    curves = ToneHistogram.of(before(result), weights).curves(style.tones)
    curved = curves(before(result))
    low, high = (gain**CORRECTION for gain in gains)
    after = affine(roll_off(curved, content), low, high)
    for _ in range(ROUNDS - 1):
        after = after.then(affine(roll_off(after(curved), content), low, high))
    return ColorMatch(before, curves, after)


def bounded(matrix: Tensor, low: float, high: float) -> Tensor:
    """Matrices (B, 3, 3) with singular values between low and high.

    Differentiable, also where singular values are equal: with the polar decomposition Q P, and
    clamp(x) = (low + high + |x - low| - |x - high|) / 2.
    """
    stretch, inverse = matrix_roots(matrix.mT @ matrix)
    one = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    above, below = (
        matrix_roots(off @ off + 1e-10 * one)[0]
        for off in (stretch - low * one, stretch - high * one)
    )
    return matrix @ inverse @ ((low + high) * one + above - below) / 2


def sampled(pixels: Tensor, count: int = SAMPLE) -> Tensor:
    """Every nth row and column of (B, C, H, W), so that about ``count`` pixels are left."""
    height, width = pixels.shape[-2:]
    step = max(1, math.floor(math.sqrt(height * width / count)))
    return pixels[..., step // 2 :: step, step // 2 :: step]


def roll_off(result: Tensor, content: Tensor, in_place: bool = False) -> Tensor:
    """Approach 0 and 1 softly instead of clipping, as film does; RGB (B, 3, H, W) or (3, H, W).

    A change takes the fraction t = (result - content) / (1 - content) of the headroom above the
    content's value (below it, of content). Fractions over KNEE = k are compressed, with slope 1 at
    k and limit 1, to k + (1 - k) u / (1 + u), u = (t - k) / (1 - k). Unchanged values stay.
    in_place: overwrite ``result``, which has no gradient.
    """
    soft, half = 1 - KNEE, KNEE / 2
    # Values stay up to ``half`` from the middle between those at which t = KNEE.
    middle = torch.rsub(content, half, alpha=-soft)
    offset = result - middle
    over = F.softshrink(offset, half)
    # With s = (1 - k) headroom, the excess o becomes o - o |o| / (|o| + s). Above, |o| + s is
    # o - middle + 1 - half; below, its negative is o - middle + half; tiny keeps it from 0.
    tiny = 2 * torch.finfo(over.dtype).eps
    limit = (offset.detach() * 1e30).clamp_(half - tiny, 1 - half + tiny)
    addcdiv = Tensor.addcdiv_ if in_place else torch.addcdiv
    return addcdiv(result, over.square(), limit.add_(over).sub_(middle), value=-1)

"""The colours of a transferred photo: matched to the style's, and kept from clipping."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.moments import AffineMap, Moments, transfer_map
from photostyle.transfer.tone_curves import ToneCurves, ToneHistogram

DAMPING = 1e-3
"""Damping of the maps that match colours, which are near the identity."""

ROUNDS = 3
"""As often what `roll_off` takes from the contrast is made up for."""

SAMPLE = 1 << 16
"""About as many pixels of a photo are looked at to match its colours."""

KNEE = 0.7
"""Where `roll_off` starts, as a share of the way from the content's value to 0 or 1."""


@dataclass(frozen=True)
class Palette:
    """The colours of a photo: the moments and the tones of its pixels."""

    moments: Moments
    tones: ToneHistogram

    @classmethod
    def of(cls, pixels: Tensor, weights: Tensor | None = None) -> Palette:
        """Of RGB (B, 3, H, W), 0..1; weights as in `Moments.of`."""
        return cls(Moments.of(pixels, weights), ToneHistogram.of(pixels, weights))


@dataclass(frozen=True)
class ColorMatch:
    """An affine map of colours, then tone curves, then another affine map."""

    before: AffineMap
    curves: ToneCurves
    after: AffineMap
    strength: float = 1.0

    def __call__(self, pixels: Tensor) -> Tensor:
        """RGB (B, 3, H, W)."""
        matched = self.after(self.curves(self.before(pixels)))
        return matched if self.strength == 1 else torch.lerp(pixels, matched, self.strength)

    def lerp(self, other: ColorMatch, share: float) -> ColorMatch:
        """A ``share`` of the way from this match to another."""
        return replace(
            self,
            before=self.before.lerp(other.before, share),
            curves=ToneCurves(torch.lerp(self.curves.shift, other.curves.shift, share)),
            after=self.after.lerp(other.after, share),
        )


def match_colors(
    result: Tensor, content: Tensor, style: Palette, method: str, weights: Tensor | None = None
) -> ColorMatch:
    """What gives a transferred photo the palette of the style, once it has been rolled off.

    result: as transferred, content: the photo itself, both RGB (B, 3, H, W), a `sampled` one will
    do. The first affine map carries over means and covariances, the curves the tones; then, ROUNDS
    times, an affine map makes up for what `roll_off` changes.
    """

    def carry(pixels: Tensor) -> AffineMap:
        return transfer_map(Moments.of(pixels, weights), style.moments, method, DAMPING)

    before = carry(result.clamp(0, 1))
    curves = ToneHistogram.of(before(result), weights).curves(style.tones)
    curved = curves(before(result))
    after = carry(roll_off(curved, content))
    for _ in range(ROUNDS - 1):
        after = after.then(carry(roll_off(after(curved), content)))
    return ColorMatch(before, curves, after)


def sampled(pixels: Tensor) -> Tensor:
    """Every nth row and column of (B, C, H, W), so that about SAMPLE pixels remain."""
    height, width = pixels.shape[-2:]
    step = max(1, math.floor(math.sqrt(height * width / SAMPLE)))
    return pixels[..., step // 2 :: step, step // 2 :: step]


def roll_off(result: Tensor, content: Tensor) -> Tensor:
    """Approach 0 and 1 softly instead of being cut off there, as film does.

    A change takes the share t = (result - content) / (1 - content) of the room above the content's
    value (below it, with content for 1 - content). Shares over KNEE = k are compressed, with slope
    1 at k and limit 1, to k + (1 - k) u / (1 + u), u = (t - k) / (1 - k). An unchanged photo stays.
    """
    soft = 1 - KNEE
    # What lies above KNEE + soft content or below soft content, which is where t is KNEE.
    over = F.softshrink(torch.sub(result, content, alpha=soft).sub_(KNEE / 2), KNEE / 2)
    side = over.detach().sign()
    # With o = |over| and s = (1 - k) room, what is too much of o is o - o s / (o + s). Where there
    # is no room s is exactly 0, and the sum is o, however small.
    room = torch.rsub(content, soft / 2, alpha=soft).mul_(side).add_(soft / 2)
    room = torch.addcmul(room, over, side)
    return torch.addcdiv(result, over * over.abs(), room, value=-1)

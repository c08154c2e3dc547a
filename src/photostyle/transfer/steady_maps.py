"""Local maps that change from frame to frame only where the clip itself does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.transfer.local_maps import LocalAffineMaps

GRID = 36
"""Number of blocks along the long side of a frame whose mean colours are compared."""

ALIKE = 0.03
"""Distance of colours, on 0..1, up to which a block counts as what it was in another frame."""

OWN = 0.25
"""Weight of a frame's own maps beside those of another frame that shows the same at a place."""

STILL = 0.02
"""Distance of colours, on 0..1, up to which a block counts as still between two frames."""


@dataclass(frozen=True)
class Keyframe:
    """A frame that the network saw. key: see `key_of`. maps: its local maps."""

    key: Tensor
    maps: LocalAffineMaps


@dataclass(frozen=True)
class Anchors:
    """What the network made of frames all over a shot, at the places of their keys.

    keys: (K, 3, h, w). maps: (K, 12, h, w), float16.
    """

    keys: Tensor
    maps: Tensor

    @classmethod
    def of(cls, frames: Tensor, maps: Sequence[LocalAffineMaps]) -> Anchors:
        """frames: (K, 3, H, W), 0..1; maps: of each."""
        keys = key_of(frames)
        small = (
            F.adaptive_avg_pool2d(one.maps[None], (keys.shape[2], keys.shape[3])) for one in maps
        )
        return cls(keys, torch.cat(list(small)).half())

    def steadied(self, maps: LocalAffineMaps, key: Tensor) -> LocalAffineMaps:
        """The maps of a frame, averaged with those of frames that show the same at a place.

        Where a scene stands still, that is the mean over the shot, whatever happens beside it;
        where all moves, the maps stay as they are.
        """
        weights = _alike(self.keys, key)
        total = OWN + weights.sum(0)
        mean, rest = (weights * self.maps).sum(0) / total, OWN / total
        own = F.adaptive_avg_pool2d(maps.maps, (key.shape[1], key.shape[2]))
        step = F.interpolate((mean + (rest - 1) * own)[None], maps.maps.shape[1:], mode="bilinear")
        return LocalAffineMaps(maps.maps + step[0], maps.ratio)


def key_of(frames: Tensor) -> Tensor:
    """The mean colours of blocks of frames (K, 3, H, W): (K, 3, h, w)."""
    height, width = (
        max(1, round(GRID * side / max(frames.shape[2:]))) for side in frames.shape[2:]
    )
    return F.adaptive_avg_pool2d(frames, (height, width))


def between(before: Keyframe, after: Keyframe, fraction: float, key: Tensor) -> LocalAffineMaps:
    """The maps of a frame between two others, at a fraction of the time from one to the other.

    Where one block shows something else than the other, that is the fraction of the way from the
    one colour to the other: a lamp is on or off, a dissolve proceeds evenly.
    """
    way, gone = after.key - before.key, key - before.key
    share = (way * gone).sum(0) + STILL**2 * fraction
    share = (share / (way.square().sum(0) + STILL**2)).clamp(0, 1)[None, None]
    share = F.interpolate(share, before.maps.maps.shape[1:], mode="bilinear")[0]
    return LocalAffineMaps(torch.lerp(before.maps.maps, after.maps.maps, share), before.maps.ratio)


def mixed(first: Keyframe, last: Keyframe, weight: float) -> LocalAffineMaps:
    """The maps of a mixture of two frames, whose result is the same mixture of both results.

    weight: of the last. Where the maps A and B are those of the blocks x and y, and v + w = 1,
    v A x + w B y = (v A + w B) (v x + w y) + v w (A - B) (x - y).
    """
    size = first.maps.maps.shape[1:]
    apart = F.interpolate((first.key - last.key)[None], size, mode="bilinear")
    matrices = (first.maps.maps[:9] - last.maps.maps[:9]).unflatten(0, (3, 3))
    maps = torch.lerp(first.maps.maps, last.maps.maps, weight)
    maps[9:12] += weight * (1 - weight) * (matrices * apart).sum(1)
    return LocalAffineMaps(maps, first.maps.ratio)


def _alike(keys: Tensor, key: Tensor) -> Tensor:
    """How far the blocks of keys (..., 3, h, w) and a key are the same: (..., 1, h, w), 0..1."""
    return torch.exp(-(keys - key).square().sum(-3, keepdim=True) / (2 * ALIKE**2))

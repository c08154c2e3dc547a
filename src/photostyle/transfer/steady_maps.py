"""Local maps that change from frame to frame only where the clip itself does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

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

LATTICE = 33
"""Number of points per axis of a lattice of colours."""

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

    def steadied(
        self, maps: LocalAffineMaps, key: Tensor, anywhere: bool = False
    ) -> LocalAffineMaps:
        """The maps of a frame, averaged with those of frames that show the same at a place.

        Where a scene stands still, that is the mean over the shot, whatever happens beside it;
        where all moves, the maps stay as they are. anywhere: averaged with those of the same
        colours at all places, so that one colour has one grade.
        """
        if anywhere:
            *sums, weight = self._of_colors(key)
            total = OWN + weight
            mean = torch.stack(sums) / total
        else:
            weights = _alike(self.keys, key)
            total = OWN + weights.sum(0)
            mean = (weights * self.maps).sum(0) / total
        rest = OWN / total
        own = F.adaptive_avg_pool2d(maps.maps, (key.shape[1], key.shape[2]))
        step = F.interpolate((mean + (rest - 1) * own)[None], maps.maps.shape[1:], mode="bilinear")
        return LocalAffineMaps(maps.maps + step[0], maps.ratio)

    def _of_colors(self, key: Tensor) -> Tensor:
        """Sum of the maps of all blocks, weighted by how alike they are to those of a key.

        The sum of the weights follows: (13, h, w).
        """
        places = (2 * key.flip(0).permute(1, 2, 0) - 1).clamp(-1, 1)  # the last axis comes first
        return F.grid_sample(self._by_color[None], places[None, None], align_corners=True)[0, :, 0]

    @cached_property
    def _by_color(self) -> Tensor:
        """The sums of `_of_colors` at the points of a lattice of R, G and B."""
        maps = self.maps.float().transpose(0, 1).flatten(1)
        values = torch.cat([maps, torch.ones_like(maps[:1])])
        colors = self.keys.transpose(0, 1).flatten(1).clamp(0, 1)
        r, g, b = (colors * (LATTICE - 1)).round().long()
        sums = values.new_zeros(len(values), LATTICE**3)
        sums.index_add_(1, (r * LATTICE + g) * LATTICE + b, values)
        offsets = torch.arange(-3, 4, device=values.device) / (LATTICE - 1)
        near = torch.exp(-offsets.square() / (2 * ALIKE**2))
        lattice = sums.view(-1, 1, LATTICE, LATTICE, LATTICE)
        for shape in ((7, 1, 1), (1, 7, 1), (1, 1, 7)):
            lattice = F.conv3d(lattice, near.view(1, 1, *shape), padding=[n // 2 for n in shape])
        return lattice[:, 0]


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

"""Regions that content and style have in common.

Found by the network, they are clusters of the descriptors of both photos (see
`photostyle.model.matcher`), sharpened at the edges of each photo; given by hand, they are the
labels of two maps. Either way a region is a soft mask, and all masks add up to 1 at every pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.matcher import Blocks
from photostyle.transfer.local_maps import guided_filter

COUNT = 6
"""Number of regions that are found."""

HEIGHT = 0.3
"""Weight of the vertical position in a descriptor, whose own length is about 1."""

ALIKE, COLORS = 0.05, 5.0
"""Distance at which two blocks start to differ, and the weight of their RGB beside descriptors."""

SOFTNESS = 0.3
"""Temperature of soft assignments, relative to the mean squared distance to the nearest center."""

REACH, EDGES = 0.06, 1e-3
"""Radius of the guided filter that sharpens masks, as a fraction of the long side, and the variance
of colours that counts as an edge."""

RARE = 0.01
"""Fraction of a photo under which a region is too rare to be trusted."""

_RESTARTS, _STEPS = 4, 15


class Box(NamedTuple):
    """A part of a photo, in pixels; bottom and right are the first ones outside."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, pixels: Tensor) -> Tensor:
        """That part of pixels (..., H, W)."""
        return pixels[..., self.top : self.bottom, self.left : self.right]

    def margins(self, height: int, width: int) -> tuple[int, int, int, int]:
        """What a photo of height x width has outside: at the top, bottom, left and right."""
        return self.top, height - self.bottom, self.left, width - self.right

    def joined(self, other: Box) -> Box:
        """The smallest box that contains both."""
        top, left = min(self.top, other.top), min(self.left, other.left)
        return Box(top, max(self.bottom, other.bottom), left, max(self.right, other.right))

    def within(self, other: Box) -> Box:
        """The same part in the coordinates of a box that contains it."""
        rows, columns = (edge - other.top for edge in self[:2]), (e - other.left for e in self[2:])
        return Box(*rows, *columns)

    def scale(self, features: Tensor) -> int:
        """How many pixels of the box a side of a pixel of its features (..., h, w) covers.

        Features are a power of 2 smaller, and a little larger than that through padding.
        """
        height, width = features.shape[-2:]
        ratio = max((self.bottom - self.top) / height, (self.right - self.left) / width)
        return 1 << (math.ceil(ratio) - 1).bit_length()


@dataclass(frozen=True)
class RegionMasks:
    """Soft masks (B, K, h, w) of the regions of photos of any size; they add up to 1."""

    masks: Tensor
    height: int
    width: int
    _last: dict[object, Tensor] = field(default_factory=dict, init=False, compare=False, repr=False)

    def at(self, features: Tensor, box: Box) -> Tensor:
        """The masks (B, K, h, w) at the pixels of features (B, C, h, w) of a part of the photos."""
        key = (*features.shape[-2:], features.device, box)
        found = self._last.get(key)
        if found is None:  # else asked for statistics before, and now for maps
            found = self._at(features, box)
            self._last.clear()
            self._last[key] = found
        return found

    def _at(self, features: Tensor, box: Box) -> Tensor:
        scale, (high, wide) = box.scale(features), features.shape[-2:]
        y, x = (torch.arange(n, device=features.device) + 0.5 for n in (high, wide))
        y = (y * scale + box.top) / self.height * 2 - 1
        x = (x * scale + box.left) / self.width * 2 - 1
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1)
        masks = self.masks.to(features.device)
        grid = grid.expand(len(masks), -1, -1, -1)
        return F.grid_sample(masks, grid, padding_mode="border", align_corners=False)


@dataclass(frozen=True)
class Clusters:
    """Soft clusters of descriptors with their heights, see `placed`.

    centers: (K, D + 1). softness: the temperature, a squared distance.
    """

    centers: Tensor
    softness: float

    @classmethod
    def of(cls, photos: Sequence[Tensor], count: int = COUNT) -> Clusters:
        """Clusters of what `placed` returns of several photos, each (1, D + 1, h, w): k-means.

        Lloyd 1982, from the start of Arthur and Vassilvitskii (k-means++, 2007); the best of a few
        starts. Photos count the same, whatever their size.
        """
        points = [photo[0].flatten(1).T for photo in photos]
        step = [max(1, len(p) // 1536) for p in points]
        joint = torch.cat([p[::s] for p, s in zip(points, step, strict=True)]).cpu()
        error, centers = _kmeans(joint, count, np.random.default_rng(0))
        return cls(centers.to(points[0].device), SOFTNESS * error + 1e-12)

    def weights(self, descriptors: Tensor) -> Tensor:
        """How much each block (B, D + 1, h, w) belongs to each cluster: (B, K, h, w)."""
        rows = []
        for photo in descriptors:
            distance = torch.cdist(photo.flatten(1).T, self.centers) ** 2
            weights = (-distance / self.softness).softmax(1)
            rows.append(weights.T.unflatten(1, descriptors.shape[2:]))
        return torch.stack(rows)


def sharpened(
    weights: Tensor, pixels: Tensor, reach: float = REACH, edges: float = EDGES
) -> Tensor:
    """Masks (B, K, h, w) at the size of the photo (B, 3, H, W), following its edges.

    reach, edges: see REACH and EDGES.
    """
    return normalized(following_edges(weights, pixels, reach, edges))


def following_edges(masks: Tensor, pixels: Tensor, reach: float, edges: float) -> Tensor:
    """As `sharpened`, of masks that need not add up to 1; they can leave 0..1 a little."""
    radius = max(2, round(reach * max(pixels.shape[2:])))
    rows = [
        guided_filter(photo, mask, radius, edges) for photo, mask in zip(pixels, masks, strict=True)
    ]
    return torch.stack(rows)


def normalized(masks: Tensor) -> Tensor:
    """Masks (B, K, H, W) without negative values and with a sum of 1."""
    masks = masks.clamp_min(0)
    return masks / masks.sum(1, keepdim=True).clamp_min(1e-6)


def presence(content: Tensor, style: Tensor) -> Tensor:
    """How far each region is in both photos, (B, K), 0..1: 1/2 at a share of RARE of the masks."""
    ours, theirs = (masks.mean((2, 3)) for masks in (content, style))
    share = (torch.minimum(ours, theirs) / RARE) ** 4
    return share / (1 + share)


def placed(blocks: Blocks) -> Tensor:
    """Descriptors of blocks and their heights in the photo: (B, D + 1, h, w).

    Blocks that look the same share their mean height, so that an even area is one region. A block
    is compared with every other block of every other row; one that none is like keeps its own.
    """
    height, width = blocks.colors.shape[2:]
    y = torch.linspace(-HEIGHT, HEIGHT, height, device=blocks.colors.device)
    y = y[:, None].expand(height, width)
    others_y = y[::2, ::2].flatten()
    rows = []
    for looks in torch.cat([blocks.descriptors, COLORS * blocks.colors], 1).detach():
        points, others = looks.flatten(1).T, looks[:, ::2, ::2].flatten(1).T
        alike = torch.cdist(points, others).div_(ALIKE).square_().neg_()
        alike = alike.clamp_min_(-80).exp_()  # what is less is slow to compute, and nothing
        mean = (alike @ others_y + 1e-2 * y.flatten()) / (alike.sum(1) + 1e-2)
        rows.append(mean.view(1, height, width))
    return torch.cat([blocks.descriptors, torch.stack(rows)], 1)


def _kmeans(points: Tensor, count: int, rng: np.random.Generator) -> tuple[float, Tensor]:
    """Mean squared distance of points (N, D) to the nearest center, and the centers (count, D)."""
    count = min(count, len(points))
    centers = torch.stack([_seeds(points, count, rng) for _ in range(_RESTARTS)])
    for _ in range(_STEPS):
        nearest = _distances(points, centers).argmin(2)
        member = F.one_hot(nearest, count).to(points).flatten(1)
        mass = member.sum(0).view(_RESTARTS, count, 1)
        means = (member.mT @ points).view_as(centers) / mass.clamp_min(1)
        centers = torch.where(mass > 0, means, centers)
    squares = (points**2).sum(1)[:, None]
    errors = (_distances(points, centers).amin(2) + squares).clamp_min(0).mean(0)
    best = int(errors.argmin())
    return float(errors[best]), centers[best]


def _seeds(points: Tensor, count: int, rng: np.random.Generator) -> Tensor:
    """Centers (count, D), each drawn with a probability that grows with its distance to others."""
    chosen = [int(rng.integers(len(points)))]
    nearest = torch.full((len(points),), torch.inf)
    for _ in range(count - 1):
        nearest = torch.minimum(nearest, ((points - points[chosen[-1]]) ** 2).sum(1))
        weights = nearest.double().numpy() + 1e-12
        chosen.append(int(rng.choice(len(points), p=weights / weights.sum())))
    return points[chosen]


def _distances(points: Tensor, centers: Tensor) -> Tensor:
    """Squared distances (N, B, K) of points (N, D) to centers (B, K, D), less those to 0."""
    products = points @ centers.flatten(0, 1).mT
    return (centers**2).sum(2) - 2 * products.unflatten(1, centers.shape[:2])

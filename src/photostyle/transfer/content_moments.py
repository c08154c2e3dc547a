"""Where the content's statistics come from: a photo, a shot, or the frames so far.

`photostyle.transfer.tiling.TiledMoments` gathers them over the tiles of a photo.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

import torch.nn.functional as F
from torch import Tensor

from photostyle.model.moments import Moments
from photostyle.model.network import pad
from photostyle.transfer.regions import Box, RegionMasks

PIXELS, RESIDUAL = "pixels", "residual"
"""Beside the WCT layers of the network: the photo itself, and what the auto-encoder loses of it."""


class Statistic(Protocol):
    """A statistic of a content: `Moments`, `photostyle.transfer.color_match.ColorMatch`."""

    def lerp(self: S, other: S, fraction: float) -> S: ...


S = TypeVar("S", bound=Statistic)


class ContentMoments:
    """Moments of each photo of a batch, and its colour match: measured once and then kept.

    mask: (B, 1, H, W), the weight of each pixel of the photo, 0..1; None if all count. regions: of
    each photo; None if there are none.
    """

    def __init__(self, mask: Tensor | None = None, regions: RegionMasks | None = None) -> None:
        self.mask, self.regions = mask, regions
        self.known: dict[str, Statistic] = {}

    def keep(self, name: str, measure: Callable[[], S]) -> S:
        """The statistic of that name, measured if it is not known yet."""
        if name not in self.known:
            self.known[name] = measure()
        return self.known[name]  # type: ignore[return-value]  # what was measured under that name

    def moments(self, layer: str, features: Tensor) -> Moments:
        """The moments at a layer, whose features (B, C, h, w) are at hand."""

        def measure() -> Moments:
            regions, weights = self.region_weights(layer, features), self.weights(layer, features)
            return Moments.of(
                self.population(features),
                None if weights is None else self.population(weights),
                None if regions is None else self.population(regions),
            )

        return self.keep(layer, measure)

    def population(self, batch: Tensor) -> Tensor:
        """The pixels of a batch (B, C, h, w) over which statistics are computed, photo by photo."""
        return batch

    def next_frame(self, frame: Tensor) -> None:
        """A frame of a clip follows, RGB (1, 3, H, W); what is known stays."""

    def weights(self, layer: str, features: Tensor) -> Tensor | None:
        """The mask at the size of the features (B, C, h, w) of a layer."""
        return resized_mask(self.mask, layer, features)

    def region_weights(self, layer: str, features: Tensor) -> Tensor | None:  # noqa: ARG002
        """The masks of regions, (B, K, h, w), at the pixels of features (B, C, h, w)."""
        if self.regions is None:
            return None
        box = Box(0, self.regions.height, 0, self.regions.width)
        return self.regions.at(features, box)


class ShotMoments(ContentMoments):
    """Statistics of a shot: its frames, one batch, count as one photo."""

    def population(self, batch: Tensor) -> Tensor:
        return joined(batch)


class RunningMoments(ContentMoments):
    """Statistics of a frame, mixed with those of the frames before it.

    fraction: that of the frame at hand, 0..1; with 1 each frame is on its own. The frames before
    count only as far as their colours varied as much: a picture that fades in is not matched by
    the darkness before it.
    """

    def __init__(self, fraction: float) -> None:
        super().__init__()
        self._least = self._fraction = fraction
        self._variance = 0.0
        self._before: dict[str, Statistic] = {}

    def keep(self, name: str, measure: Callable[[], S]) -> S:
        def mixed() -> S:
            now, before = measure(), self._before.get(name)
            return before.lerp(now, self._fraction) if before else now  # type: ignore[return-value]

        return super().keep(name, mixed)

    def next_frame(self, frame: Tensor) -> None:
        """A frame of a clip follows, RGB (1, 3, H, W); what is known becomes what was before."""
        self._before, self.known = self.known, {}
        variance = float(frame.var((2, 3), correction=0).mean())
        self._fraction = max(self._least, 1 - self._variance / max(variance, 1e-9))
        self._variance += self._fraction * (variance - self._variance)


def resized_mask(mask: Tensor | None, layer: str, features: Tensor) -> Tensor | None:
    """A mask (B, 1, H, W) at the size of features (B, C, h, w), which the network has padded."""
    if mask is None:
        return None
    mask = mask.to(features.device)
    if layer in (PIXELS, RESIDUAL):
        return mask
    return F.interpolate(pad(mask), features.shape[-2:], mode="area")


def joined(batch: Tensor) -> Tensor:
    """Photos (K, C, H, W) below each other: (1, C, K H, W)."""
    return batch.transpose(0, 1).flatten(1, 2)[None]


def apart(batch: Tensor, count: int) -> Tensor:
    """The inverse of `joined`: (1, C, K H, W) as ``count`` = K photos (K, C, H, W)."""
    return batch[0].unflatten(1, (count, -1)).transpose(0, 1)

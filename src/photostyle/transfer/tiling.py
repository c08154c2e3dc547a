"""The network on a photo of any size, tile by tile, with the result of the whole.

What depends on the whole photo (the moments at WCT layers and for instance normalization) is
gathered first: each pass over the tiles adds the moments that the passes before made possible.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.model.moments import Moments
from photostyle.model.network import STRIDE, PhotoNet
from photostyle.transfer.content_moments import PIXELS, RESIDUAL, ContentMoments, resized_mask
from photostyle.transfer.pipeline import StyleTransfer, compose
from photostyle.transfer.regions import Box, RegionMasks

OVERLAP = 176
"""Pixels around a tile that its result depends on, a multiple of the network's stride.

Each 3x3 convolution reaches one pixel of its own resolution: 70 pixels in all in the encoder, 70 in
the decoder; poolings and enlargements add up to 15 each.
"""


class Tile(NamedTuple):
    """What is computed, with its overlap, and what is kept of it."""

    outer: Box
    kept: Box


def tiles(height: int, width: int, size: int) -> Iterator[Tile]:
    """The tiles of a photo, at most ``size`` pixels wide and high without their overlap.

    Raises PhotostyleError for a size smaller than the overlap.
    """
    if size < OVERLAP:
        raise PhotostyleError(f"A tile must have at least {OVERLAP} pixels, not {size}.")
    size -= size % STRIDE
    for top in range(0, height, size):
        for left in range(0, width, size):
            kept = Box(top, min(height, top + size), left, min(width, left + size))
            outer = Box(
                max(0, kept.top - OVERLAP),
                min(height, kept.bottom + OVERLAP),
                max(0, kept.left - OVERLAP),
                min(width, kept.right + OVERLAP),
            )
            yield Tile(outer, kept)


class MomentsPending(Exception):
    """A tile cannot go on: what comes next depends on moments that are still being gathered."""


class TiledMoments(ContentMoments):
    """Moments of a whole photo, gathered from one tile after the other.

    While some are pending, a tile goes on with its own up to the first layer whose features depend
    on pending ones, where `moments` raises MomentsPending. height, width: of the photo; mask: as
    for ContentMoments, of the whole photo; so are the regions.
    """

    def __init__(
        self,
        height: int,
        width: int,
        mask: Tensor | None,
        regions: RegionMasks | None = None,
    ) -> None:
        super().__init__(mask if mask is not None and mask.any() else None, regions)
        self._photo = Box(0, height, 0, width)
        self._tile = Tile(self._photo, self._photo)
        self._of_tile: dict[str, Moments] = {}
        self._pending: defaultdict[str, list[Moments]] = defaultdict(list)

    def enter(self, tile: Tile) -> None:
        """The features that follow are those of ``tile.outer``."""
        self._tile, self._of_tile = tile, {}

    def moments(self, layer: str, features: Tensor) -> Moments:
        if layer in self.known:
            return super().moments(layer, features)
        if layer in self._of_tile:
            return self._of_tile[layer]
        if any(_depends(layer, other) for other in self._pending):
            raise MomentsPending
        kept, weights = self._kept(features), self.weights(layer, features)
        weights = None if weights is None else kept.of(weights)
        regions = self.region_weights(layer, features)
        regions = None if regions is None else kept.of(regions)
        self._of_tile[layer] = Moments.of(kept.of(features), weights, regions)
        gathered = self._pending[layer]
        # If no pixel counts, Moments.of lets all count: right for a photo, wrong for a tile.
        if weights is None or weights.any():
            gathered.append(self._of_tile[layer])
        return self._of_tile[layer]

    def merge(self) -> bool:
        """End a pass over all tiles: merge the pending moments; return whether there were any."""
        found = bool(self._pending)
        self.known |= {layer: Moments.merge(parts) for layer, parts in self._pending.items()}
        self._pending.clear()
        return found

    def weights(self, layer: str, features: Tensor) -> Tensor | None:
        mask = None if self.mask is None else self._tile.outer.of(self.mask)
        return resized_mask(mask, layer, features)

    def region_weights(self, layer: str, features: Tensor) -> Tensor | None:  # noqa: ARG002
        return None if self.regions is None else self.regions.at(features, self._tile.outer)

    def _kept(self, features: Tensor) -> Box:
        """The kept part in the pixels of features, with their padding at the photo's far edges."""
        height, width = features.shape[-2:]
        outer = self._tile.outer
        kept = self._tile.kept.within(outer)
        scale = outer.scale(features)
        return Box(
            kept.top // scale,
            height if self._tile.kept.bottom == self._photo.bottom else kept.bottom // scale,
            kept.left // scale,
            width if self._tile.kept.right == self._photo.right else kept.right // scale,
        )


def _depends(layer: str, other: str) -> bool:
    """Whether features at a layer depend on the moments at another one."""
    if other in (PIXELS, RESIDUAL) or layer.startswith(("level", "skip")):
        return False
    if layer in (PIXELS, RESIDUAL):  # no WCT changes the reconstruction, but normalization does
        return not other.startswith("d")
    return not other.startswith("d") or other < layer


def compose_tiled(
    network: PhotoNet,
    content: Tensor,
    transfer: StyleTransfer,
    size: int,
    progress: Callable[[float], None] = lambda _: None,
) -> Tensor:
    """`photostyle.transfer.pipeline.compose` for RGB (1, 3, H, W) on any device, in tiles.

    size: side of a tile without its overlap, in pixels. progress: called with the fraction done.
    Raises PhotostyleError for a size smaller than the overlap.
    """
    height, width = content.shape[-2:]
    parts = list(tiles(height, width, size))
    moments = TiledMoments(height, width, transfer.content.mask, transfer.content.regions)
    transfer = transfer.with_content(moments)
    device = next(network.parameters(), content).device
    result = torch.empty_like(content)
    stages = sum(layer.startswith("d") for layer in network.wct_layers)
    total, done = (stages + 2) * len(parts), 0
    pending = True
    while pending:
        for tile in parts:
            moments.enter(tile)
            pixels = tile.outer.of(content).to(device, memory_format=torch.channels_last)
            try:
                composed = compose(network, pixels, transfer)
                tile.kept.of(result).copy_(tile.kept.within(tile.outer).of(composed))
            except MomentsPending:
                pass
            done += 1
            progress(min(1.0, done / total))
        pending = moments.merge()
    return result

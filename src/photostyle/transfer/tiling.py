"""The network on a photo of any size, tile by tile, as if on the whole.

What depends on the whole photo (the moments at WCT layers, instance normalisation) is gathered
beforehand: each pass over the tiles adds the moments that can be known after the pass before.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.model.moments import Moments
from photostyle.model.network import STRIDE, PhotoNet
from photostyle.model.transfer_settings import TransferSettings
from photostyle.transfer.style import Style, Transferring, compose

OVERLAP = 176
"""Canvas around a tile that its result depends on, a multiple of the network's stride.

Each 3x3 convolution reaches one pixel of its own resolution: 70 pixels in all in the encoder, 70 in
the decoder; poolings and enlargements add up to 15 each.
"""


class Box(NamedTuple):
    """A part of a photo, in pixels; bottom and right are the first ones outside."""

    top: int
    bottom: int
    left: int
    right: int

    def of(self, pixels: Tensor) -> Tensor:
        return pixels[..., self.top : self.bottom, self.left : self.right]

    def seen_from(self, other: Box) -> Box:
        """The same part in the pixels of another that holds it."""
        rows, columns = (edge - other.top for edge in self[:2]), (e - other.left for e in self[2:])
        return Box(*rows, *columns)


def tiles(height: int, width: int, size: int) -> Iterator[tuple[Box, Box]]:
    """What to compute, with overlap, and what to keep of it, at most ``size`` wide and high.

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
            yield outer, kept


class _Blocked(Exception):
    """A tile cannot go on: what comes next depends on moments that are not yet known."""


class Gathering(Transferring):
    """Transfers with the moments that are known, and gathers the others of all tiles."""

    gathered: defaultdict[str, list[Moments]]
    outer: Box
    kept: Box
    whole: Box

    def of_content(self, layer: str, features: Tensor) -> Moments | None:
        if layer in self.content:
            return self.content[layer]
        kept, weights = self._kept(features), self.weights(layer, features)
        weights = None if weights is None else kept.of(weights)
        moments = Moments.of(kept.of(features), weights)
        if not torch.isfinite(moments.mean).all():
            raise _Blocked
        # Where no pixel counts, Moments.of lets all count: right for a photo, wrong for a tile.
        if weights is None or weights.any():
            self.gathered[layer].append(moments)
        return None

    def merge(self) -> bool:
        """What has been gathered becomes known; gives whether there was anything."""
        self.content |= {layer: Moments.merge(parts) for layer, parts in self.gathered.items()}
        found = bool(self.gathered)
        self.gathered.clear()
        return found

    def _kept(self, features: Tensor) -> Box:
        """The kept part in the pixels of features, at the photo's far edges with their padding."""
        height, width = features.shape[-2:]
        outer, kept = self.outer, self.kept.seen_from(self.outer)
        # Features are a power of 2 smaller, and a little larger than that through padding.
        ratio = max((outer.bottom - outer.top) / height, (outer.right - outer.left) / width)
        scale = 1 << (math.ceil(ratio) - 1).bit_length()
        return Box(
            kept.top // scale,
            height if self.kept.bottom == self.whole.bottom else kept.bottom // scale,
            kept.left // scale,
            width if self.kept.right == self.whole.right else kept.right // scale,
        )


def transfer_tiled(
    network: PhotoNet,
    content: Tensor,
    style: Style,
    settings: TransferSettings,
    strength: float = 1.0,
    mask: Tensor | None = None,
    size: int = 1024,
    progress: Callable[[float], None] = lambda _: None,
) -> Tensor:
    """`photostyle.transfer.style.compose` for RGB (1, 3, H, W) on any device.

    size: of what is kept of a tile, in pixels. progress: told the share that is done. Raises
    PhotostyleError for a size smaller than the overlap, and for a photo with NaN in it.
    """
    device = next(network.parameters()).device
    parts = list(tiles(content.shape[-2], content.shape[-1], size))
    stages = sum(layer.startswith("d") for layer in network.architecture.wct_layers)
    total, done = (stages + 2) * len(parts), 0

    if mask is not None and not mask.any():
        mask = None
    gathering = Gathering(style, settings, strength)
    gathering.gathered = defaultdict(list)
    gathering.whole = Box(0, content.shape[-2], 0, content.shape[-1])
    result = torch.empty_like(content)
    unknown = True
    while unknown:
        blocked = False
        for outer, kept in parts:
            gathering.outer, gathering.kept = outer, kept
            gathering.mask = None if mask is None else outer.of(mask).to(device)
            pixels = outer.of(content).to(device, memory_format=torch.channels_last)
            try:
                made = compose(network, pixels, gathering)
                kept.of(result).copy_(kept.seen_from(outer).of(made))
            except _Blocked:
                blocked = True
            done += 1
            progress(min(1.0, done / total))
        unknown = gathering.merge()
    if blocked:
        raise PhotostyleError("The photo holds values that are no numbers (NaN or infinity).")
    return result

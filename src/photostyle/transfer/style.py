"""A learned style."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.model.matcher import Blocks
from photostyle.model.moments import AffineMap, Moments, RegionMeans
from photostyle.model.network import PhotoNet, Visitor, full_precision, normalize
from photostyle.transfer.canvas import resized
from photostyle.transfer.color_match import Palette, sampled
from photostyle.transfer.content_moments import PIXELS, RESIDUAL, ContentMoments, apart
from photostyle.transfer.options import fractions
from photostyle.transfer.tone_curves import ToneHistogram

THUMBNAIL = 256
"""Long side of the copy of a style photo that it keeps, in pixels."""

SAMPLES = 400
"""Number of feature vectors of each WCT layer, roughly, that a style keeps."""


POOL = 64
"""Number of photos of a folder, at most, of which a style keeps thumbnails, blocks and samples."""


@dataclass(frozen=True)
class Style:
    """The statistics of a style photo, or of several ones pooled.

    moments: of its features by WCT layer, of its pixels (PIXELS), and of what the auto-encoder
    loses of them (RESIDUAL). tones: of its pixels. samples: features (B, C, h, w) at evenly spread
    pixels, by the same layers; thumbnail: a small copy, (B, 3, h, w); blocks: what a matcher
    compares, if there is one. mask: (B, 1, h, w), the weight of each pixel of the thumbnail; None
    if all count. labels: (B, h, w), the numbers of regions given by hand, if any.
    digest: of the weights that it was learned with, see
    `photostyle.model.checkpoint.Checkpoint.digest`; empty in training. matcher: the digest of the
    matcher that read the blocks. photos: number of photos that samples, thumbnail, blocks and mask
    show, one below the other, all of the same size. provenance: what is known of the photos.
    """

    moments: Mapping[str, Moments]
    tones: ToneHistogram
    samples: Mapping[str, Tensor]
    thumbnail: Tensor
    blocks: Blocks | None = None
    mask: Tensor | None = None
    labels: Tensor | None = None
    digest: str = ""
    matcher: str = ""
    photos: int = 1
    provenance: Mapping[str, Any] = field(default_factory=dict)

    def to(self, device: torch.device) -> Style:
        moments = {layer: moments.to(device) for layer, moments in self.moments.items()}
        return replace(self, moments=moments, tones=self.tones.to(device))

    def detach(self) -> Style:
        """The same style without its gradient history."""
        moments = {layer: moments.detach() for layer, moments in self.moments.items()}
        return replace(self, moments=moments)

    @property
    def palette(self) -> Palette:
        """Moments and tones of the pixels."""
        return Palette(self.moments[PIXELS], self.tones)

    def picture(self) -> npt.NDArray[np.uint8]:
        """The thumbnail, (h, w, 3); those of several photos are in a grid."""
        tiles = apart(self.thumbnail.float().cpu(), self.photos)
        columns = math.ceil(math.sqrt(self.photos))
        missing = -self.photos % columns
        tiles = torch.cat([tiles, torch.ones_like(tiles[:1]).expand(missing, -1, -1, -1)])
        rows = tiles.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2)
        return (rows.clamp(0, 1) * 255).round().byte().numpy()

    def with_regions(self, layer: str, masks: Tensor) -> Moments:
        """The moments at a layer, with the means of regions (B, K, h, w) of the photo."""
        samples = self.samples[layer].to(masks)
        masks = F.interpolate(masks, samples.shape[2:], mode="bilinear", antialias=True)
        moments = self.moments[layer].to(masks.device)
        return replace(moments, regions=RegionMeans.of(samples, None, masks))


@dataclass(frozen=True)
class StyleMix:
    """Several styles, each with its weight; the weights add up to 1.

    Where regions are matched, the results of the styles are blended: each region then follows its
    counterparts in all styles. Elsewhere the mix is one style, the `barycenter`.
    """

    parts: tuple[tuple[Style, float], ...]

    @classmethod
    def of(cls, styles: Iterable[tuple[AnyStyle, float]]) -> StyleMix:
        """A mix of styles and mixes with weights of any sum; see `fractions`."""
        styles = list(styles)
        if not styles:
            raise PhotostyleError("A mix needs at least one style.")
        shares = fractions([weight for _, weight in styles])
        return cls(
            tuple(
                (part, share * weight)
                for (style, _), share in zip(styles, shares, strict=True)
                for part, weight in parts_of(style)
                if share * weight > 0
            )
        )

    @property
    def digest(self) -> str:
        """The digest of all styles; of the first that differs, if one does."""
        digests = [part.digest for part, _ in self.parts]
        return next((digest for digest in digests if digest != digests[0]), digests[0])

    def barycenter(self) -> Style:
        """One style whose moments and tones lie between those of the parts, without regions."""
        styles, weights = zip(*self.parts, strict=True)
        moments = {
            layer: Moments.barycenter([style.moments[layer] for style in styles], weights)
            for layer in styles[0].moments
        }
        tones = ToneHistogram.barycenter([style.tones for style in styles], weights)
        return Style(moments, tones, {}, styles[0].thumbnail, digest=self.digest)


AnyStyle = Style | StyleMix
"""A style, or a mix of several."""


def parts_of(style: AnyStyle) -> tuple[tuple[Style, float], ...]:
    """The styles of a mix, or the style itself, with their weights."""
    return style.parts if isinstance(style, StyleMix) else ((style, 1.0),)


def pooled(styles: Iterable[Style], count: int) -> Style | None:
    """The style of ``count`` photos together, each counting the same; None if there are none.

    Moments and tones are those of all. For the regions up to POOL photos are kept, the smaller the
    more there are.
    """
    step = max(1, math.ceil(count / POOL))
    scale = 1 / math.sqrt(max(1, count / step))
    moments: dict[str, Moments] = {}
    tones: list[ToneHistogram] = []
    kept: list[Style] = []
    names: list[str] = []
    for number, style in enumerate(styles):
        for layer, part in style.moments.items():
            even = replace(part, count=torch.full_like(part.count, SAMPLES))
            moments[layer] = Moments.merge([moments[layer], even]) if layer in moments else even
        counts = style.tones.counts
        tones.append(ToneHistogram(counts / counts.sum(-1, keepdim=True)))
        names += style.provenance.get("photos", ())
        if number % step == 0:
            kept.append(_shrunk(style, scale))
    if not kept:
        return None
    blocks = [style.blocks for style in kept if style.blocks is not None]
    return replace(
        kept[0],
        moments=moments,
        tones=ToneHistogram.merge(tones),
        samples={layer: _stacked(s.samples[layer] for s in kept) for layer in kept[0].samples},
        thumbnail=_stacked(style.thumbnail for style in kept),
        mask=_stacked(style.mask for style in kept if style.mask is not None),
        blocks=Blocks(
            _stacked(part.descriptors for part in blocks),
            _stacked(part.colors for part in blocks),
            torch.stack([part.statistics for part in blocks]).mean(0),
        )
        if blocks
        else None,
        photos=len(kept),
        provenance={**kept[0].provenance, "photos": names},
    )


def _shrunk(style: Style, scale: float) -> Style:
    """A style with all that it keeps of its photo made small and square."""

    def square(values: Tensor, side: float, least: int) -> Tensor:
        size = max(least, round(side * scale))
        return F.interpolate(values.float(), (size, size), mode="area").half()

    mask = torch.ones_like(style.thumbnail[:, :1]) if style.mask is None else style.mask
    blocks = style.blocks
    if blocks is not None:
        descriptors, colors = (
            square(part, THUMBNAIL / 6, 4) for part in (blocks.descriptors, blocks.colors)
        )
        blocks = Blocks(descriptors, colors, blocks.statistics)
    return replace(
        style,
        samples={k: square(v, math.sqrt(SAMPLES), 2) for k, v in style.samples.items()},
        thumbnail=square(style.thumbnail, THUMBNAIL, 16),
        mask=square(mask, THUMBNAIL, 16),
        blocks=blocks,
    )


def _stacked(photos: Iterable[Tensor]) -> Tensor:
    """Values of photos (1, C, h, w), all of one size, below each other: (1, C, N h, w)."""
    return torch.cat(list(photos), 2)


class StyleRecorder(Visitor):
    """Records the moments of the features at every WCT layer and leaves them as they are."""

    def __init__(self, mask: Tensor | None = None) -> None:
        self._measured = ContentMoments(mask)
        self.moments: dict[str, Moments] = {}
        self.samples: dict[str, Tensor] = {}

    def visit(self, layer: str, features: Tensor) -> AffineMap | None:
        self.moments[layer] = self._measured.moments(layer, features)
        self.samples[layer] = sampled(features, SAMPLES).half()
        return None

    def normalize(self, layer: str, features: Tensor, mapping: AffineMap | None) -> AffineMap:
        return normalize(self._measured.moments(layer, features), mapping)


def learn_style(
    network: PhotoNet, pixels: Tensor, mask: Tensor | None = None, digest: str = ""
) -> tuple[Style, Tensor]:
    """The style of RGB (B, 3, H, W), 0..1, and the network's reconstruction of it.

    mask: (B, 1, H, W), the weight of each pixel, 0..1; None if all count.
    """
    recorder = StyleRecorder(mask)
    with full_precision(pixels.device):
        reconstruction = network(pixels, recorder)
    recorder.visit(PIXELS, pixels)
    recorder.visit(RESIDUAL, pixels - reconstruction)
    tones = ToneHistogram.of(sampled(pixels), None if mask is None else sampled(mask))
    thumbnail = resized(pixels, THUMBNAIL).half()
    small_mask = None if mask is None else resized(mask, THUMBNAIL)
    style = Style(
        recorder.moments, tones, recorder.samples, thumbnail, mask=small_mask, digest=digest
    )
    return style, reconstruction

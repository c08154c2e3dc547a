"""A learned style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.matcher import Blocks
from photostyle.model.moments import AffineMap, Moments, RegionMeans
from photostyle.model.network import PhotoNet, Visitor, full_precision, normalize
from photostyle.transfer.canvas import resized
from photostyle.transfer.color_match import Palette, sampled
from photostyle.transfer.content_moments import PIXELS, RESIDUAL, ContentMoments
from photostyle.transfer.tone_curves import ToneHistogram

THUMBNAIL = 256
"""Long side of the copy of a style photo that it keeps, in pixels."""

SAMPLES = 400
"""Number of feature vectors of each WCT layer, roughly, that a style keeps."""


@dataclass(frozen=True)
class Style:
    """The statistics of a style photo.

    moments: of its features by WCT layer, of its pixels (PIXELS), and of what the auto-encoder
    loses of them (RESIDUAL). tones: of its pixels. samples: features (B, C, h, w) at evenly spread
    pixels, by the same layers; thumbnail: a small copy, (B, 3, h, w); blocks: what a matcher
    compares, if there is one. mask: (B, 1, h, w), the weight of each pixel of the thumbnail; None
    if all count. labels: (B, h, w), the numbers of regions given by hand, if any.
    digest: of the weights that it was learned with, see
    `photostyle.model.checkpoint.Checkpoint.digest`; empty in training.
    """

    moments: Mapping[str, Moments]
    tones: ToneHistogram
    samples: Mapping[str, Tensor]
    thumbnail: Tensor
    blocks: Blocks | None = None
    mask: Tensor | None = None
    labels: Tensor | None = None
    digest: str = ""

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

    def with_regions(self, layer: str, masks: Tensor) -> Moments:
        """The moments at a layer, with the means of regions (B, K, h, w) of the photo."""
        samples = self.samples[layer].to(masks)
        masks = F.interpolate(masks, samples.shape[2:], mode="bilinear", antialias=True)
        moments = self.moments[layer].to(masks.device)
        return replace(moments, regions=RegionMeans.of(samples, None, masks))


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

"""A learned style."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from photostyle.model.moments import AffineMap, Moments
from photostyle.model.network import PhotoNet, Visitor, full_precision, normalize
from photostyle.transfer.color_match import Palette, sampled
from photostyle.transfer.content_moments import PIXELS, RESIDUAL, ContentMoments
from photostyle.transfer.tone_curves import ToneHistogram


@dataclass(frozen=True)
class Style:
    """The statistics of a style photo.

    moments: of its features by WCT layer, of its pixels (PIXELS), and of what the auto-encoder
    loses of them (RESIDUAL). tones: of its pixels. digest: of the weights that it was learned
    with, see `photostyle.model.checkpoint.Checkpoint.digest`; empty in training.
    """

    moments: Mapping[str, Moments]
    tones: ToneHistogram
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


class StyleRecorder(Visitor):
    """Records the moments of the features at every WCT layer and leaves them as they are."""

    def __init__(self, mask: Tensor | None = None) -> None:
        self._measured = ContentMoments(mask)
        self.moments: dict[str, Moments] = {}

    def visit(self, layer: str, features: Tensor) -> AffineMap | None:
        self.moments[layer] = self._measured.moments(layer, features)
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
    return Style(recorder.moments, tones, digest), reconstruction

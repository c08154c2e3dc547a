"""What has been learned of a style photo, and its transfer onto another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.moments import AffineMap, Moments, transfer_map
from photostyle.model.network import PhotoNet, Visitor, normalise, pad
from photostyle.model.transfer_settings import TransferSettings
from photostyle.transfer.color_match import ColorMatch, Palette, match_colors, roll_off, sampled
from photostyle.transfer.tone_curves import ToneHistogram

PIXELS, RESIDUAL = "pixels", "residual"
"""Beside the WCT layers of the network: the photo itself, and what the auto-encoder loses of it."""

PIXEL_DAMPING = 1e-2
"""Damping of the residual's map: a grey photo holds faint colour noise, which must stay faint."""


@dataclass(frozen=True)
class Style:
    """What is known of a style photo.

    moments: of its pixels and features, by the name of the layer; tones: of its pixels.
    """

    moments: Mapping[str, Moments]
    tones: ToneHistogram

    @property
    def palette(self) -> Palette:
        return Palette(self.moments[PIXELS], self.tones)

    def to(self, device: torch.device) -> Style:
        moments = {layer: moments.to(device) for layer, moments in self.moments.items()}
        return Style(moments, ToneHistogram(self.tones.counts.to(device)))


class Masked(Visitor):
    """Takes moments of the features of a photo.

    mask: (B, 1, H, W), how much each pixel of the photo counts, 0..1; None if all count.
    """

    def __init__(self, mask: Tensor | None = None) -> None:
        self.mask = mask

    def weights(self, layer: str, features: Tensor) -> Tensor | None:
        """The mask at the size of the features (B, C, H, W) of a layer."""
        if self.mask is None or layer in (PIXELS, RESIDUAL):
            return self.mask
        return F.interpolate(pad(self.mask), features.shape[-2:], mode="area")

    def moments(self, layer: str, features: Tensor) -> Moments:
        return Moments.of(features, self.weights(layer, features))


class StyleRecorder(Masked):
    """Keeps the moments of the features at each layer and changes nothing."""

    def __init__(self, mask: Tensor | None = None) -> None:
        super().__init__(mask)
        self.recorded: dict[str, Moments] = {}

    def visit(self, layer: str, features: Tensor) -> AffineMap | None:
        self.recorded[layer] = self.moments(layer, features)
        return None

    def normalise(self, layer: str, features: Tensor, mapping: AffineMap | None) -> AffineMap:
        return normalise(self.recorded.get(layer) or self.moments(layer, features), mapping)


def record(network: PhotoNet, pixels: Tensor, mask: Tensor | None = None) -> tuple[Style, Tensor]:
    """Learn the style of RGB (B, 3, H, W), 0..1; also gives the network's reconstruction of it.

    The features go through the decoder unchanged and their moments at each layer are kept. mask:
    see `Masked`.
    """
    recording = StyleRecorder(mask)
    reconstruction = network(pixels, recording)
    recording.visit(PIXELS, pixels)
    recording.visit(RESIDUAL, pixels - reconstruction)
    tones = ToneHistogram.of(sampled(pixels), None if mask is None else sampled(mask))
    return Style(recording.recorded, tones), reconstruction


class Transferring(Masked):
    """Carries features onto the moments of a style.

    content: moments of the content photo by layer, those that are known beforehand; the others are
    taken of the features at hand and added.
    """

    def __init__(
        self,
        style: Style,
        settings: TransferSettings,
        strength: float = 1.0,
        mask: Tensor | None = None,
    ) -> None:
        super().__init__(mask)
        self.style, self.settings, self.strength = style, settings, strength
        self.content: dict[str, Moments] = {}
        self._maps: dict[str, AffineMap] = {}

    def of_content(self, layer: str, features: Tensor) -> Moments | None:
        """The content's moments at a layer; None while they are unknown."""
        if layer not in self.content:
            self.content[layer] = self.moments(layer, features)
        return self.content[layer]

    def visit(self, layer: str, features: Tensor) -> AffineMap:
        moments = self.of_content(layer, features)
        if moments is None:
            return _unknown(features)
        if layer not in self._maps:
            method, damping = self.settings.method, self.settings.damping
            mapping = transfer_map(moments, self.style.moments[layer], method, damping)
            self._maps[layer] = mapping.blend(self.strength)
        return self._maps[layer]

    def normalise(self, layer: str, features: Tensor, mapping: AffineMap | None) -> AffineMap:
        moments = self.of_content(layer, features)
        return _unknown(features) if moments is None else normalise(moments, mapping)

    def residual_map(self, pixels: Tensor, residual: Tensor) -> AffineMap:
        """Carries residuals over as the colours of the two photos would be, their mean exactly.

        The means of the residuals are what reconstruction gets wrong in the colour of each photo.
        """
        of_pixels = self.of_content(PIXELS, pixels)
        of_residual = self.of_content(RESIDUAL, residual)
        if of_pixels is None or of_residual is None:
            return _unknown(pixels)
        method, style = self.settings.method, self.style.moments
        colours = transfer_map(of_pixels, style[PIXELS], method, PIXEL_DAMPING)
        mapping = AffineMap.between(of_residual.mean, style[RESIDUAL].mean, colours.matrix)
        return mapping.blend(self.strength)

    def match(self, result: Tensor, content: Tensor) -> ColorMatch:
        """What brings the colours of the transferred photo to the style's; see `colours.match`."""
        seen = None if self.mask is None else sampled(self.mask)
        found = match_colors(
            sampled(result), sampled(content), self.style.palette, self.settings.method, seen
        )
        return replace(found, strength=self.strength)


def _unknown(features: Tensor) -> AffineMap:
    """A map onto NaN, which marks all that depends on moments that are not yet known."""
    channels = features.shape[1]
    nan = torch.full(
        (1, channels, channels), torch.nan, dtype=torch.float64, device=features.device
    )
    return AffineMap(nan, nan[..., 0])


def transfer(
    network: PhotoNet,
    pixels: Tensor,
    style: Style,
    settings: TransferSettings,
    strength: float = 1.0,
    mask: Tensor | None = None,
) -> Tensor:
    """RGB (B, 3, H, W), 0..1, with the features at every layer carried onto ``style``'s moments.

    strength: blends each feature with its transferred self. mask: see `Masked`.
    """
    transferring = Transferring(style, settings, strength, mask)
    result = compose(network, pixels, transferring)
    if not settings.refine:
        return result
    return roll_off(transferring.match(result, pixels)(result), pixels)


def compose(network: PhotoNet, pixels: Tensor, transferring: Transferring) -> Tensor:
    """What the network makes of RGB (B, 3, H, W), and what it loses of them, both transferred."""
    settings, strength = transferring.settings, transferring.strength
    keep = settings.refine or strength < 1
    levels = network.encode(pad(pixels))
    result, reconstruction = network.decode(levels, pixels.shape, transferring, keep)
    if settings.refine:
        residual = pixels - reconstruction
        return result + transferring.residual_map(pixels, residual)(residual)
    if keep:
        # So that strength 0 gives the photo itself, not its reconstruction.
        return result + (1 - strength) * (pixels - reconstruction)
    return result

"""The transfer, from content to result: one pipeline for photos, tiles, frames and training.

`restyle` says what it is: `compose` runs the network with WCT inside and adds what the
auto-encoder loses; `project_to_maps` keeps what local affine maps of the content can express; the
colours are matched to the style's. `roll_off` keeps the result from clipping: in `stylize` at once,
for photos and frames when the local maps are applied at full resolution.

What differs is where the content's statistics come from: see `photostyle.transfer.content_moments`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from photostyle.model.moments import AffineMap, transfer_map
from photostyle.model.network import PhotoNet, Visitor, normalize, pad
from photostyle.model.transfer_settings import TransferSettings
from photostyle.transfer.canvas import map_strips
from photostyle.transfer.color_match import ColorMatch, match_colors, roll_off, sampled
from photostyle.transfer.content_moments import PIXELS, RESIDUAL, ContentMoments
from photostyle.transfer.local_maps import project_to_maps
from photostyle.transfer.style import Style

RESIDUAL_DAMPING = 1e-2
"""Damping of the residual's map: a grey photo holds faint colour noise, which must stay faint."""


class StyleTransfer(Visitor):
    """Maps the features of a content to the moments of a style, at every WCT layer.

    strength: blends each feature with its transferred self, 0..1. content: the content's
    statistics; by default those of each photo of the batch.
    """

    def __init__(
        self,
        style: Style,
        settings: TransferSettings,
        strength: float = 1.0,
        content: ContentMoments | None = None,
    ) -> None:
        self.style, self.settings, self.strength = style, settings, strength
        self.content = content or ContentMoments()
        self._maps: dict[str, tuple[object, AffineMap]] = {}

    def with_content(self, content: ContentMoments) -> StyleTransfer:
        """The same transfer with the content's statistics from elsewhere."""
        return StyleTransfer(self.style, self.settings, self.strength, content)

    def visit(self, layer: str, features: Tensor) -> AffineMap:
        moments = self.content.moments(layer, features)
        known, mapping = self._maps.get(layer, (None, None))
        if mapping is None or known is not moments:
            target = self.style.moments[layer].to(features.device)
            mapping = transfer_map(moments, target, self.settings.method, self.settings.damping)
            mapping = mapping.blend(self.strength)
            self._maps[layer] = moments, mapping
        return mapping

    def normalize(self, layer: str, features: Tensor, mapping: AffineMap | None) -> AffineMap:
        return normalize(self.content.moments(layer, features), mapping)

    def residual_map(self, pixels: Tensor, residual: Tensor) -> AffineMap:
        """Maps residuals as the colours of the two photos would be, and their mean exactly.

        The means of the residuals are what reconstruction gets wrong in the colour of each photo.
        """
        of_pixels = self.content.moments(PIXELS, pixels)
        of_residual = self.content.moments(RESIDUAL, residual)
        target, target_residual = (
            self.style.moments[name].to(pixels.device) for name in (PIXELS, RESIDUAL)
        )
        colors = transfer_map(of_pixels, target, self.settings.method, RESIDUAL_DAMPING)
        mapping = AffineMap.between(of_residual.mean, target_residual.mean, colors.matrix)
        return mapping.blend(self.strength)

    def color_match(self, result: Tensor, content: Tensor) -> ColorMatch:
        """What gives a composed result of ``content``, both (B, 3, H, W), the style's colours."""

        def measure() -> ColorMatch:
            mask = self.content.mask
            found = match_colors(
                sampled(self.content.population(result)),
                sampled(self.content.population(content)),
                self.style.palette.to(content.device),
                self.settings.method,
                None if mask is None else sampled(mask.to(content.device)),
            )
            return replace(found, strength=self.strength)

        return self.content.keep("color match", measure)


Compose = Callable[[PhotoNet, Tensor, StyleTransfer], Tensor]


def compose(network: PhotoNet, pixels: Tensor, transfer: StyleTransfer) -> Tensor:
    """What the network makes of RGB (B, 3, H, W), 0..1, with what it loses of it, transferred."""
    settings, strength = transfer.settings, transfer.strength
    with _full_precision(pixels.device):
        levels = network.encode(pad(pixels))
        if not settings.refine and strength == 1:
            return network.decode(levels, pixels.shape, transfer)
        result, reconstruction = network.decode_with_reconstruction(levels, pixels.shape, transfer)
    residual = pixels - reconstruction
    if settings.refine:
        return result + transfer.residual_map(pixels, residual)(residual)
    # So that strength 0 gives the photo itself, not its reconstruction.
    return result + (1 - strength) * residual


def restyle(
    network: PhotoNet,
    content: Tensor,
    transfer: StyleTransfer,
    epsilon: float | None,
    compose: Compose = compose,
) -> Tensor:
    """RGB (B, 3, H, W), 0..1, in the style, not rolled off yet.

    epsilon: of the local maps (see `photostyle.transfer.local_maps.fit`) that the result is
    projected to before its colours are matched; None leaves them out. Weights whose settings do
    not ``refine`` are composed only.
    """
    result = compose(network, content, transfer)
    if not transfer.settings.refine:
        return result
    if epsilon is not None:
        result = project_to_maps(content, result, epsilon)
    return map_strips(transfer.color_match(result, content), result)


def stylize(
    network: PhotoNet, content: Tensor, transfer: StyleTransfer, epsilon: float | None = None
) -> Tensor:
    """The whole transfer of RGB (B, 3, H, W), 0..1, at its own size; differentiable.

    epsilon: as in `restyle`; the default leaves local maps out, as training does.
    """
    result = restyle(network, content, transfer, epsilon)
    if not transfer.settings.refine:
        return result
    if epsilon is not None:
        result = project_to_maps(content, result, epsilon)
    return roll_off(result, content)


def _full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Convolutions of a GPU in float32: torch would round their factors to the 10 bits of TF32."""
    if device.type != "cuda":
        return nullcontext()
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)

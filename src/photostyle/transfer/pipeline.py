"""The transfer, from content to result: one pipeline for photos, tiles, frames and training.

    compose          the network with WCT inside, plus what the auto-encoder loses
    project_to_maps  as much of that as local affine colour maps of the content can express
    color_match      the colours of the style, for what the maps can express
    project_to_maps  once more, because the match is not affine
    roll_off         softly towards black and white

`stylize` is the whole, at one size: what training calls. `style_maps` stops at the maps of a
reduced copy: photos and frames take their pixels through these at full resolution and roll off
there (`photostyle.transfer.local_maps.apply_maps`).

What differs is where the content's statistics come from: see `photostyle.transfer.content_moments`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from photostyle.model.moments import AffineMap, transfer_map
from photostyle.model.network import (
    PhotoNet,
    Visitor,
    full_precision,
    normalize,
    pad,
)
from photostyle.model.transfer_settings import TransferSettings
from photostyle.transfer.canvas import map_strips
from photostyle.transfer.color_match import ColorMatch, match_colors, roll_off, sampled
from photostyle.transfer.content_moments import PIXELS, RESIDUAL, ContentMoments
from photostyle.transfer.local_maps import LocalAffineMaps, maps_between, project_to_maps
from photostyle.transfer.style import Style

RESIDUAL_DAMPING = 1e-2
"""Damping of the residual's map: a grey photo holds faint colour noise, which must stay faint."""


class StyleTransfer(Visitor):
    """Maps the features of one content to the moments of a style, at every WCT layer.

    strength: 0..1, blends the features, the residual and the colours each with what they become; as
    these follow each other, 0.5 is more than half of the change. content: the content's statistics,
    which it keeps; by default those of each photo of the batch.
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
        """The map for residuals: the colour map between the two photos, and their means exactly.

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
        """The colour match from a composed result of ``content``, (B, 3, H, W), to the style."""

        def measure() -> ColorMatch:
            made, photo = (self.content.population(batch) for batch in (result, content))
            mask = self.content.weights(PIXELS, content)
            if mask is None or sampled(mask).any():  # else only pixels between the samples count
                made, photo = sampled(made), sampled(photo)
                mask = None if mask is None else sampled(mask)
            palette = self.style.palette.to(content.device)
            found = match_colors(made, photo, palette, self.settings.method, mask)
            return replace(found, strength=self.strength)

        return self.content.keep("color match", measure)


Compose = Callable[[Tensor, StyleTransfer], Tensor]


def compose(network: PhotoNet, pixels: Tensor, transfer: StyleTransfer) -> Tensor:
    """Decoded features after WCT, plus the mapped residual of reconstruction.

    pixels: RGB (B, 3, H, W), 0..1; the result is of that shape and not clamped. Weights whose
    settings do not ``refine`` give the decoded features alone.
    """
    settings, strength = transfer.settings, transfer.strength
    with full_precision(pixels.device):
        links, plain = network.link(network.encode(pad(pixels)), transfer)
        result = network.decode(links, pixels.shape, transfer)
        if not settings.refine and strength == 1:
            return result
        reconstruction = network.decode(plain, pixels.shape, Visitor())
    residual = pixels - reconstruction
    if settings.refine:
        return result + transfer.residual_map(pixels, residual)(residual)
    # So that strength 0 gives the photo itself, not its reconstruction.
    return result + (1 - strength) * residual


def match_style(
    compose: Compose, content: Tensor, transfer: StyleTransfer, epsilon: float | None
) -> Tensor:
    """RGB (B, 3, H, W), 0..1, composed and with the colours of the style, before the roll-off.

    epsilon: of the local maps, see `photostyle.transfer.local_maps.fit`; None leaves them out.
    """
    result = compose(content, transfer)
    if not transfer.settings.refine:
        return result
    if epsilon is not None:
        result = project_to_maps(content, result, epsilon)
    return map_strips(transfer.color_match(result, content), result)


def style_maps(
    compose: Compose,
    content: Tensor,
    transfers: Sequence[tuple[StyleTransfer, float]],
    epsilon: float,
) -> LocalAffineMaps:
    """The local maps from RGB (1, 3, H, W), 0..1, to its result in several styles, by weight.

    The weights add up to 1. The results of the styles are blended before the maps are fitted.
    """
    results = [
        weight * match_style(compose, content, transfer, epsilon) for transfer, weight in transfers
    ]
    return maps_between(content, torch.stack(results).sum(0), epsilon)


def stylize(
    network: PhotoNet, content: Tensor, transfer: StyleTransfer, epsilon: float | None = None
) -> Tensor:
    """The whole transfer of RGB (B, 3, H, W), 0..1, at its own size; differentiable.

    epsilon: as in `match_style`; the default leaves local maps out, as training does.
    """
    result = match_style(partial(compose, network), content, transfer, epsilon)
    if not transfer.settings.refine:
        return result
    if epsilon is not None:
        result = project_to_maps(content, result, epsilon)
    return roll_off(result, content)

"""The transfer, from content to result: one pipeline for photos, tiles, frames and training.

    find             the regions that content and style share, and the look (`correspondence`)
    compose          the network with WCT inside, plus what the auto-encoder loses
    project_to_maps  as much of that as local affine colour maps of the content can express
    match            the colours of the style, region by region, or its look
    fit              local affine maps once more, because the match is not affine
    roll_off         softly towards black and white

After `compose` all works on small copies; photos and frames take their pixels through the maps at
full resolution and roll off there (`photostyle.transfer.local_maps.apply_maps`).

What differs is where the content's statistics come from: see `photostyle.transfer.content_moments`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.moments import AffineMap, Moments, transfer_map
from photostyle.model.network import (
    PhotoNet,
    Visitor,
    full_precision,
    normalize,
    pad,
)
from photostyle.model.transfer_settings import TransferSettings
from photostyle.transfer.color_match import SAMPLE, ColorMatch, match_colors, roll_off, sampled
from photostyle.transfer.content_moments import PIXELS, RESIDUAL, ContentMoments
from photostyle.transfer.correspondence import WHOLE, Correspondence, resized_to
from photostyle.transfer.local_maps import (
    EPSILON,
    REACH,
    LocalAffineMaps,
    contrast,
    fit,
    fit_ratio,
    project_to_maps,
    regression,
)
from photostyle.transfer.style import Style

RESIDUAL_DAMPING = 1e-2
"""Damping of the residual's map: a grey photo holds faint colour noise, which must stay faint."""

LOOK_EPSILON, LOOK_REACH = 3e-4, 0.012
"""Epsilon and reach of the local maps of a look."""

REGION_EPSILON, REGION_REACH = 3e-3, 0.03
"""Epsilon and reach of the local maps of regions that were found."""

HAND_EPSILON, HAND_REACH = 2e-3, 0.02
"""Epsilon and reach of the local maps of a region that was given by hand."""

REGION_DAMPING = 1e-2
"""Damping of the colour match of a region, which may be even."""

REGION_GAINS = (0.4, 1.8)
"""The least and the largest gain of the colours of a region."""

REGION_SAMPLE = 1 << 13
"""Number of pixels of a photo, roughly, that the colours of its regions are matched by."""


class StyleTransfer(Visitor):
    """Maps the features of one content to the moments of a style, at every WCT layer.

    strength: up to 1 it blends the features, the residual and the colours each with what they
    become; as these follow each other, 0.5 is more than half of the change. What exceeds 1
    extrapolates the change of the colours, see `extrapolated`. content: the content's statistics,
    which it keeps; by default those of each photo of the batch. correspondence: what content and
    style have in common; by default all of both.
    """

    def __init__(
        self,
        style: Style,
        settings: TransferSettings,
        strength: float = 1.0,
        content: ContentMoments | None = None,
        correspondence: Correspondence = WHOLE,
    ) -> None:
        self.style, self.settings = style, settings
        self.strength, self.excess = min(strength, 1.0), max(strength - 1, 0.0)
        self.content = content or ContentMoments()
        self.correspondence = correspondence
        self._maps: dict[str, tuple[object, AffineMap]] = {}

    def with_content(self, content: ContentMoments) -> StyleTransfer:
        """The same transfer with the content's statistics from elsewhere."""
        strength = self.strength + self.excess
        return StyleTransfer(self.style, self.settings, strength, content, self.correspondence)

    def visit(self, layer: str, features: Tensor) -> AffineMap:
        moments = self.content.moments(layer, features)
        known, mapping = self._maps.get(layer, (None, None))
        weights = self.content.region_weights(layer, features)
        if mapping is None or known is not moments:
            mapping = self._map(layer, moments, weights).blend(self.strength)
            self._maps[layer] = moments, mapping
        if mapping.shift is not None and weights is not None:  # those of this frame or tile
            mapping = replace(mapping, shift=replace(mapping.shift, weights=weights))
        return mapping

    def _map(self, layer: str, moments: Moments, weights: Tensor | None) -> AffineMap:
        settings, masks = self.settings, self.correspondence.style_masks
        if masks is None or moments.regions is None:
            target = self.style.moments[layer].to(moments.mean.device)
            return transfer_map(moments, target, settings.method, settings.damping)
        target = self.style.with_regions(layer, masks)
        trust = self.correspondence.trust
        return transfer_map(moments, target, settings.method, settings.damping, weights, trust)

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

    def match(self, result: Tensor, content: Tensor) -> Tensor:
        """A composed result with the colours of the style; both RGB (B, 3, H, W), 0..1."""
        found = self.correspondence
        if found.match == "none":
            return result
        if found.style_masks is None:
            matched = self._matched(result, content)
        else:
            matched = self._matched_by_region(result, content)
        if found.look is not None:
            look = found.look(content)
            matched = torch.lerp(matched, look, found.same_scene.to(look).view(-1, 1, 1, 1))
        return torch.lerp(result, matched, self.strength)

    def extrapolated(self, result: Tensor, content: Tensor) -> Tensor:
        """A result with more than all of its change, for a strength over 1; both (B, 3, H, W).

        With the strength s, contrasts that the style multiplies by g > 1 are multiplied by
        1 + s (g - 1). Those that it reduces are multiplied by g^s, so that none is inverted.
        """
        if not self.excess:
            return result
        strength = 1 + self.excess

        def measure() -> AffineMap:
            photo, made = (self.content.population(batch) for batch in (content, result))
            gains, axes = torch.linalg.eigh(_symmetric(regression(photo, made).double()))
            reduced = gains.clamp_min(0) ** strength + gains.clamp_max(0)
            correction = torch.where(gains < 1, reduced - 1 - strength * (gains - 1), 0)
            matrix = (axes * correction @ axes.mT)[None]
            mean = Moments.of(photo).mean
            return AffineMap.between(mean, torch.zeros_like(mean), matrix)

        correction = self.content.keep("extrapolation", measure)(content)
        return torch.lerp(content, result, strength) + correction

    def separate(self, photo: Tensor) -> Tensor | None:
        """The masks of regions whose maps are fitted to each alone, (B, K, H, W): those by hand.

        photo: (B, 3, H, W). What was found is too soft to have an effect.
        """
        regions = self.content.regions
        if regions is None or not self.correspondence.by_hand:
            return None
        return resized_to(regions.masks, photo).expand(len(photo), -1, -1, -1)

    def windows(self, epsilon: float, number: int = 0) -> tuple[float, float]:
        """epsilon and reach of the last local maps (`photostyle.transfer.local_maps.fit`).

        number: of the photo in the batch. The maps of regions change at edges, so that windows are
        smaller than those of a photo that is matched as a whole. The surer the look, the smaller
        still: a colour map of the whole photo has no halos to avoid.
        """
        found = self.correspondence
        if found.by_hand:
            return HAND_EPSILON, HAND_REACH
        if found.look is None:
            return epsilon, REACH
        by_region = torch.tensor([min(epsilon, REGION_EPSILON), REGION_REACH])
        look = torch.tensor([LOOK_EPSILON, LOOK_REACH])
        same = found.same_scene[number % len(found.same_scene)]  # one for all frames of a shot
        sizes = by_region.lerp(look, float(same) ** 2)
        epsilon, reach = sizes.tolist()
        return epsilon, reach

    def _matched(self, result: Tensor, content: Tensor, sample: int = SAMPLE) -> Tensor:
        """Matched to the style's palette as a whole, by about ``sample`` pixels."""

        def measure() -> ColorMatch:
            made, photo = (self.content.population(batch) for batch in (result, content))
            mask = self.content.mask
            mask = None if mask is None else self.content.population(resized_to(mask, content))
            # Else only pixels between the samples count.
            if mask is None or sampled(mask, sample).any():
                made, photo = sampled(made, sample), sampled(photo, sample)
                mask = None if mask is None else sampled(mask, sample)
            palette = self.style.palette.to(content.device)
            return match_colors(made, photo, palette, self.settings.method, mask)

        return self.content.keep("color match", measure)(result)

    def _matched_by_region(self, result: Tensor, content: Tensor) -> Tensor:
        """Matched region by region; a region without a counterpart has the look of the photo."""
        found, regions = self.correspondence, self.content.regions
        assert regions is not None
        assert found.style_masks is not None
        masks = resized_to(regions.masks, content)
        count = masks.shape[1]

        def for_each_region(pixels: Tensor) -> Tensor:
            return pixels.repeat_interleave(count, 0)

        def measure() -> ColorMatch:
            parts = [self.content.population(batch) for batch in (result, content, masks)]
            if self.content.mask is not None:
                mask = resized_to(self.content.mask, content)
                parts[2] = parts[2] * self.content.population(mask)
            made, photo, weights = (sampled(part, REGION_SAMPLE) for part in parts)
            palette = found.palettes(self.style.thumbnail, self.style.mask)
            return match_colors(
                for_each_region(made),
                for_each_region(photo),
                palette.to(content.device),
                self.settings.method,
                weights.flatten(0, 1)[:, None],
                REGION_DAMPING,
                REGION_GAINS,
            )

        matches = self.content.keep("color match by region", measure)
        # Frames of a shot have the matches of the shot.
        parts = for_each_region(result).split(len(matches.before.matrix))
        matched = torch.cat([matches(part) for part in parts]).unflatten(0, (-1, count))
        trust = found.trust.to(content)[:, :, None, None, None]
        whole = self._matched(result, content, REGION_SAMPLE)
        matched = torch.lerp(whole[:, None], matched, found.independence)
        fallback = found.look(content) if found.look else whole
        matched = torch.lerp(fallback[:, None], matched, trust)
        return (masks[:, :, None] * matched).sum(1)


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
    compose: Compose, content: Tensor, transfer: StyleTransfer, epsilon: float, ratio: int
) -> tuple[Tensor, Tensor]:
    """The content and its result before the roll-off, both as the small copies that maps lead from.

    content: RGB (B, 3, H, W), 0..1. epsilon: of the maps, see `photostyle.transfer.local_maps.fit`.
    ratio: how many times smaller the copies are.
    """
    result = compose(content, transfer)
    content, result = (F.avg_pool2d(photo, ratio, ceil_mode=True) for photo in (content, result))
    if transfer.settings.refine:
        projected = project_to_maps(content, result, epsilon, transfer.separate(content))
        result = transfer.match(projected, content)
    return content, transfer.extrapolated(result, content)


def style_maps(
    compose: Compose,
    content: Tensor,
    transfers: Sequence[tuple[StyleTransfer, float]],
    epsilon: float,
    ratio: int,
) -> LocalAffineMaps:
    """The local maps from RGB (1, 3, H, W), 0..1, to its result in several styles, by weight.

    epsilon, ratio: as in `match_style`. The weights add up to 1. The results of the styles are
    blended before the maps are fitted.
    """
    matched = [
        (*match_style(compose, content, transfer, epsilon, ratio), weight)
        for transfer, weight in transfers
    ]
    small = matched[0][0]
    result = torch.stack([weight * result for _, result, weight in matched]).sum(0)
    each = (transfer.windows(epsilon) for transfer, _ in transfers)
    epsilon, reach = (max(sizes) for sizes in zip(*each, strict=True))
    regions = transfers[0][0].separate(small)  # a mix has none by hand
    return LocalAffineMaps(fit(small, result, epsilon, reach, regions), ratio)


def maps_of_each(
    content: Tensor, result: Tensor, transfer: StyleTransfer, epsilon: float, ratio: int
) -> list[LocalAffineMaps]:
    """The local maps of each photo of a batch, from what `match_style` returns.

    epsilon, ratio: as there.
    """
    masks = transfer.separate(content)
    regions = [None] * len(content) if masks is None else masks.split(1)
    return [
        LocalAffineMaps(fit(small, made, *transfer.windows(epsilon, number), mask), ratio)
        for number, (small, made, mask) in enumerate(
            zip(content.split(1), result.split(1), regions, strict=True)
        )
    ]


def stylize(
    network: PhotoNet, content: Tensor, transfer: StyleTransfer, epsilon: float = EPSILON
) -> Tensor:
    """The whole transfer of RGB (B, 3, H, W), 0..1, at its own size; differentiable.

    epsilon: as in `match_style`.
    """
    composing = partial(compose, network)
    if not transfer.settings.refine:
        return composing(content, transfer)
    ratio = fit_ratio(*content.shape[2:])
    small, result = match_style(composing, content, transfer, epsilon, ratio)
    maps = maps_of_each(small, result, transfer, epsilon, ratio)
    parts = [
        one.blend(strength)(photo, 0)
        for photo, one, strength in zip(content, maps, contrast(small).tolist(), strict=True)
    ]
    return roll_off(torch.stack(parts), content)


def _symmetric(matrix: Tensor) -> Tensor:
    return (matrix + matrix.mT) / 2

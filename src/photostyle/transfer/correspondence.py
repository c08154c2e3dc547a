"""What content and style have in common: regions, and the look that leads from one to the other."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.matcher import Blocks, Look, Matcher
from photostyle.transfer.color_match import Palette
from photostyle.transfer.content_moments import apart, joined
from photostyle.transfer.options import Match
from photostyle.transfer.regions import (
    Clusters,
    RegionMasks,
    placed,
    presence,
    sharpened,
)
from photostyle.transfer.style import Style

HAND_REACH, HAND_EDGES = 0.02, 1e-4
"""As `photostyle.transfer.regions.REACH` and EDGES, for the borders of regions given by hand."""

INDEPENDENCE = 0.8
"""How far a region that was found is matched on its own: found regions are never quite right."""


@dataclass(frozen=True)
class Correspondence:
    """What B contents and B styles have in common.

    match: how colours are matched. style_masks: (B, K, h, w), the regions of the styles at their
    thumbnails; None for all of the photo. trust: (B, K), 0..1, how far to go in each region. look:
    the look that leads from content to style, if known; same_scene: (B,), 0..1, how far to apply
    that instead of matching. clusters: of the descriptors, if regions were found.
    independence: 0..1, how far a region is matched on its own instead of with the whole photo.
    by_hand: whether the regions were given by hand.
    """

    match: Match = "auto"
    style_masks: Tensor | None = None
    trust: Tensor = field(default_factory=lambda: torch.ones(1, 1))
    look: Look | None = None
    same_scene: Tensor = field(default_factory=lambda: torch.zeros(1))
    clusters: Clusters | None = None
    independence: float = 1.0
    by_hand: bool = False

    def palettes(self, thumbnail: Tensor, mask: Tensor | None) -> Palette:
        """The palettes of the regions of styles, one after the other, (B K, ...)."""
        assert self.style_masks is not None
        masks = self.style_masks if mask is None else self.style_masks * mask.to(self.style_masks)
        count = masks.shape[1]
        pixels = thumbnail.to(masks).repeat_interleave(count, 0)
        return Palette.of(pixels, masks.flatten(0, 1)[:, None])

    def regions(self, blocks: Blocks, pixels: Tensor, height: int, width: int) -> RegionMasks:
        """The found regions of photos; pixels: small copies of those of height x width."""
        assert self.clusters is not None
        masks = sharpened(self.clusters.weights(placed(blocks)), pixels)
        return RegionMasks(masks, height, width)


WHOLE = Correspondence("global")
"""All of the content corresponds to all of the style."""


def find(
    matcher: Matcher, contents: Blocks, style: Style, match: Match, mask: Tensor | None = None
) -> Correspondence:
    """What photos of one content (a photo, or frames of a shot) have in common with a style.

    The style must have blocks. match: "auto" or "regions". mask: (B, 1, H, W), the weight of each
    pixel of the content.
    """
    assert style.blocks is not None
    blocks = Blocks(*(part.to(contents.colors) for part in style.blocks))
    count = len(contents.colors)
    look, same = None, torch.zeros(1).to(blocks.colors)
    if style.photos == 1:  # no one look leads to several photos
        repeated = Blocks(*(part.expand(count, *part.shape[1:]) for part in blocks))
        found = matcher(contents, repeated)
        look = Look(found.look.coefficients.mean(0, keepdim=True))
        same = scene_weight(found.same_scene.mean(0, keepdim=True))
    descriptors, colors, thumbnail = (
        apart(part, style.photos) for part in (*blocks[:2], style.thumbnail)
    )
    ours, theirs = placed(contents), placed(blocks._replace(descriptors=descriptors, colors=colors))
    content_blocks = torch.cat(list(ours[:, None]), 3)
    clusters = Clusters.of([content_blocks, joined(theirs)])
    masks = joined(sharpened(clusters.weights(theirs), thumbnail.to(theirs)))
    if mask is not None:
        mask = torch.cat(list(mask[:, None]), 3)
    trust = presence(counted(clusters.weights(content_blocks), mask), counted(masks, style.mask))
    if match == "regions":
        same = torch.zeros_like(same)
    return Correspondence(match, masks, trust, look, same, clusters, INDEPENDENCE)


def find_each(
    matcher: Matcher, contents: Tensor, style: Style
) -> tuple[Correspondence, RegionMasks]:
    """What each photo of a batch, RGB (B, 3, H, W), and the style of its number have in common.

    H, W: multiples of 16, at most ANALYSIS_SIZE or so. The B styles must have blocks. Found without
    a gradient.
    """
    assert style.blocks is not None
    with torch.no_grad():
        pairs = []
        for number, pixels in enumerate(contents.split(1)):
            blocks = matcher.blocks(pixels)
            one = replace(
                style,
                blocks=Blocks(*(part[number : number + 1] for part in style.blocks)),
                thumbnail=style.thumbnail[number : number + 1],
            )
            found = find(matcher, blocks, one, "auto")
            pairs.append((found, found.regions(blocks, pixels, *pixels.shape[2:]).masks))
    each, masks = zip(*pairs, strict=True)
    found = Correspondence(
        "auto",
        torch.cat([found.style_masks for found in each]),
        torch.cat([found.trust for found in each]),
        Look(torch.cat([found.look.coefficients for found in each])),
        torch.cat([found.same_scene for found in each]),
        independence=INDEPENDENCE,
    )
    return found, RegionMasks(torch.cat(masks), *contents.shape[2:])


def counted(masks: Tensor, weights: Tensor | None) -> Tensor:
    """Masks (B, K, H, W) by the weights of pixels, (B, 1, H', W'), with the mean of those as 1."""
    if weights is None or not weights.any():
        return masks
    weights = resized_to(weights, masks)
    return masks * (weights / weights.mean((2, 3), keepdim=True).clamp_min(1e-6))


def scene_weight(logit: Tensor) -> Tensor:
    """How far to apply the look instead of matching, from the logit that it is the same scene."""
    return torch.sigmoid(4 * (logit - 1.4))


def by_hand(
    content_labels: Tensor,
    style: Style,
    pixels: Tensor,
    height: int,
    width: int,
    mask: Tensor | None = None,
) -> tuple[Correspondence, RegionMasks]:
    """The regions of label maps: content_labels (1, h, w) and the style's own.

    pixels: (B, 3, H, W), small copies of the photos of a content of height x width; mask: as for
    `find`.
    """
    assert style.labels is not None
    count = int(max(content_labels.max(), style.labels.max())) + 1
    ours, theirs = (one_hot(labels, count) for labels in (content_labels, style.labels))
    small = F.interpolate(ours, pixels.shape[2:], mode="bilinear", antialias=True)
    masks = F.interpolate(theirs, style.thumbnail.shape[2:], mode="bilinear", antialias=True)
    mask = None if mask is None else mask.mean(0, keepdim=True)
    trust = presence(counted(small, mask), counted(masks, style.mask))
    # Frames share their labels, which follow the edges that stay where they are.
    small = sharpened(small, pixels.mean(0, keepdim=True), HAND_REACH, HAND_EDGES)
    found = Correspondence("auto", masks, trust, by_hand=True)
    return found, RegionMasks(small, height, width)


def one_hot(labels: Tensor, count: int) -> Tensor:
    """Labels (B, h, w) as masks (B, count, h, w)."""
    return F.one_hot(labels.long(), count).permute(0, 3, 1, 2).float()


def resized_to(masks: Tensor, photo: Tensor) -> Tensor:
    """Masks (B, K, h, w) at the size of a copy (B, C, H, W) of the same photo."""
    if masks.shape[2:] == photo.shape[2:]:
        return masks
    return F.interpolate(masks.to(photo), photo.shape[2:], mode="bilinear", antialias=True)

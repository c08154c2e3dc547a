"""Where photos show human skin: soft masks, for `--keep skin`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.matcher import ANALYSIS_SIZE, Blocks, Matcher
from photostyle.model.network import STRIDE
from photostyle.model.skin import SkinHead, facts
from photostyle.transfer.canvas import resized
from photostyle.transfer.kept import LUMA
from photostyle.transfer.local_maps import LocalAffineMaps
from photostyle.transfer.regions import following_edges

REACH, EDGES = 0.03, 1e-3
"""As in `photostyle.transfer.regions`, of the mask of skin."""

AROUND = 9
"""Side of the window of blocks that must have colours of skin."""

UNSURE, SURE = 0.55, 0.85
"""Probability up to which nothing is taken for skin, and from which all is."""


class SkinFinder:
    """Finds skin by the descriptors of a matcher."""

    def __init__(self, matcher: Matcher, head: SkinHead) -> None:
        self._matcher, self._head = matcher, head

    @torch.no_grad()
    def masks(self, photos: Tensor, blocks: Blocks | None = None) -> Tensor:
        """How far each pixel of copies of photos, RGB (B, 3, H, W), shows skin: (B, 1, h, w).

        blocks: of the photos, by the same matcher, if they are known.
        """
        device = self._head.out.weight.device
        small = resized(photos.to(device), ANALYSIS_SIZE, STRIDE)
        small = small.contiguous(memory_format=torch.channels_last)
        blocks = blocks or self._matcher.blocks(small)
        skin = self._head(facts(blocks)).sigmoid().permute(0, 3, 1, 2)
        skin = ((_mean(skin, 3) - UNSURE) / (SURE - UNSURE)).clamp(0, 1)
        # Where most has colours that no skin has, nothing is skin: folds of orange cloth.
        share = _mean(skin * plausible(blocks.colors), AROUND) / _mean(skin, AROUND).clamp_min(1e-3)
        skin = skin * ((share - 0.6) / 0.3).clamp(0, 1)
        return following_edges(skin, small, REACH, EDGES).clamp(0, 1)

    def added(
        self, maps: LocalAffineMaps, photo: Tensor, blocks: Blocks | None = None
    ) -> LocalAffineMaps:
        """Maps of RGB (1, 3, H, W), 0..1, that know where its skin is; blocks: as in `masks`."""
        mask = F.interpolate(self.masks(photo, blocks), maps.maps.shape[1:], mode="bilinear")[0]
        return LocalAffineMaps(torch.cat([maps.maps[:12], mask.to(maps.maps)]), maps.ratio)


def _mean(planes: Tensor, side: int) -> Tensor:
    """Means of planes (B, C, h, w) over windows of side x side."""
    return F.avg_pool2d(planes, side, 1, side // 2, count_include_pad=False)


def plausible(rgb: Tensor) -> Tensor:
    """How far colours (B, 3, H, W) could be those of skin of any kind: (B, 1, H, W), 0..1.

    In daylight the red of skin exceeds its luma by a quarter, of dark skin by half; orange cloth
    and red paint by more, and what is bluer than red is none.
    """
    red, _, blue = rgb.split(1, 1)
    luma = (rgb * rgb.new_tensor(LUMA).view(3, 1, 1)).sum(1, keepdim=True)
    excess, warmth = (red - luma) / (luma + 0.03), (red - blue) / (luma + 0.03)
    return ((0.72 - excess) / 0.2).clamp(0, 1) * ((warmth + 0.05) / 0.15).clamp(0, 1)

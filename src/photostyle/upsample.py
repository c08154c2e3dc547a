"""A smooth map of local affine colour transforms, from small photos to photos of any size.

Between a photo and its stylized self lies, at every place, an affine map of colours that changes
slowly over the photo. Fitted on a reduced copy and applied to the photo itself, it gives every
detail of the photo the colours of the result (He and Sun, Fast Guided Filter, 2015).
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.pixels import STRIP, Pixels

RADIUS = 8
"""Half the size of the windows of a fit, in pixels of the reduced copy."""

EPSILON = 1e-3
"""Variance of colours, on 0..1, under which a window is flat and follows the photo as a whole."""


def fit(content: Tensor, result: Tensor, radius: int = RADIUS, epsilon: float = EPSILON) -> Tensor:
    """The local affine maps that lead from content to result, both RGB (B, 3, H, W).

    Returns (B, 12, H, W): matrix by rows, then bias. In each window the map is the ridge regression

        A = G + (Cov(r, c) - G Cov(c, c)) (Cov(c, c) + epsilon I)^-1,  b = mean(r) - A mean(c)

    (He, Sun and Tang, Guided Image Filtering, 2013, eq. 14, with the photo's own regression G in
    place of 0, so that flat windows keep their faint detail); maps are averaged over windows.
    """
    height, width = content.shape[-2:]
    radius = min(radius, (min(height, width) - 1) // 2)
    inner = torch.einsum("bihw,bjhw->bijhw", content, content).flatten(1, 2)
    outer = torch.einsum("bihw,bjhw->bijhw", result, content).flatten(1, 2)
    means = _mean(torch.cat([content, result, inner, outer], 1), radius)
    mean_c, mean_r, inner, outer = means.permute(0, 2, 3, 1).split([3, 3, 9, 9], -1)
    mean_c, mean_r = mean_c[..., None], mean_r[..., None]
    inner = inner.unflatten(-1, (3, 3)) - mean_c @ mean_c.mT
    outer = outer.unflatten(-1, (3, 3)) - mean_r @ mean_c.mT
    whole = _regression(content, result, epsilon)[:, None, None]
    ridge = epsilon * torch.eye(3).to(inner)
    matrix = whole + (outer - whole @ inner) @ _inverse(inner + ridge)
    bias = mean_r - matrix @ mean_c
    maps = torch.cat([matrix.flatten(-2), bias.flatten(-2)], -1).permute(0, 3, 1, 2)
    return _mean(maps.contiguous(), radius)


class Upsampled:
    """Maps (1, 12, h, w) as `fit` gives them, for a photo that is ``ratio`` times as large."""

    def __init__(self, maps: Tensor, ratio: float) -> None:
        self.maps, self.ratio = maps[0], ratio

    def __call__(self, strip: Tensor, top: int) -> Tensor:
        """Rows of the photo, (3, n, W), from row ``top`` on, under the map of each pixel."""
        _, rows, width = strip.shape
        maps = self._rows(top, rows)
        # Twice as fast as an interpolation in both dimensions at once.
        wide = max(width, round(maps.shape[2] * self.ratio))
        maps = F.interpolate(maps, size=wide, mode="linear")[..., :width]
        result = maps[9:].clone()
        for i in range(3):
            for j in range(3):
                result[i].addcmul_(maps[3 * i + j], strip[j])
        return result

    def _rows(self, top: int, count: int) -> Tensor:
        """The maps between the rows of the small photo: (12, count, w)."""
        last = self.maps.shape[1] - 1
        place = ((torch.arange(top, top + count) + 0.5) / self.ratio - 0.5).clamp(0, last)
        below = place.floor().long()
        share = (place - below)[:, None].to(self.maps)
        above = self.maps[:, (below + 1).clamp_max(last)]
        return torch.lerp(self.maps[:, below], above, share)


def reduce(pixels: Pixels, side: int) -> tuple[Tensor, float]:
    """A copy with a long side of about ``side`` pixels, (1, 3, h, w), and how much smaller it is.

    The mean over blocks of whole pixels, then, for the rest of the way, over overlapping ones. A
    photo that is not larger stays as it is.
    """
    long = max(pixels.height, pixels.width)
    block = max(1, long // side)
    rows = block * max(1, STRIP // (block * pixels.width))
    parts = []
    for top in range(0, pixels.height, rows):
        strip = pixels.rows(top, min(pixels.height, top + rows))
        parts.append(F.avg_pool2d(strip, block, ceil_mode=True) if block > 1 else strip)
    small = torch.cat(parts, 1)[None]
    rest = max(1.0, long / block / side)
    if rest > 1:
        height, width = (math.ceil(size / rest) for size in small.shape[-2:])
        scale = (height / small.shape[-2], width / small.shape[-1])
        small = F.interpolate(small, size=(height, width), mode="bilinear", antialias=True)
        rest = 2 / sum(scale)
    return small, block * rest


def _mean(x: Tensor, radius: int) -> Tensor:
    """The mean over windows that are cut off at the edges, one dimension after the other."""
    size = 2 * radius + 1
    x = F.avg_pool2d(x, (size, 1), 1, (radius, 0), count_include_pad=False)
    return F.avg_pool2d(x, (1, size), 1, (0, radius), count_include_pad=False)


def _regression(content: Tensor, result: Tensor, epsilon: float) -> Tensor:
    c, r = content.flatten(2), result.flatten(2)
    c, r = (x - x.mean(2, keepdim=True) for x in (c, r))
    inner, outer = (x @ c.mT / c.shape[2] for x in (c, r))
    ridge = epsilon * torch.eye(3).to(inner)
    return (outer + ridge) @ _inverse(inner + ridge)


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of symmetric 3x3 matrices by their cofactors."""
    a, b, c = matrix.unbind(-2)
    cofactors = torch.stack(
        [torch.linalg.cross(b, c), torch.linalg.cross(c, a), torch.linalg.cross(a, b)], -2
    )
    determinant = (a * cofactors[..., 0, :]).sum(-1)
    return cofactors.mT / determinant[..., None, None]

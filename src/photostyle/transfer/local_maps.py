"""A smooth map of local affine colour transforms, from small photos to photos of any size.

Between a photo and its stylized self lies, at every place, an affine map of colours that changes
slowly over the photo. Fitted on a reduced copy and applied to the photo itself, it gives every
detail of the photo the colours of the result (He and Sun, Fast Guided Filter, 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.model.moments import Moments
from photostyle.transfer.canvas import Canvas, strip_rows
from photostyle.transfer.color_match import roll_off

BLOCK = 2
"""Side of the blocks of the reduced copy whose means a fit is made of, in pixels."""

REACH = 0.05
"""Half the size of the windows of a fit, as a share of the photo's long side."""

FIT_SIZE = 768
"""Long side of the photos that a fit is made of, in pixels; larger ones are reduced to it."""

EPSILON = 5e-3
"""Variance of colours, on 0..1, under which a window is flat and follows the photo as a whole."""

RIDGE = 2e-3
"""The same, under which the photo as a whole is flat and keeps its contrast."""


def ratio(pixels: Canvas, side: int) -> int:
    """How many times smaller a copy must be to have a long side of at most ``side`` pixels."""
    return math.ceil(max(pixels.height, pixels.width) / side)


def reduce(pixels: Canvas, side: int) -> tuple[Tensor, int]:
    """A copy with a long side of at most ``side`` pixels, (1, 3, h, w), and how much smaller it is.

    Each pixel is the mean over a block of whole pixels of the photo.
    """
    block = ratio(pixels, side)
    rows = block * strip_rows(block * pixels.width, pixels.device)
    parts = []
    for top in range(0, pixels.height, rows):
        strip = pixels.rows(top, min(pixels.height, top + rows))
        parts.append(F.avg_pool2d(strip, block, ceil_mode=True))
    return torch.cat(parts, 1)[None], block


def fit(content: Tensor, result: Tensor, epsilon: float = EPSILON) -> Tensor:
    """The local affine maps that lead from content to result, both RGB (1, 3, H, W).

    Returns (12, H / BLOCK, W / BLOCK): matrix by rows, then bias. In each window the map is the
    ridge regression

        A = G + (Cov(r, c) - G Cov(c, c)) (Cov(c, c) + epsilon I)^-1,  b = mean(r) - A mean(c)

    (He, Sun and Tang, Guided Image Filtering, 2013, eq. 14, with the photo's own regression G in
    place of 0, so that flat windows keep their faint detail); maps are averaged over windows.
    """
    whole = _regression(content, result)[..., None, None]
    radius = math.ceil(REACH * max(content.shape[2:]) / BLOCK)
    c, r = (
        F.avg_pool2d(photo, BLOCK, ceil_mode=True)[0].contiguous() for photo in (content, result)
    )
    # Matrices are (3, 3, h, w): a plane for each entry.
    cc, rc = c[:, None] * c, r[:, None] * c
    means = _mean(torch.cat([c, r, cc.flatten(0, 1), rc.flatten(0, 1)]), radius)
    mean_c, mean_r, cc, rc = means.split([3, 3, 9, 9])
    cc = cc.unflatten(0, (3, 3)) - mean_c[:, None] * mean_c
    rc = rc.unflatten(0, (3, 3)) - mean_r[:, None] * mean_c
    ridge = _ridge(epsilon, cc)[..., None, None]
    matrix = whole + _product(rc - _product(whole, cc), _inverse(cc + ridge))
    bias = mean_r - (matrix * mean_c).sum(1)
    return _mean(torch.cat([matrix.flatten(0, 1), bias]), radius)


def _regression(content: Tensor, result: Tensor) -> Tensor:
    """The matrix of the affine map that is nearest to leading from content to result, (3, 3)."""
    parts = zip(content.split(256, 2), result.split(256, 2), strict=True)
    joint = Moments.merge(Moments.of(torch.cat(part, 1)) for part in parts).covariance[0]
    ridge = _ridge(RIDGE, joint)
    return ((joint[3:, :3] + ridge) @ _inverse(joint[:3, :3] + ridge)).to(content.dtype)


def maps_between(content: Tensor, result: Tensor, epsilon: float = EPSILON) -> LocalAffineMaps:
    """The maps from content to result, both RGB (1, 3, H, W), at their size; see `fit`."""
    ratio = math.ceil(max(content.shape[2:]) / FIT_SIZE)
    if ratio > 1:
        content, result = (F.avg_pool2d(p, ratio, ceil_mode=True) for p in (content, result))
    return LocalAffineMaps(fit(content, result, epsilon), ratio)


def project_to_maps(content: Tensor, result: Tensor, epsilon: float = EPSILON) -> Tensor:
    """As much of a result as maps from the content hold, both RGB (B, 3, H, W); in its place."""
    rows = strip_rows(content.shape[3], content.device)
    for photo, made in zip(content, result, strict=True):
        maps = maps_between(photo[None], made[None], epsilon)
        for top in range(0, photo.shape[1], rows):
            part = slice(top, top + rows)
            made[:, part] = maps(photo[:, part], top)
    return result


def apply_maps(
    pixels: Canvas,
    maps: LocalAffineMaps,
    soften: bool,
    progress: Callable[[float], None] = lambda _: None,
) -> None:
    """Put the photo under maps for its size.

    soften: whether to `roll_off`. progress: told the share that is done.
    """
    for top, bottom in pixels.strips():
        strip = pixels.rows(top, bottom)
        mapped = maps(strip, top)
        pixels.put(top, roll_off(mapped, strip) if soften else mapped)
        progress(bottom / pixels.height)


class LocalAffineMaps:
    """Maps as `fit` gives them, for a photo that is ``ratio`` times as large as the content."""

    def __init__(self, maps: Tensor, ratio: int) -> None:
        self.maps, self.ratio = maps, ratio
        self._step = BLOCK * ratio

    def enlarged(self, ratio: int) -> LocalAffineMaps:
        """The same for a photo that is ``ratio`` times as large again."""
        return LocalAffineMaps(self.maps, ratio * self.ratio)

    def lerp(self, other: LocalAffineMaps, share: float) -> LocalAffineMaps:
        """A ``share`` of the way to maps for a photo of the same size."""
        return LocalAffineMaps(torch.lerp(self.maps, other.maps, share), self.ratio)

    def __call__(self, strip: Tensor, top: int) -> Tensor:
        """Rows of the photo, (3, n, W), from row ``top`` on, under the map of each pixel."""
        maps = self._interpolated(top, *strip.shape[1:])
        result = maps[9:]
        for column in range(3):
            result.addcmul_(maps[column:9:3], strip[column])
        return result

    def _interpolated(self, top: int, count: int, width: int) -> Tensor:
        """The maps of ``count`` rows of the photo: (12, count, width)."""
        if self.maps.device.type == "cuda":
            return self._interpolated_at_once(top, count, width)
        step, highest = self._step, self.maps.shape[1] - 1
        # The centre of the k-th row of maps lies at (k + 1/2) step.
        place = (torch.arange(top, top + count) + 0.5) / step - 0.5
        below = place.floor()
        numbers = torch.arange(int(below[0]), int(below[-1]) + 2)
        rows = self.maps[:, numbers.clamp(0, highest)]
        wide = max(width, self.maps.shape[2] * step)
        rows = F.interpolate(rows, size=wide, mode="linear")[..., :width]
        share = (place - below)[:, None].to(rows)
        maps = rows.new_empty(12, count, width)
        counts = (below[:, None] == numbers[:-1]).sum(0).tolist()
        # All rows of the photo between the same two rows of maps at once.
        bands = zip(
            maps.split(counts, 1),
            share.split(counts),
            rows.split(1, 1),
            rows.diff(dim=1).split(1, 1),
            strict=False,
        )
        for band, part, low, rise in bands:
            torch.addcmul(low, rise, part, out=band)
        return maps

    def _interpolated_at_once(self, top: int, count: int, width: int) -> Tensor:
        """The same for a device to which many small steps would be one wait after the other."""
        step = self._step
        first, end = max(0, math.floor((top + 0.5) / step - 0.5)), (top + count) // step + 2
        rows = self.maps[:, first:end]
        rows = F.interpolate(rows, size=max(width, rows.shape[2] * step), mode="linear")
        place = (torch.arange(top, top + count, device=rows.device) + 0.5) / step - 0.5 - first
        place = place.clamp(0, rows.shape[1] - 1)
        below = place.long()
        above = (below + 1).clamp_max(rows.shape[1] - 1)
        low, high = (rows.index_select(1, numbers)[..., :width] for numbers in (below, above))
        return low.lerp_(high, (place - below)[:, None])


def _mean(x: Tensor, radius: int) -> Tensor:
    """Means of x (C, H, W) over windows that are cut off at the edges, by running sums."""
    # Sums of what is centred stay small, and so does their rounding.
    centre = x.mean((1, 2), keepdim=True)
    x = x - centre
    for dim, sides in ((1, (0, 0, radius + 1, radius)), (2, (radius + 1, radius))):
        length = x.shape[dim]
        sums = F.pad(x, sides).cumsum(dim)
        places = torch.arange(length, device=x.device)
        first, last = (places - radius).clamp_min(0), (places + radius).clamp_max(length - 1)
        count = (last - first + 1).view(-1, *(1,) * (2 - dim)).to(x)
        x = (sums.narrow(dim, 2 * radius + 1, length) - sums.narrow(dim, 0, length)) / count
    return x + centre


def _ridge(epsilon: float, like: Tensor) -> Tensor:
    """epsilon I, (3, 3)."""
    return epsilon * torch.eye(3, dtype=like.dtype, device=like.device)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """Of matrices (3, 3, ...)."""
    product = a[:, :1] * b[0]
    for k in (1, 2):
        product = torch.addcmul(product, a[:, k : k + 1], b[k])
    return product


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of symmetric matrices (3, 3, ...) by their cofactors."""
    a, b, c = matrix
    cofactors = torch.stack(
        [torch.linalg.cross(u, v, dim=0) for u, v in ((b, c), (c, a), (a, b))], 1
    )
    return cofactors / (a * cofactors[:, 0]).sum(0)

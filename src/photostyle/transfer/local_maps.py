"""Local affine colour maps: from a small stylized copy to a photo of any resolution.

Near each pixel an affine map of colours leads from a photo to its stylized copy, and it changes
slowly over the photo. Fitted on a reduced copy and applied to the photo itself, the maps give every
detail of the photo the colours of the result (He and Sun, Fast Guided Filter, 2015).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.profiler import record_function

from photostyle.model.moments import Moments
from photostyle.transfer.canvas import Canvas
from photostyle.transfer.color_match import roll_off
from photostyle.transfer.kept import keeping, keeping_skin, saturation_of
from photostyle.transfer.options import Keep

BLOCK = 2
"""Least side of the blocks of a photo whose means are fitted, in pixels."""

REACH = 0.05
"""Half the size of the windows of a fit, as a fraction of the photo's long side."""

FIT_SIZE = 384
"""Long side of the copies that are fitted, in pixels."""

EPSILON = 2e-2
"""Variance of colours, on 0..1, under which a window is flat and follows the photo as a whole."""

RIDGE = 2e-3
"""The same, under which the photo as a whole is flat and keeps its contrast."""

CONTRAST = 2e-3
"""Mean variance of the colours of a photo, on 0..1, under which it is nearly even."""


def contrast(photo: Tensor, weights: Tensor | None = None) -> Tensor:
    """How far photos (B, 3, H, W), 0..1, have colours of their own to be matched: (B,), 0..1.

    0 if all pixels are equal, or differ by noise: a map to another contrast would have any gain and
    show nothing but that noise. weights: as in `Moments.of`. With the mean variance v of the three
    channels it is 1 - exp(-(v / CONTRAST)^2): a gain that grows as v^(-1/2) is bounded by it.
    """
    covariance = Moments.of(photo, weights).covariance
    variance = covariance.diagonal(dim1=1, dim2=2).mean(1)
    return -torch.expm1(-((variance / CONTRAST) ** 2))


def fit_ratio(height: int, width: int) -> int:
    """How many times smaller than a photo the copy is that its maps are fitted on."""
    return max(BLOCK, math.ceil(max(height, width) / FIT_SIZE))


def fit(
    content: Tensor,
    result: Tensor,
    epsilon: float = EPSILON,
    reach: float = REACH,
    regions: Tensor | None = None,
) -> Tensor:
    """The local affine maps from content to result, both RGB (1, 3, H, W).

    Returns (12, H, W): matrix by rows, then bias. In each window the map is the ridge regression

        A = G + (Cov(r, c) - G Cov(c, c)) (Cov(c, c) + epsilon I)^-1,  b = mean(r) - A mean(c)

    (He, Sun and Tang, Guided Image Filtering, 2013, eq. 14, with the photo's own regression G in
    place of 0, so that flat windows keep their faint detail); maps are averaged over windows.
    regions: soft masks (1, K, H, W) that add up to 1. The maps of each are fitted to it alone, and
    blended by the masks.
    """
    radius = math.ceil(reach * max(content.shape[2:]))
    if regions is None:
        whole = regression(content, result)
        return _regressions(content[0], result[0], radius, epsilon, whole)
    maps = content.new_zeros(12, *content.shape[2:])
    for mask in regions[0]:
        whole = regression(content, result, mask[None, None])
        of_region = _regressions(content[0], result[0], radius, epsilon, whole, mask)
        maps = torch.addcmul(maps, mask, of_region)
    return maps


def guided_filter(guide: Tensor, values: Tensor, radius: int, epsilon: float) -> Tensor:
    """Values (K, h, w) at the size of a photo (3, H, W), smooth, but following its edges.

    He, Sun and Tang, Guided Image Filtering, 2013, eq. 14 to 17, on copies of half the size (He and
    Sun, Fast Guided Filter, 2015). radius: in pixels of the photo. epsilon: variance of colours on
    0..1 under which there is no edge.
    """
    count, small = len(values), F.avg_pool2d(guide[None], 2, ceil_mode=True)
    values = F.interpolate(values[None], small.shape[2:], mode="bilinear")[0]
    whole = guide.new_zeros(count, 3)
    maps = _regressions(small[0], values, max(1, round(radius / 2)), epsilon, whole)
    size = [2 * length for length in small.shape[2:]]
    maps = F.interpolate(maps[None], size, mode="bilinear")[
        0, :, : guide.shape[1], : guide.shape[2]
    ]
    return _applied(maps, guide, count)


def _regressions(
    c: Tensor,
    r: Tensor,
    radius: int,
    epsilon: float,
    whole: Tensor,
    weights: Tensor | None = None,
) -> Tensor:
    """Ridge regressions (4 K, H, W) from c (3, H, W) to r (K, H, W), drawn to whole (K, 3).

    weights: (H, W), of the pixels.
    """
    count, whole = len(r), whole[..., None, None]
    c, r = c.contiguous(), r.contiguous()

    def mean(planes: Tensor) -> Tensor:
        if weights is None:
            return _mean(planes, radius)
        return _mean(planes * weights, radius) / _mean(weights[None], radius).clamp_min(1e-6)

    # Matrices are (K, 3, h, w): a plane for each entry.
    cc, rc = c[:, None] * c, r[:, None] * c
    means = mean(torch.cat([c, r, cc.flatten(0, 1), rc.flatten(0, 1)]))
    mean_c, mean_r, cc, rc = means.split([3, count, 9, 3 * count])
    cc = cc.unflatten(0, (3, 3)) - mean_c[:, None] * mean_c
    rc = rc.unflatten(0, (count, 3)) - mean_r[:, None] * mean_c
    ridge = _ridge(epsilon, cc)[..., None, None]
    matrix = whole + _product(rc - _product(whole, cc), _inverse(cc + ridge))
    bias = mean_r - (matrix * mean_c).sum(1)
    return mean(torch.cat([matrix.flatten(0, 1), bias]))


def _applied(maps: Tensor, pixels: Tensor, count: int = 3) -> Tensor:
    """Pixels (3, H, W), each through its own map of maps (4 count, H, W): (count, H, W)."""
    result = maps[3 * count :]
    for column in range(3):
        result = torch.addcmul(result, maps[column : 3 * count : 3], pixels[column])
    return result


def regression(content: Tensor, result: Tensor, weights: Tensor | None = None) -> Tensor:
    """The matrix (3, 3) of the affine map from content to result that fits all pixels best.

    weights: as in `Moments.of`.
    """
    joint = Moments.of(torch.cat([content, result], 1), weights).covariance[0]
    ridge = _ridge(RIDGE, joint)
    return ((joint[3:, :3] + ridge) @ _inverse(joint[:3, :3] + ridge)).to(content.dtype)


@record_function("local maps")
def project_to_maps(
    content: Tensor, result: Tensor, epsilon: float = EPSILON, regions: Tensor | None = None
) -> Tensor:
    """As much of a result as local affine maps of the content can express; RGB (B, 3, H, W)."""
    masks = [None] * len(content) if regions is None else regions.split(1)
    parts = [
        _applied(fit(photo[None], target[None], epsilon, regions=mask), photo)
        for photo, target, mask in zip(content, result, masks, strict=True)
    ]
    return torch.stack(parts)


@record_function("local maps")
def apply_maps(
    canvas: Canvas,
    maps: LocalAffineMaps,
    soft: bool,
    only: npt.NDArray[Any] | None = None,
    progress: Callable[[float], None] = lambda _: None,
    keep: Keep = "none",
) -> None:
    """Apply maps to a photo of their size, strip by strip.

    soft: whether to `roll_off` instead of clipping. only: (H, W), uint8 or floats in 0..1, how much
    of the change each pixel takes. progress: called with the fraction done. keep:
    see `Keep`.
    """
    skin = maps.maps[12:]
    saturation = saturation_of(maps.maps, skin[0]) if keep == "skin" and len(skin) else 1.0
    for top, bottom in canvas.strips():
        rows = MapRows(maps, top, bottom, canvas.width)
        for first, last in canvas.blocks(top, bottom):
            block = canvas.rows(first, last)
            mapped = rows(block, first)
            mapped = roll_off(mapped, block, in_place=True) if soft else mapped
            if keep == "skin" and len(skin):
                mapped = keeping_skin(mapped, block, rows.skin(first, last - first), saturation)
            canvas.put(first, limited(mapped, block, only, first, keep))
        progress(bottom / canvas.height)


def limited(
    result: Tensor, strip: Tensor, only: npt.NDArray[Any] | None, top: int, keep: Keep
) -> Tensor:
    """The result (3, n, W) of rows of a photo from row ``top`` on, where ``only`` lets it through.

    only: (H, W), uint8 or floats in 0..1; None for all of the result. keep: see `Keep`.
    """
    result = keeping(result, strip, keep)
    if only is None:
        return result
    part = torch.from_numpy(np.ascontiguousarray(only[top : top + strip.shape[1]])).to(strip)
    return torch.lerp(strip, result, part / 255 if only.dtype == np.uint8 else part)


class LocalAffineMaps:
    """Maps as `fit` returns them, for a photo that is ``ratio`` times as large as the content.

    A plane more, the 13th, says how far a pixel is skin (`photostyle.transfer.skin`).
    """

    def __init__(self, maps: Tensor, ratio: int) -> None:
        self.maps, self.ratio = maps, ratio

    def enlarged(self, ratio: int) -> LocalAffineMaps:
        """The same maps for a photo that is ``ratio`` times as large again."""
        return LocalAffineMaps(self.maps, ratio * self.ratio)

    def lerp(self, other: LocalAffineMaps, fraction: float) -> LocalAffineMaps:
        """Linear interpolation with maps for a photo of the same size: 0 is this, 1 the other."""
        return LocalAffineMaps(torch.lerp(self.maps, other.maps, fraction), self.ratio)

    def blend(self, strength: float) -> LocalAffineMaps:
        """Interpolation between maps that change nothing (strength 0) and these (strength 1)."""
        if strength == 1:
            return self
        identity = self.maps.new_zeros(12, 1, 1)
        identity[[0, 4, 8]] = 1
        blended = torch.lerp(identity, self.maps[:12], strength)
        return LocalAffineMaps(torch.cat([blended, self.maps[12:]]), self.ratio)

    def padded(self, top: int, bottom: int, left: int, right: int) -> LocalAffineMaps:
        """The same maps, repeated around a photo that is larger by so many pixels at each side.

        At the top and the left they are multiples of the ratio.
        """
        sides = [-(-pixels // self.ratio) for pixels in (left, right, top, bottom)]
        return LocalAffineMaps(F.pad(self.maps, sides, mode="replicate"), self.ratio)

    def __call__(self, strip: Tensor, top: int) -> Tensor:
        """Rows of the photo, (3, n, W), from row ``top`` on, each pixel through its own map.

        Differentiable; `MapRows` do the same in less time.
        """
        size = [self.ratio * length for length in self.maps.shape[1:]]
        maps = F.interpolate(self.maps[None, :12], size, mode="bilinear")[0]
        return _applied(maps[:, top : top + strip.shape[1], : strip.shape[2]], strip)


class MapRows:
    """Local affine maps in the rows of a photo from ``top`` to ``bottom``, of a width."""

    def __init__(self, maps: LocalAffineMaps, top: int, bottom: int, width: int) -> None:
        planes, self._top = maps.maps, top
        # The centre of the k-th row of maps lies at (k + 1/2) ratio.
        position = (np.arange(top, bottom) + 0.5) / maps.ratio - 0.5
        position = position.clip(0, planes.shape[1] - 1)
        below = position.astype(int)
        self._below = (below - below[0]).tolist()
        planes = planes[:, below[0] : below[-1] + 2]
        planes = F.interpolate(planes, size=planes.shape[2] * maps.ratio, mode="linear")
        self._planes = planes[..., :width]
        distance = np.abs(position[:, None] - below[0] - np.arange(planes.shape[1]))
        self._weights = torch.from_numpy((1 - distance).clip(0)).to(planes)

    def __call__(self, strip: Tensor, top: int) -> Tensor:
        """Rows of the photo, (3, n, W), from row ``top`` on, each pixel through its own map."""
        # All twelve planes at once would not stay in the cache.
        count = strip.shape[1]
        result = self._interpolated(slice(9, 12), top, count)
        for column in range(3):
            matrix = self._interpolated(slice(column, 9, 3), top, count)
            result.addcmul_(matrix, strip[column])
        return result

    def skin(self, top: int, count: int) -> Tensor:
        """How far pixels of ``count`` rows are skin, if known: (count, width)."""
        return self._interpolated(slice(12, 13), top, count)[0]

    def _interpolated(self, planes: slice, top: int, count: int) -> Tensor:
        """Planes of the maps in ``count`` rows from row ``top`` on: (C, count, width)."""
        first = top - self._top
        rows = slice(self._below[first], self._below[first + count - 1] + 2)
        return self._weights[first : first + count, rows] @ self._planes[planes, rows]


def _mean(x: Tensor, radius: int) -> Tensor:
    """Means of x (C, H, W) over windows that are cut off at the edges, by running sums."""
    # Sums of what is centred stay small, and so does their rounding.
    center = x.mean((1, 2), keepdim=True)
    x = x - center
    for dim in (1, 2):
        length = x.shape[dim]
        sums = _running_sums(x, dim, radius)
        centers = torch.arange(length, device=x.device)
        first, last = (centers - radius).clamp_min(0), (centers + radius).clamp_max(length - 1)
        count = (last - first + 1).view(-1, *(1,) * (2 - dim)).to(x)
        x = (sums.narrow(dim, 2 * radius + 1, length) - sums.narrow(dim, 0, length)) / count
    return x + center


def _running_sums(x: Tensor, dim: int, radius: int) -> Tensor:
    """Sums of x (C, H, W) along a dimension, with radius + 1 zeros before and radius after it."""
    if x.requires_grad:
        sides = (radius + 1, radius) if dim == 2 else (0, 0, radius + 1, radius)
        return F.pad(x, sides).cumsum(dim)
    length, size = x.shape[dim], list(x.shape)
    size[dim] += 2 * radius + 1
    sums = x.new_empty(size)
    sums.narrow(dim, 0, radius + 1).zero_()
    torch.cumsum(x, dim, out=sums.narrow(dim, radius + 1, length))
    sums.narrow(dim, radius + 1 + length, radius).copy_(sums.narrow(dim, radius + length, 1))
    return sums


def _ridge(epsilon: float, like: Tensor) -> Tensor:
    """epsilon I, (3, 3)."""
    return epsilon * torch.eye(3, dtype=like.dtype, device=like.device)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The product of matrices (3, 3, ...)."""
    product = a[:, :1] * b[0]
    for k in (1, 2):
        product = torch.addcmul(product, a[:, k : k + 1], b[k])
    return product


def _inverse(matrix: Tensor) -> Tensor:
    """Inverse of symmetric matrices (3, 3, ...) by their cofactors."""
    (a, b, c), (_, d, e), (_, _, f) = matrix
    first = d * f - e * e, c * e - b * f, b * e - c * d
    second, third = (a * f - c * c, b * c - a * e), a * d - b * b
    entries = [*first, first[1], *second, first[2], second[1], third]
    determinant = a * first[0] + b * first[1] + c * first[2]
    return torch.stack(entries).unflatten(0, (3, 3)) / determinant

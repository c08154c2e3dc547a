"""The losses, each a function that a reader can check against its formula.

Pixels are RGB (B, 3, H, W), 0..1; features are (B, C, H, W); every loss is a scalar, the mean over
the batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.evaluation.grades import LUMA_601
from photostyle.model.moments import Moments


def luma(pixels: Tensor) -> Tensor:
    """BT.601 luma of RGB: (B, 3, H, W) -> (B, 1, H, W)."""
    return torch.einsum("c,bchw->bhw", LUMA_601.to(pixels), pixels)[:, None]


def pixel(result: Tensor, target: Tensor) -> Tensor:
    """Charbonnier distance, mean of sqrt(d^2 + eps^2) - eps with eps = 1e-2."""
    return ((result - target).square() + 1e-4).sqrt().mean() - 1e-2


def gradient(result: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical finite differences."""
    difference = result - target
    return difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()


def feature(result: Sequence[Tensor], target: Sequence[Tensor]) -> Tensor:
    """Relative perceptual loss |f - t| / mean |t|, averaged over levels (Johnson et al. 2016)."""
    terms = [
        (f - t).abs().mean() / (t.abs().mean() + 1e-6) for f, t in zip(result, target, strict=True)
    ]
    return torch.stack(terms).mean()


class Regions(NamedTuple):
    """Regions that contents and styles have in common.

    content, style: (B, K, h, w), soft masks of any size. weights: (B, K), 0..1, of the regions.
    """

    content: Tensor
    style: Tensor
    weights: Tensor


def style(
    result: Sequence[Tensor], style: Sequence[Tensor], regions: Regions | None = None
) -> Tensor:
    """Relative distance of means and covariances (`moments`), averaged over levels, in [0, 1].

    With regions those of each region are compared, and a region counts by its weight and its
    fraction of the content.
    """
    if regions is None:
        terms = [moments(Moments.of(f), Moments.of(s)) for f, s in zip(result, style, strict=True)]
        return torch.stack(terms).mean()
    counts = regions.weights.to(regions.content) * regions.content.mean((2, 3))
    terms = []
    for ours, theirs in zip(result, style, strict=True):
        a, b = _by_region(ours, regions.content), _by_region(theirs, regions.style)
        distances = (_distance(a.mean, b.mean) + _distance(a.covariance, b.covariance)) / 2
        terms.append((counts.flatten().to(distances) * distances).sum() / len(ours))
    return torch.stack(terms).mean()


def _by_region(features: Tensor, masks: Tensor) -> Moments:
    """The moments (B K, ...) of features (B, C, H, W) in each region of masks (B, K, h, w)."""
    masks = F.interpolate(masks.to(features), features.shape[2:], mode="bilinear", antialias=True)
    return Moments.of(features.repeat_interleave(masks.shape[1], 0), masks.flatten(0, 1)[:, None])


def moments(a: Moments, b: Moments) -> Tensor:
    """Relative distance of two means and covariances, averaged over the batch, in [0, 1].

    It is the mean of |mu_a - mu_b| / (|mu_a| + |mu_b|) and of the same ratio for the covariances in
    the Frobenius norm.
    """
    return (_distance(a.mean, b.mean) + _distance(a.covariance, b.covariance)).mean() / 2


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """|a - b| / (|a| + |b|) for each of a batch, (B,)."""
    a, b = a.flatten(1), b.flatten(1)
    return (a - b).norm(dim=1) / (a.norm(dim=1) + b.norm(dim=1) + 1e-6)


def palette(result: Tensor, style: Tensor) -> Tensor:
    """Sliced Wasserstein-1 distance of the colours of photos of equal size (Rabin et al. 2011).

    It projects colours (Y, B - Y, R - Y) on 32 fixed directions and averages the absolute
    differences of the sorted projections.
    """
    opponent = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]) - LUMA_601
    opponent[0] = LUMA_601
    directions = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    directions = (directions / directions.norm(dim=1, keepdim=True) @ opponent).to(result)
    projections = [torch.einsum("dc,bchw->bdhw", directions, p).flatten(2) for p in (result, style)]
    a, b = (projection.sort(dim=2).values for projection in projections)
    return (a - b).abs().mean()


def structure(result: Sequence[Tensor], content: Sequence[Tensor]) -> Tensor:
    """Mean absolute difference of instance-normalized features (Huang and Belongie 2017)."""
    terms = [
        (F.instance_norm(r) - F.instance_norm(c)).abs().mean()
        for r, c in zip(result, content, strict=True)
    ]
    return torch.stack(terms).mean()


def edges(result: Tensor, content: Tensor) -> Tensor:
    """1 - SSIM of Sobel gradient magnitudes of luma, each divided by its mean over the photo.

    SSIM (Wang et al. 2004) in 7x7 windows; the division makes the loss ignore overall contrast.
    """
    a, b = (_relative_edges(photo) for photo in (result, content))

    def window(x: Tensor) -> Tensor:
        return F.avg_pool2d(x, 7, 1)

    mean_a, mean_b = window(a), window(b)
    variance_a, variance_b = window(a * a) - mean_a**2, window(b * b) - mean_b**2
    covariance = window(a * b) - mean_a * mean_b
    c1, c2 = 0.05**2, 0.15**2
    numerator = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    return 1 - (numerator / ((mean_a**2 + mean_b**2 + c1) * (variance_a + variance_b + c2))).mean()


def _relative_edges(pixels: Tensor) -> Tensor:
    magnitude = sobel(luma(pixels))
    return magnitude / (magnitude.mean((1, 2, 3), keepdim=True) + 1e-3)


def sobel(image: Tensor) -> Tensor:
    """Sobel gradient magnitude of (B, 1, H, W) without border pixels: (B, 1, H - 2, W - 2)."""
    kernel = image.new_tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]) / 8
    x, y = F.conv2d(image, torch.stack([kernel, kernel.T])[:, None]).unbind(1)
    return (x * x + y * y + 1e-6).sqrt()[:, None]


def smoothness(result: Tensor, content: Tensor) -> Tensor:
    """High frequencies of the result that exceed the content's where the content is flat.

    It keeps skies free of noise and halos: the mean of max(0, |hp r| - 1.2 |hp c|), weighted by
    flatness, for high-pass filters hp of two sizes. A pixel's flatness is exp(-(g / 0.02)^2), where
    g is the largest gradient of the content within three pixels.
    """
    flat = F.max_pool2d(F.pad(sobel(luma(content)), (1, 1, 1, 1), mode="replicate"), 7, 1, 3)
    flat = torch.exp(-((flat / 0.02) ** 2)).detach()
    loss = result.new_zeros(())
    for size in (3, 9):
        high = [(p - _blur(p, size)).abs() for p in (result, content)]
        loss = loss + (flat * (high[0] - 1.2 * high[1]).clamp_min(0)).sum() / (3 * flat.sum() + 1)
    return loss


def _blur(pixels: Tensor, size: int) -> Tensor:
    return F.avg_pool2d(F.pad(pixels, [size // 2] * 4, mode="reflect"), size, 1)


def clipping(result: Tensor) -> Tensor:
    """Mean distance of values outside 0.01..0.99 from that range; 0 for values inside."""
    return (result - 0.99).clamp_min(0).mean() + (0.01 - result).clamp_min(0).mean()

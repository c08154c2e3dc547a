"""Means and covariances of features, and the affine maps between them (WCT).

All statistics are float64. Every tensor has a leading batch dimension B.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.profiler import record_function

CHUNK = {"cpu": 1 << 13, "cuda": 1 << 16}
"""Pixels that are multiplied at a time, by type of device: what its caches hold."""


TINY_MASS = 1e-6
"""Pixels that count as none."""

BARYCENTER_RIDGE, BARYCENTER_STEPS, BARYCENTER_CHANGE = 3e-7, 50, 1e-8
"""Of `Moments.barycenter`: what is added to the variances, relative to their sum, so that
covariances of less than full rank, with eigenvalues that rounding made negative, have roots; the
most steps, and the change, relative to that sum, that ends them."""


@dataclass(frozen=True)
class Moments:
    """First and second moments of a set of feature vectors.

    count: (B,) number of vectors; mean: (B, C); covariance: (B, C, C), the population covariance
    (divided by count). regions: the mean of each region, if the set has some. float64.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor
    regions: RegionMeans | None = None

    @classmethod
    @record_function("moments")
    def of(
        cls, features: Tensor, weights: Tensor | None = None, regions: Tensor | None = None
    ) -> Moments:
        """Moments over the pixels of features (B, C, H, W), any floating type.

        weights: (B, 1, H, W), 0 or more, how much each pixel counts; all zero counts as all one.
        regions: (B, K, H, W), 0 or more, how much each pixel belongs to each of K regions.

        Features are centred near their mean and scaled to at most 1. Products within a chunk of
        pixels are float32 (float64 for float64 features), sums over chunks float64. Covariances are
        exact to about 1e-7 of the largest variance, whatever the mean and range.
        """
        pixels = features.flatten(2).transpose(1, 2)
        size = pixels.shape[1]
        precision = torch.promote_types(features.dtype, torch.float32)
        with torch.no_grad():
            low, high = pixels.aminmax()
            scale = torch.maximum(high, -low).double().clamp_min(torch.finfo(torch.float32).tiny)
            origin = (pixels[:, :: max(1, size // 4096)].double() / scale).mean(1, keepdim=True)
        chunk = CHUNK[features.device.type]
        if weights is None:
            pixel_weights = None
            count = scale.new_full((len(pixels),), size)
        else:
            pixel_weights = weights.flatten(2).transpose(1, 2).to(precision)
            some_count = pixel_weights.amax((1, 2), keepdim=True) > 0
            pixel_weights = torch.where(some_count, pixel_weights, 1)
            count = pixel_weights.sum((1, 2), dtype=torch.float64)
        total, products = [], []
        offset, unit = -origin.to(precision), scale.to(precision)
        for start in range(0, size, chunk):
            part = slice(start, start + chunk)
            centered = torch.addcdiv(offset, pixels[:, part].to(precision), unit)
            weighted = centered if pixel_weights is None else centered * pixel_weights[:, part]
            total.append(weighted.sum(1))
            products.append(weighted.mT @ centered)
        step = torch.stack(total).double().sum(0) / count[:, None]
        second = torch.stack(products).double().sum(0) / count[:, None, None]
        covariance = second - step[:, :, None] * step[:, None, :]
        mean = step - offset.double()[:, 0]
        means = None if regions is None else RegionMeans.of(features, weights, regions)
        return cls(count, scale * mean, scale**2 * covariance, means)

    @classmethod
    @record_function("moments")
    def merge(cls, parts: Iterable[Moments]) -> Moments:
        """Moments of the union of disjoint sets (Chan, Golub and LeVeque 1979)."""
        parts = iter(parts)
        merged = next(parts)
        for part in parts:
            count = merged.count + part.count
            fraction = (part.count / count)[:, None]
            step = part.mean - merged.mean
            between = (fraction * (1 - fraction))[..., None] * step[:, :, None] * step[:, None, :]
            merged = cls(
                count,
                merged.mean + fraction * step,
                torch.lerp(merged.covariance, part.covariance, fraction[..., None]) + between,
                merged.regions and part.regions and merged.regions.merge(part.regions),
            )
        return merged

    @classmethod
    @record_function("moments")
    def barycenter(cls, parts: Sequence[Moments], weights: Sequence[float]) -> Moments:
        """The Bures-Wasserstein barycenter of several Gaussians; the weights add up to 1.

        The mean is the weighted mean, and the covariance S the one for which, with the covariances
        C_i and weights w_i, S = sum_i w_i (S^1/2 C_i S^1/2)^1/2. Source: Agueh and Carlier 2011,
        theorem 6.1; the iteration: Álvarez-Esteban, del Barrio, Cuesta-Albertos and Matrán 2016,
        eq. 3. It starts with one of the covariances, so that for two of them the first step is
        exact: the geodesic (McCann 1997). Regions are left out.
        """
        fractions = torch.tensor(weights, dtype=torch.float64, device=parts[0].mean.device)
        count, mean = (
            torch.einsum("i,i...->...", fractions, torch.stack(values))
            for values in zip(*((part.count, part.mean) for part in parts), strict=True)
        )
        damped = torch.stack([part.covariance for part in parts])
        tiny = torch.finfo(torch.float64).tiny ** 0.5
        variance = damped.diagonal(dim1=-2, dim2=-1).sum(-1).amax(0).clamp_min(tiny)
        ridge = BARYCENTER_RIDGE * variance[:, None, None] * _identity(damped)
        damped = damped + ridge
        found = damped[max(range(len(parts)), key=lambda part: weights[part])]
        for _ in range(BARYCENTER_STEPS):
            root, inverse = matrix_roots(found)
            middle = matrix_roots((root @ damped @ root).flatten(0, 1))[0].view_as(damped)
            total = torch.einsum("i,i...->...", fractions, middle)
            before, found = found, inverse @ total @ total @ inverse
            change = (found - before).abs().amax((1, 2)) / variance
            if len(parts) <= 2 or change.max() < BARYCENTER_CHANGE:
                break
        found = (found + found.mT) / 2 - ridge
        return cls(count, mean, found)

    @property
    def within(self) -> Tensor:
        """The covariance within regions, (B, C, C): what their means leave of the whole.

        Without regions it is the covariance.
        """
        if self.regions is None:
            return self.covariance
        fractions = self.regions.mass / self.regions.mass.sum(1, keepdim=True)
        off = (self.regions.mean - self.mean[:, None]) * fractions[..., None].sqrt()
        return self.covariance - off.mT @ off

    def lerp(self, other: Moments, fraction: float) -> Moments:
        """Linear interpolation of count, mean and covariance: 0 is this, 1 the other."""
        return Moments(
            torch.lerp(self.count, other.count, fraction),
            torch.lerp(self.mean, other.mean, fraction),
            torch.lerp(self.covariance, other.covariance, fraction),
            self.regions and other.regions and self.regions.lerp(other.regions, fraction),
        )

    def mapped(self, mapping: AffineMap) -> Moments:
        """The moments of the same vectors after ``mapping``."""
        matrix = mapping.matrix
        if mapping.shift is not None and self.regions is not None:
            # Vectors of a region move with its mean; around it they move as all do.
            moved = self.regions.mean @ matrix.mT + mapping.bias[:, None] + mapping.shift.biases
            fractions = (self.regions.mass / self.regions.mass.sum(1, keepdim=True))[..., None]
            mean = (fractions * moved).sum(1)
            off = (moved - mean[:, None]) * fractions.sqrt()
            covariance = matrix @ self.within @ matrix.mT + off.mT @ off
            return Moments(self.count, mean, covariance, replace(self.regions, mean=moved))
        mean = (matrix @ self.mean[..., None])[..., 0] + mapping.bias
        return Moments(self.count, mean, matrix @ self.covariance @ matrix.mT)

    def to(self, device: torch.device) -> Moments:
        return Moments(self.count.to(device), self.mean.to(device), self.covariance.to(device))

    def detach(self) -> Moments:
        """The same moments without their gradient history."""
        return Moments(self.count, self.mean.detach(), self.covariance.detach())


@dataclass(frozen=True)
class RegionMeans:
    """The means of K regions, which share the pixels of a photo between them.

    mass: (B, K), number of vectors in each; mean: (B, K, C). float64.
    """

    mass: Tensor
    mean: Tensor

    @classmethod
    def of(cls, features: Tensor, weights: Tensor | None, regions: Tensor) -> RegionMeans:
        """The means of regions (B, K, H, W) over features (B, C, H, W); weights as for Moments."""
        if weights is not None and weights.any():
            regions = regions * weights
        parts = regions.flatten(2).to(features.dtype)
        mass = parts.sum(2, dtype=torch.float64)
        total = (parts @ features.flatten(2).mT).double()
        whole = features.flatten(2).mean(2).double()[:, None]
        # A region without pixels has the mean of the photo.
        return cls(mass, (total + TINY_MASS * whole) / (mass + TINY_MASS)[..., None])

    def merge(self, other: RegionMeans) -> RegionMeans:
        """The means over the union of two disjoint sets."""
        mass = self.mass + other.mass
        fraction = (other.mass / mass.clamp_min(TINY_MASS))[..., None]
        return RegionMeans(mass, torch.lerp(self.mean, other.mean, fraction))

    def lerp(self, other: RegionMeans, fraction: float) -> RegionMeans:
        """Linear interpolation: 0 is this, 1 the other."""
        return RegionMeans(
            torch.lerp(self.mass, other.mass, fraction), torch.lerp(self.mean, other.mean, fraction)
        )


@dataclass(frozen=True)
class RegionShift:
    """A shift of features that differs by region.

    biases: (B, K, C), of each region; weights: (B, K, H, W), how much each pixel of the features
    belongs to each region, with a sum of 1.
    """

    biases: Tensor
    weights: Tensor

    def __call__(self) -> Tensor:
        """The shift of every pixel, (B, C, H, W)."""
        biases = self.biases.to(self.weights).expand(len(self.weights), -1, -1)
        return torch.einsum("bkc,bkhw->bchw", biases, self.weights)


@dataclass(frozen=True)
class AffineMap:
    """x -> matrix x + bias on feature vectors; matrix: (B, C, C), bias: (B, C).

    shift: added on top, if the map differs by region.
    """

    matrix: Tensor
    bias: Tensor
    shift: RegionShift | None = None

    @classmethod
    def between(cls, source: Tensor, target: Tensor, matrix: Tensor) -> AffineMap:
        """The map with ``matrix`` that takes the mean ``source`` to ``target``, both (B, C)."""
        return cls(matrix, target - (matrix @ source[..., None])[..., 0])

    def __call__(self, features: Tensor) -> Tensor:
        """Map every pixel of features (B, C, H, W); the result has their type and layout."""
        batch, _, height, width = features.shape
        pixels = features.permute(0, 2, 3, 1).flatten(1, 2)
        matrix, bias = self.matrix.to(features.dtype), self.bias.to(features.dtype)
        mapped = torch.baddbmm(bias[:, None], pixels, matrix.transpose(1, 2).expand(batch, -1, -1))
        mapped = mapped.unflatten(1, (height, width)).permute(0, 3, 1, 2)
        return mapped if self.shift is None else mapped + self.shift()

    def then(self, after: AffineMap) -> AffineMap:
        """This map, followed by another."""
        bias = (after.matrix @ self.bias[..., None])[..., 0] + after.bias
        shift = self.shift
        if shift is not None:
            shift = replace(shift, biases=shift.biases @ after.matrix.mT)
        return AffineMap(after.matrix @ self.matrix, bias, shift)

    def lerp(self, other: AffineMap, fraction: float) -> AffineMap:
        """Linear interpolation: 0 is this map, 1 the other."""
        return AffineMap(
            torch.lerp(self.matrix, other.matrix, fraction),
            torch.lerp(self.bias, other.bias, fraction),
        )

    def blend(self, strength: float) -> AffineMap:
        """Interpolation between the identity (strength 0) and this map (strength 1)."""
        identity, shift = _identity(self.matrix), self.shift
        if shift is not None:
            shift = replace(shift, biases=strength * shift.biases)
        return AffineMap(torch.lerp(identity, self.matrix, strength), strength * self.bias, shift)


def monge(content: Moments, style: Moments, damping: float) -> Tensor:
    """The optimal-transport map between Gaussians, C^-1/2 (C^1/2 S C^1/2)^1/2 C^-1/2.

    The one symmetric positive map that maps covariance C to S, and the one that moves features
    least. Source: Olkin and Pukelsheim 1982; Pitié and Kokaram 2007, eq. (11). ``damping`` as in
    `classic`. Returns (B, C, C).
    """
    source, target = _damped(content, style, damping)
    root, inverse_root = matrix_roots(source)
    return inverse_root @ matrix_roots(root @ target @ root)[0] @ inverse_root


def classic(content: Moments, style: Moments, damping: float) -> Tensor:
    """The whitening and colouring transform S^1/2 C^-1/2 (Li et al. 2017, eq. 1 and 2).

    ``damping`` times the mean variance of both is added to the diagonals of both covariances, so
    that noise is not amplified in directions in which neither varies. Returns (B, C, C).
    """
    source, target = _damped(content, style, damping)
    return matrix_roots(target)[0] @ matrix_roots(source)[1]


def reference(content: Moments, style: Moments, damping: float) -> Tensor:  # noqa: ARG001
    """WCT as the reference implementation computes it, for weights that were trained with it.

    It takes unbiased covariances (features enlarged by repetition count once), scales the content's
    by 1.5 off the diagonal and 2.5 on it, and drops eigenvalues under 1e-6. It ignores ``damping``.
    Returns (B, C, C).
    """
    source, target = (_unbiased(moments) for moments in (content, style))
    source = 1.5 * source + torch.diag_embed(source.diagonal(dim1=-2, dim2=-1))
    return _cut_power(target, 0.5) @ _cut_power(source, -0.5)


METHODS = {"monge": monge, "classic": classic, "reference": reference}
"""The maps from the content's covariance to the style's."""


@record_function("moments")
def transfer_map(
    content: Moments,
    style: Moments,
    method: str,
    damping: float,
    weights: Tensor | None = None,
    trust: Tensor | None = None,
) -> AffineMap:
    """The affine map from features with moments ``content`` to the moments ``style``.

    method: a key of METHODS; damping: fraction of the mean variance, see `classic`. weights: of the
    regions that both have, (B, K, H, W): then the mean of each region becomes the style's. The
    matrix stays that of the whole photo: few features say little of a covariance. trust: (B, K),
    0..1, how much of that; the rest of a region moves as the whole photo does.
    """
    matrix = METHODS[method](content, style, damping)
    mapping = AffineMap.between(content.mean, style.mean, matrix)
    if weights is None or content.regions is None or style.regions is None:
        return mapping
    moved = content.regions.mean @ matrix.mT + mapping.bias[:, None]
    biases = style.regions.mean - moved
    if trust is not None:
        biases = biases * trust[..., None]
    return replace(mapping, shift=RegionShift(biases, weights))


def normalization(moments: Moments, epsilon: float = 1e-5) -> AffineMap:
    """Instance normalization: each channel to mean 0 and variance 1 (Ulyanov et al. 2016)."""
    scale = torch.rsqrt(moments.covariance.diagonal(dim1=-2, dim2=-1).clamp_min(0) + epsilon)
    return AffineMap(torch.diag_embed(scale), -moments.mean * scale)


def _damped(content: Moments, style: Moments, damping: float) -> tuple[Tensor, Tensor]:
    channels = content.mean.shape[-1]
    traces = [m.covariance.diagonal(dim1=-2, dim2=-1).sum(-1) for m in (content, style)]
    tiny = torch.finfo(torch.float64).tiny ** 0.5
    ridge = (damping * (traces[0] + traces[1]) / (2 * channels)).clamp_min(tiny)
    ridge = torch.diag_embed(ridge[:, None].expand(-1, channels))
    return content.covariance + ridge, style.covariance + ridge


def _unbiased(moments: Moments) -> Tensor:
    correction = moments.count / (moments.count - 1).clamp_min(1)
    return moments.covariance * correction[:, None, None]


def _cut_power(matrix: Tensor, exponent: float, threshold: float = 1e-6) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    kept = values >= threshold
    powers = torch.where(kept, values.clamp_min(threshold) ** exponent, 0.0)
    return vectors * powers[:, None] @ vectors.mT


def matrix_roots(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Square root and inverse square root of symmetric positive definite matrices (B, C, C).

    Differentiable, also where eigenvalues are equal.
    """
    root, inverse = _SpectralRoots.apply(matrix)
    return root, inverse


def _identity(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)


class _SpectralRoots(torch.autograd.Function):
    """A^1/2 and A^-1/2, with the gradient of Daleckii and Krein (Higham 2008, theorem 3.11).

    The divided difference of these two powers has a closed form that does not divide by
    (a_i - a_j). So equal eigenvalues, for which autograd's eigh gives NaN, are no special case.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        # Rounding can make a zero eigenvalue negative, by epsilon times the largest.
        floor = values[..., -1:].clamp_min(0) * 1e-15 + torch.finfo(values.dtype).tiny
        roots = torch.maximum(values, floor).sqrt()
        ctx.save_for_backward(roots, vectors)
        root, inverse = (
            vectors * powers[..., None, :] @ vectors.mT for powers in (roots, 1 / roots)
        )
        return root, inverse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        roots, vectors = ctx.saved_tensors
        sums = roots[..., :, None] + roots[..., None, :]
        products = roots[..., :, None] * roots[..., None, :]
        of_root, of_inverse = (vectors.mT @ gradient @ vectors for gradient in gradients)
        gradient = vectors @ ((of_root - of_inverse / products) / sums) @ vectors.mT
        return (gradient + gradient.mT) / 2

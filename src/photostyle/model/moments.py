"""Mean and covariance of features, and the maps that carry one pair of them onto another.

All statistics are float64. A leading batch dimension B runs through everything.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

CHUNK = {"cpu": 1 << 13, "cuda": 1 << 16}
"""Pixels that are multiplied at a time, by the kind of device: what its caches hold."""


@dataclass(frozen=True)
class Moments:
    """First and second moments of a set of feature vectors.

    count: (B,) number of vectors; mean: (B, C); covariance: (B, C, C), the population covariance
    (divided by count). float64.
    """

    count: Tensor
    mean: Tensor
    covariance: Tensor

    @classmethod
    def of(cls, features: Tensor, weights: Tensor | None = None) -> Moments:
        """Moments over the pixels of features (B, C, H, W), any floating type.

        weights: (B, 1, H, W), how much each pixel counts, 0 or more; if none does, all do.

        Products are float32 (float64 for such features) within a chunk of pixels, of features that
        are centred near their mean and scaled to at most 1, and float64 from chunk to chunk:
        covariances are exact to about 1e-7 of the largest variance, whatever the mean and range.
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
            share = None
            count = scale.new_full((len(pixels),), size)
        else:
            share = weights.flatten(2).transpose(1, 2).to(precision)
            share = torch.where(share.amax((1, 2), keepdim=True) > 0, share, 1)
            count = share.double().sum((1, 2))
        total, products = [], []
        offset, unit = -origin.to(precision), scale.to(precision)
        for start in range(0, size, chunk):
            part = slice(start, start + chunk)
            centred = torch.addcdiv(offset, pixels[:, part].to(precision), unit)
            weighted = centred if share is None else centred * share[:, part]
            total.append(weighted.sum(1))
            products.append(weighted.mT @ centred)
        step = torch.stack(total).double().sum(0) / count[:, None]
        second = torch.stack(products).double().sum(0) / count[:, None, None]
        covariance = second - step[:, :, None] * step[:, None, :]
        mean = step - offset.double()[:, 0]
        return cls(count, scale * mean, scale**2 * covariance)

    @classmethod
    def merge(cls, parts: Iterable[Moments]) -> Moments:
        """Moments of the union of disjoint sets (Chan, Golub and LeVeque 1979)."""
        parts = iter(parts)
        merged = next(parts)
        for part in parts:
            count = merged.count + part.count
            share = (part.count / count)[:, None]
            step = part.mean - merged.mean
            spread = (share * (1 - share))[..., None] * step[:, :, None] * step[:, None, :]
            merged = cls(
                count,
                merged.mean + share * step,
                torch.lerp(merged.covariance, part.covariance, share[..., None]) + spread,
            )
        return merged

    def lerp(self, other: Moments, share: float) -> Moments:
        """A ``share`` of the way from these moments to others, each of them by itself."""
        return Moments(
            torch.lerp(self.count, other.count, share),
            torch.lerp(self.mean, other.mean, share),
            torch.lerp(self.covariance, other.covariance, share),
        )

    def mapped(self, mapping: AffineMap) -> Moments:
        """The moments of the same vectors after ``mapping``."""
        matrix = mapping.matrix
        mean = (matrix @ self.mean[..., None])[..., 0] + mapping.bias
        return Moments(self.count, mean, matrix @ self.covariance @ matrix.mT)

    def to(self, device: torch.device) -> Moments:
        return Moments(self.count.to(device), self.mean.to(device), self.covariance.to(device))

    def detach(self) -> Moments:
        """The same, cut off from what they were computed of."""
        return Moments(self.count, self.mean.detach(), self.covariance.detach())


@dataclass(frozen=True)
class AffineMap:
    """x -> matrix x + bias on feature vectors; matrix: (B, C, C), bias: (B, C)."""

    matrix: Tensor
    bias: Tensor

    @classmethod
    def between(cls, source: Tensor, target: Tensor, matrix: Tensor) -> AffineMap:
        """The map with ``matrix`` that carries the mean ``source`` to ``target``, both (B, C)."""
        return cls(matrix, target - (matrix @ source[..., None])[..., 0])

    def __call__(self, features: Tensor) -> Tensor:
        """Map the pixels of features (B, C, H, W); the result has their type and layout."""
        batch, _, height, width = features.shape
        pixels = features.permute(0, 2, 3, 1).flatten(1, 2)
        matrix, bias = self.matrix.to(features.dtype), self.bias.to(features.dtype)
        mapped = torch.baddbmm(bias[:, None], pixels, matrix.transpose(1, 2).expand(batch, -1, -1))
        return mapped.unflatten(1, (height, width)).permute(0, 3, 1, 2)

    def then(self, after: AffineMap) -> AffineMap:
        """This map, followed by another."""
        bias = (after.matrix @ self.bias[..., None])[..., 0] + after.bias
        return AffineMap(after.matrix @ self.matrix, bias)

    def lerp(self, other: AffineMap, share: float) -> AffineMap:
        """A ``share`` of the way from this map to another."""
        return AffineMap(
            torch.lerp(self.matrix, other.matrix, share), torch.lerp(self.bias, other.bias, share)
        )

    def blend(self, strength: float) -> AffineMap:
        """Between the identity (strength 0) and this map (strength 1)."""
        identity = _identity(self.matrix)
        return AffineMap(torch.lerp(identity, self.matrix, strength), strength * self.bias)


def monge(content: Moments, style: Moments, damping: float) -> Tensor:
    """The optimal-transport map between Gaussians, C^-1/2 (C^1/2 S C^1/2)^1/2 C^-1/2.

    The one symmetric positive map that carries covariance C onto S, and the one that moves features
    least. Source: Olkin and Pukelsheim 1982; Pitié and Kokaram 2007, eq. (11). ``damping`` as in
    `classic`. Returns (B, C, C).
    """
    source, target = _damped(content, style, damping)
    floor = _floor(source.shape[-1], damping)
    root, inverse_root = matrix_roots(source, floor)
    return inverse_root @ matrix_roots(root @ target @ root, floor**2)[0] @ inverse_root


def classic(content: Moments, style: Moments, damping: float) -> Tensor:
    """The whitening and colouring transform S^1/2 C^-1/2 (Li et al. 2017, eq. 1 and 2).

    ``damping`` times the mean variance of both is added to both covariances, so that a direction in
    which neither varies is left alone instead of having its noise amplified. Returns (B, C, C).
    """
    source, target = _damped(content, style, damping)
    floor = _floor(source.shape[-1], damping)
    return matrix_roots(target, floor)[0] @ matrix_roots(source, floor)[1]


def reference(content: Moments, style: Moments, damping: float) -> Tensor:  # noqa: ARG001
    """WCT as the authors' program computes it, for weights that were made for it.

    Unbiased covariances (of features that are enlarged by repetition, by their number before it),
    the content's scaled by 1.5 off its diagonal and 2.5 on it; eigenvalues under 1e-6 are cut.
    ``damping`` is not used. Returns (B, C, C).
    """
    source, target = (_unbiased(moments) for moments in (content, style))
    source = 1.5 * source + torch.diag_embed(source.diagonal(dim1=-2, dim2=-1))
    return _cut_power(target, 0.5) @ _cut_power(source, -0.5)


def waits(method: str, damping: float, channels: int) -> bool:
    """Whether a map of features takes eigenvalues, for which a GPU has to be waited for."""
    return method == "reference" or not _floor(channels, damping)


METHODS = {"monge": monge, "classic": classic, "reference": reference}
"""Ways to carry the content's covariance onto the style's."""


def transfer_map(content: Moments, style: Moments, method: str, damping: float) -> AffineMap:
    """The affine map that gives features with moments ``content`` the moments ``style``.

    method: a key of METHODS; damping: share of the mean variance, see `classic`.
    """
    matrix = METHODS[method](content, style, damping)
    return AffineMap.between(content.mean, style.mean, matrix)


def normalisation(moments: Moments, epsilon: float = 1e-5) -> AffineMap:
    """Instance normalisation: each channel to mean 0 and variance 1 (Ulyanov et al. 2016)."""
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


def matrix_roots(matrix: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """Square root and inverse square root of symmetric positive definite matrices (B, C, C).

    floor: the least that their eigenvalues are, as a share of their sum. Differentiable; without
    gradients a GPU need not be waited for.
    """
    if matrix.device.type == "cuda" and floor and not matrix.requires_grad:
        return _iterated_roots(matrix, floor)
    root, inverse = _SpectralRoots.apply(matrix)
    return root, inverse


def _iterated_roots(matrix: Tensor, floor: float) -> tuple[Tensor, Tensor]:
    """By products alone: the coupled Newton-Schulz iteration (Higham 2008, eq. 6.35).

    Each step is scaled so as to lift the smallest eigenvalue most (Chen and Chow 2014, section 2).
    """
    scale = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]
    identity = _identity(matrix)
    root, inverse = matrix / scale, identity.expand_as(matrix)
    # Bounds of the square roots of the eigenvalues of inverse @ root, which go to 1.
    low, finished = floor**0.5, False
    while not finished:
        finished = 1 - low < 1e-9  # the last step squares that
        square = 1.0 if finished else 3 / (1 + low + low * low)
        step = 1.5 * identity - (square / 2) * (inverse @ root)
        factor = square**0.5
        root, inverse = factor * root @ step, factor * step @ inverse
        low = factor * low * (3 - square * low * low) / 2
    root, inverse = root * scale.sqrt(), inverse / scale.sqrt()
    return (root + root.mT) / 2, (inverse + inverse.mT) / 2


def _floor(channels: int, damping: float) -> float:
    """The least share of their sum that eigenvalues of covariances from `_damped` have.

    0 where it is so small that rounding errors could be as large.
    """
    share = damping / (channels * (2 + damping))
    return share if share > 1e-6 else 0.0


def _identity(like: Tensor) -> Tensor:
    return torch.eye(like.shape[-1], dtype=like.dtype, device=like.device)


class _SpectralRoots(torch.autograd.Function):
    """A^1/2 and A^-1/2, with the gradient of Daleckii and Krein (Higham 2008, theorem 3.11).

    The divided difference of these two powers has a closed form without (a_i - a_j) under the
    fraction, so equal eigenvalues, where autograd's eigh gives NaN, are no special case.
    """

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor]:
        values, vectors = torch.linalg.eigh(matrix)
        # Rounding can push a zero eigenvalue below zero by epsilon times the largest.
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

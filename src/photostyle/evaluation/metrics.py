"""Metrics of a result: closeness to the style, fidelity to the content, freedom from artefacts.

Every metric takes photos as arrays (H, W, 3), uint8 or float in 0..1. Floats are rounded to the 256
steps of an 8-bit file, so that a result measures the same before and after it is written. A metric
that compares pixel by pixel raises PhotostyleError unless the photos have the same size; `measure`
resizes content and style to match the result and computes all metrics.

Luma is BT.709 luma in 0..1; Lab is CIE L*a*b* under D65. Random samples are drawn with a fixed
seed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from photostyle.errors import PhotostyleError, needs_extra
from photostyle.photo.label_map import Labels, resized_labels

with needs_extra("evaluate"):
    from scipy import ndimage
    from skimage import color, exposure
    from skimage.metrics import structural_similarity

if TYPE_CHECKING:
    from photostyle.model.moments import Moments
    from photostyle.model.vgg import VGGFeatures

Pixels = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SMALLEST = 16
"""Shortest side, in pixels, of a photo that can be measured."""

# BT.709 has the primaries of sRGB, so these are the luminance weights of sRGB photos.
_LUMA_709 = np.array([0.2126, 0.7152, 0.0722])
_LAYERS = 3
_VGG_SIDE = 320
_DIRECTIONS = 64
_SAMPLE = 20_000
_PAIRS = 50_000
_MIN_REGION = 0.02
_FLOOR = 1e-7


def measure(
    content: Pixels,
    style: Pixels,
    result: Pixels,
    target: Pixels | None = None,
    vgg: VGGFeatures | None = None,
    labels: tuple[Labels, Labels] | None = None,
) -> dict[str, float]:
    """All metrics of ``result`` by name, starting with their aggregate `score`.

    The content is resized to the size of the result, the style photo to its long side. A target,
    of the size of the result, adds psnr, ssim and ciede2000; VGG-19 adds gram and style; the
    labels of content and style, of any size, add region_style, unless it is None. Raises
    PhotostyleError if the aspect ratios of content and result differ by more than rounding, or if
    a photo is smaller than SMALLEST.
    """
    result = _as_bytes(result)
    height, width, _ = result.shape
    if min(height, width) < SMALLEST:
        raise PhotostyleError(
            f"Photos must be at least {SMALLEST} pixels wide and high to be measured."
        )
    content = _resized_to(_as_bytes(content), height, width)
    style = _resized(_as_bytes(style), max(height, width))

    measures = {}
    if vgg:
        measures["gram"] = gram(result, style, vgg)
    measures["swd"] = swd(result, style)
    measures["bc"] = bc(result, style)
    if vgg:
        measures["style"] = style_score(measures)
    if labels:
        regions = (
            resized_labels(of_photo, *photo.shape[:2])
            for of_photo, photo in zip(labels, (result, style), strict=True)
        )
        if (figure := region_style(result, style, *regions)) is not None:
            measures["region_style"] = figure
    for fidelity in (grad, struct, lip, clip, noise, halo):
        measures[fidelity.__name__] = fidelity(content, result)
    if target is not None:
        measures |= compare_to_target(target, result)
    return {"score": score(measures)} | measures


def mean(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each metric over rows; for lip, which has a long tail, the median.

    A row without a metric does not count for it.
    """
    names = dict.fromkeys(name for row in rows for name in row)
    return {
        name: float(
            (np.median if name == "lip" else np.mean)([row[name] for row in rows if name in row])
        )
        for name in names
    }


def score(measures: Mapping[str, float]) -> float:
    """The aggregate metric, 0..1, higher is better: the geometric mean of six factors

        1 - gram,  exp(-swd / 15),  bc,  grad,  struct,  clean

    where clean = exp(-((lip - 1) / 50 + clip / 50 + (noise - 1) + (halo - 1))) with each term of
    the sum at least 0. A geometric mean is low as soon as one factor is. Without gram there are
    five factors; compare such scores only with each other.
    """
    excess = (
        max(measures["lip"] - 1, 0) / 50
        + measures["clip"] / 50
        + max(measures["noise"] - 1, 0)
        + max(measures["halo"] - 1, 0)
    )
    fidelity = [max(measures["grad"], 0), max(measures["struct"], 0)]
    factors = [*_style_factors(measures), *fidelity, exp(-excess)]
    return prod(factors) ** (1 / len(factors))


def style_score(measures: Mapping[str, float]) -> float:
    """Closeness to the style, 0..1, higher is closer: ((1 - gram) exp(-swd / 15) bc)^(1/3)."""
    return prod(_style_factors(measures)) ** (1 / 3)


def _style_factors(measures: Mapping[str, float]) -> list[float]:
    factors = [exp(-measures["swd"] / 15), measures["bc"]]
    return [1 - measures["gram"], *factors] if "gram" in measures else factors


# Closeness to the style. The two photos may differ in size.


def gram(result: Pixels, style: Pixels, vgg: VGGFeatures) -> float:
    """Distance between the moments of VGG-19 features, 0..1, lower is closer.

    For photos resized to 320 pixels on the long side, the mean over relu1_1, relu2_1, relu3_1 of

        |mu_a - mu_b| / (|mu_a| + |mu_b|) / 2 + |C_a - C_b|_F / (|C_a|_F + |C_b|_F) / 2

    with mean mu and covariance C of the features over the pixels. Moments replace Gram matrices as
    in Li et al., Universal Style Transfer via Feature Transforms, 2017.
    """
    pairs = zip(_vgg_moments(result, vgg), _vgg_moments(style, vgg), strict=True)
    distances = [
        (_relative(a.mean, b.mean) + _relative(a.covariance, b.covariance)) / 2 for a, b in pairs
    ]
    return sum(distances) / len(distances)


def swd(result: Pixels, style: Pixels) -> float:
    """Sliced Wasserstein-1 distance of the colours in Lab, 0 and up, lower is closer.

    The mean over 64 directions u on the unit sphere of W1 between the colours projected on u;
    with n sorted projections of each photo, W1 = sum_i |a_(i) - b_(i)| / n. Each photo gives
    n = 20,000 pixels, drawn with replacement. Source: Rabin et al., Wasserstein Barycenter and its
    Application to Texture Mixing, 2011; Bonneel et al., Sliced and Radon Wasserstein Barycenters of
    Measures, 2015.
    """
    directions = np.random.default_rng(0).normal(size=(_DIRECTIONS, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def projected(photo: Pixels) -> Floats:
        colors = _as_bytes(photo).reshape(-1, 3)
        rng = np.random.default_rng(1)
        sample = colors[rng.integers(len(colors), size=_SAMPLE)]
        return np.sort(color.rgb2lab(sample) @ directions.T, axis=0)

    return float(np.abs(projected(result) - projected(style)).mean())


def bc(result: Pixels, style: Pixels, limit: float = 100) -> float:
    """Bhattacharyya coefficient of the chroma histograms, 0..1, higher is closer: sum sqrt(p q).

    p and q: normalized histograms of a* and b* over [-limit, limit] in 40 x 40 bins, smoothed by a
    Gaussian with a standard deviation of one bin. Source: Bhattacharyya 1943.
    """

    def histogram(photo: Pixels) -> Floats:
        lab = color.rgb2lab(_as_bytes(photo)).reshape(-1, 3).clip(-limit, limit)
        counts, _, _ = np.histogram2d(lab[:, 1], lab[:, 2], 40, [[-limit, limit], [-limit, limit]])
        smooth: Floats = ndimage.gaussian_filter(counts, 1)
        return smooth / smooth.sum()

    return float(np.sqrt(histogram(result) * histogram(style)).sum())


def region_style(
    result: Pixels, style: Pixels, result_labels: Labels, style_labels: Labels
) -> float | None:
    """Closeness to the style region by region, 0..1, higher is closer.

    The mean of sqrt(exp(-swd / 15) bc), each between the pixels of one region in the result and in
    the style photo, weighted by the region's area in the result; bc counts a* and b* over
    [-128, 128], where 8-bit Lab ends. Labels (H, W) hold the region of
    each pixel. Only regions that cover at least 2 % of both photos count; with fewer than two of
    them, the figure is None.
    """
    scores, areas = [], []
    for label in np.intersect1d(result_labels, style_labels):
        regions = (result_labels == label, style_labels == label)
        if min(region.mean() for region in regions) >= _MIN_REGION:
            # As a photo with a single column.
            pixels = result[regions[0]][:, None], style[regions[1]][:, None]
            scores.append(sqrt(exp(-swd(*pixels) / 15) * bc(*pixels, limit=128)))
            areas.append(regions[0].mean())
    return float(np.average(scores, weights=areas)) if len(scores) >= 2 else None


# Fidelity to the content.


def grad(content: Pixels, result: Pixels) -> float:
    """SSIM (see `ssim`) of the gradient magnitude of luma, up to 1, higher is better.

    The magnitude is sqrt(gx^2 + gy^2) with Sobel kernels divided by 4; the data range is 1.
    """
    a, b = (_sobel(luma) for luma in _lumas(content, result))
    return _ssim(a, b)


def struct(content: Pixels, result: Pixels) -> float:
    """SSIM (see `ssim`) of luma, after matching the result's luma histogram to the content's.

    Up to 1, higher is better. A monotonic change of tones does not lower it.
    """
    a, b = _lumas(content, result)
    return _ssim(a, exposure.match_histograms(b, a))


# Artefacts.


def lip(content: Pixels, result: Pixels) -> float:
    """Estimate of the transfer's Lipschitz constant, lower is smoother.

    The 99.9th percentile of |out_i - out_j| / |in_i - in_j| over 50,000 random pairs of pixels,
    RGB in 0..1, with |in_i - in_j| > 0.01; 1 if there are no such pairs.
    """
    before, after = (photo.reshape(-1, 3) / 255 for photo in _same_size(content, result))
    i, j = np.random.default_rng(0).integers(len(before), size=(2, _PAIRS))
    distance = np.linalg.norm(before[i] - before[j], axis=1)
    far = distance > 0.01
    if not far.any():
        return 1.0
    moved = np.linalg.norm(after[i] - after[j], axis=1)
    return float(np.percentile(moved[far] / distance[far], 99.9))


def clip(content: Pixels, result: Pixels) -> float:
    """Percentage of pixels with a channel at 0 or 255 that was neither in the content."""
    before, after = ((photo == 0) | (photo == 255) for photo in _same_size(content, result))
    return float(100 * (after & ~before).any(axis=2).mean())


def noise(content: Pixels, result: Pixels) -> float:
    """Amplification of noise in flat areas, relative to textured ones; 1 is ideal.

    (h_result / h_content where flat) / (h_result / h_content where textured), with h the RMS of
    luma minus luma blurred by a Gaussian of sigma 1.5. Flat and textured are the two fifths of the
    content where luma varies least and most; see `_flat`.
    """
    before, after = _lumas(content, result)
    flat, textured = _flat(before, 0.4)
    a, b = ((luma - ndimage.gaussian_filter(luma, 1.5)) ** 2 for luma in (before, after))
    return float(np.sqrt(_gain(a, b, flat) / _gain(a, b, textured)))


def halo(content: Pixels, result: Pixels) -> float:
    """Amplification of gradients in flat areas near edges, relative to textured ones; 1 is ideal.

    As `noise`, with h the mean gradient magnitude of luma at sigma 2, and with halves of the
    content instead of two fifths, because areas near an edge are never quite flat. Only pixels 3
    to 20 pixels from a strong edge count as flat; strong edges are the content's steepest 5 %.
    """
    before, after = _lumas(content, result)
    flat, textured = _flat(before, 0.5)
    a, b = (ndimage.gaussian_gradient_magnitude(luma, 2) for luma in (before, after))
    away = ndimage.distance_transform_edt(a < np.percentile(a, 95))
    beside = flat & (away >= 3) & (away <= 20)
    return _gain(a, b, beside) / _gain(a, b, textured) if beside.any() else 1.0


def _flat(luma: Floats, fraction: float) -> tuple[Mask, Mask]:
    """Masks of the pixels where luma varies least and most, each a ``fraction`` of all pixels.

    Variation is the variance of luma in a Gaussian window of sigma 1.5.
    """
    mean, of_squares = (ndimage.gaussian_filter(values, 1.5) for values in (luma, luma**2))
    variance = of_squares - mean**2
    low, high = np.quantile(variance, [fraction, 1 - fraction])
    return variance <= low, variance >= high


def _gain(before: Floats, after: Floats, where: Mask) -> float:
    # The floor avoids a division by 0 for photos of one colour; it is far below an 8-bit step.
    return float((after[where].mean() + _FLOOR) / (before[where].mean() + _FLOOR))


# Distance to a target, the correct result.


def compare_to_target(target: Pixels, result: Pixels) -> dict[str, float]:
    """psnr, ssim and ciede2000 of ``result`` by name."""
    return {function.__name__: function(target, result) for function in (psnr, ssim, ciede2000)}


def psnr(target: Pixels, result: Pixels) -> float:
    """Peak signal-to-noise ratio in dB, higher is closer: -10 log10 of the mean squared error.

    RGB is in 0..1; equal photos give 100 dB.
    """
    a, b = _same_size(target, result)
    error = float(((a / 255 - b / 255) ** 2).mean())
    return float(-10 * np.log10(max(error, 1e-10)))


def ssim(target: Pixels, result: Pixels) -> float:
    """Structural similarity, up to 1, higher is closer: the mean over R, G and B.

    Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03, population covariances. Source: Wang et al.,
    Image Quality Assessment: From Error Visibility to Structural Similarity, 2004.
    """
    a, b = (photo / 255 for photo in _same_size(target, result))
    return _ssim(a, b, channel_axis=2)


def ciede2000(target: Pixels, result: Pixels) -> float:
    """Mean colour difference Delta E 00, lower is closer; 1 is just noticeable.

    Source: Sharma, Wu and Dalal, The CIEDE2000 Color-Difference Formula, 2005, with
    kL = kC = kH = 1.
    """
    a, b = (color.rgb2lab(photo) for photo in _same_size(target, result))
    return float(color.deltaE_ciede2000(a, b).mean())


# Building blocks of the metrics.


def _as_bytes(photo: Pixels) -> npt.NDArray[np.uint8]:
    if photo.ndim != 3 or photo.shape[2] != 3 or not photo.size:
        raise PhotostyleError(f"A photo must be of shape (H, W, 3), not {photo.shape}.")
    if photo.dtype == np.uint8:
        return photo
    if not np.issubdtype(photo.dtype, np.floating):
        raise PhotostyleError(f"A photo must hold uint8 or floats in 0..1, not {photo.dtype}.")
    return (photo.clip(0, 1) * 255).round().astype(np.uint8)


def _same_size(a: Pixels, b: Pixels) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    if a.shape != b.shape:
        sizes = " and ".join(f"{width} x {height}" for height, width, *_ in (a.shape, b.shape))
        raise PhotostyleError(f"Photos must have the same size to be compared, not {sizes}.")
    return _as_bytes(a), _as_bytes(b)


def _lumas(a: Pixels, b: Pixels) -> tuple[Floats, Floats]:
    first, second = _same_size(a, b)
    return first @ _LUMA_709 / 255, second @ _LUMA_709 / 255


def _sobel(luma: Floats) -> Floats:
    magnitude: Floats = np.hypot(ndimage.sobel(luma, 0), ndimage.sobel(luma, 1)) / 4
    return magnitude


def _ssim(a: Floats, b: Floats, channel_axis: int | None = None) -> float:
    return float(
        structural_similarity(
            a,
            b,
            data_range=1.0,
            channel_axis=channel_axis,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def _resized_to(photo: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """The content resized to the result; their aspect ratios may differ by rounding."""
    high, wide, _ = photo.shape
    if (high, wide) == (height, width):
        return photo
    if abs(width * high - height * wide) > max(width, height, wide, high):
        raise PhotostyleError(
            f"The content ({wide} x {high}) and the result ({width} x {height}) "
            "have different aspect ratios."
        )
    return _lanczos(photo, height, width)


def _resized(photo: npt.NDArray[np.uint8], side: int) -> npt.NDArray[np.uint8]:
    """The photo resized to a long side of ``side`` pixels."""
    height, width, _ = photo.shape
    scale = side / max(height, width)
    return _lanczos(photo, max(1, round(height * scale)), max(1, round(width * scale)))


def _lanczos(photo: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.fromarray(photo).resize((width, height), Image.Resampling.LANCZOS))


def _vgg_moments(photo: Pixels, vgg: VGGFeatures) -> list[Moments]:
    import torch

    from photostyle.model.moments import Moments

    small = np.array(_resized(_as_bytes(photo), _VGG_SIDE))
    device = next(vgg.parameters()).device
    pixels = torch.from_numpy(small).permute(2, 0, 1)[None].to(device).float() / 255
    with torch.inference_mode():
        return [Moments.of(features) for features in vgg(pixels, _LAYERS)]


def _relative(a: Any, b: Any) -> float:
    """|a - b| / (|a| + |b|) of two tensors; 0 when both are zero."""
    total = float(a.norm() + b.norm())
    return float((a - b).norm()) / total if total else 0.0

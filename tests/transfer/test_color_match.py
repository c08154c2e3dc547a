"""Tone curves and the match of colours, against formulas that are written out here."""

from __future__ import annotations

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.photos import as_tensor
from torch import Tensor

from photostyle.bench.scene import scene
from photostyle.model.moments import Moments
from photostyle.transfer import tone_curves
from photostyle.transfer.color_match import KNEE, Palette, bounded, match_colors, roll_off, sampled
from photostyle.transfer.tone_curves import SLOPES, ToneCurves, ToneHistogram


def photo(seed: int, height: int = 60, width: int = 80, power: float = 1.0) -> Tensor:
    """A scene in another tone: (1, 3, H, W)."""
    return as_tensor(scene(width, height, evening=bool(seed % 2))) ** power


def test_quantiles_equal_numpys() -> None:
    pixels = photo(1)
    levels = (np.arange(tone_curves.QUANTILES) + 0.5) / tone_curves.QUANTILES
    found = ToneHistogram.of(pixels).quantiles()[0]
    for channel in range(3):
        expected = np.quantile(pixels[0, channel].numpy(), levels, method="hazen")
        bin_width = (tone_curves.HIGH - tone_curves.LOW) / tone_curves.BINS
        np.testing.assert_allclose(found[channel], expected, atol=2 * bin_width)
    torch.testing.assert_close(
        ToneHistogram.of(pixels).mean()[0].float(), pixels.mean((0, 2, 3)), atol=0.002, rtol=0
    )


def test_histograms_merge_and_weigh() -> None:
    pixels, other = photo(0), photo(1)
    joined = ToneHistogram.of(torch.cat([pixels, other], 2))
    merged = ToneHistogram.merge([ToneHistogram.of(pixels), ToneHistogram.of(other)])
    torch.testing.assert_close(merged.counts, joined.counts)

    mask = torch.zeros(1, 1, 120, 80)
    mask[:, :, :60] = 1
    weighted = ToneHistogram.of(torch.cat([pixels, other], 2), mask)
    torch.testing.assert_close(weighted.counts, ToneHistogram.of(pixels).counts)


def test_tones_halfway_have_the_mean_quantiles() -> None:
    """By NumPy's quantiles: halfway between a dark and a bright photo is one of middle tones."""
    dark, bright = photo(1, power=3.0) * 0.4, 0.5 + photo(2) * 0.5
    tones = [ToneHistogram.of(one) for one in (dark, bright)]
    levels = (np.arange(512) + 0.5) / 512
    each = [np.quantile(one.flatten(2).numpy(), levels, axis=2) for one in (dark, bright)]
    for weight in (0.0, 0.5, 0.8):
        found = ToneHistogram.barycenter(tones, [1 - weight, weight]).quantiles().permute(2, 0, 1)
        expected = (1 - weight) * each[0] + weight * each[1]
        assert np.abs(found.numpy() - expected)[8:-8].max() < 0.01


def test_curves_to_its_own_tones_change_nothing() -> None:
    pixels = photo(0)
    own = ToneHistogram.of(pixels)
    torch.testing.assert_close(own.curves(own)(pixels), pixels, atol=1e-6, rtol=0)


def test_curves_bring_tones_closer() -> None:
    """A gamma is undone by more than half, in the shape of the histogram as in its mean."""
    pixels, target = photo(0, power=2.0), photo(0)
    curved = ToneHistogram.of(pixels).curves(ToneHistogram.of(target))(pixels)

    def distance(a: Tensor, b: Tensor) -> float:
        return float(
            (ToneHistogram.of(a).quantiles() - ToneHistogram.of(b).quantiles()).abs().mean()
        )

    assert distance(curved, target) < 0.5 * distance(pixels, target)
    torch.testing.assert_close(curved.mean((2, 3)), target.mean((2, 3)), atol=0.004, rtol=0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), spread=st.floats(0, 2))
def test_curves_are_monotone_and_not_too_steep(seed: int, spread: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    source = torch.rand(1, 2, 8, 8, generator=generator) * spread
    target = torch.rand(1, 2, 8, 8, generator=generator) ** 3
    curves = ToneHistogram.of(source).curves(ToneHistogram.of(target))
    grid = torch.linspace(-0.5, 1.5, 1000).double().expand(1, 2, 1, -1)
    slope = curves(grid).diff(dim=-1) / (2 / 999)
    assert slope.min() > SLOPES[0] - 1e-4
    assert slope.max() < SLOPES[1] + 1e-4


def test_curves_are_differentiable() -> None:
    pixels = photo(0).double()
    curves = ToneHistogram.of(pixels).curves(ToneHistogram.of(photo(1)))
    one = pixels[..., ::20, ::20].clone().requires_grad_(True)
    assert torch.autograd.gradcheck(curves, (one,), eps=1e-7)


def test_a_match_gives_the_palette_of_the_style_after_the_roll_off() -> None:
    content, target = photo(0), photo(1, power=0.7)
    found = match_colors(content, content, Palette.of(target), "monge")
    result = roll_off(found(content), content).clamp(0, 1)

    def figures(pixels: Tensor) -> Tensor:
        moments = Moments.of(pixels)
        return torch.cat([moments.mean[0], moments.covariance[0].diagonal().sqrt()])

    before = (figures(content) - figures(target)).abs().sum()
    assert (figures(result) - figures(target)).abs().sum() < 0.15 * before


def test_bounded_gains_are_clamped_singular_values() -> None:
    generator = torch.Generator().manual_seed(0)
    matrices = torch.randn(20, 3, 3, generator=generator).double() + torch.eye(3)
    found = bounded(matrices, 0.4, 1.8)
    for ours, matrix in zip(found.numpy(), matrices.numpy(), strict=True):
        left, values, right = np.linalg.svd(matrix)
        expected = left @ np.diag(values.clip(0.4, 1.8)) @ right
        np.testing.assert_allclose(ours, expected, atol=2e-5)


@pytest.mark.parametrize("gain", [0.1, 0.4, 1.0, 1.8, 3.0])
def test_bounded_gains_have_a_gradient_where_all_are_equal(gain: float) -> None:
    """Those of an even photo are."""
    matrix = (gain * torch.eye(3).double()[None]).requires_grad_()
    bounded(matrix, 0.4, 1.8)[0, 0, 0].backward()
    assert matrix.grad is not None
    expected = {0.4: 0.5, 1.8: 0.5, 1.0: 1.0}.get(gain, 0.0)
    assert matrix.grad[0, 0, 0].item() == pytest.approx(expected, abs=1e-4)
    assert matrix.grad[0].flatten()[1:].abs().max() < 1e-6


def test_a_photo_matches_itself() -> None:
    content = photo(0)
    found = match_colors(content, content, Palette.of(content), "monge")
    torch.testing.assert_close(found(content), content, atol=1e-5, rtol=0)


def test_a_sample_gives_nearly_the_same_match() -> None:
    content, target = photo(0, 700, 900), photo(1, 300, 400)
    assert 40_000 < sampled(content)[0, 0].numel() < 200_000
    whole = match_colors(content, content, Palette.of(target), "monge")(content)
    part = match_colors(sampled(content), sampled(content), Palette.of(target), "monge")(content)
    assert (whole - part).abs().max() < 1 / 255


def test_masked_pixels_do_not_count() -> None:
    content, target = photo(0), photo(1)
    spoiled = content.clone()
    spoiled[..., 30:, :] = torch.rand(1, 3, 30, 80, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 1, 60, 80)
    mask[..., 30:, :] = 0
    masked = match_colors(spoiled, spoiled, Palette.of(target), "monge", mask)
    half = content[..., :30, :]
    alone = match_colors(half, half, Palette.of(target), "monge")
    torch.testing.assert_close(masked(content), alone(content), atol=1e-4, rtol=0)


@given(value=st.floats(0, 1, allow_subnormal=False), result=st.floats(-2, 3))
@example(value=1.0, result=1.0)
@example(value=0.0, result=-1e-8)
@example(value=1.0, result=1 + 1e-8)
@example(value=sys.float_info.min, result=-2.0)
def test_the_roll_off_keeps_to_the_range(value: float, result: float) -> None:
    change = abs(result - value)
    headroom = 1 - value if result > value else value
    if change <= KNEE * headroom:
        expected = result
    elif not headroom:
        expected = value
    else:
        u = (change / headroom - KNEE) / (1 - KNEE)
        fraction = KNEE + (1 - KNEE) * (1 - 1 / (1 + u))  # u may be infinite
        expected = value + math.copysign(fraction * headroom, result - value)
    for kind, error in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        found = float(roll_off(torch.tensor(result, dtype=kind), torch.tensor(value, dtype=kind)))
        assert -error <= found <= 1 + error
        assert found == pytest.approx(expected, abs=error)


def test_values_beyond_the_histogram_get_the_last_shift() -> None:
    shift = torch.linspace(0.1, 0.3, tone_curves.BINS + 1)[None, None]
    far = torch.tensor([-3.0, 5.0])[None, None, None]
    torch.testing.assert_close(ToneCurves(shift)(far), far + torch.tensor([0.1, 0.3]))

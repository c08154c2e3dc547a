"""One pipeline: the same transfer for photos, tiles, shots and training."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from support.photos import as_tensor

import photostyle
from photostyle.bench.scene import scene
from photostyle.transfer.content_moments import (
    ContentMoments,
    RunningMoments,
    ShotMoments,
)
from photostyle.transfer.local_maps import EPSILON
from photostyle.transfer.options import Match
from photostyle.transfer.pipeline import StyleTransfer, compose, match_style, stylize
from photostyle.transfer.style import Style

DAY, EVENING = as_tensor(scene(100, 70)), as_tensor(scene(90, 60, evening=True))


@pytest.fixture(scope="module")
def style(photonas: photostyle.Stylizer) -> Style:
    return photonas.learn(EVENING[0])


def transfer(
    photonas: photostyle.Stylizer,
    style: Style,
    content: ContentMoments | None = None,
    match: Match = "global",
) -> StyleTransfer:
    """To a style, of DAY if by region."""
    found, regions = photonas.correspond(DAY, style, match)
    return StyleTransfer(
        style, photonas.checkpoint.transfer, 1.0, content or ContentMoments(None, regions), found
    )


def styled(
    photonas: photostyle.Stylizer, content: torch.Tensor, to_style: StyleTransfer
) -> torch.Tensor:
    return match_style(partial(compose, photonas.network), content, to_style, EPSILON, 2)[1]


@pytest.mark.parametrize("match", ["auto", "regions", "global", "none"])
def test_what_users_get_is_what_training_trains(
    photonas: photostyle.Stylizer, style: Style, match: Match
) -> None:
    """The differentiable pipeline gives a photo's result, up to rounding."""
    expected = photonas.apply(DAY[0], style, mode="exact", match=match)
    found = stylize(photonas.network, DAY, transfer(photonas, style, match=match), EPSILON)
    torch.testing.assert_close(found[0].detach().clamp(0, 1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("match", ["global", "regions"])
@pytest.mark.parametrize("kind", ["noise", "brightness", "contrast"])
def test_the_pipeline_is_differentiable(
    photonas: photostyle.Stylizer, style: Style, match: Match, kind: str
) -> None:
    """The gradient along a direction is the difference that a small step makes.

    The style fixes brightness and contrast: without the gradients of the content's statistics
    these two would matter.
    """
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(DAY.shape, generator=generator)
    centred = DAY - DAY.mean((2, 3), keepdim=True)
    direction, weights = {
        "noise": (1e-3 * noise, torch.randn(DAY.shape, generator=generator)),
        "brightness": (torch.full_like(DAY, 1e-2), torch.full_like(DAY, 1 / DAY.numel())),
        "contrast": (0.1 * centred, centred / DAY.numel()),
    }[kind]

    def figure(content: torch.Tensor) -> torch.Tensor:
        result = stylize(photonas.network, content, transfer(photonas, style, match=match))
        return (weights * result).sum()

    content = DAY.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(figure(content), content)
    with torch.no_grad():
        step = float(figure(DAY + direction) - figure(DAY - direction)) / 2
    tolerance = 0.02 if kind == "noise" else 2e-4
    assert float((gradient * direction).sum()) == pytest.approx(step, rel=0.1, abs=tolerance)


def test_gradients_are_finite_for_an_even_photo_by_region(
    photonas: photostyle.Stylizer, style: Style
) -> None:
    even = torch.full((1, 3, 64, 96), 0.4)
    found, regions = photonas.correspond(even, style, "regions")
    content = even.clone().requires_grad_()
    to_style = StyleTransfer(
        style, photonas.checkpoint.transfer, 1.0, ContentMoments(None, regions), found
    )
    stylize(photonas.network, content, to_style).square().sum().backward()
    assert content.grad is not None
    assert torch.isfinite(content.grad).all()


@torch.no_grad()
def test_a_shot_of_one_picture_is_a_photo(photonas: photostyle.Stylizer, style: Style) -> None:
    shot = transfer(photonas, style, ShotMoments())
    styled(photonas, DAY.repeat(3, 1, 1, 1), shot)
    held = styled(photonas, DAY, shot)
    alone = styled(photonas, DAY, transfer(photonas, style))
    torch.testing.assert_close(held, alone, atol=2e-3, rtol=0)


@torch.no_grad()
def test_a_shot_keeps_its_statistics_and_frames_do_not(
    photonas: photostyle.Stylizer, style: Style
) -> None:
    """Half as much light is taken for a property of the frame, or of another exposure."""
    dark = 0.5 * DAY
    shot, frames = ShotMoments(), RunningMoments(1.0)
    for content in (shot, frames):
        styled(photonas, DAY, transfer(photonas, style, content))
    frames.next_frame(dark)
    by_shot, by_frame = (
        styled(photonas, dark, transfer(photonas, style, content)).mean()
        for content in (shot, frames)
    )
    bright = styled(photonas, DAY, transfer(photonas, style)).mean()
    assert abs(by_frame - bright) < 0.03
    assert by_shot < 0.75 * bright


def test_running_statistics_are_mixed_with_those_before() -> None:
    running = RunningMoments(0.25)
    first, second = (torch.full((1, 2, 3, 3), value) for value in (1.0, 5.0))
    for features, mean in ((first, 1), (first, 1), (second, 2), (second, 2.75)):
        running.next_frame(DAY)
        np.testing.assert_allclose(running.moments("skip1", features).mean, [[mean, mean]])
        assert running.moments("skip1", 9 * first).mean[0, 0] == mean  # still the same frame


def test_frames_with_more_contrast_replace_the_statistics_of_darker_ones() -> None:
    """But not the other way round: what fades out is still matched as it was."""
    running = RunningMoments(0.1)
    features = (torch.full((1, 2, 3, 3), value) for value in (1.0, 5.0, 1.0))
    for brightness, mean in ((0.0, 1), (1.0, 5), (0.1, 4.6)):
        running.next_frame(brightness * DAY)
        np.testing.assert_allclose(running.moments("skip1", next(features)).mean, [[mean, mean]])

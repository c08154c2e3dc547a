"""One pipeline: the same transfer for photos, tiles, shots and training."""

from __future__ import annotations

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
from photostyle.transfer.pipeline import StyleTransfer, restyle, stylize
from photostyle.transfer.style import Style, learn_style

DAY, EVENING = as_tensor(scene(100, 70)), as_tensor(scene(90, 60, evening=True))


@pytest.fixture(scope="module")
def style(photonas: photostyle.Stylizer) -> Style:
    with torch.no_grad():
        return learn_style(photonas.network, EVENING)[0]


def transfer(
    photonas: photostyle.Stylizer, style: Style, content: ContentMoments | None = None
) -> StyleTransfer:
    return StyleTransfer(style, photonas.checkpoint.transfer, content=content)


def test_what_users_get_is_what_training_trains(photonas: photostyle.Stylizer) -> None:
    """With local maps the differentiable pipeline gives a photo's result, up to rounding."""
    style = photonas.learn(EVENING[0])
    expected = photonas.apply(DAY[0], style, mode="exact")
    found = stylize(photonas.network, DAY, transfer(photonas, style), EPSILON)
    torch.testing.assert_close(found[0].detach().clamp(0, 1), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("epsilon", [None, EPSILON])
def test_the_pipeline_is_differentiable(
    photonas: photostyle.Stylizer, style: Style, epsilon: float | None
) -> None:
    """The gradient along a direction is the difference that a small step makes."""
    generator = torch.Generator().manual_seed(0)
    direction = 1e-3 * torch.randn(DAY.shape, generator=generator)
    content = DAY.clone().requires_grad_()
    result = stylize(photonas.network, content, transfer(photonas, style), epsilon)
    weights = torch.randn(result.shape, generator=generator)
    (gradient,) = torch.autograd.grad((weights * result).sum(), content)
    with torch.no_grad():
        steps = [
            (
                weights
                * stylize(photonas.network, DAY + s * direction, transfer(photonas, style), epsilon)
            ).sum()
            for s in (-1, 1)
        ]
    assert float((gradient * direction).sum()) == pytest.approx(
        float(steps[1] - steps[0]) / 2, rel=0.1, abs=0.02
    )


@torch.no_grad()
def test_a_shot_of_one_picture_is_a_photo(photonas: photostyle.Stylizer, style: Style) -> None:
    shot = transfer(photonas, style, ShotMoments())
    restyle(photonas.network, DAY.repeat(3, 1, 1, 1), shot, EPSILON)
    held = restyle(photonas.network, DAY, shot, EPSILON)
    alone = restyle(photonas.network, DAY, transfer(photonas, style), EPSILON)
    torch.testing.assert_close(held, alone, atol=2e-3, rtol=0)


@torch.no_grad()
def test_a_shot_keeps_its_statistics_and_frames_do_not(
    photonas: photostyle.Stylizer, style: Style
) -> None:
    """Half as much light is taken for a property of the frame, or of another exposure."""
    dark = 0.5 * DAY
    shot, frames = ShotMoments(), RunningMoments(1.0)
    for content in (shot, frames):
        restyle(photonas.network, DAY, transfer(photonas, style, content), EPSILON)
    frames.next_frame()
    by_shot, by_frame = (
        restyle(photonas.network, dark, transfer(photonas, style, content), EPSILON).mean()
        for content in (shot, frames)
    )
    bright = restyle(photonas.network, DAY, transfer(photonas, style), EPSILON).mean()
    assert abs(by_frame - bright) < 0.03
    assert by_shot < 0.75 * bright


def test_running_statistics_are_mixed_with_those_before() -> None:
    running = RunningMoments(0.25)
    first, second = (torch.full((1, 2, 3, 3), value) for value in (1.0, 5.0))
    assert running.moments("skip1", first).mean.tolist() == [[1, 1]]
    assert running.moments("skip1", second).mean.tolist() == [[1, 1]]  # still the same frame
    running.next_frame()
    np.testing.assert_allclose(running.moments("skip1", second).mean, [[2, 2]])
    running.next_frame()
    np.testing.assert_allclose(running.moments("skip1", second).mean, [[2.75, 2.75]])

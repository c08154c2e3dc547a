"""Letterbox and pillarbox: black bars are found, left alone and not counted."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.clips import difference
from support.photos import as_tensor, scene

import photostyle
from photostyle.transfer.bars import Bars, find_bars
from photostyle.transfer.options import Temporal
from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer
from photostyle.video import VideoFrame

Pixels = npt.NDArray[np.uint8]
DUSK = scene(120, 80, seed=1, evening=True)


def boxed(picture: Pixels, rows: int, columns: int, level: int = 0) -> Pixels:
    """A picture between bars of so many rows and columns."""
    sides = ((rows, rows), (columns, columns), (0, 0))
    return np.pad(picture, sides, constant_values=level)


@pytest.mark.parametrize(("rows", "columns"), [(14, 0), (0, 20), (9, 12)])
@pytest.mark.parametrize("level", [0, 16])
def test_a_picture_between_bars_is_a_picture_alone(
    photonas: photostyle.Stylizer, rows: int, columns: int, level: int
) -> None:
    picture = scene(160, 96)
    style = photonas.learn(DUSK)
    result = photonas.apply(boxed(picture, rows, columns, level), style)
    within = np.zeros(result.shape[:2], bool)
    within[rows : rows + 96, columns : columns + 160] = True
    assert (result[~within] == level).all()
    alone = photonas.apply(picture, style)
    assert difference(result[within].reshape(picture.shape), alone) < 5
    assert difference(alone, picture) > 10


def test_bars_are_exact_when_the_network_sees_a_smaller_copy(photonas: photostyle.Stylizer) -> None:
    """In fast mode they end within a pixel of the copy."""
    photo = boxed(scene(320, 180), 31, 0)
    result = photonas.apply(photo, photonas.learn(DUSK), mode="fast", working_size=96)
    assert not result[:31].any()
    assert not result[-31:].any()
    for row in (31, -32):
        assert difference(result[row], photo[row]) > 10


def test_bars_of_a_style_photo_are_not_part_of_the_style(photonas: photostyle.Stylizer) -> None:
    plain, framed = (photonas.learn(photo) for photo in (DUSK, boxed(DUSK, 20, 0)))
    means = (style.moments["pixels"].mean for style in (plain, framed))
    torch.testing.assert_close(*means, atol=0.01, rtol=0)


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
def test_bars_of_a_clip_stay_black_while_it_fades_in(
    photonas: photostyle.Stylizer, temporal: Temporal
) -> None:
    bright = boxed(scene(160, 90), 13, 0)
    clip = [
        VideoFrame(number, (bright * (number / 5)).astype(np.uint8), number, 1, Fraction(1, 10))
        for number in range(6)
    ]
    before = clip[-1].pixels.copy()
    video = VideoStylizer(
        photonas, StyleTimeline([StyleCue(0, photonas.learn(DUSK))]), temporal=temporal
    )
    if temporal == "shot":
        assert len(list(video.analyze_shots(clip))) == len(clip)
    for frame in video.run(clip):
        assert not frame.pixels[:13].any()
        assert not frame.pixels[-13:].any()
    for row in (13, -14):
        assert difference(clip[-1].pixels[row], before[row]) > 5


def night() -> Pixels:
    """A black sky with a moon, above black water with its light."""
    photo = np.zeros((96, 160, 3), np.uint8)
    photo[30:40, 70:80] = photo[60:66, 68:82] = 220
    return photo


@pytest.mark.parametrize(
    "photo",
    [
        scene(160, 96),
        np.zeros((96, 160, 3), np.uint8),
        night(),
        boxed(scene(160, 70), 13, 0, level=255),
        np.pad(scene(160, 80), ((16, 0), (0, 0), (0, 0))),
    ],
    ids=["scene", "black", "night", "white frame", "one side"],
)
def test_what_is_no_pair_of_bars(photo: Pixels) -> None:
    assert find_bars(as_tensor(photo)) == Bars()


def test_a_pixel_of_the_copy_that_an_edge_falls_on_counts_as_bar() -> None:
    copy = torch.zeros(1, 3, 20, 30)
    copy[:, :, 3:17] = 0.5
    copy[:, :, 2] = copy[:, :, 17] = 0.01
    bars = find_bars(copy)
    assert bars == Bars(0.2, 0.2, 0, 0)
    assert bars.picture(20, 30) == (4, 16, 0, 30)
    assert bars.picture(50, 75) == (10, 40, 0, 75)
    assert bars.picture(50, 75, multiple=4) == (12, 40, 0, 75)

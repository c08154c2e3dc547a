"""Dissolves are found, and their results are the dissolves of the results of both pictures."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

import photostyle
from photostyle.bench.scene import scene
from photostyle.bench.steadiness import extra_luma, styles
from photostyle.bench.synthetic_clips import CLIPS
from photostyle.transfer.dissolves import Dissolve, Dissolves
from photostyle.transfer.local_maps import LocalAffineMaps
from photostyle.transfer.steady_maps import Keyframe, mixed
from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer
from photostyle.video import VideoFrame

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

DAY = scene(192, 108) / 255
NIGHT = 0.5 * scene(192, 108, evening=True)[::-1, ::-1] / 255


def frames_of(photos: list[Pixels]) -> list[VideoFrame]:
    return [
        VideoFrame(number, photo.copy(), number, 1, Fraction(1, 24))
        for number, photo in enumerate(photos)
    ]


def found_in(frames: list[Floats]) -> list[Dissolve]:
    dissolves = Dissolves()
    for number, frame in enumerate(frames):
        dissolves.add(number, torch.from_numpy(frame).permute(2, 0, 1)[None].float(), alone=False)
    dissolves.finish()
    return dissolves.found


def ramp(count: int, start: int, length: int) -> list[float]:
    return [min(1.0, max(0.0, (number - start) / length)) for number in range(count)]


def pan(number: int) -> Floats:
    wide: Floats = scene(576, 108) / 255
    return wide[:, 2 * number : 2 * number + 192]


def test_a_dissolve_is_found_with_its_weights() -> None:
    weights = ramp(40, 10, 20)
    (dissolve,) = found_in([DAY + weight * (NIGHT - DAY) for weight in weights])
    assert 7 <= dissolve.start <= 10
    assert 30 <= dissolve.end <= 33
    assert dissolve.weights == pytest.approx(weights[dissolve.start : dissolve.end + 1], abs=1e-3)


def test_a_dissolve_to_a_moving_picture_is_found() -> None:
    frames = [NIGHT + weight * (pan(n) - NIGHT) for n, weight in enumerate(ramp(40, 10, 20))]
    (dissolve,) = found_in(frames)
    assert dissolve.start <= 12
    assert dissolve.end >= 28


@pytest.mark.parametrize("name", ["lamp", "whip-pan", "long-pan", "passing-object", "fade"])
def test_what_is_no_dissolve(name: str) -> None:
    assert found_in([frame / 255 for frame in CLIPS[name]().frames]) == []


def test_the_result_of_a_mixture_is_the_mixture_of_the_results() -> None:
    generator = torch.Generator().manual_seed(1)
    pictures = torch.rand(2, 3, generator=generator)
    maps = torch.rand(2, 12, generator=generator)

    def even(values: torch.Tensor) -> torch.Tensor:
        return values[:, None, None].expand(-1, 4, 6).clone()

    first, last = (
        Keyframe(even(picture), LocalAffineMaps(even(of), 4))
        for picture, of in zip(pictures, maps, strict=True)
    )
    results = [
        (of[:9].view(3, 3) @ picture + of[9:]) for picture, of in zip(pictures, maps, strict=True)
    ]
    strip = even(torch.lerp(pictures[0], pictures[1], 0.3))
    made = mixed(first, last, 0.3)(strip, 0)
    torch.testing.assert_close(made, even(torch.lerp(results[0], results[1], 0.3)))


def test_a_dissolve_to_a_moving_picture_takes_no_steps(photonas: photostyle.Stylizer) -> None:
    """Also if the frames of the first pass have another size."""
    frames = [NIGHT + weight * (pan(n) - NIGHT) for n, weight in enumerate(ramp(26, 5, 14))]
    source = [(255 * frame).round().astype(np.uint8) for frame in frames]
    style = photonas.learn(styles()["exchanged"])
    video = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]), working_size=100)
    small = [np.asarray(Image.fromarray(frame).resize((100, 56))) for frame in source]
    assert len(list(video.analyze_shots(frames_of(small)))) == 26
    result = [frame.pixels for frame in video.run(frames_of(source))]
    assert extra_luma(source, result, None) < 1

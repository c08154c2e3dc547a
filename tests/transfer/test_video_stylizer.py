"""Stylized frames: shots, cuts, stability, fades."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.clips import difference
from support.photos import as_tensor, scene

import photostyle
from photostyle import PhotostyleError
from photostyle.model.moments import Moments
from photostyle.transfer.content_moments import joined
from photostyle.transfer.options import TEMPORALS, Across, Match, Temporal
from photostyle.transfer.style import Style, StyleMix
from photostyle.transfer.tone_curves import ToneHistogram
from photostyle.transfer.video_stylizer import FrameMasks, StyleCue, StyleTimeline, VideoStylizer
from photostyle.video import VideoFrame


def frames_of(*scenes: npt.NDArray[np.uint8]) -> list[VideoFrame]:
    return [
        VideoFrame(number, pixels.copy(), number, 1, Fraction(1, 10))
        for number, pixels in enumerate(scenes)
    ]


def wandering(number: int) -> npt.NDArray[np.uint8]:
    """A static scene in which a bright object grows."""
    pixels = scene(160, 96).copy()
    pixels[20 : 30 + 4 * number, 100 : 110 + 4 * number] = (250, 240, 60)
    return pixels


def test_shots_are_found_and_have_moments_of_their_own(photonas: photostyle.Stylizer) -> None:
    one, other = scene(160, 96), np.ascontiguousarray(255 - scene(160, 96)[::-1])
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    clip = frames_of(one, one, one, other, other, one)
    video = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]))
    assert len(list(video.analyze_shots(clip))) == 6
    assert video.cuts == [3, 5]
    assert len(list(video.run(clip))) == len(clip)
    np.testing.assert_array_equal(clip[0].pixels, clip[2].pixels)
    # The first shot is one picture: as good as a photo on its own.
    alone = frames_of(one)[0]
    VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]), temporal="frame")(alone)
    assert difference(alone.pixels, clip[0].pixels) < 0.5


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
def test_the_same_frame_by_region_gives_the_same_pixels(
    photonas: photostyle.Stylizer, temporal: Temporal
) -> None:
    """In a shot also when other frames lie between, as its matches are those of the shot."""
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    timeline = StyleTimeline([StyleCue(0, style)])
    numbers = [0, 0, 0, 5, *[0] * 10] if temporal == "shot" else [0, 0, 0]
    clip = frames_of(*(wandering(number) for number in numbers))
    video = VideoStylizer(photonas, timeline, temporal=temporal, match="regions")
    if temporal == "shot":
        assert len(list(video.analyze_shots(frames_of(*(f.pixels for f in clip))))) == len(clip)
        assert video.cuts == []
    assert len(list(video.run(clip))) == len(clip)
    assert difference(clip[0].pixels, wandering(0)) > 2
    for frame in (clip[1], clip[2], clip[-1]):
        assert np.abs(frame.pixels.astype(int) - clip[0].pixels).max() <= 1


@torch.no_grad()
def test_regions_are_steady_within_a_shot(photonas: photostyle.Stylizer) -> None:
    """Where nothing moves, masks hardly change while an object grows elsewhere."""
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    frames = torch.cat([as_tensor(wandering(number)) for number in range(6)])
    found, regions = photonas.correspond(frames, style, "regions")
    assert regions is not None
    assert regions.masks.shape[0] == len(frames)
    torch.testing.assert_close(regions.masks.sum(1), torch.ones_like(regions.masks[:, 0]))
    corner = regions.masks[..., 60:, :60]
    assert corner.diff(dim=0).abs().mean() < 0.02
    # Clusters of the shot give each frame the masks that it has in the shot.
    blocks = photonas.blocks(frames[2:3])
    assert blocks is not None
    alone = found.regions(blocks, frames[2:3], *frames.shape[2:])
    torch.testing.assert_close(alone.masks, regions.masks[2:3], atol=1e-3, rtol=0)


def test_motion_is_not_a_cut(photonas: photostyle.Stylizer) -> None:
    style = photonas.learn(scene(120, 80))
    video = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]))
    panned = [np.ascontiguousarray(np.roll(scene(160, 96), 4 * k, 1)) for k in range(8)]
    assert len(list(video.analyze_shots(frames_of(*panned)))) == 8
    assert video.cuts == []


def corner_flicker(stylizer: photostyle.Stylizer, temporal: Temporal, match: Match) -> float:
    """Mean change of the static corner beside a growing bright object, in 8-bit steps."""
    style = stylizer.learn(np.ascontiguousarray(scene(120, 80)[..., ::-1]))
    clip, again = (frames_of(*(wandering(k) for k in range(9))) for _ in range(2))
    timeline = StyleTimeline([StyleCue(0, style)])
    video = VideoStylizer(stylizer, timeline, temporal=temporal, match=match)
    if temporal == "shot":
        assert len(list(video.analyze_shots(again))) == 9
    assert len(list(video.run(clip))) == len(clip)
    corner = np.array([frame.pixels[60:, :60].mean((0, 1)) for frame in clip])
    return float(np.abs(np.diff(corner, axis=0)).mean())


def test_static_frames_do_not_flicker(photonas: photostyle.Stylizer) -> None:
    """Steadiest with the moments of a shot; by region frames alone are steadier as well."""
    alone = corner_flicker(photonas, "frame", "global")
    assert corner_flicker(photonas, "shot", "global") < 0.7 * alone
    assert corner_flicker(photonas, "smooth", "global") < 0.7 * alone
    by_region = corner_flicker(photonas, "frame", "auto")
    assert by_region < 0.7 * alone
    assert corner_flicker(photonas, "shot", "auto") < 0.7 * by_region
    assert corner_flicker(photonas, "smooth", "auto") < 0.7 * alone


def test_a_timeline_fades_from_one_style_to_the_next(photonas: photostyle.Stylizer) -> None:
    styles = [photonas.learn(np.ascontiguousarray(scene(99, 80) // k)) for k in (1, 3)]
    timeline = StyleTimeline([StyleCue(0, styles[0]), StyleCue(1.0, styles[1])], fade=0.5)
    assert timeline.at(0.9) == [(0, 1.0)]
    assert timeline.at(1.25) == [(0, 0.5), (1, 0.5)]
    assert timeline.at(2) == [(1, 1.0)]
    assert list(timeline.between(0, 0.9)) == [0]
    assert list(timeline.between(1.2, 9)) == [0, 1]
    assert list(timeline.between(1.6, 9)) == [1]

    clip = frames_of(*([scene(160, 96)] * 20))
    video = VideoStylizer(photonas, timeline, match="global")
    assert len(list(video.analyze_shots(frames_of(*([scene(160, 96)] * 20))))) == 20
    assert len(list(video.run(clip))) == len(clip)
    light = [frame.pixels.mean() for frame in clip]
    assert light[9] == light[0]
    assert light[19] < 0.6 * light[0]
    for number in (11, 12, 13, 14):
        faded = light[0] + (number - 10) / 5 * (light[19] - light[0])
        assert light[number] == pytest.approx(faded, rel=0.05)
    assert light[15] == pytest.approx(light[19], rel=0.01)


@pytest.mark.parametrize("temporal", TEMPORALS)
def test_a_mix_in_a_clip_is_a_fade_that_stops(
    photonas: photostyle.Stylizer, temporal: Temporal
) -> None:
    """Halfway in a fade from one style to another is their mix."""
    styles = [photonas.learn(scene(90, 60, seed)) for seed in (8, 9)]
    mix = StyleMix.of([(style, 0.5) for style in styles])
    timelines = [
        StyleTimeline([StyleCue(0, mix)]),
        StyleTimeline([StyleCue(-9, styles[0]), StyleCue(-1, styles[1])], fade=2),
    ]
    results = []
    for timeline in timelines:
        stylizer = VideoStylizer(photonas, timeline, temporal=temporal)
        frames = frames_of(scene(96, 64))
        if temporal == "shot":
            frames = list(stylizer.analyze_shots(frames))
        results.append(next(frame.pixels for frame in stylizer.run(frames)).astype(int))
    assert np.abs(results[0] - results[1]).max() <= 1


def test_pooled_moments_are_those_of_all_frames() -> None:
    batch = torch.rand(3, 5, 8, 9)
    merged = Moments.merge(Moments.of(photo[None]) for photo in batch)
    pooled = Moments.of(joined(batch))
    torch.testing.assert_close(pooled.mean, merged.mean)
    torch.testing.assert_close(pooled.covariance, merged.covariance)


@pytest.mark.parametrize(
    ("time", "fade", "size", "words"),
    [
        (float("nan"), 1.0, 288, "start at a finite time"),
        (1.0, -1.0, 288, "fade"),
        (1.0, float("nan"), 288, "fade"),
        (1.0, float("inf"), 288, "fade"),
        (1.0, 1.0, 0, "working size"),
        (1.0, 1.0, float("nan"), "working size"),
    ],
)
def test_invalid_settings_are_refused(
    photonas: photostyle.Stylizer, time: float, fade: float, size: int, words: str
) -> None:
    style = photonas.learn(scene(40, 40))
    with pytest.raises(photostyle.PhotostyleError, match=words):
        timeline = StyleTimeline([StyleCue(0.0, style), StyleCue(time, style)], fade)
        VideoStylizer(photonas, timeline, working_size=size)


def test_shots_must_be_analyzed_before_they_run(photonas: photostyle.Stylizer) -> None:
    style = photonas.learn(scene(120, 80))
    clip = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]))
    with pytest.raises(PhotostyleError, match="analyze_shots"):
        clip(frames_of(scene(160, 96))[0])


def test_fades_that_overlap_do_not_jump() -> None:
    style = Style({}, ToneHistogram(torch.zeros(1)), {}, torch.zeros(1))
    cues = [StyleCue(time, style) for time in (0.0, 1.0, 1.5)]
    timeline = StyleTimeline(cues, fade=1.0)
    times = np.linspace(0, 3, 301)
    weights = np.zeros((len(times), 3))
    for row, time in zip(weights, times, strict=True):
        for cue, weight in timeline.at(time):
            row[cue] = weight
    np.testing.assert_allclose(weights.sum(1), 1)
    assert np.abs(np.diff(weights, axis=0)).max() < 0.02
    assert weights[0].tolist() == [1, 0, 0]
    assert weights[-1].tolist() == [0, 0, 1]


def test_frames_between_are_between(photonas: photostyle.Stylizer) -> None:
    """The network sees the first and the seventh frame; equal frames between get maps between."""
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    clip = frames_of(*(wandering(number) for number in (0, *[3] * 5, 6)))
    stylizer = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]))
    assert len(list(stylizer.analyze_shots(frames_of(*(f.pixels for f in clip))))) == 7
    assert len(list(stylizer.run(clip))) == 7
    middle = [frame.pixels.astype(float).mean() for frame in clip[1:6]]
    steps = np.diff(middle)
    assert np.abs(steps).max() > 0
    np.testing.assert_allclose(steps, steps.mean(), atol=0.3 * abs(steps.mean()) + 0.02)


def test_statistics_start_again_after_a_cut(photonas: photostyle.Stylizer) -> None:
    one, other = scene(160, 96), np.ascontiguousarray(255 - scene(160, 96)[::-1])
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    timeline = StyleTimeline([StyleCue(0, style)])
    clip, alone = frames_of(one, one, one, other), frames_of(other)[0]
    assert len(list(VideoStylizer(photonas, timeline, temporal="smooth").run(clip))) == 4
    VideoStylizer(photonas, timeline, temporal="smooth")(alone)
    np.testing.assert_array_equal(clip[3].pixels, alone.pixels)


def test_invalid_settings_and_read_only_frames_are_refused(photonas: photostyle.Stylizer) -> None:
    style = photonas.learn(scene(120, 80))
    timeline = StyleTimeline([StyleCue(0, style)])
    with pytest.raises(PhotostyleError, match="working size"):
        VideoStylizer(photonas, timeline, working_size=0)
    with pytest.raises(PhotostyleError, match="fade"):
        StyleTimeline([StyleCue(0, style)], fade=-1)
    with pytest.raises(PhotostyleError, match="at least one"):
        StyleTimeline([])
    frame = frames_of(scene(160, 96))[0]
    frame.pixels.flags.writeable = False
    with pytest.raises(PhotostyleError, match="read-only"):
        VideoStylizer(photonas, timeline, temporal="frame")(frame)


def stylized(
    photonas: photostyle.Stylizer, temporal: Temporal, *scenes: npt.NDArray[np.uint8]
) -> npt.NDArray[np.float64]:
    """The frames of a clip in evening light, (N, H, W, 3)."""
    style = photonas.learn(scene(120, 80, seed=1, evening=True))
    video = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]), temporal=temporal)
    if temporal == "shot":
        assert len(list(video.analyze_shots(frames_of(*scenes)))) == len(scenes)
    return np.stack([frame.pixels.astype(float) for frame in video.run(frames_of(*scenes))])


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_even_frames_stay_as_they_are(
    photonas: photostyle.Stylizer, temporal: Temporal, level: int
) -> None:
    even = np.full((64, 96, 3), level, np.uint8)
    assert (stylized(photonas, temporal, *[even] * 8) == level).all()


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
@pytest.mark.parametrize(("end", "sign"), [(0, 1), (255, -1)], ids=["black", "white"])
def test_fades_keep_their_course(
    photonas: photostyle.Stylizer, temporal: Temporal, end: int, sign: int
) -> None:
    picture = scene(96, 64).astype(float)
    fade = [(end + (picture - end) * n / 19).round().astype(np.uint8) for n in range(20)]
    for frames in (fade, fade[::-1]):
        means = stylized(photonas, temporal, *frames).mean((1, 2, 3))
        if frames is not fade:
            means = means[::-1]
        assert means[0] == end
        assert (sign * np.diff(means) > -1).all()


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
def test_a_dark_shot_stays_dark_and_steady(
    photonas: photostyle.Stylizer, temporal: Temporal
) -> None:
    rng = np.random.default_rng(0)
    dark = 0.04 * scene(96, 64)
    frames = [(dark + rng.normal(0, 0.7, dark.shape)).clip(0).astype(np.uint8) for _ in range(12)]
    means = stylized(photonas, temporal, *frames).mean((1, 2, 3))
    assert means.max() < 12
    assert np.ptp(means) < 0.5


def test_light_makes_no_cut(photonas: photostyle.Stylizer) -> None:
    """Neither a flash, nor a lamp that is switched on, nor a fast fade; but what follows black."""
    day = scene(160, 96).astype(float)
    other = np.ascontiguousarray(scene(160, 96)[::-1])
    levels = (0.3, 0.3, 1.0, 0.0, 1.0, 0.6, 0.2, 0.0)
    frames = [(day * level).astype(np.uint8) for level in levels]
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    video = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]))
    assert len(list(video.analyze_shots(frames_of(*frames, other)))) == 9
    assert video.cuts == [8]


def test_a_shot_has_the_statistics_of_the_visible_pixels_of_all_its_frames(
    photonas: photostyle.Stylizer,
) -> None:
    one, other = scene(160, 96), scene(160, 96, seed=3)
    joint = np.vstack([one, other])
    masks = [np.zeros(joint.shape[:2], np.uint8) for _ in range(2)]
    masks[0][:96], masks[1][96:] = 255, 255
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    timeline = StyleTimeline([StyleCue(0, style)])
    results = []
    for frame_masks in (FrameMasks(masks), None):
        video = VideoStylizer(photonas, timeline, match="global", masks=frame_masks)
        list(video.analyze_shots(frames_of(joint, joint)))
        results.append(next(video.run(frames_of(joint, joint))).pixels)
    assert difference(*results) < 2


def test_one_grade_across_cuts(photonas: photostyle.Stylizer) -> None:
    """The same wall keeps its colour when the picture beside it changes after a cut."""
    wall = scene(160, 96).copy()
    wide, close = wall.copy(), wall.copy()
    wide[:, 80:] = scene(160, 96, seed=4, evening=True)[::-1, 80:] // 3
    close[:, 80:] = 255 - wide[:, 80:]
    style = photonas.learn(scene(120, 80)[..., ::-1].copy())
    timeline = StyleTimeline([StyleCue(0, style)])
    steps = {}
    grades: tuple[Across, ...] = ("shots", "clip")
    for across in grades:
        video = VideoStylizer(photonas, timeline, across=across)
        assert len(list(video.analyze_shots(frames_of(*[wide] * 3, *[close] * 3)))) == 6
        assert video.cuts == [3]
        result = [f.pixels[:, :60] for f in video.run(frames_of(*[wide] * 3, *[close] * 3))]
        steps[across] = np.abs(result[3].mean((0, 1)) - result[2].mean((0, 1))).max()
    assert steps["clip"] < min(2, 0.5 * steps["shots"])
    with pytest.raises(photostyle.PhotostyleError, match="temporal mode"):
        VideoStylizer(photonas, timeline, temporal="frame", across="clip")


def test_frames_drawn_in_another_thread_are_the_same(photonas: photostyle.Stylizer) -> None:
    style = photonas.learn(np.ascontiguousarray(scene(120, 80)[..., ::-1]))
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            clip = frames_of(*(wandering(k) for k in range(15)))
            video = VideoStylizer(photonas, StyleTimeline([StyleCue(0, style)]))
            assert len(list(video.analyze_shots(clip))) == 15
            assert [frame.number for frame in video.run(clip)] == list(range(15))
            assert torch.get_num_threads() == count
            results.append(np.stack([frame.pixels for frame in clip]).astype(int))
    finally:
        torch.set_num_threads(threads)
    assert np.abs(results[1] - wandering(0)).mean() > 5
    assert np.abs(results[1] - results[0]).max() <= 1

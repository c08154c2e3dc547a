"""`stylize_photo` from Python: files, streams, a stylizer that is loaded once."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.photos import XMP, camera_exif, deep_scene, encoded, profile, scene

import photostyle
from photostyle import photo
from photostyle.photo import Animation, AnimationFrame, Photo

Call = tuple[str, float, float | None, str]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_from_file_to_file(folder: Path, model: str) -> None:
    report = photostyle.stylize_photo("day.jpg", Path("dusk.png"), model=model, device="cpu")
    assert report.output == Path("day-dusk.jpg")
    assert (report.content_size, report.style_size) == ((90, 61), (40, 70))
    assert (report.model, report.device, report.mode) == (model, "cpu", "exact")
    assert report.strength == 1.0
    assert report.compare is None
    assert report.notes == ()
    assert list(report.seconds) == ["read", "load", "learn", "apply", "write"]
    assert names(folder) == ["day-dusk.jpg", "day.jpg", "dusk.png"]
    with pytest.raises(FrozenInstanceError):
        report.mode = "fast"  # type: ignore[misc]
    with Image.open("day-dusk.jpg") as image, Image.open("day.jpg") as content:
        assert image.size == (90, 61)
        assert np.abs(np.asarray(image, float) - np.asarray(content, float)).mean() > 5


def test_everything_that_the_command_can_keep(folder: Path, model: str) -> None:
    deep = Photo(deep_scene(), deep_scene()[..., 0], profile("Adobe RGB"), profile("Adobe RGB"))
    (folder / "deep.png").write_bytes(encoded(deep, "PNG"))
    report = photostyle.stylize_photo("deep.png", "dusk.png", model=model, compare=True)
    assert report.compare == Path("deep-dusk-compare.png")
    assert report.compare.exists()
    result = photo.read("deep-dusk.png")
    assert result.depth == 16
    assert result.original == profile("Adobe RGB")
    assert result.alpha is not None
    assert deep.alpha is not None
    assert np.array_equal(result.alpha, deep.alpha)

    photostyle.stylize_photo(
        "deep.png", "dusk.png", "small.png", model=model, depth="8", profile="srgb"
    )
    small = photo.read("small.png")
    assert small.depth == 8
    assert photo.color.are_equivalent(small.original, None)


def test_metadata_and_animation_are_kept_or_left_out(folder: Path, model: str) -> None:
    Image.fromarray(scene()).save("shot.jpg", exif=camera_exif(), xmp=XMP)
    for strip in (False, True):
        photostyle.stylize_photo(
            "shot.jpg", "dusk.png", "out.jpg", model=model, strip_metadata=strip, overwrite=True
        )
        assert (b"Maker" in (folder / "out.jpg").read_bytes()) != strip

    first, *others = (Image.fromarray(scene(seed=seed)) for seed in range(3))
    first.save("moving.gif", save_all=True, append_images=others, duration=40)
    report = photostyle.stylize_photo("moving.gif", "dusk.png", model=model)
    assert report.output == Path("moving-dusk.gif")
    moving = photo.read(report.output)
    assert moving.animation is not None
    assert len(moving.animation.frames) == 2
    report = photostyle.stylize_photo("moving.gif", "dusk.png", "first.jpg", model=model)
    assert report.notes == ("JPEG stores no animation; only the first frame was written.",)
    report = photostyle.stylize_photo("moving.gif", "dusk.png", "s.png", model=model, still=True)
    assert report.notes == ()


def test_streams(folder: Path, model: str) -> None:
    photostyle.stylize_photo("day.jpg", "dusk.png", "direct.jpg", model=model)
    expected = (folder / "direct.jpg").read_bytes()
    content, style, output = BytesIO(), BytesIO(), BytesIO()
    content.write((folder / "day.jpg").read_bytes())
    style.write((folder / "dusk.png").read_bytes())
    report = photostyle.stylize_photo(content, style, output, model=model)
    assert report.output is None
    assert output.getvalue() == expected
    assert not output.closed
    assert names(folder) == ["day.jpg", "direct.jpg", "dusk.png"]
    with pytest.raises(photostyle.PhotostyleError, match="needs an output file"):
        photostyle.stylize_photo("day.jpg", "dusk.png", BytesIO(), model=model, compare=True)


def test_a_stylizer_is_loaded_once_and_used_twice(
    folder: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stylizer = photostyle.load(model, device="cpu")
    monkeypatch.setattr("photostyle.transfer.stylizer.load", None)
    for name in ("a", "b"):
        report = photostyle.stylize_photo("day.jpg", "dusk.png", f"{name}.png", model=stylizer)
        assert report.model is None
        assert report.device == "cpu"
    assert (folder / "a.png").read_bytes() == (folder / "b.png").read_bytes()


@pytest.mark.usefixtures("folder")
def test_progress_reports_the_phases_in_order(model: str) -> None:
    calls: list[Call] = []

    def progress(phase: str, done: float = 0, total: float | None = None, detail: str = "") -> None:
        calls.append((phase, done, total, detail))

    photostyle.stylize_photo("day.jpg", "dusk.png", model=model, progress=progress)
    assert list(dict.fromkeys(call[0] for call in calls)) == [
        "read",
        "load",
        "learn",
        "apply",
        "write",
    ]
    shares = [done for phase, done, total, _ in calls if phase == "apply" and total == 1]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert {detail for phase, _, _, detail in calls if phase == "apply"} == {"exact"}


def test_masks(folder: Path) -> None:
    Image.fromarray(np.array([[1, 1, 2]], np.uint8)).resize((90, 61), 0).save("regions.png")
    Image.fromarray(np.array([[2], [1]], np.uint8)).resize((40, 70), 0).save("style-regions.png")
    Image.fromarray(np.array([[0, 0, 255]], np.uint8)).resize((90, 61), 0).save("only.png")
    masks: dict[str, Any] = {
        "content_mask": Path("regions.png"),
        "style_mask": "style-regions.png",
        "only": "only.png",
    }
    report = photostyle.stylize_photo("day.jpg", "dusk.png", "a.png", model="none", **masks)
    assert (report.match, report.notes) == ("auto", ())
    before, after = (photo.read(name).pixels for name in ("day.jpg", "a.png"))
    assert np.array_equal(before[:, :60], after[:, :60])
    assert np.abs(before[:, 60:].astype(float) - after[:, 60:]).mean() > 5

    # What `Stylizer` makes of the same masks, and streams.
    stylizer = photostyle.load("none", device="cpu")
    regions = np.array([1, 1, 2])[np.arange(90) // 30] * np.ones((61, 1), int)
    style_regions = np.array([2, 1])[np.arange(70) // 35][:, None] * np.ones(40, int)
    style = stylizer.learn(photo.read("dusk.png").pixels, labels=style_regions)
    direct = stylizer.apply(before, style, labels=regions)
    assert np.abs(direct[:, 60:].astype(int) - after[:, 60:]).max() <= 1
    streams: dict[str, Any] = {
        name: BytesIO((folder / file).read_bytes()) for name, file in masks.items()
    }
    photostyle.stylize_photo("day.jpg", "dusk.png", "b.png", model=stylizer, **streams)
    assert np.array_equal(photo.read("b.png").pixels, after)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"match": "some"}, "Unknown match 'some'; use auto, regions, global, none"),
        ({"content_mask": "dusk.png"}, "Give a content mask and a style mask, or neither"),
        ({"style_mask": "dusk.png"}, "Give a content mask and a style mask, or neither"),
        (
            {"content_mask": "day.jpg", "style_mask": "dusk.png", "match": "global"},
            "cannot be used with the match 'global'",
        ),
        ({"only": "dusk.png"}, "'dusk.png' is 40x70 pixels, .* the content photo, 90x61"),
        ({"only": BytesIO(b"none")}, "^The photo is not a photo"),
        ({"only": ""}, "file name must not be empty"),
        ({"depth": "12"}, "Unknown depth '12'; use 8, 10, 16, auto"),
        ({"profile": "wide"}, "Unknown profile 'wide'; use keep, srgb"),
        ({"quality": 0}, "quality must be between 1 and 100"),
        ({"strength": 2}, "strength must be between 0 and 1.5"),
        ({"mode": "slow"}, "Unknown mode 'slow'"),
        ({"depth": "16", "output": "a.jpg"}, "JPEG stores only 8 bits"),
        ({"output": "dusk.png", "overwrite": True}, "is an input file; choose another output"),
        ({"output": "taken.png"}, "already exists"),
        ({"output": "a.txt"}, "extension"),
        ({"output": ""}, "file name must not be empty"),
        ({"output": "a\0.jpg"}, r"'a\\x00.jpg' is not a valid file name"),
        ({"output": "a\ud800.jpg"}, "not a valid file name"),
        ({"style": ""}, "file name must not be empty"),
        ({"style": BytesIO(b"none")}, "^The photo is not a photo"),
    ],
)
def test_errors_leave_everything_as_it_was(
    folder: Path, model: str, options: dict[str, Any], sentence: str
) -> None:
    (folder / "taken.png").write_bytes(b"precious")
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    with pytest.raises(photostyle.PhotostyleError, match=sentence):
        photostyle.stylize_photo("day.jpg", **{"style": "dusk.png", "model": model, **options})
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.parametrize(
    "options",
    [
        {"content": None},
        {"style": 5},
        {"output": ["a.jpg"]},
        {"style": StringIO()},
        {"model": 5},
        {"only": 5},
    ],
)
def test_a_wrong_type_is_a_type_error(folder: Path, model: str, options: dict[str, Any]) -> None:
    before = names(folder)
    with pytest.raises(TypeError, match="path"):
        photostyle.stylize_photo(
            **{"content": "day.jpg", "style": "dusk.png", "model": model, **options}
        )
    assert names(folder) == before


def animated(
    path: Path, frames: list[np.ndarray], alpha: np.ndarray | None = None, duration: float = 40.0
) -> None:
    """Writes an animation as PNG; alpha: of all frames."""
    others = tuple(AnimationFrame(frame, alpha, duration) for frame in frames[1:])
    moving = Photo(frames[0], alpha, animation=Animation(others, duration, 0))
    path.write_bytes(encoded(moving, "PNG"))


def means(file: str) -> np.ndarray:
    return np.array([still.pixels.mean() for still in photo.read(file).stills()])


def test_fades_and_flashes_of_an_animation_stay(
    folder: Path, photonas: photostyle.Stylizer
) -> None:
    day = scene(96, 64).astype(float)
    levels = [1.0, 0.8, 0.6, 0.4, 0.2, 0.05, 0.0, 0.0, 1.0, 0.0]
    animated(folder / "fade.png", [(day * level).astype(np.uint8) for level in levels])
    photostyle.stylize_photo("fade.png", "dusk.png", "result.png", model=photonas)
    found = means("result.png")
    assert (np.diff(found[:7]) < 0).all()
    assert (found[[6, 7, 9]] == 0).all()
    assert found[8] == pytest.approx(found[0], abs=0.5)
    assert len(found) == len(levels)


def test_a_still_animation_is_like_the_photo_and_keeps_its_frames(
    folder: Path, photonas: photostyle.Stylizer
) -> None:
    animated(folder / "still.png", [scene(96, 64)] * 6)
    photostyle.stylize_photo("still.png", "dusk.png", "result.png", model=photonas)
    photostyle.stylize_photo("still.png", "dusk.png", "one.png", model=photonas, still=True)
    stills = photo.read("result.png").stills()
    assert len(stills) == 6
    assert all(np.array_equal(still.pixels, stills[0].pixels) for still in stills)
    one = photo.read("one.png").pixels.astype(float)
    assert np.abs(stills[0].pixels - one).mean() < 6
    assert np.abs(one - scene(96, 64)).mean() > 8


def test_transparent_pixels_of_an_animation_do_not_count(
    folder: Path, photonas: photostyle.Stylizer
) -> None:
    """Nor do they change."""
    day = scene(96, 64)
    alpha = np.zeros((128, 96), np.uint8)
    alpha[:64] = 255
    below = np.full_like(day, (10, 240, 30))
    animated(folder / "cut.png", [np.vstack([day, below])] * 2, alpha)
    animated(folder / "whole.png", [day] * 2)
    for name in ("cut", "whole"):
        photostyle.stylize_photo(
            f"{name}.png", "dusk.png", f"{name}-result.png", model=photonas, match="global"
        )
    cut, whole = (photo.read(f"{name}-result.png") for name in ("cut", "whole"))
    for still, expected in zip(cut.stills(), whole.stills(), strict=True):
        assert np.abs(still.pixels[:60].astype(float) - expected.pixels[:60]).mean() < 3
        assert still.alpha is not None
        assert np.array_equal(still.alpha, alpha)
        assert (still.pixels[64:] == (10, 240, 30)).all()


def test_masks_serve_all_frames_of_an_animation(
    folder: Path, photonas: photostyle.Stylizer
) -> None:
    day = scene(96, 64)
    animated(folder / "moving.png", [day, day[:, ::-1].copy()])
    labels = np.zeros((64, 96, 3), np.uint8)
    labels[32:] = 255
    Image.fromarray(labels).save("regions.png")
    Image.fromarray(np.zeros((70, 40), np.uint8)).save("sky.png")
    Image.fromarray(labels).save("only.png")
    masks: dict[str, Any] = {"content_mask": "regions.png", "style_mask": "sky.png"}
    results = []
    for more in ({}, masks):
        photostyle.stylize_photo(
            "moving.png",
            "dusk.png",
            "result.png",
            model=photonas,
            only="only.png",
            overwrite=True,
            **more,
        )
        results.append(photo.read("result.png").stills())
    for still, by_hand, before in zip(*results, photo.read("moving.png").stills(), strict=True):
        assert np.array_equal(still.pixels[:32], before.pixels[:32])
        assert np.abs(still.pixels[32:].astype(float) - before.pixels[32:]).mean() > 5
        assert np.abs(still.pixels[32:].astype(float) - by_hand.pixels[32:]).mean() > 1

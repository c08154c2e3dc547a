"""Folders as outputs, and URLs as inputs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support.clips import make
from support.photos import scene

from photostyle.errors import PhotostyleError
from photostyle.files import output_path
from photostyle.jobs.clip import stylize_clip
from photostyle.jobs.compare import compare_photos
from photostyle.jobs.lut import apply_lut, fit_lut, make_lut
from photostyle.jobs.photo import stylize_photo
from photostyle.jobs.style_files import learn_style_file


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene()).save("day.png")
    Image.fromarray(scene()[:, ::-1]).save("dusk.jpg")
    Path("into").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["into/", "into"])
@pytest.mark.parametrize(
    ("job", "written"),
    [
        (lambda o: stylize_photo("day.png", "dusk.jpg", o, model="none"), "day-dusk.png"),
        (lambda o: make_lut("day.png", "dusk.jpg", o, model="none", size=3), "day-dusk.cube"),
        (lambda o: fit_lut("day.png", "day.png", o, size=3), "day-day.cube"),
        (lambda o: learn_style_file("dusk.jpg", o, model="none"), "dusk.style"),
        (lambda o: compare_photos(["day.png", "dusk.jpg"], o), "day-compare.png"),
    ],
    ids=["image", "lut make", "lut fit", "style", "compare"],
)
def test_an_output_may_be_a_folder(
    folder: Path, name: str, job: Callable[[str], object], written: str
) -> None:
    job(name)
    assert [path.name for path in (folder / "into").iterdir()] == [written]
    with pytest.raises(PhotostyleError, match="already exists"):
        job(name)


def test_a_lut_is_applied_into_a_folder(folder: Path) -> None:
    make_lut("day.png", "dusk.jpg", "a.cube", model="none", size=3)
    assert apply_lut("a.cube", "day.png", "into").output == Path("into/day-a.png")
    assert (folder / "into/day-a.png").exists()


def test_a_folder_that_does_not_exist_is_named(folder: Path) -> None:
    with pytest.raises(PhotostyleError, match="folder 'nowhere' does not exist"):
        stylize_photo("day.png", "dusk.jpg", "nowhere/", model="none")
    assert output_path("nowhere/", "a.png") == Path("nowhere/a.png")
    assert output_path("nowhere", "a.png") == Path("nowhere")
    assert not (folder / "nowhere").exists()


def test_a_video_may_go_into_a_folder(folder: Path) -> None:
    make("clip.mp4", size="64x48", frames=2)
    stylize_clip("clip.mp4", "dusk.jpg", "into/", model="none", preset="ultrafast")
    assert (folder / "into/clip-dusk.mp4").exists()


@pytest.mark.parametrize("url", ["https://example.org/a.jpg", "file:///tmp/a.jpg", "s3://a/b.png"])
def test_a_url_is_named_as_such(folder: Path, url: str) -> None:
    for content, style in ((url, "dusk.jpg"), ("day.png", url)):
        with pytest.raises(PhotostyleError, match="is a URL; download the file"):
            stylize_photo(content, style, model="none")
    assert sorted(path.name for path in folder.iterdir()) == ["day.png", "dusk.jpg", "into"]

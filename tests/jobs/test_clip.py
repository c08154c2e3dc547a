"""`stylize_clip` and `preview_clip` from Python."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.clips import SOUND, Probed, difference, ffmpeg, make
from support.photos import scene

import photostyle


@pytest.fixture(autouse=True)
def _folder(folder: Path) -> None:
    """Every test runs in a folder with a style photo."""


def test_from_file_to_file(model: str) -> None:
    clip = make("in.mp4", "-c:a", "aac", inputs=SOUND, rate="25", frames=8)
    report = photostyle.stylize_clip("in.mp4", "dusk.png", model=model, device="cpu")
    assert report.output == Path("in-dusk.mp4")
    assert report.frames_dir is None
    assert (report.size, report.frames, report.device) == ((160, 90), 8, "cpu")
    assert report.notes == ()
    assert not report.interrupted
    assert list(report.seconds) == ["read", "load", "learn", "analyze", "stylize", "write"]
    before, after = Probed(clip), Probed("in-dusk.mp4")
    assert after.times == before.times
    assert after.packets == before.packets
    assert difference(after.pixels[3], before.pixels[3]) > 5


def test_a_part_with_a_further_style_by_a_loaded_stylizer(model: str) -> None:
    make("in.mp4", rate="10", frames=14)
    Image.fromarray(scene(70, 40) // 4).save("night.png")
    stylizer = photostyle.load(model, device="cpu")
    for name in ("a.mkv", "b.mkv"):
        report = photostyle.stylize_clip(
            "in.mp4",
            Path("dusk.png"),
            name,
            cues=[(0.8, "night.png")],
            fade=0.2,
            model=stylizer,
            start=0.2,
            codec="h265",
            preset="ultrafast",
        )
        assert report.frames == 12
    light = [pixels.mean() for pixels in Probed("a.mkv").pixels]
    assert light[11] < 0.75 * light[0]
    assert abs(light[5] - light[0]) < 5
    assert light == [pixels.mean() for pixels in Probed("b.mkv").pixels]


def test_frames_in_and_out(folder: Path, model: str) -> None:
    make("in.mp4", rate="10", frames=4)
    report = photostyle.stylize_clip("in.mp4", "dusk.png", frames_dir="frames", model=model)
    assert (report.output, report.frames_dir, report.frames) == (None, Path("frames"), 4)
    files = sorted(path.name for path in (folder / "frames").iterdir())
    assert files == [f"{number:06}.png" for number in (1, 2, 3, 4)]
    for fps, rate in ((23.976, Fraction(2997, 125)), (Fraction(24000, 1001),) * 2):
        photostyle.stylize_clip(
            "frames", "dusk.png", "out.mkv", fps=fps, model=model, overwrite=True
        )
        assert Probed("out.mkv").rate == pytest.approx(rate)


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
def test_an_interrupt_ends_the_file_after_the_frames_that_are_done(
    folder: Path, model: str, temporal: Any
) -> None:
    make("in.mp4", "-c:a", "aac", inputs=SOUND, rate="25", frames=25)

    def interrupt(phase: str, done: float = 0, *_: object) -> None:
        if (phase, done) == ("stylize", 10):
            raise KeyboardInterrupt

    report = photostyle.stylize_clip(
        "in.mp4",
        "dusk.png",
        "out.mp4",
        temporal=temporal,
        model=model,
        frames_dir="frames",
        progress=interrupt,
    )
    assert report.interrupted
    assert report.frames == 10
    after = Probed("out.mp4")
    assert len(after.times) == 10
    assert abs(len(after.packets) * 1024 / 44100 - 10 / 25) < 0.2
    assert len(list(Path("frames").iterdir())) == 10
    assert not list(folder.glob(".photostyle-*"))


@pytest.mark.parametrize("where", [("analyze", 3), ("stylize", 0), ("write", 0)])
def test_an_interrupt_elsewhere_is_raised_and_leaves_nothing(
    folder: Path, model: str, where: tuple[str, int]
) -> None:
    make("in.mp4", frames=6)
    before = sorted(folder.iterdir())

    def interrupt(phase: str, done: float = 0, *_: object) -> None:
        if (phase, done) == where:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        photostyle.stylize_clip("in.mp4", "dusk.png", model=model, progress=interrupt)
    assert sorted(folder.iterdir()) == before


def test_a_preview_shows_moments_and_decodes_no_further(folder: Path, model: str) -> None:
    make("in.mp4", frames=10)
    counts: list[float] = []

    def progress(phase: str, done: float = 0, *_: object) -> None:
        if phase == "stylize":
            counts.append(done)

    report = photostyle.preview_clip(
        "in.mp4", "dusk.png", moments=2, temporal="frame", model=model, progress=progress
    )
    assert report.output == Path("in-dusk-preview.png")
    assert report.frames == 2
    assert max(counts) < 9
    with Image.open("in-dusk-preview.png") as sheet:
        width, height = sheet.size
    assert width > 2 * 300
    assert height > 2 * 224
    assert not list(folder.glob("*-dusk.mp4"))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": 2, "end": 1}, "The end, 1 s, must come after the start, 2 s"),
        ({"fps": 0}, "frame rate must be above 0"),
        ({"temporal": "never"}, "Unknown temporal mode 'never'"),
        ({"match": "some"}, "Unknown match 'some'"),
        ({"strength": -1}, "strength must be between 0 and 1"),
        ({"codec": "h999"}, "Unknown codec"),
        ({"output": "in.mp4", "overwrite": True}, "is an input file; choose another output"),
        ({"frames_dir": "."}, "is not empty"),
        ({"frames_dir": "nowhere/frames"}, "does not exist"),
        ({"cues": [(1, "missing.png")]}, "No such file"),
        ({"cues": [(-1, "dusk.png")]}, "start at a finite time of at least 0 seconds, not -1"),
        (
            {"cues": [(float("nan"), "dusk.png")]},
            "start at a finite time of at least 0 seconds, not nan",
        ),
        ({"fade": -1}, "fade must take 0 or more seconds"),
        ({"start": -1}, "start must be finite and at least 0 seconds"),
        ({"end": float("inf")}, "end must be finite and at least 0 seconds, not inf"),
        ({"end": 0}, "The end, 0 s, must come after the start, 0 s"),
        ({"working_size": 0}, "working size must be at least 1 pixel"),
        ({"crf": 64}, "CRF must be between 0 and 63"),
        ({"preset": "hasty"}, "Unknown preset 'hasty'; use ultrafast"),
        ({"output": ""}, "file name must not be empty"),
        ({"frames_dir": ""}, "file name must not be empty"),
        ({"clip": ""}, "file name must not be empty"),
        ({"clip": "in\0.mp4"}, "not a valid file name"),
        ({"clip": 300 * "a"}, "cannot be read: File name too long"),
        ({"model": "nonsense"}, "nonsense"),
    ],
)
def test_errors_leave_nothing(
    folder: Path, model: str, options: dict[str, Any], sentence: str
) -> None:
    make("in.mp4", frames=3)
    before = sorted(folder.iterdir())
    with pytest.raises(photostyle.PhotostyleError, match=sentence):
        photostyle.stylize_clip(
            **{"clip": "in.mp4", "style": "dusk.png", "model": model, **options}
        )
    assert sorted(folder.iterdir()) == before


def test_a_preview_needs_a_moment(model: str) -> None:
    make("in.mp4", frames=3)
    with pytest.raises(photostyle.PhotostyleError, match="at least 1 frame, not 0"):
        photostyle.preview_clip("in.mp4", "dusk.png", moments=0, model=model)


def test_frames_that_are_read_are_never_overwritten(folder: Path, model: str) -> None:
    frames = folder / "frames"
    frames.mkdir()
    for number in (1, 2):
        Image.fromarray(scene(32, 32, seed=number)).save(frames / f"{number:06}.png")
    (folder / "link").symlink_to(frames)
    make("in.mp4", frames=3)
    before = {file: file.read_bytes() for file in frames.iterdir()}
    stylize: Any = photostyle.stylize_clip
    preview: Any = photostyle.preview_clip
    for clip, style, options, function in (
        ("frames", "dusk.png", {"frames_dir": "frames"}, stylize),
        ("frames", "dusk.png", {"frames_dir": "link"}, stylize),
        ("link/%06d.png", "dusk.png", {"frames_dir": "frames"}, stylize),
        ("in.mp4", "frames/000002.png", {"frames_dir": "frames"}, stylize),
        ("frames", "dusk.png", {"output": "link/000002.png"}, preview),
        ("frames/%06d.png", "dusk.png", {"output": "link/000002.png"}, preview),
    ):
        with pytest.raises(photostyle.PhotostyleError, match="is an input file; choose another"):
            function(clip, style, **options, model=model, overwrite=True)
    assert {file: file.read_bytes() for file in frames.iterdir()} == before


def test_frames_are_written_without_looking_through_the_folder(
    folder: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time per frame is constant, because leftovers of killed runs are searched once."""
    from photostyle import files

    looked: list[Path] = []
    synced: list[int] = []
    monkeypatch.setattr(files, "_remove_leftovers", looked.append)
    monkeypatch.setattr("os.fsync", synced.append)
    make("in.mp4", frames=5)
    photostyle.stylize_clip("in.mp4", "dusk.png", frames_dir="frames", model=model)
    assert len(list((folder / "frames").iterdir())) == 5
    assert looked == [folder / "frames"]
    assert not synced


@pytest.mark.parametrize("across", ["shots", "clip"])
@pytest.mark.parametrize("kind", ["video", "sequence"])
def test_parts_of_a_clip_join(kind: str, across: Any) -> None:
    """Half of the clip is darker: alone, each half would get the same light as the other."""
    light = "lutrgb=r='val*{0}':g='val*{0}':b='val*{0}'"
    filters = f"[0]{light.format(0.9)}[a];[1]{light.format(0.6)}[b];[a][b]concat"
    still = ("-loop", "1", "-r", "10", "-t", "1", "-i", "dusk.png")
    Path("clip").mkdir()
    target = "clip/%03d.png" if kind == "sequence" else "clip.mkv"
    ffmpeg(*still, *still, "-filter_complex", filters, "-c:v", "png", target)
    clip = "clip" if kind == "sequence" else target
    Image.fromarray(scene(70, 40)[..., ::-1]).save("style.png")

    def result(start: float | None = None, end: float | None = None) -> list[Any]:
        folder = f"{start}-{end}"
        photostyle.stylize_clip(
            *(clip, "style.png"),
            frames_dir=folder,
            model="none",
            across=across,
            start=start,
            end=end,
            fps=10 if kind == "sequence" else None,
        )
        return [np.asarray(Image.open(path)) for path in sorted(Path(folder).glob("*.png"))]

    whole, parts = result(), [*result(end=0.75), *result(0.75, 1.35), *result(1.35)]
    assert len(parts) == len(whole) == 20
    assert difference(whole[0], whole[-1]) > 5
    assert max(map(difference, whole, parts)) < 1

"""Clips with transparency, made by ffmpeg and read back with PyAV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.clips import Probed, ffmpeg

from photostyle.jobs.clip import ClipReport, stylize_clip
from photostyle.jobs.image_sequence import has_transparency
from photostyle.video import Reader, Source, choose_codec, probe

RAMP = np.broadcast_to(np.linspace(0, 255, 64), (48, 64))
"""The alpha of all clips."""

SOURCES = {
    "in.webm": ["-c:v", "libvpx-vp9", "-pix_fmt", "yuva420p", "-crf", "10", "-b:v", "0"],
    "vp8.webm": ["-c:v", "libvpx", "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "2M"],
    "prores.mov": ["-c:v", "prores_ks", "-profile:v", "4", "-pix_fmt", "yuva444p10le"],
    "qtrle.mov": ["-c:v", "qtrle", "-pix_fmt", "argb"],
    "png.mov": ["-c:v", "png", "-pix_fmt", "rgba"],
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save("style.png")


def make(name: str, alpha: npt.NDArray[Any] = RAMP) -> Path:
    colors = np.random.default_rng(1).integers(0, 255, (6, 8, 3), np.uint8)
    picture = Image.fromarray(colors).resize((64, 48))
    picture.putalpha(Image.fromarray(alpha.round().astype(np.uint8)))
    picture.save("source.png")
    ffmpeg("-loop", "1", "-i", "source.png", "-frames:v", "4", *SOURCES[name], name)
    return Path(name)


def alpha_of(path: str) -> npt.NDArray[Any]:
    """The alpha of the first frame as PyAV reads it, 0..255."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        if stream.codec_context.name == "vp9":  # whose default decoder knows no alpha
            decoder: Any = av.CodecContext.create("libvpx-vp9", "r")
            frame = next(f for p in container.demux(stream) for f in decoder.decode(p))
        else:
            frame = next(container.decode(stream))
        return np.asarray(frame.to_ndarray(format="rgba"))[..., 3].astype(float)


def stylize(clip: Path, target: str | None, **options: Any) -> ClipReport:
    return stylize_clip(clip, "style.png", target, model="none", **options)


@pytest.mark.parametrize("source", SOURCES)
def test_a_reader_gives_alpha(source: str) -> None:
    clip = probe(Source(make(source)))
    assert has_transparency(clip)
    for depth in (8, 16):
        frames = list(Reader(clip, depth=depth, alpha=True))
        assert len(frames) == 4
        alpha = frames[-1].alpha
        assert alpha is not None
        assert alpha.dtype == frames[-1].pixels.dtype
        assert np.abs(alpha * (255 / np.iinfo(alpha.dtype).max) - RAMP).mean() < 3


@pytest.mark.parametrize("source", ["in.webm", "prores.mov", "qtrle.mov"])
@pytest.mark.parametrize(
    ("target", "codec"), [("out.mov", "prores"), ("out.webm", "vp9"), ("out.mkv", None)]
)
def test_alpha_is_kept(source: str, target: str, codec: str | None) -> None:
    report = stylize(make(source), target)
    assert not any("transparen" in note for note in report.notes)
    assert codec in (None, Probed(target).codec)
    assert np.abs(alpha_of(target) - RAMP).mean() < 4


def test_frames_keep_alpha() -> None:
    assert not stylize(make("png.mov"), None, frames_dir="frames").notes
    image = Image.open("frames/000001.png")
    assert image.mode == "RGBA"
    assert np.abs(np.asarray(image)[..., 3] - RAMP).max() <= 1
    stylize(Path("frames"), "again.mov", strength=0)
    assert np.abs(alpha_of("again.mov") - RAMP).max() <= 1


@pytest.mark.parametrize("target", ["out.mp4", "out.mov"])
def test_lost_alpha_is_said(target: str) -> None:
    report = stylize(make("qtrle.mov"), target, codec="h264")
    assert "transparen" in "".join(report.notes)


def test_an_opaque_alpha_is_not_kept() -> None:
    clip = make("png.mov", np.full((48, 64), 255.0))
    assert not has_transparency(probe(Source(clip)))
    assert not stylize(clip, "out.mov").notes
    assert Probed("out.mov").codec == "h264"


def test_hidden_colors_do_not_count() -> None:
    half = np.where(np.arange(64) < 32, 0, 255) * np.ones((48, 1))
    clip = make("png.mov", half)
    stylize(clip, None, frames_dir="a")
    picture = np.asarray(Image.open("source.png")).copy()
    picture[:, :32, :3] = 255 - picture[:, :32, :3]
    Image.fromarray(picture).save("source.png")
    ffmpeg("-loop", "1", "-i", "source.png", "-frames:v", "4", *SOURCES["png.mov"], "other.mov")
    stylize(Path("other.mov"), None, frames_dir="b")
    a, b = (np.asarray(Image.open(f"{name}/000001.png")).astype(float) for name in "ab")
    assert np.abs(a - b)[:, 40:].mean() < 2


def test_a_transparent_clip_is_written() -> None:
    report = stylize(make("png.mov", np.zeros((48, 64))), "out.webm")
    assert report.frames == 4
    assert alpha_of("out.webm").max() < 5


def test_gif_keeps_transparency() -> None:
    report = stylize(make("png.mov"), "out.gif")
    assert "opaque or transparent" in "".join(report.notes)
    alpha = np.asarray(Image.open("out.gif").convert("RGBA"))[..., 3]
    assert alpha[0, 0] == 0
    assert alpha[0, -1] == 255


def test_the_codec_for_alpha() -> None:
    def chosen(name: str, depth: int) -> tuple[str, int, bool]:
        return choose_codec(Path(name), None, depth, alpha=True)

    assert chosen("a.mov", 8) == ("prores", 8, True)
    assert chosen("a.mkv", 8)[0] == "vp9"
    assert chosen("a.mkv", 10) == ("prores", 10, True)
    assert chosen("a.mp4", 10) == ("h265", 10, False)
    assert chosen("a.webm", 10) == ("vp9", 8, True)

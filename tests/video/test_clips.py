"""Clips read and written frame by frame, made by ffmpeg and read back with PyAV."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import SOUND, Probed, difference, ffmpeg, make

from photostyle import PhotostyleError
from photostyle.video import Encoding, Reader, Source, open_writer, probe


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copy(source: Path | Source, target: str, encoding: Encoding | None = None) -> list[str]:
    """Write each frame as it was read; return the notes of the writer."""
    clip = probe(source if isinstance(source, Source) else Source(source))
    with open_writer(Path(target), clip, encoding) as writer:
        for frame in Reader(clip):
            writer.add(frame)
    return writer.notes


@pytest.mark.parametrize(
    ("name", "options", "format"),
    [
        ("plain.mp4", ["-pix_fmt", "yuv420p"], {}),
        (
            "full.mp4",
            ["-vf", "scale=out_range=pc", "-pix_fmt", "yuv420p"],
            {},
        ),
        ("rich.mp4", ["-pix_fmt", "yuv444p"], {}),
        ("deep.mp4", ["-pix_fmt", "yuv420p10le"], {}),
        ("grey.mp4", ["-pix_fmt", "gray"], {}),
        ("tall.mp4", ["-pix_fmt", "yuv420p"], {"size": "90x160"}),
        ("odd.mkv", ["-vf", "scale=161:91", "-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0"], {}),
        ("squeezed.mp4", ["-vf", "setsar=4/3", "-pix_fmt", "yuv420p"], {}),
        ("slow.mp4", ["-pix_fmt", "yuv420p"], {"rate": "24000/1001"}),
        (
            "tagged.mp4",
            [
                "-vf",
                "scale=out_color_matrix=bt709,setparams=colorspace=bt709:"
                "color_primaries=bt709:color_trc=bt709:range=tv",
                "-pix_fmt",
                "yuv420p",
            ],
            {},
        ),
    ],
)
def test_an_untouched_clip_keeps_its_colors_and_tags(
    name: str, options: list[str], format: dict[str, Any]
) -> None:
    clip = make(name, *options, frames=5, **format)
    notes = copy(clip, "out.mp4", Encoding(crf=8))
    before, after = Probed(clip), Probed("out.mp4")
    assert after.times == pytest.approx(before.times, abs=1e-6)
    width, height = before.size
    assert (width % 2 == 1) == ("odd" in name)
    assert after.size == (width + width % 2, height + height % 2)
    assert after.aspect == before.aspect
    assert after.tags[1:] == before.tags[1:]
    assert (after.tags[0] == 2) == (before.tags[0] == 2)
    for a, b in zip(before.pixels, after.pixels, strict=True):
        # PyAV converts 10 bits and odd chroma to RGB a little differently.
        limit = 4 if name.startswith(("rich", "deep", "odd")) else 2
        assert difference(a, b[:height, :width]) < limit
    assert ("even" in "".join(notes)) == ("odd" in name)
    assert probe(Source(clip)).depth == (10 if "deep" in name else 8)


def test_rotation_is_applied_once() -> None:
    make("flat.mp4", "-pix_fmt", "yuv420p", frames=3)
    ffmpeg("-display_rotation", "90", "-i", "flat.mp4", "-c", "copy", "turned.mp4")
    copy(Path("turned.mp4"), "out.mp4")
    before, after = Probed("turned.mp4"), Probed("out.mp4")
    assert abs(before.rotation) == 90
    assert after.rotation == 0
    assert after.size == (90, 160)
    assert difference(np.rot90(before.pixels[0], before.rotation // 90), after.pixels[0]) < 3


def test_variable_timing_is_kept() -> None:
    choice = "select='not(eq(mod(n,5),1)+eq(mod(n,7),3))'"
    clip = make("in.mp4", "-vf", choice, "-fps_mode", "vfr", rate="25", frames=20)
    copy(clip, "out.mkv")
    before, after = Probed(clip), Probed("out.mkv")
    assert len(set(np.diff(before.times).round(3))) > 1
    assert after.times == pytest.approx(before.times, abs=1e-3)


@pytest.mark.parametrize(
    ("suffix", "codec", "sound", "note"),
    [
        (".mov", "h264", ["aac"], False),
        (".mkv", "h264", ["aac"], False),
        (".webm", "vp9", ["opus"], True),
        (".gif", "gif", [], True),
    ],
)
def test_containers(suffix: str, codec: str, sound: list[str], note: bool) -> None:
    clip = make("in.mp4", "-c:a", "aac", inputs=SOUND, rate="25", frames=6)
    notes = copy(clip, f"out{suffix}")
    before, after = Probed(clip), Probed(f"out{suffix}")
    assert (after.codec, after.sounds) == (codec, sound)
    assert bool(notes) == note
    assert after.times == pytest.approx(before.times, abs=0.011)
    if not note:
        assert after.packets == before.packets


@pytest.mark.parametrize(
    ("codec", "names"), [("h265", {"hevc"}), ("av1", {"av1", "libdav1d"}), ("vp9", {"vp9"})]
)
def test_codecs(codec: str, names: set[str]) -> None:
    clip = make("in.mp4", frames=3)
    copy(clip, "out.mp4", Encoding(codec, 30, "veryfast"))
    after = Probed("out.mp4")
    assert after.codec in names
    assert len(after.times) == 3


def test_a_part_of_a_clip() -> None:
    clip = make("in.mp4", "-c:a", "aac", inputs=SOUND, rate="25", frames=25)
    copy(Source(clip, start=0.2, end=0.6), "out.mp4")
    before, after = Probed(clip), Probed("out.mp4")
    assert len(after.times) == 10
    assert after.times[0] == pytest.approx(0, abs=0.001)
    assert difference(before.pixels[5], after.pixels[0]) < 3
    assert 0 < len(after.packets) < len(before.packets)


def test_a_reader_gives_exact_times() -> None:
    clip = make("in.mkv", rate="24000/1001", frames=7)
    found = probe(Source(clip))
    frames = list(Reader(found))
    assert [frame.number for frame in frames] == list(range(7))
    assert [frame.time for frame in frames] == pytest.approx(Probed(clip).times, abs=1e-6)


def test_a_reader_reduces_frames() -> None:
    found = probe(Source(make("in.mkv", frames=3)))
    large, small = list(Reader(found))[2], list(Reader(found, 64))[2]
    assert small.pixels.shape == (36, 64, 3)
    expected = Image.fromarray(large.pixels).resize((64, 36), Image.Resampling.BOX)
    assert difference(np.asarray(expected), small.pixels) < 4


@pytest.mark.parametrize("name", ["-y.mp4", "a:b.mp4", "100%d.mp4", "it's é.mp4"])
def test_names_that_ffmpeg_could_take_for_something_else(name: str) -> None:
    shutil.copy(make("in.mp4", frames=2), name)
    copy(Path(name), f"out {name}")
    assert len(Probed(f"./out {name}").times) == 2


def test_a_clip_that_is_turned_by_no_right_angle_is_read(folder: Path) -> None:
    """ffmpeg then prints a sentence without an end of line."""
    data = bytearray(make("plain.mp4").read_bytes())
    data[data.index(b"tkhd") + 48] = 12  # in the matrix, which begins at 44
    (folder / "odd.mp4").write_bytes(data)
    clip = probe(Source(folder / "odd.mp4"))
    assert clip.time_base == probe(Source(folder / "plain.mp4")).time_base
    assert len(list(Reader(clip))) == 12


def test_a_damaged_clip_is_not_called_too_large(folder: Path) -> None:
    data = bytearray(make("plain.mp4").read_bytes())
    at = data.index(b"stts") + 4
    second = data[at - 8 : at + 16]
    data[at - 8 : at - 8] = second
    (folder / "twice.mp4").write_bytes(data)
    with pytest.raises(PhotostyleError, match="cannot be read as a video") as caught:
        probe(Source(folder / "twice.mp4"))
    assert "memory" not in str(caught.value)


TAGS = {
    "colorspace": ("ycgco", "bt2020c", "chroma-derived-nc", "ictcp", "ipt-c2", "smpte2085"),
    "color_trc": ("log100", "log316", "smpte428", "bt1361e"),
    "color_primaries": ("film", "smpte428"),
}


@pytest.mark.parametrize("depth", [8, 10])
@pytest.mark.parametrize(("name", "tag"), [(n, tag) for n, tags in TAGS.items() for tag in tags])
def test_rare_color_tags(name: str, tag: str, depth: int) -> None:
    """The planes come back as they were."""
    format = "yuv444p" if depth == 8 else "yuv420p10le"
    tags = ["-vf", f"format={format},setparams={name}={tag}", "-qp", "0"]
    clip = probe(Source(make("in.mp4", *tags, frames=2, size="64x48")))
    with open_writer(Path("out.mp4"), clip, Encoding("h264", 1, "ultrafast", depth)) as writer:
        for frame in Reader(clip, depth=16 if depth > 8 else 8):
            writer.add(frame)
    assert writer.count == 2
    planes = []
    for path in ("in.mp4", "out.mp4"):
        with av.open(path) as container:
            first = next(container.decode(video=0))
            values = np.frombuffer(memoryview(first.planes[0]), f"u{(depth + 7) // 8}")
            planes.append(values.reshape(48, -1)[:, :64])
    assert difference(*planes) < (2 if depth == 8 else 6)


def test_the_colors_of_ycgco() -> None:
    """ITU-T H.273, equations 53 to 55."""
    tags = "format=yuv444p,setparams=colorspace=ycgco:range=tv"
    ffmpeg(
        *("-f", "lavfi", "-i", "color=gray:s=32x32,format=yuv444p,lutyuv=y=120:u=150:v=110"),
        *("-vf", tags, "-qp", "0", "-frames:v", "2", "in.mp4"),
    )
    frame = next(iter(Reader(probe(Source(Path("in.mp4"))))))
    y, cg, co = (120 - 16) / 219, (150 - 128) / 224, (110 - 128) / 224
    expected = 255 * np.array([y - cg + co, y + cg, y - cg - co])
    assert np.abs(frame.pixels[8, 8] - expected).max() < 1.5

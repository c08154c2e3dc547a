"""Interlaced clips come out progressive."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import ffmpeg

from photostyle.jobs.clip import stylize_clip
from photostyle.video import Reader, Source, probe

FIELDS = ["-flags", "+ilme+ildct"]
SOURCES = {
    "in.mp4": ["-c:v", "libx264", "-x264opts", "tff=1"],
    "in.mpg": ["-c:v", "mpeg2video", "-q:v", "2"],
    "in.mov": ["-c:v", "prores_ks"],
    "in.mkv": ["-c:v", "ffv1"],
}


def make(name: str, order: str = "tff") -> Path:
    """A white box that moves by 4 pixels from field to field; 12 frames of two fields."""
    box = "color=black:s=160x96:r=50,drawbox=w=40:h=60:y=16:c=white:t=fill,scroll=h=-0.025"
    weave = f"tinterlace=interleave_{'top' if order == 'tff' else 'bottom'},setfield={order}"
    filters = ["-vf", f"{weave},format=yuv422p", "-frames:v", "12"]
    ffmpeg("-f", "lavfi", "-i", box, *filters, *FIELDS, *SOURCES[name], name)
    return Path(name)


def combs(rows: np.ndarray) -> float:
    """How much each row differs from both rows beside it, mean over (H, W) of 0..255."""
    rows = rows.astype(float)
    odd = np.abs(2 * rows[1:-1] - rows[:-2] - rows[2:]) - np.abs(rows[2:] - rows[:-2])
    return float(odd.clip(0).mean())


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", SOURCES)
@pytest.mark.parametrize("order", ["tff", "bff"])
def test_an_interlaced_clip_becomes_progressive(name: str, order: str) -> None:
    clip = make(name, order)
    with av.open(str(clip)) as container:
        frames = list(container.decode(video=0))
        assert all(frame.interlaced_frame for frame in frames)
        before = [frame.to_ndarray(format="gray") for frame in frames]
    Image.new("RGB", (32, 32), "teal").save("style.png")
    report = stylize_clip(clip, "style.png", "out.mp4", strength=0, model="none")
    assert any("interlaced" in note for note in report.notes)
    with av.open("out.mp4") as container:
        frames = list(container.decode(video=0))
        assert len(frames) == 12
        assert not any(frame.interlaced_frame for frame in frames)
        after = [frame.to_ndarray(format="gray") for frame in frames]
    assert min(map(combs, before[1:])) > 10 * max(map(combs, after))


def test_progressive_frames_stay() -> None:
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x48",
        "-frames:v",
        "3",
        "-pix_fmt",
        "yuv444p",
        "-qp",
        "0",
        "in.mp4",
    )
    reader = Reader(probe(Source(Path("in.mp4"))))
    pixels = [frame.pixels for frame in reader]
    assert not reader.notes
    with av.open("in.mp4") as container:
        for frame, ours in zip(container.decode(video=0), pixels, strict=True):
            assert np.abs(frame.to_ndarray(format="rgb24").astype(int) - ours).mean() < 2

"""Times of frames in GIF, and the aspect of clips of one pixel."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import make

from photostyle.video import Encoding, Reader, Source, VideoFrame, open_writer, probe


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def delays(path: str) -> list[int]:
    """Milliseconds that each frame of a GIF is shown, as Pillow sees them."""
    found = []
    with Image.open(path) as image:
        for number in range(getattr(image, "n_frames", 1)):
            image.seek(number)
            found.append(image.info["duration"])
    return found


def write_gif(ticks: list[int], last: int, time_base: Fraction) -> list[str]:
    """Write frames at times to out.gif; return the notes."""
    clip = probe(Source(make("in.mkv", size="32x16", frames=1)))
    ends = [*ticks[1:], ticks[-1] + last]
    with open_writer(Path("out.gif"), clip, Encoding(), overwrite=True) as writer:
        for number, (tick, end) in enumerate(zip(ticks, ends, strict=True)):
            pixels = np.full((16, 32, 3), number * 200 // len(ticks), np.uint8)
            writer.add(VideoFrame(number, pixels, tick, end - tick, time_base))
    return writer.notes


@pytest.mark.parametrize("rate", [240, 120, 60, 50])
def test_a_gif_drops_frames_and_keeps_time(rate: int) -> None:
    notes = write_gif(list(range(rate)), 1, Fraction(1, rate))
    shown = delays("out.gif")
    assert min(shown) >= 20
    assert sum(shown) == pytest.approx(1000, abs=10)
    assert len(shown) == {240: 50, 120: 50, 60: 40, 50: 50}[rate]
    left_out = f"GIF shows at most 50 frames per second; {rate - len(shown)} frames were left out."
    assert notes == ([left_out] if rate > 50 else [])


def test_a_gif_has_variable_times() -> None:
    assert write_gif([0, 70, 100, 550, 600, 1900], 250, Fraction(1, 1000)) == []
    assert delays("out.gif") == [70, 30, 450, 50, 1300, 250]


@pytest.mark.parametrize(
    ("size", "aspect"),
    [
        ((64, 1), Fraction(1)),
        ((1, 64), Fraction(1)),
        ((1, 64), Fraction(4, 3)),
        ((1, 1), Fraction(1)),
        ((63, 35), Fraction(4, 3)),
    ],
)
def test_padding_keeps_the_shape_of_a_line(size: tuple[int, int], aspect: Fraction) -> None:
    width, height = size
    options = ["-vf", f"scale={width}:{height},setsar={aspect}", "-c:v", "png"]
    clip = probe(Source(make("in.mov", *options, frames=2)))
    assert clip.size == size
    with open_writer(Path("out.mp4"), clip) as writer:
        for frame in Reader(clip):
            writer.add(frame)
    with av.open("out.mp4") as container:
        stream = container.streams.video[0]
        found, pixel = (stream.width, stream.height), stream.sample_aspect_ratio or Fraction(1)
    assert found == (width + width % 2, height + height % 2)
    if min(size) == 1:
        assert pixel * found[0] / found[1] == aspect * width / height
    else:
        assert pixel == aspect

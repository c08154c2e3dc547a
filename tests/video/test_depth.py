"""Clips of more than 8 bits per channel, made from raw planes and read back with PyAV."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.clips import Probed

from photostyle import PhotostyleError
from photostyle.jobs.clip import stylize_clip
from photostyle.video import Encoding, Reader, Source, choose_codec, open_writer, probe

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


RAMP = np.broadcast_to(np.linspace(64, 940, 640).round().astype("<u2"), (32, 640))
"""The luma of all greys of 10 bits in the limited range, nearly."""

BLUE, RED = np.full((16, 320), 500, "<u2"), np.full((16, 320), 524, "<u2")
"""Chroma of 4:2:0 near grey."""


def lossless(name: str, *options: str, planes: tuple[Array, ...] = (RAMP, BLUE, RED)) -> Path:
    """A clip of three equal frames of 10 bits, 4:2:0."""
    raw = b"".join(plane.tobytes() for plane in planes) * 3
    height, width = planes[0].shape
    read = f"-f rawvideo -pix_fmt yuv420p10le -s {width}x{height} -r 25 -i -".split()
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *read]
    subprocess.run([*command, "-c:v", "ffv1", *options, name], input=raw, check=True)
    return Path(name)


def luma(path: str) -> tuple[Array, str]:
    """The first plane of the first frame, and the pixel format, as PyAV sees them."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        plane = frame.planes[0]
        rows = np.frombuffer(memoryview(plane), "<u2" if "10" in frame.format.name else "u1")
        values = rows.reshape(frame.height, -1)[:, : frame.width].astype(int)
        return values, frame.format.name


def test_a_reader_gives_16_bits() -> None:
    clip = probe(Source(lossless("in.mkv", "-vf", "setparams=colorspace=bt709")))
    assert clip.depth == 10
    frame = next(iter(Reader(clip, depth=16)))
    assert (frame.pixels.dtype, frame.pixels.shape) == (np.dtype(np.uint16), (32, 640, 3))
    y, u, v = (RAMP - 64.0) / 876, (500 - 512) / 896, (524 - 512) / 896
    # ITU-R BT.709-6, 3.2 to 3.4, solved for R, G and B
    r, b = y + 1.5748 * v, y + 1.8556 * u
    g = (y - 0.2126 * r - 0.0722 * b) / 0.7152
    expected = np.stack([r, g, b], -1).clip(0, 1) * 65535
    assert np.abs(frame.pixels - expected).max() < 2


@pytest.mark.parametrize("format", ["gbrp10le", "gbrp12le", "rgb48le", "gbrp"])
def test_a_reader_gives_rgb_as_it_is(format: str) -> None:
    values = np.linspace(0, 255 if format == "gbrp" else 65535, 64).round().astype("<u2")
    picture = np.stack([values, values[::-1], values], -1)[None].repeat(8, 0)
    read = ["-f", "rawvideo", "-pix_fmt", "rgb48le", "-s", "64x8", "-i", "-"]
    if format == "gbrp":
        picture, read[3] = picture.astype("u1"), "rgb24"
    else:
        top = {"gbrp10le": 1023, "gbrp12le": 4095, "rgb48le": 65535}[format]
        if format != "rgb48le":  # planes of G, B and R
            picture = (picture / 65535 * top).round().astype("<u2").transpose(2, 0, 1)[[1, 2, 0]]
            read[3] = format
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", *read]
    codec = "ffv1" if format != "rgb48le" else "png"
    subprocess.run([*command, "-c:v", codec, "in.mkv"], input=picture.tobytes(), check=True)
    frame = next(iter(Reader(probe(Source(Path("in.mkv"))), depth=16)))
    expected = np.linspace(0, 65535, 64)
    assert np.abs(frame.pixels[4, :, 0] - expected).max() < (130 if format == "gbrp" else 33)
    assert frame.pixels[4, 0].tolist() == [0, 65535, 0]


def test_odd_sizes_of_10_bits() -> None:
    clip = lossless("in.mkv", "-vf", "scale=161:31")
    report = stylize_clip(clip, noisy(), "out.mp4", strength=0, model="none", preset="fast")
    assert "padded" in "".join(report.notes)
    assert Probed("out.mp4").format == "yuv420p10le"


@pytest.mark.parametrize(
    ("target", "codec", "format"),
    [
        ("out.mp4", None, "yuv420p10le"),
        ("out.mkv", "av1", "yuv420p10le"),
        ("out.webm", None, "yuv420p10le"),
        ("out.mov", "prores", "yuv422p10le"),
        ("out.mp4", "h264", "yuv420p10le"),
    ],
)
def test_codecs_keep_10_bits(target: str, codec: str | None, format: str) -> None:
    clip = probe(Source(lossless("in.mkv")))
    name, bits, _ = choose_codec(Path(target), codec, clip.depth)
    assert (name, bits) == (codec or {".mp4": "h265", ".webm": "vp9"}[target[3:]], 10)
    encoding = Encoding(name, 4, "ultrafast", bits)
    with open_writer(Path(target), clip, encoding) as writer:
        for frame in Reader(clip, depth=16):
            writer.add(frame)
    values, found = luma(target)
    assert found == format
    assert len(np.unique(values)) > 500
    assert np.abs(values - RAMP).mean() < 1


def test_an_encoded_ramp_is_exact() -> None:
    options = ["-vf", "setparams=range=pc", "-c:v", "libx264", "-qp", "0"]
    clip = probe(Source(lossless("in.mkv", *options)))
    with open_writer(Path("out.mp4"), clip, Encoding("h264", 0, "ultrafast", 10)) as writer:
        for frame in Reader(clip, depth=16):
            writer.add(frame)
    assert Probed("out.mp4").tags[0] == 2  # full
    values, _ = luma("out.mp4")
    assert np.abs(values - RAMP).max() <= 1


def test_the_depth_of_a_result() -> None:
    clip = lossless("in.mkv")
    Image.new("RGB", (32, 32), "teal").save("style.png")
    report = stylize_clip(clip, "style.png", "auto.mp4", strength=0, model="none", preset="fast")
    assert Probed("auto.mp4").codec == "hevc"
    assert Probed("auto.mp4").format == "yuv420p10le"
    assert not report.notes
    report = stylize_clip(clip, "style.png", "8.mp4", strength=0, model="none", depth="8")
    assert Probed("8.mp4").format == "yuv420p"
    assert "10 bits" in report.notes[0]
    report = stylize_clip(clip, "style.png", "10.mp4", strength=0, model="none", codec="h264")
    assert "h265" in report.notes[0]
    with pytest.raises(PhotostyleError, match="gif cannot hold 10"):
        stylize_clip(clip, "style.png", "10.gif", model="none", depth="10")
    report = stylize_clip(clip, "style.png", frames_dir="out", strength=0, model="none")
    assert not report.notes
    with av.open("out/000001.png") as png:
        assert len(np.unique(next(png.decode(video=0)).to_ndarray(format="rgb48le"))) > 256


def noisy() -> str:
    """A style photo."""
    noise = np.random.default_rng(0).integers(40, 220, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save("style.png")
    return "style.png"


def test_a_look_keeps_10_bits() -> None:
    clip = lossless("in.mkv")
    stylize_clip(clip, noisy(), "out.mp4", model="none", codec="h264", crf=1)
    values, _ = luma("out.mp4")
    assert len(np.unique(values)) > 256
    assert np.abs(values - RAMP).mean() > 20

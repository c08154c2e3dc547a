"""Log footage in clips, made by colour-science and ffmpeg."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import av
import imageio_ffmpeg
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.clips import Probed, ffmpeg
from support.log_footage import Array, footage, patches, shown
from support.photos import scene

from photostyle.cli import cli
from photostyle.input_space import INPUT_SPACES
from photostyle.video import Reader, Source, probe


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(40, 30, evening=True)).save("style.png")
    return tmp_path


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["video", *words])
    return result.exit_code, result.stdout.strip(), result.stderr.strip()


def make(name: str, rgb: Array, *options: str, full: bool = False) -> Path:
    """Three frames of R, G and B (H, W, 3) in 0..1, each of 4 x 4 pixels, as BT.709 of 10 bits.

    full: whether values have the full range, not the legal range.
    """
    rgb = rgb.repeat(4, 0).repeat(4, 1)
    y = rgb @ np.array([0.2126, 0.7152, 0.0722])
    u, v = (rgb[..., 2] - y) / 1.8556, (rgb[..., 0] - y) / 1.5748
    planes = [64 + 876 * y, 512 + 896 * u, 512 + 896 * v]
    if full:
        planes = [1023 * y, 512 + 1023 * u, 512 + 1023 * v]
    raw = b"".join(plane.round().astype("<u2").tobytes() for plane in planes) * 3
    read = f"-f rawvideo -pix_fmt yuv444p10le -s {y.shape[1]}x{y.shape[0]} -r 25 -i -".split()
    tags = f"setparams=colorspace=bt709:range={'pc' if full else 'tv'}"
    codec = [*("-vf", tags, "-c:v", "libx265"), *("-x265-params", "log-level=error:lossless=1")]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *read]
    subprocess.run([*command, *codec, *options, name], input=raw, check=True)
    return Path(name)


def pale(light: Array) -> Array:
    """Colours whose darkest channel 10 bits of log resolve well."""
    return light.mean(-1, keepdims=True) + 0.3 * (light - light.mean(-1, keepdims=True))


def luma(name: str) -> Array:
    """The luma of each patch in the first frame of 10 bits, legal range."""
    with av.open(name) as container:
        plane = next(container.decode(video=0)).planes[0]
        rows = np.frombuffer(memoryview(plane), "<u2").reshape(plane.height, -1)
        return (rows[1::4, 1 : plane.width : 4].astype(float) - 64) / 876


def check_luma(name: str, expected: Array, tolerance: float = 2) -> None:
    """Compare the luma of a clip with that of R, G and B."""
    weights = np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(luma(name), expected @ weights, atol=tolerance / 255)


def display(source: Source) -> Array:
    """The first frame as the network sees it, one pixel of each patch."""
    frame = next(iter(Reader(probe(source), depth=16)))
    return frame.pixels[1::4, 1::4] / 65535


@pytest.mark.parametrize("name", ["slog3", "logc4", "clog3", "acescct"])
def test_ffmpeg_shows_what_the_formulas_say(name: str) -> None:
    light = patches()
    pixels = (footage(light, name) * 65535).round().astype(">u2").repeat(4, 0).repeat(4, 1)
    Path("in.ppm").write_bytes(b"P6 96 64 65535\n" + pixels.tobytes())
    ffmpeg("-i", "in.ppm", "-c:v", "ffv1", "-pix_fmt", "gbrp16le", "in.mkv")
    values = pixels[1::4, 1::4] / 65535
    result = display(Source(Path("in.mkv"), input_space=INPUT_SPACES[name]))
    np.testing.assert_allclose(result, INPUT_SPACES[name].display(values), atol=0.05 / 255)
    np.testing.assert_allclose(result, shown(light, name), atol=0.4 / 255)


@pytest.mark.parametrize("full", [False, True])
def test_legal_and_full_range_are_the_same(full: bool) -> None:
    light = pale(patches())
    clip = make("in.mp4", footage(light, "vlog"), full=full)
    result = display(Source(clip, input_space=INPUT_SPACES["vlog"]))
    np.testing.assert_allclose(result, shown(light, "vlog"), atol=3 / 255)
    assert result[0, 0].max() < 1 / 255  # black stays black
    # Read in the other range, black and white are elsewhere.
    other = display(Source(clip, input_space=INPUT_SPACES["vlog"], range="tv" if full else "pc"))
    assert np.abs(other - result).max() > 20 / 255


def test_the_command() -> None:
    """The result is that of the display, in 10 bits, and is tagged so."""
    light = pale(patches())
    make("in.mov", footage(light, "logc3"), full=True)
    words = ("in.mov", "style.png", "--model", "none", "--preset", "ultrafast", "--crf", "4")
    code, out, error = run(*words, "--input-space", "logc3", "--strength", "0", "-o", "out.mp4")
    assert (code, out) == (0, "out.mp4")
    assert "read as ARRI LogC3 (EI 800), Wide Gamut 3, and mapped to SDR in BT.709." in error
    after = Probed("out.mp4")
    assert after.tags == (1, 1, 1, 1)
    assert after.format == "yuv420p10le"
    assert len(after.times) == 3
    check_luma("out.mp4", shown(light, "logc3"))
    code, out, _ = run(*words, "--input-space", "logc3", "-o", "look.mp4")
    assert code == 0
    assert np.abs(luma("look.mp4") - luma("out.mp4")).mean() > 0.03
    code, out, _ = run(*words[:4], "--input-space", "logc3", "--preview", "2", "-o", "sheet.png")
    assert (code, out) == (0, "sheet.png")


def test_a_range_by_hand() -> None:
    """Values of full range in a clip that is tagged as legal."""
    light = pale(patches())
    light[8] = 0
    make("full.mkv", footage(light, "slog3"), full=True)
    relabel = [
        "-c",
        "copy",
        "-bsf:v",
        "hevc_metadata=video_full_range_flag=0",
        "-color_range",
        "tv",
    ]
    ffmpeg("-i", "full.mkv", *relabel, "in.mkv")
    words = ["in.mkv", "style.png", "--model", "none", "--input-space", "slog3", "--strength", "0"]
    words += ["--preset", "ultrafast", "--crf", "4"]
    code, _, error = run(*words, "-o", "auto.mp4")
    assert code == 0
    assert (
        "of the first frame is darker than black of Sony S-Log3, S-Gamut3.Cine; if blacks" in error
    )
    code, _, error = run(*words, "--input-range", "full", "-o", "full.mp4")
    assert code == 0
    assert "darker than black" not in error
    check_luma("full.mp4", shown(light, "slog3"))
    assert np.abs(luma("auto.mp4") - luma("full.mp4")).max() > 10 / 255
    make("legal.mkv", footage(light, "slog3"))
    code, _, error = run("legal.mkv", *words[1:], "-o", "legal.mp4")
    assert code == 0
    assert "darker than black" not in error
    check_luma("legal.mp4", shown(light, "slog3"))
    code, _, error = run("in.mkv", "style.png", "--input-range", "full", "-o", "no.mp4")
    assert code == 1
    assert "An input range is for log footage; name its --input-space as well." in error


def test_hdr_is_refused() -> None:
    tags = "setparams=color_trc=smpte2084:color_primaries=bt2020:colorspace=bt2020nc"
    codec = ["-pix_fmt", "yuv420p10le", "-c:v", "libx265", "-x265-params", "log-level=error"]
    ffmpeg("-f", "lavfi", "-i", "testsrc2=d=0.1:size=64x48", "-vf", tags, *codec, "pq.mp4")
    code, _, error = run("pq.mp4", "style.png", "--input-space", "slog3", "-o", "no.mp4")
    assert (code, error) == (
        1,
        "Error: 'pq.mp4' is HDR, not log footage; leave out --input-space.",
    )
    assert not Path("no.mp4").exists()


def test_frames_of_an_image_sequence() -> None:
    light = pale(patches())
    Path("frames").mkdir()
    values = (footage(light, "flog2").repeat(4, 0).repeat(4, 1) * 255).round().astype(np.uint8)
    for number in range(2):
        Image.fromarray(values).save(f"frames/{number}.png")
    words = ("frames", "style.png", "--model", "none", "--input-space", "flog2", "--strength", "0")
    code, _, error = run(*words, "--preset", "ultrafast", "--crf", "4", "--depth", "10")
    assert code == 0
    assert error.count("read as Fujifilm F-Log2") == 1
    check_luma("frames-style.mp4", shown(light, "flog2"), 6)  # of 8 bits


def test_temporary_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their folder may have any name, and is empty afterwards."""
    odd = folder / "it's, [odd]; a:b\\c"
    odd.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(odd))
    light = pale(patches())
    clip = make("in.mp4", footage(light, "nlog"))
    result = display(Source(clip, input_space=INPUT_SPACES["nlog"]))
    np.testing.assert_allclose(result, shown(light, "nlog"), atol=3 / 255)
    assert not list(odd.iterdir())

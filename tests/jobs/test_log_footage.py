"""Log footage through the commands: photos and LUTs."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.clips import Probed, ffmpeg
from support.log_footage import Array, footage, patches, shown
from support.photos import encoded, profile, scene, to_linear

from photostyle import lut, photo
from photostyle.cli import cli
from photostyle.input_space import INPUT_SPACES
from photostyle.lut.lut import grid
from photostyle.photo import Photo


@pytest.fixture(autouse=True)
def style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(40, 30, evening=True)).save("style.png")


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, words)
    return result.exit_code, result.stdout.strip(), result.stderr.strip()


def write(name: str, values: Array, icc: bytes | None = None) -> None:
    """A photo of 16 bits with values in 0..1."""
    pixels = (values * 65535).round().astype(np.uint16)
    kind = "TIFF" if name.endswith(".tif") else "PNG"
    Path(name).write_bytes(encoded(Photo(pixels, None, icc, icc), kind))


@pytest.mark.parametrize("name", ["slog3", "logc4", "clog2"])
def test_strength_0_is_what_a_display_shows(name: str) -> None:
    """Whatever the profile of the file says."""
    light = patches()
    write("in.tif", footage(light, name), profile("Adobe RGB"))
    words = ("image", "in.tif", "style.png", "--model", "none", "--input-space", name)
    code, out, error = run(*words, "--strength", "0", "-o", "out.tif")
    assert (code, out) == (0, "out.tif")
    assert "in.tif': Its values were read as" in error
    assert "and mapped to sRGB." in error
    result = photo.read("out.tif")
    assert photo.color.are_equivalent(result.profile, None)
    assert result.original is not None  # the profile is in the file
    assert result.depth == 16
    np.testing.assert_allclose(result.pixels / 65535, shown(light, name), atol=0.3 / 255)


def test_a_look_on_log_is_that_on_the_display() -> None:
    light = patches()
    write("log.png", footage(light, "vlog"))
    write("display.png", shown(light, "vlog"))
    words = ("style.png", "--model", "none", "--match", "global")
    assert run("image", "log.png", *words, "--input-space", "vlog", "-o", "a.png")[0] == 0
    assert run("image", "display.png", *words, "-o", "b.png")[0] == 0
    difference = photo.read("a.png").pixels - photo.read("b.png").pixels.astype(float)
    assert np.abs(difference).max() < 40  # of 65535
    assert (
        np.abs(photo.read("b.png").pixels - photo.read("display.png").pixels.astype(float)).mean()
        > 2000
    )


def test_rec709_only_drops_the_profile() -> None:
    write("in.png", patches().clip(0, 1), profile("Display P3"))
    words = ("image", "in.png", "style.png", "--model", "none", "--input-space", "rec709")
    assert run(*words, "--strength", "0", "-o", "out.png")[0] == 0
    result = photo.read("out.png")
    np.testing.assert_array_equal(result.pixels, photo.read("in.png").pixels)
    assert photo.color.are_equivalent(result.profile, None)


def test_what_is_no_log_footage_is_refused() -> None:
    data = encoded(Photo(scene()), "PNG")
    chunk = b"cICP" + bytes((9, 16, 0, 1))
    at = data.index(b"IDAT") - 4
    Path("pq.png").write_bytes(
        data[:at] + struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) + data[at:]
    )
    Path("light.pfm").write_bytes(b"PF\n8 8\n-1.0\n" + np.ones(192, "<f4").tobytes())
    for name, kind in (("pq.png", "HDR"), ("light.pfm", "linear light")):
        code, out, error = run("image", name, "style.png", "--input-space", "logc3", "-o", "a.png")
        assert (code, out) == (1, "")
        assert error == f"Error: '{name}' is {kind}, not log footage; leave out --input-space."
    assert not Path("a.png").exists()
    assert run("image", "pq.png", "style.png", "--input-space", "log", "-o", "a.png")[0] == 2


def test_a_lut_from_log_to_the_look() -> None:
    light = patches()
    write("in.png", footage(light, "logc3"))
    words = ("in.png", "style.png", "--model", "none", "--input-space", "logc3")
    code, out, error = run("lut", "make", *words, "--size", "17", "-o", "look.cube")
    assert (code, out) == (0, "look.cube")
    text = Path("look.cube").read_text()
    assert "# Input colour space: ARRI LogC3 (EI 800), Wide Gamut 3\n" in text
    assert "# Output colour space: sRGB\n" in text
    # The engine's result, of which the command says how close the LUT comes to it.
    assert run("image", *words, "-o", "full.png")[0] == 0
    said = float(error.split(": ")[1].split(" dB")[0])
    values, full = photo.read("in.png").pixels / 65535, photo.read("full.png").pixels / 65535
    psnr = -10 * np.log10(((lut.read(Path("look.cube"))(values) - full) ** 2).mean())
    assert said == pytest.approx(psnr, abs=1)
    # It is applied to the values of the file.
    assert run("lut", "apply", "look.cube", "in.png", "-o", "b.png") == (0, "b.png", "")
    np.testing.assert_allclose(
        photo.read("b.png").pixels / 65535, lut.read(Path("look.cube"))(values), atol=2 / 65535
    )
    code, _, error = run("lut", "apply", "look.cube", "in.png", "--input-space", "logc3")
    assert code == 1
    assert "takes ARRI LogC3 (EI 800), Wide Gamut 3 itself; leave out --input-space" in error


def test_a_lut_of_strength_0_is_the_way_to_the_display() -> None:
    write("in.png", footage(patches(), "flog2"))
    words = ("in.png", "style.png", "--model", "none", "--input-space", "flog2")
    assert run("lut", "make", *words, "--strength", "0", "-o", "a.cube")[0] == 0
    expected = INPUT_SPACES["flog2"].display(grid(65))
    np.testing.assert_allclose(lut.read(Path("a.cube")).table, expected, atol=2e-3)
    assert run("lut", "make", *words, "--size", "17", "-o", "b.cube")[0] == 0
    assert len(lut.read(Path("b.cube")).table) == 17


@pytest.mark.parametrize(
    ("name", "mean", "rare", "worst", "grey"),
    [("slog3", 0.6, 14, 25, 0.5), ("logc4", 0.9, 19, 35, 1), ("log3g10", 1.2, 23, 36, 1.1)],
)
def test_how_far_a_lut_of_65_points_is_from_the_formulas(
    name: str, mean: float, rare: float, worst: float, grey: float
) -> None:
    """Of 255, for random colours of a display and for greys; docs/luts.md quotes these."""
    space = INPUT_SPACES[name]
    table = lut.Lut.of(space.display, 65)
    colors = np.random.default_rng(0).random((20_000, 3))
    greys = np.linspace(0, 1, 1000)[:, None].repeat(3, 1)
    off, off_grey = (
        255 * np.abs(table.map(values) - space.display(values))
        for values in (footage(to_linear(one), name) for one in (colors, greys))
    )
    assert off.mean() < mean
    assert np.percentile(off.max(1), 99) < rare
    assert off.max() < worst
    assert off_grey.max() < grey


def test_a_lut_for_the_display_is_applied_to_log() -> None:
    light = patches()
    write("in.tif", footage(light, "nlog"))
    lut.write(lut.Lut.of(lambda colors: 1 - colors, 2), Path("negative.cube"))
    code, out, error = run("lut", "apply", "negative.cube", "in.tif", "--input-space", "nlog")
    assert (code, out) == (0, "in-negative.tif")
    assert "read as Nikon N-Log" in error
    np.testing.assert_allclose(
        photo.read(out).pixels / 65535, 1 - shown(light, "nlog"), atol=0.3 / 255
    )


def test_a_batch_of_log_footage() -> None:
    Path("in").mkdir()
    light = patches()
    write("in/a.png", footage(light, "dlog"))
    ffmpeg("-i", "in/a.png", "-pix_fmt", "yuv444p10le", "-c:v", "prores_ks", "in/b.mkv")
    words = ("batch", "in", "style.png", "--model", "none", "--input-space", "dlog")
    assert run(*words, "--strength", "0", "-o", "out", "--jobs", "1")[0] == 0
    assert Probed("out/b.mkv").tags[1:] == (1, 1, 1)
    np.testing.assert_allclose(
        photo.read("out/a.png").pixels / 65535, shown(light, "dlog"), atol=0.3 / 255
    )

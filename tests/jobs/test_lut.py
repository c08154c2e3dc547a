"""`photostyle lut` from Python and through the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image
from support.photos import camera_exif, clouds, deep_scene, encoded, profile, scene

from photostyle import PhotostyleError, lut, photo
from photostyle.cli import cli
from photostyle.jobs.lut import apply_lut, fit_lut, make_lut
from photostyle.jobs.photo import stylize_photo
from photostyle.lut import Lut
from photostyle.lut.fit import closeness
from photostyle.lut.lut import grid
from photostyle.photo import Photo

Array = npt.NDArray[np.float64]


def film(colors: Array) -> Array:
    """A look like that of film: lifted blacks, a shoulder, crosstalk between channels."""
    mixed = colors @ np.array([[0.8, 0.1, 0.1], [0.15, 0.8, 0.05], [0.05, 0.2, 0.75]]).T
    curve = mixed**1.4 / (mixed**1.4 + (0.45 * (1 - mixed)) ** 1.2)
    return np.asarray(0.04 + 0.92 * curve * np.array([1.0, 0.97, 0.9]))


@pytest.fixture
def look(folder: Path) -> Path:
    lut.write(Lut.of(film, 17), folder / "film.cube")
    return Path("film.cube")


def test_a_lut_is_applied_to_a_photo(look: Path) -> None:
    report = apply_lut(look, "dusk.png")
    assert report.output == Path("dusk-film.png")
    assert report.notes == ()
    pixels, result = photo.read("dusk.png").pixels, photo.read("dusk-film.png").pixels
    exact = lut.read(look)(pixels / 255) * 255
    assert np.abs(result - exact).max() < 1.01


def test_16_bits_are_kept(look: Path) -> None:
    deep = Photo(deep_scene(), deep_scene()[..., 0])
    Path("deep.png").write_bytes(encoded(deep, "PNG"))
    apply_lut(look, "deep.png", "result.tif")
    result = photo.read("result.tif")
    assert result.depth == 16
    seen = deep_scene()[..., 0] > 0
    exact = lut.read(look)(deep.pixels / 65535) * 65535
    assert np.abs(result.pixels - exact)[seen].max() <= 1
    assert result.alpha is not None
    np.testing.assert_array_equal(result.alpha, deep_scene()[..., 0])


def test_8_bits_are_dithered_where_they_would_band(folder: Path) -> None:
    flat = Lut.of(lambda colors: 0.4 + 0.02 * colors, 2)
    lut.write(flat, folder / "flat.cube")
    ramp = np.tile(np.arange(256, dtype=np.uint8)[None, :, None], (64, 1, 3))
    Image.fromarray(ramp).save("ramp.png")
    apply_lut("flat.cube", "ramp.png")
    result = photo.read("ramp-flat.png").pixels.astype(float)
    exact = 255 * (0.4 + 0.02 * ramp / 255)
    blocks = (result - exact).reshape(8, 8, 32, 8, 3).mean((1, 3))
    # Rounding is off by up to 0.5 over whole blocks.
    assert np.abs(blocks).max() < 0.15
    assert np.abs(result - exact).max() < 1.01
    assert len({tuple(column) for column in result[0]}) > 8  # the channels are dithered apart
    lut.write(Lut.of(lambda colors: colors, 17), folder / "same.cube")
    apply_lut("same.cube", "ramp.png")
    np.testing.assert_array_equal(photo.read("ramp-same.png").pixels, ramp)


def test_a_lut_works_in_srgb_whatever_the_profile(look: Path) -> None:
    """Of two files that show the same, one in Display P3, the results show the same."""
    p3 = Photo(deep_scene(), None, profile("Display P3"), profile("Display P3"))
    srgb = p3.in_profile(None)
    Path("p3.png").write_bytes(encoded(p3, "PNG"))
    Path("srgb.png").write_bytes(encoded(Photo(srgb.pixels), "PNG"))
    for name in ("p3", "srgb"):
        apply_lut(look, f"{name}.png", f"{name}-result.png")
    result = photo.read("p3-result.png")
    assert result.original == profile("Display P3")
    difference = photo.read("srgb-result.png").pixels - result.in_profile(None).pixels.astype(float)
    assert np.abs(difference).max() < 40  # of 65535


def test_metadata_and_notes(look: Path) -> None:
    Image.fromarray(scene()).save("photo.jpg", quality=95, exif=camera_exif(6))
    report = apply_lut(look, "photo.jpg")
    with Image.open(report.output) as image:
        assert image.size == (40, 60)
        assert "LUT film" in image.getexif()[305]
    assert apply_lut(look, "photo.jpg", "photo.bmp").notes == (
        "BMP stores no metadata; it was left out.",
    )
    apply_lut(look, "photo.jpg", "plain.jpg", strip_metadata=True)
    with Image.open("plain.jpg") as image:
        assert not image.getexif()


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["lut", *words])
    return result.exit_code, result.stdout.strip(), result.stderr.strip()


def test_the_command_apply(look: Path) -> None:
    assert run("apply", str(look), "day.jpg", "-o", "a.png", "--depth", "16") == (0, "a.png", "")
    assert photo.read("a.png").depth == 16
    code, _, error = run("apply", str(look), "day.jpg", "-o", "a.png")
    assert (code, error) == (1, "Error: 'a.png' already exists; use --force to overwrite it.")
    assert run("apply", str(look), "day.jpg", "-o", "a.png", "--force")[0] == 0
    code, _, error = run("apply", "day.jpg", "day.jpg")
    assert code == 1
    assert "day.jpg' is not a valid .cube file" in error
    code, _, error = run("apply", str(look), "day.jpg", "-o", "day.jpg", "--force")
    assert (code, error) == (1, "Error: 'day.jpg' is an input file; choose another output.")


def test_invalid_options_are_refused(look: Path) -> None:
    for options in ({"depth": "9"}, {"quality": 0}, {"depth": "16", "output": "a.jpg"}):
        with pytest.raises(PhotostyleError):
            apply_lut(look, "day.jpg", **options)


def test_the_command_fit_gives_an_edit_back(look: Path) -> None:
    for seed in (1, 2):
        Image.fromarray(clouds(300, 200, seed=seed)).save(f"{seed}.png")
        apply_lut(look, f"{seed}.png")
    code, out, error = run("fit", "1.png", "1-film.png", "-o", "found.cube", "--size", "17")
    assert (code, out) == (0, "found.cube")
    assert float(error.split(": ")[-1].split(" dB")[0]) > 45
    found = lut.read(Path("found.cube"))
    assert (found.title, len(found.table)) == ("1-film", 17)
    assert "Input colour space: sRGB" in found.comments
    colors = photo.read("2.png").pixels / 255
    assert closeness(found, colors, lut.read(look).map(colors)) > 40
    code, _, error = run("fit", "1.png", "day.jpg", "-o", "no.cube")
    assert code == 1
    assert "'1.png' and 'day.jpg': The pictures before and after do not show the same" in error
    assert not Path("no.cube").exists()


def test_pairs_in_folders_are_pooled(look: Path) -> None:
    for name in ("before", "after", "empty"):
        Path(name).mkdir()
    for seed in (1, 2):
        Image.fromarray(clouds(200, 150, seed=seed)).save(f"before/{seed}.png")
        apply_lut(look, f"before/{seed}.png", f"after/{seed}.tif")
    Image.fromarray(scene()).save("before/alone.png")
    report = fit_lut("before", "after", "found.png", size=17)
    assert report.psnr is not None
    assert report.psnr > 45
    colors = clouds(seed=3) / 255
    assert closeness(lut.read(report.output), colors, lut.read(look).map(colors)) > 40
    with pytest.raises(PhotostyleError, match="no file names in common"):
        fit_lut("before", "empty", "no.cube")


def test_the_command_make(folder: Path, model: str) -> None:
    words = ["make", "day.jpg", "dusk.png", "-o", "dusk.cube", "--model", model, "--size", "33"]
    code, out, error = run(*words, "--title", "Dusk")
    assert (code, out) == (0, "dusk.cube")
    made = lut.read(folder / "dusk.cube")
    assert (made.title, len(made.table)) == ("Dusk", 33)
    assert made.table.min() >= 0
    assert made.table.max() <= 1
    stylize_photo("day.jpg", "dusk.png", "full.png", model=model)
    before, full = photo.read("day.jpg").pixels / 255, photo.read("full.png").pixels / 255
    said = float(error.split(": ")[-1].split(" dB")[0])
    assert closeness(made, before, full) == pytest.approx(said, abs=1.5)
    same = Lut.of(lambda colors: colors, 2)
    assert closeness(made, before, full) > closeness(same, before, full) + 3
    run(*words[:4], "plain.cube", *words[5:], "--strength", "0")
    np.testing.assert_allclose(lut.read(folder / "plain.cube").table, grid(33), atol=1e-3)


def test_a_lut_of_a_mix(folder: Path) -> None:
    Image.fromarray(255 - scene(40, 30)).save("fog.png")
    mix = ("dusk.png:0.25", "fog.png:0.75", "--model", "none")
    assert run("make", "day.jpg", *mix, "--size", "17", "-o", "mix.cube")[0] == 0
    stylize_photo("day.jpg", [("dusk.png", 0.25), ("fog.png", 0.75)], "full.png", model="none")
    stylize_photo("day.jpg", "dusk.png", "dusk-alone.png", model="none")
    before, full, alone = (
        photo.read(name).pixels / 255 for name in ("day.jpg", "full.png", "dusk-alone.png")
    )
    made = lut.read(folder / "mix.cube")
    assert closeness(made, before, full) > 30 > closeness(made, before, alone) + 5
    assert (
        "Give all styles a weight" in run("make", "day.jpg", *mix[:1], "fog.png", "-o", "b.cube")[2]
    )


def test_luts_that_cannot_be_written_are_refused_before_the_work(look: Path) -> None:
    for output, size in (("a.3dl", 17), (look, 17), ("a.cube", 1), ("no/a.cube", 17)):
        with pytest.raises(PhotostyleError):
            make_lut("none.jpg", "none.jpg", output, size=size)


def test_a_prior_is_learned_from_looks(look: Path) -> None:
    result = CliRunner().invoke(cli, ["train-edits", str(look), "-o", "p.safetensors"])
    assert (result.exit_code, result.stdout.strip()) == (0, "p.safetensors")
    Image.fromarray(clouds(200, 150)).save("a.png")
    apply_lut(look, "a.png")
    words = ("fit", "a.png", "a-film.png", "-o", "b.cube", "--prior")
    assert run(*words, "p.safetensors")[0] == 0
    assert "is no prior" in run(*words, "a.png", "--force")[2]

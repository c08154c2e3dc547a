"""`photostyle lut` from Python and through the command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from PIL import Image
from support.photos import camera_exif, deep_scene, encoded, profile, scene

from photostyle import PhotostyleError, lut, photo
from photostyle.cli import cli
from photostyle.jobs.lut import apply_lut
from photostyle.lut import Lut
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

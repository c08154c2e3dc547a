"""A photo in a style: any strength from the maps that are kept, as close as the engine itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.photos import profile, scene

import photostyle
from photostyle import lut, photo
from photostyle.jobs.styles import StyleInputs
from photostyle.photo import Photo
from photostyle.transfer import style_file
from photostyle.transfer.options import Keep
from photostyle.ui.look import PREVIEW, STRENGTHS, Look, Settings

MakeLook = Callable[[Photo], Look]


@pytest.fixture
def look_at(photonas: photostyle.Stylizer, tmp_path: Path) -> MakeLook:
    Image.fromarray(scene(96, 64)[..., ::-1]).save(tmp_path / "dusk.png")

    def look_at(content: Photo) -> Look:
        return Look(photonas, content, StyleInputs(tmp_path / "dusk.png"))

    return look_at


def psnr(first: npt.NDArray[Any], second: npt.NDArray[Any]) -> float:
    error = np.mean((first.astype(float) - second) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def test_the_result_is_that_of_the_engine_at_any_strength(
    look_at: MakeLook, photonas: photostyle.Stylizer
) -> None:
    content = Photo(scene(160, 120))
    look = look_at(content)
    look.fit("auto")
    for strength in (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5):
        expected = photonas.apply(content.pixels, look.style, strength, mode="fast")
        result = look.result(Settings("auto", strength)).pixels
        if strength in (0, *STRENGTHS):
            assert np.array_equal(result, expected)
        else:
            assert psnr(result, expected) > 40
            assert psnr(content.pixels, expected) < 30


def test_a_change_of_the_strength_does_not_run_the_network(
    look_at: MakeLook, photonas: photostyle.Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[object] = []
    encode = photonas.network.encode

    def counted(pixels: Any) -> Any:
        runs.append(pixels)
        return encode(pixels)

    monkeypatch.setattr(photonas.network, "encode", counted)
    look = look_at(Photo(scene(160, 120)))
    learned = len(runs)
    look.fit("auto", [1.0])
    assert len(runs) == learned + 1
    look.fit("auto")
    look.fit("global")
    fitted = len(runs)
    assert fitted == learned + 2 * len(STRENGTHS)
    for strength in (0, 0.3, 0.5, 0.8, 1, 1.2, 1.5):
        look.after(Settings("auto", strength))
        look.after(Settings("global", strength))
        look.result(Settings("auto", strength))
    look.fit("auto")
    assert len(runs) == fitted


def test_the_preview_is_a_reduced_result(look_at: MakeLook) -> None:
    content = Photo(scene(2 * PREVIEW, 300))
    look = look_at(content)
    look.fit("auto")
    size = (PREVIEW, 150)
    for strength in (0, 0.6, 1, 1.4):
        shown, result = (
            look.after(Settings("auto", strength)),
            look.result(Settings("auto", strength)).pixels,
        )
        expected = np.asarray(Image.fromarray(result).resize(size, Image.Resampling.LANCZOS))
        assert shown.shape == (150, PREVIEW, 3)
        assert psnr(shown, expected) > 38
        assert psnr(look.before(), expected) < 35 or strength == 0


def test_black_bars_stay_as_they_are(look_at: MakeLook) -> None:
    pixels = scene(2 * PREVIEW, 400)
    pixels[:80] = pixels[-80:] = 0
    look = look_at(Photo(pixels))
    look.fit("auto", [1.0])
    result, shown = look.result(Settings("auto", 1)).pixels, look.after(Settings("auto", 1))
    assert not result[:80].any()
    assert np.array_equal(shown[:38], look.before()[:38])
    assert np.array_equal(shown[-38:], look.before()[-38:])
    assert (result[100:300] != pixels[100:300]).mean() > 0.5


def test_the_photo_comes_through_whole(look_at: MakeLook, tmp_path: Path) -> None:
    """16 bits, transparency and a profile; the preview shows the profile's colours in sRGB."""
    alpha = np.full((40, 60), 65535, np.uint16)
    alpha[:, :20] = 0
    pixels = scene(60, 40).astype(np.uint16) * 257
    icc = profile("Display P3")
    look = look_at(Photo(pixels, alpha, icc, icc))
    look.fit("auto")
    result = look.result(Settings("auto", 0.7))
    photo.write(result, tmp_path / "result.png")
    back = photo.read(tmp_path / "result.png")
    assert back.depth == 16
    assert back.profile == icc
    assert back.alpha is not None
    assert np.array_equal(back.alpha, alpha)
    assert np.array_equal(back.pixels[:, :20], pixels[:, :20])
    shown = look.after(Settings("auto", 0.7))
    assert (shown[:, :20] == 255).all()
    opaque = replace(result, alpha=None).in_srgb()
    assert np.abs(shown[:, 20:].astype(int) - opaque[:, 20:]).max() <= 4


def test_the_style_and_the_look_are_written(
    look_at: MakeLook, photonas: photostyle.Stylizer, tmp_path: Path
) -> None:
    content = Photo(scene(120, 90))
    look = look_at(content)
    look.fit("global")
    look.write_style(tmp_path / "look.style")
    style = style_file.read(tmp_path / "look.style")
    photonas.check_style(style)
    first, second = (photonas.apply(content.pixels, one) for one in (style, look.style))
    assert psnr(first, second) > 45
    look.write_cube(tmp_path / "look.cube", Settings("global", 0.8))
    table = lut.read(tmp_path / "look.cube")
    pixels = (table(content.pixels / np.float32(255)) * 255).round()
    assert psnr(pixels, look.result(Settings("global", 0.8)).pixels) > 30
    assert psnr(content.pixels, look.result(Settings("global", 0.8)).pixels) < 25


def test_regions_lead_from_the_whole_to_the_match(look_at: MakeLook) -> None:
    content = Photo(scene(120, 90))
    look = look_at(content)
    settings = [Settings("regions", regions=regions) for regions in (0, 0.5, 1)]
    look.fit_for(settings[0])
    none, half, all_of_them = (look.result(one).pixels.astype(int) for one in settings)
    assert np.array_equal(none, look.result(Settings("global")).pixels)
    assert np.abs(none - all_of_them).mean() > 2
    assert np.abs((none + all_of_them) / 2 - half).mean() < 1
    first, second = (
        look.result(Settings("global", regions=regions)).pixels for regions in (0.2, 1)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (Settings(), "strength 1, match auto)"),
        (Settings("regions", 0.5, 0.25), "strength 0.5, match regions, regions 0.25)"),
        (Settings(regions=0, keep="skin"), "match auto, keep skin, regions 0)"),
        (Settings("global", regions=0.5), "match global)"),  # which has no regions
    ],
)
def test_the_result_names_its_settings(
    look_at: MakeLook, tmp_path: Path, settings: Settings, named: str
) -> None:
    look = look_at(Photo(scene(48, 32)))
    look.fit_for(settings, [1.0])
    photo.write(look.result(settings), tmp_path / "result.jpg")
    with Image.open(tmp_path / "result.jpg") as image:
        assert image.getexif()[305].endswith(named)


def test_the_page_keeps_what_the_engine_keeps(
    look_at: MakeLook, photonas: photostyle.Stylizer
) -> None:
    content = Photo(scene(120, 90))
    look = look_at(content)
    look.fit("auto", [1.0])
    kept: tuple[Keep, ...] = ("luminance", "skin")
    for keep in kept:
        expected = photonas.apply(content.pixels, look.style, mode="fast", keep=keep)
        assert np.array_equal(look.result(Settings(keep=keep)).pixels, expected)

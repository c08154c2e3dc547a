"""`--keep skin`: the hue of skin on the vectorscope, and what is no skin, in a photo and a clip."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from photostyle.cli import cli
from photostyle.jobs.photo import software
from photostyle.model.skin import load_skin_head
from photostyle.transfer.canvas import Canvas
from photostyle.transfer.kept import HUE, keeping_skin, saturation_of
from photostyle.transfer.local_maps import LocalAffineMaps, apply_maps
from photostyle.transfer.stylizer import Stylizer

SKIN = [(0.95, 0.78, 0.69), (0.78, 0.57, 0.44), (0.55, 0.36, 0.26), (0.28, 0.17, 0.12)]
"""Light to dark."""


def vectorscope(rgb: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Luma and hue in degrees (BT.709, 3.2 and 3.3)."""
    luma = rgb @ [0.2126, 0.7152, 0.0722]
    blue, red = (rgb[2] - luma) / 1.8556, (rgb[0] - luma) / 1.5748
    return float(luma), math.degrees(math.atan2(red, blue))


def kept(skin: tuple[float, ...], result: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    first, second = (
        torch.tensor(np.asarray(one), dtype=torch.float64)[:, None, None] for one in (result, skin)
    )
    return keeping_skin(first, second, torch.ones(1, 1, dtype=torch.float64), 1.0)[:, 0, 0].numpy()


@pytest.mark.parametrize("skin", SKIN)
def test_hue_turns_a_few_degrees_at_most_and_luma_is_that_of_the_result(
    skin: tuple[float, ...],
) -> None:
    content = np.array(skin)
    for push in ([-0.12, 0, 0.15], [-0.2, 0.1, 0.0], [0.1, -0.1, 0.1], [-0.1, -0.08, -0.06]):
        result = (content + push).clip(0.02, 0.98)
        luma, hue = vectorscope(kept(skin, result))
        assert luma == pytest.approx(vectorscope(result)[0], abs=1e-6)
        turned = (hue - vectorscope(content)[1] + 180) % 360 - 180
        wanted = (vectorscope(result)[1] - vectorscope(content)[1] + 180) % 360 - 180
        assert abs(turned) <= math.degrees(HUE)
        assert turned * wanted >= 0


def test_a_small_turn_is_taken_whole() -> None:
    content = np.array(SKIN[1])
    result = content + np.array([0, 0.006, 0])
    wanted = vectorscope(result)[1] - vectorscope(content)[1]
    turned = vectorscope(kept(SKIN[1], result))[1] - vectorscope(content)[1]
    assert 0.5 < abs(wanted) < 3
    assert turned == pytest.approx(wanted, rel=0.1)


def test_a_look_in_black_and_white_leaves_no_colour() -> None:
    luma = torch.tensor([0.2126, 0.7152, 0.0722])
    maps = torch.zeros(12, 4, 4)
    maps[:9] = luma.repeat(3)[:, None, None]
    everywhere = torch.ones(4, 4)
    assert saturation_of(maps, everywhere) == pytest.approx(0, abs=1e-5)
    maps = torch.zeros(12, 4, 4)
    maps[[0, 4, 8]] = 0.7
    maps[9:] = torch.tensor([-0.1, 0.0, 0.3])[:, None, None]
    assert saturation_of(maps, everywhere) == pytest.approx(1, abs=1e-5)


def test_only_the_skin_of_a_photo_is_kept() -> None:
    """Maps that turn all to blue, of which the left half of the photo is skin."""
    pixels = np.full((40, 60, 3), SKIN[1], np.float32)
    maps = torch.zeros(13, 10, 15)
    maps[[0, 4, 8]] = 1
    maps[9:12] = torch.tensor([-0.3, 0, 0.3])[:, None, None]
    maps[12, :, :7] = 1
    both = []
    for keep in ("none", "skin"):
        canvas = Canvas(pixels)
        apply_maps(canvas, LocalAffineMaps(maps, 4), True, keep=keep)
        both.append(np.asarray(canvas.result()))
    plain, result = both
    np.testing.assert_allclose(result[:, 34:], plain[:, 34:], atol=1e-6)
    hues = [vectorscope(one[20, 5])[1] for one in (pixels, plain, result)]
    assert abs(hues[2] - hues[0]) < 6 < abs(hues[1] - hues[0])
    halfway = LocalAffineMaps(maps, 4).blend(0.5)
    assert torch.equal(halfway.maps[12], maps[12])


def test_a_face_is_skin_and_things_of_its_colour_are_not(photonas: Stylizer) -> None:
    data = pytest.importorskip("skimage.data", reason="install photostyle[evaluate]")

    def found(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.floating]:
        """Of a long side of 384 pixels."""
        photo = torch.from_numpy(np.array(pixels)).permute(2, 0, 1)[None] / 255
        return photonas.skin_finder.masks(photo)[0, 0].numpy()

    for exposure in (1.0, 0.45):
        mask = found((data.astronaut() * exposure).astype(np.uint8))
        assert mask[75:116, 154:184].mean() > 0.8
        assert mask[225:330, 30:110].mean() < 0.15  # the orange suit
        assert mask[:100, 200:].mean() < 0.05
    for other in (data.coffee(), data.rocket()):
        assert found(other).mean() < 0.05


def test_the_skin_of_a_clip_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A face that moves, in a blue style: its hue stays, and what is around it follows."""
    data = pytest.importorskip("skimage.data", reason="install photostyle[evaluate]")
    monkeypatch.chdir(tmp_path)
    photo = np.ascontiguousarray(data.astronaut()[:256, 60:400])
    Path("in").mkdir()
    for number in range(8):
        Image.fromarray(photo[:, 3 * number : 300 + 3 * number]).save(f"in/{number}.png")
    blue = (photo[::-1] * np.array([0.35, 0.6, 1])).astype(np.uint8)
    Image.fromarray(blue).save("blue.png")
    for keep in ("none", "skin"):
        words = ["video", "in", "blue.png", "--match", "global", "--keep", keep]
        result = CliRunner().invoke(cli, [*words, "--frames-dir", keep])
        assert result.exit_code == 0, result.output
    for number in (0, 5, 7):
        before, plain, kept = (
            np.asarray(Image.open(name), np.float64)[..., :3] / 255
            for name in (
                f"in/{number}.png",
                *(f"{k}/{number + 1:06}.png" for k in ("none", "skin")),
            )
        )
        face = np.s_[105:150, 148 - 3 * number : 182 - 3 * number]
        hues = [vectorscope(one[face].mean((0, 1)))[1] for one in (before, plain, kept)]
        wall = np.s_[10:60, 220:270]
        assert abs(hues[1] - hues[0]) > 20
        assert abs(hues[2] - hues[0]) < 10
        assert np.abs(plain - before)[wall].mean() > 0.05
        assert np.abs(plain - kept)[wall].mean() < 0.01


def test_weights_that_come_with_it_are_small() -> None:
    assert sum(weight.numel() for weight in load_skin_head().parameters()) * 2 < 12_000


def test_the_stamp_says_what_was_kept() -> None:
    assert software("photonas", "fast", 1.0, "auto", "skin").endswith("match auto, keep skin)")
    assert software(None, "fast", 1.0, "auto").endswith("(mode fast, strength 1, match auto)")

"""`photostyle image` with masks, ways to match colours, and the model without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import ExifTags, Image
from support.models import TINY_WIDTHS
from support.photos import clouds

from photostyle import photo
from photostyle.cli import cli
from photostyle.model.architecture import PHOTONAS
from photostyle.model.checkpoint import Checkpoint, save
from photostyle.model.network import PhotoNet
from photostyle.model.transfer_settings import REFERENCE

MASKS = ["--content-mask", "left-right.png", "--style-mask", "top-bottom.png"]
SIZE = 96, 72

Pixels = npt.NDArray[np.uint8]


def image(*arguments: str | Path, model: str = "none") -> Result:
    words = ["image", "--model", model, "--device", "cpu", *map(str, arguments)]
    return CliRunner().invoke(cli, words)


def stylized(*arguments: str | Path, model: str = "none", output: str = "out.png") -> Pixels:
    """The pixels that the command writes."""
    result = image(*arguments, "-o", output, "--force", model=model)
    assert result.exit_code == 0, result.output
    return photo.read(output).pixels


def refuses(result: Result, code: int = 1) -> str:
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    return result.stderr.splitlines()[-1]


def halves(first: Any, second: Any, size: tuple[int, int] = SIZE, axis: int = 1) -> Pixels:
    """Two values side by side, or with axis 0 above each other."""
    width, height = size
    position = np.mgrid[:height, :width][axis]
    is_second = position >= size[1 - axis] // 2
    return np.array([first, second], np.uint8)[is_second.astype(int)]


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A content of one kind of texture; a style that is red above and blue below; their masks.

    The left of the content belongs to the red of the style.
    """
    monkeypatch.chdir(tmp_path)
    grain = clouds(*SIZE).astype(float) - 128
    Image.fromarray((110 + grain / 4).astype(np.uint8)).save("content.png")
    colors = halves([200, 60, 50], [50, 70, 200], axis=0)
    Image.fromarray((colors + clouds(*SIZE, 1) / 6 - 20).astype(np.uint8)).save("style.png")
    Image.fromarray(halves([255, 0, 0], [0, 0, 255])).save("left-right.png")
    Image.fromarray(halves([255, 0, 0], [0, 0, 255], axis=0)).save("top-bottom.png")
    return tmp_path


def redness(pixels: Pixels) -> tuple[float, float]:
    """Red minus blue in the left and the right of a photo."""
    difference = pixels[..., 0].astype(float) - pixels[..., 2]
    return difference[:, : SIZE[0] // 3].mean(), difference[:, -SIZE[0] // 3 :].mean()


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("model_name", ["none", "tiny"])
def test_a_region_takes_the_colors_of_its_counterpart(model: str, model_name: str) -> None:
    name = model if model_name == "tiny" else "none"
    left, right = redness(stylized("content.png", "style.png", *MASKS, model=name))
    assert left > 60
    assert right < -60
    # With the regions of the style exchanged.
    Image.fromarray(halves([0, 0, 255], [255, 0, 0], axis=0)).save("top-bottom.png")
    left, right = redness(stylized("content.png", "style.png", *MASKS, model=name))
    assert left < -60
    assert right > 60
    assert image("content.png", "style.png", *MASKS, "-o", "new.png").stderr == "Mode: exact.\n"


def palette(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels).quantize(4)


def grey(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0] // 255 + 1)


def one_bit(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[..., 0]).convert("1")


def half_size(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels[::2, ::2])


def larger(pixels: Pixels) -> Image.Image:
    return Image.fromarray(pixels.repeat(3, 0).repeat(3, 1))


def blended(pixels: Pixels) -> Image.Image:
    small = Image.fromarray(pixels)
    return small.resize((2 * SIZE[0], 2 * SIZE[1]), Image.Resampling.BICUBIC)


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("store", [palette, grey, one_bit, half_size, larger, blended])
def test_kinds_of_masks(store: Callable[[Pixels], Image.Image]) -> None:
    expected = stylized("content.png", "style.png", *MASKS).astype(int)
    for name in ("left-right.png", "top-bottom.png"):
        store(photo.read(name).pixels).save(name)
    result = stylized("content.png", "style.png", *MASKS)
    assert np.abs(result - expected).mean() < 1


@pytest.mark.usefixtures("pair")
def test_masks_with_compression_noise() -> None:
    expected = stylized("content.png", "style.png", *MASKS).astype(int)
    for name in ("left-right", "top-bottom"):
        Image.open(f"{name}.png").save(f"{name}.jpg", quality=75)
    masks = [word.replace(".png", ".jpg") for word in MASKS]
    assert np.abs(stylized("content.png", "style.png", *masks) - expected).mean() < 1


@pytest.mark.usefixtures("pair")
def test_masks_belong_to_the_upright_photo() -> None:
    only = ["--only", "left-right.png"]
    expected = stylized("content.png", "style.png", *MASKS, *only)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.rot90(photo.read("content.png").pixels)).save("content.png", exif=exif)
    assert np.array_equal(stylized("content.png", "style.png", *MASKS, *only), expected)


@pytest.mark.usefixtures("pair")
def test_regions_without_a_counterpart_are_named() -> None:
    regions = halves([255, 0, 0], [0, 255, 0])
    regions[:5, :10] = [0, 0, 255]
    Image.fromarray(regions).save("left-right.png")
    regions = halves([255, 0, 0], [0, 0, 255], axis=0)
    regions[:8] = [255, 255, 0]
    regions[-8:] = [64, 64, 64]
    Image.fromarray(regions).save("top-bottom.png")
    result = image("content.png", "style.png", *MASKS, "--json")
    assert result.exit_code == 0, result.output
    notes = [
        "The region 'green' is missing from the style mask; it follows the photo as a whole.",
        "The region 'blue' is smaller than 1% of one of the photos; it follows the photo as a "
        "whole.",
        "The regions 'grey 64', 'yellow' are missing from the content mask and therefore not used.",
    ]
    assert result.stderr == "".join(["Mode: exact.\n", *(f"Note: {note}\n" for note in notes)])
    assert json.loads(result.stdout)["notes"] == notes


@pytest.mark.usefixtures("pair")
def test_without_any_counterpart_the_photo_follows_as_a_whole() -> None:
    Image.fromarray(halves([0, 255, 0], [255, 255, 0])).save("left-right.png")
    assert_nearly_whole(stylized("content.png", "style.png", *MASKS))


@pytest.mark.usefixtures("pair")
def test_one_region_is_the_whole_photo() -> None:
    for name in ("left-right.png", "top-bottom.png"):
        Image.new("L", SIZE).save(name)
    assert_nearly_whole(stylized("content.png", "style.png", *MASKS, model="photonas"), "photonas")


def assert_nearly_whole(by_region: Pixels, model: str = "none") -> None:
    """As matched to the whole palette, but for the size of the windows of the local maps."""
    before = photo.read("content.png").pixels.astype(float)
    whole = stylized("content.png", "style.png", "--match", "global", model=model).astype(float)
    assert np.abs(by_region - whole).mean() < 0.2 * np.abs(whole - before).mean()


def write_noise(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8)
    Image.fromarray(noise).save(path)


def write_stripes(path: Path) -> None:
    """300 regions of 3 x 54 pixels."""
    y, x = np.mgrid[: 3 * SIZE[1], : 3 * SIZE[0]] // 3
    number = (x + SIZE[0] * (y // 18)) % 300
    colors = np.stack([number % 20 * 12, number // 20 * 12, 0 * x], -1)
    Image.fromarray(colors.astype(np.uint8)).save(path)


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:80])


def cut_off(path: Path) -> None:
    Image.open(path).crop((0, 0, SIZE[0], SIZE[1] - 2)).save(path)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (damage, "is damaged or incomplete"),
        (Path.unlink, "No such file"),
        (write_noise, "is no label map"),
        (write_stripes, "at most 256"),
        (
            cut_off,
            "'left-right.png' is 96x70 pixels, which does not have the aspect ratio of the content "
            "photo, 96x72; scale the mask to that size.",
        ),
    ],
)
def test_unusable_masks(pair: Path, spoil: Callable[[Path], None], sentence: str) -> None:
    spoil(pair / "left-right.png")
    assert sentence in refuses(image("content.png", "style.png", *MASKS))
    if spoil in (damage, Path.unlink, cut_off):
        only = ["--only", "left-right.png"]
        assert sentence in refuses(image("content.png", "style.png", *only))
    assert not (pair / "content-style.png").exists()


def test_options_that_do_not_fit(pair: Path) -> None:
    for given in (MASKS[:2], MASKS[2:]):
        sentence = refuses(image("content.png", "style.png", *given), code=2)
        assert sentence == "Error: Give both --content-mask and --style-mask, or neither."
    for match in ("global", "none"):
        sentence = refuses(image("content.png", "style.png", *MASKS, "--match", match))
        assert "cannot be used with the match" in sentence
    refuses(image("content.png", "style.png", "--match", "some"), code=2)
    for mask in ("left-right.png", "top-bottom.png"):
        before = (pair / mask).read_bytes()
        arguments = ["content.png", "style.png", *MASKS, "-o", mask, "--force"]
        assert "is an input file" in refuses(image(*arguments))
        assert (pair / mask).read_bytes() == before
    assert not (pair / "content-style.png").exists()


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("scale", [1, 3])
def test_only_where_the_mask_is_white(model: str, scale: int) -> None:
    """Black keeps pixels exactly, white changes them as without a mask."""
    size = scale * SIZE[0], scale * SIZE[1]
    mask = np.zeros((size[1], size[0]), np.uint8)
    mask[:, size[0] // 3 : 2 * size[0] // 3] = 128
    mask[:, 2 * size[0] // 3 :] = 255
    Image.fromarray(mask).save("only.png")
    before = photo.read("content.png").pixels.astype(float)
    for mode in ("exact", "fast"):
        pair = ["content.png", "style.png", "--mode", mode, "--working-size", "48"]
        result = stylized(*pair, "--only", "only.png", model=model).astype(float)
        whole = stylized(*pair, model=model).astype(float)
        assert np.array_equal(result[:, :31], before[:, :31])
        assert np.array_equal(result[:, -31:], whole[:, -31:])
        assert np.abs(whole[:, -31:] - before[:, -31:]).mean() > 5
        middle = np.s_[:, 34:62]
        assert np.abs(result - (before + whole) / 2)[middle].max() < 2


def test_only_with_weights_of_the_reference(pair: Path) -> None:
    """These are not refined: in exact mode the result has the network's own pixels."""
    torch.manual_seed(0)
    weights = pair / "reference.safetensors"
    save(Checkpoint(PhotoNet(PHOTONAS, TINY_WIDTHS), REFERENCE), weights, torch.float16)
    Image.fromarray(halves(0, 255)).save("only.png")
    before = photo.read("content.png").pixels
    whole = stylized("content.png", "style.png", model=str(weights))
    result = stylized("content.png", "style.png", "--only", "only.png", model=str(weights))
    assert np.array_equal(result[:, :48], before[:, :48])
    assert np.array_equal(result[:, 48:], whole[:, 48:])


@pytest.mark.usefixtures("pair")
def test_only_with_16_bits_and_regions() -> None:
    deep = photo.read("content.png").with_depth(16)
    photo.write(deep, Path("deep.png"))
    result = stylized("deep.png", "style.png", *MASKS, "--only", "left-right.png", output="o.tif")
    # The luma of pure red is 0.21, that of pure blue 0.07.
    assert result.dtype == np.uint16
    change = np.abs(result.astype(float) - deep.pixels).mean((0, 2))
    assert change[: SIZE[0] // 3].mean() > change[-SIZE[0] // 3 :].mean() > 0
    Image.new("1", SIZE).save("black.png")
    result = stylized("deep.png", "style.png", *MASKS, "--only", "black.png", output="o.tif")
    assert np.array_equal(result, deep.pixels)


@pytest.mark.usefixtures("pair")
def test_masks_serve_every_frame_of_an_animation() -> None:
    frames = [Image.fromarray(photo.read("content.png").pixels // n) for n in (1, 2)]
    frames[0].save("moving.png", save_all=True, append_images=frames[1:], duration=40)
    Image.fromarray(halves(0, 255)).save("only.png")
    result = image("moving.png", "style.png", *MASKS, "--only", "only.png", "-o", "out.png")
    assert result.exit_code == 0, result.output
    animation = photo.read("out.png").animation
    assert animation is not None
    _, bright = redness(photo.read("out.png").pixels)
    left, right = redness(animation.frames[0].pixels)
    assert np.array_equal(animation.frames[0].pixels[:, :45], np.asarray(frames[1])[:, :45])
    assert abs(left) < 30
    assert bright < -60
    assert right < -20  # half of the contrast, so less of the effect


@pytest.mark.usefixtures("pair")
def test_ways_to_match(model: str) -> None:
    results = {}
    for match in ("auto", "regions", "global", "none"):
        arguments = ["content.png", "style.png", "--match", match, "-o", f"{match}.png", "--json"]
        result = image(*arguments, model=model)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["match"] == match
        with Image.open(f"{match}.png") as written:
            assert f"match {match})" in written.getexif()[ExifTags.Base.Software]
        results[match] = photo.read(f"{match}.png").pixels.astype(float)
    assert np.abs(results["global"] - results["none"]).mean() > 2
    # Without a network and without a match nothing changes.
    unchanged = stylized("content.png", "style.png", "--match", "none").astype(int)
    assert np.abs(unchanged - photo.read("content.png").pixels).max() <= 1


@pytest.mark.usefixtures("pair")
def test_the_model_without_a_network() -> None:
    result = image("content.png", "style.png", "--json", "--match", "global")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model"] == "none"
    means = {
        name: photo.read(f"{name}.png").pixels.mean((0, 1)) for name in ("style", "content-style")
    }
    assert np.abs(means["style"] - means["content-style"]).max() < 8
    tiled = ["--mode", "exact", "--tile", "176"]
    Image.fromarray(clouds(500, 300)).save("large.png")
    whole = stylized("large.png", "style.png", "--mode", "exact").astype(int)
    assert np.abs(stylized("large.png", "style.png", *tiled) - whole).max() <= 2


def test_commands_on_weights_name_those_that_exist() -> None:
    result = CliRunner().invoke(cli, ["weights", "info", "none"])
    sentence = "Error: The model none has no weights; bundled weights: photonas, photonet."
    assert refuses(result) == sentence

"""Styles of jobs: weights, folders, style files."""

from __future__ import annotations

import json
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from click.testing import CliRunner, Result
from PIL import Image
from support.photos import scene

import photostyle
from photostyle import PhotostyleError, photo
from photostyle.cli import cli
from photostyle.jobs.styles import StyleInputs, weighted
from photostyle.model.moments import Moments
from photostyle.transfer import style_file
from photostyle.transfer.style import Style, StyleMix, pooled


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


def done(*words: str | Path) -> Result:
    result = run(*words)
    assert result.exit_code == 0, result.output
    return result


def pixels(name: str | Path) -> np.ndarray:
    return photo.read(name).pixels.astype(int)


@pytest.fixture
def fog(folder: Path) -> Path:
    Image.fromarray((150 + 0.3 * scene(60, 50, seed=3)).astype(np.uint8)).save("fog.png")
    return folder / "fog.png"


@pytest.mark.usefixtures("fog")
def test_weights_follow_names_and_a_file_of_that_name_wins(folder: Path) -> None:
    assert weighted(["dusk.png:0.7", "fog.png:.3"]) == [("dusk.png", 0.7), ("fog.png", 0.3)]
    assert weighted(["dusk.png", "fog.png"]) == ["dusk.png", "fog.png"]
    assert weighted(["dusk.png:1e-1", "x:-2"]) == [("dusk.png", 0.1), ("x", -2.0)]
    assert weighted(["dusk.png:nan"]) == ["dusk.png:nan"]
    (folder / "dusk.png:0.3").write_bytes((folder / "dusk.png").read_bytes())
    assert weighted(["dusk.png:0.3"]) == ["dusk.png:0.3"]
    with pytest.raises(PhotostyleError, match=r"or none; 'fog\.png' has no"):
        weighted(["dusk.png:0.7", "fog.png"])


@pytest.mark.usefixtures("fog")
def test_a_mix_of_files_lies_between_them(model: str) -> None:
    """Through the command, by weight, evenly, and by a file whose name ends like a weight."""
    common = ["image", "--model", model, "--match", "global", "--quality", "100", "day.jpg"]
    for name in ("dusk", "fog"):
        done(*common, f"{name}.png", "-o", f"{name}-end.png")
    result = done(*common, "dusk.png:0.25", "fog.png:0.75", "-o", "mix.png")
    assert "Note" not in result.stderr
    found, *ends = (
        pixels(name).mean((0, 1)) for name in ("mix.png", "dusk-end.png", "fog-end.png")
    )
    assert np.abs(found - (0.25 * ends[0] + 0.75 * ends[1])).max() < 6
    assert done(*common, "dusk.png", "fog.png").stdout == "day-dusk-fog.jpg\n"

    result = done(*common, "dusk.png:1", "fog.png:3", "-o", "scaled.png")
    assert "The weights add up to 4 instead of 1; they count as 0.25 and 0.75." in result.stderr
    assert np.array_equal(pixels("scaled.png"), pixels("mix.png"))
    Path("dusk.png").rename("dusk.png:0.3")
    done(*common, "dusk.png:0.3", "-o", "named.png")
    assert np.array_equal(pixels("named.png"), pixels("dusk-end.png"))


def test_a_style_file_stands_for_its_photo(fog: Path) -> None:
    """The same picture within the rounding of 8 bits, from a path, a stream, in a mix."""
    done("style", "learn", fog, "-o", "fog.style", "--model", "none")
    for match in ("global", "none"):
        done(
            "image",
            "day.jpg",
            fog,
            "-o",
            "direct.png",
            "--model",
            "none",
            "--match",
            match,
            "--force",
        )
        done(
            "image",
            "day.jpg",
            "fog.style",
            "-o",
            "file.png",
            "--model",
            "none",
            "--match",
            match,
            "--force",
        )
        assert np.abs(pixels("direct.png") - pixels("file.png")).max() <= 2
    stream = BytesIO(Path("fog.style").read_bytes())
    report = photostyle.stylize_photo("day.jpg", stream, "stream.png", model="none", match="none")
    assert report.style_size is None
    assert np.array_equal(pixels("stream.png"), pixels("file.png"))
    before = Path("fog.style").read_bytes()
    done("style", "learn", fog, "-o", "fog.style", "--model", "none", "--force")
    assert Path("fog.style").read_bytes() == before
    assert run("style", "learn", fog, "-o", "fog.style", "--model", "none").exit_code == 1

    done("style", "mix", "fog.style:0.5", "dusk.png:0.5", "-o", "mix.style", "--model", "none")
    done("image", "day.jpg", "mix.style", "-o", "mixed.png", "--model", "none", "--compare")
    done("image", "day.jpg", fog, "dusk.png", "-o", "both.png", "--model", "none")
    assert np.abs(pixels("mixed.png") - pixels("both.png")).max() <= 2
    assert pixels("mixed-compare.png").shape[1] > 2 * 90
    text = done("style", "info", "mix.style").stdout
    for words in ("weight 0.5", "photos: fog.png", "photos: dusk.png", "model: none", "sha256:"):
        assert words in text


@pytest.mark.parametrize("name", ["photonas", "photonet"])
def test_style_files_of_bundled_weights_are_small_and_true(name: str, tmp_path: Path) -> None:
    """Under 1 MB for two large square photos, the largest; the result is that of the photo."""
    stylizer = photostyle.load(name, device="cpu")
    evening = scene(1000, 1000, seed=1, evening=True, grain=0.1)
    vignette = np.tile(np.linspace(0.2, 1, 1000), (1000, 1))
    style = stylizer.learn(evening, vignette)
    path = tmp_path / "look.style"
    style_file.write(style, path)
    assert path.stat().st_size < 600_000
    noisy = stylizer.learn(scene(1000, 1000, seed=2, grain=0.1))
    assert len(style_file.serialize(StyleMix.of([(style, 0.5), (noisy, 0.5)]))) < 1_000_000
    found = style_file.read(path)
    assert isinstance(found, Style)
    assert (found.digest, found.matcher) == (style.digest, style.matcher)
    for layer, moments in style.moments.items():
        largest = moments.covariance.abs().max()
        difference = (found.moments[layer].covariance - moments.covariance).abs().max()
        assert difference < 1e-6 * largest
    content = scene(150, 110)
    direct, by_file = (stylizer.apply(content, one).astype(int) for one in (style, found))
    assert np.abs(direct - by_file).mean() < 0.3
    assert np.abs(direct - by_file).max() <= 2

    # Blocks of another matcher are read again, from the thumbnail.
    older = replace(found, blocks=None, matcher="older")
    again = stylizer.with_blocks(older)
    assert isinstance(again, Style)
    assert again.blocks is not None
    assert np.abs(stylizer.apply(content, again).astype(int) - direct).mean() < 8


def test_compression_loses_nothing_and_older_files_are_read(photonas: photostyle.Stylizer) -> None:
    """A file of the first format, as it was written, gives the same style."""
    mask = np.tile(np.linspace(0.2, 1, 61), (90, 1))
    style = photonas.learn(scene(61, 90), mask)
    packed = {f"0.{name}": t.contiguous() for name, t in style_file._packed(style).items()}
    described = {"weight": 1.0, "photos": 1, "digest": style.digest, "matcher": style.matcher}
    facts = {"format": "photostyle-style/1", "styles": [{**described, "provenance": {}}]}
    older = safetensors.torch.save(packed, {"photostyle": json.dumps(facts)})
    newer = style_file.serialize(style)
    assert len(newer) < 0.8 * len(older)
    styles = [style_file.deserialize(data, "look.style") for data in (older, newer)]
    tensors = [style_file._packed(one) for one in styles if isinstance(one, Style)]
    assert "mask" in tensors[0]
    assert len(tensors) == 2
    assert tensors[0].keys() == tensors[1].keys() == style_file._packed(style).keys()
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]), name


def test_a_folder_is_one_style_of_all_its_photos(folder: Path) -> None:
    """Moments and tones are those of all pixels of photos of one size, each read by itself."""
    looks = folder / "looks"
    looks.mkdir()
    photos = [scene(60, 40, seed=seed) for seed in range(4)]
    for number, one in enumerate(photos):
        Image.fromarray(one).save(looks / f"{number}.png")
    (looks / "notes.txt").write_text("no photo")
    (looks / ".hidden.png").write_text("no photo")
    stylizer = photostyle.load("none", device="cpu")
    inputs = StyleInputs(looks)
    style = inputs.learn(stylizer)
    assert isinstance(style, Style)
    assert inputs.notes == [
        f"1 of 5 files in {str(looks)!r} could not be read as photos: notes.txt."
    ]
    values = np.concatenate([one.reshape(-1, 3) / 255 for one in photos])
    moments = style.moments["pixels"]
    np.testing.assert_allclose(moments.mean[0], values.mean(0), atol=1e-6)
    np.testing.assert_allclose(moments.covariance[0], np.cov(values.T, bias=True), atol=1e-6)
    assert style.photos == 4
    assert style.provenance["photos"] == ["0.png", "1.png", "2.png", "3.png"]

    result = done("image", "day.jpg", "looks", "-o", "look.png", "--model", "none", "--compare")
    assert "could not be read as photos: notes.txt" in result.stderr
    assert np.abs(pixels("look.png").mean((0, 1)) / 255 - values.mean(0)).max() < 0.04
    done("style", "learn", looks, "-o", "look.style", "--model", "none")
    done("image", "day.jpg", "look.style", "-o", "file.png", "--model", "none")
    assert np.abs(pixels("look.png") - pixels("file.png")).max() <= 2
    assert done("image", "day.jpg", "looks", "--model", "none").stdout == "day-looks.jpg\n"


def test_regions_of_a_folder_are_those_of_all_photos(photonas: photostyle.Stylizer) -> None:
    """By region, a photo many times over is that photo; many photos make a small file, too."""
    style = photonas.learn(scene(256, 256, seed=1, evening=True))
    several = pooled([style] * 4, 4)
    assert several is not None
    content = scene(150, 110)
    one, four = (photonas.apply(content, s, match="regions").astype(int) for s in (style, several))
    assert np.abs(one - four).mean() < 4
    many = pooled([style] * 70, 70)
    assert many is not None
    assert many.photos == 35
    assert len(style_file.serialize(many)) < 1_000_000
    assert photonas.apply(content, many).shape == content.shape
    assert pooled([], 0) is None


def damaged(data: bytes, change: Any, fact: str = "styles") -> bytes:
    """A style file whose description of styles, or another fact, is changed."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    facts = json.loads(header["__metadata__"]["photostyle"])
    facts[fact] = change(facts[fact])
    header["__metadata__"]["photostyle"] = json.dumps(facts)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data[8 + length :]


def test_what_is_no_style_file_gets_a_sentence(folder: Path, model: str) -> None:
    done("style", "learn", "dusk.png", "-o", "dusk.style", "--model", model)
    data = Path("dusk.style").read_bytes()
    foreign = folder / "tiny.safetensors"
    foreign.write_bytes(Path(model).read_bytes())
    files = {
        "cut.style": (data[:-100], "damaged style file"),
        "short.style": (data[:100], "is not a style file; make one with"),
        "empty.style": (b"", "is not a style file"),
        "photo.style": (Path("day.jpg").read_bytes(), "is not a style file"),
        "none.style": (damaged(data, lambda _: []), "damaged style file"),
        "list.style": (damaged(data, lambda _: [1]), "damaged style file"),
        "two.style": (damaged(data, lambda one: one * 2), "damaged style file"),
        "many.style": (
            damaged(data, lambda one: [{**one[0], "photos": 10**9}]),
            "damaged style file",
        ),
        "large.style": (
            damaged(data, lambda types: {**types, "0.tones": ["float32", 10**6, 10**6]}, "tensors"),
            "damaged style file (0.tones of shape",
        ),
        "kind.style": (
            damaged(data, lambda types: {**types, "0.tones": ["object", 3]}, "tensors"),
            "damaged style file (0.tones of type",
        ),
        "missing.style": (damaged(data, lambda _: {}, "tensors"), "damaged style file"),
        "bytes.style": (data[:-500] + bytes(500), "damaged style file"),
        "weight.style": (
            damaged(data, lambda one: [{**one[0], "weight": -1}]),
            "damaged style file",
        ),
    }
    for name, (content, sentence) in files.items():
        Path(name).write_bytes(content)
        for words in (("image", "day.jpg", name, "--model", model), ("style", "info", name)):
            result = run(*words)
            assert result.exit_code == 1, (name, result.output)
            assert sentence in result.stderr, name
            assert len(result.stderr.splitlines()) == 1
    assert "is not a style file" in run("image", "day.jpg", foreign, "--model", model).stderr
    result = run("image", "day.jpg", "dusk.style", "--model", "none")
    assert "learned with other weights (tiny); use those, or learn it again" in result.stderr
    assert "No such file" in run("style", "info", "none-such.style").stderr


def test_styles_that_are_learned_are_styles_of_jobs(fog: Path) -> None:
    stylizer = photostyle.load("none", device="cpu")
    styles = [stylizer.learn(photo.read(name).pixels) for name in ("dusk.png", fog)]
    mixes: list[Any] = [
        ["dusk.png", fog],
        styles,
        StyleMix.of([(style, 1) for style in styles]),
        [("dusk.png", 1.0), (styles[1], 1.0)],
    ]
    results = []
    for number, mix in enumerate(mixes):
        photostyle.stylize_photo("day.jpg", mix, f"{number}.png", model=stylizer)
        results.append(pixels(f"{number}.png"))
    for result in results[1:]:
        assert np.array_equal(result, results[0])
    with pytest.raises(PhotostyleError, match="at least one style"):
        photostyle.stylize_photo("day.jpg", [], model=stylizer)
    with pytest.raises(PhotostyleError, match="need one style photo"):
        photostyle.stylize_photo(
            "day.jpg", mixes[0], model=stylizer, content_mask="day.jpg", style_mask="dusk.png"
        )
    assert isinstance(styles[0].moments["pixels"], Moments)

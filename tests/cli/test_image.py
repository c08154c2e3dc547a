"""The command `photostyle image` on real files, with a small network of random weights."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import ExifTags, Image
from support.photos import (
    XMP,
    camera_exif,
    deep_scene,
    encoded,
    example_files,
    profile,
    raw_file,
    scene,
)

from photostyle import photo
from photostyle.cli import cli
from photostyle.transfer.options import TILE, WORKING_SIZE
from photostyle.transfer.stylizer import load

RENDER = Path(__file__).parents[2] / "examples" / "render.py"
COMMAND = [sys.executable, "-m", "photostyle"]


def run(model: str, *arguments: str | Path, stdin: bytes | None = None) -> Result:
    """`photostyle image` in this process."""
    words = ["image", "--model", model, "--device", "cpu", *map(str, arguments)]
    return CliRunner().invoke(cli, words, input=stdin)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refuses(result: Result, code: int = 1) -> str:
    """The one sentence on stderr of a run that must fail."""
    assert result.exit_code == code, result.output
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    *usage, sentence = result.stderr.splitlines()
    assert sentence.startswith("Error: ")
    assert bool(usage) == (code == 2)
    return sentence


def test_default_name_and_size(folder: Path, model: str) -> None:
    result = run(model, "day.jpg", "dusk.png")
    assert result.exit_code == 0, result.output
    assert result.stdout == "day-dusk.jpg\n"
    assert result.stderr == "Mode: exact.\n"
    assert names(folder) == ["day-dusk.jpg", "day.jpg", "dusk.png"]
    with Image.open("day-dusk.jpg") as image, Image.open("day.jpg") as content:
        assert image.size == (90, 61)
        assert image.format == "JPEG"
        assert np.abs(np.asarray(image, float) - np.asarray(content, float)).mean() > 5


def test_strength_0_gives_the_photo_back(folder: Path, model: str) -> None:
    result = run(model, "day.jpg", "dusk.png", "-o", "same.png", "--strength", "0")
    assert result.exit_code == 0, result.output
    with Image.open("same.png") as image, Image.open(folder / "day.jpg") as content:
        assert np.abs(np.asarray(image, int) - np.asarray(content, int)).max() <= 1


def test_strength_matters(folder: Path, model: str) -> None:
    for strength in ("0", "0.5", "1"):
        run(model, "day.jpg", "dusk.png", "-o", f"{strength}.bmp", "--strength", strength)
    assert len({(folder / f"{strength}.bmp").read_bytes() for strength in ("0", "0.5", "1")}) == 3


def test_alpha_and_orientation_of_the_content(folder: Path, model: str) -> None:
    alpha = np.tile(np.arange(64, dtype=np.uint8) * 4, (30, 1))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.fromarray(np.dstack([scene(64, 30), alpha])).save("logo.png", exif=exif)
    result = run(model, "logo.png", "dusk.png")
    assert result.exit_code == 0, result.output
    with Image.open(folder / "logo-dusk.png") as image:
        assert image.mode == "RGBA"
        assert image.size == (30, 64)
        assert np.array_equal(np.asarray(image)[..., 3], np.rot90(alpha, -1))


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB", "ProPhoto"])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".jpg"])
def test_strength_0_in_a_wide_color_space(folder: Path, model: str, name: str, suffix: str) -> None:
    # Saturated colours outside sRGB, which would be clipped if it were between them.
    pixels = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255], [20, 250, 90]]], np.uint8)
    pixels = pixels.repeat(16, 0).repeat(16, 1)
    Image.fromarray(pixels).save("wide.png", icc_profile=profile(name))
    result = run(model, "wide.png", "dusk.png", "-o", f"same{suffix}", "--strength", "0")
    assert result.exit_code == 0, result.output
    with Image.open(folder / f"same{suffix}") as image:
        assert image.info["icc_profile"] == profile(name)
        error = np.abs(np.asarray(image, int) - pixels).max()
        assert error <= (3 if suffix == ".jpg" else 1)


def test_the_style_is_converted_from_its_profile(folder: Path, model: str) -> None:
    """The same style photo in sRGB and in ProPhoto gives the same result."""
    style = photo.Photo(scene(40, 70), profile=profile("sRGB"), original=profile("sRGB"))
    for name in ("sRGB", "ProPhoto"):
        wide = style.in_profile(profile(name))
        data = encoded(replace(wide, original=profile(name)), "TIFF")
        Path(f"{name}.tif").write_bytes(data)
        run(model, "day.jpg", f"{name}.tif", "-o", f"{name}.png")
    results = [np.asarray(Image.open(folder / f"{n}.png"), int) for n in ("sRGB", "ProPhoto")]
    values = [photo.read(folder / f"{n}.tif").pixels.astype(int) for n in ("sRGB", "ProPhoto")]
    assert np.abs(values[0] - values[1]).mean() > 10
    assert np.abs(results[0] - results[1]).mean() < 1


def test_the_result_can_be_converted_to_srgb(folder: Path, model: str) -> None:
    Image.fromarray(scene()).save("wide.png", icc_profile=profile("Display P3"))
    for choice in ("keep", "srgb"):
        run(model, "wide.png", "dusk.png", "-o", f"{choice}.png", "--profile", choice)
    kept, srgb = (photo.read(folder / f"{choice}.png") for choice in ("keep", "srgb"))
    assert photo.color.are_equivalent(srgb.original, None)
    assert srgb.original is not None
    assert np.abs(kept.pixels.astype(int) - srgb.pixels).mean() > 2
    assert np.abs(kept.in_srgb().astype(int) - srgb.pixels).max() <= 1


def gradient() -> npt.NDArray[np.uint16]:
    """Smooth colours, 600 x 40, whose red has 52 levels in 8 bits."""
    y, x = np.mgrid[0:1:40j, 0:1:600j]
    colours = np.stack([0.3 + 0.2 * x, 0.4 + 0.1 * x + 0.1 * y, 0.5 - 0.2 * x], -1)
    return (colours * 65535).round().astype(np.uint16)


def has_no_steps(pixels: npt.NDArray[np.unsignedinteger[Any]]) -> bool:
    row = pixels[20, :, 0]
    row = row[(row > 0) & (row < 65535)]
    return len(np.unique(row)) > 0.75 * len(row) > 150


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_stay_16_and_a_gradient_has_no_banding(
    folder: Path, model: str, suffix: str
) -> None:
    deep = photo.Photo(gradient())
    (folder / f"deep{suffix}").write_bytes(encoded(deep, photo.format_of(Path(f"a{suffix}"))))
    for strength in ("0", "0.5", "1"):
        result = run(model, f"deep{suffix}", "dusk.png", "--strength", strength, "--force")
        assert result.exit_code == 0, result.output
        read = photo.read(folder / f"deep-dusk{suffix}")
        assert read.depth == 16
        if strength == "0":
            assert np.abs(read.pixels.astype(int) - deep.pixels).max() <= 1
        assert has_no_steps(read.pixels)


def test_neither_mode_causes_banding(model: str) -> None:
    stylizer = load(model, "cpu")
    style = stylizer.learn(scene(40, 70))
    for mode in ("fast", "exact"):
        assert has_no_steps(stylizer.apply(gradient(), style, mode=mode, working_size=128))
    assert not has_no_steps(stylizer.apply((gradient() // 257).astype(np.uint8), style))


@pytest.mark.usefixtures("folder")
def test_the_depth_option(model: str) -> None:
    Path("deep.png").write_bytes(encoded(photo.Photo(deep_scene()), "PNG"))
    for content, depth, output, expected in (
        ("deep.png", "8", "a.png", 8),
        ("deep.png", "auto", "a.jpg", 8),
        ("day.jpg", "auto", "b.png", 8),
        ("day.jpg", "16", "c.png", 16),
        ("day.jpg", "16", "c.tif", 16),
    ):
        result = run(model, content, "dusk.png", "-o", output, "--depth", depth)
        assert result.exit_code == 0, result.output
        read = photo.read(output)
        assert read.depth == expected
        if expected == 16:
            assert np.count_nonzero(read.pixels % 257) > read.pixels.size // 2
    assert "16" in refuses(run(model, "day.jpg", "dusk.png", "-o", "d.jpg", "--depth", "16"))


def test_metadata_are_kept_and_stamped_or_stripped(folder: Path, model: str) -> None:
    exif = camera_exif(6)
    Image.fromarray(scene()).save("shot.jpg", exif=exif, xmp=XMP, dpi=(300, 300))
    result = run(model, "shot.jpg", "dusk.png", "-o", "kept.jpg", "--strength", "0.5")
    assert result.stderr == "Mode: exact.\n"
    run(model, "shot.jpg", "dusk.png", "-o", "bare.jpg", "--strip-metadata")
    with Image.open(folder / "kept.jpg") as image:
        kept = image.getexif()
        assert kept[ExifTags.Base.Make] == "Maker"
        assert kept.get_ifd(ExifTags.IFD.GPSInfo)
        software = kept[ExifTags.Base.Software]
        assert software.startswith("photostyle ")
        assert software.endswith("(model tiny, mode exact, strength 0.5, match auto)")
        assert b"Rating" in image.info["xmp"]
        assert image.info["dpi"] == (300, 300)
        assert image.size == (40, 60)
    bare = (folder / "bare.jpg").read_bytes()
    assert not any(word in bare for word in (b"Exif", b"Maker", b"Rating", b"photostyle"))


def test_quality(folder: Path, model: str) -> None:
    sizes = []
    for quality in ("30", "95", None):
        chosen = ["--quality", quality] if quality else []
        for output in ("q.jpg", "q.webp"):
            run(model, "day.jpg", "dusk.png", "-o", output, "--force", *chosen)
        sizes.append([(folder / name).stat().st_size for name in ("q.jpg", "q.webp")])
    assert sizes[2] == sizes[1]
    assert all(low < high for low, high in zip(sizes[0], sizes[1], strict=True))
    refuses(run(model, "day.jpg", "dusk.png", "-o", "q.jpg", "--quality", "0"), code=2)


@pytest.mark.parametrize("suffix", [".gif", ".png", ".webp"])
def test_every_frame_is_stylized(folder: Path, model: str, suffix: str) -> None:
    content = f"moving{suffix}"
    (folder / content).write_bytes(example_files()[content])
    result = run(model, content, "dusk.png")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"moving-dusk{suffix}\n"
    before, after = (photo.read(folder / name) for name in (content, f"moving-dusk{suffix}"))
    assert before.animation is not None
    assert after.animation is not None
    assert [f.duration for f in after.animation.frames] == [40, 40]
    for old, new in zip(before.animation.frames, after.animation.frames, strict=True):
        assert np.abs(old.pixels.astype(int) - new.pixels).mean() > 5
    still = run(model, content, "dusk.png", "--still", "-o", "still.png")
    assert still.exit_code == 0, still.output
    assert photo.read(folder / "still.png").animation is None
    result = run(model, content, "dusk.png", "-o", "first.jpg")
    assert result.exit_code == 0
    assert "no animation" in result.stderr


def test_notes_go_to_stderr(folder: Path, model: str) -> None:
    first, second = Image.fromarray(scene()), Image.fromarray(scene(seed=1))
    first.save("pages.tif", save_all=True, append_images=[second])
    result = run(model, "pages.tif", "dusk.png")
    assert result.exit_code == 0
    note = "Note: 'pages.tif': The file contains several images; only the first was read."
    assert result.stderr == f"Mode: exact.\n{note}\n"
    assert photo.read(folder / "pages-dusk.tif").size == (60, 40)


def test_a_raw_photo(folder: Path, model: str) -> None:
    pytest.importorskip("rawpy")
    (folder / "shot.dng").write_bytes(raw_file(6))
    assert run(model, "shot.dng", "dusk.png").stdout == "shot-dusk.jpg\n"
    assert run(model, "shot.dng", "dusk.png", "-o", "deep.tif").exit_code == 0
    deep = photo.read(folder / "deep.tif")
    assert (deep.size, deep.depth) == ((64, 96), 16)
    # A file of LibRaw's without a name is known by what is in it.
    data = raw_file()
    assert run(model, "-", "dusk.png", "-o", "piped.tif", stdin=data).exit_code == 0


def test_the_same_input_gives_the_same_file(folder: Path, model: str) -> None:
    for suffix in (".jpg", ".png", ".tif", ".webp", ".gif"):
        for name in ("a", "b"):
            run(model, "day.jpg", "dusk.png", "-o", name + suffix, "--profile", "srgb")
        assert (folder / f"a{suffix}").read_bytes() == (folder / f"b{suffix}").read_bytes()


def test_transparent_pixels_of_either_photo_do_not_matter(folder: Path, model: str) -> None:
    alpha = np.zeros((61, 90), np.uint8)
    alpha[20:, 10:70] = 255
    results = []
    for hidden in (0, 255):
        for name in ("content", "style"):
            pixels = scene(90, 61, seed=name == "style")
            pixels[alpha == 0] = hidden
            Image.fromarray(np.dstack([pixels, alpha])).save(f"{name}.png")
        result = run(model, "content.png", "style.png", "-o", f"{hidden}.png")
        assert result.exit_code == 0, result.output
        results.append(photo.read(folder / f"{hidden}.png"))
    assert np.array_equal(results[0].pixels[alpha > 0], results[1].pixels[alpha > 0])
    for read, hidden in zip(results, (0, 255), strict=True):
        assert read.alpha is not None
        assert np.array_equal(read.alpha, alpha)
        assert (read.pixels[alpha == 0] == hidden).all()
    # Fully transparent photos: the hidden colours of a style would be the look.
    Image.new("RGBA", (20, 20), (200, 0, 0, 0)).save("glass.png")
    assert run(model, "glass.png", "dusk.png", "-o", "out.png").exit_code == 0
    assert "transparent" in refuses(run(model, "day.jpg", "glass.png", "-o", "new.png"))


@pytest.mark.parametrize(
    "name",
    ["a b.jpg", "it's.jpg", 'say "a".jpg', "two\nlines.jpg", "-dash.jpg", "\udcff\udcfe.jpg"],
)
def test_odd_file_names(folder: Path, model: str, name: str) -> None:
    (folder / "day.jpg").rename(name)
    result = run(model, "--", name, "dusk.png")
    assert result.exit_code == 0, result.output
    output = folder / f"{name.removesuffix('.jpg')}-dusk.jpg"
    assert photo.read(output).size == (90, 61)
    assert os.fsencode(output.name) in result.stdout_bytes
    assert "No such file" in refuses(run(model, "--", "no" + name, "dusk.png"))


@pytest.mark.usefixtures("folder")
def test_the_default_extension_keeps_transparency(model: str) -> None:
    Image.fromarray(np.dstack([scene(20, 20), scene(20, 20)[..., 0]])).save("odd.jpg", "PNG")
    assert run(model, "odd.jpg", "dusk.png").stdout == "odd-dusk.png\n"


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (2, 3)])
def test_tiny_and_thin_photos(folder: Path, model: str, size: tuple[int, int]) -> None:
    Image.new("RGB", size, (90, 120, 200)).save("thin.png")
    for content, style in (("thin.png", "dusk.png"), ("day.jpg", "thin.png")):
        result = run(model, content, style, "-o", "out.png", "--compare", "--force")
        assert result.exit_code == 0, result.output
        with Image.open(folder / "out.png") as image, Image.open(content) as original:
            assert image.size == original.size


def test_json_is_one_line(folder: Path, model: str) -> None:
    result = run(model, "day.jpg", "dusk.png", "--json", "--compare", "--strength", "0.25")
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    summary = json.loads(line)
    seconds = summary.pop("seconds")
    assert list(seconds) == ["read", "load", "learn", "apply", "write"]
    assert all(value >= 0 for value in seconds.values())
    assert summary == {
        "output": "day-dusk.jpg",
        "compare": "day-dusk-compare.jpg",
        "page": None,
        "content_size": [90, 61],
        "style_size": [40, 70],
        "model": model,
        "device": "cpu",
        "mode": "exact",
        "strength": 0.25,
        "match": "auto",
        "keep": "none",
        "notes": [],
    }
    assert {summary["output"], summary["compare"]} < set(names(folder))


def test_the_mode_is_chosen_and_printed(folder: Path, model: str) -> None:
    Image.fromarray(scene(1300, 900)).save("large.png")
    for content, arguments, mode in (
        ("day.jpg", [], "exact"),
        ("large.png", [], "fast"),
        ("day.jpg", ["--mode", "fast", "--working-size", "32"], "fast"),
        ("large.png", ["--mode", "exact", "--tile", "700"], "exact"),
    ):
        result = run(model, content, "dusk.png", "-o", "out.png", "--force", "--json", *arguments)
        assert result.exit_code == 0, result.output
        assert result.stderr == f"Mode: {mode}.\n"
        assert json.loads(result.stdout)["mode"] == mode
    with Image.open(folder / "out.png") as image:
        assert image.size == (1300, 900)


def test_help_shows_the_defaults_of_the_engine() -> None:
    text = " ".join(CliRunner().invoke(cli, ["image", "--help"]).output.split())
    assert f"copy in fast mode. [default: {WORKING_SIZE};" in text
    assert f"more time. [default: {TILE};" in text


@pytest.mark.usefixtures("folder")
def test_threads(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = torch.get_num_threads()
    try:
        assert run(model, "day.jpg", "dusk.png", "--threads", "3").exit_code == 0
        assert torch.get_num_threads() == 3
        # What is not imported yet, and other processes, follow the environment.
        assert os.environ["OMP_NUM_THREADS"] == "3"
    finally:
        torch.set_num_threads(before)


@pytest.mark.usefixtures("folder")
def test_the_progress_bar_disappears_from_the_terminal(
    model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pty = pytest.importorskip("pty")
    monkeypatch.setenv("TERM", "xterm")
    leader, follower = pty.openpty()
    words = ["image", "day.jpg", "dusk.png", "--model", model, "--device", "cpu"]
    process = subprocess.Popen([*COMMAND, *words], stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    shown = b""
    with suppress(OSError):  # the end of a terminal
        while part := os.read(leader, 4096):
            shown += part
    os.close(leader)
    assert process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "apply (exact)" in text
    assert "100%" in text
    assert text.splitlines()[-1].endswith("Mode: exact.")


def test_compare_shows_content_style_and_result(folder: Path, model: str) -> None:
    assert run(model, "day.jpg", "dusk.png", "-o", "new.png", "--compare").exit_code == 0
    with (
        Image.open(folder / "new-compare.png") as row,
        Image.open("new.png") as result,
        Image.open("day.jpg") as content,
    ):
        pixels = np.asarray(row)
        assert pixels.shape[1:] == (90 + round(61 * 40 / 70) + 90, 3)
        assert np.array_equal(pixels[-61:, :90], np.asarray(content))
        assert np.array_equal(pixels[-61:, -90:], np.asarray(result))
        labels = pixels[:-61]
        assert all((part < 128).any() for part in (labels[:, :90], labels[:, -90:]))


def test_stdin_and_stdout(folder: Path, model: str) -> None:
    direct = run(model, "day.jpg", "dusk.png", "-o", "direct.jpg")
    assert direct.exit_code == 0
    expected = (folder / "direct.jpg").read_bytes()
    content = (folder / "day.jpg").read_bytes()
    assert run(model, "-", "dusk.png", stdin=content).stdout_bytes == expected
    assert run(model, "day.jpg", "dusk.png", "-o", "-").stdout_bytes == expected
    style = (folder / "dusk.png").read_bytes()
    assert run(model, "day.jpg", "-", stdin=style).stdout == "day-stdin.jpg\n"
    assert (folder / "day-stdin.jpg").read_bytes() == expected


def test_an_existing_file_is_overwritten_only_by_force(folder: Path, model: str) -> None:
    target = folder / "day-dusk.jpg"
    target.write_bytes(b"precious")
    assert "already exists" in refuses(run(model, "day.jpg", "dusk.png"))
    assert target.read_bytes() == b"precious"
    assert run(model, "day.jpg", "dusk.png", "--force").exit_code == 0
    with Image.open(target) as image:
        assert image.size == (90, 61)

    compared = folder / "new-compare.jpg"
    compared.write_bytes(b"precious")
    refuses(run(model, "day.jpg", "dusk.png", "-o", "new.jpg", "--compare"))
    assert compared.read_bytes() == b"precious"
    assert "new.jpg" not in names(folder)


def test_an_input_is_never_the_output(folder: Path, model: str) -> None:
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    (folder / "link.png").symlink_to("dusk.png")
    (folder / "hard.jpg").hardlink_to("day.jpg")
    for output in ("day.jpg", "./dusk.png", "link.png", "hard.jpg"):
        sentence = refuses(run(model, "day.jpg", "dusk.png", "-o", output, "--force"))
        assert "is an input file; choose another output" in sentence
    assert {name: (folder / name).read_bytes() for name in before} == before


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["missing.jpg", "dusk.png"], "No such file"),
        (["day.jpg", "missing.png"], "No such file"),
        (["day.jpg", "hollow"], "The folder 'hollow' has no photo"),
        (["day.jpg", "dusk.png:-0.5", "dusk.png:1.5"], "must be 0 or more, not -0.5"),
        (["day.jpg", "dusk.png:0", "day.jpg:0"], "must not all be 0"),
        (["day.jpg", "text.style"], "'text.style' is not a style file; make one with"),
        (["empty.jpg", "dusk.png"], "not a photo"),
        (["text.jpg", "dusk.png"], "not a photo"),
        (["cut.png", "dusk.png"], "damaged or incomplete"),
        (["day.jpg", "dusk.png", "-o", "nowhere/out.jpg"], "does not exist"),
        (["day.jpg", "dusk.png", "-o", "nowhere/"], "does not exist"),
        (["day.jpg", "dusk.png", "-o", "out.txt"], "extension"),
        (["day.jpg", "dusk.png", "-o", "out"], "extension"),
        (["day.jpg", "dusk.png", "-o", "/dev/full", "--force"], "extension"),
        (["day.jpg", "dusk.png", "--model", "text.jpg"], "text.jpg"),
        (["day.jpg", "dusk.png", "--model", "nonsense"], "nonsense"),
        (["day.jpg", "dusk.png", "--device", "toaster"], "toaster"),
        (["day.jpg", "dusk.png", "--device", "cuda:99"], "cuda:99"),
        (["wide.png", "dusk.png", "--mode", "exact", "--tile", "100"], "at least 176"),
        (["day.jpg", "dusk.png", "--strength", "nan"], "strength"),
        (["wide.png", "dusk.png", "-o", "wide.webp"], "cannot be written as WEBP"),
    ],
)
def test_failing_runs_end_in_one_sentence_and_leave_nothing(
    folder: Path, model: str, arguments: list[str], expected: str
) -> None:
    (folder / "empty.jpg").touch()
    (folder / "hollow").mkdir()
    (folder / "text.style").write_text("Not a style.")
    (folder / "text.jpg").write_text("Not a photo.\n" * 50)
    (folder / "cut.png").write_bytes((folder / "dusk.png").read_bytes()[:2000])
    Image.new("RGB", (16_384, 1)).save("wide.png")
    files = [name for name in names(folder) if name != "hollow"]
    before = {name: (folder / name).read_bytes() for name in files}
    assert expected in refuses(run(model, *arguments))
    (folder / "hollow").rmdir()
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["day.jpg"],
        ["-", "-"],
        ["-", "dusk.png", "--json"],
        ["day.jpg", "dusk.png", "-o", "-", "--compare"],
        ["day.jpg", "dusk.png", "--strength", "1.6"],
        ["day.jpg", "dusk.png:0.5", "dusk.png"],
        ["day.jpg", "-:0.5", "-:0.5"],
        ["day.jpg", "dusk.png", "--strength", "much"],
        ["day.jpg", "dusk.png", "--mode", "slow"],
        ["day.jpg", "dusk.png", "--working-size", "0"],
        ["day.jpg", "dusk.png", "--tile", "-1"],
        ["day.jpg", "dusk.png", "--threads", "0"],
    ],
)
def test_wrong_usage_exits_with_2(folder: Path, model: str, arguments: list[str]) -> None:
    refuses(run(model, *arguments), code=2)
    assert names(folder) == ["day.jpg", "dusk.png"]


@pytest.mark.parametrize(
    "stem", ["two words", 'it\'s "so"', "line\nbreak", "-dash", "é", "a\udcffb"]
)
def test_any_file_name(folder: Path, model: str, stem: str) -> None:
    (folder / "day.jpg").rename(f"{stem}.jpg")
    result = run(model, "--", f"{stem}.jpg", "dusk.png")
    assert result.exit_code == 0, result.output
    assert f"{stem}-dusk.jpg" in names(folder)
    refuses(run(model, "--", f"{stem}.jpg", "dusk.png"))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"]
)
def test_an_interrupted_run_leaves_nothing(folder: Path, number: int, code: int) -> None:
    os.mkfifo("pipe.jpg")
    process = subprocess.Popen(
        [*COMMAND, "image", "pipe.jpg", "dusk.png"],
        stderr=subprocess.PIPE,
        text=True,
    )
    writer = None
    while writer is None:  # until the command reads the other end
        assert process.poll() is None, process.communicate()
        with suppress(OSError):
            writer = os.open("pipe.jpg", os.O_WRONLY | os.O_NONBLOCK)
    # Python acts on a signal that comes just before a system call only after the call, and a read
    # from a pipe that stays empty never ends: the signal is for the middle of the read.
    time.sleep(0.5)
    process.send_signal(number)
    _, stderr = process.communicate(timeout=60)
    os.close(writer)
    assert process.returncode == code
    assert "Traceback" not in stderr
    assert names(folder) == ["day.jpg", "dusk.png", "pipe.jpg"]


def test_a_closed_pipe_gives_no_traceback(folder: Path, model: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    process = to_stdout(model, writer)
    os.close(writer)
    assert (process.returncode, process.stderr) == (1, "")
    assert names(folder) == ["day.jpg", "dusk.png"]


@pytest.mark.skipif(os.name != "posix", reason="descriptors are closed before the program starts")
@pytest.mark.parametrize(("first", "last"), [(1, 1), (0, 2)])
def test_standard_streams_may_be_closed(folder: Path, model: str, first: int, last: int) -> None:
    process = subprocess.run(
        [*COMMAND, "image", "day.jpg", "dusk.png", "-o", "out.png", "--model", model],
        preexec_fn=lambda: os.closerange(first, last + 1),
        check=False,
    )
    assert process.returncode == 0
    assert names(folder) == ["day.jpg", "dusk.png", "out.png"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.usefixtures("folder")
def test_a_full_disk_behind_stdout_gives_one_sentence(model: str) -> None:
    with Path("/dev/full").open("wb") as full:
        process = to_stdout(model, full.fileno())
    assert process.returncode == 1
    assert process.stderr == "Error: No space left on device.\n"


def to_stdout(model: str, stdout: int) -> subprocess.CompletedProcess[str]:
    words = ["image", "day.jpg", "dusk.png", "-o", "-", "--model", model, "--device", "cpu"]
    return subprocess.run(
        [*COMMAND, *words], stdout=stdout, stderr=subprocess.PIPE, text=True, check=False
    )


def test_a_full_disk_gives_one_sentence(folder: Path, model: str) -> None:
    resource = pytest.importorskip("resource")
    arguments = ["image", "day.jpg", "dusk.png", "-o", "out.tif", "--model", model]
    process = subprocess.run(
        [*COMMAND, *arguments, "--device", "cpu"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 1
    assert process.stderr == "Error: 'out.tif' cannot be written: File too large.\n"
    assert names(folder) == ["day.jpg", "dusk.png"]


def test_the_example_pair_with_the_bundled_weights(tmp_path: Path) -> None:
    subprocess.run([sys.executable, RENDER, tmp_path], check=True)
    pair = tmp_path / "content.jpg", tmp_path / "style.jpg"
    for name in ("photonas", "photonet"):
        output = tmp_path / f"{name}.png"
        result = run(name, *pair, "-o", output)
        assert result.exit_code == 0, result.output
        content, style, styled = (
            np.asarray(Image.open(path), np.float64) / 255 for path in (*pair, output)
        )
        assert styled.shape == content.shape
        assert warmth(content) < 0 < 0.15 < warmth(style)
        assert abs(warmth(styled) - warmth(style)) < 0.5 * abs(warmth(content) - warmth(style))
        # Edges stay where they are.
        edges = [np.abs(np.diff(p.mean(-1), axis=1)).ravel() for p in (content, styled)]
        assert np.corrcoef(*edges)[0, 1] > 0.5


def warmth(pixels: npt.NDArray[np.float64]) -> float:
    return float((pixels[..., 0] - pixels[..., 2]).mean())

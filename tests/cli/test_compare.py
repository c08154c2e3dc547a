"""The command `photostyle compare`: photos side by side, with labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from photostyle.cli import cli

CAPTION = 18
"""Height of the labels above small photos, in pixels."""

GREEN, RED, BLUE = (0, 128, 0), (200, 0, 0), (0, 0, 200)


@pytest.fixture(autouse=True)
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wide, a tall and a small photo, each of one colour."""
    monkeypatch.chdir(tmp_path)
    for name, size, color in (
        ("wide.png", (120, 60), GREEN),
        ("tall.tif", (30, 90), RED),
        ("small.bmp", (20, 10), BLUE),
    ):
        Image.new("RGB", size, color).save(name)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["compare", *arguments])


def pixels(name: str) -> npt.NDArray[np.uint8]:
    with Image.open(name) as image:
        return np.asarray(image.convert("RGB"))


def is_even(part: npt.NDArray[np.uint8], color: tuple[int, int, int]) -> bool:
    return bool((part == color).all())


def ink(part: npt.NDArray[np.uint8]) -> int:
    return int((part < 128).sum())


def test_each_photo_is_fitted_to_the_first_below_its_label() -> None:
    result = run("wide.png", "tall.tif", "small.bmp")
    assert result.output == "wide-compare.png\n"
    sheet = pixels("wide-compare.png")
    assert sheet.shape == (CAPTION + 60, 120 + 20 + 120, 3)
    labels, row = sheet[:CAPTION], sheet[CAPTION:]
    assert is_even(row[:, :120], GREEN)
    assert is_even(row[:, 120:140], RED)
    assert is_even(row[:, 140:], BLUE)
    assert all(ink(part) for part in np.split(labels, [120, 140], axis=1))


def test_rows_and_size() -> None:
    assert run("wide.png", "tall.tif", "small.bmp", "--columns", "2", "--size", "60").exit_code == 0
    sheet = pixels("wide-compare.png")
    assert sheet.shape == (2 * (CAPTION + 30), 70, 3)
    assert is_even(sheet[CAPTION : CAPTION + 30, 60:], RED)
    assert is_even(sheet[-30:, :60], BLUE)


def test_labels_can_be_given_and_are_cut_to_the_photo() -> None:
    def label(*texts: str) -> npt.NDArray[np.uint8]:
        words = [word for text in texts for word in ("--label", text)]
        assert run("wide.png", "wide.png", "-o", "out.png", "--force", *words).exit_code == 0
        return pixels("out.png")[:CAPTION]

    first, other = label("before", "after"), label("before", "then")
    assert np.array_equal(first[:, :120], other[:, :120])
    assert not np.array_equal(first[:, 120:], other[:, 120:])
    # Too long, of several lines, and in letters that the font may lack.
    strange = label("x" * 500, "\n\u0416\u4e2d\x00")
    assert ink(strange[:, :100])
    assert ink(strange[:, 120:])


def test_equal_names_are_told_apart() -> None:
    Path("other").mkdir()
    Image.new("RGB", (120, 60), GREEN).save("other/wide.png")
    assert run("wide.png", "other/wide.png", "-o", "out.png").exit_code == 0
    labels = pixels("out.png")[:CAPTION]
    assert not np.array_equal(labels[:, :120], labels[:, 120:])


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["wide.png"], 2, "at least two photos"),
        (["wide.png", "tall.tif", "--label", "a"], 2, "for each of the 2 photos"),
        (["wide.png", "none.jpg"], 1, "none.jpg"),
        (["wide.png", "tall.tif", "-o", "out.txt"], 1, "out.txt"),
        (["wide.png", "tall.tif", "-o", "tall.tif", "--force"], 1, "is an input file"),
    ],
)
def test_mistakes_get_a_sentence(
    photos: Path, arguments: list[str], code: int, sentence: str
) -> None:
    before = {path: path.read_bytes() for path in photos.iterdir()}
    result = run(*arguments)
    assert result.exit_code == code
    assert sentence in result.stderr
    assert {path: path.read_bytes() for path in photos.iterdir()} == before

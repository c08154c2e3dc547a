"""LUT files: what is written is read again; files of other programs; broken files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.photos import landscape

from photostyle import PhotostyleError, lut, photo
from photostyle.lut import Curves, Lut
from photostyle.lut.lut import grid


def warm(colors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(colors[..., [1, 0, 2]] ** np.array([0.8, 1.0, 1.3]))


def cube(folder: Path, text: str) -> Path:
    path = folder / "look.cube"
    path.write_bytes(text.encode())
    return path


ONES = "\n".join(["1 1 1"] * 8)
ROWS = "\n".join(f"{r} {g} {b}" for b in (0, 1) for g in (0, 1) for r in (0, 1))
"""The identity's table."""


def test_a_cube_is_written_as_the_specification_says(tmp_path: Path) -> None:
    look = Lut.of(warm, 3).titled('My "look"\nof 2026', "input: sRGB")
    lut.write(look, tmp_path / "look.cube")
    lines = (tmp_path / "look.cube").read_bytes().decode("ascii").split("\n")
    assert lines[:5] == [
        "TITLE \"My 'look' of 2026\"",
        "# input: sRGB",
        "LUT_3D_SIZE 3",
        "DOMAIN_MIN 0.000000 0.000000 0.000000",
        "DOMAIN_MAX 1.000000 1.000000 1.000000",
    ]
    # Red changes fastest.
    assert lines[6] == " ".join(f"{value:.6f}" for value in (0, 0.5, 0))
    assert len(lines) == 5 + 27 + 1
    again = lut.read(tmp_path / "look.cube")
    assert (again.title, again.comments) == ("My 'look' of 2026", ("input: sRGB",))
    np.testing.assert_allclose(again.table, look.table, atol=5e-7)


def test_curves_and_domain_survive(tmp_path: Path) -> None:
    shaper = Curves(
        np.linspace(0, 1, 5)[:, None].repeat(3, 1) ** 2, np.full(3, -0.5), np.full(3, 2.0)
    )
    look = Lut(Lut.of(warm, 4).table, np.zeros(3), np.full(3, 0.8), shaper)
    lut.write(look, tmp_path / "shaped.cube")
    colors = np.random.default_rng(0).uniform(-1, 3, (10, 10, 3))
    np.testing.assert_allclose(lut.read(tmp_path / "shaped.cube")(colors), look(colors), atol=2e-6)
    unequal = Lut(look.table, np.zeros(3), np.array([0.8, 0.9, 1]), shaper)
    with pytest.raises(PhotostyleError, match="one range"):
        lut.write(unequal, tmp_path / "unequal.cube")
    domain = Lut(look.table, np.array([-0.1, 0, 0.1]), np.array([0.8, 0.9, 1]))
    lut.write(domain, tmp_path / "domain.cube")
    again = lut.read(tmp_path / "domain.cube")
    np.testing.assert_allclose(again.low, domain.low)
    np.testing.assert_allclose(again.high, domain.high)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_comments_and_a_byte_order_mark(tmp_path: Path, end: str) -> None:
    text = f'\ufeff# made by hand\n\nTITLE "a # b"\nlut_3d_size 2\n\n{ROWS}\n# the end\n\n'
    look = lut.read(cube(tmp_path, text.replace("\n", end)))
    assert look.title == "a # b"
    assert look.comments == ("made by hand",)
    np.testing.assert_array_equal(look.table, grid(2))


def test_a_1d_table_is_a_curve_per_channel(tmp_path: Path) -> None:
    text = "LUT_1D_SIZE 3\nDOMAIN_MAX 2 2 2\n0 0 1\n0.25 0.5 0.5\n1 1 0\n"
    look = lut.read(cube(tmp_path, text))
    colors = np.array([[[0.5, 1.0, 0.5], [2.0, 0.0, 3.0]]])
    np.testing.assert_allclose(
        look(colors), np.array([[[0.125, 0.5, 0.75], [1, 0, 0]]]), atol=1e-12
    )


def test_resolve_writes_ranges_and_a_shaper(tmp_path: Path) -> None:
    text = "LUT_1D_SIZE 2\nLUT_1D_INPUT_RANGE 0.0 4.0\nLUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0 2\n"
    look = lut.read(cube(tmp_path, text + "0 0 0\n2 2 2\n" + ROWS))
    # The curves halve, the grid halves again.
    np.testing.assert_allclose(look(np.array([[[0.4, 2, 4]]])), [[[0.1, 0.5, 1]]], atol=1e-12)
    text = f"LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0 2\n{ROWS}"
    np.testing.assert_allclose(
        lut.read(cube(tmp_path, text))(np.array([[[0.4, 1, 2]]])), [[[0.2, 0.5, 1]]], atol=1e-12
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "neither LUT_1D_SIZE nor LUT_3D_SIZE"),
        ("\0" * 5000, "too long"),
        (ROWS, "neither"),
        ("LUT_3D_SIZE", "a number from 2 to 256"),
        ("LUT_3D_SIZE 1\n0 0 0", "from 2 to 256"),
        ("LUT_3D_SIZE 257\n0 0 0", "from 2 to 256"),
        ("LUT_3D_SIZE -2\n0 0 0", "from 2 to 256"),
        ("LUT_3D_SIZE ²\n0 0 0", "from 2 to 256"),
        ("LUT_1D_SIZE 65537\n0 0 0", "from 2 to 65536"),
        ("LUT_3D_SIZE 2\n0 0 0", "must have 8 colours, not 1"),
        ("LUT_3D_SIZE 2", "must have 8 colours, not 0"),
        ("LUT_3D_SIZE 256\n0 0 0", "must have 16777216 colours, not 1"),
        (f"LUT_3D_SIZE 2\n{ROWS}\n1 1 1\n1 1 1", "must have 8 colours, not more"),
        ("LUT_3D_SIZE 2\n" + "1 1\n" * 8, "not three numbers"),
        ("LUT_3D_SIZE 2\n" + "1 1 1\n" * 7 + "1 1", "not three numbers"),
        ("LUT_3D_SIZE 2\n" + "0 0 x\n" * 8, "not three numbers"),
        ("LUT_3D_SIZE 2\n" + "0 0 nan\n" * 8, "NaN"),
        ("LUT_3D_SIZE 2\n" + "0 0 1e999\n" * 8, "NaN or infinite"),
        ("LUT_3D_SIZE 2\nDOMAIN_MAX 0 1 1\n" + ONES, "domain is empty"),
        ("LUT_3D_SIZE 2\nDOMAIN_MAX 1 1\n" + ONES, "three numbers"),
        ("LUT_3D_SIZE 2\nDOMAIN_MIN nan 0 0\n" + ONES, "domain is empty"),
        ("LUT_3D_SIZE 2\nLUT_3D_INPUT_RANGE 0\n" + ONES, "three numbers"),
    ],
)
def test_a_broken_cube_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PhotostyleError, match=message) as error:
        lut.read(cube(tmp_path, text))
    assert "look.cube' is not a valid .cube file: " in str(error.value)
    assert str(error.value).endswith(".")


def test_files_that_are_missing_or_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(PhotostyleError, match="cannot be read: No such file"):
        lut.read(tmp_path / "none.cube")
    with pytest.raises(PhotostyleError, match="cannot be read: Is a directory"):
        lut.read(tmp_path)
    with pytest.raises(PhotostyleError, match=r"use .cube, or .png"):
        lut.write(Lut.of(warm, 2), tmp_path / "look.3dl")


@pytest.mark.parametrize(("size", "level"), [(2, 2), (16, 4), (17, 5), (33, 6)])
def test_a_hald_clut_is_written_and_read(tmp_path: Path, size: int, level: int) -> None:
    look = Lut.of(warm, size)
    lut.write(look, tmp_path / "look.png")
    pixels = photo.read(tmp_path / "look.png").pixels
    assert pixels.shape == (level**3, level**3, 3)
    assert pixels.dtype == np.uint16
    # Red changes fastest: the second pixel is the second grid point of red.
    np.testing.assert_allclose(
        pixels[0, 1] / 65535, look.map(np.array([1 / (level**2 - 1), 0, 0])), atol=1e-5
    )
    again = lut.read(tmp_path / "look.png")
    np.testing.assert_allclose(again.table, look.map(grid(level**2)), atol=1e-5)


def test_an_8_bit_hald_clut_of_another_program(tmp_path: Path) -> None:
    """The identity of level 2 as ImageMagick's `hald:2` makes it."""
    levels = [0, 85, 170, 255]
    colors = [(r, g, b) for b in levels for g in levels for r in levels]
    Image.fromarray(np.array(colors, np.uint8).reshape(8, 8, 3)).save(tmp_path / "hald.png")
    np.testing.assert_allclose(lut.read(tmp_path / "hald.png").table, grid(4), atol=1e-7)
    Image.new("RGB", (9, 9)).save(tmp_path / "other.png")
    with pytest.raises(PhotostyleError, match="9 x 9 pixels"):
        lut.read(tmp_path / "other.png")


def test_a_cube_of_the_identity_changes_nothing(tmp_path: Path) -> None:
    lut.write(Lut.of(lambda colors: colors, 5), tmp_path / "same.cube")
    table = lut.read(tmp_path / "same.cube")
    np.testing.assert_array_equal(table(landscape()), landscape())
    np.testing.assert_allclose(table(landscape() / 255), landscape() / 255, atol=1e-12)


def test_a_cube_of_squares_is_interpolated_along_each_axis(tmp_path: Path) -> None:
    lut.write(Lut.of(lambda colors: colors[..., [2, 0, 1]] ** 2, 3), tmp_path / "squares.cube")
    # Blue, red, green become the channels; on a grid of 3 points 0.25 lies halfway to 0.5^2.
    colors = lut.read(tmp_path / "squares.cube")(np.array([[[0.25, 0.5, 0.75]]]))
    np.testing.assert_allclose(colors[0, 0], [(0.25 + 1) / 2, 0.125, 0.25])


def test_colours_outside_the_domain_are_clamped(tmp_path: Path) -> None:
    text = f"LUT_3D_SIZE 2\nDOMAIN_MIN 0.2 0.2 0.2\nDOMAIN_MAX 0.8 0.8 0.8\n{ROWS}"
    colors = lut.read(cube(tmp_path, text))(np.array([[[0.1, 0.5, 0.9]]]))
    np.testing.assert_allclose(colors, [[[0, 0.5, 1]]], atol=1e-12)

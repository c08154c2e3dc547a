"""FITS, XPM and Sun raster files, of which Pillow mistakes colours or scales."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
from support.photos import scene

from photostyle import PhotostyleError, photo


def fits(stored: npt.NDArray[np.generic], bits: int, **fields: object) -> BytesIO:
    """Values (H, W) or (H, W, 3), from the top, as they are stored."""
    planes = np.moveaxis(np.atleast_3d(stored)[::-1], -1, 0)
    axes = planes.shape[::-1][: stored.ndim]
    cards = {"SIMPLE": "T", "BITPIX": bits, "NAXIS": stored.ndim}
    cards |= {f"NAXIS{number}": side for number, side in enumerate(axes, 1)} | fields
    header = "".join(
        f"{name:8}= {value!s:>20} / comment".ljust(80) for name, value in cards.items()
    )
    data = planes.astype({8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}[bits]).tobytes()
    return BytesIO((header + "END").ljust(2880).encode() + data + bytes(-len(data) % 2880))


LEVELS = scene().astype(int) * 257


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (fits(scene(), 8), scene() / 255),
        (fits(scene()[..., 0], 8), scene()[..., :1] / 255),
        (fits(scene(), 8, BSCALE=1 / 255, BZERO=0.0), scene() / 255),
        (fits(LEVELS - 32768, 16, BZERO="3.2768D+04", BSCALE=1), scene() / 255),
        (fits(LEVELS[..., 0] // 2, 16), scene()[..., :1] / 255),
        (fits(scene().astype(int) * 16843009 - 2**31, 32, BZERO=2147483648.0), scene() / 255),
        (fits(scene() / 255, -32), scene() / 255),
        (fits(scene()[..., 0] / 255, -64), scene()[..., :1] / 255),
    ],
)
def test_fits(stream: BytesIO, expected: npt.NDArray[np.float64]) -> None:
    read = photo.read(stream)
    values = read.pixels / np.iinfo(read.pixels.dtype).max
    assert values.shape == (40, 60, 3)
    np.testing.assert_allclose(values, np.broadcast_to(expected, values.shape), atol=4e-5 + 1e-9)


def test_fits_without_a_picture() -> None:
    for stream in (fits(np.zeros((4, 4, 5)), 8), fits(np.zeros(()), 8)):
        with pytest.raises(PhotostyleError, match="convert it to TIFF"):
            photo.read(stream)
    with pytest.raises(PhotostyleError, match="damaged"):
        photo.read(BytesIO(fits(scene(), 8).getvalue()[:6000]))


def xpm(colors: list[str], rows: list[str], length: int = 1) -> BytesIO:
    strings = [f"{len(rows[0]) // length} {len(rows)} {len(colors)} {length}", *colors, *rows]
    body = ",\n".join(f'"{text}"' for text in strings)
    return BytesIO(f"/* XPM */\nstatic char * photo[] = {{\n{body}\n}};\n".encode())


@pytest.mark.parametrize(
    ("definition", "expected"),
    [
        ("c #f80", (255, 136, 0)),
        ("c #FF8000", (255, 128, 0)),
        ("c #FFF800000", (255, 128, 0)),
        ("c #FFFF80800000", (255, 128, 0)),
        ("c Light Sea Green", (32, 178, 170)),
        ("c grey50", (127, 127, 127)),
        ("c green", (0, 255, 0)),
        ("s name m black g #404040 c #102030", (16, 32, 48)),
        ("m black g #404040", (64, 64, 64)),
    ],
)
def test_colours_of_xpm(definition: str, expected: tuple[int, int, int]) -> None:
    read = photo.read(xpm([f"  {definition}", f"c{definition}", ". c white"], [" c.", ".. "]))
    white = (255, 255, 255)
    assert (
        read.pixels.tolist()
        == np.array([[expected] * 2 + [white], [white] * 2 + [expected]]).tolist()
    )
    assert read.alpha is None


def test_transparent_xpm_with_long_names() -> None:
    read = photo.read(xpm(["ab c None", "ba c red"], ["abba", "baba"], length=2))
    assert read.alpha is not None
    assert read.alpha.tolist() == [[0, 255], [255, 255]]
    assert read.pixels[0, 1].tolist() == [255, 0, 0]
    for colors, words in ((["ab c None"], "damaged"), (["ab c red", "ba c nored"], "'nored'")):
        with pytest.raises(PhotostyleError, match=words):
            photo.read(xpm(colors, ["abba"], length=2))


@pytest.mark.parametrize(("kind", "order"), [(1, [2, 1, 0]), (3, [0, 1, 2])])
def test_sun_raster_of_32_bits(kind: int, order: list[int]) -> None:
    header = struct.pack(">8I", 0x59A66A95, 60, 40, 32, 60 * 40 * 4, kind, 0, 0)
    padded = np.dstack([np.full((40, 60), 7, np.uint8), scene()[..., order]])
    read = photo.read(BytesIO(header + padded.tobytes()))
    assert np.array_equal(read.pixels, scene())

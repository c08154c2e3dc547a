"""HEIC and AVIF as phones write them: tiles, transformations and images that belong to others."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from imagecodecs import avif_encode, jpegxl_encode
from support import heif
from support.photos import profile, scene

from photostyle import photo
from photostyle.photo import isobmff
from photostyle.photo.color import Pixels
from photostyle.photo.xmp import GAIN_MAP_NOTE, MOTION_NOTE, PARTS_NOTE

pytest.importorskip("pillow_heif")

FORMATS = pytest.mark.parametrize("format", ["HEIF", "AVIF"])
PIXELS = scene(100, 70)
APERTURE = heif.clap(60, 1, 40, 1, 10, 1, -6, 1)
CROPPED = PIXELS[9:49, 30:90]
# ISO 21496-1: flags; headroom of base and alternate; of the map least, most, gamma and offsets.
TONE_MAP = bytes(5) + b"\x40" + struct.pack(">14I", 0, 1, 2, 1, 0, 1, 2, 1, 1, 1, 0, 1, 0, 1)
URN = b"urn:mpeg:mpegB:cicp:systems:auxiliary:"


@FORMATS
@pytest.mark.parametrize(
    ("transformations", "expected"),
    [
        ((), PIXELS),
        ((APERTURE,), CROPPED),
        ((APERTURE, heif.irot(1)), np.rot90(CROPPED)),
        ((APERTURE, heif.irot(3), heif.imir(1)), np.rot90(CROPPED, 3)[:, ::-1]),
        ((heif.irot(1), heif.imir(0)), np.rot90(PIXELS)[::-1]),
        ((heif.imir(0), heif.irot(1)), np.rot90(PIXELS[::-1])),  # another picture
    ],
)
def test_tiles_are_joined_then_cut_turned_and_mirrored_in_order(
    format: str, transformations: tuple[bytes, ...], expected: Pixels
) -> None:
    read = photo.read(heif.file(heif.tiled(PIXELS, format, transformations), format))
    assert read.pixels.shape == expected.shape
    assert np.abs(read.pixels.astype(int) - expected).mean() < 2
    assert read.notes == ()


@FORMATS
def test_images_that_belong_to_the_photo(format: str) -> None:
    alpha = np.linspace(0, 255, 7000).reshape(70, 100).astype(np.uint8)
    half = alpha[::2, ::2]

    def auxiliary(number: int, pixels: Pixels, kind: bytes) -> heif.Item:
        return heif.coded(number, pixels, format, heif.auxiliary(kind), of=b"auxl")

    items = heif.tiled(PIXELS, format, ())
    items.append(heif.coded(10, 255 - PIXELS[::2, ::2], format, of=b"thmb"))
    assert photo.read(heif.file(items, format)).notes == ()
    items.append(auxiliary(11, alpha, URN + b"alpha"))
    read = photo.read(heif.file(items, format))
    assert np.abs(read.pixels.astype(int) - PIXELS).mean() < 2
    assert read.alpha is not None
    assert np.abs(read.alpha.astype(int) - alpha).max() <= 2
    assert read.notes == ()
    for more, note in (
        ([auxiliary(12, half, URN + b"depth")], PARTS_NOTE),
        ([auxiliary(13, half, b"urn:com:apple:photo:2020:aux:hdrgainmap")], GAIN_MAP_NOTE),
        (
            [
                heif.Item(14, b"tmap", TONE_MAP, items[0].properties, ((b"dimg", (1, 15)),)),
                heif.coded(15, half, format),
            ],
            GAIN_MAP_NOTE,
        ),
    ):
        read = photo.read(heif.file(items + more, format))
        assert np.abs(read.pixels.astype(int) - PIXELS).mean() < 2
        assert [text.removeprefix("The photo: ") for text in read.notes] == [note]


@FORMATS
def test_a_motion_clip_is_named(format: str) -> None:
    """The box of Google's Motion Photo 1.0."""
    data = heif.file(heif.tiled(PIXELS, format, ()), format).getvalue()
    (note,) = photo.read(BytesIO(data + isobmff.box(b"mpvd", b"clip"))).notes
    assert MOTION_NOTE in note


def test_a_gain_map_of_jpeg_xl_is_named() -> None:
    pytest.importorskip("pillow_jxl")
    data = bytes(jpegxl_encode(PIXELS, lossless=True, usecontainer=True))
    (note,) = photo.read(BytesIO(data + isobmff.box(b"jhgm", b"map"))).notes
    assert GAIN_MAP_NOTE in note


@FORMATS
@pytest.mark.parametrize("of_tiles", [False, True])
def test_the_colour_space_of_the_tiles_is_that_of_the_photo(format: str, of_tiles: bool) -> None:
    p3 = profile("Display P3")
    named = isobmff.box(b"colr", b"nclx" + struct.pack(">3HB", 12, 13, 6, 128))
    for property in (named, isobmff.box(b"colr", b"prof" + p3)):
        given = ((), property) if of_tiles else ((property,),)
        read = photo.read(heif.file(heif.tiled(PIXELS, format, *given), format))
        pixels = read.in_profile(p3).pixels
        assert np.abs(pixels.astype(int) - PIXELS).mean() < 2
        assert read.original is not None


def test_tiles_of_10_bits_keep_them() -> None:
    values = np.random.default_rng(0).integers(0, 1024, (64, 64, 3), np.uint16)
    stream = BytesIO(avif_encode(values, level=100, bitspersample=10))
    (data,) = isobmff.item_data(stream, (b"av01",)).values()
    own = tuple(isobmff.box(*p) for p in isobmff.primary_properties(stream))
    grid, tile = heif.tiled(np.zeros((64, 64, 3), np.uint8), "AVIF", ())
    read = photo.read(heif.file([grid, tile._replace(data=data, properties=own)], "AVIF"))
    assert np.array_equal(read.pixels, (values * (65535 / 1023)).round())

"""Colour profiles and colour spaces of every kind, compared with formulas computed in numpy."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from imagecodecs import cms_profile
from PIL import Image
from support.photos import D65, PRIMARIES, encoded, profile, saved, scene, to_linear

from photostyle import photo
from photostyle.photo import Photo

Floats = npt.NDArray[np.float64]

# Columns: the primaries of sRGB in XYZ under D50 (IEC 61966-2-1, Bradford adaptation).
SRGB_TO_XYZ = np.array(
    [
        [0.4360747, 0.3850649, 0.1430804],
        [0.2225045, 0.7168786, 0.0606169],
        [0.0139322, 0.0971045, 0.7141733],
    ]
)


def to_srgb(linear: Floats) -> Floats:
    """Linear light in 0..1, encoded as sRGB in 0..255."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def table_profile(
    gamma: float, *, inverse: bool, swap: bool = False, transfer: int | None = None
) -> bytes:
    """A monitor's ICC profile (lut16) with the primaries of sRGB, from tables instead of a matrix.

    inverse: whether its way back is the inverse, or a stub that makes everything black. swap:
    whether red and blue are exchanged, which no curves can undo. transfer: a code point of
    ITU-T H.273 that the profile names.
    """
    grid = np.stack(np.meshgrid(*[[0.0, 1.0]] * 3, indexing="ij"), -1).reshape(-1, 3)
    order = [2, 1, 0] if swap else [0, 1, 2]

    def lut16(matrix: Floats, before: Floats, table: Floats, after: Floats) -> bytes:
        head = b"mft2\0\0\0\0" + bytes((3, 3, 2, 0))
        head += struct.pack(">9i", *(matrix * 65536).round().astype(int).flat)
        head += struct.pack(">2H", len(before), len(after))
        curves = [np.tile(before, 3), table.ravel(), np.tile(after, 3)]
        return head + b"".join((c * 65535).round().astype(">u2").tobytes() for c in curves)

    curve, straight = np.linspace(0, 1, 4096), np.array([0.0, 1.0])
    xyz = grid[:, order] @ SRGB_TO_XYZ.T * 32768 / 65535
    there = lut16(np.eye(3), curve**gamma, xyz, straight)
    # Little CMS passes XYZ up to 1 + 32767/32768 as 0..1.
    back_matrix = np.linalg.inv(SRGB_TO_XYZ) * 65535 / 32768
    back = lut16(
        back_matrix / 2 if inverse else np.eye(3),
        (curve * 2).clip(0, 1) if inverse else straight,
        grid[:, order] if inverse else np.zeros((8, 3)),
        curve ** (1 / gamma),
    )
    text = b"desc\0\0\0\0\0\0\0\5tab\0\0" + bytes(90)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    parts = {b"A2B0": there, b"B2A0": back, b"desc": text, b"wtpt": white}
    if transfer is not None:
        parts[b"cicp"] = b"cicp\0\0\0\0" + bytes((9, transfer, 0, 1))
    tags, offset, body = b"", 128 + 4 + len(parts) * 12, b""
    for name, data in parts.items():
        tags += name + struct.pack(">2I", offset + len(body), len(data))
        body += data + bytes(-len(data) % 4)
    header = struct.pack(">I4xI4s4s4s", offset + len(body), 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", len(parts)) + tags + body


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("inverse", [True, False])
def test_a_table_profile_is_written_back_only_if_it_can_be_inverted(
    inverse: bool, depth: int
) -> None:
    top = 2**depth - 1
    values = (np.random.default_rng(0).random((50, 70, 3)) * top).round()
    values = values.astype(np.uint8 if depth == 8 else np.uint16)
    table = table_profile(2.2, inverse=inverse, swap=True)
    read = photo.read(BytesIO(encoded(Photo(values, None, table, table), "PNG")))
    expected = to_srgb((values[..., ::-1] / top) ** 2.2)
    assert np.abs(read.pixels / top * 255 - expected).max() < (1.1 if depth == 8 else 0.8)
    assert photo.color.are_equivalent(read.profile, None)
    assert (read.original == table) == inverse
    assert any("read as sRGB" in note for note in read.notes) == (not inverse)
    # Written without any change, another reader sees the same colours.
    again = photo.read(BytesIO(encoded(read, "PNG")))
    assert np.abs(again.in_srgb() - expected).max() < 2.5


def test_a_profile_of_hdr_is_noted() -> None:
    """As libjxl makes them: tables for display only, and a tag that names PQ or HLG."""
    for transfer, expected in ((16, "HDR"), (18, "HDR"), (13, "Converting back"), (None, "Conv")):
        table = table_profile(2.2, inverse=False, transfer=transfer)
        (note,) = photo.read(BytesIO(encoded(Photo(scene(), None, table, table), "PNG"))).notes
        assert expected in note


def test_8_bits_of_linear_light_are_not_written_again() -> None:
    """8 bits of linear light have 13 levels of sRGB between the two darkest."""
    linear = cms_profile("rgb", whitepoint=D65, primaries=PRIMARIES["sRGB"][0], gamma=1.0)
    values = scene()
    read = photo.read(saved(Image.fromarray(values), "PNG", icc_profile=linear))
    assert np.abs(read.pixels - to_srgb(values / 255)).max() < 1
    assert read.original == photo.color.SRGB


def test_a_gray_photo_in_an_rgb_profile_is_converted() -> None:
    gray = np.arange(256, dtype=np.uint8)[None]
    for values in (gray, gray.astype(np.uint16) * 257):
        top = np.iinfo(values.dtype).max
        image = Image.fromarray(values)
        read = photo.read(saved(image, "TIFF", icc_profile=profile("ProPhoto")))
        expected = to_srgb(to_linear(values[0] / top, "ProPhoto"))
        assert np.abs(read.pixels[0] / top * 255 - expected[:, None]).max() < 1.1
        assert read.notes == ()


def test_lab_is_converted_by_its_formula() -> None:
    lab = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    lab[..., 1:] //= 3  # most colours within sRGB
    stream = BytesIO()
    tifffile.imwrite(stream, lab, photometric="cielab", metadata=None)
    light, a, b = lab[..., 0] / 2.55, *np.moveaxis(lab[..., 1:].astype(float), -1, 0)

    def inverse(t: Floats) -> Floats:
        return np.where(t > 6 / 29, t**3, 3 * (6 / 29) ** 2 * (t - 4 / 29))

    y = (light + 16) / 116
    xyz = [0.9642 * inverse(y + a / 500), inverse(y), 0.8249 * inverse(y - b / 200)]
    linear = np.stack(xyz, -1) @ np.linalg.inv(SRGB_TO_XYZ).T
    assert np.abs(photo.read(stream).pixels - to_srgb(linear)).max() < 1.1


def test_a_profile_that_is_dropped_is_named() -> None:
    data = saved(Image.fromarray(scene()), "JPEG", icc_profile=profile("Display P3")).getvalue()
    at = data.index(b"ICC_PROFILE\0") + 12
    read = photo.read(BytesIO(data[:at] + b"\1\2" + data[at + 2 :]))  # the first of two parts
    (note,) = read.notes
    assert note.endswith("The colour profile is damaged and was dropped.")
    wide = photo.read(BytesIO(data))
    for format in ("BMP", "GIF"):
        assert any("converted to sRGB" in s for s in photo.unsupported_features(wide, format))
    assert photo.unsupported_features(wide, "PNG") == []


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_lab_with_a_white_of_its_own(dtype: type) -> None:
    """As ImageMagick writes it, with D65."""
    levels = [0.0, 0.02, 0.3, 1.0]
    light = np.array([[r, g, b] for r in levels for g in levels for b in levels]).reshape(8, 8, 3)
    light = to_linear(light)
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    ratio = light @ np.array(matrix).T / np.sum(matrix, axis=1)
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    a, b = 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])
    unit, top = (1, 255) if dtype == np.uint8 else (256, 65535)
    stored = np.stack([(1.16 * f[..., 1] - 0.16) * top, a * unit, b * unit], -1).round()
    stored = stored.astype(int).astype(dtype)
    white = (318, 5, 2, (3127, 10000, 3290, 10000), True)
    stream = BytesIO()
    tifffile.imwrite(stream, stored, photometric="cielab", metadata=None, extratags=[white])
    read = photo.read(stream)
    shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    tolerance = 9 / 255 if dtype == np.uint8 else 0.0015  # of a and b in whole numbers
    np.testing.assert_allclose(read.pixels / top, shown, atol=tolerance)

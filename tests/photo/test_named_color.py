"""Colour spaces named by numbers, compared with formulas of the standards."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import avif_encode, png_encode
from PIL import Image, PngImagePlugin
from support.photos import PRIMARIES, deep_scene, encoded, profile, saved, scene, with_chunks

from photostyle import photo

Floats = npt.NDArray[np.float64]


def png(pixels: npt.NDArray[Any], *chunks: tuple[bytes, bytes]) -> BytesIO:
    return with_chunks(bytes(png_encode(pixels)), *chunks)


def to_srgb(linear: Floats) -> Floats:
    """Linear light in 0..1, encoded as sRGB in 0..255."""
    linear = linear.clip(0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("format", ["PNG", "AVIF", "HEIF"])
def test_display_p3_named_by_numbers_is_kept(format: str) -> None:
    pixels = scene()
    if format == "PNG":
        stream = png(pixels, (b"cICP", bytes((12, 13, 0, 1))))
    elif format == "AVIF":
        stream = BytesIO(avif_encode(pixels, level=100, primaries=12, transfer=13, matrix=0))
    else:
        pytest.importorskip("pillow_heif")
        options = {"color_primaries": 12, "transfer_characteristics": 13, "quality": -1}
        options |= {"matrix_coefficients": 0, "full_range_flag": 1, "chroma": 444}
        stream = saved(Image.fromarray(pixels), "HEIF", **options)
    read = photo.read(stream)
    assert np.abs(read.pixels.astype(int) - pixels).max() <= 1
    assert read.original is not None
    assert photo.color.are_equivalent(read.original, profile("Display P3"))
    assert not photo.color.are_equivalent(read.original, None)
    assert read.notes == ()
    again = photo.read(BytesIO(encoded(read, "PNG")))
    assert photo.color.are_equivalent(again.original, profile("Display P3"))


def test_numbers_of_srgb_stay_untagged() -> None:
    """The curves of BT.709 and its relatives are read as that of sRGB, as browsers do."""
    for code in ((1, 13), (1, 1), (2, 2), (1, 6)):
        read = photo.read(png(scene(), (b"cICP", bytes((*code, 0, 1)))))
        assert read.profile is None
        assert read.notes == ()
    assert photo.read(saved(Image.fromarray(scene()), "AVIF")).profile is None


def test_numbers_that_nobody_knows_are_noted() -> None:
    (note,) = photo.read(png(scene(), (b"cICP", bytes((99, 13, 0, 1))))).notes
    assert "unknown" in note


def test_numbers_are_ignored_without_color_management() -> None:
    stream = png(scene(), (b"cICP", bytes((9, 16, 0, 1))))
    read = photo.read(stream, color_managed=False)
    assert np.array_equal(read.pixels, scene())
    assert read.notes == ()


P3 = struct.pack(">8I", *(round(v * 100_000) for v in (0.3127, 0.329, *PRIMARIES["Display P3"][0])))


@pytest.mark.parametrize(
    ("chunks", "primaries"),
    [
        ([(b"cHRM", P3), (b"gAMA", struct.pack(">I", 45455))], "Display P3"),
        ([(b"gAMA", struct.pack(">I", 45455))], None),
        ([(b"sRGB", b"\0"), (b"cHRM", P3)], None),
        ([(b"cHRM", bytes(32))], None),
        ([(b"cICP", bytes((1, 13, 0, 1))), (b"cHRM", P3)], None),
    ],
)
def test_the_precedence_of_chunks(chunks: list[tuple[bytes, bytes]], primaries: str | None) -> None:
    """PNG, third edition, 4.3: cICP, then iCCP, then sRGB, then gAMA and cHRM."""
    read = photo.read(png(scene(), *chunks))
    assert np.array_equal(read.pixels, scene())
    expected = profile(primaries) if primaries else None
    assert photo.color.are_equivalent(read.original, expected)


def test_a_profile_of_png_yields_to_cicp_only() -> None:
    wide = saved(Image.fromarray(scene()), "PNG", icc_profile=profile("Adobe RGB")).getvalue()
    gamma = (b"gAMA", struct.pack(">I", 100_000))
    assert photo.read(with_chunks(wide, gamma)).original == profile("Adobe RGB")
    coded = photo.read(with_chunks(wide, (b"cICP", bytes((12, 13, 0, 1)))))
    assert photo.color.are_equivalent(coded.original, profile("Display P3"))


@pytest.mark.parametrize("gray", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_gamma_of_png(gray: bool, depth: int) -> None:
    pixels = scene() if depth == 8 else deep_scene()
    values = np.ascontiguousarray(pixels[..., 0]) if gray else pixels
    read = photo.read(png(values, (b"gAMA", struct.pack(">I", 100_000))))
    expected = to_srgb((pixels[..., :1] if gray else pixels) / (2**depth - 1))
    assert np.abs(read.pixels / (2**depth - 1) * 255 - expected).max() < 1.1
    again = photo.read(BytesIO(encoded(read, "PNG")))
    assert np.abs(again.in_srgb() - expected).max() < 1.6


# HDR: BT.2100, BT.2408 and BT.2390, from the text of the recommendations.


def pq(light: Floats) -> Floats:
    """The inverse EOTF of PQ: cd/m2 to 0..1."""
    y = (light / 10_000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)


def hlg(scene_light: Floats) -> Floats:
    """The OETF of HLG."""
    bright = 0.17883277 * np.log(np.maximum(12 * scene_light - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene_light <= 1 / 12, np.sqrt(3 * scene_light), bright)


def gray_png(values: Floats, transfer: int) -> BytesIO:
    row = (values * 65535).round().astype(np.uint16)
    pixels = np.broadcast_to(row[None, :, None], (8, row.size, 3))
    return png(np.ascontiguousarray(pixels), (b"cICP", bytes((9, transfer, 0, 1))))


def test_pq_below_white_is_only_re_encoded() -> None:
    light = np.linspace(0, 203, 100)
    read = photo.read(gray_png(pq(light), 16))
    assert np.abs(read.pixels[0] / 257 - to_srgb(light / 203)[:, None]).max() < 0.1
    assert photo.color.are_equivalent(read.original, profile("Display P3"))
    (note,) = read.notes
    assert "HDR" in note


def test_pq_above_white_is_compressed_as_bt_2390_says() -> None:
    light = np.linspace(0, 1000, 200)
    read = photo.read(gray_png(pq(light), 16))
    source = pq(light) / pq(np.array(1000.0))
    white = pq(np.array(203.0)) / pq(np.array(1000.0))
    knee = 1.5 * white - 0.5
    t = (source - knee) / (1 - knee)
    spline = (2 * t**3 - 3 * t**2 + 1) * knee + (t**3 - 2 * t**2 + t) * (1 - knee)
    spline += (-2 * t**3 + 3 * t**2) * white
    mapped = np.where(source < knee, source, spline) * pq(np.array(1000.0))
    # Back to light by a table of the inverse.
    grid = np.linspace(0, 300, 200_000)
    expected = to_srgb(np.interp(mapped, pq(grid), grid) / 203)
    assert np.abs(read.pixels[0] / 257 - expected[:, None]).max() < 0.3
    assert read.pixels[0, -1, 0] == 65535
    assert (np.diff(read.pixels[0, :, 0].astype(int)) >= 0).all()


def test_hlg_reference_white_is_203_nits() -> None:
    """BT.2408: 75 % of the signal; the nominal display has 1000 cd/m2 and a gamma of 1.2."""
    scene_light = np.linspace(0, 0.2645, 100)  # HLG of up to 75 %
    assert abs(hlg(scene_light)[-1] - 0.75) < 0.001
    read = photo.read(gray_png(hlg(scene_light), 18))
    expected = to_srgb(1000 * scene_light**1.2 / 203)
    assert np.abs(read.pixels[0] / 257 - expected[:, None]).max() < 0.4


def test_one_bright_pixel_does_not_darken_hdr() -> None:
    values = np.full((40, 60, 3), pq(np.array(100.0)) * 65535).round().astype(np.uint16)
    plain = photo.read(png(values, (b"cICP", bytes((9, 16, 0, 1))))).pixels
    values[3, 4] = 65535
    bright = photo.read(png(values, (b"cICP", bytes((9, 16, 0, 1))))).pixels
    assert np.array_equal(bright[9:], plain[9:])
    assert (bright[3, 4] == 65535).all()


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
def test_hdr_of_10_bits_is_read_with_all_its_bits(format: str) -> None:
    light = np.linspace(0, 203, 128)
    row = (pq(light) * 1023).round().astype(np.uint16)
    values = np.ascontiguousarray(np.broadcast_to(row[None, :, None], (64, 128, 3)))
    if format == "AVIF":
        stream = BytesIO(
            avif_encode(values, level=100, bitspersample=10, primaries=9, transfer=16, matrix=0)
        )
    else:
        pillow_heif = pytest.importorskip("pillow_heif")
        made = pillow_heif.from_bytes(mode="RGB;16", size=(128, 64), data=(values << 6).tobytes())
        stream = BytesIO()
        options = {"color_primaries": 9, "transfer_characteristics": 16, "quality": -1}
        options |= {"matrix_coefficients": 0, "full_range_flag": 1, "chroma": 444}
        made.save(stream, **options)
    read = photo.read(stream)
    assert (read.size, read.depth) == ((128, 64), 16)
    # One step of PQ in 10 bits is about 1 % of the light.
    assert np.abs(read.pixels[9] / 257 - to_srgb(light / 203)[:, None]).max() < 1
    assert any("HDR" in note for note in read.notes)


def test_hdr_keeps_alpha_and_gray() -> None:
    alpha = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    gray = np.full((20, 30), 30_000, np.uint16)
    code = (b"cICP", bytes((9, 16, 0, 1)))
    read = photo.read(png(np.dstack([gray, alpha]), code))
    rgb = photo.read(png(np.dstack([gray, gray, gray]), code))
    assert np.array_equal(read.pixels, rgb.pixels)
    assert read.alpha is not None
    assert np.array_equal(read.alpha, alpha)


def test_an_animation_named_by_numbers() -> None:
    frames = [Image.fromarray(scene(seed=seed)) for seed in range(3)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=40).getvalue()
    assert isinstance(Image.open(BytesIO(data)), PngImagePlugin.PngImageFile)
    read = photo.read(with_chunks(data, (b"cICP", bytes((12, 13, 0, 1)))))
    assert read.animation is not None
    assert np.array_equal(read.animation.frames[1].pixels, scene(seed=2))
    assert photo.color.are_equivalent(read.original, profile("Display P3"))


def test_the_narrow_range_of_video_in_png_is_noted() -> None:
    (note,) = photo.read(png(scene(), (b"cICP", bytes((1, 13, 0, 0))))).notes
    assert "narrow range" in note

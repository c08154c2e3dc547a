"""JPEG of more than 8 bits, and JPEG-LS."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from support.photos import camera_exif, deep_scene, profile, scene

from photostyle import PhotostyleError, photo

P3 = profile("Display P3")


def with_segments(data: bytes) -> bytes:
    """With EXIF, turned to the right, and a profile."""
    exif, icc = camera_exif(6), b"ICC_PROFILE\0\1\1" + P3
    added = (struct.pack(">BBH", 0xFF, m, len(c) + 2) + c for m, c in ((0xE1, exif), (0xE2, icc)))
    return data[:2] + b"".join(added) + data[2:]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("bits", "lossless", "tolerance"), [(12, False, 100), (10, True, 0), (16, True, 0)]
)
def test_more_than_8_bits(bits: int, lossless: bool, tolerance: int, channels: int) -> None:
    values = deep_scene()[..., :channels] >> (16 - bits)
    given = np.ascontiguousarray(values if channels == 3 else values[..., 0])
    options: dict[str, Any] = {"lossless": lossless, "bitspersample": bits, "subsampling": "444"}
    data = imagecodecs.jpeg8_encode(given, level=100, **options)
    read = photo.read(BytesIO(with_segments(bytes(data))))
    expected = (np.rot90(values, -1) * (65535 / (2**bits - 1))).round()
    assert read.format == "JPEG"
    assert b"Maker" in read.metadata.exif
    if channels == 3:
        assert read.original == P3
        difference = np.abs(read.pixels - expected)
        assert difference.max() <= tolerance
        assert difference.mean() <= tolerance / 5
    else:
        assert read.pixels.shape == (60, 40, 3)
        assert np.ptp(read.pixels, axis=-1).max() <= 257  # grey


def test_what_is_cut_off_is_refused_or_salvaged() -> None:
    data = bytes(imagecodecs.jpeg8_encode(deep_scene(), lossless=True, bitspersample=16))
    for length in range(30, len(data), len(data) // 20):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(data[:length]))
    huge = bytearray(data)
    struct.pack_into(">2H", huge, data.index(b"\xff\xc3") + 5, 20_000, 20_000)
    with pytest.raises(PhotostyleError, match="damaged or incomplete"):
        photo.read(BytesIO(huge))
    read = photo.read(BytesIO(data[: len(data) // 2]), salvage=True)
    assert np.array_equal(read.pixels[:15], deep_scene()[:15])
    assert "cut off" in read.notes[0]


def test_jpeg_ls_is_named() -> None:
    with pytest.raises(PhotostyleError, match="JPEG-LS cannot be read; convert the file to PNG"):
        photo.read(BytesIO(imagecodecs.jpegls_encode(scene())))

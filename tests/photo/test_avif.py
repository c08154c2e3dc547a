"""AVIF files that Pillow refuses."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, UnidentifiedImageError
from support.photos import XMP, camera_exif, profile, saved, scene

from photostyle import PhotostyleError, photo


def avif(orientation: int = 1, **options: object) -> bytes:
    """With transparency."""
    image = Image.fromarray(np.dstack([scene(), scene()[..., 0]]))
    exif = camera_exif(orientation)
    return saved(image, "AVIF", quality=100, exif=exif, xmp=XMP, **options).getvalue()


def without_size_of_alpha(data: bytes) -> bytes:
    """A copy of a file of libavif whose second image has no property with its size."""
    changed = bytearray(data)
    first = data.index(b"ipma") + 4 + 4 + 4
    second = first + 3 + data[first + 2]
    for entry in range(second + 3, second + 3 + data[second + 2]):
        if data[entry] & 0x7F == 1:
            changed[entry] += 1
    return bytes(changed)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_alpha_that_does_not_tell_its_size(orientation: int) -> None:
    p3 = profile("Display P3")
    data = avif(orientation, icc_profile=p3)
    odd = without_size_of_alpha(data)
    with pytest.raises(UnidentifiedImageError):
        Image.open(BytesIO(odd))
    expected, read = photo.read(BytesIO(data)), photo.read(BytesIO(odd))
    assert np.abs(read.pixels.astype(int) - expected.pixels).max() <= 1
    assert read.alpha is not None
    assert expected.alpha is not None
    assert np.array_equal(read.alpha, expected.alpha)
    assert read.original == p3
    assert read.metadata == expected.metadata
    assert b"Maker" in read.metadata.exif
    assert b"Rating" in read.metadata.xmp
    assert read.format == "AVIF"


@pytest.mark.parametrize("brand", [b"MA1A", b"miaf", b"heic", b"mif1"])
def test_the_main_brand_may_be_another(brand: bytes) -> None:
    data = avif()
    expected = photo.read(BytesIO(data))
    read = photo.read(BytesIO(data[:8] + brand + data[12:]))
    assert np.abs(read.pixels.astype(int) - expected.pixels).max() <= 1
    assert read.metadata == expected.metadata


def test_damaged_and_huge_files_are_refused() -> None:
    data = without_size_of_alpha(avif())
    for length in range(12, len(data), 31):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(data[:length]))
    huge = bytearray(data)
    struct.pack_into(">2I", huge, data.index(b"ispe") + 8, 100_000, 100_000)
    with pytest.raises(PhotostyleError, match="too large"):
        photo.read(BytesIO(huge))

"""AVIF files that Pillow refuses, as those whose transparency does not tell its size, and more
than 8 bits."""

from __future__ import annotations

import struct
from contextlib import suppress
from typing import BinaryIO

import numpy as np
from PIL import Image

from photostyle.photo import isobmff, limits, raster
from photostyle.photo.raster import Raster

_BRANDS = (b"avif", b"avis")


def is_avif(stream: BinaryIO) -> bool:
    """Whether a file says that it is an AVIF, by any of its brands."""
    return not isobmff.brands(stream).isdisjoint(_BRANDS)


def open_image(stream: BinaryIO) -> Image.Image:
    """The primary image of an AVIF file, with the format and ``info`` that Pillow gives.

    Raises ValueError, struct.error or RuntimeError if the file is damaged, TooLargeError as
    `photostyle.photo.limits.check_size` does.
    """
    from imagecodecs import avif_decode

    properties = isobmff.primary_properties(stream)
    found = dict(properties)
    limits.check_size(*struct.unpack_from(">4xII", found.get(b"ispe", b"")))
    stream.seek(0)
    values = avif_decode(stream.read())  # imagecodecs crashes if it is told the frame
    values = values[0] if values.ndim == 4 else values
    if values.dtype != np.uint8:
        values = (values >> (_bits(properties) - 8)).astype(np.uint8)
    image = Image.fromarray(values[..., 0] if values.shape[-1:] == (1,) else values)
    image.format = "AVIF"
    image.info["icc_profile"] = profile(stream)
    items = isobmff.item_data(stream, (b"Exif", b"mime"))
    if block := items.get(b"Exif"):
        image.info["exif"] = block[4 + int.from_bytes(block[:4], "big") :]
    if packet := items.get(b"mime"):
        image.info["xmp"] = packet
    return image


def read_all_bits(
    stream: BinaryIO, aperture: tuple[int, int, int, int] | None, frames: int = 1
) -> list[Raster]:
    """The primary image, or all frames, with all bits; none if they have 8.

    Not yet upright, without profile. aperture: the part to read, as left, top, right, bottom; None
    for all of it. Raises RuntimeError if the pixels are damaged.
    """
    from imagecodecs import avif_decode

    bits = 8
    with suppress(ValueError, struct.error, IndexError):
        bits = _bits(isobmff.primary_properties(stream))
    if bits == 8:
        return []
    stream.seek(0)
    values = avif_decode(stream.read())
    left, top, right, bottom = aperture or (None, None, None, None)
    return [
        raster.from_array(raster.to_uint16(frame[top:bottom, left:right], bits), None)
        for frame in (values if frames > 1 else [values])
    ]


def _bits(properties: list[tuple[bytes, bytes]]) -> int:
    """Bits per channel, of the largest (ISO/IEC 23008-12, 6.5.6)."""
    pixi = dict(properties).get(b"pixi", b"")
    if len(pixi) > 5:
        return max(pixi[5:])
    # AV1 Codec ISO Media File Format Binding, 2.3.3.
    flags = dict(properties).get(b"av1C", b"\0\0\0")[2]
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 8


def profile(stream: BinaryIO) -> bytes | None:
    """The ICC profile of the primary image, also if only its tiles have it, unlike Pillow."""
    with suppress(ValueError, struct.error, IndexError):
        for kind, data in isobmff.primary_properties(stream):
            if kind == b"colr" and data[:4] in (b"prof", b"rICC"):
                return data[4:]
    return None


def orientation(stream: BinaryIO) -> int | None:
    """The turns and mirrors of the primary image, in their order, as an EXIF orientation.

    None if there are none.
    """
    properties = list[tuple[bytes, bytes]]()
    with suppress(ValueError, struct.error, IndexError):
        properties = isobmff.primary_properties(stream)
    stored = shown = np.arange(6, dtype=np.uint8).reshape(2, 3)
    for kind, data in properties:
        if kind == b"irot":
            shown = np.rot90(shown, data[0] & 3)
        elif kind == b"imir":
            shown = shown[:, ::-1] if data[0] & 1 else shown[::-1]
    if shown is stored:
        return None
    return next(o for o in range(1, 9) if np.array_equal(raster.oriented(stored, o), shown))

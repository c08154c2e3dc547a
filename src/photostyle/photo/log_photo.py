"""Photos of log footage, and of other input spaces that are named by hand."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import BinaryIO

import numpy as np
from PIL import Image

from photostyle.errors import PhotostyleError
from photostyle.input_space import InputSpace
from photostyle.photo import color, named_color
from photostyle.photo.color import Pixels
from photostyle.photo.decoder_errors import DECODER_ERRORS
from photostyle.photo.formats import READABLE
from photostyle.photo.photo import Photo, strips

_LIGHT = {"RAW": "a raw photo", "EXR": "linear light", "HDR": "linear light", "PFM": "linear light"}


def displayed(photo: Photo, space: InputSpace) -> Photo:
    """A photo, whose values are those of its file, as a display shows it: in sRGB, with a note."""

    def convert(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, Pixels | None]:
        top, result = np.iinfo(pixels.dtype).max, np.empty_like(pixels)
        for rows in strips(pixels):
            shown = space.display(pixels[rows] / np.float32(top))
            result[rows] = (shown * top).round()
        return result, alpha

    note = f"Its values were read as {space.name}."
    if space.curve is not None:
        note = f"Its values were read as {space.name}, and mapped to sRGB."
        photo = photo.map_frames(convert)
    return replace(photo, original=color.SRGB, notes=(*photo.notes, note))


def check_values(photo: Photo, stream: BinaryIO, name: str) -> None:
    """Raise PhotostyleError if a photo, read from a stream, cannot hold values of log footage."""
    kind = _LIGHT.get(photo.format) or ("HDR" if _is_hdr(stream) else None)
    if kind:
        raise PhotostyleError(f"{name} is {kind}, not log footage; leave out --input-space.")


def _is_hdr(stream: BinaryIO) -> bool:
    """Whether an image says that it is PQ or HLG."""
    stream.seek(0)
    with suppress(*DECODER_ERRORS), Image.open(stream, "r", READABLE) as image:
        space, _ = named_color.read(image, stream)
        return bool(space and space.is_hdr) or color.names_hdr(image.info.get("icc_profile") or b"")
    return False

"""The values in a photo file as they are stored, and the way from there to upright RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

from photostyle.photo import color
from photostyle.photo.color import Pixels
from photostyle.photo.photo import strips

# Modes of Pillow that hold the values of a colour space as they are, and those close to them.
_SPACES = {"L": "GRAY", "LA": "GRAY", "RGB": "RGB ", "RGBA": "RGB ", "CMYK": "CMYK"}
_OTHER_MODES = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
_DEEP_MODES = ("I", "F")  # the first letter of modes with more than 8 bits


class Raster(NamedTuple):
    """What a decoder gives: rows of grey, RGB or CMYK values.

    rows     gives the rows of a slice as (h, w, channels), uint8 or uint16, read only
    shape    height and width
    type     uint8 or uint16
    space    "GRAY", "RGB " or "CMYK"
    alpha    whether the last channel is alpha
    profile  the ICC profile that the values are in, if the file has one
    """

    rows: Callable[[slice], Pixels]
    shape: tuple[int, int]
    type: npt.DTypeLike
    space: str
    alpha: bool
    profile: bytes | None


def of_image(image: Image.Image, profile: bytes | None) -> Raster:
    """The values of a loaded image of Pillow, of any mode."""
    if image.mode.startswith(_DEEP_MODES):
        return of_array(scaled(np.asarray(image)), profile)
    if image.mode == "LAB":
        image.info.pop("icc_profile", None)
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        rgb = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert rgb is not None
        image, profile = rgb, color.SRGB
    if image.mode in _OTHER_MODES:
        image = image.convert(_OTHER_MODES[image.mode])
    if image.mode not in ("LA", "RGBA") and image.has_transparency_data:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode not in _SPACES:
        image = image.convert("RGB")
    width, height = image.size

    def rows(part: slice) -> Pixels:
        # Strip by strip, because a whole array of an image is built from two more copies.
        strip = np.asarray(image.crop((0, part.start, width, min(part.stop, height))))
        return strip if strip.ndim == 3 else strip[..., None]

    alpha = image.mode in ("LA", "RGBA")
    return Raster(rows, (height, width), np.uint8, _SPACES[image.mode], alpha, profile)


def of_array(
    values: Pixels, profile: bytes | None, space: str | None = None, alpha: bool | None = None
) -> Raster:
    """Of (H, W) or (H, W, channels), unless told otherwise grey or RGB, with or without alpha."""
    values = values if values.ndim == 3 else values[..., None]
    height, width, channels = values.shape
    space = space or ("GRAY" if channels < 3 else "RGB ")
    alpha = channels in (2, 4) if alpha is None else alpha
    return Raster(values.__getitem__, (height, width), values.dtype, space, alpha, profile)


def upright(raster: Raster, orientation: int) -> tuple[Pixels, Pixels | None]:
    """RGB (H, W, 3) and alpha (H, W) of a raster, turned as an EXIF orientation (1 to 8) asks.

    RGB stays in the profile of the raster; grey and CMYK come out in sRGB if there is a profile,
    and otherwise as if ink and light added up to white.
    """
    height, width = raster.shape
    turned = (width, height) if orientation >= 5 else (height, width)
    pixels: Pixels = np.empty((*turned, 3), raster.type)
    alpha: Pixels | None = np.empty(turned, raster.type) if raster.alpha else None
    # Views of the same memory as the file has it; turning left undoes turning right.
    undo = {6: 8, 8: 6}.get(orientation, orientation)
    stored = _turned(pixels, undo)
    stored_alpha = None if alpha is None else _turned(alpha, undo)
    for rows in strips(stored):
        values = raster.rows(rows)
        if stored_alpha is not None:
            stored_alpha[rows] = values[..., -1]
            values = values[..., :-1]
        stored[rows] = _to_rgb(values, raster)
    return pixels, alpha


def scaled(values: npt.NDArray[Any], bits: int = 16) -> Pixels:
    """Values of any type as uint16: white is the highest integer of so many bits, or 1.0.

    What is brighter than white makes the brightest value white.
    """
    if values.dtype == np.uint16 and bits == 16:
        return values
    white = 1.0 if values.dtype.kind == "f" else float(2**bits - 1)
    for rows in strips(values):
        strip = values[rows]
        white = max(white, float(strip.max(initial=0, where=np.isfinite(strip))))
    result = np.empty(values.shape, np.uint16)
    for rows in strips(values):
        strip = np.nan_to_num(values[rows].astype(np.float64), nan=0, posinf=white, neginf=0)
        result[rows] = (strip * (65535 / white)).clip(0, 65535).round()
    return result


def _to_rgb(values: Pixels, raster: Raster) -> Pixels:
    if raster.space == "RGB ":
        return values
    if raster.profile:
        grey = values[..., 0] if raster.space == "GRAY" else values
        return color.to_rgb(np.ascontiguousarray(grey), raster.profile, color.SRGB)
    if raster.space == "GRAY":
        return values  # one channel for three
    top = np.iinfo(values.dtype).max
    light = top - values.astype(np.uint32)
    rgb: Pixels = (light[..., :3] * light[..., 3:] // top).astype(values.dtype)
    return rgb


def _turned(array: Pixels, orientation: int) -> Pixels:
    """A view of (H, W, ...) turned the way that an EXIF orientation asks for."""
    if orientation in (5, 7):
        array = array.swapaxes(0, 1)
        return array if orientation == 5 else array[::-1, ::-1]
    if orientation in (6, 8):
        return np.rot90(array, -1 if orientation == 6 else 1)
    rows = slice(None, None, -1 if orientation in (3, 4) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3) else 1)
    return array[rows, columns]

"""Converts the values stored in a photo file to upright RGB."""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from photostyle.photo import color
from photostyle.photo.color import Pixels
from photostyle.photo.photo import strips

# Pillow's modes for the values of a colour space, and modes that convert to one of them exactly.
_SPACES = {
    "L": "GRAY",
    "LA": "GRAY",
    "RGB": "RGB ",
    "RGBA": "RGB ",
    "CMYK": "CMYK",
    "LAB": "Lab ",
}
_EXACT_CONVERSIONS = {"1": "L", "La": "LA", "RGBa": "RGBA", "PA": "RGBA"}
_HIGH_BIT_DEPTH_MODES = ("I", "F")  # first letters of modes

_SAMPLED_PIXELS = 1 << 20


class Raster(NamedTuple):
    """Decoded values as stored in the file: grey, RGB, CMYK or Lab, not yet upright.

    rows     returns a slice of rows as (h, w, channels), uint8 or uint16, read-only
    shape    height and width
    dtype    uint8 or uint16
    space    "GRAY", "RGB ", "CMYK" or "Lab " (encoded as in `color.LAB`)
    alpha    whether the last channel is alpha
    profile  the ICC profile of the values, if any; of grey values also an RGB profile
    """

    rows: Callable[[slice], Pixels]
    shape: tuple[int, int]
    dtype: npt.DTypeLike
    space: str
    alpha: bool
    profile: bytes | None


def from_image(image: Image.Image, profile: bytes | None) -> Raster:
    """The values of a loaded Pillow image of any mode."""
    if image.format == "XBM":  # X11 paints what is 1 in black; Pillow takes it for white
        image = ImageOps.invert(image.convert("L"))
    if image.mode.startswith(_HIGH_BIT_DEPTH_MODES):
        return from_array(to_uint16(np.asarray(image)), profile)
    if image.mode == "LAB":
        profile = color.LAB
    if image.mode in _EXACT_CONVERSIONS:
        image = image.convert(_EXACT_CONVERSIONS[image.mode])
    if image.mode not in ("LA", "RGBA") and image.has_transparency_data:
        image = image.convert("LA" if image.mode == "L" else "RGBA")
    elif image.mode not in _SPACES:
        image = image.convert("RGB")
    width, height = image.size

    def rows(part: slice) -> Pixels:
        # A crop, because Pillow makes two copies of an image that it converts to an array.
        strip = np.asarray(image.crop((0, part.start, width, min(part.stop, height))))
        if image.mode == "LAB":
            strip = strip ^ np.array([0, 128, 128], np.uint8)  # Pillow's arrays hold signed a and b
        return strip if strip.ndim == 3 else strip[..., None]

    alpha = image.mode in ("LA", "RGBA")
    return Raster(rows, (height, width), np.uint8, _SPACES[image.mode], alpha, profile)


def from_array(
    values: Pixels, profile: bytes | None, space: str | None = None, alpha: bool | None = None
) -> Raster:
    """The values of an array (H, W) or (H, W, channels), uint8 or uint16.

    By default one and two channels are grey, more are RGB, and the last of two or four is alpha.
    """
    values = values if values.ndim == 3 else values[..., None]
    height, width, channels = values.shape
    space = space or ("GRAY" if channels < 3 else "RGB ")
    alpha = channels in (2, 4) if alpha is None else alpha
    return Raster(values.__getitem__, (height, width), values.dtype, space, alpha, profile)


def to_upright_rgb(raster: Raster, orientation: int) -> tuple[Pixels, Pixels | None]:
    """RGB (H, W, 3) and alpha (H, W) of a raster, rotated by its EXIF orientation (1 to 8).

    RGB stays in the profile of the raster. Grey, CMYK and Lab are converted to sRGB if there is a
    profile; without one, grey is copied and CMYK inverted.
    """
    height, width = raster.shape
    upright = (width, height) if orientation >= 5 else (height, width)
    pixels: Pixels = np.empty((*upright, 3), raster.dtype)
    alpha: Pixels | None = np.empty(upright, raster.dtype) if raster.alpha else None
    # Views of the results in the order of the file; rotation to the left undoes one to the right.
    inverse = {6: 8, 8: 6}.get(orientation, orientation)
    stored = oriented(pixels, inverse)
    stored_alpha = None if alpha is None else oriented(alpha, inverse)
    for rows in strips(stored):
        values = raster.rows(rows)
        if stored_alpha is not None:
            stored_alpha[rows] = values[..., -1]
            values = values[..., :-1]
        stored[rows] = _to_rgb(values, raster)
    return pixels, alpha


def to_uint8(values: npt.NDArray[Any], bits: int) -> Pixels:
    """Integers of 1 to 8 bits, scaled to uint8."""
    if bits == 8:
        return values
    top = 2**bits - 1
    scaled = (np.arange(top + 1) * (255 / top)).round().astype(np.uint8)
    return np.asarray(scaled[values.astype(np.uint8)])


def to_uint16(
    values: npt.NDArray[Any], bits: int = 16, *, alpha: bool = False, white: float | None = None
) -> Pixels:
    """Integers of ``bits`` bits, or floats, (H, W) or (H, W, channels), scaled to uint16.

    The white of floats is ``white``. If that is None, it is 1.0 or, if more than 1 % of the pixels
    are brighter, the value that 99 % of them do not exceed. Brighter values become white, NaN
    becomes black. alpha: whether the last channel is alpha, which is opaque at 1.0.
    """
    if values.dtype == np.uint16 and bits == 16:
        return values
    is_float = values.dtype.kind == "f"
    colors = values[..., :-1] if alpha else values
    if not is_float:
        white = max(2**bits - 1, int(values.max(initial=0)))
    scale = np.full(values.shape[2:], 65535 / (white or white_of(colors)))
    if alpha and is_float:
        scale[-1] = 65535
    result = np.empty(values.shape, np.uint16)
    for rows in strips(values):
        strip = np.nan_to_num(values[rows].astype(np.float64), nan=0, posinf=np.inf, neginf=0)
        result[rows] = (strip * scale).clip(0, 65535).round()
    return result


def white_of(colors: npt.NDArray[np.floating[Any]]) -> float:
    """The white of floats (H, W) or (H, W, channels); see `to_uint16`."""
    height, width = colors.shape[:2]
    step = 1 + isqrt(height * width // _SAMPLED_PIXELS)
    pixels = colors.reshape(height, width, -1)[::step, ::step].astype(np.float64)
    brightness = pixels.max(axis=-1, initial=0, where=np.isfinite(pixels))
    return max(1.0, float(np.quantile(brightness, 0.99, method="inverted_cdf")))


def _to_rgb(values: Pixels, raster: Raster) -> Pixels:
    if raster.space == "RGB ":
        return values
    profile = color.LAB if raster.space == "Lab " else raster.profile
    if profile:
        if raster.space == "GRAY":
            is_rgb = color.space_of(profile) == "RGB "
            values = values.repeat(3, axis=-1) if is_rgb else values[..., 0]
        return color.to_rgb(np.ascontiguousarray(values), profile, color.SRGB)
    if raster.space == "GRAY":
        return values  # broadcast to three channels
    top = np.iinfo(values.dtype).max
    light = top - values.astype(np.uint32)
    rgb: Pixels = (light[..., :3] * light[..., 3:] // top).astype(values.dtype)
    return rgb


def oriented(array: Pixels, orientation: int) -> Pixels:
    """A view of (H, W, ...) rotated and mirrored by an EXIF orientation."""
    if orientation in (5, 7):
        array = array.swapaxes(0, 1)
        return array if orientation == 5 else array[::-1, ::-1]
    if orientation in (6, 8):
        return np.rot90(array, -1 if orientation == 6 else 1)
    rows = slice(None, None, -1 if orientation in (3, 4) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3) else 1)
    return array[rows, columns]

"""ICC colour profiles and conversions between them."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageCms

Pixels = npt.NDArray[np.unsignedinteger[Any]]
"""Pixel values of a photo: uint8 or uint16."""

# Pillow (OSError, PyCMSError) and imagecodecs (RuntimeError, ValueError) raise these for broken
# profiles.
_PROFILE_ERRORS = (OSError, ValueError, RuntimeError, ImageCms.PyCMSError)


def _with_fixed_date(profile: bytes) -> bytes:
    """The profile dated 2000-01-01 without an identifier, so that equal photos give equal files."""
    date, identifier = slice(24, 36), slice(84, 100)
    dated = bytearray(profile)
    dated[date] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    dated[identifier] = bytes(16)
    return bytes(dated)


SRGB = _with_fixed_date(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

_STRIP_PIXELS = 1 << 21  # converted at once
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_CHANNELS = {"GRAY": "gray", "RGB ": "rgb", "CMYK": "cmyk"}

# Unless this flag forbids it, Little CMS replaces a conversion of 16-bit values by a table of
# 33 x 33 x 33 colours, which is off by several 8-bit steps.
_NO_TABLE = 0x0100
_BLACK_POINT = int(ImageCms.Flags.BLACKPOINTCOMPENSATION)


def space_of(profile: bytes) -> str | None:
    """The colour space of a profile ("RGB ", "GRAY", "CMYK", ...), None if it cannot be parsed."""
    with suppress(*_PROFILE_ERRORS):
        return str(_open(profile).profile.xcolor_space)
    return None


def is_usable(profile: bytes, space: str, *, output: bool = False) -> bool:
    """Whether colours of ``space`` can be converted from the profile; with ``output``, to it."""
    if space_of(profile) != space:
        return False
    direction = ImageCms.Direction.OUTPUT if output else ImageCms.Direction.INPUT
    with suppress(*_PROFILE_ERRORS):
        black = np.zeros((1, 1, len(space.strip())), np.uint8)
        if not output:
            to_rgb(black[..., 0] if space == "GRAY" else black, profile, SRGB)
        elif space == "RGB ":
            to_rgb(black, SRGB, profile)
        return bool(ImageCms.isIntentSupported(_open(profile), _INTENT, direction))
    return False


def is_working_space(profile: bytes) -> bool:
    """Whether the style transfer can work on the RGB values of a profile directly.

    The profile must consist of a matrix and tone curves, so that conversions can be inverted, and
    its middle grey must be near that of sRGB. sRGB, Display P3, Adobe RGB, ProPhoto and Rec. 2020
    qualify; linear light and the tables of scanners and printers do not.
    """
    if not _open(profile).profile.is_matrix_shaper:
        return False
    gray = to_rgb(np.full((1, 1, 3), 128, np.uint8), profile, SRGB)
    return bool(gray.min() >= 100 and gray.max() <= 160)


def are_equivalent(a: bytes | None, b: bytes | None) -> bool:
    """Whether two RGB profiles (None is sRGB) agree on each 8-bit colour within one step.

    Many versions of each well-known profile exist, and converting between them would only add
    rounding errors.
    """
    a, b = a or SRGB, b or SRGB
    if a == b:
        return True
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colors = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(levels.size, -1, 3)
    return bool(np.abs(to_rgb(colors, a, b).astype(int) - colors).max() <= 1)


def convert(pixels: Pixels, source: bytes | None, target: bytes | None) -> None:
    """Convert RGB (H, W, 3) from one profile to another in place; None is sRGB."""
    if are_equivalent(source, target):
        return
    rows = max(1, _STRIP_PIXELS // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        strip = pixels[top : top + rows]
        strip[:] = to_rgb(np.ascontiguousarray(strip), source or SRGB, target or SRGB)


def to_rgb(values: Pixels, source: bytes, target: bytes) -> Pixels:
    """Convert grey (H, W), RGB (H, W, 3) or CMYK (H, W, 4) to RGB (H, W, 3) in ``target``.

    The dtype stays. The intent is relative colorimetric with black point compensation. 8-bit RGB
    and CMYK use the fast path of Little CMS, which can be off by 2 in dark colours. Raises the
    errors of Little CMS if a profile is broken or for another colour space; see `is_usable`.
    """
    from imagecodecs import cms_transform

    space = _CHANNELS[space_of(source) or ""]
    if space == "gray" and values.size > 1 << 16:
        levels = np.arange(np.iinfo(values.dtype).max + 1, dtype=values.dtype)
        table: Pixels = to_rgb(levels[None], source, target)[0][values]
        return table
    exact = values.dtype == np.uint16 or space == "gray"
    converted: Pixels = cms_transform(
        values,
        source,
        target,
        colorspace=space,
        outcolorspace="rgb",
        intent=int(_INTENT),
        flags=_BLACK_POINT | (_NO_TABLE if exact else 0),
    )
    return converted


def adobe_rgb() -> bytes:
    """Adobe RGB (1998), which many cameras name in EXIF instead of embedding a profile."""
    from imagecodecs import cms_profile

    primaries, white = [0.64, 0.33, 0.21, 0.71, 0.15, 0.06], [0.3127, 0.3290]
    # The standard gives gamma as 2 + 51/256.
    profile = cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=563 / 256)
    return _with_fixed_date(profile)


def _open(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.getOpenProfile(BytesIO(profile))

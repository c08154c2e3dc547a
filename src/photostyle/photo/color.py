"""Colour profiles (ICC): which there are, and the way from one to another."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageCms

Pixels = npt.NDArray[np.unsignedinteger[Any]]
"""Values of a photo: uint8 or uint16."""


def _dated(profile: bytes) -> bytes:
    """A made profile with a date of its own, so that the same photo makes the same file."""
    date, identifier = slice(24, 36), slice(84, 100)
    made = bytearray(profile)
    made[date] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    made[identifier] = bytes(16)
    return bytes(made)


SRGB = _dated(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())

_STRIP = 1 << 21  # pixels that are converted at once
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_CHANNELS = {"GRAY": "gray", "RGB ": "rgb", "CMYK": "cmyk"}

# Little CMS turns a conversion of 16 bits into a table of 33 x 33 x 33 colours, which is wrong by
# several steps of 8 bits, unless it is told not to.
_NO_TABLE = 0x0100
_BLACK_POINT = int(ImageCms.Flags.BLACKPOINTCOMPENSATION)


def space_of(profile: bytes) -> str | None:
    """The colour space that a profile is of ("RGB ", "GRAY", "CMYK", ...), None if it is broken."""
    with suppress(Exception):  # a broken profile makes the parser raise anything
        return str(_open(profile).profile.xcolor_space)
    return None


def is_usable(profile: bytes, space: str, *, output: bool = False) -> bool:
    """Whether colours of that space can be converted from a profile, or with ``output`` into it."""
    if space_of(profile) != space:
        return False
    direction = ImageCms.Direction.OUTPUT if output else ImageCms.Direction.INPUT
    with suppress(Exception):
        black = np.zeros((1, 1, len(space.strip())), np.uint8)
        if not output:
            to_rgb(black[..., 0] if space == "GRAY" else black, profile, SRGB)
        elif space == "RGB ":
            to_rgb(black, SRGB, profile)
        return bool(ImageCms.isIntentSupported(_open(profile), _INTENT, direction))
    return False


def is_working_space(profile: bytes) -> bool:
    """Whether RGB values of that profile can be worked on as they are.

    The profile must be a matrix with tone curves, so that it has no table to be lost in, and its
    middle grey near that of sRGB: sRGB, Display P3, Adobe RGB, ProPhoto and Rec. 2020 are such,
    linear light and the tables of scanners and printers are not.
    """
    if not _open(profile).profile.is_matrix_shaper:
        return False
    grey = to_rgb(np.full((1, 1, 3), 128, np.uint8), profile, SRGB)
    return bool(grey.min() >= 100 and grey.max() <= 160)


def is_same(a: bytes | None, b: bytes | None) -> bool:
    """Whether two RGB profiles (None is sRGB) mean the same, so that nothing need be rounded.

    There are many versions of each of the well-known profiles.
    """
    a, b = a or SRGB, b or SRGB
    if a == b:
        return True
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(levels.size, -1, 3)
    return bool(np.abs(to_rgb(colours, a, b).astype(int) - colours).max() <= 1)


def convert(pixels: Pixels, source: bytes | None, target: bytes | None) -> None:
    """Converts RGB (H, W, 3) from one profile to another in place; None is sRGB."""
    if is_same(source, target):
        return
    rows = max(1, _STRIP // pixels.shape[1])
    for top in range(0, len(pixels), rows):
        strip = pixels[top : top + rows]
        strip[:] = to_rgb(np.ascontiguousarray(strip), source or SRGB, target or SRGB)


def to_rgb(values: Pixels, source: bytes, target: bytes) -> Pixels:
    """Grey (H, W), RGB (H, W, 3) or CMYK (H, W, 4) in an RGB profile, of the same depth.

    Relative colorimetric with black point compensation. Of 8 bits RGB and CMYK are converted by a
    fast way of Little CMS that can be off by 2 in the darks. Raises whatever the library does.
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
    """Adobe RGB (1998), which cameras name in the metadata instead of embedding it."""
    from imagecodecs import cms_profile

    primaries, white = [0.64, 0.33, 0.21, 0.71, 0.15, 0.06], [0.3127, 0.3290]
    # gamma is that of the standard: 2 + 51/256.
    return _dated(cms_profile("rgb", whitepoint=white, primaries=primaries, gamma=563 / 256))


def _open(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.getOpenProfile(BytesIO(profile))

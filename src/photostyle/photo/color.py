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


def with_fixed_date(profile: bytes) -> bytes:
    """The profile dated 2000-01-01 without an identifier, so that equal photos give equal files."""
    date, identifier = slice(24, 36), slice(84, 100)
    dated = bytearray(profile)
    dated[date] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    dated[identifier] = bytes(16)
    return bytes(dated)


def _created(space: str) -> bytes:
    profile = ImageCms.createProfile(space)  # type: ignore[arg-type]
    return with_fixed_date(ImageCms.ImageCmsProfile(profile).tobytes())


SRGB = _created("sRGB")
LAB = _created("LAB")
"""CIELAB under D50, encoded as in ICC profiles: L from 0 to the maximum; a and b + 128 of 255."""

_STRIP_PIXELS = 1 << 21  # converted at once
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_CHANNELS = {"GRAY": "gray", "RGB ": "rgb", "CMYK": "cmyk", "Lab ": "lab"}

# Unless this flag forbids it, Little CMS replaces a conversion by a table of 33 x 33 x 33 colours,
# which is off by several 8-bit steps. It does not for 8 bits between matrix profiles.
_NO_TABLE = 0x0100
_BLACK_POINT = int(ImageCms.Flags.BLACKPOINTCOMPENSATION)


def space_of(profile: bytes) -> str | None:
    """The colour space of a profile ("RGB ", "GRAY", "CMYK", ...), None if it cannot be parsed."""
    with suppress(*_PROFILE_ERRORS):
        return str(_open(profile).profile.xcolor_space)
    return None


def is_usable(profile: bytes, space: str) -> bool:
    """Whether colours of ``space`` ("RGB ", "GRAY" or "CMYK") can be converted from the profile."""
    if space_of(profile) != space:
        return False
    with suppress(*_PROFILE_ERRORS):
        black = np.zeros((1, 1, len(_CHANNELS[space])), np.uint8)
        to_rgb(black[..., 0] if space == "GRAY" else black, profile, SRGB)
        direction = ImageCms.Direction.INPUT
        return bool(ImageCms.isIntentSupported(_open(profile), _INTENT, direction))
    return False


def is_invertible(profile: bytes) -> bool:
    """Whether sRGB, converted to an RGB profile and back, agrees within 2/255.

    Profiles that are made for display only have tables of one direction, and nothing or a stub in
    the other.
    """
    # Dense where it is dark. Colours within sRGB that the profile can encode.
    levels = (np.linspace(0, 1, 14) ** 2 * 65535).round().astype(np.uint16)
    with suppress(*_PROFILE_ERRORS):
        colors = to_rgb(_lattice(levels), profile, SRGB)
        again = to_rgb(to_rgb(colors, SRGB, profile), profile, SRGB)
        return bool(np.abs(again.astype(int) - colors).max() <= 2 * 257)
    return False


def is_working_space(profile: bytes) -> bool:
    """Whether the style transfer can work on the RGB values of a profile directly.

    The profile must consist of a matrix and tone curves, so that conversions can be inverted, and
    its middle grey must be near that of sRGB. sRGB, Display P3, Adobe RGB, ProPhoto and Rec. 2020
    qualify; linear light and the tables of scanners and printers do not.
    """
    return _is_matrix(profile) and is_perceptual(profile)


def is_perceptual(profile: bytes) -> bool:
    """Whether 8 bits of an RGB profile are enough: its middle grey is near that of sRGB."""
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
    colors = _lattice(np.linspace(0, 255, 18).round().astype(np.uint8))
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
    """Convert grey (H, W), RGB or Lab (H, W, 3), or CMYK (H, W, 4) to RGB (H, W, 3) in ``target``.

    The dtype stays. The intent is relative colorimetric with black point compensation. Results are
    rounded from exact ones, except 8-bit RGB between matrix profiles, which can be off by 1 more.
    Raises the errors of Little CMS if a profile is broken or for another colour space; see
    `is_usable`.
    """
    space = _CHANNELS[space_of(source) or ""]
    fast = values.dtype == np.uint8 and space == "rgb" and _is_matrix(source) and _is_matrix(target)
    if fast or (values.dtype == np.uint16 and space != "gray"):
        return _transformed(values, source, target, space, exact=not fast)
    # An exact conversion is slow, so each colour is converted once.
    colors, numbers = _distinct(values)
    table = _transformed(colors, source, target, space, exact=True)[0]
    result: Pixels = table[numbers].reshape(*values.shape[:2], 3)
    return result


def _distinct(values: Pixels) -> tuple[Pixels, npt.NDArray[np.intp]]:
    """The colours of (H, W) or (H, W, channels) as one row, and of each pixel the place in it."""
    channels = values.shape[2] if values.ndim == 3 else 1
    keys = np.zeros((values.size // channels, 4 if channels > 1 else 1), values.dtype)
    keys[:, :channels] = values.reshape(-1, channels)
    packed = keys.view(f"u{keys.itemsize * keys.shape[1]}")[:, 0]
    found, numbers = np.unique(packed, return_inverse=True)
    colors = found.view(values.dtype).reshape(1, len(found), -1)[..., :channels]
    return np.ascontiguousarray(colors if values.ndim == 3 else colors[..., 0]), numbers


def _transformed(
    values: Pixels, source: bytes, target: bytes, space: str, *, exact: bool
) -> Pixels:
    from imagecodecs import cms_transform

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
    return with_fixed_date(profile)


def _lattice(levels: Pixels) -> Pixels:
    """All colours of the levels: (levels, levels ** 2, 3)."""
    return np.stack(np.meshgrid(levels, levels, levels), -1).reshape(levels.size, -1, 3)


def names_hdr(profile: bytes) -> bool:
    """Whether a profile is for PQ or HLG (ICC.1:2022, 9.2.17), which its tables map to SDR."""
    at = int.from_bytes(_tags(profile).get(b"cicp", b""), "big")
    return at > 0 and profile[at + 9 : at + 10] in (b"\x10", b"\x12")


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The offset of each tag of a profile by its name."""
    count = int.from_bytes(profile[128:132], "big")
    entries = (profile[at : at + 8] for at in range(132, 132 + 12 * min(count, 1000), 12))
    return {entry[:4]: entry[4:] for entry in entries}


def _is_matrix(profile: bytes) -> bool:
    """Whether an RGB profile consists of a matrix and tone curves, without tables of colours."""
    tables = any(tag[1:3] in (b"2A", b"2B", b"2D") for tag in _tags(profile))  # A2B0, B2A0, D2B0...
    return bool(_open(profile).profile.is_matrix_shaper) and not tables


def _open(profile: bytes) -> ImageCms.ImageCmsProfile:
    return ImageCms.getOpenProfile(BytesIO(profile))

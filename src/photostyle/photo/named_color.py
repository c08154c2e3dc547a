"""Colour spaces that a file names by numbers instead of an ICC profile.

Sources: ITU-T H.273 (code points), ISO/IEC 23008-12 (nclx of AVIF and HEIF), PNG, third edition
(cICP, gAMA and cHRM).
"""

from __future__ import annotations

import struct
from contextlib import suppress
from functools import cache
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from photostyle.photo import color, isobmff, png

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
_BT709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, *_D65)
_SMPTE170M = (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *_D65)
_PRIMARIES = {
    1: _BT709,
    2: _BT709,  # unspecified
    4: (0.67, 0.33, 0.21, 0.71, 0.14, 0.08, *_C),
    5: (0.64, 0.33, 0.29, 0.60, 0.15, 0.06, *_D65),
    6: _SMPTE170M,
    7: _SMPTE170M,
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, *_C),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *_D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *_D65),
}
_GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0, 17: 2.6}
# BT.709 and its relatives describe cameras; like browsers, we show them as sRGB. 2 is unspecified.
_LIKE_SRGB = (1, 2, 6, 7, 11, 12, 13, 14, 15)
_NOMINAL = 2.2  # exponent of a power function that stands for sRGB
PQ, HLG = 16, 18
"""Code points of the transfer functions of HDR, BT.2100."""

_HDR_NOTE = "HDR was mapped to the range of SDR, in Display P3."
_NARROW_NOTE = "The values have the narrow range of video, which was taken for the full range."
_UNKNOWN_NOTE = "The colour space is unknown; the values were taken for sRGB."


class ColorSpace(NamedTuple):
    """Primaries and transfer function of RGB.

    primaries: x and y of red, green, blue and white. transfer: PQ, HLG, the exponent of a power
    function, or None for the curve of sRGB.
    """

    primaries: tuple[float, ...]
    transfer: int | float | None

    @property
    def is_hdr(self) -> bool:
        """Whether the transfer function is PQ or HLG."""
        return self.transfer in (PQ, HLG)

    def profile(self) -> bytes | None:
        """An ICC profile; None for sRGB. Not for HDR."""
        profile = _profile(self.primaries, self.transfer)
        return None if color.are_equivalent(profile, None) else profile


DISPLAY_P3 = ColorSpace(_PRIMARIES[12], None)


def read(image: Image.Image, stream: BinaryIO) -> tuple[ColorSpace | None, list[str]]:
    """The colour space that the numbers of a PNG, AVIF or HEIF file name, and notes.

    None if there are no numbers, or if the file has an ICC profile that precedes them. The
    position of the stream stays.
    """
    numbers, notes, position = None, list[str](), stream.tell()
    has_profile = bool(image.info.get("icc_profile"))
    if image.format == "PNG":
        if cicp := _cicp(stream):
            numbers, is_full = cicp[:2], cicp[3]
            notes = [] if is_full else [_NARROW_NOTE]
    elif image.format in ("AVIF", "HEIF") and not has_profile:
        numbers = _nclx(stream)
    stream.seek(position)
    if numbers:
        space, more = _by_code_points(*numbers)
        return space, notes + more
    named = image.format == "PNG" and not has_profile and "srgb" not in image.info
    return _by_gamma(image) if named else None, []


def _by_code_points(primaries: int, transfer: int) -> tuple[ColorSpace | None, list[str]]:
    known = transfer in (*_LIKE_SRGB, *_GAMMAS, PQ, HLG)
    if primaries not in _PRIMARIES or not known:
        return None, [_UNKNOWN_NOTE]
    function = None if transfer in _LIKE_SRGB else _GAMMAS.get(transfer, transfer)
    space = ColorSpace(_PRIMARIES[primaries], function)
    return space, [_HDR_NOTE] if space.is_hdr else []


def _cicp(stream: BinaryIO) -> tuple[int, int, int, int] | None:
    """Primaries, transfer function, matrix, and whether the range is full."""
    for kind, content in png.chunks(stream, pixels=False):
        if kind == b"cICP" and len(content) == 4:
            return content[0], content[1], content[2], content[3]
    return None


def _nclx(stream: BinaryIO) -> tuple[int, int] | None:
    with suppress(ValueError, struct.error, IndexError):
        for kind, content in isobmff.primary_properties(stream):
            if kind == b"colr" and content.startswith(b"nclx"):
                primaries, transfer = struct.unpack_from(">2H", content, 4)
                return primaries, transfer
    return None


def _by_gamma(image: Image.Image) -> ColorSpace | None:
    """From gAMA and cHRM of PNG, which Pillow reads; of impossible values sRGB's are taken."""
    gamma, chromaticity = image.info.get("gamma"), image.info.get("chromaticity", ())
    if not gamma and not chromaticity:
        return None
    primaries = (*chromaticity[2:], *chromaticity[:2])
    if not (len(primaries) == 8 and all(0 < value < 1 for value in primaries)):
        primaries = _BT709
    exponent = 1 / gamma if gamma else _NOMINAL
    # Most files mean sRGB by 1 / 2.2, as libpng assumes.
    like_srgb = abs(exponent / _NOMINAL - 1) < 0.05 or not 0.2 < exponent < 5
    return ColorSpace(primaries, None if like_srgb else exponent)


@cache
def _profile(primaries: tuple[float, ...], exponent: float | None) -> bytes:
    from imagecodecs import cms_profile

    corners, white = list(primaries[:6]), list(primaries[6:])
    if exponent is not None:
        made = cms_profile("rgb", whitepoint=white, primaries=corners, gamma=exponent)
        return color.with_fixed_date(made)
    values = np.linspace(0, 1, 1024)
    linear = np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)
    curve = (linear * 65535).round().astype(np.uint16)
    made = cms_profile("rgb", whitepoint=white, primaries=corners, transferfunction=curve)
    return color.with_fixed_date(made)

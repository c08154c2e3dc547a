"""Reads pictures in FITS files, of which Pillow ignores the scale and the colours.

Source: Definition of the Flexible Image Transport System, 4.0 (IAU FITS Working Group, 2018).
"""

from __future__ import annotations

from typing import BinaryIO

import numpy as np

from photostyle.errors import PhotostyleError
from photostyle.photo import limits, raster
from photostyle.photo.raster import Raster

MAGIC = b"SIMPLE  ="

_BLOCK, _CARD = 2880, 80  # bytes
_MAX_CARDS = 10_000
_TYPES = {8: "u1", 16: ">i2", 32: ">i4", -32: ">f4", -64: ">f8"}


def read(stream: BinaryIO) -> Raster:
    """The picture of the first part, grey or RGB, without profile.

    0 is black. Integers, signed or not, become white at their maximum; floats, and integers with a
    scale, as in `raster.to_uint16`. Raises ValueError or KeyError if the file is damaged,
    PhotostyleError if that part is no picture, TooLargeError as `limits.check_size` does.
    """
    fields = _header(stream)
    axes = [int(fields[f"NAXIS{n}"]) for n in range(1, 1 + int(fields["NAXIS"]))]
    width, height, planes, *more = [*axes, *[1] * (3 - len(axes))]
    if len(axes) < 2 or planes not in (1, 3) or any(side != 1 for side in more):
        raise PhotostyleError(
            "The FITS file begins with something other than a grey or RGB picture; convert it to "
            "TIFF."
        )
    limits.check_size(width, height)
    bits = int(fields["BITPIX"])
    count = width * height * planes
    dtype = np.dtype(_TYPES[bits])
    data = stream.read(count * dtype.itemsize)
    stored = np.frombuffer(data, dtype).reshape(planes, height, width)  # from the bottom
    values = np.moveaxis(stored[:, ::-1], 0, -1)
    scale, zero = float(fields.get("BSCALE", 1)), float(fields.get("BZERO", 0))
    if bits == 8 and (scale, zero) == (1, 0):
        return raster.from_array(np.ascontiguousarray(values), None)
    physical, white = values * scale + zero, None
    if bits > 0 and scale == 1:
        white = 2.0**bits - 1 if bits == 8 or zero > 0 else 2.0 ** (bits - 1) - 1
    return raster.from_array(raster.to_uint16(physical, white=white), None)


def _header(stream: BinaryIO) -> dict[str, str]:
    """The fields of the first header. Leaves the stream at the data."""
    fields: dict[str, str] = {}
    stream.seek(0)
    for _ in range(_MAX_CARDS):
        card = stream.read(_CARD).decode("latin-1")
        if card[:8] == "END     ":
            stream.seek(-(-stream.tell() // _BLOCK) * _BLOCK)
            return fields
        if card[8:10] == "= ":
            fields[card[:8].rstrip()] = card[10:].partition("/")[0].strip().replace("D", "E")
    raise ValueError("a FITS file without an end of its header")

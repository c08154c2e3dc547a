"""PNM files of more than 8 bits, of which Pillow keeps 8, and PAM files, which it refuses.

Source: the manual pages pgm, ppm and pam of Netpbm.
"""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np

from photostyle.photo import limits, raster
from photostyle.photo.photo import strips
from photostyle.photo.raster import Raster

_NUMBER = rb"(?:\s|#[^\n]*\n)+(\d{1,9})"
_PNM = re.compile(rb"P([2356])" + 3 * _NUMBER + rb"\s")
_PAM = re.compile(rb"P7\n((?:[^\n]*\n)*?)ENDHDR\n")
_MAX_HEADER = 1 << 16  # bytes


def read(stream: BinaryIO) -> Raster | None:
    """The values of a file without profile; None for a file that Pillow reads, or another format.

    Raises ValueError if the file is damaged, TooLargeError as `photostyle.photo.limits.check_size`
    does.
    """
    stream.seek(0)
    start = stream.read(_MAX_HEADER)
    in_text = False
    if match := _PAM.match(start):
        fields = dict(re.findall(rb"^(\w+)\s+(\d{1,9})\s*$", match[1], re.MULTILINE))
        wanted = (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL")
        width, height, channels, top = (int(fields.get(name, 0)) for name in wanted)
    elif match := _PNM.match(start):
        width, height, top = (int(match[group]) for group in (2, 3, 4))
        channels, in_text = 3 if match[1] in b"36" else 1, match[1] in b"23"
        if top <= 255:
            return None
    else:
        return None
    limits.check_size(width, height)
    if not (1 <= channels <= 4 and 1 <= top <= 65535):
        raise ValueError("a PNM file with an invalid header")
    count = width * height * channels
    stream.seek(match.end())
    if in_text:
        stored = np.array(stream.read().split(maxsplit=count)[:count], np.uint16)
    else:
        dtype = np.dtype(">u2" if top > 255 else "u1")
        stored = np.frombuffer(stream.read(count * dtype.itemsize), dtype)
    values = stored.reshape(height, width, channels)
    white = 65535 if top > 255 else 255
    result = np.empty(values.shape, np.uint16 if top > 255 else np.uint8)
    for rows in strips(values):
        result[rows] = (values[rows] * (white / top)).clip(0, white).round()
    return raster.from_array(result, None)

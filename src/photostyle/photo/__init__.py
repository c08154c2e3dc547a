"""Photos in files and in memory: upright, colour-managed, complete, never half written.

`decode` reads and `encode` writes; between them lie `formats` (what each can hold), `limits`,
`deep` (more than 8 bits), `raster` (from stored values to upright RGB), `colour` (profiles),
`metadata` (EXIF, XMP) and `photo`, the photo in memory.
"""

from __future__ import annotations

from photostyle.photo.decode import read
from photostyle.photo.encode import encode, write
from photostyle.photo.formats import check_depth, format_of, suffix_for, unsupported_features
from photostyle.photo.limits import MAX_PIXELS
from photostyle.photo.photo import Animation, AnimationFrame, Photo, side_by_side

__all__ = [
    "MAX_PIXELS",
    "Animation",
    "AnimationFrame",
    "Photo",
    "check_depth",
    "encode",
    "format_of",
    "read",
    "side_by_side",
    "suffix_for",
    "unsupported_features",
    "write",
]

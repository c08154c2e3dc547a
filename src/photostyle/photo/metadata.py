"""EXIF, XMP and resolution, as far as they are still true after the photo has been changed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import ExifTags, Image

from photostyle.photo.decoder_errors import TAG_ERRORS

_Base = ExifTags.Base

# Other tags of a TIFF file's main directory describe how its pixels are stored.
_KEPT_TAGS = (
    _Base.DocumentName,
    _Base.ImageDescription,
    _Base.Make,
    _Base.Model,
    _Base.DateTime,
    _Base.Artist,
    _Base.HostComputer,
    _Base.Rating,
    _Base.RatingPercent,
    _Base.Copyright,
    _Base.XPTitle,
    _Base.XPComment,
    _Base.XPAuthor,
    _Base.XPKeywords,
    _Base.XPSubject,
)
# The sizes are those before rotation, the profile defines the colour space, and the last two
# contain offsets into the original file.
_DROPPED_TAGS = (
    _Base.ExifImageWidth,
    _Base.ExifImageHeight,
    _Base.ColorSpace,
    _Base.ExifInteroperabilityOffset,
    _Base.MakerNote,
)
_INCH = 2  # unit of the EXIF resolution

_XMP_ORIENTATION = re.compile(rb"""(tiff:Orientation(?:>|=["']))[2-8]""")
_XMP_THUMBNAILS = b"<xmp:Thumbnails>", b"</xmp:Thumbnails>"


@dataclass(frozen=True)
class Metadata:
    """The metadata of a photo, without orientation and thumbnail.

    exif  an EXIF block as in JPEG files, beginning with "Exif"; may be empty
    xmp   an XMP packet; may be empty
    dpi   horizontal and vertical resolution in pixels per inch
    """

    exif: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None

    def stamped(self, software: str) -> Metadata:
        """A copy with ``software`` in EXIF's Software tag, and with the resolution in EXIF."""
        exif = Image.Exif()
        exif.load(self.exif)
        exif[_Base.Software] = software
        if self.dpi:
            exif[_Base.XResolution], exif[_Base.YResolution] = self.dpi
            exif[_Base.ResolutionUnit] = _INCH
        return replace(self, exif=exif.tobytes())


def read_metadata(
    source: Image.Image | Image.Exif, info: Mapping[str, Any]
) -> tuple[Metadata, int, list[str]]:
    """The metadata of a file, its EXIF orientation (1 to 8), and notes on dropped metadata.

    source: an image or EXIF block of Pillow. info: may hold ``xmp`` (bytes) and ``dpi`` (two
    numbers).
    """
    orientation, block, notes = 1, b"", []
    try:
        exif = _exif(source)
        orientation = exif.get(_Base.Orientation, 1)
        block = _cleaned(exif)
    except TAG_ERRORS:
        notes.append("The EXIF metadata is damaged and was dropped.")
    if orientation not in range(1, 9):
        orientation = 1
    xmp = info.get("xmp", b"")
    xmp = _without_thumbnails(xmp) if isinstance(xmp, bytes) else b""
    metadata = Metadata(block, _XMP_ORIENTATION.sub(rb"\g<1>1", xmp), _dpi(info.get("dpi")))
    return metadata, orientation, notes


def names_adobe_rgb(source: Image.Image | Image.Exif) -> bool:
    """Whether EXIF names Adobe RGB as cameras do (DCF 2.0, option file R03)."""
    with suppress(*TAG_ERRORS):
        return str(_exif(source).get_ifd(ExifTags.IFD.Interop).get(1, "")).startswith("R03")
    return False


def _exif(source: Image.Image | Image.Exif) -> Image.Exif:
    return source.getexif() if isinstance(source, Image.Image) else source


def _cleaned(exif: Image.Exif) -> bytes:
    """An EXIF block of the tags that are still true."""
    cleaned = Image.Exif()
    cleaned.update({tag: exif[tag] for tag in _KEPT_TAGS if tag in exif})
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if values := {t: v for t, v in exif.get_ifd(ifd).items() if t not in _DROPPED_TAGS}:
            cleaned[ifd] = values
    return cleaned.tobytes() if cleaned else b""


def _without_thumbnails(xmp: bytes) -> bytes:
    before, start, rest = xmp.partition(_XMP_THUMBNAILS[0])
    _, end, after = rest.partition(_XMP_THUMBNAILS[1])
    return before + after if start and end else xmp


def _dpi(value: object) -> tuple[float, float] | None:
    with suppress(TypeError, ValueError, OverflowError, ZeroDivisionError):
        x, y = (float(v) for v in value)  # type: ignore[attr-defined]
        if all(math.isfinite(v) and 1 <= v <= 100_000 for v in (x, y)):
            return x, y
    return None

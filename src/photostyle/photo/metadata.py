"""What a photo file says of its photo: EXIF, XMP and resolution, as far as it stays true."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from PIL import ExifTags, Image

_Base = ExifTags.Base

# The first directory of a TIFF file describes its pixels, too; these describe the photo.
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
# Sizes are those before the rotation, the colour space is the profile's affair, and the other two
# hold offsets into the original file.
_STALE_TAGS = (
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
    """What is kept of a photo's metadata, without orientation and thumbnail.

    exif  an EXIF block as JPEG has it, beginning with "Exif", or empty
    xmp   an XMP packet, or empty
    dpi   pixels per inch, horizontal and vertical
    """

    exif: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None

    def stamped(self, software: str) -> Metadata:
        """With the name of the program in EXIF's field for it, and the resolution in EXIF."""
        exif = Image.Exif()
        exif.load(self.exif)
        exif[_Base.Software] = software
        if self.dpi:
            exif[_Base.XResolution], exif[_Base.YResolution] = self.dpi
            exif[_Base.ResolutionUnit] = _INCH
        return replace(self, exif=exif.tobytes())


def read(
    source: Image.Image | Image.Exif, info: Mapping[str, Any]
) -> tuple[Metadata, int, list[str]]:
    """The metadata of a file, the orientation it asks for (1 to 8), and what could not be kept.

    source: an image or an EXIF block of Pillow; info: ``xmp`` (bytes) and ``dpi`` (two numbers).
    """
    orientation, block, notes = 1, b"", []
    try:
        exif = _exif(source)
        orientation = exif.get(_Base.Orientation, 1)
        block = _kept(exif)
    except Exception:  # a broken block makes the parser raise anything
        notes.append("The EXIF metadata are damaged and were left out.")
    if orientation not in range(1, 9):
        orientation = 1
    xmp = info.get("xmp", b"")
    xmp = _without_thumbnails(xmp) if isinstance(xmp, bytes) else b""
    metadata = Metadata(block, _XMP_ORIENTATION.sub(rb"\g<1>1", xmp), _dpi(info.get("dpi")))
    return metadata, orientation, notes


def names_adobe_rgb(source: Image.Image | Image.Exif) -> bool:
    """Whether the metadata say Adobe RGB, as cameras do (DCF 2.0, option file R03)."""
    with suppress(Exception):
        return str(_exif(source).get_ifd(ExifTags.IFD.Interop).get(1, "")).startswith("R03")
    return False


def _exif(source: Image.Image | Image.Exif) -> Image.Exif:
    return source.getexif() if isinstance(source, Image.Image) else source


def _kept(found: Image.Exif) -> bytes:
    kept = Image.Exif()
    kept.update({tag: found[tag] for tag in _KEPT_TAGS if tag in found})
    for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
        if values := {t: v for t, v in found.get_ifd(ifd).items() if t not in _STALE_TAGS}:
            kept[ifd] = values
    return kept.tobytes() if kept else b""


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

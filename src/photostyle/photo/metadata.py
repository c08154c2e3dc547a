"""Metadata of photos, as far as they are still true after the photo has been changed.

What is not changed is copied byte for byte.
"""

from __future__ import annotations

import math
import re
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from typing import BinaryIO

from PIL import ExifTags, Image

from photostyle.photo import exif, image_resources, xmp
from photostyle.photo.decoder_errors import TAG_ERRORS
from photostyle.photo.exif import ExifBlock
from photostyle.photo.metadata_blocks import (
    JPEG_SEGMENT,
    MAX_JPEG_XMP,
    Blocks,
    find_blocks,
    find_tiff_blocks,
)

_Base = ExifTags.Base

_INCH, _CENTIMETRE = 2, 3  # units of the EXIF resolution
_SRGB, _ADOBE_RGB, _UNCALIBRATED = 1, 2, 0xFFFF  # values of EXIF's ColorSpace
_INTEROP_INDEX = 1
_MOVED = {exif.XMP, exif.IPTC, exif.RESOURCES, _Base.SubIFDs, 34675, 37724}
"""Tags of the main directory that other fields hold, or that show the photo as it was."""
_CALIBRATION = (_Base.WhitePoint, _Base.PrimaryChromaticities, _Base.TransferFunction)

_WITH_IPTC = ("JPEG", "TIFF", "PNG")
_WITH_COMMENT = ("JPEG", "PNG", "GIF")
_EXIF_OF_TEXT = {
    "Author": _Base.Artist,
    "Copyright": _Base.Copyright,
    "Description": _Base.ImageDescription,
}
_XMP_OF_TEXT = {
    "Title": "dc:title",
    "Author": "dc:creator",
    "Description": "dc:description",
    "Copyright": "dc:rights",
    "Comment": "exif:UserComment",
}
# Texts of ImageMagick that repeat EXIF or the dates of the file, and the program before this one.
_IDLE_TEXT = re.compile("exif:.*|date:.*|Software")


@dataclass(frozen=True)
class Metadata:
    """The metadata of a photo, without orientation and thumbnail.

    exif       an EXIF block as in JPEG files, beginning with "Exif"; may be empty
    xmp        an XMP packet in UTF-8; may be empty
    dpi        horizontal and vertical resolution in pixels per inch
    resources  Photoshop image resources, with IPTC; may be empty
    texts      keywords and texts as in PNG files
    notes      sentences on what of the file was dropped
    """

    exif: bytes = b""
    xmp: bytes = b""
    dpi: tuple[float, float] | None = None
    resources: bytes = b""
    texts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()

    def stamped(self, software: str) -> Metadata:
        """A copy with ``software`` in EXIF's Software tag, and with the resolution in EXIF."""
        block = _block(self.exif) or ExifBlock()
        entries = [block.text(_Base.Software, software)]
        if self.dpi and not _resolution(block):
            entries += [
                block.rational(_Base.XResolution, self.dpi[0]),
                block.rational(_Base.YResolution, self.dpi[1]),
                block.integers(_Base.ResolutionUnit, _INCH),
            ]
        block.set(entries)
        texts = tuple(pair for pair in self.texts if pair[0] != "Software")
        return replace(self, exif=block.tobytes(), texts=texts)

    def for_file(self, format: str, size: tuple[int, int], srgb: bool) -> Metadata:
        """The metadata as a file of a format holds them.

        size: of the photo, upright. srgb: whether it is written in sRGB. What the format has no
        place for moves to EXIF or XMP, if they have one; `left_out` names what has none.
        """
        block, packet = _block(self.exif), self.xmp
        if block:
            _describe(block, size, srgb)
        with suppress(ValueError):
            packet = xmp.edited(packet, lambda p: _described(p, size, srgb)) if packet else packet
        if format != "PNG" and self.texts:
            block = block or ExifBlock()
            for keyword, text in self.texts:
                tag = _EXIF_OF_TEXT.get(keyword)
                if tag and block.data(tag) is None:
                    block.set([block.text(tag, text)])
        with suppress(ValueError):
            known = xmp.properties(packet)
            added = {k: v for k, v in self._as_xmp(format).items() if k not in known}
            packet = xmp.with_properties(packet, added)
        return replace(self, exif=block.tobytes() if block else b"", xmp=packet)

    def for_jpeg(self) -> tuple[Metadata, list[str]]:
        """A copy whose EXIF fits in a segment of a JPEG file, and sentences on what did not."""
        block, packet, sentences = self.exif, self.xmp, []
        if len(block) > JPEG_SEGMENT:
            block = without_maker_notes(block)
            sentences.append("JPEG stores at most 64 kB of EXIF; the maker notes were left out.")
        try:
            xmp.split(packet, MAX_JPEG_XMP)
        except ValueError:
            packet = b""
        if len(block) > JPEG_SEGMENT or packet != self.xmp:
            sentences = ["JPEG stores at most 64 kB of EXIF or XMP; longer blocks were left out."]
        block = block if len(block) <= JPEG_SEGMENT else b""
        return replace(self, exif=block, xmp=packet), sentences

    def left_out(self, format: str) -> list[str]:
        """One sentence for each kind of metadata that files of a format cannot hold."""
        sentences = []
        if format not in _WITH_IPTC and not image_resources.as_xmp(self.resources)[1]:
            sentences.append(f"{format} stores no IPTC; what XMP has no name for was left out.")
        held = set(_XMP_OF_TEXT) if format != "PNG" else {keyword for keyword, _ in self.texts}
        lost = [f'"{k}"' for k, _ in self.texts if k not in held and not _IDLE_TEXT.fullmatch(k)]
        if lost:
            names = ", ".join(dict.fromkeys(lost))
            sentences.append(f"{format} has no place for the texts {names}; they were left out.")
        return sentences

    def _as_xmp(self, format: str) -> dict[str, str | list[str]]:
        """The properties of XMP for what a format has no other place for."""
        found: dict[str, str | list[str]] = {}
        if format not in _WITH_IPTC:
            found |= image_resources.as_xmp(self.resources)[0]
        for keyword, text in self.texts if format != "PNG" else ():
            name = _XMP_OF_TEXT.get(keyword)
            if name and not (keyword == "Comment" and format in _WITH_COMMENT):
                found[name] = [text] if name == "dc:creator" else text
        return found


def read_metadata(image: Image.Image, stream: BinaryIO) -> tuple[Metadata, int]:
    """The metadata of a file that Pillow has opened from a stream.

    Returns them with the orientation that EXIF or XMP names (1 to 8).
    """
    try:
        found = find_blocks(image, stream)
    except TAG_ERRORS:
        found = Blocks(notes=["The metadata is damaged and was dropped."])
    return still_true(found)


def read_tiff_metadata(stream: BinaryIO) -> tuple[Metadata, int]:
    """As `read_metadata`, for TIFF and raw files; other files have none."""
    found = Blocks()
    with suppress(*TAG_ERRORS):
        found = find_tiff_blocks(stream)
    return still_true(found)


def names_adobe_rgb(metadata: Metadata) -> bool:
    """Whether EXIF names Adobe RGB as cameras do (DCF 2.0, option file R03)."""
    block = _block(metadata.exif)
    index = block.data(_INTEROP_INDEX, exif.INTEROP) if block else None
    return (index or b"").startswith(b"R03")


def without_maker_notes(block: bytes) -> bytes:
    """A short copy of an EXIF block, without what only the maker of the camera can read."""
    copy = ExifBlock(block)
    copy.remove([_Base.MakerNote], exif.EXIF)
    return exif.read_tiff(BytesIO(copy.tiff())).exif.tobytes()


def still_true(found: Blocks) -> tuple[Metadata, int]:
    """What is still true of the metadata of a file, with the orientation."""
    notes = found.notes
    block = _block(found.exif)
    if found.exif and not block:
        notes.append("The EXIF metadata is damaged and was dropped.")
    orientation = None
    packet = xmp.utf8(found.xmp)
    if block:
        packet = packet or xmp.utf8(block.data(exif.XMP) or b"")
        orientation = block.integer(_Base.Orientation)
        block.set([block.integers(_Base.Orientation, 1)] if orientation is not None else [])
        block.remove(_MOVED)
        block.remove_thumbnail()
    if found.extension:
        with suppress(ValueError):  # the packet still names it, and `xmp.still_true` says so
            packet = xmp.merged(packet, found.extension)
    try:
        named = xmp.properties(packet).get(xmp.ORIENTATION, "")
        if orientation is None and named.isdecimal():
            orientation = int(named)
        packet, gone = xmp.still_true(packet)
        notes += gone
    except ValueError:
        packet = b""
        notes.append("The XMP metadata is damaged and was dropped.")
    if orientation is None or orientation not in range(1, 9):
        orientation = 1
    turned = orientation != 1
    metadata = Metadata(
        block.tobytes() if block else b"",
        packet,
        _valid(found.dpi or (_resolution(block) if block else None)),
        image_resources.still_true(found.resources, turned),
        tuple(found.texts),
        tuple(dict.fromkeys(notes)),
    )
    return metadata, orientation


def _block(block: bytes) -> ExifBlock | None:
    with suppress(*TAG_ERRORS):
        return ExifBlock(block)
    return None


def _resolution(block: ExifBlock) -> tuple[float, float] | None:
    """The resolution in EXIF, in pixels per inch; None if it is missing or has no unit."""
    unit = block.integer(_Base.ResolutionUnit)
    x, y = (block.numbers(tag) for tag in (_Base.XResolution, _Base.YResolution))
    if unit not in (_INCH, _CENTIMETRE, None) or len(x) != 1 or len(y) != 1:
        return None
    scale = 2.54 if unit == _CENTIMETRE else 1
    return x[0] * scale, y[0] * scale


def _valid(dpi: tuple[float, float] | None) -> tuple[float, float] | None:
    with suppress(TypeError, ValueError, OverflowError, ZeroDivisionError):
        x, y = (float(value) for value in dpi or ())
        if all(math.isfinite(v) and 1 <= v <= 100_000 for v in (x, y)):
            return x, y
    return None


def _describe(block: ExifBlock, size: tuple[int, int], srgb: bool) -> None:
    """Change the entries on size and colour space that would no longer be true."""
    for directory, tags in (
        (exif.MAIN, (_Base.ImageWidth, _Base.ImageLength)),
        (exif.EXIF, (_Base.ExifImageWidth, _Base.ExifImageHeight)),
    ):
        for tag, side in zip(tags, size, strict=True):
            if block.data(tag, directory) is not None and block.integer(tag, directory) != side:
                block.set([block.integers(tag, side)], directory)
    space = block.integer(_Base.ColorSpace, exif.EXIF)
    index = block.data(_INTEROP_INDEX, exif.INTEROP) or b""
    if srgb and (space == _ADOBE_RGB or index.startswith(b"R03")):
        block.remove(_CALIBRATION)
        block.remove([_Base.Gamma], exif.EXIF)
        block.set([block.integers(_Base.ColorSpace, _SRGB)], exif.EXIF)
        if index:
            block.set([block.text(_INTEROP_INDEX, "R98")], exif.INTEROP)
    elif not srgb and space == _SRGB:
        block.set([block.integers(_Base.ColorSpace, _UNCALIBRATED)], exif.EXIF)


def _described(found: xmp.Property, size: tuple[int, int], srgb: bool) -> str | None:
    """The new text of a property on size or colour space; None if it is still true."""
    sides = {"tiff:ImageWidth": 0, "tiff:ImageLength": 1}
    sides |= {"exif:PixelXDimension": 0, "exif:PixelYDimension": 1}
    if found.name in sides and found.top:
        return str(size[sides[found.name]])
    if found.name == "exif:ColorSpace":
        wrong = found.value == "1" if not srgb else found.value == "2"
        return {True: "1" if srgb else "65535", False: None}[wrong]
    if found.name == "photoshop:ICCProfile" and srgb != ("srgb" in found.value.lower()):
        return ""
    return None

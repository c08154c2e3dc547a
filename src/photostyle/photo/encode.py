"""From a photo to a file."""

from __future__ import annotations

import struct
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from photostyle.errors import PhotostyleError
from photostyle.files import new_file
from photostyle.photo.formats import FORMATS, JPEG_SEGMENT, XMP_NAME, format_of
from photostyle.photo.photo import Photo

_EXIF = b"Exif\0\0"
_ICC = b"ICC_PROFILE\0"
_JPEG_SIDE = 65_500  # pixels


def write(
    photo: Photo, target: Path, *, overwrite: bool = False, quality: int | None = None
) -> None:
    """Writes a photo into a file of the format that its extension names.

    Raises PhotostyleError as `photostyle.files.new_file` and `encode` do.
    """
    with new_file(target, overwrite=overwrite) as stream:
        encode(photo, format_of(target), stream, quality=quality)


def encode(photo: Photo, format: str, stream: BinaryIO, *, quality: int | None = None) -> None:
    """Writes the contents of a file with the photo, in a format that `format_of` returns.

    The colours are converted to the profile in which the photo is written, and this is embedded.
    What the format cannot hold is brought into what it can: 16 bits to 8, transparency onto white,
    a profile to sRGB, an animation to its first frame. quality: 1 to 100, for lossy formats; that
    of the format if None.

    Raises PhotostyleError if the format cannot hold the photo.
    """
    holds = FORMATS[format]
    if not holds.animation:
        photo = photo.still()
    if not holds.alpha:
        photo = photo.on_white()
    photo = photo.in_profile(photo.original if holds.profile else None)
    if photo.depth > holds.depth or photo.animation:
        photo = photo.with_depth(8)
    quality = holds.quality if quality is None else quality
    try:
        if format == "TIFF":
            parts = _tiff(photo)
        elif format == "JPEG":
            parts = _jpeg(photo, quality)
        elif format == "PNG" and not photo.animation:
            parts = _png(photo)
        else:
            parts = _by_pillow(photo, format, quality)
    except MemoryError:
        raise
    except Exception as error:  # each encoder has its own way to say no
        width, height = photo.size
        raise PhotostyleError(
            f"A photo of {width} x {height} pixels cannot be written as {format}: {error}."
        ) from error
    for part in parts:
        stream.write(part)


def _jpeg(photo: Photo, quality: int | None) -> list[Any]:
    """JFIF (ITU-T T.871) with EXIF, XMP and the profile in segments of their own."""
    from imagecodecs import jpeg8_encode

    if max(photo.size) > _JPEG_SIDE:
        raise ValueError(f"a side may have {_JPEG_SIDE} pixels")
    data = memoryview(jpeg8_encode(photo.pixels, level=quality, subsampling="444"))
    # Start of image, then the segment that the encoder writes first: JFIF, with the density.
    (length,) = struct.unpack(">H", data[4:6])
    jfif = bytearray(data[2 : 4 + length])
    noted = photo.metadata
    if noted.dpi:
        struct.pack_into(">BHH", jfif, 11, 1, *(round(value) for value in noted.dpi))
    segments = [bytes(jfif)]
    for block in (noted.exif, XMP_NAME + noted.xmp if noted.xmp else b""):
        if 0 < len(block) <= JPEG_SEGMENT:
            segments += [_segment(0xE1, block)]
    if photo.profile:
        size = JPEG_SEGMENT - len(_ICC) - 2
        chunks = [photo.profile[at : at + size] for at in range(0, len(photo.profile), size)]
        segments += [
            _segment(0xE2, _ICC + bytes((number, len(chunks))) + chunk)
            for number, chunk in enumerate(chunks, 1)
        ]
    return [data[:2], *segments, data[4 + length :]]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _png(photo: Photo) -> list[Any]:
    """PNG, third edition, with the chunks that hold profile, EXIF, XMP and resolution."""
    from imagecodecs import png_encode

    data = memoryview(png_encode(_with_alpha(photo)))
    after_header = 33
    noted, chunks = photo.metadata, []
    if photo.profile:
        chunks += [_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(photo.profile))]
    if noted.dpi:
        per_metre = (round(value / 0.0254) for value in noted.dpi)
        chunks += [_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))]
    if noted.exif:
        chunks += [_chunk(b"eXIf", noted.exif.removeprefix(_EXIF))]
    if noted.xmp:
        chunks += [_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + noted.xmp)]
    return [data[:after_header], *chunks, data[after_header:]]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + _crc(kind + content)


def _crc(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


def _tiff(photo: Photo) -> list[Any]:
    """TIFF 6.0, not compressed, the tags by Pillow, the pixels as they lie in memory."""
    pixels = _with_alpha(photo)
    height, width, channels = pixels.shape
    noted = photo.metadata
    directory = ImageFileDirectory_v2()
    if noted.exif:
        exif = Image.Exif()
        exif.load(noted.exif)
        directory.update(exif)
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if values := exif.get_ifd(ifd):
                directory[ifd] = values
    rows = max(1, (1 << 16) // pixels[0].nbytes)
    counts = [pixels[top : top + rows].nbytes for top in range(0, height, rows)]
    offsets = np.cumsum([0, *counts[:-1]]).tolist()
    directory[TiffImagePlugin.IMAGEWIDTH] = width
    directory[TiffImagePlugin.IMAGELENGTH] = height
    directory[TiffImagePlugin.BITSPERSAMPLE] = (photo.depth,) * channels
    directory[TiffImagePlugin.COMPRESSION] = 1
    directory[TiffImagePlugin.PHOTOMETRIC_INTERPRETATION] = 2
    directory[TiffImagePlugin.STRIPOFFSETS] = tuple(offsets)
    directory[TiffImagePlugin.SAMPLESPERPIXEL] = channels
    directory[TiffImagePlugin.ROWSPERSTRIP] = rows
    directory[TiffImagePlugin.STRIPBYTECOUNTS] = tuple(counts)
    directory[TiffImagePlugin.PLANAR_CONFIGURATION] = 1
    if channels == 4:
        directory[TiffImagePlugin.EXTRASAMPLES] = 2  # alpha that colours are not multiplied with
    if noted.dpi:
        directory[TiffImagePlugin.X_RESOLUTION], directory[TiffImagePlugin.Y_RESOLUTION] = noted.dpi
        directory[TiffImagePlugin.RESOLUTION_UNIT] = 2
    if photo.profile:
        directory.tagtype[TiffImagePlugin.ICCPROFILE] = 7
        directory[TiffImagePlugin.ICCPROFILE] = photo.profile
    if noted.xmp:
        directory.tagtype[ExifTags.Base.XMLPacket] = 1
        directory[ExifTags.Base.XMLPacket] = noted.xmp
    header = BytesIO()
    directory.save(header)
    return [header.getvalue(), memoryview(pixels).cast("B")]


def _by_pillow(photo: Photo, format: str, quality: int | None) -> list[Any]:
    holds, noted = FORMATS[format], photo.metadata
    options: dict[str, Any] = dict(holds.options)
    if quality is not None:
        options["quality"] = quality
    if holds.profile and photo.profile:
        options["icc_profile"] = photo.profile
    if holds.metadata and noted.exif:
        options["exif"] = noted.exif
    if holds.metadata and noted.xmp:
        options["xmp"] = noted.xmp
    if noted.dpi:
        options["dpi"] = noted.dpi
    if moves := photo.animation:
        stills = [replace(photo, pixels=f.pixels, alpha=f.alpha) for f in moves.frames]
        options["save_all"] = True
        options["append_images"] = [Image.fromarray(_with_alpha(still)) for still in stills]
        durations = [moves.duration, *(frame.duration for frame in moves.frames)]
        options["duration"] = [round(duration) for duration in durations]
        if moves.loop is not None:
            options["loop"] = moves.loop
        if format == "GIF":
            options["disposal"] = 2  # what is transparent must not show the frame before
        if format == "WEBP" and photo.alpha is not None:
            # Whole frames: of parts of frames Pillow does not see what is transparent around them.
            options |= {"kmin": 0, "kmax": 1}
    # In memory, because Pillow takes no notice when a disk is full.
    stream = BytesIO()
    Image.fromarray(_with_alpha(photo)).save(stream, format, **options)
    return [stream.getbuffer()]


def _with_alpha(photo: Photo) -> Any:
    """RGB (H, W, 3) or RGB and alpha (H, W, 4), one after the other in memory."""
    if photo.alpha is None:
        return np.ascontiguousarray(photo.pixels)
    return np.dstack([photo.pixels, photo.alpha])

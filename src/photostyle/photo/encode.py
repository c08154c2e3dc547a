"""Writes photo files."""

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
_MAX_JPEG_SIDE = 65_500  # pixels

# The exceptions that encoders raise for photos that a format cannot store: RuntimeError comes from
# imagecodecs, AVIF and JPEG XL, the others from Pillow and pillow-heif (struct.error and
# OverflowError for numbers too large for a field).
_ENCODER_ERRORS = (OSError, ValueError, RuntimeError, OverflowError, struct.error)


def write(
    photo: Photo, target: Path, *, overwrite: bool = False, quality: int | None = None
) -> None:
    """Write a photo to a file in the format of its extension; ``quality`` as in `encode`.

    Raises PhotostyleError as `format_of`, `photostyle.files.new_file` and `encode` do.
    """
    with new_file(target, overwrite=overwrite) as stream:
        encode(photo, format_of(target), stream, quality=quality)


def encode(photo: Photo, format: str, stream: BinaryIO, *, quality: int | None = None) -> None:
    """Write a photo to a binary stream, in a format that `format_of` returns.

    Colours are converted to ``photo.original``, which is embedded as the profile. If the format
    cannot store them, 16 bits become 8, transparency becomes a white background, colours become
    sRGB, and an animation becomes its first frame. quality: 1 to 100, for lossy formats; None is
    the format's default.

    Raises PhotostyleError if the format cannot store the photo.
    """
    target = FORMATS[format]
    if not target.animation:
        photo = photo.still()
    if not target.alpha:
        photo = photo.on_white()
    photo = photo.in_profile(photo.original if target.profile else None)
    if photo.depth > target.depth or photo.animation:
        photo = photo.with_depth(8)
    quality = target.quality if quality is None else quality
    try:
        if format == "TIFF":
            parts = _tiff(photo)
        elif format == "JPEG":
            parts = _jpeg(photo, quality)
        elif format == "PNG" and not photo.animation:
            parts = _png(photo)
        else:
            parts = _with_pillow(photo, format, quality)
    except _ENCODER_ERRORS as error:
        width, height = photo.size
        raise PhotostyleError(
            f"A photo of {width} x {height} pixels cannot be written as {format}: {error}."
        ) from error
    for part in parts:
        stream.write(part)


def _jpeg(photo: Photo, quality: int | None) -> list[Any]:
    """JFIF (ITU-T T.871) with segments for EXIF, XMP and the profile."""
    from imagecodecs import jpeg8_encode

    if max(photo.size) > _MAX_JPEG_SIDE:
        raise ValueError(f"width and height are limited to {_MAX_JPEG_SIDE} pixels")
    data = memoryview(jpeg8_encode(photo.pixels, level=quality, subsampling="444"))
    # The encoder writes the JFIF segment, which holds the density, after the start-of-image marker.
    (length,) = struct.unpack(">H", data[4:6])
    jfif = bytearray(data[2 : 4 + length])
    metadata = photo.metadata
    if metadata.dpi:
        struct.pack_into(">BHH", jfif, 11, 1, *(round(value) for value in metadata.dpi))
    segments = [bytes(jfif)]
    for block in (metadata.exif, XMP_NAME + metadata.xmp if metadata.xmp else b""):
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
    """PNG, third edition, with chunks for profile, resolution, EXIF and XMP."""
    from imagecodecs import png_encode

    data = memoryview(png_encode(_with_alpha(photo)))
    after_header = 33
    metadata, chunks = photo.metadata, []
    if photo.profile:
        chunks += [_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(photo.profile))]
    if metadata.dpi:
        per_metre = (round(value / 0.0254) for value in metadata.dpi)
        chunks += [_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))]
    if metadata.exif:
        chunks += [_chunk(b"eXIf", metadata.exif.removeprefix(_EXIF))]
    if metadata.xmp:
        chunks += [_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + metadata.xmp)]
    return [data[:after_header], *chunks, data[after_header:]]


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + _crc(kind + content)


def _crc(content: bytes) -> bytes:
    return struct.pack(">I", zlib.crc32(content))


def _tiff(photo: Photo) -> list[Any]:
    """Uncompressed TIFF 6.0: Pillow encodes the tags, followed by the plain pixels."""
    pixels = _with_alpha(photo)
    height, width, channels = pixels.shape
    metadata = photo.metadata
    directory = ImageFileDirectory_v2()
    if metadata.exif:
        exif = Image.Exif()
        exif.load(metadata.exif)
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
        directory[TiffImagePlugin.EXTRASAMPLES] = 2  # colours are not multiplied with alpha
    if metadata.dpi:
        directory[TiffImagePlugin.X_RESOLUTION], directory[TiffImagePlugin.Y_RESOLUTION] = (
            metadata.dpi
        )
        directory[TiffImagePlugin.RESOLUTION_UNIT] = 2
    if photo.profile:
        directory.tagtype[TiffImagePlugin.ICCPROFILE] = 7
        directory[TiffImagePlugin.ICCPROFILE] = photo.profile
    if metadata.xmp:
        directory.tagtype[ExifTags.Base.XMLPacket] = 1
        directory[ExifTags.Base.XMLPacket] = metadata.xmp
    header = BytesIO()
    directory.save(header)
    return [header.getvalue(), memoryview(pixels).cast("B")]


def _with_pillow(photo: Photo, format: str, quality: int | None) -> list[Any]:
    target, metadata = FORMATS[format], photo.metadata
    options: dict[str, Any] = dict(target.options)
    if quality is not None:
        options["quality"] = quality
    if target.profile and photo.profile:
        options["icc_profile"] = photo.profile
    if target.metadata and metadata.exif:
        options["exif"] = metadata.exif
    if target.metadata and metadata.xmp:
        options["xmp"] = metadata.xmp
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if animation := photo.animation:
        stills = [replace(photo, pixels=f.pixels, alpha=f.alpha) for f in animation.frames]
        options["save_all"] = True
        options["append_images"] = [Image.fromarray(_with_alpha(still)) for still in stills]
        durations = [animation.duration, *(frame.duration for frame in animation.frames)]
        options["duration"] = [round(duration) for duration in durations]
        if animation.loop is not None:
            options["loop"] = animation.loop
        if format == "GIF":
            options["disposal"] = 2  # so that the previous frame does not show through
        if format == "WEBP" and photo.alpha is not None:
            # Only key frames: Pillow loses transparency around partial frames.
            options |= {"kmin": 0, "kmax": 1}
    # In memory first, because Pillow does not report a full disk.
    stream = BytesIO()
    Image.fromarray(_with_alpha(photo)).save(stream, format, **options)
    return [stream.getbuffer()]


def _with_alpha(photo: Photo) -> Any:
    """RGB (H, W, 3) or RGBA (H, W, 4), contiguous in memory."""
    if photo.alpha is None:
        return np.ascontiguousarray(photo.pixels)
    return np.dstack([photo.pixels, photo.alpha])

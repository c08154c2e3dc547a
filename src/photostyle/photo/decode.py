"""From a file to a photo."""

from __future__ import annotations

import logging
import os
import re
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from PIL import ExifTags, Image, ImageSequence, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from photostyle.errors import PhotostyleError
from photostyle.photo import color, high_bit_depth, limits, metadata, raster
from photostyle.photo.formats import READABLE
from photostyle.photo.metadata import Metadata
from photostyle.photo.photo import Animation, AnimationFrame, Photo
from photostyle.photo.raster import Raster

_RAW_SUFFIXES = re.compile(
    r"\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|fff|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl"
    r"|sr2|srf|srw|x3f)"
)
# Where a file that has no name says that it is raw: offset and bytes.
_RAW_MAGIC = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"IIU\0"),
    (0, b"MMOR"),
    (8, b"CR\2\0"),
    (4, b"ftypcrx "),
)
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_DEEP_PNG = re.compile(rb"\x89PNG\r\n\x1a\n.{16}\x10", re.DOTALL)
_FED = 1 << 26
"""Bytes of a file that a decoder is given at a time."""

_SEVERAL = "The file holds several images; the first is used."


def read(source: str | Path | BinaryIO, *, still: bool = False) -> Photo:
    """The photo in a file or a binary stream, of any format that Pillow, tifffile or rawpy reads.

    The orientation in the metadata is applied. RGB stays in the profile of the file, where one
    can work in it; all else is converted, grey, CMYK and Lab to sRGB. Of an animation all frames
    are read, or with ``still`` the first; of other files with several images the first.

    Raises PhotostyleError if there is no readable photo of at most MAX_PIXELS pixels.
    """
    is_path = isinstance(source, (str, Path))
    name = repr(str(source if is_path else getattr(source, "name", "The photo")))
    try:
        with _quietly(), _opened(source) as stream:
            suffix = Path(source).suffix.lower() if isinstance(source, (str, Path)) else ""
            photo = _decode(stream, suffix, still)
    except (PhotostyleError, MemoryError):
        raise
    except Image.DecompressionBombError as error:
        limit = f"the limit is {limits.MAX_PIXELS // 1_000_000} megapixels."
        hint = f" {error}" if str(error).startswith("With") else ""
        raise PhotostyleError(f"{name} is too large: {limit}{hint}") from error
    except UnidentifiedImageError as error:
        raise PhotostyleError(f"{name} is not a photo of a format that can be read.") from error
    except Exception as error:  # a broken file makes decoders raise anything
        known = isinstance(error, OSError) and error.strerror
        raise PhotostyleError(
            f"{name} cannot be read: {known}."
            if known
            else f"{name} is damaged or incomplete and cannot be read."
        ) from error
    return replace(photo, notes=tuple(f"{name}: {note}" for note in photo.notes))


def _decode(stream: BinaryIO, suffix: str, still: bool) -> Photo:
    start = stream.read(32)
    is_tiff = start.startswith(_TIFF_MAGIC)
    if (
        _RAW_SUFFIXES.fullmatch(suffix)
        or any(start.startswith(magic, at) for at, magic in _RAW_MAGIC)
        or (is_tiff and high_bit_depth.is_raw_tiff(stream))
    ):
        # LibRaw turns the photo itself.
        noted, _, notes = metadata.read(high_bit_depth.read_exif(stream), {})
        with _without_stderr():
            values = high_bit_depth.read_raw(stream)
        return _assembled(values, 1, noted, "RAW", notes)
    if is_tiff and (found := high_bit_depth.read_tiff(stream)):
        values, exif, info, several = found
        noted, orientation, notes = metadata.read(exif, info)
        notes += [_SEVERAL] * several
        return _assembled(values, orientation, noted, "TIFF", notes)
    if start.startswith(limits.JXL_MAGIC):
        limits.check_jxl(stream)
    stream.seek(0)
    with Image.open(stream, "r", READABLE) as image:
        limits.check_size(image.width, image.height)
        format = image.format or "PNG"
        frames = 1 if format in ("TIFF", "MPO") else getattr(image, "n_frames", 1)
        if frames > 1 and not still:
            limits.check_size(image.width, image.height, frames)
            return _decode_animation(image, format)
        # Pillow feeds its decoder 64 KB at a time, and each time waits for other threads.
        image.decodermaxblock = _FED
        with _without_stderr() if is_tiff else nullcontext():
            image.load()
        noted, orientation, notes = _metadata_of(image)
        profile = image.info.get("icc_profile")
        if _DEEP_PNG.match(start) and frames == 1:
            values = high_bit_depth.read_png(stream, profile)
        else:
            values = raster.of_image(image, profile or _named_profile(image))
        if isinstance(image, TiffImageFile) and image.tag_v2.next:
            notes.append(_SEVERAL)
        return _assembled(values, orientation, noted, format, notes)


def _decode_animation(image: Image.Image, format: str) -> Photo:
    """All frames; what is said of the whole file is taken from the first."""
    loop, profile = image.info.get("loop"), image.info.get("icc_profile")
    noted, orientation, notes = _metadata_of(image)
    photos, durations = [], []
    for number, frame in enumerate(ImageSequence.Iterator(image)):
        if number == 0 and image.info.get("default_image"):
            continue  # is shown only where animations are not
        frame.load()
        values = raster.of_image(frame, profile)
        photos.append(_assembled(values, orientation, noted, format, notes))
        durations.append(float(frame.info.get("duration", 0)))
    first, *others = photos
    if not others:
        return first
    frames = tuple(
        AnimationFrame(photo.pixels, photo.alpha, duration)
        for photo, duration in zip(others, durations[1:], strict=True)
    )
    return replace(first, animation=Animation(frames, durations[0], loop))


def _assembled(
    values: Raster, orientation: int, noted: Metadata, format: str, notes: list[str]
) -> Photo:
    """The photo upright and in a profile that can be worked in."""
    profile = values.profile
    if profile and not color.is_usable(profile, values.space):
        profile, notes = None, [*notes, "The colour profile cannot be used and was left out."]
        values = values._replace(profile=None)
    pixels, alpha = raster.upright(values, orientation)
    original = profile
    if profile and values.space != "RGB ":
        profile = original = color.SRGB
    elif profile and not color.is_working_space(profile):
        color.convert(pixels, profile, color.SRGB)
        writable = color.is_usable(profile, "RGB ", output=True)
        profile, original = color.SRGB, profile if writable else color.SRGB
    return Photo(pixels, alpha, profile, original, noted, format, notes=tuple(notes))


def _metadata_of(image: Image.Image) -> tuple[Metadata, int, list[str]]:
    info: dict[str, Any] = {key: image.info.get(key) for key in ("xmp", "dpi")}
    if isinstance(image, TiffImageFile):
        info["xmp"] = image.tag_v2.get(ExifTags.Base.XMLPacket)
    noted, orientation, notes = metadata.read(image, info)
    # The orientation in the codestream counts and has been applied; ISO/IEC 18181-2, 9.3.
    return noted, 1 if image.format == "JXL" else orientation, notes


def _named_profile(image: Image.Image) -> bytes | None:
    """The profile that a photo without one names in its metadata."""
    if image.mode == "RGB" and metadata.names_adobe_rgb(image):
        return color.adobe_rgb()
    return None


@contextmanager
def _opened(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """A stream that can be read from any place and has an end."""
    if isinstance(source, (str, Path)):
        with Path(source).open("rb") as stream:
            yield _seekable(stream)
    else:
        yield _seekable(source)


def _seekable(stream: BinaryIO) -> BinaryIO:
    size = _size(stream)
    if size is None:
        stream = BytesIO(stream.read(limits.MAX_BYTES + 1))
        size = len(stream.getbuffer())
    if size > limits.MAX_BYTES:
        raise PhotostyleError(f"No photo has more than {limits.MAX_BYTES >> 30} GB.")
    stream.seek(0)
    return stream


def _size(stream: BinaryIO) -> int | None:
    """The size of a file on disk or in memory; None for pipes and devices."""
    if isinstance(stream, BytesIO):
        return len(stream.getbuffer())
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the libraries have to say of odd files that they can read all the same."""
    loggers = [logging.getLogger(name) for name in ("imagecodecs", "tifffile", "PIL")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _without_stderr() -> Iterator[None]:
    """Without what libraries in C (libtiff, LibRaw) print there on their own."""
    try:
        kept = os.dup(2)
    except OSError:  # there is none
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

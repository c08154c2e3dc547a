"""Reads photo files."""

from __future__ import annotations

import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageSequence, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from photostyle.errors import PhotostyleError
from photostyle.input_space import InputSpace
from photostyle.photo import (
    avif,
    bmp,
    color,
    fits,
    frames,
    hdr,
    high_bit_depth,
    isobmff,
    jpeg,
    jpeg2000,
    jxl,
    jxl_frames,
    limits,
    linear_light,
    log_photo,
    named_color,
    pixmaps,
    png,
    pnm,
    psd,
    raster,
)
from photostyle.photo.decoder_errors import DECODER_ERRORS
from photostyle.photo.formats import READABLE
from photostyle.photo.frames import Frame
from photostyle.photo.metadata import (
    Metadata,
    names_adobe_rgb,
    read_metadata,
    read_tiff_metadata,
    still_true,
)
from photostyle.photo.metadata_blocks import in_resources
from photostyle.photo.named_color import ColorSpace
from photostyle.photo.photo import Animation, AnimationFrame, Photo
from photostyle.photo.raster import Raster

_RAW_SUFFIXES = re.compile(
    r"\.(3fr|arw|cr2|cr3|crw|dcr|dng|erf|fff|iiq|kdc|mef|mos|mrw|nef|nrw|orf|pef|raf|raw|rw2|rwl"
    r"|sr2|srf|srw|x3f)"
)
_OTHER_SUFFIXES = {".exr", ".hdr", ".pam", ".pfm", ".pic", ".rgbe"}
# Raw files recognized by their content, if the name does not help: offset and bytes.
_RAW_MAGIC = (
    (0, b"FUJIFILMCCD-RAW"),
    (0, b"IIRO"),
    (0, b"IIRS"),
    (0, b"IIU\0"),
    (0, b"MMOR"),
    (8, b"CR\2\0"),
    (4, b"ftypcrx "),
)
# Files that are no raw photos, whatever their names say: JPEG, PNG, GIF, WebP; HEIC and AVIF.
_NOT_RAW = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8|RIFF|.{4}ftyp(?:avi|hei|hev|mif|miaf)", re.DOTALL
)
_TIFF_MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
# Of a segment; neither zeros, restarts nor fill bytes in the data of a scan, nor the end.
_JPEG_MARKER = re.compile(rb"\xff[\xc0-\xcf\xda-\xfe]")
_PNG_16_BIT = re.compile(rb"\x89PNG\r\n\x1a\n.{16}\x10", re.DOTALL)

_BLOCK = 1 << 26
"""Bytes that Pillow's decoders get at a time: with the default 64 KB, threads wait for the GIL."""

_ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF", "FLI")
"""Formats whose images are the frames of an animation; the images of others are photos."""

_HDR_NOTE = "HDR was mapped to the range of SDR by its colour profile, and read as sRGB."
_SRGB_NOTE = "Converting back to its colour profile would change colours, so it was read as sRGB."
_SALVAGED_NOTE = "The file is cut off; what is missing of the photo is grey or coarse."


def has_photo_suffix(path: PurePath) -> bool:
    """Whether a file has the extension of a format that can be read."""
    suffix = path.suffix.lower()
    known = Image.EXTENSION.get(suffix) in READABLE or suffix in _OTHER_SUFFIXES
    return known or bool(_RAW_SUFFIXES.fullmatch(suffix))


def read(
    source: str | Path | BinaryIO,
    *,
    still: bool = False,
    color_managed: bool = True,
    salvage: bool = False,
    metadata: bool = True,
    white: float | None = None,
    input_space: InputSpace | None = None,
) -> Photo:
    """Read a photo from a file or binary stream, in any format of Pillow, tifffile or LibRaw.

    The photo is rotated by its EXIF orientation. RGB keeps its profile if that is suitable for
    processing; everything else, including grey, CMYK and Lab, is converted to sRGB. An animation
    is read with all its frames, or with ``still`` only the first; any other file with several
    images only with the first. With ``color_managed`` False the profile is ignored and dropped, so
    that grey and RGB values stay as they are in the file. With ``salvage`` a JPEG that is cut off
    is read as far as it goes, with a note. With ``metadata`` False only the resolution is kept of
    them, and no note says what is lost. ``white`` is the value of floats (TIFF, OpenEXR, Radiance
    HDR, PFM) that becomes white; None is the photo's own, see `raster.to_uint16`. With an
    ``input_space`` the values of the file are those, whatever its profile says; the photo becomes
    what a display shows of them, in sRGB, with a note.

    Libraries may log or warn about odd files, and C libraries may write to stderr; this function
    does not silence them.

    Raises PhotostyleError if there is no readable photo of at most MAX_PIXELS pixels, and for an
    input space if it is HDR, raw or linear light.
    """
    name = _name(source)
    if input_space:
        color_managed, white = False, 1.0
    suffix = Path(source).suffix.lower() if isinstance(source, (str, Path)) else ""
    try:
        with limits.replacing_pillow_limit(), _opened(source) as stream:
            try:
                photo = _decode(stream, suffix, still, color_managed, white)
            except DECODER_ERRORS:
                if not (salvage and _is_jpeg(stream)):
                    raise
                photo = _decode(_with_end(stream), suffix, still, color_managed, white)
                photo = replace(photo, notes=(*photo.notes, _SALVAGED_NOTE))
            if input_space:
                log_photo.check_values(photo, stream, name)
                photo = log_photo.displayed(photo, input_space)
    except limits.TooLargeError as error:
        raise PhotostyleError(f"{name} is too large: {error}") from error
    except UnidentifiedImageError as error:
        raise PhotostyleError(f"{name} is not a photo in a supported format.") from error
    except DECODER_ERRORS as error:
        reason = isinstance(error, OSError) and error.strerror
        raise PhotostyleError(
            f"{name} cannot be read: {reason}."
            if reason
            else f"{name} is damaged or incomplete and cannot be read."
        ) from error
    notes = (*photo.notes, *photo.metadata.notes) if metadata else photo.notes
    photo = photo if metadata else photo.stripped()
    return replace(photo, notes=tuple(f"{name}: {note}" for note in notes))


def read_style(source: str | Path | BinaryIO) -> Photo:
    """Read a photo, or the first frame of an animation, whose colours will be learned.

    Raises PhotostyleError as `read` does, and if all of the photo is transparent.
    """
    photo = read(source, still=True, metadata=False)
    if photo.alpha is not None and not photo.alpha.any():
        raise PhotostyleError(
            f"{_name(source)} is fully transparent; use a photo with visible pixels as the style."
        )
    return photo


def _is_jpeg(stream: BinaryIO) -> bool:
    stream.seek(0)
    return stream.read(3) == b"\xff\xd8\xff"


def _with_end(stream: BinaryIO) -> BinaryIO:
    """A JPEG that is cut off, with a marker of its end, at which libjpeg fills the rest.

    A segment that is cut off, as of tables between the scans of a progressive photo, is left out.
    """
    stream.seek(0)
    data = stream.read()
    end = 2
    while marker := _JPEG_MARKER.search(data, end):
        end = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")
        if end > len(data) or marker.end() + 2 > len(data):
            data = data[: marker.start()]
            break
    return BytesIO(data + b"\xff\xd9")


def _name(source: str | Path | BinaryIO) -> str:
    file = source if isinstance(source, (str, Path)) else getattr(source, "name", None)
    return "The photo" if file is None else repr(str(file))


def _decode(
    stream: BinaryIO, suffix: str, still: bool, color_managed: bool, white: float | None
) -> Photo:
    start = stream.read(32)
    is_tiff = start.startswith(_TIFF_MAGIC)
    if (
        (_RAW_SUFFIXES.fullmatch(suffix) and not _NOT_RAW.match(start))
        or any(start.startswith(magic, offset) for offset, magic in _RAW_MAGIC)
        or (is_tiff and high_bit_depth.is_dng(stream))
    ):
        return _decode_raw(stream)
    if is_tiff and (photo := _decode_high_bit_depth_tiff(stream, color_managed, white)):
        return photo
    if start.startswith(psd.MAGIC):
        return _decode_psd(stream, color_managed)
    if linear_light.is_linear_light(start):
        return _decode_linear_light(stream, white)
    if frame := jpeg.unusual_frame(stream):
        return _decode_unusual_jpeg(stream, frame, color_managed)
    if start.startswith(fits.MAGIC):
        return _to_photo(fits.read(stream), 1, Metadata(), "FITS", [])
    if start.startswith(b"P") and (values := pnm.read(stream)):
        return _to_photo(values, 1, Metadata(), "PPM", [])
    return _decode_with_pillow(stream, start, still, color_managed)


def _decode_with_pillow(given: BinaryIO, start: bytes, still: bool, color_managed: bool) -> Photo:
    """A photo that Pillow opens, though other libraries may decode its pixels."""
    # The plugin for JPEG XL reports the size only after it has decoded all pixels.
    header = jxl.read_header(given) if start.startswith(jxl.MAGIC) else None
    if header:
        limits.check_size(header.width, header.height)
    stream, large_profile, notes = given, None, list[str]()
    if start.startswith(png.MAGIC):
        stream, large_profile, notes = png.readable(given)
    with _opened_image(stream) as image:
        limits.check_size(image.width, image.height)
        if large_profile:
            image.info["icc_profile"] = large_profile
        format = image.format or "PNG"
        if format == "JPEG2000":
            image.info["icc_profile"] = jpeg2000.profile(stream)
        if format == "AVIF" and not image.info.get("icc_profile"):
            image.info["icc_profile"] = avif.profile(stream)
        png.correct_transparency(image)
        pixmaps.correct_order(image)
        count = 1 if format == "TIFF" else getattr(image, "n_frames", 1)
        if count > 1 and not still and format in _ANIMATIONS:
            limits.check_size(image.width, image.height, count)
            return _decode_animation(image, given, _frames_of(image, stream), notes)
        if header and header.animated and not still:
            with suppress(ValueError):
                durations = jxl_frames.durations(given)
                limits.check_size(image.width, image.height, len(durations))
                image.info["loop"] = header.loops
                shown = zip(jxl.read_frames(given, header), durations, strict=True)
                return _decode_animation(image, given, shown, notes)
        if isinstance(image, ImageFile.ImageFile):
            image.decodermaxblock = _BLOCK
        image.load()
        metadata, orientation = _metadata_of(image, given)
        space, space_notes = named_color.read(image, stream) if color_managed else (None, [])
        notes += space_notes
        if count > 1 and format not in _ANIMATIONS:
            notes.append(_several_images("primary" if format == "HEIF" else "first"))
        if isinstance(image, TiffImageFile) and image.tag_v2.next:
            notes.append(_several_images("first"))
        if header:
            # ISO/IEC 18181-2, 9.3: only the orientation in the codestream counts. The decoder
            # applies it, unless it has restored the JPEG from which the file was made.
            orientation = header.orientation if getattr(image, "jpeg", False) else 1
            if header.animated and not still:
                notes.append("The file is an animation; only its first frame was read.")
        values = _better_values(image, stream, header)
        if values is None:
            values = raster.from_image(_cropped(image, stream), None)
        profile = image.info.get("icc_profile") or _profile_named_in_exif(image, metadata)
        if not color_managed:
            profile = None
        if values.space != "Lab ":
            values = values._replace(profile=profile)
        if space:
            values = _in_space(values, space)
        return _to_photo(values, orientation, metadata, format, notes)


def _better_values(
    image: Image.Image, stream: BinaryIO, header: jxl.Header | None
) -> Raster | None:
    """The values of a photo of which Pillow reads 8 bits only, or the wrong ones; else None."""
    # Pillow fails on damaged directories of TIFF if it counts them.
    count = 1 if image.format == "TIFF" else getattr(image, "n_frames", 1)
    if header:
        if header.animated or (header.is_deep and not getattr(image, "jpeg", False)):
            return jxl.read_first_frame(stream, header)
    elif image.format == "GIF":
        return frames.first(frames.of_gif(stream, image.size))
    elif image.format == "PNG":
        if count > 1:
            return frames.first(frames.of_png(stream, image.size))
        stream.seek(0)
        if _PNG_16_BIT.match(stream.read(32)):
            return high_bit_depth.read_png(stream)
    elif image.format == "AVIF":
        if image.width * image.height * count <= limits.MAX_PIXELS:  # all of them are decoded
            found = avif.read_all_bits(stream, _clean_aperture(image, stream), count)
            return found[0] if found else None
    elif image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
        return high_bit_depth.read_heif(stream)
    elif image.format == "JPEG2000":
        return high_bit_depth.read_jpeg2000(stream, image.mode)
    return None


def _cropped(image: Image.Image, stream: BinaryIO) -> Image.Image:
    aperture = _clean_aperture(image, stream) if image.format == "AVIF" else None
    return image.crop(aperture) if aperture else image


def _opened_image(stream: BinaryIO) -> Image.Image:
    """An image of Pillow, or of an icon, or of a file that Pillow refuses."""
    stream.seek(0)
    start = stream.read(16)
    if start.startswith(pixmaps.XPM_MAGIC):
        return pixmaps.open_xpm(stream)
    if start.startswith(bmp.ICON_MAGIC):
        with suppress(*DECODER_ERRORS):
            return bmp.open_icon(stream)
    if start.startswith(bmp.MAGIC) and bmp.is_unusual(stream):
        return bmp.open_bmp(stream)
    stream.seek(0)
    try:
        image = Image.open(stream, "r", READABLE)
        # The plugin for HEIF opens AVIF that it cannot decode.
        if image.format != "HEIF" or not avif.is_avif(stream):
            return image
    except DECODER_ERRORS:
        if start.startswith(bmp.MAGIC):
            return bmp.open_bmp(stream)
        is_avif = False
        with suppress(ValueError):
            is_avif = avif.is_avif(stream)
        if not is_avif:
            raise
    return avif.open_image(stream)


def _decode_raw(stream: BinaryIO) -> Photo:
    metadata, _ = read_tiff_metadata(stream)
    upright = 1  # LibRaw has already rotated the photo
    return _to_photo(high_bit_depth.read_raw(stream), upright, metadata, "RAW", [])


def _decode_linear_light(stream: BinaryIO, white: float | None) -> Photo:
    values, format, notes = linear_light.read(stream, white)
    return _to_photo(values, 1, Metadata(), format, notes)


def _decode_psd(stream: BinaryIO, color_managed: bool) -> Photo:
    values, resources, has_layers = psd.read(stream)
    metadata, orientation = still_true(in_resources(resources))
    notes = ["The file has layers; only the merged image was read."] * has_layers
    if not color_managed:
        values = values._replace(profile=None)
    return _to_photo(values, orientation, metadata, "PSD", notes)


def _decode_unusual_jpeg(stream: BinaryIO, frame: jpeg.Frame, color_managed: bool) -> Photo:
    values = jpeg.read(stream, frame)
    with jpeg.opened_metadata(stream, frame) as image:
        metadata, orientation = _metadata_of(image, stream)
        profile = image.info.get("icc_profile") or _profile_named_in_exif(image, metadata)
    values = values._replace(profile=profile if color_managed else None)
    return _to_photo(values, orientation, metadata, "JPEG", [])


def _decode_high_bit_depth_tiff(
    stream: BinaryIO, color_managed: bool, white: float | None
) -> Photo | None:
    found = high_bit_depth.read_tiff(stream, white)
    if not found:
        return None
    values, multipage = found
    metadata, orientation = read_tiff_metadata(stream)
    notes = [_several_images("first")] * multipage
    if not color_managed:
        values = values._replace(profile=None)
    return _to_photo(values, orientation, metadata, "TIFF", notes)


def _frames_of(image: Image.Image, stream: BinaryIO) -> Iterable[Frame]:
    """The frames of an animation that Pillow has opened."""
    if image.format == "PNG":
        return frames.of_png(stream, image.size)
    if image.format == "GIF":
        return frames.of_gif(stream, image.size)
    return _frames_of_pillow(image, stream)


def _frames_of_pillow(image: Image.Image, stream: BinaryIO) -> Iterator[Frame]:
    number = getattr(image, "n_frames", 1)
    deep = avif.read_all_bits(stream, None, number) if image.format == "AVIF" else []
    for index, frame in enumerate(ImageSequence.Iterator(image)):
        frame.load()
        values = deep[index] if deep else raster.from_image(frame, None)
        yield values, float(frame.info.get("duration", 0))


def _decode_animation(
    image: Image.Image, stream: BinaryIO, given: Iterable[Frame], notes: list[str]
) -> Photo:
    """All frames, with the profile, metadata and loops of the first."""
    format, loop = image.format or "PNG", image.info.get("loop")
    profile = image.info.get("icc_profile")
    metadata, orientation = _metadata_of(image, stream)
    space, space_notes = named_color.read(image, stream)
    notes += space_notes
    photos, durations = [], []
    for values, duration in given:
        values = values._replace(profile=profile)
        shown = _in_space(values, space) if space else values
        photos.append(_to_photo(shown, orientation, metadata, format, notes))
        durations.append(duration)
    first, *others = photos
    if not others:
        return first
    later = tuple(
        AnimationFrame(photo.pixels, photo.alpha, duration)
        for photo, duration in zip(others, durations[1:], strict=True)
    )
    return replace(first, animation=Animation(later, durations[0], loop))


def _to_photo(
    values: Raster, orientation: int, metadata: Metadata, format: str, notes: list[str]
) -> Photo:
    """The photo upright, in a profile that is suitable for processing."""
    profile = values.profile
    spaces = [values.space] + ["RGB "] * (values.space == "GRAY")
    if profile and not any(color.is_usable(profile, space) for space in spaces):
        profile, notes = None, [*notes, "The colour profile is invalid and was dropped."]
        values = values._replace(profile=None)
    pixels, alpha = raster.to_upright_rgb(values, orientation)
    original = profile
    if profile and values.space != "RGB ":
        profile = original = color.SRGB
    elif profile and not color.is_working_space(profile):
        color.convert(pixels, profile, color.SRGB)
        profile, original = color.SRGB, profile
        if not _is_writable(original, pixels.dtype):
            original = color.SRGB
            notes = [*notes, _HDR_NOTE if color.names_hdr(values.profile or b"") else _SRGB_NOTE]
    return Photo(pixels, alpha, profile, original, metadata, format, notes=tuple(notes))


def _in_space(values: Raster, space: ColorSpace) -> Raster:
    """The values with an ICC profile of the space; HDR is converted."""
    if space.is_hdr:
        return hdr.tone_mapped(values, space)
    return values._replace(profile=space.profile())


def _is_writable(profile: bytes, dtype: np.dtype[Any]) -> bool:
    return color.is_invertible(profile) and (dtype == np.uint16 or color.is_perceptual(profile))


def _metadata_of(image: Image.Image, stream: BinaryIO) -> tuple[Metadata, int]:
    position = stream.tell()
    metadata, orientation = read_metadata(image, stream)
    stream.seek(position)
    if image.format in ("AVIF", "HEIF"):
        # Only properties of the image turn it, says ISO/IEC 23008-12, 6.5.10. Pillow has made
        # them EXIF's orientation, but would take that of XMP if there are none.
        image.info.pop("xmp", None)
    if image.format == "JXL":
        orientation = 1
    if image.format in ("AVIF", "HEIF", "TIFF"):  # Pillow has turned TIFF already
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    if image.format == "AVIF":  # Pillow turns before it mirrors, whatever the order in the file
        orientation = avif.orientation(stream) or orientation
    return metadata, orientation


def _several_images(read: str) -> str:
    return f"The file contains several images; only the {read} was read."


def _clean_aperture(image: Image.Image, stream: BinaryIO) -> tuple[int, int, int, int] | None:
    with suppress(ValueError, struct.error, IndexError):
        return isobmff.clean_aperture(isobmff.primary_properties(stream), *image.size)
    return None


def _profile_named_in_exif(image: Image.Image, metadata: Metadata) -> bytes | None:
    """Adobe RGB if EXIF names it, which cameras do instead of embedding a profile."""
    return color.adobe_rgb() if image.mode == "RGB" and names_adobe_rgb(metadata) else None


@contextmanager
def _opened(source: str | Path | BinaryIO) -> Iterator[BinaryIO]:
    """A seekable stream, at its start."""
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
        raise limits.TooLargeError(f"the limit is {limits.MAX_BYTES >> 30} GB.")
    stream.seek(0)
    return stream


def _size(stream: BinaryIO) -> int | None:
    """Bytes of a file on disk or in memory; None for pipes and devices."""
    if isinstance(stream, BytesIO):
        return len(stream.getbuffer())
    try:
        status = os.fstat(stream.fileno())
    except (OSError, AttributeError):
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None

"""Writes photo files."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import ExifTags, Image, TiffImagePlugin

from photostyle.errors import PhotostyleError
from photostyle.files import new_file
from photostyle.photo import animations, avif_metadata, image_resources, isobmff, jxl, png, xmp
from photostyle.photo.exif import (
    BYTE,
    IPTC,
    LONG,
    RESOURCES,
    STRUCTURE,
    UNDEFINED,
    XMP,
    Entry,
    ExifBlock,
)
from photostyle.photo.formats import FORMATS, format_of
from photostyle.photo.metadata_blocks import (
    EXTENDED_XMP_NAME,
    JPEG_SEGMENT,
    MAX_JPEG_XMP,
    PNG_PROFILE,
    PNG_XMP,
    RESOURCES_NAME,
    XMP_NAME,
)
from photostyle.photo.photo import Animation, Photo, strips

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
    cannot store them, 16 bits become 10 or 8, transparency becomes a white background, colours
    become sRGB, and an animation becomes its first frame. quality: 1 to 100, for lossy formats;
    None is the format's default.

    Raises PhotostyleError if the format cannot store the photo.
    """
    target = FORMATS[format]
    if not target.animation:
        photo = photo.still()
    if not target.alpha:
        photo = photo.on_white()
    photo = photo.in_profile(photo.original if target.profile else None)
    photo = photo.with_metadata_for(format)
    if target.depth == 8 or photo.animation:
        photo = photo.with_depth(8)
    quality = target.quality if quality is None else quality
    try:
        if format == "TIFF":
            parts = _tiff(photo)
        elif format == "JPEG":
            parts = _jpeg(photo, quality)
        elif format == "PNG":
            parts = _png(photo)
        elif format == "AVIF" and photo.depth > 8:
            parts = _deep_avif(photo, quality)
        elif format == "HEIF" and photo.depth > 8:
            parts = _deep_heif(photo, quality)
        elif format == "JXL":
            parts = _jxl(photo, quality)
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
        density = (min(round(value), 65535) for value in metadata.dpi)
        struct.pack_into(">BHH", jfif, 11, 1, *density)
    segments = [bytes(jfif)]
    if metadata.exif:
        segments += [_segment(0xE1, metadata.exif)]
    packet, extension, digest = xmp.split(metadata.xmp, MAX_JPEG_XMP)
    if packet:
        segments += [_segment(0xE1, XMP_NAME + packet)]
    for at, part in _parts(extension, JPEG_SEGMENT - 75):
        header = EXTENDED_XMP_NAME + digest + struct.pack(">II", len(extension), at)
        segments += [_segment(0xE1, header + part)]
    for _, part in _parts(metadata.resources, JPEG_SEGMENT - len(RESOURCES_NAME)):
        segments += [_segment(0xED, RESOURCES_NAME + part)]
    for keyword, text in metadata.texts:
        if keyword == "Comment":
            segments += [_segment(0xFE, part) for _, part in _parts(text.encode(), JPEG_SEGMENT)]
    if photo.profile:
        size = JPEG_SEGMENT - len(_ICC) - 2
        chunks = [part for _, part in _parts(photo.profile, size)]
        segments += [
            _segment(0xE2, _ICC + bytes((number, len(chunks))) + chunk)
            for number, chunk in enumerate(chunks, 1)
        ]
    return [data[:2], *segments, data[4 + length :]]


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _parts(data: bytes, size: int) -> list[tuple[int, bytes]]:
    """Offset and content of parts of at most ``size`` bytes."""
    return [(at, data[at : at + size]) for at in range(0, len(data), size)]


def _png(photo: Photo) -> list[Any]:
    """PNG, third edition, with chunks for the profile and the metadata."""
    if photo.animation:
        data = memoryview(animations.png(*_frames(photo, photo.animation)))
    else:
        from imagecodecs import png_encode

        data = memoryview(png_encode(_with_alpha(photo)))
    after_header = 33
    return [data[:after_header], *_png_metadata(photo), data[after_header:]]


def _png_metadata(photo: Photo) -> list[bytes]:
    metadata, chunks = photo.metadata, []
    if photo.profile:
        chunks += [png.chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(photo.profile))]
    if metadata.dpi:
        per_metre = (round(value / 0.0254) for value in metadata.dpi)
        chunks += [png.chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1))]
    if metadata.exif:
        chunks += [png.chunk(b"eXIf", metadata.exif.removeprefix(_EXIF))]
    if metadata.xmp:
        chunks += [png.chunk(b"iTXt", PNG_XMP + b"\0\0\0\0\0" + metadata.xmp)]
    if metadata.resources:
        profile = f"\niptc\n{len(metadata.resources):8}\n{metadata.resources.hex()}\n"
        content = PNG_PROFILE + b"iptc\0\0" + zlib.compress(profile.encode())
        chunks += [png.chunk(b"zTXt", content)]
    for keyword, text in metadata.texts:
        name, text = keyword.encode("latin-1"), text.replace("\0", "")
        try:
            chunks += [png.chunk(b"tEXt", name + b"\0" + text.encode("latin-1"))]
        except UnicodeEncodeError:
            chunks += [png.chunk(b"iTXt", name + b"\0\0\0\0\0" + text.encode())]
    return chunks


def _tiff(photo: Photo) -> list[Any]:
    """Uncompressed TIFF 6.0: the EXIF block with more entries, followed by the plain pixels."""
    pixels = _with_alpha(photo)
    # The entries have the same size, wherever the pixels begin.
    start = len(_tiff_header(photo, pixels, 0))
    order = ExifBlock(photo.metadata.exif).order if photo.metadata.exif else "<"
    values = pixels.astype(pixels.dtype.newbyteorder(order), copy=False)
    return [_tiff_header(photo, pixels, start), memoryview(values.view(np.uint8)).cast("B")]


def _tiff_header(photo: Photo, pixels: Any, start: int) -> bytes:
    """All of a TIFF file before the pixels, which start at an offset."""
    height, width, channels = pixels.shape
    metadata = photo.metadata
    block = ExifBlock(metadata.exif) if metadata.exif else ExifBlock()
    block.remove(STRUCTURE)
    rows = max(1, (1 << 16) // pixels[0].nbytes)
    counts = [pixels[top : top + rows].nbytes for top in range(0, height, rows)]
    offsets = np.cumsum([start, *counts[:-1]]).tolist()
    integers = {
        TiffImagePlugin.IMAGEWIDTH: [width],
        TiffImagePlugin.IMAGELENGTH: [height],
        TiffImagePlugin.BITSPERSAMPLE: [photo.depth] * channels,
        TiffImagePlugin.COMPRESSION: [1],
        TiffImagePlugin.PHOTOMETRIC_INTERPRETATION: [2],
        TiffImagePlugin.SAMPLESPERPIXEL: [channels],
        TiffImagePlugin.ROWSPERSTRIP: [rows],
        TiffImagePlugin.STRIPBYTECOUNTS: counts,
        TiffImagePlugin.PLANAR_CONFIGURATION: [1],
    }
    if channels == 4:
        integers[TiffImagePlugin.EXTRASAMPLES] = [2]  # colours are not multiplied with alpha
    entries = [block.integers(tag, *values) for tag, values in integers.items()]
    entries.append(block.integers(TiffImagePlugin.STRIPOFFSETS, *offsets, type=LONG))
    if metadata.dpi:
        entries += [
            block.rational(TiffImagePlugin.X_RESOLUTION, metadata.dpi[0]),
            block.rational(TiffImagePlugin.Y_RESOLUTION, metadata.dpi[1]),
            block.integers(TiffImagePlugin.RESOLUTION_UNIT, 2),
        ]
    iptc = image_resources.find(metadata.resources, image_resources.IPTC)
    for tag, type, data in (
        (TiffImagePlugin.ICCPROFILE, UNDEFINED, photo.profile),
        (XMP, BYTE, metadata.xmp),
        (IPTC, UNDEFINED, iptc),
        (RESOURCES, BYTE, image_resources.without_iptc(metadata.resources)),
    ):
        if data:
            entries.append(Entry(tag, type, len(data), data))
    block.set(entries)
    header = block.tiff()
    return header + bytes(len(header) % 2)


def _deep_avif(photo: Photo, quality: int | None) -> list[Any]:
    """AVIF of 10 bits, of which Pillow writes 8."""
    from imagecodecs import avif_encode

    data = bytes(avif_encode(_ten_bits(photo), level=quality, speed=6, bitspersample=10))
    metadata = photo.metadata
    block = _without_orientation(metadata.exif) if metadata.exif else b""
    return [
        avif_metadata.with_metadata(data, photo.profile, block.removeprefix(_EXIF), metadata.xmp)
    ]


def _deep_heif(photo: Photo, quality: int | None) -> list[Any]:
    """HEIF of 10 bits, of which the plugin for Pillow writes 8."""
    import pillow_heif

    values = _ten_bits(photo) << 6  # of 16 bits the library takes the upper ones
    mode = "RGB;16" if photo.alpha is None else "RGBA;16"
    file = pillow_heif.from_bytes(mode, photo.size, values.tobytes())
    file.info["icc_profile"] = photo.profile
    stream, metadata = BytesIO(), photo.metadata
    options = {"exif": metadata.exif or None, "xmp": metadata.xmp or None, "chroma": 444}
    file.save(stream, quality=quality, **options)
    return [stream.getbuffer()]


def _jxl(photo: Photo, quality: int | None) -> list[Any]:
    """JPEG XL (ISO/IEC 18181-2) in sRGB; 100 is lossless. The plugin for Pillow writes 8 bits."""
    from imagecodecs import jpegxl_encode

    values, lossless = _with_alpha(photo), quality == 100
    if photo.depth > 8 and not lossless:  # the encoder takes 16 bits for linear light
        values, linear = values.copy(), _linear_light()
        for rows in strips(values):
            values[rows, :, :3] = linear[values[rows, :, :3]]
    options: dict[str, Any] = {"effort": 7, "numthreads": 0, "usecontainer": True}
    data = bytes(jpegxl_encode(values, level=quality, lossless=lossless, **options))
    boxes = list(isobmff.boxes(data if photo.depth == 8 else jxl.with_srgb_curve(data)))
    metadata = photo.metadata
    if metadata.exif:
        boxes.append((b"Exif", bytes(4) + metadata.exif.removeprefix(_EXIF)))
    if metadata.xmp:
        boxes.append((b"xml ", metadata.xmp))
    return [isobmff.box(kind, content) for kind, content in boxes]


def _linear_light() -> Any:
    """Linear light for each value of sRGB of 16 bits."""
    srgb = np.arange(65536) / 65535
    linear = np.where(srgb > 0.04045, ((srgb + 0.055) / 1.055) ** 2.4, srgb / 12.92)
    return (linear * 65535).round().astype(np.uint16)


def _ten_bits(photo: Photo) -> Any:
    """The values of a photo of 16 bits, with alpha, as 10 bits."""
    values = _with_alpha(photo)
    result = np.empty_like(values)
    for rows in strips(values):
        result[rows] = (values[rows] * np.float32(1023 / 65535)).round()
    return result


def _with_pillow(photo: Photo, format: str, quality: int | None) -> list[Any]:
    target, metadata = FORMATS[format], photo.metadata
    options: dict[str, Any] = dict(target.options)
    if quality is not None:
        options["quality"] = quality
    if target.profile and photo.profile:
        options["icc_profile"] = photo.profile
    if target.metadata and metadata.exif:
        block = metadata.exif
        options["exif"] = _without_orientation(block) if format == "AVIF" else block
    if target.metadata and metadata.xmp:
        options["xmp"] = metadata.xmp
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if format == "GIF" and (comment := dict(metadata.texts).get("Comment")):
        options["comment"] = comment.encode()
    first = _with_alpha(photo)
    if animation := photo.animation:
        frames, durations, loop = _frames(photo, animation)
        if format in ("GIF", "WEBP"):
            write = animations.gif if format == "GIF" else animations.webp
            return write(frames, durations, loop, options)
        options["save_all"], options["duration"] = True, durations
        first, *others = frames
        options["append_images"] = [Image.fromarray(frame) for frame in others]
    # In memory first, because Pillow does not report a full disk.
    stream = BytesIO()
    Image.fromarray(first).save(stream, format, **options)
    return [stream.getbuffer()]


def _without_orientation(block: bytes) -> bytes:
    """An EXIF block without an orientation; Pillow would encode any other anew for AVIF."""
    exif = ExifBlock(block)
    exif.remove([ExifTags.Base.Orientation])
    return exif.tobytes()


def _frames(photo: Photo, animation: Animation) -> tuple[list[Any], list[int], int | None]:
    """The frames of an animation, their durations in milliseconds, and the number of loops.

    All frames have alpha if one of them does.
    """
    stills = photo.stills()
    if any(still.alpha is not None for still in stills):
        stills = [still.with_alpha() for still in stills]
    durations = [animation.duration, *(frame.duration for frame in animation.frames)]
    return (
        [_with_alpha(still) for still in stills],
        [round(duration) for duration in durations],
        animation.loop,
    )


def _with_alpha(photo: Photo) -> Any:
    """RGB (H, W, 3) or RGBA (H, W, 4), contiguous in memory."""
    if photo.alpha is None:
        return np.ascontiguousarray(photo.pixels)
    return np.dstack([photo.pixels, photo.alpha])

"""Reads files with more than 8 bits per channel, which Pillow reads as 8 bits or not at all."""

from __future__ import annotations

from contextlib import suppress
from operator import index
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from photostyle.errors import needs_extra
from photostyle.photo import color, limits, raster
from photostyle.photo.color import Pixels
from photostyle.photo.decoder_errors import TAG_ERRORS
from photostyle.photo.photo import strips
from photostyle.photo.raster import Raster

_MAX_TILE_SIDE = 1 << 14

# Values of TIFF tags.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _SEPARATED = 0, 1, 2, 5
_SEPARATE_PLANES = 2
_INCH, _CENTIMETER = 2, 3
_ASSOCIATED, _UNASSOCIATED = 1, 2  # premultiplied and straight alpha

_SPACES = {
    _WHITE_IS_ZERO: ("GRAY", 1),
    _BLACK_IS_ZERO: ("GRAY", 1),
    _RGB: ("RGB ", 3),
    _SEPARATED: ("CMYK", 4),
}
"""Colour space and number of its channels by photometric interpretation."""


def is_dng(stream: BinaryIO) -> bool:
    """Whether a TIFF file is a raw photo in DNG format."""
    from tifffile import TiffFile

    with suppress(*TAG_ERRORS):
        stream.seek(0)
        return "DNGVersion" in TiffFile(stream).pages.first.tags
    return False


def read_tiff(stream: BinaryIO) -> tuple[Raster, Image.Exif, dict[str, Any], bool] | None:
    """The first image of a TIFF file with more than 8 bits per channel; None for other files.

    Returns it with its EXIF block, ``info`` for `photostyle.photo.metadata.read_metadata`, and
    whether the file contains more images. Raises one of DECODER_ERRORS for damaged files.
    """
    from tifffile import TiffFile

    try:
        stream.seek(0)
        tiff = TiffFile(stream)
        page = tiff.pages.first
        if page.dtype is None or page.dtype.itemsize == 1 or page.bitspersample <= 8:
            return None
        space, colors = _SPACES[page.photometric]
        width, height = index(page.imagewidth), index(page.imagelength)
        channels = index(page.samplesperpixel)
        tile_side = max(index(page.tilewidth), index(page.tilelength)) if page.is_tiled else 0
    except TAG_ERRORS:  # Pillow will read it or report the damage
        return None
    limits.check_size(width, height)
    if not colors <= channels <= 8 or page.imagedepth != 1:
        raise ValueError("a TIFF file with an invalid number of channels")
    if tile_side > _MAX_TILE_SIDE:
        raise ValueError("a TIFF file with tiles of an invalid size")
    values = page.asarray(maxworkers=1).reshape(page.shape)
    if channels > 1 and page.planarconfig == _SEPARATE_PLANES:
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(height, width, channels)
    values, alpha = _normalized(values, colors, page)
    profile = page.tags.valueof("InterColorProfile")
    return (
        raster.from_array(values, profile, space, alpha),
        read_exif(stream),
        _info(page),
        tiff.pages.is_multipage,
    )


def read_png(stream: BinaryIO, profile: bytes | None) -> Raster:
    """The values of a PNG file with 16 bits per channel."""
    from imagecodecs import png_decode

    stream.seek(0)
    return raster.from_array(png_decode(stream.read()), profile)


def read_raw(stream: BinaryIO) -> Raster:
    """A raw photo, developed by LibRaw with the white balance of the camera: upright, in sRGB.

    Raises PhotostyleError if rawpy is not installed.
    """
    with needs_extra("raw"):
        import rawpy
    from imageio.v3 import imread

    try:
        # imageio reports the size only after it has unpacked the pixels, so ask rawpy first.
        stream.seek(0)
        with rawpy.imread(stream) as header:
            limits.check_size(header.sizes.raw_width, header.sizes.raw_height)
        stream.seek(0)
        pixels = imread(
            stream,
            plugin="rawpy",
            use_camera_wb=True,
            output_bps=16,
            output_color=rawpy.ColorSpace.sRGB,
        )
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        raise ValueError(f"LibRaw cannot read the file: {error}") from error
    except UnboundLocalError as error:  # imageio turns any error during development into this one
        raise ValueError("LibRaw cannot develop the file") from error
    return raster.from_array(pixels, color.SRGB)


def read_exif(stream: BinaryIO) -> Image.Exif:
    """The EXIF block of a file in TIFF structure; empty if it is missing or damaged."""
    exif = Image.Exif()
    stream.seek(0)
    with suppress(*TAG_ERRORS):
        exif.load_from_fp(stream)
    return exif


def _info(page: Any) -> dict[str, Any]:
    info: dict[str, Any] = {"xmp": page.tags.valueof("XMP")}
    with suppress(*TAG_ERRORS):
        if page.resolutionunit in (_INCH, _CENTIMETER):
            per_inch = 1 if page.resolutionunit == _INCH else 2.54
            info["dpi"] = tuple(value * per_inch for value in page.resolution)
    return info


def _normalized(values: Pixels, colors: int, page: Any) -> tuple[Pixels, bool]:
    """Values (H, W, channels) as uint16, where 0 is black, and whether the last channel is alpha.

    Channels other than the colours and alpha are dropped.
    """
    kind = int(page.extrasamples[0]) if len(page.extrasamples) else 0
    alpha = values.shape[-1] > colors and kind in (_ASSOCIATED, _UNASSOCIATED)
    values = raster.to_uint16(values[..., : colors + alpha], page.bitspersample)
    if page.photometric == _WHITE_IS_ZERO:
        values = np.concatenate([65535 - values[..., :1], values[..., 1:]], axis=-1)
    if alpha and kind == _ASSOCIATED:
        values = _unpremultiplied(values)
    return values, alpha


def _unpremultiplied(values: Pixels) -> Pixels:
    """Colours of (H, W, channels) divided by the alpha in the last channel."""
    result = values.copy()
    for rows in strips(values):
        alpha = values[rows, :, -1:].astype(np.float32) / 65535
        colors = values[rows, :, :-1] / np.maximum(alpha, 1 / 65535)
        result[rows, :, :-1] = colors.clip(0, 65535).round()
    return result

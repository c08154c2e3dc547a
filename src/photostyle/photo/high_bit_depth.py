"""Files with more than 8 bits per channel, which Pillow cannot read as what they are."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from photostyle.errors import PhotostyleError
from photostyle.photo import color, limits, raster
from photostyle.photo.color import Pixels
from photostyle.photo.photo import strips
from photostyle.photo.raster import Raster

_LARGEST_TILE = 1 << 14  # pixels a side
_ASSOCIATED, _UNASSOCIATED = 1, 2  # alpha that the colours are multiplied with, or not


def is_raw_tiff(stream: BinaryIO) -> bool:
    """Whether a TIFF file is a DNG file."""
    from tifffile import TiffFile

    with suppress(Exception):
        stream.seek(0)
        return "DNGVersion" in TiffFile(stream).pages.first.tags
    return False


def read_tiff(stream: BinaryIO) -> tuple[Raster, Image.Exif, dict[str, Any], bool] | None:
    """The first image of a TIFF file with more than 8 bits per channel; None if it has fewer.

    With it EXIF, info as `photostyle.photo.metadata.read` takes it, and whether there are more
    images in the file.
    """
    from tifffile import PHOTOMETRIC, TiffFile

    try:
        stream.seek(0)
        tiff = TiffFile(stream)
        page = tiff.pages.first
        if page.dtype is None or page.dtype.itemsize == 1 or page.bitspersample <= 8:
            return None
        space, colours = {
            PHOTOMETRIC.MINISBLACK: ("GRAY", 1),
            PHOTOMETRIC.MINISWHITE: ("GRAY", 1),
            PHOTOMETRIC.RGB: ("RGB ", 3),
            PHOTOMETRIC.SEPARATED: ("CMYK", 4),
        }[PHOTOMETRIC(page.photometric)]
    except Exception:  # Pillow may make something of it
        return None
    channels = page.samplesperpixel
    limits.check_size(page.imagewidth, page.imagelength)
    if not colours <= channels <= 8 or page.imagedepth != 1:
        raise ValueError("a TIFF file with an absurd number of channels")
    if page.is_tiled and max(page.tilewidth, page.tilelength) > _LARGEST_TILE:
        raise ValueError("a TIFF file with tiles of an absurd size")
    values = page.asarray(maxworkers=1).reshape(page.shape)
    if channels > 1 and page.planarconfig == 2:
        values = np.moveaxis(values, 0, -1)
    values = values.reshape(page.imagelength, page.imagewidth, channels)
    # Of channels beyond the colours only those that say so are transparency.
    kind = int(page.extrasamples[0]) if len(page.extrasamples) else 0
    alpha = channels > colours and kind in (_ASSOCIATED, _UNASSOCIATED)
    values = raster.scaled(values[..., : colours + alpha], page.bitspersample)
    if page.photometric == PHOTOMETRIC.MINISWHITE:
        values = np.concatenate([65535 - values[..., :1], values[..., 1:]], axis=-1)
    if alpha and kind == _ASSOCIATED:
        values = _unpremultiplied(values)
    profile = page.tags.valueof("InterColorProfile")
    return (
        raster.of_array(values, profile, space, alpha),
        read_exif(stream),
        _info(page),
        tiff.pages.is_multipage,
    )


def read_png(stream: BinaryIO, profile: bytes | None) -> Raster:
    """A PNG file with 16 bits per channel."""
    from imagecodecs import png_decode

    stream.seek(0)
    return raster.of_array(png_decode(stream.read()), profile)


def read_raw(stream: BinaryIO) -> Raster:
    """What LibRaw makes of a raw file with the white balance of the camera: upright, in sRGB."""
    try:
        import rawpy
    except ImportError:
        raise PhotostyleError(
            "Raw photos need an extra; install it with: pip install 'photostyle[raw]'."
        ) from None
    stream.seek(0)
    with rawpy.imread(stream) as raw:
        limits.check_size(raw.sizes.raw_width, raw.sizes.raw_height)
        pixels = raw.postprocess(
            use_camera_wb=True, output_bps=16, output_color=rawpy.ColorSpace.sRGB
        )
    return raster.of_array(pixels, color.SRGB)


def read_exif(stream: BinaryIO) -> Image.Exif:
    """EXIF of a file that is built like TIFF, empty if there is none to be read."""
    exif = Image.Exif()
    stream.seek(0)
    with suppress(Exception):
        exif.load_from_fp(stream)
    return exif


def _info(page: Any) -> dict[str, Any]:
    found: dict[str, Any] = {"xmp": page.tags.valueof("XMP")}
    with suppress(Exception):
        if page.resolutionunit in (2, 3):
            per_inch = 1 if page.resolutionunit == 2 else 2.54
            found["dpi"] = tuple(value * per_inch for value in page.resolution)
    return found


def _unpremultiplied(values: Pixels) -> Pixels:
    """Colours (H, W, channels) divided by the alpha in the last channel."""
    result = values.copy()
    for rows in strips(values):
        alpha = values[rows, :, -1:].astype(np.float32) / 65535
        colours = values[rows, :, :-1] / np.maximum(alpha, 1 / 65535)
        result[rows, :, :-1] = colours.clip(0, 65535).round()
    return result

"""Reads TIFF, 16-bit PNG and raw files, of which Pillow reads many as 8 bits or not at all."""

from __future__ import annotations

import struct
from contextlib import suppress
from io import BytesIO
from operator import index
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from photostyle.display import BT709, conversion, encoded, xyz_matrix
from photostyle.errors import needs_extra
from photostyle.photo import color, completeness, jpeg2000, jxl, limits, raster
from photostyle.photo.color import Pixels
from photostyle.photo.decoder_errors import DECODER_ERRORS, TAG_ERRORS
from photostyle.photo.photo import strips
from photostyle.photo.raster import Raster

_MAX_TILE_SIDE = 1 << 14
_PHOTOMETRIC = 262  # tag
_D50 = (0.3457, 0.3585)

# Values of TIFF tags.
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _CIELAB, _ICCLAB = 0, 1, 2, 3, 5, 8, 9
_SEPARATE_PLANES = 2
_ASSOCIATED, _UNASSOCIATED = 1, 2  # premultiplied and straight alpha

# Compressions.
_READ_BY_PILLOW = (2, 3, 4, 6, 7)  # fax and JPEG
_IMAGE_CODECS = (33003, 33004, 33005, 34712, 34933, 50001, 50002, 52546)
# 33003 to 33005 and 34712: JPEG 2000; 34933: PNG; 50001: WebP; others: JPEG XL

_SPACES = {
    _WHITE_IS_ZERO: ("GRAY", 1),
    _BLACK_IS_ZERO: ("GRAY", 1),
    _RGB: ("RGB ", 3),
    _PALETTE: ("RGB ", 1),
    _SEPARATED: ("CMYK", 4),
    _CIELAB: ("Lab ", 3),
    _ICCLAB: ("Lab ", 3),
}
"""Colour space and number of stored channels, without alpha, by photometric interpretation."""


def is_dng(stream: BinaryIO) -> bool:
    """Whether a TIFF file is a raw photo in DNG format."""
    from tifffile import TiffFile

    with suppress(*TAG_ERRORS):
        stream.seek(0)
        return "DNGVersion" in TiffFile(stream).pages.first.tags
    return False


def read_tiff(stream: BinaryIO, white: float | None = None) -> tuple[Raster, bool] | None:
    """The first image of a TIFF file; None for JPEG and fax, which Pillow reads.

    Returns it with whether the file contains more images. white: as in `raster.to_uint16`. Raises
    one of DECODER_ERRORS for damaged files.
    """
    from tifffile import TiffFile

    try:
        stream.seek(0)
        tiff = TiffFile(stream)
        page = _primary(tiff)
        bits = index(page.bitspersample)
        if _PHOTOMETRIC not in page.tags and page.compression not in _READ_BY_PILLOW:
            page.photometric = _RGB if index(page.samplesperpixel) > 2 else _BLACK_IS_ZERO
        space, colors = _SPACES[page.photometric]
        if page.dtype is None or (bits <= 8 and page.compression in _READ_BY_PILLOW):
            return None
        limits.check_size(index(page.imagewidth), index(page.imagelength))
    except TAG_ERRORS:  # Pillow will read it or report the damage
        return None
    try:
        values = _values(page, colors, stream)
    except DECODER_ERRORS:
        if bits > 8:
            raise
        return None  # Pillow reads some files whose tags are wrong
    values, alpha = _normalized(values, colors, page, white)
    profile = page.tags.valueof("InterColorProfile")
    if space == "Lab ":
        white_point = _white_point(page)
        profile = None if white_point else color.LAB
        if white_point:
            space, values = "RGB ", _srgb_of_lab(values, white_point)
    return raster.from_array(values, profile, space, alpha), tiff.pages.is_multipage


def _primary(tiff: Any) -> Any:
    """The first page that is no smaller copy of another (NewSubfileType), else the first."""
    first = tiff.pages.first
    if not first.is_reduced:
        return first
    return next((page for page in tiff.pages if not page.is_reduced), first)


def _values(page: Any, colors: int, stream: BinaryIO) -> npt.NDArray[Any]:
    """The values of a page as stored, (H, W, channels). Raises one of DECODER_ERRORS."""
    channels = index(page.samplesperpixel)
    if not colors <= channels <= 8 or page.imagedepth != 1:
        raise ValueError("a TIFF file with an invalid number of channels")
    if page.is_tiled and max(index(page.tilewidth), index(page.tilelength)) > _MAX_TILE_SIDE:
        raise ValueError("a TIFF file with tiles of an invalid size")
    extents = list(zip(page.dataoffsets, page.databytecounts, strict=False))
    completeness.check_extents(extents, stream)
    if page.compression in _IMAGE_CODECS:
        for offset, length in extents:
            stream.seek(offset)
            _check_segment(BytesIO(stream.read(length)))
    values = page.asarray(maxworkers=1).reshape(page.shape)
    if channels > 1 and page.planarconfig == _SEPARATE_PLANES:
        values = np.moveaxis(values, 0, -1)
    return values.reshape(index(page.imagelength), index(page.imagewidth), channels)


def _check_segment(segment: BytesIO) -> None:
    """Check the size of a strip or tile that says itself how many pixels it has."""
    if segment.getvalue().startswith(jxl.MAGIC):
        header = jxl.read_header(segment)
        limits.check_size(header.width, header.height)
    else:
        with Image.open(segment):  # which checks the size
            pass


def read_png(stream: BinaryIO) -> Raster:
    """The values of a PNG file with 16 bits per channel, without its profile."""
    from imagecodecs import png_decode

    stream.seek(0)
    return raster.from_array(png_decode(stream.read()), None)


def read_heif(stream: BinaryIO) -> Raster:
    """The primary image of a HEIF file with all its bits, without its profile."""
    import pillow_heif

    stream.seek(0)
    image = pillow_heif.open_heif(stream, convert_hdr_to_8bit=False)
    values, bits = np.asarray(image), image.info["bit_depth"]
    # pillow-heif stores more than 8 bits in the upper ones of 16.
    return raster.from_array(
        raster.to_uint16(values >> (16 - bits), bits) if values.dtype == np.uint16 else values, None
    )


def read_jpeg2000(stream: BinaryIO, mode: str) -> Raster | None:
    """The values of a JPEG 2000 file with all their bits, without its profile.

    None if they have 8 bits, or if the mode in which Pillow opens the file is not grey or RGB.

    Raises ValueError or struct.error if the header is damaged, RuntimeError if the pixels are.
    """
    from imagecodecs import jpeg2k_decode

    bits = jpeg2000.bits_of_components(stream)
    channels = {"I;16": 1, "LA": 2, "RGB": 3, "RGBA": 4}.get(mode)
    if channels is None or len(bits) != channels or len(set(bits)) > 1 or not 8 < bits[0] <= 16:
        return None
    stream.seek(0)
    values = jpeg2k_decode(stream.read())
    if values.shape[2:] != (channels,)[: channels > 1]:
        return None
    return raster.from_array(raster.to_uint16(values, bits[0]), None)


def read_raw(stream: BinaryIO) -> Raster:
    """A raw photo, developed by LibRaw with the white balance of the camera: upright, in sRGB.

    Raises PhotostyleError if rawpy is not installed.
    """
    with needs_extra("raw"):
        import rawpy
    from imageio.v3 import imread

    with suppress(struct.error):  # whose directories are damaged; LibRaw will report it
        completeness.check_raw(stream)
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


def _normalized(values: Pixels, colors: int, page: Any, white: float | None) -> tuple[Pixels, bool]:
    """Values (H, W, channels), where 0 is black, and whether the last channel is alpha.

    They are uint8 if the file has at most 8 bits, otherwise uint16. Lab is encoded as in
    `color.LAB`.

    Channels other than the colours and alpha are dropped.
    """
    kind = int(page.extrasamples[0]) if len(page.extrasamples) else 0
    if not len(page.extrasamples) and values.shape[-1] == 4 and page.photometric == _RGB:
        kind = _UNASSOCIATED  # as all other readers understand it
    alpha = values.shape[-1] > colors and kind in (_ASSOCIATED, _UNASSOCIATED)
    values = values[..., : colors + alpha]
    if page.bitspersample == 24 and values.dtype.kind == "u":
        values = _in_byte_order(values, page.parent.byteorder)
    bits = index(page.bitspersample)
    if page.photometric == _PALETTE:
        values = _in_colors(values, page)
    elif page.photometric in (_CIELAB, _ICCLAB):
        values = _lab(values, page.photometric, bits)
    else:
        if values.dtype.kind == "i":  # as in scikit-image the greatest is white, negative is black
            values, bits = values.clip(min=0).astype(f"u{values.itemsize}"), bits - 1
        deep = bits > 8
        values = (
            raster.to_uint16(values, bits, alpha=alpha, white=white)
            if deep
            else raster.to_uint8(values, bits)
        )
    if page.photometric == _WHITE_IS_ZERO:
        white = np.iinfo(values.dtype).max
        values = np.concatenate([white - values[..., :1], values[..., 1:]], axis=-1)
    if alpha and kind == _ASSOCIATED:
        values = _unpremultiplied(values)
    return values, alpha


def _in_colors(values: Pixels, page: Any) -> Pixels:
    """Indices, and alpha, (H, W, 1 or 2) as RGB and alpha, in as many bits as an index has.

    The colours of a palette have 16 bits; some programs write 8, as libtiff assumes of a palette
    without higher values.
    """
    colors = np.asarray(page.colormap, np.uint16)  # (3, colours)
    if index(page.bitspersample) > 8:
        colors = colors if colors.max() > 255 else colors * np.uint16(257)
    else:
        colors = (colors >> 8 if colors.max() > 255 else colors).astype(np.uint8)
        values = values.astype(np.uint8)
    indices = values[..., 0].clip(max=colors.shape[1] - 1)
    return np.concatenate([colors.T[indices], values[..., 1:]], axis=-1)


def _in_byte_order(values: Pixels, order: str) -> Pixels:
    """Integers of 24 bits, which tifffile unpacks in an order other than that of the file."""
    if order == ">":
        return values.byteswap()
    return np.asarray(values >> 16 | values & 0xFF00 | (values & 0xFF) << 16, np.uint32)


def _unpremultiplied(values: Pixels) -> Pixels:
    """Colours of (H, W, channels) divided by the alpha in the last channel."""
    result, top = values.copy(), np.iinfo(values.dtype).max
    for rows in strips(values):
        alpha = values[rows, :, -1:].astype(np.float32) / top
        colors = values[rows, :, :-1] / np.maximum(alpha, 1 / top)
        result[rows, :, :-1] = colors.clip(0, top).round()
    return result


def _lab(values: npt.NDArray[Any], photometric: int, bits: int) -> Pixels:
    """Lab and alpha of a TIFF file of 8 or 16 bits or floats, encoded as in `color.LAB`.

    Sources: TIFF 6.0, section 23 (a and b are signed); Adobe Photoshop TIFF Technical Notes, ICC
    L*a*b* (a and b are biased, and white is 0xFF00 in 16 bits). Floats are L, a and b themselves,
    as libvips writes them.
    """
    if values.dtype.kind == "f":
        scale, bias = np.array([655.35, 257, 257, 65535]), np.array([0, 128 * 257, 128 * 257, 0])
        channels = values.shape[-1]
        floats = np.nan_to_num(values.astype(np.float64)) * scale[:channels] + bias[:channels]
        return floats.clip(0, 65535).round().astype(np.uint16)
    if bits not in (8, 16):
        raise ValueError("Lab of an unknown depth")
    values = values.view(f"u{values.itemsize}")  # libvips says that all channels have a sign
    if values.dtype == np.uint8:
        biased = np.array((0, 128, 128, 0) if photometric == _CIELAB else (0, 0, 0, 0), np.uint8)
        return values ^ biased[: values.shape[-1]]
    result = values.copy()
    for rows in strips(values):
        strip = values[rows].astype(np.float64)
        if photometric == _CIELAB:
            colors = values[rows, :, 1:3].view(np.int16) / 256 + 128
        else:
            result[rows, :, 0] = (strip[..., 0] * (0xFFFF / 0xFF00)).clip(0, 65535).round()
            colors = strip[..., 1:3] / 256
        result[rows, :, 1:3] = (colors * 257).clip(0, 65535).round()
    return result


def _white_point(page: Any) -> tuple[float, float] | None:
    """x and y of the white of Lab that a page names; None for D50, which is that of ICC."""
    numbers: tuple[int, ...] = page.tags.valueof("WhitePoint") or ()
    if len(numbers) != 4 or not all(numbers):
        return None
    x, y = numbers[0] / numbers[1], numbers[2] / numbers[3]
    return None if abs(x - _D50[0]) + abs(y - _D50[1]) < 0.002 or x + y >= 1 else (x, y)


def _srgb_of_lab(values: Pixels, white: tuple[float, float]) -> Pixels:
    """Lab, encoded as in `color.LAB`, whose white is at x and y, as sRGB; alpha stays."""
    source: tuple[float, ...] = (*BT709[:6], *white)
    to_xyz = xyz_matrix(source)
    to_srgb = (conversion(source, BT709) @ np.linalg.inv(to_xyz) @ np.diag(to_xyz.sum(1))).T
    result, top = values.copy(), np.iinfo(values.dtype).max
    for rows in strips(values):
        lab = values[rows, :, :3] / top
        y = (100 * lab[..., :1] + 16) / 116
        a, b = (255 * lab[..., n : n + 1] - 128 for n in (1, 2))
        f = np.concatenate([y + a / 500, y, y - b / 200], axis=-1)
        light = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) @ to_srgb
        result[rows, :, :3] = (encoded(light.clip(0, 1)) * top).round()
    return result

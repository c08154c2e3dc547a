"""Reads the merged image of Photoshop files, of every colour mode and depth.

Source: Adobe Photoshop File Formats Specification.
"""

from __future__ import annotations

import struct
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from photostyle.errors import PhotostyleError
from photostyle.photo import color, image_resources, limits, raster
from photostyle.photo.color import Pixels
from photostyle.photo.photo import strips
from photostyle.photo.raster import Raster

MAGIC = b"8BPS"

_BITMAP, _INDEXED, _CMYK = 0, 2, 4
_MODES = {
    _BITMAP: ("GRAY", 1),
    1: ("GRAY", 1),
    _INDEXED: ("RGB ", 1),
    3: ("RGB ", 3),
    _CMYK: ("CMYK", 4),
    7: ("GRAY", 1),  # multichannel: the first
    8: ("GRAY", 1),  # duotone
    9: ("Lab ", 3),
}
"""Colour space, and number of its channels in the file, by colour mode."""

_UNCOMPRESSED, _RUN_LENGTHS = 0, 1
_LARGE = 2  # version of files with the extension .psb
_MAX_CHANNELS = 56
_MAX_LAYER_BLOCKS = 1 << 12

# Numbers of image resources.
_ALPHA_NAMES, _PROFILE, _TRANSPARENT_INDEX, _VERSION = 1006, 1039, 1047, 1057
# Keys of blocks with layers of 16 and 32 bits, and of marks that the first alpha channel is the
# transparency of the merged image; in large files blocks with these keys have 8-byte lengths.
_LAYERS, _TRANSPARENT = (b"Lr16", b"Lr32", b"Layr"), (b"Mt16", b"Mt32", b"Mtrn")
_LONG_KEYS = (
    *_LAYERS,
    *_TRANSPARENT,
    b"LMsk",
    b"Alph",
    b"FMsk",
    b"lnk2",
    b"FEid",
    b"FXid",
    b"PxSD",
)


class PsdFile(NamedTuple):
    """The merged image, the image resources, and whether the file has layers."""

    values: Raster
    resources: bytes
    has_layers: bool


class _Header(NamedTuple):
    version: int
    channels: int
    height: int
    width: int
    depth: int
    mode: int


def read(stream: BinaryIO) -> PsdFile:
    """Read a file. Raises ValueError or struct.error if it is damaged.

    Raises PhotostyleError if it was saved without a merged image, TooLargeError as
    `photostyle.photo.limits.check_size` does.
    """
    stream.seek(0)
    header = _Header(*struct.unpack(">4xH6xH2I2H", _exactly(stream, 26)))
    limits.check_size(header.width, header.height)
    known = header.mode in _MODES and header.depth in (1, 8, 16, 32)
    space, colors = _MODES.get(header.mode, ("", 1))
    if not known or not colors <= header.channels <= _MAX_CHANNELS:
        raise ValueError("a Photoshop file of an unknown kind")
    palette, block = _block(stream), _block(stream)
    resources = {found.number: found.data for found in image_resources.parse(block)}
    if resources.get(_VERSION, b"\0\0\0\0\1")[4:5] == b"\0":
        raise PhotostyleError(
            "The Photoshop file has no merged image; save it again with maximized compatibility."
        )
    layers, transparent = _layers(stream, header)
    alpha = header.channels > colors and (transparent or _names_transparency(resources))
    if not layers and _ALPHA_NAMES not in resources:
        alpha = header.channels == colors + 1  # as simple programs write it
    planes = _planes(stream, header, colors + alpha)
    values = _normalized(planes, header, palette)
    if header.mode == _INDEXED and (index := resources.get(_TRANSPARENT_INDEX)):
        opaque = np.where(planes[0] == int.from_bytes(index, "big"), 0, 255)
        values, alpha = np.dstack([values[..., :3], opaque.astype(np.uint8)]), True
    elif alpha and space in ("RGB ", "GRAY"):
        values = _without_white(values)
    profile = color.LAB if space == "Lab " else resources.get(_PROFILE)
    return PsdFile(raster.from_array(values, profile, space, alpha), block, layers)


def _exactly(stream: BinaryIO, length: int) -> bytes:
    data = stream.read(length)
    if len(data) < length:
        raise ValueError("a Photoshop file that is cut off")
    return data


def _block(stream: BinaryIO) -> bytes:
    return _exactly(stream, struct.unpack(">I", _exactly(stream, 4))[0])


def _names_transparency(resources: dict[int, bytes]) -> bool:
    names = resources.get(_ALPHA_NAMES, b"\0")
    return names[1 : 1 + names[0]] == b"Transparency"


def _layers(stream: BinaryIO, header: _Header) -> tuple[bool, bool]:
    """Whether the file has layers, and whether they say that the merged image is transparent.

    Leaves the stream at the merged image.
    """
    long = ">Q" if header.version == _LARGE else ">I"

    def number(form: str) -> int:
        return int(struct.unpack(form, _exactly(stream, struct.calcsize(form)))[0])

    length = number(long)
    end = stream.tell() + length
    count, transparent = 0, False
    if length >= struct.calcsize(long) + 2:
        if size := number(long):
            count = number(">h")
        else:
            stream.seek(number(">I"), 1)  # the global mask
            for _ in range(_MAX_LAYER_BLOCKS):
                if stream.tell() + 12 > end:
                    break
                key = _exactly(stream, 8)[4:]
                size = number(long if key in _LONG_KEYS else ">I")
                following = stream.tell() + (size + 3) // 4 * 4
                if key in _LAYERS and size >= 2:
                    count = number(">h")
                transparent |= key in _TRANSPARENT
                stream.seek(following)
    stream.seek(end)
    return count != 0, transparent or count < 0


def _planes(stream: BinaryIO, header: _Header, count: int) -> npt.NDArray[Any]:
    """The first channels of the merged image as stored, (channels, H, W)."""
    row = (header.width * header.depth + 7) // 8
    (compression,) = struct.unpack(">H", _exactly(stream, 2))
    if compression == _UNCOMPRESSED:
        data = _exactly(stream, count * header.height * row)
    elif compression == _RUN_LENGTHS:
        data = _run_lengths(stream, header, count, row)
    else:
        raise ValueError("a Photoshop file of an unknown compression")
    rows = np.frombuffer(data, np.uint8).reshape(count, header.height, row)
    if header.depth == 1:
        return np.unpackbits(rows, axis=-1, count=header.width)
    return rows.view({8: ">u1", 16: ">u2", 32: ">f4"}[header.depth])


def _run_lengths(stream: BinaryIO, header: _Header, count: int, row: int) -> bytes:
    from imagecodecs import packbits_decode

    form = np.dtype(">u4" if header.version == _LARGE else ">u2")
    lengths = _exactly(stream, header.channels * header.height * form.itemsize)
    sizes = np.frombuffer(lengths, form).reshape(header.channels, -1).sum(axis=1, dtype=np.int64)
    planes = []
    for size in sizes[:count]:
        plane = packbits_decode(_exactly(stream, int(size)))
        if len(plane) != header.height * row:
            raise ValueError("a Photoshop file with damaged rows")
        planes.append(plane)
    return b"".join(planes)


def _normalized(planes: npt.NDArray[Any], header: _Header, palette: bytes) -> Pixels:
    """(H, W, channels) as uint8 or uint16, where 0 is black, or no ink."""
    if header.mode == _INDEXED:
        table = np.frombuffer(palette[:768].ljust(768, b"\0"), np.uint8).reshape(3, 256).T
        return np.asarray(table[planes[0]])
    values = np.moveaxis(planes, 0, -1)
    if header.depth == 1:
        return np.asarray((1 - values) * 255, np.uint8)
    if header.depth == 32:
        return raster.to_uint16(values.astype(np.float32))
    native = values.astype(values.dtype.newbyteorder("="))
    if header.mode == _CMYK:  # full ink is 0
        native[..., :4] = np.iinfo(native.dtype).max - native[..., :4]
    if _MODES[header.mode][0] == "Lab " and header.depth == 16:
        # a and b are 256 for one unit around 0x8000.
        native[..., 1:3] = (native[..., 1:3] * (257 / 256)).clip(0, 65535).round()
    return native


def _without_white(values: Pixels) -> Pixels:
    """The colours of transparent pixels before they were composited over white, as Photoshop does.

    Other programs store them as they are; then some are darker than the white that would show.
    """
    top, result = np.iinfo(values.dtype).max, values.copy()
    for rows in strips(values):
        colors = values[rows, :, :-1].astype(np.float32)
        opacity = values[rows, :, -1:] / np.float32(top)
        under = top * (1 - opacity)
        if (colors < under - top / 100).any():
            return values
        original = (colors - under) / np.maximum(opacity, 1 / top)
        result[rows, :, :-1] = np.where(opacity > 0, original, colors).clip(0, top).round()
    return result

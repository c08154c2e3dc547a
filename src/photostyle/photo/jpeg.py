"""JPEG files of more than 8 bits, which Pillow refuses.

Sources: ITU-T T.81, annex B (markers); T.87, annex C (JPEG-LS).
"""

from __future__ import annotations

from io import BytesIO
from typing import BinaryIO, NamedTuple

from PIL import Image

from photostyle.errors import PhotostyleError
from photostyle.photo import limits, raster
from photostyle.photo.raster import Raster

_LOSSLESS_OR_NEAR = 0xF7  # start of a frame of JPEG-LS
_LOSSLESS = 0xC3
_END = b"\xff\xd9"
_FRAMES = {*range(0xC0, 0xD0), _LOSSLESS_OR_NEAR} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, 0xFF, *range(0xD0, 0xD9)}  # markers without a length, and fill bytes


class Frame(NamedTuple):
    """The header of a frame. segments: where it begins; all before it are complete."""

    marker: int
    bits: int
    height: int
    width: int
    segments: int


def unusual_frame(stream: BinaryIO) -> Frame | None:
    """The frame of a file that Pillow refuses; None for any other file."""
    stream.seek(0)
    if stream.read(2) != b"\xff\xd8":
        return None
    while len(start := stream.read(2)) == 2 and start[0] == 0xFF:
        if start[1] in _ALONE:
            stream.seek(-1 if start[1] == 0xFF else 0, 1)
            continue
        at = stream.tell() - 2
        length = int.from_bytes(stream.read(2), "big")
        if start[1] in _FRAMES:
            bits, *sides = stream.read(5).ljust(5, b"\0")
            height, width = (256 * sides[n] + sides[n + 1] for n in (0, 2))
            known = bits == 8 and start[1] != _LOSSLESS_OR_NEAR
            return None if known else Frame(start[1], bits, height, width, at)
        stream.seek(max(0, length - 2), 1)
    return None


def read(stream: BinaryIO, frame: Frame) -> Raster:
    """The values without profile, not yet upright.

    Raises RuntimeError or ValueError if the file is damaged, PhotostyleError for JPEG-LS, whose
    decoders hang on damaged files, TooLargeError as `photostyle.photo.limits.check_size` does.
    """
    from imagecodecs import jpeg8_decode

    if frame.marker == _LOSSLESS_OR_NEAR:
        raise PhotostyleError("JPEG-LS cannot be read; convert the file to PNG.")
    limits.check_size(frame.width, frame.height)
    stream.seek(0)
    data = stream.read()
    # The decoder would make up the rest. Without losses a value takes at least one bit.
    fits = frame.marker != _LOSSLESS or frame.width * frame.height <= 8 * len(data)
    if data.find(_END, frame.segments) < 0 or not fits:
        raise ValueError("a JPEG file that is cut off")
    values = jpeg8_decode(data)
    if values.shape[2:] not in ((), (3,)):
        raise ValueError("a JPEG file with an unusual number of colours")
    return raster.from_array(raster.to_uint16(values, frame.bits), None)


def opened_metadata(stream: BinaryIO, frame: Frame) -> Image.Image:
    """An image with the metadata of the file, which Pillow opens, with pixels of its own."""
    stand_in = BytesIO()
    Image.new("RGB", (8, 8)).save(stand_in, "JPEG")
    after_jfif = 20
    stream.seek(0)
    return Image.open(BytesIO(stream.read(frame.segments) + stand_in.getvalue()[after_jfif:]))

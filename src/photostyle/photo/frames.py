"""The frames of animated PNG and GIF, composed as browsers do; Pillow composes many otherwise.

Sources: PNG, third edition, 11.3.4 (APNG); CompuServe, GIF89a. What GIF restores to the background
becomes transparent, as in all browsers.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from photostyle.photo import high_bit_depth, limits, png, raster
from photostyle.photo.color import Pixels
from photostyle.photo.raster import Raster

Frame = tuple[Raster, float]
"""The values of a frame, without profile, and the milliseconds for which it is shown."""

_CLEARED, _RESTORED = 2, 3
"""What happens to the region of a frame after it: it becomes transparent, or what it was before."""
_APNG_DISPOSALS = (0, _CLEARED, _RESTORED)
_IMAGE, _EXTENSION, _CONTROL = b",", b"!", b"\xf9"
_TRANSPARENT, _INTERLACED, _HAS_TABLE = 0x01, 0x40, 0x80  # flags


class _Part(NamedTuple):
    """What a frame draws, and where; over: blended with what is below, not copied."""

    values: Raster
    left: int
    top: int
    disposal: int
    over: bool
    duration: float


def of_png(stream: BinaryIO, size: tuple[int, int]) -> Iterator[Frame]:
    """The frames of an animated PNG file, without an image that only other programs show.

    Raises one of DECODER_ERRORS if it is damaged.
    """
    header, shared, number = b"", list[bytes](), 0
    drawn: list[tuple[bytes, list[bytes]]] = []  # control and data of each frame
    for kind, content in png.chunks(stream):
        if kind == b"IHDR":
            header = content
        elif kind in (b"PLTE", b"tRNS"):
            shared.append(png.chunk(kind, content))
        elif kind == b"acTL":
            (number,) = struct.unpack_from(">I", content)
        elif kind == b"fcTL":
            drawn.append((content, []))
        elif kind in (b"IDAT", b"fdAT") and drawn:
            drawn[-1][1].append(content if kind == b"IDAT" else content[4:])
    if len(drawn) < number:
        raise ValueError("an animation that is cut off")

    def part(control: bytes, data: list[bytes]) -> _Part:
        width, height, left, top = struct.unpack(">4I", control[4:20])
        limits.check_size(width, height)
        delay, per_second, disposal, over = struct.unpack(">2H2B", control[20:26])
        chunks = [png.chunk(b"IHDR", control[4:12] + header[8:]), *shared]
        chunks += [png.chunk(b"IDAT", b"".join(data)), png.chunk(b"IEND", b"")]
        values = _decoded(BytesIO(b"".join([png.MAGIC, *chunks])), deep=header[8] == 16)
        duration = 1000 * delay / (per_second or 100)
        return _Part(values, left, top, _APNG_DISPOSALS[disposal], bool(over), duration)

    return _composed((part(*frame) for frame in drawn), size)


def first(frames: Iterator[Frame]) -> Raster:
    """The values of the first frame; ValueError if there is none."""
    for values, _ in frames:
        return values
    raise ValueError("a file without frames")


def of_gif(stream: BinaryIO, size: tuple[int, int]) -> Iterator[Frame]:
    """The frames of a GIF file. Raises one of DECODER_ERRORS if it is damaged."""
    return _composed(_parts_of_gif(stream), size)


def _parts_of_gif(stream: BinaryIO) -> Iterator[_Part]:
    """Each frame, decoded as a file of its own."""

    def exactly(length: int) -> bytes:
        data = stream.read(length)
        if len(data) < length:
            raise ValueError("a GIF file that is cut off")
        return data

    def table(flags: int) -> bytes:
        return exactly(6 << (flags & 7)) if flags & _HAS_TABLE else b""

    def blocks() -> bytes:
        """The sub-blocks with their lengths."""
        parts = [exactly(1)]
        while parts[-1] != b"\0":
            parts += [exactly(parts[-1][0]), exactly(1)]
        return b"".join(parts)

    stream.seek(0)
    screen = exactly(13)
    shared, control = table(screen[10]), bytes(4)
    while True:
        kind = stream.read(1)
        if kind == _EXTENSION:
            label, data = exactly(1), blocks()
            if label == _CONTROL:
                control = data[1:5].ljust(4, b"\0")
        elif kind == _IMAGE:
            descriptor = exactly(9)
            own = table(descriptor[8])
            colors, flags = (own, descriptor[8]) if own else (shared, screen[10])
            left, top, width, height = struct.unpack("<4H", descriptor[:8])
            file = [b"GIF89a", struct.pack("<2H3B", width, height, flags, 0, 0), colors]
            file += [b"!\xf9\4", bytes([control[0] & _TRANSPARENT]), control[1:], b"\0"]
            file += [b",", bytes(4), descriptor[4:8], bytes([descriptor[8] & _INTERLACED])]
            file += [exactly(1), blocks(), b";"]
            disposal, duration = control[0] >> 2 & 7, 10 * int.from_bytes(control[1:3], "little")
            values = _decoded(BytesIO(b"".join(file)))
            yield _Part(values, left, top, disposal, True, duration)
            control = bytes(4)
        else:
            return


def _decoded(file: BinaryIO, *, deep: bool = False) -> Raster:
    if deep:
        return high_bit_depth.read_png(file)
    image = Image.open(file)
    png.correct_transparency(image)
    image.load()
    return raster.from_image(image, None)


def _composed(parts: Iterable[_Part], size: tuple[int, int]) -> Iterator[Frame]:
    """What is seen of each part, on those before it."""
    canvas: Pixels | None = None
    for part in parts:
        drawn = part.values.rows(slice(0, part.values.shape[0]))
        white = np.iinfo(drawn.dtype).max
        if not part.values.alpha:
            drawn = np.dstack([drawn, np.full(drawn.shape[:2], white, drawn.dtype)])
        if canvas is None:
            canvas = np.zeros((size[1], size[0], drawn.shape[2]), drawn.dtype)
        region = canvas[part.top : part.top + len(drawn), part.left : part.left + drawn.shape[1]]
        drawn, before = drawn[: len(region), : region.shape[1]], region.copy()
        region[:] = _blended(drawn, region) if part.over else drawn
        opaque = bool((canvas[..., -1] == white).all())
        shown = canvas[..., :-1] if opaque else canvas
        yield raster.from_array(shown.copy(), None), part.duration
        if part.disposal == _RESTORED:
            region[:] = before
        elif part.disposal == _CLEARED:
            region[:] = 0


def _blended(drawn: Pixels, below: Pixels) -> Pixels:
    """Colours and alpha of one picture over another."""
    white = np.float32(np.iinfo(drawn.dtype).max)
    opaque = drawn[..., -1:] == white
    if (opaque | (drawn[..., -1:] == 0)).all():
        return np.where(opaque, drawn, below)
    a, b = drawn[..., -1:] / white, below[..., -1:] / white
    alpha = a + b * (1 - a)
    colors = (drawn[..., :-1] * a + below[..., :-1] * b * (1 - a)) / np.maximum(alpha, 1 / white)
    return np.dstack([colors, alpha * white]).round().astype(drawn.dtype)

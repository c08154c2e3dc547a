"""Frames of animated PNG and GIF against the standards, composed here in another way."""

from __future__ import annotations

import itertools
import struct
from io import BytesIO
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import png_encode

from photostyle import PhotostyleError, photo
from photostyle.photo.png import chunk, chunks

SIZE = 9, 8
PREVIOUS = "previous"


class Drawn(NamedTuple):
    """RGBA in 0..1 (h, w, 4) or data of a frame, where it is drawn, and what becomes of it."""

    values: npt.NDArray[Any]
    left: int
    top: int
    then: str | None
    over: bool = True


def shown(drawn: list[Drawn]) -> list[npt.NDArray[np.float64]]:
    """Each frame: colours multiplied with alpha, and alpha."""
    canvas = np.zeros((SIZE[1], SIZE[0], 4))
    result = []
    for values, left, top, then, over in drawn:
        height, width, _ = values.shape
        place = slice(top, top + height), slice(left, left + width)
        before = canvas.copy()
        multiplied = values * np.dstack([values[..., 3:]] * 3 + [np.ones((height, width))])
        canvas[place] = multiplied + canvas[place] * (1 - values[..., 3:]) * over
        result.append(canvas.copy())
        if then == "clear":
            canvas[place] = 0
        elif then == PREVIOUS:
            canvas = before
    return result


def read(file: bytes) -> list[npt.NDArray[np.float64]]:
    """The same of a file as it is read."""
    first = photo.read(BytesIO(file))
    found = []
    for still in first.stills():
        values = still.with_alpha()
        assert values.alpha is not None
        white = np.iinfo(values.pixels.dtype).max
        alpha = values.alpha[..., None] / white
        found.append(np.dstack([values.pixels / white * alpha, alpha]))
    return found


def check(file: bytes, drawn: list[Drawn]) -> None:
    for found, expected in zip(read(file), shown(drawn), strict=True):
        assert np.abs(found - expected).max() < 1.6 / 255  # two frames are rounded


def animated_png(frames: list[Drawn], default: npt.NDArray[Any] | None = None) -> bytes:
    """frames: as stored, uint8 or uint16 of any number of channels."""
    first = frames[0].values if default is None else default
    parts, number = [], 0
    for kind, content in chunks(BytesIO(png_encode(first))):
        if kind == b"IHDR":
            header = struct.pack(">2I", *SIZE) + content[8:]
            parts = [chunk(kind, header), chunk(b"acTL", struct.pack(">2I", len(frames), 0))]
        elif kind == b"IDAT" and default is not None:
            parts.append(chunk(kind, content))
    for values, left, top, then, over in frames:
        height, width, _ = values.shape
        disposal = (None, "clear", PREVIOUS).index(then)
        control = struct.pack(">5I2H2B", number, width, height, left, top, 1, 10, disposal, over)
        parts.append(chunk(b"fcTL", control))
        number += 1
        for kind, content in chunks(BytesIO(png_encode(values))):
            if kind == b"IDAT" and (number > 1 or default is not None):
                parts.append(chunk(b"fdAT", struct.pack(">I", number) + content))
                number += 1
            elif kind == b"IDAT":
                parts.append(chunk(kind, content))
    return b"".join([b"\x89PNG\r\n\x1a\n", *parts, chunk(b"IEND", b"")])


def in_rgba(frame: Drawn) -> Drawn:
    values = frame.values / np.iinfo(frame.values.dtype).max
    channels = values.shape[2]
    alpha = values[..., -1:] if channels in (2, 4) else np.ones_like(values[..., :1])
    colors = values[..., : 1 if channels < 3 else 3]
    return frame._replace(values=np.dstack([colors] * (3 // colors.shape[2]) + [alpha]))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_regions_of_png(channels: int, dtype: type) -> None:
    rng = np.random.default_rng(0)

    def drawing(width: int, height: int) -> npt.NDArray[Any]:
        return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)

    kinds = (None, "clear", PREVIOUS)
    for first, second, third in itertools.product(kinds, kinds, kinds):
        frames = [
            Drawn(drawing(*SIZE), 0, 0, first if first != PREVIOUS else "clear", False),
            Drawn(drawing(5, 4), 2, 3, second),
            Drawn(drawing(4, 5), 4, 1, third, bool(len(first or ""))),
            Drawn(drawing(3, 3), 0, 0, None),
        ]
        check(animated_png(frames), [in_rgba(frame) for frame in frames])
    hidden = animated_png(frames[1:], default=drawing(*SIZE))
    check(hidden, [in_rgba(frame) for frame in frames[1:]])


def test_a_cut_off_animation_is_refused() -> None:
    frames = [Drawn(np.full((8, 9, 3), n, np.uint8), 0, 0, None) for n in range(3)]
    file = animated_png(frames)
    last = file.rindex(b"fcTL") - 4
    with pytest.raises(PhotostyleError, match="damaged"):
        photo.read(BytesIO(file[:last] + chunk(b"IEND", b"")))


def test_a_frame_that_claims_to_be_huge_is_refused() -> None:
    frames = [Drawn(np.zeros((8, 9, 3), np.uint16), 0, 0, None) for _ in range(2)]
    file = animated_png(frames)
    last = file.rindex(b"fcTL")
    control = file[last + 4 : last + 8] + struct.pack(">2I", 100_000, 100_000)
    huge = file[: last - 4] + chunk(b"fcTL", control + file[last + 16 : last + 30])
    with pytest.raises(PhotostyleError, match="megapixels"):
        photo.read(BytesIO(huge + file[last + 34 :]))


def gif(frames: list[Drawn], palette: npt.NDArray[Any]) -> bytes:
    """frames: indices of 8 colours (h, w, 1), of which 3 is transparent where frames are `over`."""
    parts = [b"GIF89a", struct.pack("<2H3B", *SIZE, 0x82, 5, 0), palette.tobytes()]
    for values, left, top, then, over in frames:
        height, width, _ = values.shape
        disposal = {None: 1, "clear": 2, PREVIOUS: 3}[then]
        parts += [b"!\xf9\4", bytes([disposal << 2 | over, 10, 0, 3, 0])]
        parts += [b",", struct.pack("<4HB", left, top, width, height, 0), b"\3"]
        # Codes of 4 bits, as after each of them the table is emptied.
        codes = [code for index in values.ravel() for code in (8, int(index))] + [9, 0]
        data = bytes(low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=True))
        parts += [bytes([len(data)]), data, b"\0"]
    return b"".join([*parts, b";"])


def test_regions_of_gif() -> None:
    """What is cleared becomes transparent, whatever the background colour of the file."""
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (8, 3), np.uint8)

    def colored(frame: Drawn) -> Drawn:
        index = frame.values[..., 0]
        return frame._replace(
            values=np.dstack([palette[index] / 255, ~((index == 3) & frame.over)]), over=True
        )

    kinds = (None, "clear", PREVIOUS)
    for first, second, third in itertools.product(kinds, kinds, kinds):
        for transparent in (False, True):
            frames = [
                Drawn(rng.integers(0, 8, (height, width, 1)), left, top, then, over)
                for width, height, left, top, then, over in (
                    (*SIZE, 0, 0, first, transparent),
                    (5, 4, 2, 3, second, True),
                    (4, 5, 4, 1, third, not transparent),
                    (3, 3, 0, 0, None, True),
                )
            ]
            check(gif(frames, palette), [colored(frame) for frame in frames])
    # A photo that does not fill its canvas.
    check(gif(frames[1:2], palette), [colored(frames[1])])


def test_a_gif_without_a_whole_frame_is_refused() -> None:
    palette = np.zeros((8, 3), np.uint8)
    file = gif([Drawn(np.zeros((8, 9, 1), int), 0, 0, None)], palette)
    image = file.index(b",")
    for damaged in (file[:-9], file[:image] + b"?" + file[image + 1 :]):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(damaged))

"""XPM files, and Sun raster files of 32 bits, of which Pillow mistakes colours.

Sources: A. Le Hors, "XPM Manual" (version 3.4); X Window System, "Color Names" (XParseColor);
the manual page rasterfile(5) of SunOS.
"""

from __future__ import annotations

import re
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor, ImageFile

from photostyle.errors import PhotostyleError
from photostyle.photo import limits

XPM_MAGIC = b"/* XPM */"

_STRING = re.compile(rb'"((?:[^"\\]|\\.)*)"')
_KEYS = ("c", "g", "g4", "m")  # colour, grey, four greys, black and white; "s" is a name
# Names that mean other colours in X11 than on web pages.
_OF_X11 = {
    "gray": (190, 190, 190),
    "grey": (190, 190, 190),
    "green": (0, 255, 0),
    "maroon": (176, 48, 96),
    "purple": (160, 32, 240),
}
_GRAY = re.compile(r"gr[ae]y(\d{1,3})")


def open_xpm(stream: BinaryIO) -> Image.Image:
    """An XPM file of version 3 as Pillow opens it, with transparency if it has any.

    Raises ValueError or LookupError if it is damaged, PhotostyleError if the name of a colour is
    unknown, TooLargeError as `photostyle.photo.limits.check_size` does.
    """
    stream.seek(0)
    strings = [match[1] for match in _STRING.finditer(stream.read())]
    width, height, count, length = (int(number) for number in strings[0].split()[:4])
    limits.check_size(width, height)
    if not (0 < length <= 8 and 0 < count < len(strings)):
        raise ValueError("an XPM file with an invalid header")
    names = [definition[:length] for definition in strings[1 : 1 + count]]
    colors = [_color(text[length:].decode("latin-1")) for text in strings[1 : 1 + count]]
    rows = [row[: width * length] for row in strings[1 + count : 1 + count + height]]
    if len(rows) < height or min(map(len, rows)) < width * length:
        raise ValueError("an XPM file that is cut off")
    # Names of up to 8 bytes as numbers, in which the last of equal names counts.
    keys = _numbers(b"".join(names), length)[::-1]
    known, first = np.unique(keys, return_index=True)
    pixels = _numbers(b"".join(rows), length)
    places = np.searchsorted(known, pixels).clip(max=len(known) - 1)
    if not np.array_equal(known[places], pixels):
        raise ValueError("an XPM file with unknown colours")
    table = np.array(colors, np.uint8)[::-1][first]
    values = table[places].reshape(height, width, 4)
    opaque = bool((table[:, 3] == 255).all())
    image = Image.fromarray(np.ascontiguousarray(values[..., :3] if opaque else values))
    image.format = "XPM"
    return image


def correct_order(image: Image.Image) -> None:
    """Of a Sun raster file of 32 bits the first byte is without meaning, not the last."""
    if image.format == "SUN" and isinstance(image, ImageFile.ImageFile):
        for number, tile in enumerate(image.tile):
            mode, *more = tile.args if isinstance(tile.args, tuple) else (tile.args,)
            mode = {"RGBX": "XRGB", "BGRX": "XBGR"}.get(mode, mode)
            image.tile[number] = tile._replace(args=(mode, *more))


def _numbers(data: bytes, length: int) -> npt.NDArray[np.uint64]:
    """The numbers that groups of ``length`` bytes are."""
    groups = np.frombuffer(data, np.uint8).reshape(-1, length)
    padded = np.zeros((len(groups), 8), np.uint8)
    padded[:, :length] = groups
    return padded.view(np.uint64)[:, 0]


def _color(definition: str) -> tuple[int, int, int, int]:
    """Red, green, blue and alpha of a definition such as "c #FF0000 m black s red"."""
    values: dict[str, list[str]] = {}
    for word in definition.split():
        if word in (*_KEYS, "s") and (not values or values[next(reversed(values))]):
            values[word] = []
        elif values:
            values[next(reversed(values))].append(word)
    text = next(("".join(values[key]).lower() for key in _KEYS if key in values), "")
    if text == "none":
        return 0, 0, 0, 0
    if gray := _GRAY.fullmatch(text):
        level = min(int(int(gray[1]) * 2.55 + 0.5), 255)
        return level, level, level, 255
    if text.startswith("#"):
        digits, top = len(text) // 3, 16 ** (len(text) // 3) - 1
        numbers = (int(text[at : at + digits], 16) for at in range(1, len(text), digits))
        red, green, blue = (round(number * 255 / top) for number in numbers)
        return red, green, blue, 255
    try:
        red, green, blue = _OF_X11.get(text) or ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise PhotostyleError(
            f"The XPM file has a colour of the unknown name {text!r}; save it as PNG."
        ) from error
    return red, green, blue, 255

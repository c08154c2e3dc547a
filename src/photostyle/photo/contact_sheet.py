"""Photos side by side, and contact sheets of many small ones, to compare them at a glance."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from photostyle.photo.encode import write
from photostyle.photo.photo import Photo

HEIGHT = 224
"""Height of a photo in pixels."""

_GAP, _CAPTION_HEIGHT, _FONT_SIZE = 4, 18, 12
_COLUMNS = 4

_FONTS = ("DejaVuSans.ttf", "Arial Unicode.ttf", "arial.ttf", "NotoSansCJK-Regular.ttc")
"""Fonts of operating systems, for labels that Pillow's own font, which is ASCII, cannot show."""

_Font = ImageFont.ImageFont | ImageFont.FreeTypeFont


def side_by_side(
    photos: Iterable[tuple[str, Photo]], columns: int | None = None, size: int | None = None
) -> Photo:
    """Photos in rows on white, 8 bits, each scaled to fit the size of the first, below its label.

    photos: labels and photos, of any sizes; taken one by one. columns: photos in a row; None for a
    single row. size: long side of the first photo in the picture, in pixels; None for its own.
    """
    remaining = iter(photos)
    first_label, first = next(remaining)
    box = _scaled(first.size, 1 if size is None else size / max(first.size))

    def fitted(photo: Photo) -> Image.Image:
        still = photo.still().on_white().in_profile(first.profile).with_depth(8)
        image = Image.fromarray(still.pixels)
        scale = min(box[0] / image.width, box[1] / image.height)
        return image.resize(_scaled(image.size, scale), Image.Resampling.BICUBIC)

    images = [(first_label, fitted(first)), *((label, fitted(photo)) for label, photo in remaining)]
    columns = columns or len(images)
    rows = [images[start : start + columns] for start in range(0, len(images), columns)]
    font_size = max(_FONT_SIZE, box[1] // 32)
    step = box[1] + 3 * font_size // 2

    width = max(sum(image.width for _, image in row) for row in rows)
    sheet = Image.new("RGB", (width, step * len(rows)), "white")
    for number, row in enumerate(rows):
        left, bottom = 0, (number + 1) * step
        for label, image in row:
            name = _label(label, image.width, font_size)
            sheet.paste(name, (left, bottom - step + font_size // 4))
            sheet.paste(image, (left, bottom - (box[1] + image.height + 1) // 2))
            left += image.width
    pixels, profile = np.array(sheet), first.profile
    return Photo(pixels, profile=profile, original=first.original, format=first.format)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    """A size, scaled, of at least one pixel."""
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _label(text: str, width: int, size: int) -> Image.Image:
    """A line of text, black on white; the middle of one that is too long is left out."""
    text = "".join(letter if letter.isprintable() else "?" for letter in text)
    text, font = _shown(text, size)
    shown = text
    while shown and font.getlength(shown) > width:
        text = text[: len(text) // 2] + text[len(text) // 2 + 1 :]
        shown = f"{text[: len(text) // 2]}...{text[len(text) // 2 :]}" if text else ""
    line = Image.new("RGB", (width, 5 * size // 4), "white")
    ImageDraw.Draw(line).text((0, 0), shown, "black", font)
    return line


def _shown(text: str, size: int) -> tuple[str, _Font]:
    """A text and a font that has its letters; without such a font, ? in place of the others."""
    if not text.isascii():
        for name in _FONTS:
            try:
                font = ImageFont.truetype(name, size)
            except OSError:
                continue
            missing = bytes(font.getmask("\U0010ffff"))
            if all(bytes(font.getmask(letter)) != missing for letter in text):
                return text, font
    return text.encode("ascii", "replace").decode(), ImageFont.load_default(size)


def save_sheet(
    rows: Sequence[Sequence[npt.NDArray[np.uint8]]],
    path: Path,
    captions: Sequence[str] | None = None,
    height: int = HEIGHT,
) -> None:
    """Write rows of photos (H, W, 3), uint8, sRGB, scaled to ``height`` pixels.

    captions: text above each row. An existing file is replaced. Raises PhotostyleError if the file
    cannot be written.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    thumbnails = [[Image.fromarray(thumbnail(pixels, height)) for pixels in row] for row in rows]
    caption_height = _CAPTION_HEIGHT if captions else 0
    widths = [sum(image.width + _GAP for image in row) for row in thumbnails]
    widths += [round(font.getlength(caption)) + _GAP for caption in captions or ()]
    step = caption_height + height + _GAP

    sheet = Image.new("RGB", (max(widths) + _GAP, step * len(thumbnails) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, images in enumerate(thumbnails):
        top, left = _GAP + number * step, _GAP
        if captions:
            draw.text((left, top), captions[number], "black", font)
        for image in images:
            sheet.paste(image, (left, top + caption_height))
            left += image.width + _GAP
    write(Photo(np.array(sheet)), path, overwrite=True)


def save_columns(
    columns: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], str]], path: Path
) -> None:
    """Write pairs of photos (H, W, 3), uint8, sRGB, one above the other, four pairs to a row.

    columns: the two photos of each pair, of equal width, and its caption. An existing file is
    replaced. Raises PhotostyleError if the file cannot be written.
    """
    rows = [columns[start : start + _COLUMNS] for start in range(0, len(columns), _COLUMNS)]
    pairs = [[_stacked(above, below) for above, below, _ in row] for row in rows]
    captions = ["   |   ".join(caption for _, _, caption in row) for row in rows]
    save_sheet(pairs, path, captions, 2 * HEIGHT + _GAP)


def _stacked(above: npt.NDArray[np.uint8], below: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    gap = np.full((_GAP, above.shape[1], 3), 255, np.uint8)
    return np.concatenate([above, gap, below])


def thumbnail(pixels: npt.NDArray[np.uint8], height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """A photo (H, W, 3), uint8, scaled to ``height`` pixels with its aspect ratio kept."""
    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))

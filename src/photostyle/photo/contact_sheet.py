"""Contact sheets: many small photos in one file, to compare results at a glance."""

from __future__ import annotations

from collections.abc import Sequence
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

"""Contact sheets: rows of photos side by side, to look at many results at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from photostyle import photo

HEIGHT = 224
"""Height of a row, pixels."""

_GAP, _CAPTION, _FONT_SIZE = 4, 18, 12


def save_sheet(
    rows: Sequence[Sequence[npt.NDArray[np.uint8]]],
    path: Path,
    captions: Sequence[str] | None = None,
    height: int = HEIGHT,
) -> None:
    """Write photos (H, W, 3) in rows of ``height`` pixels, each below its caption if there are any.

    A file of that name is replaced. Raises PhotostyleError if it cannot be written.
    """
    font = ImageFont.load_default(_FONT_SIZE)
    strips = [[Image.fromarray(thumbnail(pixels, height)) for pixels in row] for row in rows]
    above = _CAPTION if captions else 0
    widths = [sum(image.width + _GAP for image in strip) for strip in strips]
    widths += [round(font.getlength(caption)) + _GAP for caption in captions or ()]
    step = above + height + _GAP

    sheet = Image.new("RGB", (max(widths) + _GAP, step * len(strips) + _GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, strip in enumerate(strips):
        top, left = _GAP + number * step, _GAP
        if captions:
            draw.text((left, top), captions[number], "black", font)
        for image in strip:
            sheet.paste(image, (left, top + above))
            left += image.width + _GAP
    photo.write(photo.Photo(np.array(sheet)), path, overwrite=True)


def save_columns(
    columns: Sequence[tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint8], str]], path: Path
) -> None:
    """Write pairs of photos below each other, side by side in rows of four, with their captions.

    Raises PhotostyleError if it cannot be written; a file of that name is replaced.
    """
    rows = []
    for pair in columns:
        gap = np.full((_GAP, pair[0].shape[1], 3), 255, np.uint8)
        rows.append(np.concatenate([pair[0], gap, pair[1]]))
    step = 4
    lines = [rows[i : i + step] for i in range(0, len(rows), step)]
    captions = [
        "   |   ".join(c[2] for c in columns[i : i + step]) for i in range(0, len(rows), step)
    ]
    save_sheet(lines, path, captions, 2 * HEIGHT + _GAP)


def thumbnail(pixels: npt.NDArray[np.uint8], height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """The photo (H, W, 3) at a height of ``height`` pixels."""
    width = max(1, round(pixels.shape[1] * height / pixels.shape[0]))
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS))

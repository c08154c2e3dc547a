"""Contact sheets: rows of photos side by side in one PNG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageOps

GAP, CAPTION = 4, 18


def save_sheet(
    rows: Sequence[Sequence[npt.NDArray[np.uint8]]],
    path: Path,
    captions: Sequence[str] | None = None,
    height: int = 224,
) -> None:
    """Write photos (H, W, 3) in rows, each ``height`` pixels high, with a line above each row."""
    strips = [[_to_height(photo, height) for photo in row] for row in rows]
    above = CAPTION if captions else 0
    width = max(sum(photo.width + GAP for photo in strip) for strip in strips) + GAP
    sheet = Image.new("RGB", (width, (height + above + GAP) * len(strips) + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    for number, strip in enumerate(strips):
        top, left = GAP + number * (height + above + GAP), GAP
        if captions:
            draw.text((left, top), captions[number], "black")
        for photo in strip:
            sheet.paste(photo, (left, top + above))
            left += photo.width + GAP
    sheet.save(path, "PNG")


def _to_height(photo: npt.NDArray[np.uint8], height: int) -> Image.Image:
    image = Image.fromarray(photo)
    width = max(1, round(image.width * height / image.height))
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)

"""Draws the regions of the example pair: sky, rock and forest, water, ground.

    python examples/masks.py FOLDER     writes FOLDER/content-mask.png and FOLDER/style-mask.png

As a user would with a brush: polygons that lie roughly along the borders.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image, ImageDraw

SIZE = 1200, 800
SKY, ROCK, WATER, GROUND = (60, 120, 220), (150, 90, 60), (60, 200, 190), (230, 200, 60)

Line = list[tuple[int, int]]


def mask(ground: tuple[int, int, int], *above: tuple[tuple[int, int, int], Line]) -> Image.Image:
    """Regions above each other, each above a line, from the lowest to the highest."""
    image = Image.new("RGB", SIZE, ground)
    for color, line in above:
        ImageDraw.Draw(image).polygon([(0, 0), *line, (SIZE[0], 0)], fill=color)
    return image


def content() -> Image.Image:
    ridge = [(0, 190), (200, 165), (290, 205), (400, 185), (580, 215), (720, 160), (960, 147)]
    return mask(
        GROUND,
        (WATER, [(0, 582), (400, 592), (800, 612), (1200, 618)]),
        (ROCK, [(0, 368), (1200, 368)]),
        (SKY, [*ridge, (1200, 158)]),
    )


def style() -> Image.Image:
    cliff = [(0, 378), (805, 378), (900, 300), (1010, 200), (1110, 125), (1200, 100)]
    return mask(
        GROUND,
        (WATER, [(0, 583), (500, 575), (1200, 597)]),
        (ROCK, [(0, 378), (800, 380), (1200, 390)]),
        (SKY, cliff),
    )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    content().save(folder / "content-mask.png")
    style().save(folder / "style-mask.png")

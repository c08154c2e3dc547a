"""Writes six pairs of freely licensed or rendered photos, on which to judge weights by eye.

    python examples/pairs.py FOLDER        writes FOLDER/content/*.png and FOLDER/style/*.png

Coffee (Rachel Michetti) and the cat (Stefan van der Walt) are CC0, the rocket (SpaceX) and the
astronaut (NASA) are in the public domain; all four come with scikit-image. The lake by day and the
shore at dusk are rendered by examples/render.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

import render
from PIL import Image
from skimage import data

PAIRS = {
    "lake-dusk": ("lake", "dusk"),
    "dusk-lake": ("dusk", "lake"),
    "rocket-dusk": ("rocket", "dusk"),
    "cat-coffee": ("cat", "coffee"),
    "coffee-lake": ("coffee", "lake"),
    "astronaut-cat": ("astronaut", "cat"),
}


def main(folder: Path) -> None:
    photos = {
        "lake": render.lake(),
        "dusk": render.seashore(),
        "rocket": Image.fromarray(data.rocket()),
        "cat": Image.fromarray(data.chelsea()),
        "coffee": Image.fromarray(data.coffee()),
        "astronaut": Image.fromarray(data.astronaut()),
    }
    for name, (content, style) in PAIRS.items():
        for kind, photo in ("content", content), ("style", style):
            path = folder / kind / f"{name}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            photos[photo].save(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

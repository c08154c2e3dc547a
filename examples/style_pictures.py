"""Makes the pictures of docs/styles.md.

    python examples/style_pictures.py FOLDER     writes keep.jpg, strength.jpg and mix.jpg

The photos are those of `examples/render.py` and the astronaut of scikit-image (NASA, public
domain).
Needs photostyle[evaluate].
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import render
from PIL import Image
from skimage import data

import photostyle
from photostyle.jobs.compare import compare_photos


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name:
        work = Path(name)
        lake, dusk, teal, face = (
            work / f"{name}.jpg" for name in ("lake", "dusk", "teal", "portrait")
        )
        render.lake().save(lake, quality=95)
        render.seashore().save(dusk, quality=95)
        # The lake in cold light.
        cold = render.lake().convert("RGB", (0.35, 0.2, 0, 0, 0.1, 0.75, 0.1, 0, 0, 0.3, 0.8, 10))
        cold.save(teal, quality=95)
        Image.fromarray(data.astronaut()).save(face, quality=95)
        stylizer = photostyle.load()

        def result(label: str, content: Path, style: Any, **options: Any) -> Path:
            target = work / f"{label}.jpg"
            photostyle.stylize_photo(content, style, target, model=stylizer, **options)
            return target

        rows: dict[str, dict[str, Path]] = {
            "keep": {"portrait": face, "style": teal}
            | {
                f"keep {keep}": result(keep, face, teal, keep=keep)
                for keep in ("none", "luminance", "color", "skin")
            },
            "strength": {"content": lake, "style": dusk}
            | {
                f"strength {s:g}": result(f"{s:g}", lake, dusk, strength=s) for s in (0.5, 1.0, 1.5)
            },
            "mix": {"content": lake, "dusk": dusk, "portrait": face}
            | {
                f"dusk:{1 - part:g} portrait:{part:g}": result(
                    f"mix {part}", lake, [(dusk, 1 - part), (face, part)]
                )
                for part in (0.25, 0.5, 0.75)
            },
        }
        for title, row in rows.items():
            compare_photos(
                list(row.values()),
                folder / f"{title}.jpg",
                labels=list(row),
                columns=3,
                size=300,
                quality=82,
                overwrite=True,
            )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))

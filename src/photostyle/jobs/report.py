"""A page to look at results: before and after under a slider, settings, times and measures.

One HTML file that holds all it shows, the photos as reduced JPEGs. A content security policy in it
forbids the browser to load anything else.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from html import escape
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from photostyle.errors import PhotostyleError
from photostyle.files import as_path, check_target, new_file
from photostyle.version import __version__

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from photostyle.photo import Photo

    Pixels = npt.NDArray[np.uint8]

LARGEST, SMALLEST = 1200, 320
"""Long side of a photo on the page, in pixels: of a few photos, and of many."""

_FEW = 20
"""Number of results up to which they are shown as large as possible."""

_QUALITY = 90

_STYLE_SIDE = 300
"""Long side of a picture beside the slider, in pixels."""


@dataclass(frozen=True)
class Result:
    """A result on the page.

    name: its heading, which need not be unique. before, after: (H, W, 3), uint8, sRGB, as
    `shown` makes them. pictures: others to show, smaller, by their labels. figures: numbers, and
    words, by name; these are the columns of the table. notes: sentences.
    """

    name: str
    before: Pixels
    after: Pixels
    pictures: Mapping[str, Pixels] = field(default_factory=dict)
    figures: Mapping[str, float | str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def check_page(path: Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()) -> None:
    """Raise PhotostyleError, before the work, if a page cannot be written to ``path``."""
    if path.suffix.lower() not in (".html", ".htm"):
        raise PhotostyleError(f"A report is a page; name it .html, not {path.name!r}.")
    check_target(path, overwrite=overwrite, inputs=inputs)


def write_page(
    results: Iterable[Result],
    path: str | os.PathLike[str],
    *,
    title: str,
    settings: Mapping[str, object] | None = None,
    means: Callable[[], Mapping[str, float]] | None = None,
    overwrite: bool = False,
) -> None:
    """Write the page of ``results``, which are taken one by one, to a file.

    settings: of all results, shown above them. means: for the last line of the table, when all
    results have been taken; by default the mean of each figure. Raises PhotostyleError as
    `check_page` does, and if the file cannot be written.
    """
    target = as_path(path)
    check_page(target, overwrite=overwrite)
    with new_file(target, overwrite=overwrite) as stream:
        for part in _page(results, title, settings or {}, means):
            # A file name that is invalid text has surrogates.
            stream.write(part.encode(errors="replace"))


def side(count: int) -> int:
    """Long side of the photos on a page of ``count`` results, in pixels: it takes up to 100 MB."""
    return max(SMALLEST, min(LARGEST, round(LARGEST * (_FEW / max(1, count)) ** 0.5)))


def shown(photo: Photo, side: int = LARGEST) -> Pixels:
    """A copy of the first frame of a photo on white, as reduced pixels (H, W, 3), uint8, sRGB."""
    still = photo.still().on_white().with_depth(8)
    return replace(still, pixels=reduced(still.pixels, side).copy()).in_srgb()


def reduced(pixels: Pixels, side: int) -> Pixels:
    """Pixels (H, W, 3), uint8, reduced to a long side of at most ``side`` pixels."""
    import numpy as np
    from PIL import Image

    if max(pixels.shape) <= side:
        return pixels
    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(image)


def _page(
    results: Iterable[Result],
    title: str,
    settings: Mapping[str, object],
    means: Callable[[], Mapping[str, float]] | None,
) -> Iterator[str]:
    style, script = (_asset(name) for name in ("report.css", "report.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = (
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
        f"script-src 'sha256-{digest}'"
    )
    yield (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n<main>\n"
        f"<header><h1>{escape(title)}</h1>\n{_list({**settings, 'photostyle': __version__})}"
        "</header>\n"
        '<section class="cards">\n'
    )
    # The table has the figures of all results; style sheets show it above them.
    rows: list[tuple[str, Mapping[str, float | str]]] = []
    for number, result in enumerate(results):
        yield _card(result, number)
        rows.append((result.name, result.figures))
    yield "</section>\n"
    if len(rows) > 1 and any(figures for _, figures in rows):
        yield _table(rows, means() if means else _means(rows))
    yield f"</main>\n<script>{script}</script>\n</html>\n"


def _asset(name: str) -> str:
    return files("photostyle.jobs").joinpath(name).read_text(encoding="utf-8")


def _card(result: Result, number: int) -> str:
    notes = "".join(f"<li>{escape(note)}</li>" for note in result.notes)
    return (
        f'<article id="result-{number}">\n<h2>{escape(result.name)}</h2>\n'
        f'<div class="slider"><img class="after" alt="after" src="{_data(result.after)}">'
        f'<img class="before" alt="before" src="{_data(result.before)}">'
        "<span>before</span><span>after</span>"
        '<input type="range" min="0" max="100" step="0.1" value="50" '
        f'aria-label="how much of {escape(result.name)} to show as it was before"></div>\n'
        f'<div class="facts">{_pictures(result.pictures)}{_list(result.figures)}</div>\n'
        + (f'<ul class="notes">{notes}</ul>\n' if notes else "")
        + "</article>\n"
    )


def _list(facts: Mapping[str, object]) -> str:
    terms = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(_text(value))}</dd></div>"
        for name, value in facts.items()
    )
    return f"<dl>{terms}</dl>\n" if terms else ""


def _pictures(pictures: Mapping[str, Pixels]) -> str:
    figures = "".join(
        f'<figure><img alt="{escape(label)}" src="{_data(reduced(pixels, _STYLE_SIDE))}">'
        f"<figcaption>{escape(label)}</figcaption></figure>"
        for label, pixels in pictures.items()
    )
    return f'<div class="pictures">{figures}</div>\n' if figures else ""


def _table(
    rows: Sequence[tuple[str, Mapping[str, float | str]]], means: Mapping[str, float]
) -> str:
    """The figures of all results; a result may lack some."""
    columns = _columns(rows)
    heads = "".join(f"<th><button>{escape(name)}</button></th>" for name in ("name", *columns))
    body = "".join(
        f'<tr data-card="result-{number}"><td data-value="{escape(name)}">'
        f'<a href="#result-{number}">{escape(name)}</a></td>'
        + "".join(_cell(figures.get(column, "")) for column in columns)
        + "</tr>\n"
        for number, (name, figures) in enumerate(rows)
    )
    foot = "".join(f"<td>{escape(_text(means.get(name, '')))}</td>" for name in columns)
    return (
        f'<section class="measures"><table>\n<thead><tr>{heads}</tr></thead>\n'
        f"<tbody>\n{body}</tbody>\n"
        f"<tfoot><tr><td>mean</td>{foot}</tr></tfoot>\n</table></section>\n"
    )


def _columns(rows: Sequence[tuple[str, Mapping[str, float | str]]]) -> list[str]:
    return list(dict.fromkeys(name for _, figures in rows for name in figures))


def _means(rows: Sequence[tuple[str, Mapping[str, float | str]]]) -> dict[str, float]:
    """The mean of each figure that is a number."""
    known = {
        name: [figures[name] for _, figures in rows if name in figures] for name in _columns(rows)
    }
    return {
        name: fmean(value for value in values if not isinstance(value, str))
        for name, values in known.items()
        if not any(isinstance(value, str) for value in values)
    }


def _cell(value: float | str) -> str:
    """A cell of the table, with the value as JavaScript writes it."""
    number = str(value).replace("inf", "Infinity") if isinstance(value, float) else str(value)
    key = "" if number == "nan" else number
    return f'<td data-value="{escape(key)}">{escape(_text(value))}</td>'


def _text(value: object) -> str:
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _data(pixels: Pixels) -> str:
    """A JPEG as a data URL."""
    from PIL import Image

    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=_QUALITY, subsampling=0)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode()}"

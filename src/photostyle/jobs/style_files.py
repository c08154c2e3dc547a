"""Learns, mixes and describes style files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photostyle.files import as_path, check_target, output_path
from photostyle.jobs.models import load_stylizer
from photostyle.jobs.progress import Progress, Stopwatch, silent
from photostyle.jobs.styles import SUFFIX, StyleInputs

if TYPE_CHECKING:
    from photostyle.jobs.models import Model
    from photostyle.jobs.styles import Styles

    File = str | os.PathLike[str]

_NAMED = 3
"""How many photos of a style are named."""


@dataclass(frozen=True)
class StyleReport:
    """A report on what `learn_style_file` did.

    output: the file written. seconds: wall-clock time of the phases read, load, learn and write.
    notes: sentences on weights and on what was not read.
    """

    output: Path
    seconds: dict[str, float]
    notes: tuple[str, ...]


def learn_style_file(
    style: Styles,
    output: File,
    *,
    model: Model = "photonas",
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress = silent,
) -> StyleReport:
    """Write the style of a photo or folder, or a mix of styles, to a style file.

    style: as in `stylize_photo`. The style is learned in sRGB. model, device, overwrite, progress:
    as in `stylize_photo`. Raises PhotostyleError as that does.
    """
    watch = Stopwatch(progress)
    with watch("read"):
        styles = StyleInputs(style)
        target = output_path(output, f"{styles.name}{SUFFIX}")
        check_target(target, overwrite=overwrite, inputs=styles.paths)
    with watch("load"):
        stylizer = load_stylizer(model, device)
    with watch("learn"):
        learned = styles.learn(
            stylizer, progress=lambda done, total: progress("learn", done, total)
        )
    with watch("write"):
        from photostyle.transfer import style_file

        style_file.write(learned, target, overwrite=overwrite)
    return StyleReport(target, watch.seconds, tuple(styles.notes))


def describe_style(path: File) -> Iterator[tuple[str, str]]:
    """The facts on a style file, by name, in the order in which to show them.

    Raises PhotostyleError if it cannot be read, or is no style file or a damaged one.
    """
    from photostyle.transfer import style_file
    from photostyle.transfer.style import parts_of

    style = style_file.read(as_path(path))
    parts = parts_of(style)
    for number, (part, weight) in enumerate(parts, 1):
        if len(parts) > 1:
            yield f"style {number}", f"weight {weight:.3g}"
        yield from _facts(part.provenance)
        height, width = part.thumbnail.shape[2] // part.photos, part.thumbnail.shape[3]
        yield "thumbnail", f"{width}x{height}" + (f" of {part.photos}" if part.photos > 1 else "")
        yield "regions", "no" if part.blocks is None else "yes"
        yield "layers", ", ".join(sorted(part.moments))
        yield "weights", f"sha256:{part.digest}"
    yield "size", f"{as_path(path).stat().st_size / 1000:.0f} kB"


def _facts(provenance: object) -> Iterator[tuple[str, str]]:
    """The photos of a style, and the model and version that learned it."""
    known = dict(provenance) if isinstance(provenance, dict) else {}
    photos = known.pop("photos", None)
    if isinstance(photos, list) and photos:
        more = f" and {len(photos) - _NAMED} more" if len(photos) > _NAMED else ""
        yield "photos", ", ".join(map(str, photos[:_NAMED])) + more
    for name, value in known.items():
        yield str(name), str(value)

"""Writes photos side by side into one picture, from file to file."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from photostyle.errors import PhotostyleError
from photostyle.files import as_path, check_target, output_path
from photostyle.jobs.photo import check_options
from photostyle.jobs.progress import Progress, silent

if TYPE_CHECKING:
    from photostyle.photo import Photo

    File = str | os.PathLike[str]


@dataclass(frozen=True)
class CompareReport:
    """A report on what `compare_photos` did.

    output: the file written. notes: sentences on parts of the files that were not read.
    """

    output: Path
    notes: tuple[str, ...]


def compare_photos(
    photos: Sequence[File],
    output: File | None = None,
    *,
    labels: Sequence[str] = (),
    columns: int = 4,
    size: int | None = None,
    quality: int | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> CompareReport:
    """Write photos side by side, each scaled to fit the size of the first, below its label.

    photos: two or more files of any sizes, of formats that `photostyle.photo.read` knows; of an
    animation, the first frame. output: a file whose extension names the format; None for
    FIRST-compare with the extension of the first photo in the current folder. labels: one for each
    photo; by default the names of the files. columns: photos in a row. size: long side of the
    first photo in the picture, in pixels; None for its own. quality, overwrite: as in
    `stylize_photo`. The colours are in the profile of the first photo.

    Raises PhotostyleError if there are fewer than two photos, a photo cannot be read, an option is
    invalid, or the picture cannot be written.
    """
    from photostyle import photo

    check_options("auto", quality)
    paths = [as_path(path) for path in photos]
    _check(len(paths), len(labels), columns, size)
    first = photo.read(paths[0], still=True, metadata=False)
    default = Path(f"{paths[0].stem}-compare{photo.suffix_for(first, paths[0].suffix)}")
    target = default if output is None else output_path(output, default)
    photo.format_of(target)
    check_target(target, overwrite=overwrite, inputs=[path for path in paths if path.exists()])
    notes: list[str] = []

    def read() -> Iterator[Photo]:
        for number, path in enumerate(paths):
            found = photo.read(path, still=True, metadata=False) if number else first
            notes.extend(f"{path.name}: {note}" for note in found.notes)
            yield found
            progress("read", number + 1, len(paths))

    names = labels or _names(paths)
    row = photo.side_by_side(zip(names, read(), strict=True), columns, size)
    progress("write")
    photo.write(row, target, overwrite=overwrite, quality=quality)
    return CompareReport(target, tuple(notes))


def _check(photos: int, labels: int, columns: int, size: int | None) -> None:
    if photos < 2:
        raise PhotostyleError("Give at least two photos to compare.")
    if labels not in (0, photos):
        raise PhotostyleError(f"Give a label for each of the {photos} photos, or none.")
    if columns < 1 or (size is not None and size < 1):
        raise PhotostyleError("The columns and the size must be at least 1.")


def _names(paths: Sequence[Path]) -> list[str]:
    """Names that differ, as short as possible: without extension, with it, or with the folder."""
    shorter = ([path.stem for path in paths], [path.name for path in paths])
    names = next((one for one in shorter if len({*one}) == len(one)), [str(path) for path in paths])
    return [os.fsencode(name).decode(errors="replace") for name in names]

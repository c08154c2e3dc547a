"""What a batch is to do: every content with its style, and the file that each result goes to."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

from photostyle.errors import PhotostyleError
from photostyle.jobs import storage
from photostyle.jobs.styles import SUFFIX

Entry = str | tuple[str, float]
"""The name of a style, perhaps with its weight."""

Kind = Literal["photo", "clip"]


@dataclass(frozen=True)
class Task:
    """A file to stylize: paths or URLs; style: one, or several that are mixed."""

    content: PurePath
    style: tuple[Entry, ...]
    output: PurePath
    kind: Kind


@dataclass(frozen=True)
class Plan:
    """The tasks of a batch; the columns of its grid, if any; names of files that are neither."""

    tasks: tuple[Task, ...]
    columns: tuple[str, ...]
    ignored: tuple[str, ...]


def plan(
    contents: PurePath, styles: Sequence[Entry], folder: PurePath, *, grid: bool = False
) -> Plan:
    """The tasks for all photos and clips below a folder, in the order of their names.

    styles: one for all contents, or several that are mixed. A single folder of styles: each content
    takes the style at the same place with the same name, apart from the extension. grid: every
    content takes every style, one by one, also of folders.

    Raises PhotostyleError if a folder cannot be read or holds nothing to stylize, contents have no
    style, a style does not exist, or two results would have one name.
    """
    for style in styles:
        name = style if isinstance(style, str) else style[0]
        path = storage.place(name)
        if isinstance(path, Path) and not path.exists():
            raise PhotostyleError(f"{name!r} cannot be read: No such file or directory.")
    found, ignored = _contents(contents, folder)
    if not found:
        raise PhotostyleError(f"The folder {str(contents)!r} has no photos or clips.")
    listed = list(_all_styles(styles)) if grid else []
    single = storage.place(styles[0]) if len(styles) == 1 and isinstance(styles[0], str) else None
    chosen: list[list[tuple[Entry, ...]]]
    if grid:
        chosen = [[(name,) for name in listed] for _ in found]
    elif single and storage.is_folder(single):
        chosen = [[(style,)] for style in _styles_by_name(contents, [p for p, _ in found], single)]
    else:
        chosen = [[tuple(styles)] for _ in found]
    tasks = [
        Task(path, style, _output(contents, path, kind, folder, style if grid else ()), kind)
        for (path, kind), each in zip(found, chosen, strict=True)
        for style in each
    ]
    _check_names(tasks)
    return Plan(tuple(tasks), tuple(Path(name).stem for name in listed), tuple(ignored))


def _contents(folder: PurePath, results: PurePath) -> tuple[list[tuple[PurePath, Kind]], list[str]]:
    """The photos and clips below a folder, and the names of other files; not of the results."""
    found: list[tuple[PurePath, Kind]] = []
    ignored: list[str] = []
    for path in _files(folder, skipped=results):
        kind = _kind(path)
        if kind:
            found.append((path, kind))
        else:
            ignored.append(path.name)
    return found, ignored


def _files(folder: PurePath, skipped: PurePath | None = None) -> Iterator[PurePath]:
    """All files below a folder by name, without hidden ones and those below ``skipped``."""

    def failed(error: OSError) -> None:
        raise PhotostyleError(
            f"The folder {str(error.filename)!r} cannot be read: {error.strerror or error}."
        ) from error

    if not storage.is_folder(folder):
        raise PhotostyleError(
            f"{str(folder)!r} is not a folder; use `photostyle image` or `video`."
        )
    if isinstance(folder, storage.RemotePath):
        for file in storage.files_at(folder):
            hidden = any(part.startswith(".") for part in file.relative_to(folder).parts)
            if not hidden and (skipped == folder or skipped not in file.parents):
                yield file
        return
    for root, folders, names in os.walk(folder, onerror=failed):
        here = Path(root)
        folders[:] = sorted(
            name for name in folders if not name.startswith(".") and not _same(here / name, skipped)
        )
        yield from (here / name for name in sorted(names) if not name.startswith("."))


def _same(path: Path, other: PurePath | None) -> bool:
    return isinstance(other, Path) and other.exists() and path.samefile(other)


def _kind(path: PurePath) -> Kind | None:
    from photostyle.photo import has_photo_suffix
    from photostyle.video import CLIP_SUFFIXES

    if path.suffix.lower() in CLIP_SUFFIXES:
        return "clip"
    return "photo" if has_photo_suffix(path) else None


def _is_style(path: PurePath) -> bool:
    return path.suffix.lower() == SUFFIX or _kind(path) == "photo"


def _all_styles(styles: Sequence[Entry]) -> Iterator[str]:
    """The styles of a grid, those in folders one by one."""
    for style in styles:
        if isinstance(style, tuple):
            raise PhotostyleError("The styles of a grid are not mixed; give them without weights.")
        path = storage.place(style)
        if not storage.is_folder(path):
            yield style
            continue
        inside = [str(file) for file in _files(path) if _is_style(file)]
        if not inside:
            raise PhotostyleError(f"The folder {style!r} has no styles.")
        yield from inside


def _styles_by_name(
    contents: PurePath, found: Sequence[PurePath], styles: PurePath
) -> Iterator[str]:
    """For each content the style of its name."""
    named = {
        file.relative_to(styles).with_suffix(""): str(file)
        for file in _files(styles)
        if _is_style(file)
    }
    missing = [p for p in found if p.relative_to(contents).with_suffix("") not in named]
    if missing:
        names = ", ".join(path.name for path in missing[:3]) + (", ..." if missing[3:] else "")
        raise PhotostyleError(
            f"{len(missing)} of {len(found)} files have no style of their name in {str(styles)!r}: "
            f"{names}. For one style from all photos of a folder, learn it with `photostyle style "
            "learn`; for every content with every style, give --grid."
        )
    yield from (named[path.relative_to(contents).with_suffix("")] for path in found)


def _output(
    contents: PurePath, path: PurePath, kind: Kind, folder: PurePath, style: tuple[Entry, ...]
) -> PurePath:
    """The file for a result: at the content's place, with its name and perhaps the style's."""
    from photostyle.photo import format_of
    from photostyle.video import CONTAINERS

    suffix = path.suffix
    if kind == "clip":
        suffix = suffix if suffix.lower() in CONTAINERS else ".mp4"
    else:
        try:
            format_of(path)
        except PhotostyleError:
            suffix = ".tif"  # holds the bits of raw photos and the transparency of the others
    added = "".join(f"-{Path(str(one)).stem}" for one in style)
    place = folder / path.relative_to(contents).parent
    return place / f"{path.stem}{added}{suffix}"


def _check_names(tasks: Sequence[Task]) -> None:
    taken: dict[str, PurePath] = {}
    for task in tasks:
        name = str(task.output).casefold()  # as on file systems that ignore the case
        if name in taken:
            raise PhotostyleError(
                f"{str(taken[name])!r} and {str(task.content)!r} would both be written to "
                f"{str(task.output)!r}; rename one of them, or its style."
            )
        taken[name] = task.content

"""Stylizes all photos and clips of a folder, in several processes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, suppress
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from photostyle.errors import PhotostyleError
from photostyle.files import as_path
from photostyle.jobs import input_space as input_spaces
from photostyle.jobs import storage
from photostyle.jobs.batch_journal import Journal
from photostyle.jobs.batch_plan import Entry, Plan, Task, plan
from photostyle.jobs.batch_pool import Running, run_here, run_in_processes
from photostyle.jobs.batch_worker import MEMORY, Job, Outcome, Settings, Status
from photostyle.jobs.photo import ProfileChoice, check_options
from photostyle.jobs.progress import Progress, silent
from photostyle.jobs.report import Result, check_page, shown, side, write_page
from photostyle.transfer.options import Keep, Match, Mode, Temporal

if TYPE_CHECKING:
    from photostyle.jobs.batch_ray import Cluster

    File = str | os.PathLike[str]

SHEET = "contact-sheet.jpg"
"""Name of the contact sheet of a grid."""


@dataclass(frozen=True)
class FileReport:
    """What became of one file. seconds: wall-clock time; error: why it failed."""

    content: str
    style: str
    output: str
    status: Status
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch.

    sheet: the contact sheet of a grid. page: the report to look at, if any. notes: sentences on all
    of it.
    """

    folder: PurePath
    files: tuple[FileReport, ...]
    sheet: PurePath | None
    page: Path | None
    notes: tuple[str, ...]

    @property
    def failures(self) -> list[FileReport]:
        return [file for file in self.files if file.status == "failed"]


def stylize_folder(
    contents: File,
    style: Entry | Sequence[Entry],
    output: File | None = None,
    *,
    grid: bool = False,
    model: str = "photonas",
    device: str = "auto",
    strength: float = 1.0,
    match: Match = "auto",
    keep: Keep = "none",
    input_space: str | None = None,
    mode: Mode = "auto",
    profile: ProfileChoice = "keep",
    quality: int | None = None,
    strip_metadata: bool = False,
    temporal: Temporal = "shot",
    codec: str | None = None,
    crf: int = 18,
    jobs: int | None = None,
    ray: str | None = None,
    resume: bool = False,
    report: File | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    each: Callable[[FileReport], None] = lambda _: None,
) -> BatchReport:
    """Give all photos and clips below the folder ``contents`` the colours and tones of ``style``.

    The results keep the names of the contents and their places below the folder ``output``; None is
    CONTENTS-STYLE in the current folder. A file that fails does not stop the others. Contents,
    styles and output may be URLs, see `photostyle.jobs.storage`.

    style: as in `stylize_photo`, but a folder holds a style for each content, at the same place and
    with the same name. grid: every content with every style instead, those in folders one by one;
    results are named CONTENT-STYLE, and a contact sheet shows them all. model: a bundled name or a
    weights file. device, strength, match, keep, input_space, mode, profile, quality,
    strip_metadata: as in `stylize_photo`; temporal, codec, crf: as in `stylize_clip`. jobs: number
    of processes, None for one per core as far as the memory allows, and one for a GPU. ray: the
    address of a Ray cluster whose cores or GPUs do the work, or "auto"; see
    `photostyle.jobs.batch_ray`. resume: skip what an earlier batch has made of the same contents
    and styles with the same settings, and replace what it has left. report: also write a page to
    look at the photos (see `photostyle.jobs.report`). overwrite: replace existing files. progress:
    a `Progress`, called with the number of files that are done. each: called with the report on
    each file.

    Raises PhotostyleError as `photostyle.jobs.batch_plan.plan` does, if an option is invalid or the
    model cannot be loaded, or if the folder of results cannot be made.
    """
    check_options("auto", quality, profile, match, keep)
    input_spaces.named(input_space)
    page = None if report is None else as_path(report)
    if page:
        check_page(page, overwrite=overwrite)
    source = storage.place(contents)
    styles = [style] if isinstance(style, (str, tuple)) else list(style)
    folder = _default_folder(source, styles) if output is None else storage.place(output)
    options = {"strength": strength, "match": match, "keep": keep, "input_space": input_space}
    settings = Settings(
        model,
        device,
        {
            **options,
            **{"mode": mode, "profile": profile},
            **{"quality": quality, "strip_metadata": strip_metadata},
        },
        {**options, **{"temporal": temporal, "codec": codec, "crf": crf}},
    )
    reports: list[FileReport] = []
    with ExitStack() as stack:
        cluster = stack.enter_context(_connected(ray)) if ray else None
        planned = plan(source, styles, folder, grid=grid)
        total = len(planned.tasks)
        _make_folders(planned.tasks)
        journal = stack.enter_context(closing(Journal(folder)))
        todo = journal.starting(_jobs(planned.tasks, journal, resume, overwrite))
        run = (
            cluster.run(todo, settings, jobs and min(jobs, total))
            if cluster
            else _run_here(todo, settings, jobs, total)
        )
        progress("stylize", 0, total)
        for job, outcome in stack.enter_context(closing(run)):
            if outcome.all_fail:
                raise PhotostyleError(outcome.error)
            if outcome.status == "done":
                journal.finish(job, outcome.key)
            reports.append(_report(job.task, outcome))
            each(reports[-1])
            progress("stylize", len(reports), total)
    reports.sort(key=lambda one: one.output)
    photos = {str(task.output) for task in planned.tasks if task.kind == "photo"}
    made = [one for one in reports if one.status != "failed" and one.output in photos]
    sheet = _write_sheet(planned, folder, {one.output for one in made}) if grid else None
    if page:
        title = f"{_folder_name(source)}: {len(made)} photos"
        known = {**settings.photo, "model": Path(model).stem}
        shown_settings = {
            name: value for name, value in known.items() if value not in (None, False)
        }
        write_page(_results(made), page, title=title, settings=shown_settings, overwrite=overwrite)
    return BatchReport(folder, tuple(reports), sheet, page, tuple(_notes(planned)))


def _connected(address: str) -> AbstractContextManager[Cluster]:
    from photostyle.jobs.batch_ray import connected

    return connected(address)


def _jobs(tasks: Iterable[Task], journal: Journal, resume: bool, overwrite: bool) -> Iterator[Job]:
    for task in tasks:
        replace = overwrite or (resume and journal.is_ours(task))
        yield Job(task, replace, journal.key(task) if resume else "")


def _run_here(todo: Iterable[Job], settings: Settings, jobs: int | None, total: int) -> Running:
    """Run jobs on this machine, in one process or several, which share its cores."""
    count = max(1, min(jobs or _default_jobs(settings.device), total))
    if count == 1:
        return run_here(todo, settings)
    threads = max(1, (os.cpu_count() or 1) // count)
    return run_in_processes(todo, replace(settings, threads=threads), count)


def _default_folder(contents: PurePath, styles: Sequence[Entry]) -> Path:
    names = [one if isinstance(one, str) else one[0] for one in styles]
    return Path("-".join([_folder_name(contents), *(Path(name).stem for name in names)]))


def _folder_name(folder: PurePath) -> str:
    return (folder.resolve() if isinstance(folder, Path) else folder).name


def _default_jobs(device: str) -> int:
    """One process per core, as far as the memory allows; one for a GPU."""
    if device != "auto" or _may_have_gpu():
        from photostyle.transfer.stylizer import choose_device

        if choose_device(device).type != "cpu":
            return 1
    return max(1, min(os.cpu_count() or 1, _free_memory() // MEMORY))


def _may_have_gpu() -> bool:
    """Whether to ask torch, whose import takes a second, for a GPU: CUDA comes with the driver."""
    if not sys.platform.startswith("linux") or "+rocm" in metadata.version("torch"):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def _free_memory() -> int:
    """Bytes that programs can have without swapping; more than enough where it is not known."""
    with suppress(OSError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        return 1024 * int(
            next(line for line in lines if line.startswith("MemAvailable")).split()[1]
        )
    return sys.maxsize


def _make_folders(tasks: Iterable[Task]) -> None:
    for folder in sorted({task.output.parent for task in tasks}):
        if not isinstance(folder, Path):
            continue  # an upload makes the folders that it needs
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PhotostyleError(
                f"The folder {str(folder)!r} cannot be made: {error.strerror or error}."
            ) from error


def _notes(planned: Plan) -> Iterator[str]:
    if planned.ignored:
        names = ", ".join(planned.ignored[:3]) + (", ..." if planned.ignored[3:] else "")
        count = len(planned.ignored)
        said = "1 file is neither a photo nor a clip"
        yield f"{said if count == 1 else f'{count} files are neither photos nor clips'}: {names}."


def _report(task: Task, outcome: Outcome) -> FileReport:
    names = [one if isinstance(one, str) else f"{one[0]}:{one[1]:g}" for one in task.style]
    return FileReport(
        str(task.content),
        " ".join(names),
        str(task.output),
        outcome.status,
        outcome.seconds,
        outcome.notes,
        outcome.error,
    )


def _results(made: Sequence[FileReport]) -> Iterator[Result]:
    """What a page shows of photos, which are read one by one."""
    size = side(len(made))
    for one in made:
        before, after = (_shown(name, size) for name in (one.content, one.output))
        seconds = {} if one.status == "skipped" else {"seconds": one.seconds}
        yield Result(Path(one.output).name, before, after, figures=seconds, notes=one.notes)


def _shown(name: str, size: int) -> Any:
    """The pixels of a photo, (h, w, 3), reduced to be shown; size: of the long side."""
    from photostyle import photo

    with storage.fetched(storage.place(name)) as file:
        return shown(photo.read(file, still=True, metadata=False), size)


def _write_sheet(planned: Plan, folder: PurePath, made: Container[str]) -> PurePath | None:
    """Write the contact sheet of a grid: a row for each photo, which begins with the photo.

    Results that failed, and are not among those made, are white.
    """
    import numpy as np

    from photostyle.photo.contact_sheet import HEIGHT, save_sheet, thumbnail

    def small(path: PurePath) -> Any:
        return thumbnail(_shown(str(path), 2 * HEIGHT))

    rows, captions = [], []
    width = len(planned.columns)
    for first in range(0, len(planned.tasks), width):
        tasks = planned.tasks[first : first + width]
        if not any(str(task.output) in made for task in tasks):
            continue
        first_cell = small(tasks[0].content)
        blank = np.full_like(first_cell, 255)
        cells = [small(t.output) if str(t.output) in made else blank for t in tasks]
        rows.append([first_cell, *cells])
        captions.append(f"{tasks[0].content.name}: {', '.join(planned.columns)}")
    if not rows:
        return None
    sheet = folder / SHEET
    with storage.uploaded(sheet, overwrite=True, inputs=()) as file:
        save_sheet(rows, file, captions)
    return sheet

"""Stylizes all photos and clips of a folder, in several processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from photostyle.errors import PhotostyleError, is_out_of_memory
from photostyle.files import as_path
from photostyle.jobs.batch_plan import Entry, Plan, Task, plan
from photostyle.jobs.clip import ClipReport, stylize_clip
from photostyle.jobs.models import load_stylizer
from photostyle.jobs.photo import PhotoReport, ProfileChoice, check_options, stylize_photo
from photostyle.jobs.progress import Progress, silent
from photostyle.jobs.report import Result, check_page, shown, side, write_page
from photostyle.jobs.styles import StyleInputs
from photostyle.openmp import limit_spinning
from photostyle.transfer.options import Keep, Match, Mode, Temporal

if TYPE_CHECKING:
    from photostyle.transfer.stylizer import Stylizer

    File = str | os.PathLike[str]

JOURNAL = ".photostyle-batch.jsonl"
"""Name of the file in the folder of results that says what was made of what, for --resume."""

SHEET = "contact-sheet.jpg"
"""Name of the contact sheet of a grid."""

MEMORY = 2 << 30
"""Bytes that a process may need."""

Status = Literal["done", "skipped", "failed"]


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

    folder: Path
    files: tuple[FileReport, ...]
    sheet: Path | None
    page: Path | None
    notes: tuple[str, ...]

    @property
    def failures(self) -> list[FileReport]:
        return [file for file in self.files if file.status == "failed"]


@dataclass(frozen=True)
class _Settings:
    """What decides the results beside contents and styles."""

    model: str
    device: str
    photo: Mapping[str, Any]
    clip: Mapping[str, Any]
    threads: int

    @property
    def key(self) -> dict[str, Any]:
        from photostyle.model.checkpoint import identify
        from photostyle.version import __version__

        model = self.model if self.model == "none" else identify(self.model)
        return {"version": __version__, "model": model, "photo": self.photo, "clip": self.clip}


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
    mode: Mode = "auto",
    profile: ProfileChoice = "keep",
    quality: int | None = None,
    strip_metadata: bool = False,
    temporal: Temporal = "shot",
    codec: str | None = None,
    crf: int = 18,
    jobs: int | None = None,
    resume: bool = False,
    report: File | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
    each: Callable[[FileReport], None] = lambda _: None,
) -> BatchReport:
    """Give all photos and clips below the folder ``contents`` the colours and tones of ``style``.

    The results keep the names of the contents and their places below the folder ``output``; None is
    CONTENTS-STYLE in the current folder. A file that fails does not stop the others.

    style: as in `stylize_photo`, but a folder holds a style for each content, at the same place and
    with the same name. grid: every content with every style instead, those in folders one by one;
    results are named CONTENT-STYLE, and a contact sheet shows them all. model: a bundled name or a
    weights file. device, strength, match, keep, mode, profile, quality, strip_metadata:
    as in `stylize_photo`; temporal, codec, crf: as in `stylize_clip`. jobs: number of processes,
    None for one per core as far as the memory allows, and one for a GPU. resume: skip what an
    earlier batch has made of the same contents and styles with the same settings, and replace what
    it has left. report: also write a page to look at the photos (see `photostyle.jobs.report`).
    overwrite: replace existing files. progress: a `Progress`, called with the number of files that
    are done. each: called with the report on each file.

    Raises PhotostyleError as `photostyle.jobs.batch_plan.plan` does, if an option is invalid or the
    model cannot be loaded, or if the folder of results cannot be made.
    """
    check_options("auto", quality, profile, match, keep)
    page = None if report is None else as_path(report)
    if page:
        check_page(page, overwrite=overwrite)
    source = as_path(contents)
    styles = [style] if isinstance(style, (str, tuple)) else list(style)
    folder = as_path(output) if output is not None else _default_folder(source, styles)
    planned = plan(source, styles, folder, grid=grid)
    count = jobs or _default_jobs(device)
    count = max(1, min(count, len(planned.tasks)))
    stylizer = load_stylizer(model, device)  # raises here, not in each process
    settings = _Settings(
        model,
        device,
        {
            **{"strength": strength, "match": match, "mode": mode, "profile": profile},
            **{"keep": keep, "quality": quality, "strip_metadata": strip_metadata},
        },
        {
            **{"strength": strength, "match": match, "keep": keep, "temporal": temporal},
            **{"codec": codec, "crf": crf},
        },
        threads=max(1, (os.cpu_count() or 1) // count),
    )
    _make_folders(planned.tasks)
    journal = _Journal(folder, settings)
    reports: list[FileReport] = []

    def add(one: FileReport) -> None:
        reports.append(one)
        each(one)
        progress("stylize", len(reports), len(planned.tasks))

    progress("stylize", 0, len(planned.tasks))
    waiting = []
    for task in planned.tasks:
        if resume and journal.is_done(task):
            add(_report(task, "skipped"))
        else:
            waiting.append((task, overwrite or (resume and journal.is_ours(task))))
    run = _run_here(waiting, _Worker(settings, stylizer), journal)
    if count > 1:
        run = _run(waiting, settings, count, journal)
    for one in run:
        add(one)
    reports.sort(key=lambda one: one.output)
    sheet = _write_sheet(planned, folder) if planned.columns else None
    if page:
        photos = {str(task.output) for task in planned.tasks if task.kind == "photo"}
        made = [one for one in reports if one.status != "failed" and one.output in photos]
        title = f"{source.resolve().name}: {len(made)} photos"
        known = {**settings.photo, "model": Path(model).stem}
        shown_settings = {
            name: value for name, value in known.items() if value not in (None, False)
        }
        write_page(_results(made), page, title=title, settings=shown_settings, overwrite=overwrite)
    return BatchReport(folder, tuple(reports), sheet, page, tuple(_notes(planned)))


def _default_folder(contents: Path, styles: Sequence[Entry]) -> Path:
    names = [one if isinstance(one, str) else one[0] for one in styles]
    return Path("-".join([contents.resolve().name, *(Path(name).stem for name in names)]))


def _default_jobs(device: str) -> int:
    """One process per core, as far as the memory allows; one for a GPU."""
    from photostyle.transfer.stylizer import choose_device

    if choose_device(device).type != "cpu":
        return 1
    available = os.cpu_count() or 1
    with suppress(AttributeError, ValueError, OSError):  # Windows and macOS do not know them
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
        available = min(available, memory // MEMORY)
    return max(1, available)


def _make_folders(tasks: Iterable[Task]) -> None:
    for folder in sorted({task.output.parent for task in tasks}):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PhotostyleError(
                f"The folder {str(folder)!r} cannot be made: {error.strerror or error}."
            ) from error


def _notes(planned: Plan) -> Iterator[str]:
    if planned.ignored:
        names = ", ".join(planned.ignored[:3]) + (", ..." if planned.ignored[3:] else "")
        yield f"{len(planned.ignored)} files are neither photos nor clips: {names}."


def _report(task: Task, status: Status, **facts: Any) -> FileReport:
    names = [one if isinstance(one, str) else f"{one[0]}:{one[1]:g}" for one in task.style]
    return FileReport(str(task.content), " ".join(names), str(task.output), status, **facts)


class _Journal:
    """What was made of what in a folder of results: one line of JSON for each start and end."""

    def __init__(self, folder: Path, settings: _Settings) -> None:
        self._folder, self._path, self._settings = folder, folder / JOURNAL, settings.key
        self._done: dict[str, str] = {}
        self._known: set[str] = set()
        self._keys: dict[str, str] = {}
        self._style_digest = cache(_digest)  # the same for many contents
        for line in self._lines():
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                self._known.add(entry["output"])
                if entry.get("key"):
                    self._done[entry["output"]] = entry["key"]

    def is_done(self, task: Task) -> bool:
        """Whether the output exists and was made of the same content and style, alike."""
        if not task.output.is_file():
            return False
        try:
            return self._done.get(self._name(task)) == self._key(task)
        except PhotostyleError:  # the task will say what is wrong
            return False

    def is_ours(self, task: Task) -> bool:
        """Whether the output was written by a batch, or was about to be."""
        return self._name(task) in self._known

    def start(self, task: Task) -> None:
        """Note that an output will be written, and what it is made of before the work."""
        name = self._name(task)
        with suppress(PhotostyleError):  # the task will say what is wrong
            self._keys[name] = self._key(task)
        self._append({"output": name})

    def finish(self, task: Task) -> None:
        name = self._name(task)
        if name in self._keys:
            self._append({"output": name, "key": self._keys.pop(name)})

    def _name(self, task: Task) -> str:
        return os.fsencode(task.output.relative_to(self._folder)).decode(errors="backslashreplace")

    def _key(self, task: Task) -> str:
        names = [one if isinstance(one, str) else one[0] for one in task.style]
        digests = [self._style_digest(path) for name in names for path in _style_files(Path(name))]
        weights = [1.0 if isinstance(one, str) else one[1] for one in task.style]
        facts = [_digest(task.content), digests, weights, self._settings]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _lines(self) -> list[str]:
        try:
            return self._path.read_text(errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise PhotostyleError(
                f"{str(self._path)!r} cannot be read: {error.strerror or error}."
            ) from error

    def _append(self, entry: Mapping[str, str]) -> None:
        try:
            # It starts on a line of its own, also after one that a kill has cut off.
            with self._path.open("a") as file:
                file.write("\n" + json.dumps(entry) + "\n")
        except OSError as error:
            raise PhotostyleError(
                f"{str(self._path)!r} cannot be written: {error.strerror or error}."
            ) from error


def _style_files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.is_file()) if path.is_dir() else [path]


def _digest(path: Path) -> str:
    """SHA-256 of a file, which may be larger than the memory."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise PhotostyleError(
            f"{str(path)!r} cannot be read: {error.strerror or error}."
        ) from error
    return digest.hexdigest()


Waiting = list[tuple[Task, bool]]
"""Tasks, and whether the output may be replaced."""


def _run(
    waiting: Waiting, settings: _Settings, count: int, journal: _Journal
) -> Iterator[FileReport]:
    """Run tasks in ``count`` processes; reports come in the order of their ends.

    A process that dies takes all others of its pool with it; what they were doing is done again in
    a new pool, one by one, to find the file that it died of.
    """
    left, alone = list(waiting), False
    while left:
        lost: Waiting = []
        yield from _run_pool(left, lost, settings, 1 if alone else count, journal)
        if alone and lost:
            task, _ = lost.pop(0)
            yield _report(task, "failed", error="The process that worked on it died.")
        left, alone = lost, bool(lost)


def _run_here(waiting: Waiting, worker: _Worker, journal: _Journal) -> Iterator[FileReport]:
    """Run tasks in this process."""
    for task, may_replace in waiting:
        journal.start(task)
        report = worker.work(task, may_replace)
        if report.status == "done":
            journal.finish(task)
        yield report


def _run_pool(
    waiting: Waiting, lost: Waiting, settings: _Settings, count: int, journal: _Journal
) -> Iterator[FileReport]:
    """Run tasks in one pool, until it breaks; the tasks that it has not ended go to ``lost``."""
    pool = ProcessPoolExecutor(
        count, get_context("spawn"), initializer=_start, initargs=(settings,)
    )
    running: dict[Future[FileReport], tuple[Task, bool]] = {}
    remaining = iter(waiting)
    try:
        while True:
            # One more than there are processes, so that none waits; but only one in a search.
            while (
                not lost
                and len(running) < count + (count > 1)
                and (next_one := next(remaining, None))
            ):
                journal.start(next_one[0])
                running[pool.submit(_work, *next_one)] = next_one
            if not running:
                return
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                task, may_replace = running.pop(future)
                try:
                    report = future.result()
                except BrokenProcessPool:
                    lost.append((task, may_replace))
                    continue
                if report.status == "done":
                    journal.finish(task)
                yield report
            if lost:
                lost += [*running.values(), *remaining]
                return
    finally:
        for process in list((pool._processes or {}).values()):
            if running:  # an exception: nobody waits for them any more
                process.terminate()
        pool.shutdown(cancel_futures=True)


@dataclass
class _Worker:
    """What a process keeps from file to file."""

    settings: _Settings
    stylizer: Stylizer
    styles: dict[tuple[Entry, ...], StyleInputs] = field(default_factory=dict)

    def work(self, task: Task, may_replace: bool) -> FileReport:
        """Stylize a file; may_replace: whether an existing output may be replaced."""
        start, settings = time.perf_counter(), self.settings
        stylize: Callable[..., PhotoReport | ClipReport]
        options: Mapping[str, Any]
        stylize, options = stylize_photo, settings.photo
        if task.kind == "clip":
            stylize, options = stylize_clip, settings.clip
        try:
            style = self._inputs(task.style)
            options = {**options, "model": self.stylizer, "overwrite": may_replace}
            notes = stylize(task.content, style, task.output, **options).notes
        except PhotostyleError as error:
            return _report(task, "failed", seconds=time.perf_counter() - start, error=str(error))
        except Exception as error:  # also a bug stops only its file
            text = f"Unexpected {type(error).__name__}: {error}"
            text = "There is not enough memory." if is_out_of_memory(error) else text
            return _report(task, "failed", seconds=time.perf_counter() - start, error=text)
        return _report(task, "done", seconds=time.perf_counter() - start, notes=notes)

    def _inputs(self, style: tuple[Entry, ...]) -> StyleInputs:
        """A style that is read, and learned, once."""
        if style not in self.styles:
            if len(self.styles) >= _KEPT:
                self.styles.pop(next(iter(self.styles)))
            self.styles[style] = StyleInputs(list(style))
        return self.styles[style]


_KEPT = 16
"""Number of styles that a process keeps."""

_worker: _Worker


def _start(settings: _Settings) -> None:
    """Prepare a process: its threads share the cores with those of the other processes."""
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends them
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    limit_spinning(beside_others=True)
    from photostyle.allocator import keep_freed_memory

    keep_freed_memory()
    _worker = _Worker(settings, load_stylizer(settings.model, settings.device))


def _work(task: Task, may_replace: bool) -> FileReport:
    """Stylize a file in a process that `_start` has prepared."""
    return _worker.work(task, may_replace)


def _results(made: Sequence[FileReport]) -> Iterator[Result]:
    """What a page shows of photos, which are read one by one."""
    from photostyle import photo

    size = side(len(made))
    for one in made:
        before, after = (
            shown(photo.read(Path(name), still=True, metadata=False), size)
            for name in (one.content, one.output)
        )
        seconds = {} if one.status == "skipped" else {"seconds": one.seconds}
        yield Result(Path(one.output).name, before, after, figures=seconds, notes=one.notes)


def _write_sheet(planned: Plan, folder: Path) -> Path | None:
    """Write the contact sheet of a grid: a row for each photo, which begins with the photo.

    Results that failed are white.
    """
    import numpy as np

    from photostyle import photo
    from photostyle.photo.contact_sheet import HEIGHT, save_sheet, thumbnail

    def small(path: Path) -> Any:
        return thumbnail(shown(photo.read(path, still=True), 2 * HEIGHT))

    rows, captions = [], []
    width = len(planned.columns)
    for first in range(0, len(planned.tasks), width):
        tasks = planned.tasks[first : first + width]
        if not any(task.kind == "photo" and task.output.is_file() for task in tasks):
            continue
        with suppress(PhotostyleError):  # what cannot be read has failed already
            first_cell = small(tasks[0].content)
            blank = np.full_like(first_cell, 255)
            cells = [small(t.output) if t.output.is_file() else blank for t in tasks]
            rows.append([first_cell, *cells])
            captions.append(f"{tasks[0].content.name}: {', '.join(planned.columns)}")
    if not rows:
        return None
    sheet = folder / SHEET
    save_sheet(rows, sheet, captions)
    return sheet

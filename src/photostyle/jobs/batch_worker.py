"""What a process of a batch does, on this machine or in a cluster: one file after another."""

from __future__ import annotations

import gc
import hashlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from photostyle.errors import PhotostyleError, is_out_of_memory
from photostyle.jobs import storage
from photostyle.jobs.batch_plan import Entry, Task
from photostyle.jobs.clip import ClipReport, stylize_clip
from photostyle.jobs.models import load_stylizer
from photostyle.jobs.photo import PhotoReport, stylize_photo
from photostyle.jobs.styles import StyleInputs
from photostyle.openmp import limit_spinning

if TYPE_CHECKING:
    from photostyle.transfer.stylizer import Stylizer

MEMORY = 2 << 30
"""Bytes that a process may need."""

KEPT = 16
"""Number of styles that a process keeps."""

Status = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class Settings:
    """What workers are told once.

    photo, clip: options of `stylize_photo` and `stylize_clip`. threads: of each process.
    """

    model: str
    device: str
    photo: Mapping[str, Any]
    clip: Mapping[str, Any]
    threads: int = 1


@dataclass(frozen=True)
class Job:
    """A task for a worker.

    replace: whether the output may exist. made_of: the key of what an existing output was made of,
    which is kept if it is still that.
    """

    task: Task
    replace: bool = False
    made_of: str = ""


@dataclass(frozen=True)
class Outcome:
    """What became of a job.

    key: what the output was made of, see `Worker.key`. all_fail: whether the error is that of the
    model or the device, and no job can be done.
    """

    status: Status
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    error: str = ""
    key: str = ""
    all_fail: bool = False


class _CannotWork(PhotostyleError):
    """What is wrong concerns all jobs."""


@contextmanager
def _for_all_jobs() -> Iterator[None]:
    try:
        yield
    except PhotostyleError as error:
        raise _CannotWork(str(error)) from error


class Worker:
    """Stylizes files with one network, and keeps styles from file to file."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._inputs = lru_cache(KEPT)(_read_styles)
        self._digests = lru_cache(KEPT)(_style_digests)

    @cached_property
    def _stylizer(self) -> Stylizer:
        gc.disable()  # it searches, in vain, what torch imports
        try:
            with _for_all_jobs():
                return load_stylizer(self._settings.model, self._settings.device)
        finally:
            gc.enable()

    @cached_property
    def _facts(self) -> dict[str, Any]:
        """What of the settings decides a result."""
        from photostyle.model.checkpoint import identify
        from photostyle.version import __version__

        model = self._settings.model
        with _for_all_jobs():
            weights = model if model == "none" else identify(model)
        return {
            **{"version": __version__, "model": weights},
            **{"photo": self._settings.photo, "clip": self._settings.clip},
        }

    def work(self, job: Job) -> Outcome:
        """Stylize a file; what goes wrong is in the outcome."""
        start = time.perf_counter()
        try:
            return self._work(job, start)
        except _CannotWork as error:
            return Outcome("failed", error=str(error), all_fail=True)
        except PhotostyleError as error:
            text = str(error)
        except Exception as error:  # also a bug stops only its file
            text = f"Unexpected {type(error).__name__}: {error}"
            text = "There is not enough memory." if is_out_of_memory(error) else text
        return Outcome("failed", time.perf_counter() - start, error=text)

    def key(self, content: Path, style: tuple[Entry, ...]) -> str:
        """A digest of the content, the styles and the settings: of what decides the result."""
        weights = [1.0 if isinstance(one, str) else one[1] for one in style]
        digests = [digest for one in style for digest in self._digests(_name(one))]
        facts = [_digest(content), digests, weights, self._facts]
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()

    def _work(self, job: Job, start: float) -> Outcome:
        task = job.task
        stylize: Callable[..., PhotoReport | ClipReport]
        stylize, options = stylize_photo, self._settings.photo
        if task.kind == "clip":
            stylize, options = stylize_clip, self._settings.clip
        inputs = (task.content, *(storage.place(_name(one)) for one in task.style))
        with ExitStack() as files:
            content = files.enter_context(storage.fetched(task.content))
            key = self.key(content, task.style)  # before the work, during which it can change
            if job.made_of == key and storage.is_file(task.output):
                return Outcome("skipped", key=key)
            before = time.perf_counter()
            options = {**options, "model": self._stylizer, "overwrite": job.replace}
            start += time.perf_counter() - before
            output = storage.uploaded(task.output, overwrite=job.replace, inputs=inputs)
            target = files.enter_context(output)
            notes = stylize(content, self._inputs(task.style), target, **options).notes
        # The output is uploaded by now.
        return Outcome("done", time.perf_counter() - start, notes, key=key)


def prepared(settings: Settings) -> Worker:
    """The worker of a new process, whose threads share the cores with those of others."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the first process ends it
    os.environ["OMP_NUM_THREADS"] = str(settings.threads)
    limit_spinning(beside_others=True)
    from photostyle.allocator import keep_freed_memory

    keep_freed_memory()
    return Worker(settings)


def _name(entry: Entry) -> str:
    return entry if isinstance(entry, str) else entry[0]


def _read_styles(style: tuple[Entry, ...]) -> StyleInputs:
    """The styles of a task, read as far as that needs no network."""
    with ExitStack() as copies:

        def local(name: str) -> Path:
            return copies.enter_context(storage.fetched(storage.place(name)))

        read = StyleInputs(
            [local(one) if isinstance(one, str) else (local(one[0]), one[1]) for one in style]
        )
    read.paths = [path for path in read.paths if path.exists()]  # the copies are gone
    return read


def _style_digests(name: str) -> list[str]:
    """The digest of a style, or those of the files of a folder of styles."""
    with storage.fetched(storage.place(name)) as path:
        return [_digest(file) for file in _style_files(path)]


def _style_files(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        yield path
        return
    yield from sorted(file for file in path.iterdir() if file.is_file())


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

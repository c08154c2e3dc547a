"""The record of a batch in its folder of results, for --resume."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from uuid import uuid4

from photostyle.errors import PhotostyleError
from photostyle.jobs import storage
from photostyle.jobs.batch_plan import Task
from photostyle.jobs.batch_worker import Job
from photostyle.jobs.storage import RemotePath

JOURNAL = ".photostyle-batch.jsonl"
"""Name of the record: a file, or at a URL a folder of files, because nothing can be appended."""

BLOCK = 1000
"""Number of tasks that are noted at once at a URL."""

INTERVAL = 10.0
"""Seconds after which what is done is noted at a URL."""


class Journal:
    """What was made of what: one line of JSON for each start and end.

    Raises PhotostyleError if the record cannot be read or written.
    """

    def __init__(self, folder: Path | RemotePath) -> None:
        self._folder = folder
        self._done: dict[str, str] = {}
        self._known: set[str] = set()
        self._existing: set[PurePath] | None = None
        self._unwritten: list[str] = []
        self._written = time.monotonic()
        for line in self._read():
            with suppress(ValueError, KeyError, TypeError):
                entry = json.loads(line)
                self._known.add(entry["output"])
                if entry.get("key"):
                    self._done[entry["output"]] = entry["key"]

    def key(self, task: Task) -> str:
        """What the output of a task was made of, by `Worker.key`; empty if it is not known."""
        return self._done.get(self._name(task), "")

    def is_ours(self, task: Task) -> bool:
        """Whether the output was written by a batch, or was about to be."""
        return self._name(task) in self._known

    def starting(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs, whose outputs are noted before they are given out.

        An output that exists and may not be replaced is not ours.
        """
        remaining = iter(jobs)
        while block := list(islice(remaining, 1 if isinstance(self._folder, Path) else BLOCK)):
            mine = (job.task for job in block if job.replace or not self._exists(job.task.output))
            self._note([{"output": self._name(task)} for task in mine])
            self._write()
            yield from block

    def finish(self, job: Job, key: str) -> None:
        """Note that the output of a job is complete, and what it was made of."""
        self._note([{"output": self._name(job.task), "key": key}])
        if isinstance(self._folder, Path) or time.monotonic() - self._written > INTERVAL:
            self._write()

    def close(self) -> None:
        """Write what is not written yet."""
        self._write()

    def _name(self, task: Task) -> str:
        return os.fsencode(task.output.relative_to(self._folder)).decode(errors="backslashreplace")

    def _exists(self, output: PurePath) -> bool:
        if isinstance(self._folder, Path):
            return os.path.lexists(output)
        if self._existing is None:
            self._existing = set(storage.files_at(self._folder))
        return output in self._existing

    def _read(self) -> Iterator[str]:
        path = self._folder / JOURNAL
        files = [path] if isinstance(path, Path) else storage.files_at(path)
        for file in files:
            yield from (storage.read(file) or b"").decode(errors="replace").splitlines()

    def _note(self, entries: Iterable[dict[str, str]]) -> None:
        self._unwritten += [json.dumps(entry) for entry in entries]

    def _write(self) -> None:
        if not self._unwritten:
            return
        # It starts on a line of its own, also after one that a kill has cut off.
        text = "\n" + "\n".join(self._unwritten) + "\n"
        path = self._folder / JOURNAL
        if isinstance(path, Path):
            try:
                with path.open("a") as file:
                    file.write(text)
            except OSError as error:
                raise PhotostyleError(
                    f"{str(path)!r} cannot be written: {error.strerror or error}."
                ) from error
        else:
            with TemporaryDirectory(prefix="photostyle-") as folder:
                part = Path(folder, f"{time.time_ns()}-{uuid4().hex}.jsonl")
                part.write_text(text)
                storage.upload(part, path / part.name)
        self._unwritten.clear()
        self._written = time.monotonic()

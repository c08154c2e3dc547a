"""Progress reports of a job, and the time of its phases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """A function that a job calls at the start of each phase and during it.

    phase: name of the phase. done, total: work done and in all, as a fraction of 1 or as a count,
    such as frames; total is None if unknown. detail: text to show beside the phase.
    """

    def __call__(
        self, phase: str, done: float = 0, total: float | None = None, detail: str = "", /
    ) -> None: ...


def silent(_phase: str, _done: float = 0, _total: float | None = None, _detail: str = "") -> None:
    """A `Progress` that shows nothing."""


class Stopwatch:
    """Reports the phases of a job and measures their wall-clock time.

    seconds: time of each phase so far, by name in the order of the phases.
    """

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def __call__(self, phase: str, detail: str = "") -> Iterator[None]:
        """Report a phase and time it; the phase is the block."""
        self._progress(phase, 0, None, detail)
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.seconds[phase] = self.seconds.get(phase, 0.0) + elapsed

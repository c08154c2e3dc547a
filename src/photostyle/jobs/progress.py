"""How a job tells its caller how far it is."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol


class Progress(Protocol):
    """A function that a job calls when a phase begins and while it goes on.

    phase: its name. done of total: a fraction of 1, or a count such as frames; total is None
    where it is unknown. detail: what is worth showing beside the phase.
    """

    def __call__(
        self, phase: str, done: float = 0, total: float | None = None, detail: str = "", /
    ) -> None: ...


def silent(_phase: str, _done: float = 0, _total: float | None = None, _detail: str = "") -> None:
    """Reports to nobody."""


class Stopwatch:
    """Announces the phases of a job and measures their wall-clock time.

    seconds: by phase, in the order of the phases.
    """

    def __init__(self, progress: Progress) -> None:
        self.seconds: dict[str, float] = {}
        self._progress = progress

    @contextmanager
    def __call__(self, phase: str, detail: str = "") -> Iterator[None]:
        """The block is the phase."""
        self._progress(phase, 0, None, detail)
        start = time.perf_counter()
        yield
        elapsed = time.perf_counter() - start
        self.seconds[phase] = self.seconds.get(phase, 0.0) + elapsed

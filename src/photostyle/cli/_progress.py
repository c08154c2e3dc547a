"""The progress bar of all commands: on stderr, only on a terminal, removed when the work is done.

>>> with _progress.bar() as progress:
...     progress("read")  # a phase of unknown length
...     progress("apply", 0.25, 1, "exact")  # a fraction: apply (exact) 25%
...     progress("stylize", 12, 240)  # a count: 12/240, its speed and the time that remains
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from photostyle.jobs.progress import Progress, silent

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID


@contextmanager
def bar(phase: str = "", unit: str = "/s") -> Iterator[Progress]:
    """A `Progress` for a job to call, which shows a bar: ``progress(phase, done, total, detail)``.

    phase: shown from the start, as by ``progress(phase)``. unit: printed after the speed of a
    count. A new phase begins a new bar; the last one is removed when the block ends. Does nothing,
    and imports nothing, if stderr is not a terminal.
    """
    if not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[figures]}"),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        shown = _Shown(bars, unit)
        if phase:
            shown(phase)
        yield shown


class _Shown:
    """A `Progress` that is shown on a terminal, one phase at a time."""

    def __init__(self, bars: Bars, unit: str) -> None:
        self._bars, self._unit = bars, unit
        self._phase: str | None = None
        self._task: TaskID | None = None

    def __call__(
        self, phase: str, done: float = 0, total: float | None = None, detail: str = "", /
    ) -> None:
        text = f"{phase} ({detail})" if detail else phase
        if self._task is None or phase != self._phase:
            if self._task is not None:
                self._bars.refresh()  # show it even if the phase was short
                self._bars.remove_task(self._task)
            self._phase = phase
            self._task = self._bars.add_task(text, total=None, figures="")
        self._bars.update(self._task, description=text, completed=done, total=total)
        self._bars.update(self._task, figures=self._figures(done, total))

    def _figures(self, done: float, total: float | None) -> str:
        """The progress as text: a percentage if the total is 1, else a count and its speed."""
        if total == 1:
            return f"{done:.0%}"
        if not done:
            return ""
        count = f"{done:g}" if total is None else f"{done:g}/{total:g}"
        speed = self._bars.tasks[-1].speed
        return f"{count}  {speed:.1f} {self._unit}" if speed else count

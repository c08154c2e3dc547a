"""The progress bar: shown on a terminal and nowhere else."""

from __future__ import annotations

import re
import sys
from io import StringIO

import pytest

from photostyle.cli import _progress
from photostyle.jobs.progress import Stopwatch, silent


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """The terminal's output without escape sequences."""
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.getvalue())


def test_phases_fractions_and_counts_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with _progress.bar("start", unit="fps") as progress:
        progress("apply", 0.25, 1, "exact")
        progress("count", 3, 12)
        progress("endless", 5)
        progress("end")
    for words in (r"start", r"apply \(exact\) .*25%", r"count .*3/12", r"endless .* 5 ", r"end "):
        assert re.search(words, terminal.text), words
    assert terminal.text.index("start") < terminal.text.index("apply")
    # The last line is erased at the end.
    assert terminal.getvalue().endswith("\x1b[2K")


def test_what_is_no_terminal_sees_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with _progress.bar("start") as progress:
        assert progress is silent
        progress("apply", 0.25, 1, "exact")
    assert stream.getvalue() == ""


def test_a_stopwatch_adds_up_a_phase_that_comes_twice() -> None:
    watch = Stopwatch(silent)
    for phase in ("read", "load", "read"):
        with watch(phase):
            pass
    assert list(watch.seconds) == ["read", "load"]
    assert all(seconds >= 0 for seconds in watch.seconds.values())

"""Measurements in fresh processes."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from photostyle import PhotostyleError, openmp
from photostyle.bench.process import in_fresh_process, peak_memory, run_command


def _allocate(megabytes: int) -> int | None:
    bytearray(b"x") * (megabytes << 20)
    return peak_memory()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _divide() -> float:
    return 1 / 0


def _allocate_too_much() -> None:
    import torch

    torch.empty(1 << 60, dtype=torch.uint8)


def _fail() -> None:
    raise PhotostyleError("The kettle is empty; fill it.")


def test_each_process_has_its_own_peak_memory() -> None:
    large, small = in_fresh_process(_allocate, 600), in_fresh_process(_allocate, 1)
    if large is None or small is None:
        pytest.skip("this system does not report the peak memory")
    assert 500e6 < large - small < 700e6


def test_errors_reach_the_caller() -> None:
    with pytest.raises(PhotostyleError, match="kettle"):
        in_fresh_process(_fail)


def test_running_out_of_memory_is_a_memory_error() -> None:
    with pytest.raises(MemoryError):
        in_fresh_process(_allocate_too_much)


def test_a_process_that_is_killed_is_an_error() -> None:
    with pytest.raises(PhotostyleError, match="memory"):
        in_fresh_process(_die)


def test_a_bug_is_reported_as_a_bug(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="failed"):
        in_fresh_process(_divide)
    assert "ZeroDivisionError" in capfd.readouterr().err


def test_a_command_reports_its_time_memory_and_output() -> None:
    code = "import time; time.sleep(0.2); x = b'x' * (200 << 20); print('done')"
    run = run_command([sys.executable, "-c", code])
    assert run.stdout.strip() == b"done"
    assert 0.2 < run.seconds < 10
    assert run.peak_bytes is None or 200e6 < run.peak_bytes < 400e6


def test_a_command_decides_itself_how_its_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it does for a user, not as the program that measures it has decided."""
    monkeypatch.setattr(openmp, "_set_here", {"GOMP_SPINCOUNT"})
    monkeypatch.setenv("GOMP_SPINCOUNT", "10000")
    monkeypatch.setenv("KMP_BLOCKTIME", "1")
    code = "import os; print(*(os.environ.get(n) for n in ('GOMP_SPINCOUNT', 'KMP_BLOCKTIME')))"
    assert run_command([sys.executable, "-c", code]).stdout.split() == [b"None", b"1"]


def test_a_command_that_fails_is_an_error_with_its_last_line() -> None:
    code = "import sys; sys.exit('A warning.\\nError: The kettle is empty.')"
    with pytest.raises(PhotostyleError, match=r"^The kettle is empty\.$"):
        run_command([sys.executable, "-c", code])

"""How long threads of OpenMP, with which torch computes, keep a core busy while they wait."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

SPINS = 10_000
"""Rounds of libgomp's waiting loop before a thread sleeps: 0.2 to 0.6 ms.

Its own default, 300,000, is longer than the time slices that programs on a busy machine share.
"""

_SETTINGS = "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"
_set_here: set[str] = set()


def limit_spinning(*, beside_others: bool = False) -> None:
    """Set how idle threads wait, unless the environment says so or torch has been imported.

    They spin for a moment, which is fastest if cores are free. They sleep at once if as many other
    threads are running as there are cores, or if ``beside_others``, for a command that runs other
    programs itself.

    This changes the environment, which OpenMP reads once, when torch is imported, and which child
    processes inherit: for programs, not for libraries.
    """
    if "torch" in sys.modules or any(name in user_environment() for name in _SETTINGS):
        return
    while _set_here:  # a command knows more than what was set for all of them
        os.environ.pop(_set_here.pop(), None)
    busy = beside_others or _others_running() >= (os.cpu_count() or 1)
    name, value = ("OMP_WAIT_POLICY", "PASSIVE") if busy else ("GOMP_SPINCOUNT", str(SPINS))
    os.environ[name] = value
    _set_here.add(name)


def user_environment() -> dict[str, str]:
    """The environment without what `limit_spinning` has set: for programs that decide again."""
    return {name: value for name, value in os.environ.items() if name not in _set_here}


def waiting() -> str:
    """The settings of the environment in words, such as "GOMP_SPINCOUNT=10000"."""
    found = [f"{name}={os.environ[name]}" for name in _SETTINGS if name in os.environ]
    return ", ".join(found) or "OpenMP's default"


def _others_running() -> int:
    """Number of other threads, of all programs, that are running; 0 where it is not known."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0]) - 1
    return 0

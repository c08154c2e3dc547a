"""Runs measurements in fresh processes, so that each has its own peak memory."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from photostyle.errors import PhotostyleError, is_out_of_memory
from photostyle.openmp import user_environment

T = TypeVar("T")


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """Call ``function``, defined at the top level of a module, in a new process.

    Raises the function's PhotostyleError or OSError; MemoryError if it runs out of memory;
    PhotostyleError if the process is killed; RuntimeError for any other exception, whose traceback
    the process prints.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        error, result = receiver.recv()
    except EOFError:
        process.join()
        if (process.exitcode or 0) >= 0:
            raise RuntimeError("The measuring process failed; see its traceback above.") from None
        raise PhotostyleError(
            "The measuring process was killed, most likely because it ran out of memory; choose a "
            "smaller resolution or tile."
        ) from None
    finally:
        process.terminate()
        process.join()
    if error is not None:
        raise error
    return result


def _answer(sender: Connection, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
    # Ctrl-C reaches both processes: the parent handles it and terminates this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sender.send((None, function(*arguments)))
    except (PhotostyleError, OSError) as error:
        sender.send((error, None))
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        sender.send((MemoryError(), None))


class CommandRun(NamedTuple):
    """A finished command: its wall time, the peak memory of its process if known, and output."""

    seconds: float
    peak_bytes: int | None
    stdout: bytes


def run_command(command: Sequence[str]) -> CommandRun:
    """Run a command in a fresh process; if it fails, raise PhotostyleError with its message."""
    return in_fresh_process(_run_command, command, user_environment())


def _run_command(command: Sequence[str], environment: dict[str, str]) -> CommandRun:
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=stdout, stderr=stderr, env=environment)
        # An interrupted parent terminates this process, which must then end the command as well.
        handler = signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
        try:
            peak = _wait(process)
        finally:
            process.kill()
            process.wait()
            signal.signal(signal.SIGTERM, handler)
        seconds = time.perf_counter() - start
        stdout.seek(0)
        stderr.seek(0)
        if process.returncode:
            lines = [line for line in stderr.read().decode(errors="replace").splitlines() if line]
            message = lines[-1] if lines else f"{command[0]} was killed."
            raise PhotostyleError(message.removeprefix("Error: "))
        return CommandRun(seconds, peak, stdout.read())


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for a process; return its peak memory in bytes, None if it is not reported."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # This includes the memory of the forking process, which is small because it is fresh.
    return _maxrss_bytes(usage.ru_maxrss)


def peak_memory() -> int | None:
    """Peak resident set of this process in bytes; None if the system does not report it."""
    with suppress(OSError):
        # Unlike getrusage, this excludes the parent's memory at the time of the fork.
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        import resource
    except ImportError:
        return None
    return _maxrss_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _maxrss_bytes(maxrss: int) -> int:
    """Convert getrusage's ru_maxrss to bytes: macOS gives bytes, other systems KiB."""
    return maxrss if sys.platform == "darwin" else maxrss * 1024


def free_memory() -> int | None:
    """Bytes available without swapping; None if the system does not report it."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None

"""Runs a function in a process of its own, which may crash, hang or run out of memory."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Result = TypeVar("Result")

_fork = multiprocessing.get_context("fork")  # what is imported here is imported there


class LostError(Exception):
    """The process gave no result; the message says what became of it."""


def isolated(
    function: Callable[..., Result], *args: Any, seconds: float, memory: int = 4 << 30
) -> Result:
    """The result of the function, called in a fork with limits of time and memory (bytes).

    Raises LostError after a crash, a time-out or an exception.
    """
    receiver, sender = _fork.Pipe(duplex=False)
    process = _fork.Process(target=_run, args=(sender, memory, function, args))
    process.start()
    sender.close()
    try:
        if not receiver.poll(seconds):
            raise LostError(f"takes more than {seconds:g} s")
        returned, value = receiver.recv()
    except EOFError:
        process.join()
        code = process.exitcode or 0
        reason = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise LostError(f"ends its process by {reason}") from None
    finally:
        receiver.close()
        _end(process)
    if not returned:
        raise LostError(value)
    result: Result = value
    return result


def _run(
    sender: Connection, memory: int, function: Callable[..., object], args: tuple[Any, ...]
) -> None:
    os.setpgid(0, 0)  # a program that the function has started ends with the process
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        sender.send((True, function(*args)))
    except BaseException as error:
        sender.send((False, f"raises {error!r}"))


def _end(process: multiprocessing.process.BaseProcess) -> None:
    if process.is_alive() and process.pid:
        process.join(1)
        if process.is_alive():
            os.killpg(process.pid, signal.SIGKILL)
    process.join()

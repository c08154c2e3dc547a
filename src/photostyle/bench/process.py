"""Fresh processes, so that the peak memory of one measurement does not hide that of the next."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, TypeVar

from photostyle.errors import PhotostyleError

T = TypeVar("T")


def in_fresh_process(function: Callable[..., T], *arguments: Any) -> T:
    """What ``function``, of the top level of a module, returns in a process of its own.

    Raises PhotostyleError where the function does, and where it runs out of memory.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(sender, function, arguments), daemon=True)
    process.start()
    sender.close()
    try:
        error, result = receiver.recv()
    except EOFError:
        raise PhotostyleError(
            "The measurement was ended from outside, most likely for want of memory; "
            "choose a smaller resolution or tile."
        ) from None
    finally:
        process.terminate()
        process.join()
    if error is not None:
        raise error
    return result


def _answer(sender: Connection, function: Callable[..., T], arguments: tuple[Any, ...]) -> None:
    # Whoever interrupts means the parent, which ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        sender.send((None, function(*arguments)))
    except (PhotostyleError, OSError, MemoryError) as error:
        sender.send((error, None))
    except RuntimeError as error:  # torch has no MemoryError
        if "memory" not in str(error):
            raise
        sender.send((MemoryError(), None))


def peak_memory(number: int | None = None) -> int | None:
    """The largest resident set that a running process has had so far, in bytes.

    number: of the process, None for this one. None where nothing tells.
    """
    with suppress(OSError):
        # getrusage would also count what the parent had when this process began.
        for line in Path(f"/proc/{number or 'self'}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if number is not None:
        return None
    try:
        import resource
    except ImportError:
        return None
    return maxrss_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def maxrss_bytes(maxrss: int) -> int:
    """getrusage's figure, which is in KiB but for macOS, in bytes."""
    return maxrss if sys.platform == "darwin" else maxrss * 1024


def free_memory() -> int | None:
    """Bytes that can be had without swapping; None where nothing tells."""
    with suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return None

"""The one exception for what a user can fix, and what else is told apart."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class PhotostyleError(Exception):
    """One clear sentence that says what is wrong and what to do about it.

    The command line prints it on stderr and exits with 1.
    """


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turns a failed import in the block into a PhotostyleError that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise PhotostyleError(
            f"{error.name} is not installed; install it with: pip install 'photostyle[{extra}]'."
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that there is not enough memory, of the host or of a GPU."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    torch = sys.modules.get("torch")  # what was not imported has not raised it
    if torch and isinstance(error, torch.OutOfMemoryError):
        return True
    # torch has no class of its own for this one (c10/core/impl/alloc_cpu.cpp).
    return "DefaultCPUAllocator: " in str(error)

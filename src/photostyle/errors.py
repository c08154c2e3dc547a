"""The exception for errors that a user can fix, and the recognition of missing memory."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class PhotostyleError(Exception):
    """An error that a user can fix: one sentence that says what is wrong and what to do.

    The command line prints it on stderr and exits with 1.
    """


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Turn a failed import in the block into a PhotostyleError that names the extra to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        raise PhotostyleError(
            f"{error.name} is not installed; install it with: pip install 'photostyle[{extra}]'."
        ) from None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that the host or a GPU ran out of memory."""
    if isinstance(error, MemoryError):
        return True
    if not isinstance(error, RuntimeError):
        return False
    torch = sys.modules.get("torch")  # if torch is not imported, it did not raise the error
    if torch and isinstance(error, torch.OutOfMemoryError):
        return True
    # torch has no exception class for CPU memory (c10/core/impl/alloc_cpu.cpp).
    return "DefaultCPUAllocator: " in str(error)

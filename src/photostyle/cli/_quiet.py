"""Keeps stderr for the messages of the command itself."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence log records, Python warnings, and what C libraries write to stderr.

    All three are switched for the whole process, so only the command does this and no library
    function. `sys.stderr` still reaches the user, from every thread.
    """
    disabled = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), _stderr_of_python_only():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


@contextmanager
def _stderr_of_python_only() -> Iterator[None]:
    """Point file descriptor 2 at /dev/null; `sys.stderr` writes to a copy of the original."""
    try:
        copy = os.dup(2)
    except OSError:  # started without stderr
        yield
        return
    before = sys.stderr
    encoding = getattr(before, "encoding", None)
    with os.fdopen(copy, "w", buffering=1, encoding=encoding, errors="backslashreplace") as stream:
        if _writes_to_descriptor_2(before):
            before.flush()
            sys.stderr = stream
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        try:
            yield
        finally:
            sys.stderr = before
            os.dup2(copy, 2)


def _writes_to_descriptor_2(stream: object) -> bool:
    try:
        return stream.fileno() == 2  # type: ignore[attr-defined]
    except (AttributeError, OSError, ValueError):
        return False

"""The one exception that photostyle raises for what a user can mend."""

from __future__ import annotations

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

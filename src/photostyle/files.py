"""New files: complete under their name or not there at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from photostyle.errors import PhotostyleError


def check_target(target: Path, *, overwrite: bool = False) -> None:
    """Raises PhotostyleError if a file could not be written under that name, before the work."""
    try:
        if not overwrite and os.path.lexists(target):
            raise PhotostyleError(f"{str(target)!r} exists already; --force overwrites it.")
        if target.exists() and not target.is_file():
            raise PhotostyleError(f"{str(target)!r} is not a file and cannot be overwritten.")
        if not target.parent.is_dir():
            raise PhotostyleError(f"The folder {str(target.parent)!r} does not exist.")
        if not os.access(target.parent, os.W_OK):
            raise PhotostyleError(f"The folder {str(target.parent)!r} may not be written to.")
    except OSError as error:
        raise _not_written(target, error) from error


@contextmanager
def new_file(target: Path, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """A binary stream that becomes the file `target` when the block ends, or nothing at all.

    Raises PhotostyleError if the file cannot be written, or exists and is not to be overwritten.
    """
    check_target(target, overwrite=overwrite)
    target = target.resolve() if overwrite else target
    temporary = target.with_name(f".photostyle-{secrets.token_hex(8)}")
    try:
        with temporary.open("xb") as stream:
            yield stream
        if overwrite:
            temporary.replace(target)
        else:
            _publish(temporary, target)
    except FileExistsError as error:
        raise PhotostyleError(f"{str(target)!r} exists already; --force overwrites it.") from error
    except OSError as error:
        raise _not_written(target, error) from error
    finally:
        temporary.unlink(missing_ok=True)


def _publish(temporary: Path, target: Path) -> None:
    """Gives a finished file its name unless another process has taken it meanwhile."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        target.touch(exist_ok=False)
        temporary.replace(target)


def _not_written(target: Path, error: OSError) -> PhotostyleError:
    return PhotostyleError(f"{str(target)!r} cannot be written: {error.strerror or error}.")

"""New files that appear complete under their name or not at all."""

from __future__ import annotations

import atexit
import os
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path, PurePath
from typing import BinaryIO

from photostyle.errors import PhotostyleError

try:
    import fcntl
except ImportError:  # Windows, where killed writers leave their files behind
    fcntl = None  # type: ignore[assignment]

_TEMPORARY = re.compile(r"\.photostyle-[0-9a-f]{16}(\.\w+)?")
_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://.*", re.DOTALL)
_SEPARATORS = tuple({"/", os.sep})


def is_url(name: str) -> bool:
    """Whether a name is a URL and not an existing file."""
    return bool(_URL.fullmatch(name)) and not os.path.lexists(name)


def as_path(name: str | os.PathLike[str]) -> Path:
    """The path of a file or folder, which need not exist.

    Raises PhotostyleError for an invalid file name, and TypeError if ``name`` is not a name.
    """
    path = Path(name)
    if not os.fspath(name):
        raise PhotostyleError("A file name must not be empty.")
    if isinstance(name, str) and is_url(name):
        raise PhotostyleError(f"{name!r} is a URL; download the file and give its name.")
    try:
        valid = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        valid = False
    if not valid:
        raise PhotostyleError(f"{str(path)!r} is not a valid file name.")
    return path


def output_path(name: str | os.PathLike[str], default: str | Path) -> Path:
    """The file to write: ``name``, or the file ``default`` in it if it names a folder.

    It names a folder if one exists there, or if it ends with a slash. Raises as `as_path` does.
    """
    path = as_path(name)
    is_folder = os.fspath(name).endswith(_SEPARATORS) or path.is_dir()
    return path / default if is_folder else path


def read_bytes(path: Path) -> bytes:
    """The content of a file; raises PhotostyleError if it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise PhotostyleError(
            f"{str(path)!r} cannot be read: {error.strerror or error}."
        ) from error


def check_target(
    target: Path, *, overwrite: bool = False, inputs: Iterable[str | Path] = ()
) -> None:
    """Check before the work that a file can be written; remove leftovers of killed runs beside it.

    overwrite: whether the file may exist. inputs: files that it must differ from.

    Raises PhotostyleError if the file cannot be written.
    """
    _check(target, overwrite, inputs)
    _remove_leftovers(target.parent)


@contextmanager
def new_file(target: Path, *, overwrite: bool = False, durable: bool = True) -> Iterator[BinaryIO]:
    """A binary stream that becomes the file `target` when the block ends without an exception.

    Until then it is a locked file `.photostyle-*` beside the target. If the process is killed, the
    lock is released, and the next `check_target` for that folder removes the file, as does the
    first `new_file` of another process there. durable: flush the data to the disk before they
    replace an existing file, so that a power failure leaves one of the two.

    Raises PhotostyleError if the file cannot be written, or exists and may not be overwritten.
    """
    _check(target, overwrite)
    _remove_leftovers_once(target.parent.absolute())
    final = Path(os.path.realpath(target)) if overwrite else target
    try:
        with _temporary(final.parent) as stream:
            yield stream
            stream.flush()
            if overwrite and durable:
                os.fsync(stream.fileno())
            if not fcntl:  # Windows renames no open file
                stream.close()
            _publish(Path(stream.name), final, overwrite)
    except FileExistsError as error:
        raise already_exists(target) from error
    except OSError as error:
        raise _not_written(target, error) from error


@contextmanager
def scratch_file(folder: Path, suffix: str = "") -> Iterator[BinaryIO]:
    """A file in ``folder`` that is removed when the block ends, named and locked as in `new_file`.

    suffix: an extension. Raises PhotostyleError if it cannot be written.
    """
    _remove_leftovers_once(folder.absolute())
    try:
        with _temporary(folder, suffix) as stream:
            yield stream
    except OSError as error:
        raise _not_written(folder, error) from error


@contextmanager
def _temporary(folder: Path, suffix: str = "") -> Iterator[BinaryIO]:
    """A new locked file, removed at the end unless it was renamed."""
    temporary = folder / f".photostyle-{secrets.token_hex(8)}{suffix}"
    remove = partial(temporary.unlink, missing_ok=True)
    # Also at exit, because a signal can arrive just before the removal below.
    atexit.register(remove)
    try:
        with _locked(temporary) as stream:
            yield stream
    finally:
        remove()
        atexit.unregister(remove)


def _publish(temporary: Path, target: Path, overwrite: bool) -> None:
    """Give a finished file its name; raise FileExistsError if it exists and must be kept."""
    if overwrite:
        temporary.replace(target)
        return
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if os.path.lexists(target):
            raise FileExistsError from None
        temporary.replace(target)


@contextmanager
def _locked(temporary: Path) -> Iterator[BinaryIO]:
    """A new file, locked to show other processes that it is being written."""
    while True:
        with temporary.open("xb") as stream:
            if fcntl:
                with suppress(OSError):  # where locks are not supported, nobody removes leftovers
                    fcntl.flock(stream, fcntl.LOCK_EX)
                if not _is_open_under(temporary, stream):
                    continue  # another process removed it as a leftover before it was locked
            yield stream
            return


def _is_open_under(path: Path, stream: BinaryIO) -> bool:
    with suppress(OSError):
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    return False


def _remove_leftovers(folder: Path) -> None:
    """Remove our temporary files that no process holds a lock on: their writers were killed."""
    if not fcntl:
        return
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            if not _TEMPORARY.fullmatch(entry.name) or not entry.is_file(follow_symlinks=False):
                continue
            with suppress(OSError), open(entry.path, "rb") as file:  # noqa: PTH123
                if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    Path(entry.path).unlink()


@cache
def _remove_leftovers_once(folder: Path) -> None:
    """`_remove_leftovers`, at most once for each folder."""
    _remove_leftovers(folder)


def _check(target: Path, overwrite: bool, inputs: Iterable[str | Path] = ()) -> None:
    try:
        if not overwrite and os.path.lexists(target):
            raise already_exists(target)
        if target.exists() and not target.is_file():
            raise PhotostyleError(f"{str(target)!r} is not a file and cannot be overwritten.")
        if not target.parent.is_dir():
            raise PhotostyleError(f"The folder {str(target.parent)!r} does not exist.")
        if not os.access(target.parent, os.W_OK):
            raise PhotostyleError(f"The folder {str(target.parent)!r} is not writable.")
        if target.exists() and any(target.samefile(path) for path in inputs):
            raise is_input(target)
    except OSError as error:
        raise _not_written(target, error) from error


def already_exists(target: PurePath) -> PhotostyleError:
    """The error for a file that exists and may not be overwritten."""
    return PhotostyleError(f"{str(target)!r} already exists; use --force to overwrite it.")


def is_input(target: PurePath) -> PhotostyleError:
    """The error for an output that is also an input."""
    return PhotostyleError(f"{str(target)!r} is an input file; choose another output.")


def _not_written(target: Path, error: OSError) -> PhotostyleError:
    return PhotostyleError(f"{str(target)!r} cannot be written: {error.strerror or error}.")

"""Files on this machine or at URLs (s3://, gs://, ...), which fsspec reaches.

What is at a URL is copied to a temporary file to be read, and a result is written to a temporary
file and then uploaded whole.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from photostyle.errors import PhotostyleError, needs_extra
from photostyle.files import already_exists, as_path, is_input, is_url

_APPEAR_WHOLE = {"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "memory"}
"""Storage in which an upload appears when it is complete; elsewhere it gets its name then."""


_NO_HOST = "\0"
"""In a `RemotePath` the part between the second and the third slash of hdfs:///photos."""


class RemotePath(PurePosixPath):
    """The URL of a file or folder, or a part of one, which is handled like a path."""

    def __str__(self) -> str:
        scheme, colon, rest = super().__str__().partition(":/")
        return f"{scheme}://{rest.removeprefix(_NO_HOST)}" if colon else scheme


def place(name: str | os.PathLike[str]) -> Path | RemotePath:
    """The path of a file or folder, or its URL; file:// names a path.

    Raises PhotostyleError for an invalid name.
    """
    if not isinstance(name, str) or not is_url(name):
        return as_path(name)
    if name.lower().startswith("file://"):
        return as_path(url2pathname(urlsplit(name).path))
    return RemotePath(name.replace(":///", f"://{_NO_HOST}/", 1))


def files_at(folder: RemotePath) -> list[RemotePath]:
    """All files below a URL, by name; none if there is nothing.

    This and the other functions raise PhotostyleError if the library of the URL's scheme is
    missing, or the storage cannot be reached, read or written.
    """
    with _explained(folder, "read"):
        system, root = _opened(folder)
        found = system.find(root) if system.exists(root) else []
    names = (str(name)[len(root) :].lstrip("/") for name in found)
    return sorted(folder / name for name in names if name)


def is_folder(path: PurePath) -> bool:
    """Whether there is a folder."""
    if isinstance(path, Path):
        return path.is_dir()
    with _explained(path, "read"):
        system, name = _opened(path)
        return bool(system.isdir(name))


def is_file(path: PurePath) -> bool:
    """Whether there is a file."""
    if isinstance(path, Path):
        return path.is_file()
    with _explained(path, "read"):
        system, name = _opened(path)
        return bool(system.isfile(name))


def read(path: PurePath) -> bytes | None:
    """The content of a file; None if there is none."""
    with _explained(path, "read"):
        if isinstance(path, Path):
            return path.read_bytes() if path.exists() else None
        system, name = _opened(path)
        return bytes(system.cat_file(name)) if system.exists(name) else None


@contextmanager
def fetched(path: PurePath) -> Iterator[Path]:
    """A local copy of a file, with its name, for as long as the block; a local file itself."""
    if isinstance(path, Path):
        yield path
        return
    with _copy(path) as copy:
        with _explained(path, "read"):
            system, name = _opened(path)
            system.get_file(name, str(copy))
        yield copy


@contextmanager
def uploaded(path: PurePath, *, overwrite: bool, inputs: Iterable[PurePath]) -> Iterator[Path]:
    """A local file to write, uploaded when the block ends; a local file itself, unchecked.

    overwrite: whether the file may exist. inputs: files that it must differ from.
    """
    if isinstance(path, Path):
        yield path
        return
    if path in inputs:
        raise is_input(path)
    if not overwrite and is_file(path):
        raise already_exists(path)
    with _copy(path) as copy:
        yield copy
        upload(copy, path)


def upload(file: Path, path: PurePath) -> None:
    """Copy a local file to a URL, where it appears whole or not at all."""
    with _explained(path, "written"):
        system, name = _opened(path)
        system.makedirs(str(PurePosixPath(name).parent), exist_ok=True)
        if _scheme(path) in _APPEAR_WHOLE:
            system.put_file(str(file), name)
            return
        temporary = str(PurePosixPath(name).with_name(f".photostyle-{secrets.token_hex(8)}"))
        try:
            system.put_file(str(file), temporary)
            system.mv(temporary, name)
        finally:
            if system.exists(temporary):
                system.rm_file(temporary)


@contextmanager
def _copy(path: PurePath) -> Iterator[Path]:
    """The name for a local copy, in a folder of its own; messages on the copy name ``path``."""
    with TemporaryDirectory(prefix="photostyle-") as folder:
        copy = Path(folder, path.name)
        try:
            yield copy
        except PhotostyleError as error:
            raise PhotostyleError(str(error).replace(str(copy), str(path))) from error


def _opened(path: PurePath) -> tuple[Any, str]:
    """The file system of a URL, and the name that it has there."""
    with needs_extra("ray"):
        from fsspec.core import url_to_fs
    return url_to_fs(str(path), use_listings_cache=False)


@contextmanager
def _explained(path: PurePath, done: str) -> Iterator[None]:
    """Turn what goes wrong in the block into a sentence: "cannot be read", or written."""
    try:
        yield
    except PhotostyleError:
        raise
    except FileNotFoundError:
        raise PhotostyleError(f"{str(path)!r} cannot be {done}: No such file.") from None
    except Exception as error:  # the libraries of storages have exceptions of their own
        said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
        raise PhotostyleError(f"{str(path)!r} cannot be {done}: {said}.") from error


def _scheme(path: PurePath) -> str:
    return str(path).partition("://")[0].lower()

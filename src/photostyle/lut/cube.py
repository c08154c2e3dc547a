"""Reads and writes `.cube` files (Adobe, Cube LUT Specification 1.0, 2013).

Besides the specification this reads what DaVinci Resolve writes: one range for all channels, and
curves (a 1D table, the shaper) followed by a 3D table in one file.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import numpy as np

from photostyle.errors import PhotostyleError
from photostyle.files import new_file
from photostyle.lut.lut import Array, Curves, Lut, grid

MAX_SIZE = 256
"""Maximum number of points per axis of a 3D table that the specification allows."""

MAX_CURVE = 65_536
"""Maximum number of points of a 1D table that the specification allows."""

_MAX_LINE = 1_000
"""Characters; the specification allows 250."""


def read(path: Path) -> Lut:
    """Read a `.cube` file with a 1D table, a 3D table, or both.

    A 1D table becomes curves before a grid that changes nothing. Keywords that are not known are
    ignored, as is the order of the header.

    Raises PhotostyleError if the file cannot be read or contains no complete, valid table.
    """
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as stream:
            return _parse(stream)
    except OSError as error:
        raise PhotostyleError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise PhotostyleError(f"{str(path)!r} is not a valid .cube file: {error}.") from error


def write(lut: Lut, path: Path, *, overwrite: bool = False) -> None:
    """Write a LUT as a `.cube` file with six decimals.

    Raises PhotostyleError if the file cannot be written.
    """
    with new_file(path, overwrite=overwrite) as stream:
        dump(lut, stream)


def dump(lut: Lut, stream: BinaryIO) -> None:
    """As `write`, to a stream."""
    title = " ".join(lut.title.replace('"', "'").split())
    lines = [f'TITLE "{title}"'] if title else []
    lines += ["# " + " ".join(comment.split()) for comment in lut.comments]
    size = len(lut.table)
    tables = [lut.table.transpose(2, 1, 0, 3).reshape(-1, 3)]
    if lut.curves:
        tables.insert(0, lut.curves.table)
        lines += [f"LUT_1D_SIZE {len(lut.curves.table)}", _range("1D", lut.curves)]
        lines += [f"LUT_3D_SIZE {size}", _range("3D", lut)]
    else:
        lines += [f"LUT_3D_SIZE {size}"]
        lines += [f"DOMAIN_MIN {_row(lut.low)}", f"DOMAIN_MAX {_row(lut.high)}"]
    stream.write("\n".join([*lines, ""]).encode())
    for table in tables:
        np.savetxt(stream, table, "%.6f")


def _range(name: str, stage: Lut | Curves) -> str:
    """Resolve's line for the range of a table; it is the same for all channels."""
    low, high = stage.low[0], stage.high[0]
    if (stage.low != low).any() or (stage.high != high).any():
        raise PhotostyleError("A .cube file with curves has one range for all channels.")
    return f"LUT_{name}_INPUT_RANGE {low:.6f} {high:.6f}"


def _row(values: Array) -> str:
    return " ".join(f"{value:.6f}" for value in values)


def _parse(stream: TextIO) -> Lut:
    """Raises ValueError with what is wrong."""
    keywords: dict[str, list[str]] = {}
    comments: list[str] = []
    rows = ""
    for line in _lines(stream):
        words = line.split()
        if not words:
            continue
        if line.startswith("#"):
            comments.append(line[1:].strip())
        elif words[0][0].isalpha() or words[0][0] == "_":
            keywords[words[0].upper()] = words[1:]
        else:
            rows = line
            break
    curve_size = _size(keywords, "LUT_1D_SIZE", MAX_CURVE)
    size = _size(keywords, "LUT_3D_SIZE", MAX_SIZE)
    if not curve_size and not size:
        raise ValueError("it says neither LUT_1D_SIZE nor LUT_3D_SIZE")
    table = _colors(itertools.chain([rows], _lines(stream)), curve_size + size**3)
    curves = None
    if curve_size:
        curves = Curves(table[:curve_size], *_domain(keywords, "LUT_1D_INPUT_RANGE"))
    title = " ".join(keywords.get("TITLE", [])).strip('"')
    if not size:
        return Lut(grid(2), np.zeros(3), np.ones(3), curves, title, tuple(comments))
    # In the file red changes fastest and so is the last of the three axes.
    cube = table[curve_size:].reshape(size, size, size, 3).transpose(2, 1, 0, 3)
    domain = _domain(keywords, "LUT_3D_INPUT_RANGE")
    return Lut(cube, *domain, curves, title, tuple(comments))


def _lines(stream: TextIO) -> Iterator[str]:
    while line := stream.readline(_MAX_LINE):
        if len(line) == _MAX_LINE:
            raise ValueError("it has a line that is too long")
        yield line


def _size(keywords: dict[str, list[str]], name: str, most: int) -> int:
    """A table's number of points per axis; 0 if there is no such table."""
    if name not in keywords:
        return 0
    words = keywords[name]
    if len(words) != 1 or not words[0].isdecimal() or not 2 <= int(words[0]) <= most:
        raise ValueError(f"{name} must be a number from 2 to {most}")
    return int(words[0])


def _domain(keywords: dict[str, list[str]], range_name: str) -> tuple[Array, Array]:
    """The colours of the first and the last point of a table.

    DOMAIN_MIN and DOMAIN_MAX are the input of the whole file: they count only once.
    """
    low, high = np.zeros(3), np.ones(3)
    try:
        if range_name in keywords:
            first, last = map(float, keywords[range_name])
            low, high = np.full(3, first), np.full(3, last)
        for name, limit in (("DOMAIN_MIN", low), ("DOMAIN_MAX", high)):
            if name in keywords:
                limit[:] = np.array(keywords.pop(name), np.float64).reshape(3)
    except ValueError:
        raise ValueError("its domain is not three numbers for each limit") from None
    if not (np.isfinite([low, high]).all() and (low < high).all()):
        raise ValueError("its domain is empty")
    return low, high


def _colors(lines: Iterator[str], count: int) -> Array:
    """``count`` rows of three numbers."""
    options: dict[str, Any] = {"comments": "#", "ndmin": 2, "max_rows": count + 1}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # loadtxt warns of empty input
            found = np.loadtxt(lines, np.float64, **options)
    except ValueError as error:
        raise ValueError("its table contains a line that is not three numbers") from error
    if len(found) != count:
        many = "more" if len(found) > count else len(found)
        raise ValueError(f"its table must have {count} colours, not {many}")
    if found.shape[1] != 3:
        raise ValueError("its table contains a line that is not three numbers")
    if not np.isfinite(found).all():
        raise ValueError("its table contains NaN or infinite values")
    return found

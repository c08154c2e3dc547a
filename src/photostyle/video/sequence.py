"""Image sequences: which files are the frames of a folder or a pattern, and in which order."""

from __future__ import annotations

import fnmatch
import os
import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from photostyle.errors import PhotostyleError
from photostyle.video.ffmpeg import FFmpeg, file_url

IMAGE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".exr", ".dpx", ".tga", ".hdr"),
    *(".jp2", ".jxl", ".avif", ".heic", ".heif", ".ppm", ".pgm", ".pnm", ".pfm", ".psd"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".rw2", ".orf"),
}
"""Suffixes of the images in a folder of frames."""

_NUMBER = re.compile(r"(?<!%)%(?:0?(\d*))d|(#{2,})")


def is_sequence(path: Path) -> bool:
    """Whether a path is a folder, or no file but a pattern of names."""
    if os.path.isdir(path):  # noqa: PTH112 - pathlib raises for names that are too long
        return True
    return not os.path.lexists(path) and bool(_NUMBER.search(path.name) or _is_glob(path.name))


def frames(path: Path) -> list[Path]:
    """The frames in a folder, or those that match a pattern, in the order of their numbers.

    A pattern has a number in its name, as frames/%04d.png or frames/####.png, or wildcards, as
    frames/*.jpg. Raises PhotostyleError if there is no frame, or if two have the same place.
    """
    is_folder = path.is_dir()
    number = None if is_folder else _NUMBER.search(path.name)
    try:
        files = [file for file in (path if is_folder else path.parent).iterdir() if file.is_file()]
    except OSError as error:
        raise PhotostyleError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    if number:
        pattern = _numbered(path.name, number)
        files = [file for file in files if pattern.fullmatch(file.name)]
    else:
        shown = "*" if is_folder else path.name
        files = [
            file for file in files if _is_image(file) and fnmatch.fnmatchcase(file.name, shown)
        ]
    if not files:
        raise PhotostyleError(
            f"The folder {str(path)!r} has no frames."
            if is_folder
            else f"No image has a name like {str(path)!r}."
        )
    files.sort(key=lambda file: (_order(file), file.name))
    for one, other in pairwise(files):
        if _order(one) == _order(other):
            raise PhotostyleError(
                f"{str(one)!r} and {other.name!r} are the same frame; name those to use by a "
                f"pattern in quotes, such as {str(one.parent / ('*' + one.suffix))!r}."
            )
    return files


def gaps(files: Sequence[Path]) -> list[str]:
    """A note if numbers are missing between frames; every tenth number is no gap."""
    steps = []
    for one, other in pairwise(files):
        (name, number), (next_name, next_number) = _last_number(one), _last_number(other)
        if name == next_name:
            steps.append((next_number - number, f"{one.name!r} and {other.name!r}"))
    usual = min(steps, default=(1, ""))[0]
    found = [names for step, names in steps if step > usual]
    if not found:
        return []
    more = f" and in {len(found) - 1} more places" if len(found) > 1 else ""
    return [f"Frames are missing between {found[0]}{more}; the next one follows at once."]


def as_png(path: Path) -> bytes:
    """The image of a file that only ffmpeg reads, as PNG of 16 bits per channel.

    Raises PhotostyleError if it cannot be decoded.
    """
    output = ["-frames:v", "1", "-c:v", "png", "-pix_fmt", "rgb48be", "-f", "image2pipe", "pipe:1"]
    with FFmpeg(["-i", file_url(path), *output], stdout=True) as process:
        assert process.stdout
        data = process.stdout.read()
        process.wait()
    if process.errors or not data:
        raise PhotostyleError(f"{str(path)!r} is damaged or incomplete and cannot be read.")
    return data


def _is_glob(name: str) -> bool:
    return any(character in name for character in "*?[")


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")


def _numbered(name: str, number: re.Match[str]) -> re.Pattern[str]:
    """The names of a pattern such as %04d.png."""
    before, after = (
        re.escape(part.replace("%%", "%"))
        for part in (name[: number.start()], name[number.end() :])
    )
    digits = max(1, int(number[1] or len(number[2] or "")))
    return re.compile(f"{before}[0-9]{{{digits},}}{after}")


def _order(file: Path) -> list[str | int]:
    """A key that sorts 2 before 10: texts and numbers of a name by turns."""
    parts = re.split("([0-9]+)", file.stem)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)]


def _last_number(file: Path) -> tuple[str, int]:
    """What precedes the last number of a name, and the number, 0 if there is none."""
    found = re.fullmatch("(.*?)([0-9]+)[^0-9]*", file.stem)
    return (found[1], int(found[2])) if found else (file.stem, 0)

"""All photos of a folder through the engine at strength 0, compared with other programs.

    make corpus DIR="folder another"

Each file becomes a result, which has to look like the file in libvips or in ImageMagick, if that is
installed. Prints

- refusals of files that one of them opens and finds whole,
- results that differ by more than 1/255 from the file in both,
- files that crash a process, take too long or give a result that no other program opens,

then how many there are of each kind. The exit code is 1 if there are any. Not every difference is a
fault: programs differ on files that say little about their colours.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from corpus.isolation import LostError, isolated
from corpus.reference import READERS, Display, Values
from PIL import Image
from support.photos import saved, scene

import photostyle
from photostyle import PhotostyleError
from photostyle.jobs.photo import stylize_photo
from photostyle.photo.photo import strips

TOLERANCE = 1.01 / 255
"""Of any value; the hundredth is for rounding in the other program."""
LOSSY_TOLERANCE = 4 / 255
"""Of the mean of all values, where a format has losses or programs do not agree on it."""

OUTCOMES = {
    "same": "look the same",
    "unchecked": "are opened by no other program",
    "unopened": "are opened by no program",
    "damaged": "are refused, and other programs find them damaged",
    "refused": "are refused although another program opens them",
    "different": "look different",
    "failed": "crash, hang, or give a result that no other program opens",
}
FAULTS = "refused", "different", "failed"


class Finding(NamedTuple):
    """outcome: a key of `OUTCOMES`. kind: the format, and how the file stores its values."""

    outcome: str
    kind: str
    detail: str = ""


class Rendered(NamedTuple):
    """What became of a file: its results, lossless and in its own format, or why it is refused."""

    lossless: Path | None = None
    own: Path | None = None
    refusal: str = ""


class Difference(NamedTuple):
    """worst: largest difference in 0..1. detail: in words."""

    worst: float
    detail: str


def check(path: Path, seconds: float) -> Finding:
    """One file, rendered and judged in processes of their own, each of at most ``seconds``."""
    with TemporaryDirectory() as folder:
        try:
            rendered = isolated(render, path.absolute(), Path(folder), seconds=seconds)
        except LostError as error:
            return Finding("failed", path.suffix.lower(), str(error))
        try:
            return isolated(judge, path, rendered, seconds=seconds)
        except LostError as error:
            return Finding("unchecked", path.suffix.lower(), f"the comparison {error}")


def render(path: Path, folder: Path) -> Rendered:
    """Results of a file at strength 0, in a folder that becomes the current one."""
    os.chdir(folder)
    engine = photostyle.load("none", device="cpu")
    style = saved(Image.fromarray(scene()), "PNG").getvalue()
    try:
        own = stylize_photo(path, BytesIO(style), model=engine, strength=0).output
        assert own is not None
        if own.suffix == ".png":
            return Rendered(own.absolute())
        lossless = Path("lossless.png")
        stylize_photo(path, BytesIO(style), lossless, model=engine, strength=0)
    except PhotostyleError as error:
        return Rendered(refusal=str(error).replace(repr(str(path)), "The file"))
    return Rendered(lossless.absolute(), own.absolute())


def judge(path: Path, rendered: Rendered) -> Finding:
    """What the other programs say of a file and its results."""
    if not rendered.lossless:
        return judge_refusal(path, rendered.refusal)
    closest: tuple[Difference, str] | None = None
    for read in READERS:
        shown = read(path)
        if not shown:
            continue
        result = read(rendered.lossless)
        if not result:
            return Finding("failed", shown.kind, "no other program opens the result")
        difference = compare(shown, result, rendered.lossless)
        if difference.worst <= TOLERANCE:
            return judge_own_format(shown, rendered.own, read)
        closest = min(closest or (difference, shown.kind), (difference, shown.kind))
    if not closest:
        return Finding("unchecked", path.suffix.lower())
    return Finding("different", closest[1], closest[0].detail)


def judge_refusal(path: Path, refusal: str) -> Finding:
    for outcome in ("refused", "damaged"):
        for read in READERS:
            if shown := read(path, lenient=outcome == "damaged"):
                return Finding(outcome, shown.kind, refusal)
    return Finding("unopened", path.suffix.lower())


def judge_own_format(
    shown: Display, own: Path | None, read: Callable[..., Display | None]
) -> Finding:
    """Whether a file looks like its result in its own format, which may have losses."""
    if not own or not (result := read(own)):
        return Finding("same", shown.kind)
    if result.values.shape != shown.values.shape:
        detail = f"{size(result)}, not {size(shown)}, in {own.suffix}"
        return Finding("different", shown.kind, detail)
    if (mean := distances(shown.values, result.values)[1]) > LOSSY_TOLERANCE:
        detail = f"by {mean * 255:.1f}/255 on average in {own.suffix}"
        return Finding("different", shown.kind, detail)
    return Finding("same", shown.kind)


def compare(shown: Display, result: Display, file: Path) -> Difference:
    """The difference between what a program shows of a file and of its result."""
    if shown.values.shape != result.values.shape:
        return Difference(np.inf, f"{size(result)}, not {size(shown)}")
    with Image.open(file) as image:
        frames = getattr(image, "n_frames", 1)
    if shown.frames not in (None, frames):
        return Difference(np.inf, f"{frames} frames, not {shown.frames}")
    worst, mean, share = distances(shown.values, result.values)
    if not shown.exact and mean <= LOSSY_TOLERANCE:
        return Difference(0, "")
    return Difference(worst, f"by up to {worst * 255:.1f}/255, {share:.1%} of the pixels")


def distances(a: Values, b: Values) -> tuple[float, float, float]:
    """Largest and mean difference, and share of the pixels beyond TOLERANCE, on black and white."""
    worst, total, count = 0.0, 0.0, 0
    for rows in strips(a):
        black = np.abs(on_black(a[rows]) - on_black(b[rows]))
        white = np.abs(on_white(a[rows]) - on_white(b[rows]))
        each = np.maximum(black, white)
        worst, total = max(worst, float(each.max())), total + float(each.sum(dtype=float))
        count += int((each.max(axis=-1) > TOLERANCE).sum())
    return worst, total / (a[..., :3].size), count / a[..., 0].size


def on_black(values: Values) -> npt.NDArray[Any]:
    """Colours (h, w, 3) in 0..1 as they look on black."""
    unit = (values / 65535).astype(np.float32)
    return unit[..., :3] * unit[..., 3:]


def on_white(values: Values) -> npt.NDArray[Any]:
    """The same on white."""
    opacity = (values[..., 3:] / 65535).astype(np.float32)
    return on_black(values) + 1 - opacity


def size(shown: Display) -> str:
    height, width, _ = shown.values.shape
    return f"{width} x {height}"


def files_below(folders: list[Path]) -> list[Path]:
    return sorted(
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    )


def check_all(paths: list[Path], jobs: int, seconds: float) -> Iterator[tuple[Path, Finding]]:
    """Each file with its finding, as soon as there is one."""
    with ProcessPoolExecutor(jobs, get_context("fork")) as pool:
        checks = {pool.submit(check, path, seconds): path for path in paths}
        for done in as_completed(checks):
            yield checks[done], done.result()


def main(folders: list[Path], jobs: int, seconds: float) -> int:
    outcomes: Counter[str] = Counter()
    kinds: Counter[tuple[str, str]] = Counter()
    for path, (outcome, kind, detail) in check_all(files_below(folders), jobs, seconds):
        outcomes[outcome] += 1
        if outcome in FAULTS:
            kinds[outcome, kind] += 1
            print(f"{outcome}: {path}: {detail} [{kind}]", flush=True)
    print(f"\nOf {outcomes.total()} files")
    for outcome, words in OUTCOMES.items():
        print(f"{outcomes[outcome]:6} {words}")
        for (of, kind), count in kinds.most_common():
            if of == outcome:
                print(f"{count:12} {kind}")
    return int(any(outcomes[outcome] for outcome in FAULTS))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", metavar="DIR")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time")
    parser.add_argument("--seconds", type=float, default=60, help="limit of time for each file")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.exit(main(given.folders, given.jobs, given.seconds))

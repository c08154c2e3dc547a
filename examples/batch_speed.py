"""Measures `photostyle batch` against a shell loop over `photostyle image`.

    python examples/batch_speed.py SAMPLES STYLE WORK [--count 1000] [--loop 40] [--options ...]

makes ``count`` photos of 2 megapixels in the folder WORK, all different, from the photos in the
folder SAMPLES: crops, every other one mirrored. The loop takes the first ``loop`` of them. Memory
is the resident memory of all processes of the batch together, the most of the first and of the last
tenth of its time.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

PIXELS = 2_000_000
PHOTOSTYLE = (sys.executable, "-m", "photostyle")


def make_photos(samples: Sequence[Path], folder: Path, count: int) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    made = []
    for number in range(count):
        with Image.open(samples[number % len(samples)]) as opened:
            photo = ImageOps.exif_transpose(opened).convert("RGB")
        width, height = photo.size
        part = rng.uniform(0.7, 1)
        left, top = (rng.uniform(0, (1 - part) * side) for side in (width, height))
        scale = (PIXELS / (width * height)) ** 0.5
        size = round(scale * width), round(scale * height)
        box = (left, top, left + part * width, top + part * height)
        photo = photo.resize(size, Image.Resampling.LANCZOS, box)
        made.append(folder / f"{number:05}.jpg")
        (ImageOps.mirror(photo) if number % 2 else photo).save(made[-1], quality=92)
    return made


def resident(root: int) -> int:
    """Bytes of a process and of all that it started."""
    parents, sizes = {}, {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
        except (OSError, ValueError):
            continue  # it has ended
        process = int(lines["Pid"])
        parents[process] = int(lines["PPid"])
        sizes[process] = 1024 * int(lines.get("VmRSS", "0 kB").split()[0])
    family = {root}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(sizes.get(process, 0) for process in family)


def processor_time() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def loop(photos: Sequence[Path], style: Path, folder: Path, options: Sequence[str]) -> float:
    """Seconds of a loop over `photostyle image`."""
    folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    for photo in photos:
        target = folder / photo.name
        command = [*PHOTOSTYLE, "image", str(photo), str(style), "-o", str(target), "--force"]
        subprocess.run([*command, *options], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def batch(
    photos: Path, style: Path, folder: Path, options: Sequence[str]
) -> tuple[float, list[int]]:
    """Seconds of a batch, and its resident memory, measured twice a second."""
    start, memory = time.perf_counter(), []
    words = [str(photos), str(style), "-o", str(folder), "--force", *options]
    running = subprocess.Popen([*PHOTOSTYLE, "batch", *words], stdout=subprocess.DEVNULL)
    while running.poll() is None:
        memory.append(resident(running.pid))
        time.sleep(0.5)
    if running.returncode:
        sys.exit(running.returncode)
    return time.perf_counter() - start, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("samples", "style", "work"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--loop", type=int, default=40)
    parser.add_argument("--options", nargs=argparse.REMAINDER, default=[], help="of both commands")
    given = parser.parse_args()
    samples = sorted(file for file in given.samples.iterdir() if file.is_file())
    photos = make_photos(samples, given.work / "photos", given.count)

    before = processor_time()
    looped = loop(photos[: given.loop], given.style, given.work / "loop", given.options)
    middle = processor_time()
    batched, memory = batch(given.work / "photos", given.style, given.work / "batch", given.options)
    after = processor_time()

    each, of_loop = batched / given.count, looped / len(photos[: given.loop])
    print(f"{os.cpu_count()} cores, {given.count} photos of {PIXELS / 1e6:g} MP")
    print(f"loop   {of_loop:.3f} s a photo, {(middle - before) / given.loop:.3f} s of processor")
    print(f"batch  {each:.3f} s a photo, {(after - middle) / given.count:.3f} s of processor")
    print(f"ratio  {of_loop / each:.2f}")
    tenth = max(1, len(memory) // 10)
    first, last = max(memory[:tenth]), max(memory[-tenth:])
    print(f"memory {first / 1e9:.2f} GB in the first tenth, {last / 1e9:.2f} GB in the last")


if __name__ == "__main__":
    main()

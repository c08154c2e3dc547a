"""The whole command measured: `photostyle image` from its start to the finished file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from photostyle.bench.process import in_fresh_process, maxrss_bytes
from photostyle.bench.resolution import Resolution
from photostyle.errors import PhotostyleError


@dataclass(frozen=True)
class Command:
    """What was measured of one run on JPEG files.

    seconds: of the phases that the command itself tells, of "start", all around them, and "total".
    pillow: seconds in which Pillow reads the same photo and writes it with the same settings.
    """

    resolution: Resolution
    mode: str
    seconds: dict[str, float]
    pillow: float
    peak_bytes: int | None

    @property
    def ratio(self) -> float:
        return self.seconds["total"] / self.pillow

    def as_json(self) -> dict[str, Any]:
        return {
            "width": self.resolution.width,
            "height": self.resolution.height,
            "mode": self.mode,
            "seconds": self.seconds,
            "pillow_seconds": self.pillow,
            "pillow_ratio": self.ratio,
            "peak_bytes": self.peak_bytes,
        }


def measure_command(resolution: Resolution, options: list[str], runs: int) -> Command:
    """The run of median length; ``options`` are further arguments of `photostyle image`.

    Raises PhotostyleError with the command's own sentence where it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pillow = in_fresh_process(_prepare, folder, resolution, runs)
        measured = sorted(
            (_run(folder, options) for _ in range(runs)), key=lambda run: run[0]["total"]
        )
        seconds, mode, _ = measured[(runs - 1) // 2]
        peaks = [peak for _, _, peak in measured if peak is not None]
        return Command(resolution, mode, seconds, pillow, max(peaks, default=None))


def _prepare(folder: Path, resolution: Resolution, runs: int) -> float:
    """Write the photos; gives the median of the seconds that Pillow takes to read and write one."""
    import statistics

    from PIL import Image

    from photostyle.bench.scene import scene
    from photostyle.photo import Photo, write

    Image.MAX_IMAGE_PIXELS = None
    write(Photo(scene(1200, 800, evening=True)), folder / "style.jpg")
    write(Photo(scene(*resolution)), folder / "content.jpg")

    def read_and_write() -> float:
        start = time.perf_counter()
        with Image.open(folder / "content.jpg") as image:
            image.save(BytesIO(), "JPEG", quality=95, subsampling=0)
        return time.perf_counter() - start

    return statistics.median(read_and_write() for _ in range(runs))


def _run(folder: Path, options: list[str]) -> tuple[dict[str, float], str, int | None]:
    """Seconds, the way that was taken, and the peak memory in bytes."""
    content, style, result = (
        str(folder / f"{name}.jpg") for name in ("content", "style", "result")
    )
    command = [sys.executable, "-m", "photostyle", "image", content, style, "-o", result]
    start = time.perf_counter()
    with (folder / "errors").open("w+b") as errors, (folder / "summary").open("w+b") as output:
        process = subprocess.Popen(
            [*command, "--force", "--json", *options],
            stdout=output,
            stderr=errors,
        )
        try:
            peak = _wait(process)
        finally:
            process.kill()
            process.wait()
        total = time.perf_counter() - start
        output.seek(0)
        errors.seek(0)
        if process.returncode:
            said = errors.read().decode(errors="replace").splitlines() or ["It was ended."]
            raise PhotostyleError(said[-1].removeprefix("Error: "))
        summary = json.loads(output.read())
    phases = summary["seconds"]
    around = {"start": total - sum(phases.values())}
    return {**around, **phases, "total": total}, summary["mode"], peak


def _wait(process: subprocess.Popen[bytes]) -> int | None:
    """Wait for a process; gives its peak memory in bytes where the system tells."""
    if not hasattr(os, "wait4"):
        process.wait()
        return None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    # What this process had when it began the other would count as well: it is kept small.
    return maxrss_bytes(usage.ru_maxrss)

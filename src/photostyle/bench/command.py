"""Times the whole command `photostyle image`, from its start to the finished file."""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from photostyle.bench.process import in_fresh_process, run_command
from photostyle.bench.resolution import Resolution
from photostyle.bench.settings import Settings


@dataclass(frozen=True)
class CommandMeasurement:
    """The run of median duration on JPEG files of one resolution.

    seconds: times of the phases that the command reports, "start" (everything else) and "total".
    pillow_seconds: Pillow's time to read the same photo and write it with the same settings.
    peak_bytes: the largest peak memory of the command's process in all runs.
    """

    resolution: Resolution
    mode: str
    seconds: dict[str, float]
    pillow_seconds: float
    peak_bytes: int | None

    @property
    def pillow_ratio(self) -> float:
        """The command's time divided by Pillow's."""
        return self.seconds["total"] / self.pillow_seconds

    def as_json(self) -> dict[str, Any]:
        return {
            "width": self.resolution.width,
            "height": self.resolution.height,
            "mode": self.mode,
            "seconds": self.seconds,
            "pillow_seconds": self.pillow_seconds,
            "pillow_ratio": self.pillow_ratio,
            "peak_bytes": self.peak_bytes,
        }


def measure_command(resolution: Resolution, settings: Settings) -> CommandMeasurement:
    """Run `photostyle image` on photos of a resolution.

    Raises PhotostyleError with the command's own message if it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pillow_seconds = in_fresh_process(_prepare, folder, resolution, settings.runs)
        measured = [_run(folder, settings) for _ in range(settings.runs)]
    measured.sort(key=lambda run: run.seconds["total"])
    median = measured[(len(measured) - 1) // 2]
    peak = max((run.peak_bytes for run in measured if run.peak_bytes is not None), default=None)
    return CommandMeasurement(resolution, median.mode, median.seconds, pillow_seconds, peak)


def _prepare(folder: Path, resolution: Resolution, runs: int) -> float:
    """Write the photos; return the median of Pillow's seconds to read and write the content."""
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


class _Run(NamedTuple):
    seconds: dict[str, float]
    mode: str
    peak_bytes: int | None


def _run(folder: Path, settings: Settings) -> _Run:
    content, style, result = (
        str(folder / f"{name}.jpg") for name in ("content", "style", "result")
    )
    command = [sys.executable, "-m", "photostyle", "image", content, style, "-o", result]
    options = [*settings.arguments, "--mode", settings.mode, "--tile", str(settings.tile)]
    run = run_command([*command, *options, "--force", "--json"])
    summary = json.loads(run.stdout)
    phases = summary["seconds"]
    start = run.seconds - sum(phases.values())
    seconds = {"start": start, **phases, "total": run.seconds}
    return _Run(seconds, summary["mode"], run.peak_bytes)

"""The engine measured: learning a style, and giving it to a photo of a resolution."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

import photostyle
from photostyle.allocator import keep_freed_memory
from photostyle.bench.baseline import BYTES_PER_PIXEL, Baseline
from photostyle.bench.process import free_memory, in_fresh_process, peak_memory
from photostyle.bench.resolution import Resolution
from photostyle.bench.scene import scene
from photostyle.bench.stopwatch import PHASES, Stopwatch
from photostyle.transfer.options import Mode
from photostyle.transfer.replay import CALLS
from photostyle.transfer.stylizer import Stylizer

STYLE = Resolution(1200, 800)
"""Of the photo that styles are learned from."""


class Spread(NamedTuple):
    """Repeated measurements, in seconds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        return cls(statistics.median(seconds), min(seconds), max(seconds))


@dataclass(frozen=True)
class Settings:
    """How to measure. options: of `Stylizer.apply`; runs: as many, after a warm-up."""

    model: str = "photonas"
    device: str = "auto"
    mode: Mode = "auto"
    options: dict[str, Any] = field(default_factory=dict)
    runs: int = 5
    baseline: bool = False


@dataclass(frozen=True)
class Measurement:
    """What was measured at one resolution.

    mode: the way that was taken. seconds: of "learning" (once per style), of each of PHASES (which
    are parts of the total; on a GPU they are waited for one by one, and add up to more), and of
    "total", for each photo once its style is learned. peak_bytes: of the process, or of the GPU's
    memory. floor: seconds to copy the photo within the GPU's memory, the least that any program
    could take. baseline: seconds of the reference program's way, or why there are none.
    """

    resolution: Resolution
    mode: str
    seconds: dict[str, Spread]
    peak_bytes: int | None
    floor: float | None = None
    baseline: float | str | None = None

    @property
    def total(self) -> float:
        return self.seconds["total"].median

    @property
    def megapixels_per_second(self) -> float:
        return self.resolution.megapixels / self.total

    @property
    def ratio(self) -> float | None:
        """How many times as long the reference program's way takes, for each photo."""
        return self.baseline / self.total if isinstance(self.baseline, float) else None

    def notes(self) -> Iterator[str]:
        """What is to be said beside the table of seconds."""
        peak = f", peak memory {self.peak_bytes / 1e6:.0f} MB" if self.peak_bytes else ""
        yield f"{self.megapixels_per_second:.1f} megapixels per second{peak}."
        if self.floor:
            yield f"{self.floor / self.total:.0%} of the speed of copying the photo."
        if isinstance(self.baseline, str):
            yield self.baseline
        elif self.baseline:
            new = self.total + self.seconds["learning"].median
            yield (
                f"The reference program's way takes {self.baseline:.1f} s: {self.ratio:.0f} times "
                f"as long, {self.baseline / new:.0f} times where the style is new."
            )

    def as_json(self) -> dict[str, Any]:
        return {
            "width": self.resolution.width,
            "height": self.resolution.height,
            "mode": self.mode,
            "seconds": {name: spread._asdict() for name, spread in self.seconds.items()},
            "megapixels_per_second": self.megapixels_per_second,
            "peak_bytes": self.peak_bytes,
            "copy_seconds": self.floor,
            "baseline_seconds": self.baseline if isinstance(self.baseline, float) else None,
            "baseline_ratio": self.ratio,
        }


def measure(resolution: Resolution, settings: Settings) -> Measurement:
    """Measure one resolution, in a fresh process; raises PhotostyleError as the engine does."""
    return in_fresh_process(_measure, resolution, settings)


def _measure(resolution: Resolution, settings: Settings) -> Measurement:
    keep_freed_memory()
    stylizer = photostyle.load(settings.model, device=settings.device)
    on_gpu = stylizer.device.type == "cuda"
    synchronise = torch.cuda.synchronize if on_gpu else lambda: None
    if on_gpu:
        torch.cuda.set_device(stylizer.device)
    style_photo: Any = scene(*STYLE, evening=True)
    photo: Any = scene(*resolution)
    if on_gpu:
        style_photo, photo = (_on_gpu(pixels, stylizer) for pixels in (style_photo, photo))
    style = stylizer.learn(style_photo)

    def apply() -> None:
        stylizer.apply(photo, style, mode=settings.mode, **settings.options)

    apply()
    synchronise()
    learning = [
        _seconds(lambda: stylizer.learn(style_photo), synchronise) for _ in range(settings.runs)
    ]
    phases = []
    for _ in range(settings.runs):
        watch = Stopwatch(synchronise)
        with watch.watching():
            apply()
        phases.append(watch)
    totals = [watch.total for watch in phases]
    if on_gpu:
        # Waiting at each phase costs time that is not spent when nobody looks.
        for _ in range(CALLS):  # until it is recorded
            apply()
        totals = [_event_seconds(apply) for _ in phases]
    peak = torch.cuda.max_memory_allocated() if on_gpu else peak_memory()
    spreads = {
        "learning": Spread.of(learning),
        **{name: Spread.of([watch.seconds[name] for watch in phases]) for name in PHASES},
        "total": Spread.of(totals),
    }
    way = stylizer.way(settings.mode, resolution.height, resolution.width)
    floor = _copy_seconds(photo) if on_gpu else None
    photo = None
    baseline = _baseline(resolution, stylizer.device) if settings.baseline else None
    return Measurement(resolution, way, spreads, peak, floor, baseline)


def _on_gpu(pixels: np.ndarray, stylizer: Stylizer) -> Tensor:
    return torch.from_numpy(pixels).to(stylizer.device).permute(2, 0, 1).float() / 255


def _seconds(call: Callable[[], object], synchronise: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    synchronise()
    return time.perf_counter() - start


def _event_seconds(call: Callable[[], object]) -> float:
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def _copy_seconds(photo: Tensor) -> float:
    """To read the photo once and write it once, at the speed of a copy too large for caches."""
    block = torch.empty(1 << 28, dtype=torch.uint8, device=photo.device)
    seconds = [_event_seconds(block.clone) for _ in range(9)]
    return statistics.median(seconds) * photo.nbytes / block.nbytes


def _baseline(resolution: Resolution, device: torch.device) -> float | str:
    """Seconds of the reference program's way, once, after a small run; or why there are none."""
    needed = BYTES_PER_PIXEL * resolution.width * resolution.height
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    if free is not None and needed > free:
        return (
            f"The baseline needs about {needed / 1e9:.0f} GB of memory, and {free / 1e9:.0f} GB "
            "are free."
        )
    baseline = Baseline().to(device)
    synchronise = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    for width, height in [(256, 256), resolution]:
        # Both photos are squashed to one size.
        content, style = (
            torch.from_numpy(scene(width, height, evening))
            .permute(2, 0, 1)[None]
            .to(device)
            .contiguous()
            .float()
            / 255
            for evening in (False, True)
        )
        with torch.inference_mode():
            seconds = _seconds(lambda c=content, s=style: baseline(c, s), synchronise)  # type: ignore[misc]
    return seconds

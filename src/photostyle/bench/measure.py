"""Times the engine: learning a style, and applying it to a photo of a given resolution."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from photostyle.allocator import keep_freed_memory
from photostyle.bench.baseline import BYTES_PER_PIXEL, Baseline
from photostyle.bench.phases import PHASES, profile_call
from photostyle.bench.process import free_memory, in_fresh_process, peak_memory
from photostyle.bench.resolution import Resolution
from photostyle.bench.scene import scene
from photostyle.bench.settings import Settings
from photostyle.transfer.stylizer import Stylizer, load

STYLE = Resolution(1200, 800)
"""Size of the style photo."""


class Spread(NamedTuple):
    """Median and range of repeated measurements, in seconds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, seconds: list[float]) -> Spread:
        return cls(statistics.median(seconds), min(seconds), max(seconds))


@dataclass(frozen=True)
class Measurement:
    """The figures of one resolution; times are in seconds.

    mode: the mode used, "fast" or "exact". learning: time to learn the style. total: time for each
    photo once the style is learned, without the profiler. profiled: time of additional runs under
    the profiler, whose parts are the phases. overhead: the profiler's overhead as a fraction of a
    run. peak_bytes: peak memory of the process, or of the GPU. copy_seconds: time to copy the photo
    within the GPU's memory, a lower bound for any program. baseline: time of the reference
    implementation, or the reason why it was not run.
    """

    resolution: Resolution
    mode: str
    learning: Spread
    phases: dict[str, Spread]
    total: Spread
    profiled: Spread
    overhead: float
    peak_bytes: int | None
    copy_seconds: float | None = None
    baseline: float | str | None = None

    @property
    def seconds(self) -> dict[str, Spread]:
        return {"learning": self.learning, **self.phases, "total": self.total}

    @property
    def megapixels_per_second(self) -> float:
        return self.resolution.megapixels / self.total.median

    @property
    def baseline_ratio(self) -> float | None:
        """The reference implementation's time for a photo divided by ours."""
        return self.baseline / self.total.median if isinstance(self.baseline, float) else None

    def as_json(self) -> dict[str, Any]:
        return {
            "width": self.resolution.width,
            "height": self.resolution.height,
            "mode": self.mode,
            "seconds": {name: spread._asdict() for name, spread in self.seconds.items()},
            "profiled_seconds": self.profiled._asdict(),
            "profiler_overhead": self.overhead,
            "megapixels_per_second": self.megapixels_per_second,
            "peak_bytes": self.peak_bytes,
            "copy_seconds": self.copy_seconds,
            "baseline_seconds": self.baseline if isinstance(self.baseline, float) else None,
            "baseline_ratio": self.baseline_ratio,
        }


def measure(resolution: Resolution, settings: Settings) -> Measurement:
    """Measure one resolution in a fresh process; raises PhotostyleError as the engine does."""
    return in_fresh_process(_measure, resolution, settings)


def _measure(resolution: Resolution, settings: Settings) -> Measurement:
    keep_freed_memory()
    stylizer = load(settings.model, device=settings.device)
    device = stylizer.device
    if device.type == "cuda":
        torch.cuda.set_device(device)
    style_photo = _photo(STYLE, device, evening=True)
    photo = _photo(resolution, device)
    style = stylizer.learn(style_photo)

    def apply() -> None:
        stylizer.apply(
            photo,
            style,
            match=settings.match,
            mode=settings.mode,
            working_size=settings.working_size,
            tile=settings.tile,
        )

    apply()
    learning = [_seconds(lambda: stylizer.learn(style_photo), device) for _ in range(settings.runs)]
    totals = [_seconds(apply, device) for _ in range(settings.runs)]
    # Read before profiling, because the profiler's events take memory as well.
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else peak_memory()
    phases, profiled, overhead = _phases(apply, device, settings.runs)
    return Measurement(
        resolution,
        Stylizer.choose_mode(settings.mode, resolution.height, resolution.width),
        Spread.of(learning),
        phases,
        Spread.of(totals),
        profiled,
        overhead,
        peak,
        _copy_seconds(photo) if isinstance(photo, Tensor) else None,
        _baseline(resolution, device) if settings.baseline else None,
    )


def _photo(resolution: Resolution, device: torch.device, evening: bool = False) -> Any:
    """A photo in its usual form: an array (H, W, 3), or on a GPU a tensor (3, H, W) in 0..1."""
    pixels = scene(*resolution, evening)
    if device.type != "cuda":
        return pixels
    return torch.from_numpy(pixels).to(device).permute(2, 0, 1).float() / 255


def _phases(
    apply: Callable[[], None], device: torch.device, runs: int
) -> tuple[dict[str, Spread], Spread, float]:
    """The times of the phases and of the profiled runs, and the overhead of the profiler."""
    profile_call(apply, device)  # the profiler's own warm-up
    plain, calls = [], []
    for _ in range(runs):  # alternately, because the speed of a machine drifts
        plain.append(_seconds(apply, device))
        calls.append(profile_call(apply, device))
    phases = {name: Spread.of([call.phases[name] for call in calls]) for name in PHASES}
    profiled = Spread.of([call.elapsed for call in calls])
    return phases, profiled, profiled.median / statistics.median(plain) - 1


def _seconds(call: Callable[[], object], device: torch.device) -> float:
    """The time of a call; on a GPU, the time between two CUDA events."""
    if device.type != "cuda":
        start = time.perf_counter()
        call()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / 1000


def _copy_seconds(photo: Tensor) -> float:
    """The time to read and write the photo once, at the speed of a copy too large for caches."""
    block = torch.empty(1 << 28, dtype=torch.uint8, device=photo.device)
    seconds = [_seconds(block.clone, photo.device) for _ in range(9)]
    return statistics.median(seconds) * photo.nbytes / block.nbytes


def _baseline(resolution: Resolution, device: torch.device) -> float | str:
    """Seconds of the reference implementation, or the reason why it was not run."""
    needed = BYTES_PER_PIXEL * resolution.width * resolution.height
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else free_memory()
    if free is not None and needed > free:
        return (
            f"The baseline needs about {needed / 1e9:.0f} GB of memory, but only "
            f"{free / 1e9:.0f} GB are free."
        )
    baseline = Baseline().to(device)
    _baseline_run(baseline, Resolution(256, 256), device)  # a warm-up
    return _baseline_run(baseline, resolution, device)


@torch.inference_mode()
def _baseline_run(baseline: Baseline, resolution: Resolution, device: torch.device) -> float:
    """Seconds of one run; the reference implementation resizes both photos to one size."""
    content, style = (
        torch.from_numpy(scene(*resolution, evening)).permute(2, 0, 1)[None].to(device).contiguous()
        / 255
        for evening in (False, True)
    )
    return _seconds(lambda: baseline(content, style), device)

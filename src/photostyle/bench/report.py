"""Formats measurements as tables and sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from photostyle.bench.command import CommandMeasurement
    from photostyle.bench.measure import Measurement
    from photostyle.bench.video import ClipMeasurement


class Table(NamedTuple):
    """A table of text cells; each row has one cell for each column of the header."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def phase_table(measurement: Measurement) -> Table:
    """The phases at one resolution: times, and percentages of their sum."""
    header = (f"{measurement.resolution}, {measurement.mode}", "median", "fastest", "slowest", "%")
    whole = sum(spread.median for spread in measurement.phases.values())
    rows = [
        (
            name,
            *(_seconds(value) for value in spread),
            f"{spread.median / whole:.0%}" if name in measurement.phases else "",
        )
        for name, spread in measurement.seconds.items()
    ]
    return Table(header, rows)


def notes(measurement: Measurement) -> Iterator[str]:
    """Sentences on figures that the table of phases does not show."""
    total, peak = measurement.total.median, measurement.peak_bytes
    yield (
        f"{measurement.megapixels_per_second:.1f} megapixels per second, "
        f"peak memory {_memory(peak)}."
    )
    yield f"The phases were measured under a profiler, which adds {measurement.overhead:+.1%}."
    if measurement.copy_seconds:
        yield f"{measurement.copy_seconds / total:.0%} of the speed of copying the photo."
    if isinstance(measurement.baseline, str):
        yield measurement.baseline
    elif measurement.baseline:
        with_learning = total + measurement.learning.median
        yield (
            f"The reference implementation takes {measurement.baseline:.1f} s: "
            f"{measurement.baseline_ratio:.0f} times as long, or "
            f"{measurement.baseline / with_learning:.0f} times if the style is new."
        )


def summary_table(measurements: Sequence[Measurement]) -> Table:
    """One row for each resolution."""
    header = ("", "mode", "MP", "learning", "total", "MP per s", "peak memory", "baseline")
    rows = [
        (
            str(measurement.resolution),
            measurement.mode,
            f"{measurement.resolution.megapixels:.1f}",
            _seconds(measurement.learning.median),
            _seconds(measurement.total.median),
            f"{measurement.megapixels_per_second:.1f}",
            _memory(measurement.peak_bytes),
            f"{ratio:.0f}x" if (ratio := measurement.baseline_ratio) else "-",
        )
        for measurement in measurements
    ]
    return Table(header, rows)


def command_table(commands: Sequence[CommandMeasurement]) -> Table:
    """The phases of `photostyle image`, one row for each resolution."""
    header = ("", "mode", *commands[0].seconds, "Pillow", "ratio", "peak memory")
    rows = [
        (
            str(command.resolution),
            command.mode,
            *(_seconds(value) for value in command.seconds.values()),
            _seconds(command.pillow_seconds),
            f"{command.pillow_ratio:.1f}x",
            _memory(command.peak_bytes),
        )
        for command in commands
    ]
    return Table(header, rows)


def stability_table(clips: Sequence[ClipMeasurement]) -> Table:
    """Warping error and flicker in each temporal mode, one row for each clip."""
    header = ("warping error, flicker", *clips[0].stability)
    rows = [
        (
            clip.name,
            *(
                f"{stability.warping_error:.2f}, "
                + ("-" if stability.flicker is None else f"{stability.flicker:.2f}")
                for stability in clip.stability.values()
            ),
        )
        for clip in clips
    ]
    return Table(header, rows)


def speed_table(clips: Sequence[ClipMeasurement]) -> Table:
    """The speed of `photostyle video`, one row for each clip."""
    header = ("", "size", "frames", "command", "codec", "ratio", "fps", "image fps", "peak memory")
    rows = [
        (
            clip.name,
            f"{clip.size[0]}x{clip.size[1]}",
            str(clip.speed.frames),
            _seconds(clip.speed.command_seconds),
            _seconds(clip.speed.codec_seconds),
            f"{clip.speed.codec_ratio:.1f}x",
            f"{clip.speed.frames / clip.speed.command_seconds:.1f}",
            f"{1 / clip.speed.image_seconds:.1f}",
            _memory(clip.speed.peak_bytes),
        )
        for clip in clips
    ]
    return Table(header, rows)


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _memory(peak: int | None) -> str:
    return "unknown" if peak is None else f"{peak / 1e6:.0f} MB"

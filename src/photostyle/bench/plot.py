"""Plots time and memory against the size of the photo."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import TYPE_CHECKING

from photostyle.errors import PhotostyleError, needs_extra
from photostyle.files import new_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from photostyle.bench.measure import Measurement

REPORTED = {1920 * 1080 / 1e6: 0.58, 2560 * 1440 / 1e6: 0.988}
"""Seconds of PhotoNAS by megapixels, as reported by An et al. (AAAI 2020) and later papers."""

FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


def check_plot(target: Path) -> None:
    """Raise PhotostyleError if plots cannot be written as ``target`` or matplotlib is missing."""
    if target.suffix.lower() not in FORMATS:
        raise PhotostyleError(
            f"Plots cannot be written as {target.name!r}; use one of the extensions "
            f"{', '.join(FORMATS)}."
        )
    with needs_extra("plot"):
        import matplotlib  # noqa: F401


def plot(
    measurements: Sequence[Measurement], title: str, target: Path, *, overwrite: bool = False
) -> None:
    """Write the plot with logarithmic axes; raises PhotostyleError as `new_file` does."""
    from matplotlib.figure import Figure

    measurements = sorted(measurements, key=lambda measurement: measurement.resolution.megapixels)
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    time, memory = figure.subplots(1, 2)
    _plot_time(time, measurements)
    _plot_memory(memory, measurements)
    for axes in (time, memory):
        _format(axes, [measurement.resolution.megapixels for measurement in measurements])
    with new_file(target, overwrite=overwrite) as stream:
        figure.savefig(stream, format=FORMATS[target.suffix.lower()], dpi=120)


def _plot_time(axes: Axes, measurements: Sequence[Measurement]) -> None:
    sizes = [measurement.resolution.megapixels for measurement in measurements]
    totals = [measurement.total for measurement in measurements]
    medians = [total.median for total in totals]
    below = [total.median - total.low for total in totals]
    above = [total.high - total.median for total in totals]
    axes.errorbar(sizes, medians, yerr=[below, above], marker="o", capsize=3, label="photostyle")
    baselines = {
        size: measurement.baseline
        for size, measurement in zip(sizes, measurements, strict=True)
        if isinstance(measurement.baseline, float)
    }
    if baselines:
        label = "reference implementation, same machine"
        axes.scatter(*_points(baselines), marker="s", color="C3", label=label)
    label = "PhotoNAS as reported, GPUs of 2019-2023"
    axes.scatter(*_points(REPORTED), marker="D", color="0.4", label=label)
    axes.set_ylabel("seconds per photo")


def _plot_memory(axes: Axes, measurements: Sequence[Measurement]) -> None:
    peaks = {
        measurement.resolution.megapixels: measurement.peak_bytes / 1e6
        for measurement in measurements
        if measurement.peak_bytes is not None
    }
    if peaks:
        axes.plot(*_points(peaks), marker="o", label="photostyle")
    axes.set_ylabel("peak memory, MB")


def _points(values: Mapping[float, float]) -> tuple[list[float], list[float]]:
    return list(values), list(values.values())


def _format(axes: Axes, sizes: Sequence[float]) -> None:
    """Make axes logarithmic, with plain numbers, whole decades of height, and a tick per size."""
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set(xscale="log", yscale="log", xlabel="megapixels")
    axes.grid(which="both", alpha=0.25)
    axes.legend(fontsize="small")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axis.set_minor_formatter(NullFormatter())
    low, high = axes.get_ylim()
    axes.set_ylim(10 ** floor(log10(low)), 10 ** ceil(log10(high)))
    axes.set_xticks(sizes, [f"{size:.3g}" for size in sizes])

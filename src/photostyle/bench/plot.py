"""Time and memory against the size of the photo."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path

from photostyle.bench.measure import Measurement
from photostyle.errors import PhotostyleError
from photostyle.files import new_file

PUBLISHED = {1920 * 1080 / 1e6: 0.58, 2560 * 1440 / 1e6: 0.988}
"""Megapixels and seconds of PhotoNAS (An et al., AAAI 2020, and what later papers measured)."""

FORMATS = {".png": "png", ".svg": "svg", ".pdf": "pdf"}


def check(target: Path) -> None:
    """Raises PhotostyleError, before the work, where no plot could be made of that name."""
    if target.suffix.lower() not in FORMATS:
        raise PhotostyleError(f"{str(target)!r} does not end in {', '.join(FORMATS)}.")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise PhotostyleError("A plot needs matplotlib: pip install 'photostyle[plot]'") from None


def plot(
    measurements: Sequence[Measurement], title: str, target: Path, *, overwrite: bool = False
) -> None:
    """Write the plot, both axes logarithmic; raises PhotostyleError as `new_file` does."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, NullFormatter

    measurements = sorted(measurements, key=lambda measurement: measurement.resolution.megapixels)
    sizes = [measurement.resolution.megapixels for measurement in measurements]
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    figure.suptitle(title, fontsize="medium")
    time, memory = figure.subplots(1, 2)

    totals = [measurement.seconds["total"] for measurement in measurements]
    medians = [total.median for total in totals]
    low, high = (
        [abs(total.median - getattr(total, end)) for total in totals] for end in ("low", "high")
    )
    time.errorbar(sizes, medians, yerr=[low, high], marker="o", capsize=3, label="photostyle")
    baselines = [
        (size, measurement.baseline)
        for size, measurement in zip(sizes, measurements, strict=True)
        if isinstance(measurement.baseline, float)
    ]
    if baselines:
        time.scatter(
            *zip(*baselines, strict=True), marker="s", color="C3", label="reference, same machine"
        )
    time.scatter(
        PUBLISHED.keys(),
        PUBLISHED.values(),
        marker="D",
        color="0.4",
        label="PhotoNAS as published, GPU of 2019-2023",
    )
    time.set_ylabel("seconds per photo")

    known = [(size, m.peak_bytes) for size, m in zip(sizes, measurements, strict=True)]
    points = [(size, peak / 1e6) for size, peak in known if peak is not None]
    if points:
        memory.plot(*zip(*points, strict=True), marker="o", label="photostyle")
    memory.set_ylabel("peak memory, MB")

    for axes in (time, memory):
        axes.set(xscale="log", yscale="log", xlabel="megapixels")
        axes.grid(which="both", alpha=0.25)
        axes.legend(fontsize="small")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(NullFormatter())
        low, high = axes.get_ylim()
        axes.set_ylim(10 ** floor(log10(low)), 10 ** ceil(log10(high)))
        axes.set_xticks(sizes, [f"{size:.3g}" for size in sizes])
    with new_file(target, overwrite=overwrite) as stream:
        figure.savefig(stream, format=FORMATS[target.suffix.lower()], dpi=120)

"""`photostyle bench`: how fast, and in how much memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import click

from photostyle.cli import _options

if TYPE_CHECKING:
    from rich.console import Console

    from photostyle.bench.command import Command
    from photostyle.bench.measure import Measurement, Settings
    from photostyle.bench.resolution import Resolution

T = TypeVar("T")


def _parse(ctx: click.Context, parameter: click.Parameter, text: str) -> list[Resolution]:  # noqa: ARG001
    from photostyle.bench.resolution import parse
    from photostyle.errors import PhotostyleError

    try:
        return parse(text)
    except PhotostyleError as error:
        raise click.BadParameter(str(error)) from error


@click.command()
@click.option(
    "--res",
    "resolutions",
    default="fhd,2k,4k,8k",
    show_default=True,
    callback=_parse,
    help="fhd, 2k, 4k, 8k or one like 1920x1080; several with commas.",
)
@click.option(
    "--model", default="photonas", show_default=True, help="photonas, photonet or a weights file."
)
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.", metavar="NAME"
)
@_options.transfer
@_options.threads
@click.option("--runs", type=click.IntRange(1), default=5, show_default=True, help="How often.")
@click.option("--baseline", is_flag=True, help="Also time the reference program's way, once.")
@click.option("--whole", is_flag=True, help="Measure the whole command, from file to file.")
@click.option(
    "--video",
    "clips",
    multiple=True,
    type=click.Path(readable=False, path_type=Path),
    help="Measure `photostyle video` on this clip instead of photos; may be repeated.",
)
@click.option(
    "--frames",
    type=click.IntRange(2),
    default=40,
    show_default=True,
    help="Of a clip, to see how steady they are.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), help="Also write the figures to a file."
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path),
    help="Also draw time and memory against megapixels: .png, .svg or .pdf.",
)
@click.option("--force", is_flag=True, help="Overwrite existing files.")
def bench(
    resolutions: list[Resolution],
    model: str,
    device: str,
    mode: Literal["auto", "fast", "exact"],
    working_size: int,
    tile: int,
    runs: int,
    baseline: bool,
    whole: bool,
    clips: tuple[Path, ...],
    frames: int,
    json_file: Path | None,
    plot_file: Path | None,
    force: bool,
) -> None:
    """Measure how fast photos are given a look, and in how much memory.

    The photos are rendered. Each resolution is measured in a process of its own, after a warm-up.
    A style is learned once; the total is the time of each photo from then on.

    --baseline runs PhotoNAS as the authors' program does: the published widths at full resolution,
    both photos of that size, the style encoded for each photo, SVD in float64. That takes 6 GB of
    memory per megapixel.

    --whole measures `photostyle image` on JPEG files with all that belongs to it, and how long
    Pillow takes to read and write the same photo.

    --video measures how steady a clip becomes in each temporal mode, over the clip's own unrest,
    and how long the command takes, over ffmpeg's decoding and encoding alone.
    """
    if clips and (whole or baseline or plot_file):
        raise click.UsageError("--video goes without --whole, --baseline and --plot.")
    if whole and (baseline or plot_file):
        raise click.UsageError("--whole goes without --baseline and --plot.")

    from rich.console import Console

    from photostyle.bench.machine import machine
    from photostyle.files import check_target, new_file

    for file in (json_file, plot_file):
        if file:
            check_target(file, overwrite=force)
    if plot_file:
        from photostyle.bench import plot

        plot.check(plot_file)

    console = Console() if sys.stdout.isatty() else Console(width=120)
    facts = machine(device)
    for name, value in facts.items():
        console.print(f"{name}: {value}", highlight=False)
    options = {"working_size": working_size, "tile": tile}
    report: dict[str, Any] = {"machine": facts, "model": model, "runs": runs, **options}
    if clips:
        report["clips"] = _clips(console, clips, model, device, frames, working_size)
    elif whole:
        words = ["--model", model, "--device", device, "--mode", mode]
        for name, option in options.items():
            words += [f"--{name.replace('_', '-')}", str(option)]
        commands = _commands(console, resolutions, words, runs)
        report["commands"] = [command.as_json() for command in commands]
    else:
        # Here, because it imports torch: see command.py.
        from photostyle.bench.measure import Settings

        settings = Settings(model, device, mode, options, runs, baseline)
        measurements = _measurements(console, resolutions, settings)
        report["measurements"] = [measurement.as_json() for measurement in measurements]
        if plot_file:
            title = f"{facts['device']}: {facts['processor']}, threads: {facts['threads']}"
            plot.plot(measurements, title, plot_file, overwrite=force)
    if json_file:
        with new_file(json_file, overwrite=force) as stream:
            stream.write(json.dumps(report, indent=2).encode() + b"\n")


def _measurements(
    console: Console, resolutions: list[Resolution], settings: Settings
) -> list[Measurement]:
    """Measure each resolution and print its table, and at the end one of all."""
    from photostyle.bench.measure import measure

    measurements = []
    for resolution in resolutions:
        measurement = _with_spinner(resolution, measure, resolution, settings)
        measurements.append(measurement)
        total = measurement.seconds["total"].median
        rows = [
            (
                name,
                *(_seconds(value) for value in spread),
                "" if name == "learning" else f"{spread.median / total:.0%}",
            )
            for name, spread in measurement.seconds.items()
        ]
        header = (f"{resolution}, {measurement.mode}", "median", "fastest", "slowest", "share")
        _print_table(console, header, rows)
        for note in measurement.notes():
            console.print(note, highlight=False)
    if len(measurements) > 1:
        _print_summary(console, measurements)
    return measurements


def _print_summary(console: Console, measurements: list[Measurement]) -> None:
    header = ("", "mode", "MP", "learning", "total", "MP per s", "peak memory", "baseline")
    rows = [
        (
            str(measurement.resolution),
            measurement.mode,
            f"{measurement.resolution.megapixels:.1f}",
            _seconds(measurement.seconds["learning"].median),
            _seconds(measurement.seconds["total"].median),
            f"{measurement.megapixels_per_second:.1f}",
            _memory(measurement.peak_bytes),
            f"{measurement.ratio:.0f}x" if measurement.ratio else "-",
        )
        for measurement in measurements
    ]
    _print_table(console, header, rows)


def _commands(
    console: Console, resolutions: list[Resolution], words: list[str], runs: int
) -> list[Command]:
    """Measure the command at each resolution and print a table of all."""
    from photostyle.bench.command import measure_command

    commands = [
        _with_spinner(resolution, measure_command, resolution, words, runs)
        for resolution in resolutions
    ]
    header = ("", "mode", *commands[0].seconds, "Pillow", "ratio", "peak memory")
    rows = [
        (
            str(command.resolution),
            command.mode,
            *(_seconds(value) for value in command.seconds.values()),
            _seconds(command.pillow),
            f"{command.ratio:.1f}x",
            _memory(command.peak_bytes),
        )
        for command in commands
    ]
    _print_table(console, header, rows)
    return commands


def _clips(
    console: Console,
    paths: tuple[Path, ...],
    model: str,
    device: str,
    frames: int,
    working_size: int | None,
) -> list[dict[str, Any]]:
    """Measure each clip, and print a table of how steady and one of how fast."""
    import photostyle
    from photostyle.allocator import keep_freed_memory
    from photostyle.bench.video import measure_clip

    keep_freed_memory()
    stylizer = photostyle.load(model, device=device)
    size = [] if working_size is None else ["--working-size", str(working_size)]
    options = ["--model", model, "--device", device, *size]
    measured = [
        _with_spinner(path.name, measure_clip, path, stylizer, frames, options) for path in paths
    ]
    modes = list(measured[0].steadiness)
    header = ("warping error, flicker", *(f"{mode}" for mode in modes))
    rows = [
        (
            clip.name,
            *(
                f"{clip.steadiness[mode].warping:.2f}, "
                + (f"{flicker:.2f}" if (flicker := clip.steadiness[mode].flicker) else "-")
                for mode in modes
            ),
        )
        for clip in measured
    ]
    _print_table(console, header, rows)
    header = ("", "size", "frames", "command", "codec", "ratio", "fps", "by image", "peak memory")
    rows = [
        (
            clip.name,
            "x".join(map(str, clip.size)),
            str(speed.frames),
            _seconds(speed.command),
            _seconds(speed.codec),
            f"{speed.ratio:.1f}x",
            f"{speed.frames / speed.command:.1f}",
            f"{1 / speed.image:.1f}",
            _memory(speed.peak_bytes),
        )
        for clip in measured
        for speed in [clip.speed]
    ]
    _print_table(console, header, rows)
    return [clip.as_json() for clip in measured]


def _with_spinner(resolution: Resolution | str, call: Callable[..., T], *arguments: Any) -> T:
    from rich.console import Console

    terminal = sys.stderr.isatty()
    with Console(stderr=True).status(f"{resolution}") if terminal else nullcontext():
        return call(*arguments)


def _print_table(
    console: Console, header: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> None:
    from rich import box
    from rich.table import Table

    table = Table(box=box.MARKDOWN)
    for name in header:
        left = name in ("", "mode") or name == header[0]
        table.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in rows:
        table.add_row(*row, style="bold" if row[0] == "total" else "")
    console.print()
    console.print(table)


def _seconds(value: float) -> str:
    return f"{value:.3g} s" if value >= 1 else f"{1000 * value:.3g} ms"


def _memory(peak: int | None) -> str:
    return "unknown" if peak is None else f"{peak / 1e6:.0f} MB"

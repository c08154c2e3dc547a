"""`photostyle bench`: measure speed and peak memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from photostyle.bench.command import CommandMeasurement, measure_command
from photostyle.bench.machine import machine
from photostyle.bench.plot import check_plot, plot
from photostyle.bench.report import (
    Table,
    command_table,
    notes,
    phase_table,
    speed_table,
    stability_table,
    summary_table,
)
from photostyle.bench.resolution import Resolution, parse
from photostyle.bench.settings import Settings
from photostyle.cli import _options, _progress
from photostyle.errors import PhotostyleError
from photostyle.files import check_target, new_file
from photostyle.transfer.options import VIDEO_WORKING_SIZE

if TYPE_CHECKING:
    from photostyle.bench.measure import Measurement
    from photostyle.bench.video import ClipMeasurement

Subject = TypeVar("Subject", Resolution, Path)
Result = TypeVar("Result")

option = _options.of(Settings)


class Resolutions(click.ParamType):  # type: ignore[type-arg]
    """A list of resolutions, separated by commas."""

    name = "resolutions"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> list[Resolution]:
        try:
            return parse(value)
        except PhotostyleError as error:
            self.fail(str(error), parameter, context)


@click.command()
@click.option(
    "--res",
    "resolutions",
    type=Resolutions(),
    metavar="LIST",
    default="fhd,2k,4k,8k",
    show_default=True,
    help="Resolutions: fhd, 2k, 4k, 8k or sizes like 1920x1080, separated by commas.",
)
@_options.model
@_options.device
@_options.match
@_options.transfer
@_options.threads
@option(
    "--runs", type=click.IntRange(1), metavar="COUNT", help="Number of timed runs, after a warm-up."
)
@option("--baseline", is_flag=True, help="Also time the reference implementation, once.")
@click.option("--whole", is_flag=True, help="Time `photostyle image` from file to file.")
@click.option(
    "--video",
    "clips",
    multiple=True,
    type=click.Path(readable=False, path_type=Path),
    metavar="CLIP",
    help="Measure `photostyle video` on this clip instead; repeat for more clips.",
)
@option(
    "--frames",
    type=click.IntRange(2),
    metavar="COUNT",
    help="Number of frames whose stability is measured.",
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also write the results as JSON.",
)
@click.option(
    "--plot",
    "plot_file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Also plot time and memory against megapixels: .png, .svg or .pdf.",
)
@_options.force
@click.pass_context
def bench(
    ctx: click.Context,
    /,
    resolutions: list[Resolution],
    clips: tuple[Path, ...],
    whole: bool,
    json_file: Path | None,
    plot_file: Path | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Measure speed and peak memory.

    The photos are synthetic. Each resolution is measured in its own process, after a warm-up. The
    style is learned once; the total is the time for each photo after that. The times of the phases
    come from additional runs under a profiler.

    --baseline runs PhotoNAS as its authors do: full widths at full resolution, both photos at that
    size, the style encoded for each photo, SVD in float64. It needs 6 GB of memory per megapixel.

    --whole times the command `photostyle image` on JPEG files, and Pillow reading and writing the
    same photo.

    --video compares the temporal stability of each temporal mode with that of the clip itself, and
    the time of `photostyle video` with that of ffmpeg decoding and encoding alone; --working-size
    then has the default of `photostyle video`.
    """
    _check_usage(ctx, bool(clips), whole)
    if clips and not _is_given(ctx, "working_size"):
        options["working_size"] = VIDEO_WORKING_SIZE
    settings = Settings(**options)
    _check_targets(json_file, plot_file, overwrite)
    facts = machine(settings.device)
    for name, value in facts.items():
        click.echo(f"{name}: {value}")
    results: list[Any]
    if clips:
        name, results = "clips", _measure_clips(clips, settings)
    elif whole:
        name, results = "commands", _measure_commands(resolutions, settings)
    else:
        measurements = _measure_engine(resolutions, settings)
        if plot_file:
            title = f"{facts['device']}: {facts['processor']}, threads: {facts['threads']}"
            plot(measurements, title, plot_file, overwrite=overwrite)
        name, results = "measurements", measurements
    if json_file:
        report = {"machine": facts, **asdict(settings), name: [one.as_json() for one in results]}
        with new_file(json_file, overwrite=overwrite) as stream:
            stream.write(json.dumps(report, indent=2).encode() + b"\n")


def _check_usage(ctx: click.Context, video: bool, whole: bool) -> None:
    """Raise click.UsageError for options that exclude each other."""
    excluded: tuple[str, ...] = ()
    if video:
        excluded = ("whole", "baseline", "plot_file", "resolutions", "mode", "tile")
    elif whole:
        excluded = ("baseline", "plot_file")
    for parameter in ctx.command.params:
        if parameter.name in excluded and _is_given(ctx, parameter.name):
            mode = "--video" if video else "--whole"
            raise click.UsageError(f"{parameter.opts[0]} cannot be used with {mode}.")
    if not video and _is_given(ctx, "frames"):
        raise click.UsageError("--frames needs --video.")


def _is_given(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE


def _check_targets(json_file: Path | None, plot_file: Path | None, overwrite: bool) -> None:
    """Raise PhotostyleError, before the work, if a file cannot be written."""
    for file in (json_file, plot_file):
        if file:
            check_target(file, overwrite=overwrite)
    if plot_file:
        check_plot(plot_file)


def _measure_engine(resolutions: Sequence[Resolution], settings: Settings) -> list[Measurement]:
    """Measure each resolution and print its phases; print a summary of several."""
    from photostyle.bench.measure import measure

    measurements = []
    for measurement in _each(resolutions, measure, settings):
        measurements.append(measurement)
        _print_table(phase_table(measurement))
        for note in notes(measurement):
            click.echo(note)
    if len(measurements) > 1:
        _print_table(summary_table(measurements))
    return measurements


def _measure_commands(
    resolutions: Sequence[Resolution], settings: Settings
) -> list[CommandMeasurement]:
    """Time the command at each resolution and print one table."""
    commands = list(_each(resolutions, measure_command, settings))
    _print_table(command_table(commands))
    return commands


def _measure_clips(clips: Sequence[Path], settings: Settings) -> list[ClipMeasurement]:
    """Measure each clip and print two tables: stability and speed."""
    from photostyle.bench.video import measure_clip

    measured = list(_each(clips, measure_clip, settings))
    _print_table(stability_table(measured))
    _print_table(speed_table(measured))
    return measured


def _each(
    subjects: Sequence[Subject], measure: Callable[[Subject, Settings], Result], settings: Settings
) -> Iterator[Result]:
    """Yield the measurement of each subject, with a progress bar."""
    for subject in subjects:
        with _progress.bar(str(subject)):
            result = measure(subject, settings)
        yield result


def _print_table(table: Table) -> None:
    """Print a Markdown table, with text aligned left and figures right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table as RichTable

    rendered = RichTable(box=box.MARKDOWN)
    for number, name in enumerate(table.header):
        left = number == 0 or name == "mode"
        rendered.add_column(name, justify="left" if left else "right", no_wrap=True)
    for row in table.rows:
        rendered.add_row(*row, style="bold" if row[0] == "total" else "")
    console = Console() if sys.stdout.isatty() else Console(width=120)
    console.print()
    console.print(rendered)

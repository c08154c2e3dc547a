"""`photostyle lut`: make 3D LUTs, and apply them to photos."""

from __future__ import annotations

import os
from typing import Any, get_args

import click

from photostyle.cli import _options, _progress
from photostyle.jobs.lut import SIZES, LutReport, apply_lut, fit_lut, make_lut
from photostyle.jobs.photo import Depth


@click.group()
def lut() -> None:
    """Make 3D LUTs, and apply them to photos.

    A LUT is a .cube file, or a Hald CLUT as .png or .tif.
    """


_make, _fit = _options.of(make_lut), _options.of(fit_lut)


def _written(command: _options.Command) -> _options.Command:
    """The options of a LUT that is written."""
    for option in (
        _options.force,
        _make(
            "--clamp/--no-clamp", help="Clamp the values to 0..1; a Hald CLUT is always clamped."
        ),
        _make("--title", help="Title in the file.  [default: the names of the photos]"),
        _make(
            "--size",
            type=click.Choice(SIZES),
            help="Number of points per axis; more points store finer changes.  "
            "[default: 33; 65 for log footage]",
        ),
        click.option(
            "-o",
            "--output",
            type=_options.FILE,
            required=True,
            help="File to write: .cube, or .png or .tif for a Hald CLUT.",
        ),
    ):
        command = option(command)
    return command


@lut.command()
@click.argument("content", type=_options.FILE)
@_options.styles
@_written
@_options.model
@_options.device
@_options.strength
@_options.match
@_options.keep
@_options.input_space
@_options.threads
def make(**options: Any) -> None:
    """Write the LUT that comes closest to giving CONTENT the look of STYLE.

    Use it for other photos and footage of the same kind. Several styles are mixed, evenly or by
    weight: dusk.jpg:0.7 fog.jpg:0.3.
    """
    with _progress.bar() as progress:
        report = make_lut(progress=progress, **options)
    _print(report, "PSNR of the LUT against the full transfer: {:.1f} dB.")


@lut.command()
@click.argument("before", type=_options.FILE)
@click.argument("after", type=_options.FILE)
@_written
@_fit(
    "--prior",
    type=_options.FILE,
    help="What edits look like: a file of train-edits.  [default: the one of photostyle]",
)
@_options.threads
def fit(**options: Any) -> None:
    """Write the LUT that turns the photo BEFORE into AFTER, an edited version of it.

    BEFORE and AFTER may be two folders: photos of the same name are then pairs of one edit.
    """
    with _progress.bar() as progress:
        report = fit_lut(progress=progress, **options)
    _print(report, "PSNR of the LUT against the edit: {:.1f} dB.")


_apply = _options.of(apply_lut)


@lut.command()
@click.argument("lut", type=_options.FILE)
@click.argument("photo", type=_options.FILE)
@_apply(
    "-o",
    "--output",
    type=_options.FILE,
    help="File to write.  [default: PHOTO-LUT with the extension of PHOTO, in the current folder]",
)
@_apply(
    "--depth",
    type=click.Choice(get_args(Depth)),
    help="Bits per channel of the result; auto: as in PHOTO if the format can store them.",
)
@_options.input_space
@_options.quality
@_options.strip_metadata
@_options.force
def apply(**options: Any) -> None:
    """Transform the colours of PHOTO by LUT."""
    _print(apply_lut(**options))


def _print(report: LutReport, closeness: str = "") -> None:
    if report.psnr is not None:
        click.echo(closeness.format(report.psnr), err=True)
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(os.fsencode(report.output))  # bytes: a name may be invalid text

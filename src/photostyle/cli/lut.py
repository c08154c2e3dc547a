"""`photostyle lut`: make 3D LUTs, and apply them to photos."""

from __future__ import annotations

import os
from typing import Any, get_args

import click

from photostyle.cli import _options
from photostyle.jobs.lut import LutReport, apply_lut
from photostyle.jobs.photo import Depth


@click.group()
def lut() -> None:
    """Make 3D LUTs, and apply them to photos.

    A LUT is a .cube file, or a Hald CLUT as .png or .tif.
    """


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
@_apply(
    "--quality",
    type=click.IntRange(1, 100),
    help="Quality of lossy formats.  [default: 95; AVIF and HEIC: 90]",
)
@_apply("--strip-metadata", is_flag=True, help="Leave out camera, location, author and so on.")
@_options.force
def apply(**options: Any) -> None:
    """Transform the colours of PHOTO by LUT."""
    _print(apply_lut(**options))


def _print(report: LutReport) -> None:
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(os.fsencode(report.output))  # bytes: a name may be invalid text

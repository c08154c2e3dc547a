"""`photostyle style`: learn, inspect and mix style files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from photostyle.cli import _options, _progress
from photostyle.jobs.style_files import describe_style, learn_style_file


@click.group()
def style() -> None:
    """Learn, inspect and mix style files, which stand for photos as styles."""


def _written(command: _options.Command) -> _options.Command:
    """The arguments of a style that is written."""
    output = click.option(
        "-o",
        "--output",
        type=_options.FILE,
        required=True,
        help="The file to write, such as look.style.",
    )
    for option in (_options.force, _options.device, _options.model, output, _options.styles):
        command = option(command)
    return command


def _write(style: list[str | tuple[str, float]], **options: Any) -> None:
    with _progress.bar() as progress:
        report = learn_style_file(style, progress=progress, **options)
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(os.fsencode(report.output))


@style.command()
@_written
def learn(**options: Any) -> None:
    """Learn the style of a photo, or the pooled style of a folder of photos.

    The file works with the weights that learned it, wherever a style photo is accepted.
    """
    _write(**options)


@style.command()
@_written
def mix(**options: Any) -> None:
    """Mix styles by weight, as in dusk.style:0.7 fog.jpg:0.3; evenly without weights."""
    _write(**options)


@style.command()
@click.argument("file", type=_options.FILE)
def info(file: str) -> None:
    """Show what a style file was learned of and with."""
    for name, value in describe_style(Path(file)):
        click.echo(f"{name}: {value}")

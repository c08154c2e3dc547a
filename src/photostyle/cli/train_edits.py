"""`photostyle train-edits`: learn what colour edits look like."""

from __future__ import annotations

from pathlib import Path

import click

from photostyle.cli import _options


@click.command("train-edits")
@click.argument("looks", nargs=-1, required=True, type=click.Path(path_type=Path, readable=False))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, readable=False),
    help="The safetensors file to write, for `photostyle lut fit --prior`.",
)
@_options.force
def train_edits(looks: tuple[Path, ...], output: Path, overwrite: bool) -> None:
    """Learn what colour edits look like from LOOKS, .cube files, and from random grades.

    `photostyle lut fit` then knows what probably becomes of colours that a photo does not show.
    """
    from photostyle.training.edits import learn_edits

    learn_edits(looks, output, overwrite=overwrite)
    click.echo(str(output))

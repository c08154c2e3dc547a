"""`photostyle compare`: photos side by side in one picture."""

from __future__ import annotations

import os
from typing import Any

import click

from photostyle.cli import _options, _progress
from photostyle.jobs.compare import compare_photos

option = _options.of(compare_photos)


@click.command()
@click.argument("photos", metavar="PHOTO PHOTO...", nargs=-1, required=True, type=_options.FILE)
@option(
    "-o",
    "--output",
    type=_options.FILE,
    help="File to write.  [default: FIRST-compare with the extension of the first photo, in the "
    "current folder]",
)
@option(
    "--label",
    "labels",
    multiple=True,
    metavar="TEXT",
    show_default=False,
    help="Label of a photo, in their order; repeat it for each.  [default: the file names]",
)
@option("--columns", type=click.IntRange(1), help="Photos in a row.")
@option(
    "--size",
    type=click.IntRange(1),
    metavar="PIXELS",
    help="Long side of the first photo in the picture.  [default: its own]",
)
@_options.quality
@_options.force
def compare(photos: tuple[str, ...], **options: Any) -> None:
    """Write photos side by side into one picture, each with its label.

    The photos may have different sizes and shapes: each is scaled to fit the size of the first.
    """
    if len(photos) < 2:
        raise click.UsageError("Give at least two photos to compare.")
    if len(options["labels"]) not in (0, len(photos)):
        raise click.UsageError(f"Give a --label for each of the {len(photos)} photos, or none.")
    with _progress.bar() as progress:
        report = compare_photos(photos, progress=progress, **options)
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    click.echo(os.fsencode(report.output))  # bytes: a name may be invalid text

"""`photostyle batch`: stylize all photos and clips of a folder."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any, get_args

import click

from photostyle.cli import _options, _progress
from photostyle.jobs.batch import FileReport, stylize_folder
from photostyle.jobs.photo import ProfileChoice
from photostyle.transfer.options import TEMPORALS, Mode

option = _options.of(stylize_folder)


@click.command()
@click.argument("contents", type=_options.FILE)
@_options.styles
@option(
    "-o",
    "--output",
    type=_options.FILE,
    help="Folder of the results.  [default: CONTENTS-STYLE in the current folder]",
)
@option(
    "--grid",
    is_flag=True,
    help="Every content with every STYLE, and a contact sheet of them all.",
)
@_options.model
@_options.device
@_options.strength
@_options.match
@_options.keep
@_options.input_space
@option("--mode", type=click.Choice(get_args(Mode)), help="For photos, as in photostyle image.")
@option(
    "--profile",
    type=click.Choice(get_args(ProfileChoice)),
    help="Colour profile of the photos: that of the content, or sRGB.",
)
@_options.quality
@_options.strip_metadata
@option("--temporal", type=click.Choice(TEMPORALS), help="For clips, as in photostyle video.")
@option("--codec", help="For clips, as in photostyle video.  [default: by the extension]")
@option("--crf", type=click.IntRange(0, 63), help="Constant quality of clips; lower is better.")
@option(
    "--jobs",
    type=click.IntRange(1),
    metavar="N",
    help="Number of processes.  [default: one per core, as far as the memory allows]",
)
@option(
    "--ray",
    metavar="auto|ADDRESS",
    help="Work on a Ray cluster, one process per core or GPU: on the one that this machine belongs "
    "to, or at HOST:PORT.",
)
@option(
    "--resume",
    is_flag=True,
    help="Skip what an earlier batch has made of the same files with the same settings.",
)
@option("--report", type=_options.FILE, help="Also write a page (.html) to look at the photos.")
@_options.force
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each file.")
def batch(contents: str, style: list[Any], as_json: bool, **options: Any) -> None:
    """Give all photos and clips below the folder CONTENTS the colours and tones of STYLE.

    The results keep their names, and their places in the tree. STYLE is a photo or a style file;
    several are mixed, evenly or by weight. If it is a folder, each content takes the style of its
    own name from it. For one style from all photos of a folder use `photostyle style learn`.

    CONTENTS, STYLE and the output may also be URLs such as s3://bucket/photos.

    A file that fails does not stop the others; failures are listed at the end.
    """

    def print_line(report: FileReport) -> None:
        if as_json:
            click.echo(json.dumps(asdict(report) | {"seconds": round(report.seconds, 3)}))

    with _progress.bar(unit="files/s") as progress:
        done = stylize_folder(contents, style, progress=progress, each=print_line, **options)
    for note in done.notes:
        click.echo(f"Note: {note}", err=True)
    count = {status: sum(f.status == status for f in done.files) for status in ("done", "skipped")}
    skipped = f", {count['skipped']} skipped" if count["skipped"] else ""
    click.echo(f"{count['done']} done{skipped}, {len(done.failures)} failed.", err=True)
    for failure in done.failures:
        click.echo(f"Failed: {failure.content}: {failure.error}", err=True)
    if not as_json:
        click.echo(os.fsencode(str(done.sheet or done.folder)))
    if done.failures:
        sys.exit(1)

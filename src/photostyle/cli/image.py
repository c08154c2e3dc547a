"""`photostyle image`: stylize one photo like another."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, get_args

import click

from photostyle.allocator import keep_freed_memory
from photostyle.cli import _options, _progress
from photostyle.cli._startup import import_torch_meanwhile
from photostyle.jobs.photo import Depth, PhotoReport, ProfileChoice, stylize_photo

option = _options.of(stylize_photo)


@click.command()
@click.argument("content", type=_options.FILE)
@_options.styles
@option(
    "-o",
    "--output",
    type=_options.FILE,
    help="File to write, or a folder for it.  [default: CONTENT-STYLE with the extension of "
    "CONTENT, in the current folder; standard output if CONTENT is -]",
)
@_options.model
@_options.device
@_options.strength
@_options.match
@_options.keep
@option(
    "--content-mask",
    type=_options.FILE,
    help="Regions of CONTENT, each in a colour of its own. A region takes the colours of the "
    "region of the same colour in --style-mask.",
)
@option("--style-mask", type=_options.FILE, help="Regions of STYLE, in the same colours.")
@option(
    "--only",
    type=_options.FILE,
    help="Mask of CONTENT: the effect where it is white, none where it is black.",
)
@_options.input_space
@_options.transfer
@_options.threads
@option(
    "--depth",
    type=click.Choice(get_args(Depth)),
    help="Bits per channel of the result; auto: more than 8 if CONTENT has more and the format can "
    "store them. 10 is for AVIF and HEIC.",
)
@option(
    "--profile",
    type=click.Choice(get_args(ProfileChoice)),
    help="Colour profile of the result: that of CONTENT, or sRGB.",
)
@_options.quality
@_options.strip_metadata
@option("--salvage", is_flag=True, help="Read a JPEG that is cut off as far as it goes.")
@option("--still", is_flag=True, help="Use only the first frame of an animation.")
@_options.force
@option("--compare", is_flag=True, help="Also write content, style and result side by side.")
@option(
    "--report",
    type=_options.FILE,
    help="Also write a page (.html) with content and result under a slider.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as one line of JSON.")
def image(
    content: str,
    style: list[str | tuple[str, float]],
    output: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Give the photo CONTENT the colours and tones of the photo STYLE.

    STYLE is a photo, a folder of photos that count as one style, or a file made by `photostyle
    style`. Several styles are mixed, evenly or by weight: dusk.jpg:0.7 fog.jpg:0.3.

    The result has the size of CONTENT. As CONTENT or STYLE, - is standard input; as the output, it
    is standard output.
    """
    names = [content, *(one if isinstance(one, str) else one[0] for one in style)]
    if names.count("-") > 1:
        raise click.UsageError("Only one photo can come from standard input.")
    if (options["content_mask"] is None) != (options["style_mask"] is None):
        raise click.UsageError("Give both --content-mask and --style-mask, or neither.")
    to_stdout = output == "-" or (output is None and content == "-")
    if to_stdout and (as_json or options["compare"]):
        raise click.UsageError("--json and --compare need an output file (-o).")
    if to_stdout and sys.stdout.isatty():
        raise click.UsageError("Photos are not written to a terminal; name a file with -o.")

    if all(Path(name).exists() for name in names if name != "-"):
        import_torch_meanwhile()
    keep_freed_memory()
    with _progress.bar() as progress:
        report = stylize_photo(
            sys.stdin.buffer if content == "-" else content,
            [_opened(one) for one in style],
            sys.stdout.buffer if to_stdout else output,
            progress=progress,
            **options,
        )
    click.echo(f"Mode: {report.mode}.", err=True)
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    if as_json:
        click.echo(_summary(report))
    elif report.output:
        click.echo(os.fsencode(report.output))  # bytes: a name may be invalid text


def _opened(style: str | tuple[str, float]) -> Any:
    """A style with - as standard input."""
    if isinstance(style, tuple):
        return _opened(style[0]), style[1]
    return sys.stdin.buffer if style == "-" else style


def _summary(report: PhotoReport) -> str:
    seconds = {phase: round(seconds, 3) for phase, seconds in report.seconds.items()}
    return json.dumps(asdict(report) | {"seconds": seconds}, default=str)

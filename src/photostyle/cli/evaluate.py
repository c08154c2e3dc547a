"""`photostyle evaluate`: measure the quality of results."""

from __future__ import annotations

import csv
import inspect
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from photostyle.cli import _options, _progress
from photostyle.evaluation.folder import Row, evaluate_graded, evaluate_results, summarize
from photostyle.evaluation.options import Crops
from photostyle.transfer.options import MATCHES

FILE = click.Path(path_type=Path, readable=False)

_results, _graded = _options.of(evaluate_results), _options.of(evaluate_graded)


@click.command()
@click.argument("results", required=False, type=FILE)
@click.option("--content", type=FILE, help="Folder of the content photos.")
@click.option("--style", type=FILE, help="Folder of the style photos.")
@_results("--target", type=FILE, help="Folder of the correct results.")
@_results("--vgg", "--teacher", "vgg", type=FILE, help="VGG-19 weights, for gram and style.")
@_results("--content-masks", type=FILE, help="Folder of label maps of the content photos.")
@_results("--style-masks", type=FILE, help="Folder of label maps of the style photos.")
@click.option("--graded", type=FILE, help="Folder of photos to make graded pairs from.")
@_graded(
    "--model",
    metavar="NAME|FILE",
    help="With --graded: the network, photonas, photonet, none (colours only) or a weights file.",
)
@_graded(
    "--match", type=click.Choice(MATCHES), help="With --graded: as in `photostyle image --match`."
)
@_graded("--seed", type=click.IntRange(0), help="With --graded: seed of crops and grades.")
@_graded(
    "--crops",
    type=click.Choice(get_args(Crops)),
    help="With --graded: overlap takes two crops of 75 % x 75 % of each photo; near takes 58 % of "
    "its length from either end, far 45 %.",
)
@_graded(
    "--cube",
    "cubes",
    multiple=True,
    type=FILE,
    help="With --graded: a .cube file, or a folder of them, to grade styles with instead of random "
    "grades; may be repeated. Each photo gets one of them, drawn by the seed.",
)
@_graded("--plain-content", is_flag=True, help="With --graded: leave the content ungraded.")
@_graded("--reconstruct", is_flag=True, help="With --graded: also use each photo as its own style.")
@_results("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV with one line per result.")
@_results("--sheet", type=FILE, help="Write a contact sheet, sorted from worst to best.")
@_results("--report", type=FILE, help="Write a page (.html) with sliders and sortable measures.")
@_options.force
@click.pass_context
def evaluate(ctx: click.Context, /, as_json: bool, as_csv: bool, **options: Any) -> None:
    """Measure the quality of the photos in the folder RESULTS.

    Photos in RESULTS, --content, --style and --target are matched by their names without
    extension. photostyle.evaluation.metrics defines the metrics; score combines them. The last
    line shows the mean of each metric (for lip, the median).

    In label maps each colour is a region. With them, region_style says how close the regions of
    the result are to the same regions of the style photo; it does not enter score.

    \b
    higher is better   score; style, bc, region_style; grad, struct; psnr, ssim
    lower is better    gram, swd; lip, clip (%), noise, halo (1 is ideal); ciede2000

    With --graded instead of RESULTS the command measures a network on pairs with a known answer:
    content and style are two crops of one photo with different colour grades. The correct result
    is the content's crop with the grade of the style. worst_tenth is the PSNR of the result minus
    that of the unchanged content, in dB, on average over the tenth of the pairs where it is lowest.
    """
    function, given = _choose(ctx)
    if as_json and as_csv:
        raise click.UsageError("Give either --json or --csv.")
    if function is evaluate_results and not options["vgg"]:
        click.echo("Without --vgg, gram and style are left out.", err=True)
    with _progress.bar() as progress:
        rows = function(**given, progress=progress)
    without = [row["name"] for row in rows if "region_style" not in row]
    if options["content_masks"] and without:
        click.echo(
            f"Without two common regions, these pairs have no region_style: {', '.join(without)}.",
            err=True,
        )
    if as_json:
        click.echo(json.dumps({"mean": summarize(rows), "photos": rows}, indent=1))
    elif as_csv:
        writer = csv.DictWriter(sys.stdout, _columns(rows), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    elif function is evaluate_results:
        _print(rows, {"name": "mean"} | summarize(rows))
    else:
        _print(_summary(rows))


def _choose(ctx: click.Context) -> tuple[Callable[..., list[Row]], dict[str, Any]]:
    """The function for the given options, and its arguments."""
    options = ctx.params
    if (options["results"] is None) == (options["graded"] is None):
        raise click.UsageError("Give a folder: either RESULTS or --graded.")
    function = evaluate_graded if options["graded"] else evaluate_results
    known = inspect.signature(function).parameters
    for parameter in ctx.command.params:
        name = parameter.name or ""
        given = ctx.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if given and name not in known and name not in ("as_json", "as_csv"):
            other = "RESULTS" if options["graded"] else "--graded"
            raise click.UsageError(f"{parameter.opts[0]} needs {other}.")
    if options["results"] and not (options["content"] and options["style"]):
        raise click.UsageError("RESULTS needs --content and --style.")
    if (options["content_masks"] is None) != (options["style_masks"] is None):
        raise click.UsageError("Give both --content-masks and --style-masks, or neither.")
    return function, {name: options[name] for name in known if name != "progress"}


def _summary(rows: Sequence[Row]) -> list[Row]:
    """The mean figures of results and of unchanged contents."""
    mean = summarize(rows)
    unchanged = {name: mean.pop(f"content_{name}") for name in ("psnr", "ssim", "ciede2000")}
    improved = f"{mean.pop('improved'):.0%} of {len(rows)}"
    return [
        {"": "result", **mean, "improved": improved},
        {"": "content unchanged", **unchanged},
    ]


def _columns(rows: Sequence[Row]) -> list[str]:
    """The names of all figures; a row lacks those that cannot be measured."""
    return max((list(row) for row in rows), key=len)


def _print(rows: Sequence[Row], footer: Row | None = None) -> None:
    """Print rows, and the footer below them, as a table."""
    from rich.console import Console
    from rich.table import Table

    columns = _columns(rows)
    table = Table(box=None, show_footer=footer is not None, header_style="bold")
    for number, name in enumerate(columns):
        table.add_column(
            name,
            _text(footer.get(name, "")) if footer else "",
            justify="right" if number else "left",
            no_wrap=True,
        )
    for row in rows:
        table.add_row(*(_text(row.get(name, "")) for name in columns))
    # Wide enough that no figure is cut off: a pipe has no width, and a narrow terminal wraps.
    Console(width=1000).print(table)


def _text(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"

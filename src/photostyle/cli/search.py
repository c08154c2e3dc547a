"""`photostyle search`: search a supernet for good and fast networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from photostyle.cli import _options, _progress
from photostyle.training import run
from photostyle.training.recipe import Score

FILE = click.Path(path_type=Path, readable=False)

_option = _options.of(run.search)


@click.command()
@click.argument("photos", nargs=-1, required=True, type=FILE)
@click.option(
    "--supernet",
    required=True,
    metavar="NAME|FILE",
    help="Supernet to search: supernet.safetensors of `photostyle train --supernet`.",
)
@click.option("-o", "--output", type=FILE, required=True, help="Folder of the search.")
@_option("--candidates", type=click.IntRange(1), help="Number of networks to evaluate.")
@_option(
    "--score",
    type=click.Choice(get_args(Score)),
    help="pareto: two objectives, distance to the teacher and latency; results: latency and the "
    "error of graded pairs and of regions; paper: the paper's score and evolutionary search.",
)
@_option(
    "--within",
    type=click.FloatRange(-1),
    help="Choose the fastest network whose distance to the teacher, or error, is at most (1 + this "
    "value) times that of the paper's PhotoNAS.",
)
@_option("--choose", metavar="NAME|BITS", help="Choose this architecture regardless of figures.")
@_option(
    "--reference",
    metavar="NAME|FILE",
    help="Weights of the teacher.  [default: the supernet's largest network]",
)
@_option(
    "--vgg",
    "--teacher",
    "vgg",
    type=FILE,
    help="VGG-19 weights for --score paper.  [default: download torchvision's]",
)
@_option("--pairs", type=click.IntRange(4), help="Number of photo pairs to evaluate a network on.")
@_option(
    "--size",
    type=click.IntRange(64),
    metavar="PIXELS",
    help="Side of the photos in these pairs, a multiple of 16.",
)
@_option(
    "--latency-size", type=click.IntRange(64), metavar="PIXELS", help="Side of the timed photos."
)
@_option("--population", type=click.IntRange(4), help="Population of the evolutionary search.")
@_option("--seed", type=click.IntRange(0), help="Seed of all random choices.")
@_option(
    "--storage",
    metavar="FILE|URL",
    help="File or database of the study.  [default: study.log in the folder]",
)
@_option("--study", metavar="NAME", help="Name of the study in the storage.")
@_option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@_options.threads
def search(**options: Any) -> None:
    """Search a supernet for good and fast networks.

    PHOTOS are folders or tar shards. If the search was stopped, repeat the command to resume it.
    Several commands with the same --storage divide the work. At the end the folder holds
    candidates.jsonl, pareto.png and the chosen network, chosen.safetensors, for further training.
    The command prints its architecture.
    """
    from photostyle.allocator import keep_freed_memory

    keep_freed_memory()
    with _progress.bar(unit="networks/s") as progress:
        result = run.search(**options, progress=progress)
    click.echo(
        f"Evaluated {result.evaluated} networks: see candidates.jsonl and pareto.png in "
        f"{options['output']}. The chosen network takes {result.latency:.2f} times as long as the "
        f"teacher and differs by {result.distance:.2f} (CIEDE2000) from its results:",
        err=True,
    )
    click.echo(result.architecture)

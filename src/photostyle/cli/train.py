"""`photostyle train`: train a network on photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click
from click.core import ParameterSource

from photostyle.cli import _options, _progress
from photostyle.training import run

FILE = click.Path(path_type=Path, readable=False)

_option = _options.of(run.train)


@click.command()
@click.argument("photos", nargs=-1, required=True, type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Folder of the run.")
@_option(
    "--arch", metavar="NAME|BITS", help="Architecture: photonas, photonet or a string of bits."
)
@_option(
    "--supernet",
    is_flag=True,
    help="Train photonet and all smaller networks together, for `photostyle search`.",
)
@_option("--widths", metavar="N,N,N,N,N", help="Channels of the five levels.")
@_option("--method", type=click.Choice(get_args(run.Method)), help="Transfer to train with.")
@_option("--steps", type=click.IntRange(1), help="Number of training steps.")
@_option("--batch", type=click.IntRange(1), help="Number of photo pairs in each step.")
@_option("--size", type=click.IntRange(64), metavar="PIXELS", help="Side of the crops.")
@_option("--learning-rate", type=click.FloatRange(0, min_open=True), help="Peak learning rate.")
@_option(
    "--match",
    type=click.Choice(["auto", "global"]),
    help="Match colours by region or by look, or those of whole photos.",
)
@_option(
    "--looks",
    type=FILE,
    metavar="FOLDER",
    help="Also train on the looks in the .cube files of this folder.",
)
@_option("--seed", type=click.IntRange(0), help="Seed of all random choices.")
@_option(
    "--vgg",
    "--teacher",
    "vgg",
    type=FILE,
    help="VGG-19 weights for the losses.  [default: download torchvision's]",
)
@_option(
    "--guide",
    type=FILE,
    help="VGG-19 weights, possibly of a smaller VGG-19, for the losses of the encoder and of "
    "graded pairs.  [default: those of --vgg]",
)
@_option(
    "--from",
    "start",
    metavar="NAME|FILE",
    help="Start from these weights: of the same architecture, of photonet or of a supernet.",
)
@_option("--distil", metavar="NAME|FILE", help="Also learn from the network with these weights.")
@_option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@_options.threads
@_option(
    "--checkpoint-every",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Time between checkpoints.",
)
@click.pass_context
def train(ctx: click.Context, /, supernet: bool, distil: str | None, **options: Any) -> None:
    """Train a network on photos.

    PHOTOS are folders or tar shards. If the run was stopped, repeat the command to resume it. At
    the end the folder holds weights.safetensors for use with --model, log.jsonl and sample sheets;
    with --supernet also supernet.safetensors for `photostyle search`.
    """
    from photostyle.allocator import keep_freed_memory

    arch_given = ctx.get_parameter_source("arch") == ParameterSource.COMMANDLINE
    if supernet and (arch_given or distil):
        raise click.UsageError("--supernet trains all architectures; omit --arch and --distil.")
    keep_freed_memory()
    with _progress.bar(unit="steps/s") as progress:
        path = run.train(**options, supernet=supernet, distil=distil, progress=progress)
    click.echo(f"Wrote {path}")

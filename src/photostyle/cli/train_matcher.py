"""`photostyle train-matcher`: train what finds corresponding parts of two photos."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from photostyle.cli import _options, _progress
from photostyle.training import run

FILE = click.Path(path_type=Path, readable=False)

_option = _options.of(run.train_matcher)


@click.command()
@click.argument("photos", nargs=-1, required=True, type=FILE)
@click.option("-o", "--output", type=FILE, required=True, help="Folder of the run.")
@_option("--looks", type=FILE, help="Folder of .cube files.  [default: random grades alone]")
@_option(
    "--vgg",
    type=FILE,
    help="VGG-19 weights, possibly of a smaller VGG-19, to learn descriptors from.  "
    "[default: download torchvision's]",
)
@_option("--steps", type=click.IntRange(1), help="Number of training steps.")
@_option("--batch", type=click.IntRange(1), help="Number of photo pairs in each step.")
@_option(
    "--learning-rate",
    type=click.FloatRange(0, min_open=True),
    help="Peak learning rate; that of the encoder is half of it.",
)
@_option(
    "--hard",
    type=click.FloatRange(0, 1),
    help="Fraction of the pairs of different photos whose photos look alike.",
)
@_option(
    "--scene-only",
    is_flag=True,
    help="Train only what judges whether both photos show the same scene; needs no VGG-19.",
)
@_option("--seed", type=click.IntRange(0), help="Seed of all random choices.")
@_option(
    "--from",
    "start",
    metavar="matcher|FILE",
    help="Continue from the bundled matcher or from a file.  [default: photonet's encoder]",
)
@_option("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")
@_options.threads
@_option(
    "--checkpoint-every",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Time between checkpoints.",
)
def train_matcher(**options: Any) -> None:
    """Train the matcher, which finds what corresponds in two photos and the grade between them.

    PHOTOS are folders or tar shards. If the run was stopped, repeat the command to resume it. At
    the end the folder holds weights.safetensors and log.jsonl, both with figures on photos that
    are kept out of training.
    """
    from photostyle.allocator import keep_freed_memory

    keep_freed_memory()
    with _progress.bar(unit="steps/s") as progress:
        path = run.train_matcher(**options, progress=progress)
    click.echo(f"Wrote {path}; see its figures with: photostyle weights info {path}")

"""`photostyle train`: the C-step."""

from __future__ import annotations

from pathlib import Path

import click
from click.core import ParameterSource

from photostyle.cli import _options

DEFAULT_WIDTHS = "32,48,64,96,128"


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the run."
)
@click.option("--arch", default="photonas", show_default=True, help="Architecture string or name.")
@click.option(
    "--supernet",
    is_flag=True,
    help="Train photonet and all smaller networks at once, for `photostyle search`.",
)
@click.option("--widths", default=DEFAULT_WIDTHS, show_default=True, help="Channels per level.")
@click.option("--method", type=click.Choice(["monge", "classic"]), default="monge")
@click.option("--steps", type=click.IntRange(1), default=6000, show_default=True)
@click.option("--batch", type=click.IntRange(1), default=4, show_default=True)
@click.option(
    "--size", type=click.IntRange(64), default=96, show_default=True, help="Crop, pixels."
)
@click.option(
    "--learning-rate", type=click.FloatRange(0, min_open=True), default=2.5e-3, show_default=True
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--teacher",
    type=click.Path(path_type=Path),
    help="VGG-19 weights for the losses [default: torchvision's].",
)
@click.option(
    "--guide",
    type=click.Path(path_type=Path),
    help="VGG-19 weights, often of a smaller one, that guide the encoder [default: the teacher].",
)
@click.option(
    "--from",
    "start",
    help="Start from these weights: of the same architecture, of a supernet, or with all parts.",
)
@click.option("--distil", help="Learn from this network, too: a bundled name or a weights file.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@_options.threads
@click.option("--checkpoint-every", type=float, default=200, show_default=True, help="Seconds.")
def train(
    photos: tuple[Path, ...],
    output: Path,
    arch: str,
    supernet: bool,
    widths: str,
    method: str,
    steps: int,
    batch: int,
    size: int,
    learning_rate: float,
    seed: int,
    teacher: Path | None,
    guide: Path | None,
    start: str | None,
    distil: str | None,
    device: str,
    checkpoint_every: float,
) -> None:
    """Train a network on PHOTOS: folders or tar shards.

    The same command on the same --output goes on where it stopped. At the end the folder holds
    weights.safetensors for use with --model, log.jsonl and sample sheets; with --supernet also
    supernet.safetensors for `photostyle search`.
    """
    from rich.console import Console
    from rich.progress import Progress

    from photostyle.allocator import keep_freed_memory
    from photostyle.model.architecture import ARCHITECTURES, PHOTONET, Architecture, parse_widths
    from photostyle.model.checkpoint import identify, load
    from photostyle.model.transfer_settings import TransferSettings
    from photostyle.model.vgg import VGGFeatures
    from photostyle.training.data import Photos
    from photostyle.training.supernet import load_start
    from photostyle.training.supernet_trainer import SupernetTrainer
    from photostyle.training.trainer import Loss, Recipe, Trainer
    from photostyle.transfer.stylizer import choose_device

    context = click.get_current_context()
    given = context.get_parameter_source("arch") == ParameterSource.COMMANDLINE
    if supernet and (given or distil):
        raise click.UsageError("--supernet trains all architectures, from photos alone.")
    keep_freed_memory()
    architecture = PHOTONET if supernet else ARCHITECTURES.get(arch) or Architecture.parse(arch)
    recipe = Recipe(
        architecture=str(architecture),
        widths=parse_widths(widths),
        transfer=TransferSettings(method=method),
        steps=steps,
        batch=batch,
        size=size,
        learning_rate=learning_rate,
        seed=seed,
        supernet=supernet,
        start=identify(start) if start else "",
        distil=identify(distil) if distil else "",
    )
    network = None
    if start:
        network = load_start(start, None if supernet else architecture, recipe.widths)
    teacher_network = VGGFeatures.load(teacher)
    guide_network = VGGFeatures.load(guide) if guide else teacher_network
    loss = Loss(recipe, teacher_network, guide_network, load(distil) if distil else None)
    kind = SupernetTrainer if supernet else Trainer
    run = kind(output, recipe, Photos(photos), loss, choose_device(device), network)
    run.resume()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=steps, completed=run.step)

        def show(step: int, terms: dict[str, float]) -> None:
            text = " ".join(f"{name} {value:.2f}" for name, value in terms.items())
            progress.update(bar, completed=step, description=text)

        run.train(show, checkpoint_every)
    click.echo(f"Wrote {run.write()}")

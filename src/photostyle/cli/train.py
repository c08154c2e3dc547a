"""`photostyle train`: the C-step."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT_WIDTHS = "32,48,64,96,128"


@click.command()
@click.argument("photos", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Folder of the run."
)
@click.option("--arch", default="photonas", show_default=True, help="Architecture string or name.")
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
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads [default: all cores].")
@click.option("--checkpoint-every", type=float, default=200, show_default=True, help="Seconds.")
def train(
    photos: tuple[Path, ...],
    output: Path,
    arch: str,
    widths: str,
    method: str,
    steps: int,
    batch: int,
    size: int,
    learning_rate: float,
    seed: int,
    teacher: Path | None,
    guide: Path | None,
    device: str,
    threads: int | None,
    checkpoint_every: float,
) -> None:
    """Train a network on PHOTOS: folders or tar shards.

    The same command on the same --output goes on where it stopped. At the end the folder holds
    weights.safetensors for use with --model, log.jsonl and sample sheets.
    """
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from photostyle.allocator import keep_freed_memory
    from photostyle.architecture import ARCHITECTURES, Architecture, parse_widths
    from photostyle.engine import choose_device
    from photostyle.training.cstep import Loss, Recipe, Run
    from photostyle.training.data import Photos
    from photostyle.training.teacher import Teacher
    from photostyle.weights import Transfer, save

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    recipe = Recipe(
        architecture=str(ARCHITECTURES.get(arch) or Architecture.parse(arch)),
        widths=parse_widths(widths),
        transfer=Transfer(method=method),
        steps=steps,
        batch=batch,
        size=size,
        learning_rate=learning_rate,
        seed=seed,
    )
    teacher_network = Teacher.load(teacher)
    guide_network = Teacher.load(guide) if guide else teacher_network
    loss = Loss(recipe, teacher_network, guide_network)
    run = Run(output, recipe, Photos(photos), loss, choose_device(device))
    run.resume()
    console = Console(stderr=True)
    with Progress(console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=steps, completed=run.step)

        def show(step: int, terms: dict[str, float]) -> None:
            text = " ".join(f"{name} {value:.2f}" for name, value in terms.items())
            progress.update(bar, completed=step, description=text)

        run.train(show, checkpoint_every)
    save(run.result(), output / "weights.safetensors", torch.float16, overwrite=True)
    click.echo(f"Wrote {output / 'weights.safetensors'}")

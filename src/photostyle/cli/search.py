"""`photostyle search`: the P-step."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from photostyle.cli import _options
from photostyle.errors import PhotostyleError

FILE = click.Path(path_type=Path)


@click.command()
@click.argument("photos", nargs=-1, required=True, type=FILE)
@click.option(
    "--supernet",
    required=True,
    help="What `photostyle train --supernet` wrote: supernet.safetensors.",
)
@click.option("-o", "--output", type=FILE, required=True, help="Folder of the search.")
@click.option("--candidates", type=click.IntRange(1), default=200, show_default=True)
@click.option(
    "--score",
    type=click.Choice(["pareto", "paper"]),
    default="pareto",
    show_default=True,
    help="Two objectives, distance to the teacher and latency; or the paper's score and evolution.",
)
@click.option(
    "--within",
    type=click.FloatRange(-1),
    default=0.0,
    show_default=True,
    help="Choose the fastest network whose distance to the teacher is at most 1 + this times that "
    "of the published PHOTONAS.",
)
@click.option("--choose", help="Choose this architecture, whatever its figures.")
@click.option("--reference", help="The teacher's weights [default: the supernet's photonet].")
@click.option(
    "--teacher", type=FILE, help="VGG-19 weights for --score paper [default: torchvision's]."
)
@click.option("--pairs", type=click.IntRange(4), default=12, show_default=True)
@click.option(
    "--size", type=click.IntRange(64), default=160, show_default=True, help="Of the pairs, pixels."
)
@click.option(
    "--latency-size",
    type=click.IntRange(64),
    default=192,
    show_default=True,
    help="Side of the photos that are timed, pixels.",
)
@click.option("--population", type=click.IntRange(4), default=50, show_default=True)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--storage",
    help="Study's file or database URL [default: study.log in the folder].",
)
@click.option("--study", default="search", show_default=True, help="Its name in the storage.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@_options.threads
def search(
    photos: tuple[Path, ...],
    supernet: str,
    output: Path,
    candidates: int,
    score: str,
    within: float,
    choose: str | None,
    reference: str | None,
    teacher: Path | None,
    pairs: int,
    size: int,
    latency_size: int,
    population: int,
    seed: int,
    storage: str | None,
    study: str,
    device: str,
) -> None:
    """Search the networks inside a supernet for good and fast ones, judged on PHOTOS.

    PHOTOS are folders or tar shards. The same command goes on where it stopped, and several at once
    on the same --storage share the work. At the end the folder holds candidates.jsonl, pareto.png
    and the chosen network, chosen.safetensors, to be trained on; its architecture is printed.
    """
    try:
        import matplotlib  # noqa: F401
        import optuna  # noqa: F401
    except ModuleNotFoundError as error:
        raise PhotostyleError(
            f"{error.name} is not installed; the search needs: pip install 'photostyle[search]'"
        ) from None
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from photostyle.allocator import keep_freed_memory
    from photostyle.model.architecture import ARCHITECTURES, Architecture
    from photostyle.model.checkpoint import Checkpoint, identify, load, save
    from photostyle.model.vgg import VGGFeatures
    from photostyle.training.data import Photos
    from photostyle.training.judge import Judge, make_pairs
    from photostyle.training.pareto import save_plot
    from photostyle.training.search import Candidate, Plan, Search
    from photostyle.training.supernet import canonical, load_supernet
    from photostyle.transfer.stylizer import choose_device

    if size % 16:
        raise click.BadParameter("a multiple of 16 is needed.", param_hint="--size")
    override = None
    if choose:
        override = canonical(ARCHITECTURES.get(choose) or Architecture.parse(choose))
        if not override.wct_layers:
            raise PhotostyleError(f"{choose} transfers nothing: none of its wct parts has effect.")
    keep_freed_memory()
    network, transfer = load_supernet(supernet)
    place = choose_device(device)
    network.to(place).to(memory_format=torch.channels_last)
    collection = Photos(photos)
    plan = Plan(
        supernet=identify(supernet),
        reference=identify(reference) if reference else "",
        photos=len(collection),
        score=score,
        pairs=pairs,
        size=size,
        latency_size=latency_size,
        population=population,
        seed=seed,
    )
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotostyleError(f"Cannot write {output}: {error.strerror}.") from None
    found = Search(plan, storage or str(output / "study.log"), study)
    judge = Judge(
        network,
        transfer,
        make_pairs(collection, pairs, size, seed),
        reference=load(reference) if reference else None,
        vgg=VGGFeatures.load(teacher).to(place) if score == "paper" else None,
        latency_size=latency_size,
    )
    console = Console(stderr=True)
    try:
        with Progress(console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task("searching", total=candidates)

            def show(candidate: Candidate) -> None:
                done = len(found.candidates())
                progress.update(bar, completed=done, description=str(candidate.architecture))

            found.run(judge, candidates, show, [override] if override else [])
    finally:
        found.write(output / "candidates.jsonl")

    chosen = found.find(override) if override else found.choose(within)
    save_plot(found.candidates(), found.front(), chosen, output / "pareto.png")
    provenance = {"made by": "photostyle search", **asdict(plan), "figures": chosen.figures}
    cut = Checkpoint(network.cpu().extract(chosen.architecture), transfer, provenance)
    save(cut, output / "chosen.safetensors", torch.float32, overwrite=True)
    click.echo(
        f"Judged {len(found.candidates())} networks, see {output / 'candidates.jsonl'} and "
        f"pareto.png. Of {chosen.figures['latency']:.2f} times the teacher's latency and "
        f"{chosen.figures['distance']:.2f} (CIEDE2000) from its results is the chosen one:",
        err=True,
    )
    click.echo(chosen.architecture)

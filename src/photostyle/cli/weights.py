"""`photostyle weights`: list, inspect and import network weights."""

from __future__ import annotations

from pathlib import Path

import click

FILE = click.Path(path_type=Path, readable=False)


@click.group()
def weights() -> None:
    """List, inspect and import network weights."""


@weights.command("list")
def list_() -> None:
    """List the weights that come with photostyle."""
    from rich.console import Console
    from rich.table import Table

    from photostyle.model.checkpoint import bundled, describe

    table = Table("name", "architecture", "widths", "parameters", "size", box=None)
    for name, path in bundled().items():
        facts = describe(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        table.add_row(name, facts["architecture"], facts["widths"], facts["parameters"], size)
    Console(width=120).print(table)


@weights.command()
@click.argument("file")
def info(file: str) -> None:
    """Show what FILE (or the bundled weights of that name) holds and how it was made."""
    from photostyle.model.checkpoint import bundled, describe

    for name, value in describe(bundled().get(file, Path(file))).items():
        click.echo(f"{name}: {value}")


@weights.command("import")
@click.argument("decoder", type=FILE)
@click.option("--encoder", type=FILE, required=True, help="VGG-19: torch, safetensors or .t7.")
@click.option("--arch", required=True, help="Architecture string, or photonet or photonas.")
@click.option("-o", "--output", type=FILE, required=True, help="The safetensors file to write.")
@click.option("--float32", is_flag=True, help="Keep full precision: twice the size.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def import_(
    decoder: Path, encoder: Path, arch: str, output: Path, float32: bool, force: bool
) -> None:
    """Convert DECODER, a checkpoint of the authors' program, for use with --model."""
    import torch

    from photostyle.files import check_target
    from photostyle.model.architecture import ARCHITECTURES, Architecture
    from photostyle.model.checkpoint import Checkpoint, save
    from photostyle.model.reference import read_reference_checkpoint
    from photostyle.model.transfer_settings import REFERENCE

    check_target(output, overwrite=force)
    architecture = ARCHITECTURES.get(arch) or Architecture.parse(arch)
    provenance = {"imported from": decoder.name, "encoder": encoder.name}
    network = read_reference_checkpoint(decoder, encoder, architecture)
    checkpoint = Checkpoint(network, REFERENCE, provenance)
    save(checkpoint, output, torch.float32 if float32 else torch.float16, overwrite=force)
    click.echo(f"Wrote {output}; use it with: photostyle image --model {output} CONTENT STYLE")

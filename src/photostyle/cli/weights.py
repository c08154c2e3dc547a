"""`photostyle weights`: list, inspect and import network weights."""

from __future__ import annotations

from pathlib import Path

import click

from photostyle.cli import _options

FILE = click.Path(path_type=Path, readable=False)


@click.group()
def weights() -> None:
    """List, inspect and import network weights."""


@weights.command("list")
def list_() -> None:
    """List the bundled weights."""
    from rich.console import Console
    from rich.table import Table

    from photostyle.bundled import networks
    from photostyle.model.checkpoint import describe

    table = Table("name", "architecture", "widths", "parameters", "size", box=None)
    for name, path in networks().items():
        facts = describe(path)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        table.add_row(name, facts["architecture"], facts["widths"], facts["parameters"], size)
    Console(width=120).print(table)


@weights.command()
@click.argument("name")
def info(name: str) -> None:
    """Show the contents and provenance of weights.

    NAME is a bundled name, matcher, or a file.
    """
    from photostyle.bundled import MATCHER, bundled_file, networks
    from photostyle.model.checkpoint import describe

    files = networks() | {MATCHER: bundled_file(MATCHER)}
    for key, value in describe(files.get(name, Path(name))).items():
        click.echo(f"{key}: {value}")


@weights.command("import")
@click.argument("decoder", type=FILE)
@click.option(
    "--encoder", type=FILE, required=True, help="VGG-19 weights: torch, safetensors or Lua .t7."
)
@click.option(
    "--arch",
    metavar="NAME|BITS",
    required=True,
    help="Architecture: photonas, photonet or a string of bits.",
)
@click.option("-o", "--output", type=FILE, required=True, help="The safetensors file to write.")
@click.option("--float32", is_flag=True, help="Keep full precision, which doubles the size.")
@_options.force
def import_(
    decoder: Path, encoder: Path, arch: str, output: Path, float32: bool, overwrite: bool
) -> None:
    """Convert a checkpoint of the reference implementation.

    DECODER is its decoder, a torch state dict. The result is for use with --model.
    """
    from photostyle.model.reference import convert_reference_checkpoint

    convert_reference_checkpoint(
        decoder, encoder, arch, output, float32=float32, overwrite=overwrite
    )
    click.echo(f"Wrote {output}; use it with: photostyle image --model {output} CONTENT STYLE")

"""Options that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])


def _use_threads(ctx: click.Context, parameter: click.Parameter, count: int | None) -> None:  # noqa: ARG001
    if count is None:
        return
    # Read by torch and numpy when they are imported, here and in processes that are started.
    os.environ["OMP_NUM_THREADS"] = str(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


threads = click.option(
    "--threads",
    type=click.IntRange(1),
    expose_value=False,
    callback=_use_threads,
    help="CPU threads.  [default: as many as there are cores]",
)


def way(command: Command) -> Command:
    """--mode, --working-size and --tile: arguments of `Stylizer.apply`, whose defaults hold."""
    for option in (
        click.option(
            "--tile",
            type=click.IntRange(1),
            metavar="PIXELS",
            help="Side of a tile in exact mode: smaller takes less memory and more time.  "
            "[default: 1024]",
        ),
        click.option(
            "--working-size",
            type=click.IntRange(1),
            metavar="PIXELS",
            help="Long side of the copy in fast mode.  [default: 768]",
        ),
        click.option(
            "--mode",
            type=click.Choice(["auto", "fast", "exact"]),
            default="auto",
            show_default=True,
            help="exact: the network at full resolution; fast: the network on a reduced copy, its "
            "colours for the photo; auto: exact up to about a megapixel.",
        ),
    ):
        command = option(command)
    return command


def given(**options: int | None) -> dict[str, Any]:
    """The options that the user has given."""
    return {name: value for name, value in options.items() if value is not None}

"""Options that several commands share, and defaults taken from function signatures.

>>> option = _options.of(stylize_photo)
>>> @option("--strength", type=click.FloatRange(0, 1), help="...")  # the default of its parameter
"""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from photostyle.errors import PhotostyleError
from photostyle.jobs.photo import stylize_photo
from photostyle.jobs.styles import weighted
from photostyle.transfer.options import INPUT_SPACE_NAMES, KEEPS, MATCHES, MAX_STRENGTH, Mode

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Command], Command]

FILE = click.Path(readable=False)
"""A file that the job opens itself, so that all errors about files read alike."""


def _to_styles(ctx: click.Context, parameter: click.Parameter, names: tuple[str, ...]) -> Any:  # noqa: ARG001
    try:
        return weighted(names)
    except PhotostyleError as error:
        raise click.UsageError(str(error)) from None


styles = click.argument(
    "style", metavar="STYLE[:WEIGHT]...", nargs=-1, required=True, type=FILE, callback=_to_styles
)
"""One or more styles: photos, folders or style files, each with a weight if there are several."""


def of(function: Callable[..., Any]) -> Callable[..., Decorator[Any]]:
    """`click.option` with the defaults of ``function`` (or of a dataclass).

    An option takes the default of the parameter with its name: ``working_size`` for --working-size,
    or the name given without dashes. Help shows the default unless it is None or False.

    Raises TypeError when the command is defined, if there is no such parameter or no default.
    """
    parameters = inspect.signature(function).parameters

    def option(*names: str, **attributes: Any) -> Decorator[Any]:
        name = click.Option(names).name
        if name not in parameters or parameters[name].default is inspect.Parameter.empty:
            raise TypeError(f"{function.__name__} has no parameter {name} with a default.")
        default = parameters[name].default
        attributes.setdefault("show_default", default is not None and default is not False)
        return click.option(*names, default=default, **attributes)

    return option


def _use_threads(ctx: click.Context, parameter: click.Parameter, count: int | None) -> None:  # noqa: ARG001
    if count is None:
        return
    # torch and numpy read it when they are imported, here and in child processes.
    os.environ["OMP_NUM_THREADS"] = str(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)


threads = click.option(
    "--threads",
    type=click.IntRange(1),
    expose_value=False,
    callback=_use_threads,
    help="Number of CPU threads.  [default: one per core]",
)

force = click.option(
    "--force", "overwrite", is_flag=True, default=False, help="Overwrite existing files."
)
"""Passed to the command as ``overwrite``, the name that the functions use."""

_photo = of(stylize_photo)

model = _photo(
    "--model",
    metavar="NAME|FILE",
    help="Network: photonas, photonet, none (colours only) or a weights file.",
)

strength = _photo(
    "--strength",
    type=click.FloatRange(0, MAX_STRENGTH),
    help="Strength of the transfer: 0 changes nothing, over 1 exaggerates.",
)

quality = _photo(
    "--quality",
    type=click.IntRange(1, 100),
    help="Quality of lossy formats.  [default: 95; AVIF and HEIC: 90]",
)

strip_metadata = _photo(
    "--strip-metadata", is_flag=True, help="Leave out camera, location, author and so on."
)

device = _photo("--device", metavar="NAME", help="auto, cpu, cuda or cuda:N.")


match = _photo(
    "--match",
    type=click.Choice(MATCHES),
    help="auto matches colours region by region, or recovers the grade where both photos show the "
    "same scene; regions always matches region by region, global the palette of the whole photo; "
    "none leaves the colours to the network.",
)

keep = _photo(
    "--keep",
    type=click.Choice(KEEPS),
    help="Leave the luma (luminance), the chroma (color) or the hue of human skin (skin) of the "
    "content as it is.",
)

input_space = _photo(
    "--input-space",
    type=click.Choice(INPUT_SPACE_NAMES),
    help="What the values of the content mean, whatever its file says: log footage is mapped "
    "to the display (sRGB, BT.709) first.",
)


def transfer(command: Command) -> Command:
    """--mode, --working-size and --tile: arguments of `Stylizer.apply` with its defaults."""
    for option in (
        _photo(
            "--tile",
            type=click.IntRange(1),
            metavar="PIXELS",
            help="Side of a tile in exact mode; smaller tiles take less memory and more time.",
        ),
        _photo(
            "--working-size",
            type=click.IntRange(1),
            metavar="PIXELS",
            help="Long side of the reduced copy in fast mode.",
        ),
        _photo(
            "--mode",
            type=click.Choice(get_args(Mode)),
            help="exact runs the network at full resolution; fast runs it on a reduced copy and "
            "applies the colour changes to the photo; auto is exact up to about a megapixel.",
        ),
    ):
        command = option(command)
    return command

"""Options: their defaults are those of the functions that the commands call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import click
import pytest
from click.testing import CliRunner

from photostyle.cli import _options
from photostyle.cli.image import image
from photostyle.cli.video import video
from photostyle.jobs.clip import stylize_clip
from photostyle.jobs.photo import stylize_photo


@pytest.mark.parametrize(
    ("command", "function"), [(image, stylize_photo), (video, stylize_clip)], ids=["image", "video"]
)
def test_a_command_has_every_option_of_its_function_with_its_default(
    command: click.Command, function: Callable[..., Any]
) -> None:
    options = {one.name: one for one in command.params if isinstance(one, click.Option)}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is inspect.Parameter.empty or name in ("progress", "cues"):
            continue
        assert options[name].default == parameter.default


def example(size: int = 7, name: str | None = None, bare: bool = False) -> None:
    pass


def test_an_option_takes_its_default_from_the_parameter_and_shows_it() -> None:
    option = _options.of(example)
    given: list[Any] = []

    @click.command()
    @option("--size", type=int)
    @option("-n", "--name")
    @option("--naked", "bare", is_flag=True)
    def command(**values: Any) -> None:
        given.append(values)

    assert CliRunner().invoke(command, []).exit_code == 0
    assert given == [{"size": 7, "name": None, "bare": False}]
    text = CliRunner().invoke(command, ["--help"]).output
    assert "[default: 7]" in text
    assert text.count("default") == 1


def test_an_option_without_a_parameter_raises_type_error() -> None:
    with pytest.raises(TypeError, match="no parameter width"):
        _options.of(example)("--width")

"""The command itself: what it offers, how fast it answers, one version for all."""

from __future__ import annotations

import subprocess
import sys
from types import ModuleType

import pytest
import torch
from click.testing import CliRunner

import photostyle
from photostyle.cli import _startup, cli

HEAVY = {"torch", "torchvision", "numpy", "PIL", "rich", "imageio"}


def test_help_lists_every_command() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    for name in cli.list_commands(
        cli.make_context("photostyle", ["--help"], resilient_parsing=True)
    ):
        assert f"\n  {name} " in output
    assert "image" in output


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["image", "--help"], ["bench", "--help"]]
)
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, photostyle; from photostyle.cli import cli;"
        f"cli.main({arguments}, standalone_mode=False);"
        f"sys.exit(', '.join({HEAVY} & set(sys.modules)) or None)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_python_m_photostyle_tells_the_version() -> None:
    command = [sys.executable, "-m", "photostyle", "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split()[-1] == photostyle.__version__


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_answer_at_once(argument: str) -> None:
    """In less than 0.4 seconds, by processor time, which other programs do not lengthen."""
    resource = pytest.importorskip("resource")
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "photostyle", argument], check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.4


def test_a_module_that_waits_is_imported_when_something_is_looked_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "meta_path", [_startup.Late("colorsys"), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    import colorsys

    assert "rgb_to_hsv" not in vars(colorsys)
    assert not hasattr(colorsys, "__wrapped__")
    assert "rgb_to_hsv" not in vars(colorsys)
    assert colorsys.rgb_to_hsv(1, 0, 0) == (0, 1, 1)
    assert type(colorsys) is ModuleType
    assert not hasattr(colorsys, "rgb_to_pink")


@pytest.mark.parametrize(
    "need",
    ["import torch._dynamo", "import torchvision", "torch.optim.SGD([torch.ones(1)]).step()"],
)
def test_what_torch_does_without_is_there_for_who_needs_it(need: str) -> None:
    code = f"""
import sys
from types import ModuleType
from photostyle.cli._startup import UNUSED, meanwhile_importing_engine
with meanwhile_importing_engine(True):
    pass
import torch
assert type(sys.modules[UNUSED]) is not ModuleType, "it does not wait"
{need}
assert type(sys.modules[UNUSED]) is ModuleType
pixels = torch.empty(1, 3, 8, 8, device="meta")
assert torch.nn.functional.conv2d(pixels, pixels[..., :3, :3]).shape == (1, 1, 6, 6)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_running_out_of_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*_: object) -> None:
        torch.empty(1 << 60)

    monkeypatch.setattr("photostyle.model.checkpoint.bundled", allocate)
    result = CliRunner().invoke(cli, ["weights", "list"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is not enough memory")


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(cli, ["imagine"])
    assert result.exit_code == 2
    assert "imagine" in result.stderr


def test_the_library_offers_what_it_says() -> None:
    for name in photostyle.__all__:
        assert getattr(photostyle, name) is not None
    assert set(photostyle.__all__) <= set(dir(photostyle))
    with pytest.raises(AttributeError, match="no attribute 'unheard_of'"):
        _ = photostyle.unheard_of

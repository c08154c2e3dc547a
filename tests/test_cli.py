"""The command itself: what it offers, how fast it answers, one version for all."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from click.testing import CliRunner

import photostyle
from photostyle.cli import cli

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


def test_running_out_of_memory_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def allocate(*_: object) -> None:
        torch.empty(1 << 60)

    monkeypatch.setattr("photostyle.weights.bundled", allocate)
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

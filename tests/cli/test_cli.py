"""The command itself: its subcommands, start-up time, version and error handling."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from types import ModuleType

import click
import pytest
import torch
from click.testing import CliRunner

import photostyle
from photostyle.cli import _startup, cli
from photostyle.errors import is_out_of_memory

HEAVY = {"torch", "torchvision", "numpy", "PIL", "rich", "imageio"}


def test_help_lists_every_command() -> None:
    output = CliRunner().invoke(cli, ["--help"]).output
    for name in cli.list_commands(
        cli.make_context("photostyle", ["--help"], resilient_parsing=True)
    ):
        assert f"\n  {name} " in output
    assert "image" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--version"],
        ["--help"],
        *([name, "--help"] for name in cli.list_commands(click.Context(cli))),
    ],
    ids=" ".join,
)
def test_help_and_version_import_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys, photostyle; from photostyle.cli import cli;"
        f"cli.main({arguments}, standalone_mode=False);"
        f"sys.exit(', '.join({HEAVY} & set(sys.modules)) or None)"
    )
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


def test_python_m_photostyle_prints_the_version() -> None:
    command = [sys.executable, "-m", "photostyle", "--version"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.split()[-1] == photostyle.__version__


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_help_and_version_answer_at_once(argument: str) -> None:
    """Within 0.4 seconds of processor time, which does not depend on other load."""
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


def test_a_deferred_module_is_imported_on_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "meta_path", [_startup.DeferringFinder("colorsys"), *sys.meta_path])
    monkeypatch.delitem(sys.modules, "colorsys", raising=False)
    import colorsys

    assert "rgb_to_hsv" not in vars(colorsys)
    assert not hasattr(colorsys, "__wrapped__")
    assert "rgb_to_hsv" not in vars(colorsys)
    assert colorsys.rgb_to_hsv(1, 0, 0) == (0, 1, 1)
    assert type(colorsys) is ModuleType
    assert not hasattr(colorsys, "rgb_to_pink")


DEFERS = torch.__version__.startswith(_startup.TESTED)


@pytest.mark.skipif(not DEFERS, reason="this version of torch is imported as usual")
@pytest.mark.parametrize(
    "need",
    ["import torch._dynamo", "import torchvision", "torch.optim.SGD([torch.ones(1)]).step()"],
)
def test_the_deferred_module_of_torch_still_works(need: str) -> None:
    code = f"""
import sys
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from types import ModuleType
from photostyle.cli._startup import UNUSED, import_torch_meanwhile
import_torch_meanwhile().join()
import torch
assert type(sys.modules[UNUSED]) is not ModuleType, "it does not wait"
{need}
assert type(sys.modules[UNUSED]) is ModuleType
pixels = torch.empty(1, 3, 8, 8, device="meta")
assert torch.nn.functional.conv2d(pixels, pixels[..., :3, :3]).shape == (1, 1, 6, 6)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("version", ["2.13.0", "2.140.0", None])
def test_an_untested_torch_is_imported_as_usual(
    version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tell(_: str) -> str:
        if version is None:
            raise PackageNotFoundError
        return version

    monkeypatch.setattr(metadata, "version", tell)
    monkeypatch.delitem(sys.modules, "torch")
    before = sys.meta_path[:]
    assert _startup._defer_unused() is None
    assert sys.meta_path == before


def allocate(*_: object, **__: object) -> None:
    torch.empty(1 << 60)


@pytest.mark.parametrize(
    ("command", "patched", "sentence"),
    [
        (["weights", "list"], "photostyle.bundled.networks", "enough memory.\n"),
        (
            ["image", "day.jpg", "dusk.png"],
            "photostyle.photo.read",
            "enough memory; try --mode fast, or a smaller --tile or --working-size.\n",
        ),
        (
            ["video", "day.mp4", "dusk.png"],
            "photostyle.jobs.image_sequence.probe_video",
            "enough memory; try a smaller --working-size.\n",
        ),
    ],
    ids=["weights", "image", "video"],
)
def test_running_out_of_memory_gives_advice_that_fits_the_command(
    command: list[str], patched: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patched, allocate)
    result = CliRunner().invoke(cli, command)
    assert result.exit_code == 1
    assert result.stderr == f"Error: There is not {sentence}"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB."), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried"), True),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), False),
        (ValueError("memory"), False),
        (KeyboardInterrupt(), False),
    ],
)
def test_what_counts_as_running_out_of_memory(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


def failing(words: list[str], error: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a new process in which reading photos raises an error."""
    code = f"""
import sys
from photostyle import cli, photo
from photostyle.errors import PhotostyleError
def read(*_, **__):
    raise {error}
photo.read = read
sys.argv = {["photostyle", *words, "image", "day.jpg", "dusk.jpg"]}
cli.main()
"""
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_debug_shows_where_an_error_comes_from() -> None:
    plain = failing([], "PhotostyleError('Too bad.')")
    assert (plain.returncode, plain.stdout, plain.stderr) == (1, "", "Error: Too bad.\n")
    for debugged in (
        failing(["--debug"], "PhotostyleError('Too bad.')"),
        failing([], "PhotostyleError('Too bad.')", PHOTOSTYLE_DEBUG="1"),
    ):
        assert debugged.returncode == 1
        assert debugged.stderr.startswith("Traceback")
        assert "in read" in debugged.stderr
        assert debugged.stderr.endswith("\nError: Too bad.\n")


def test_a_bug_is_reported_as_one_and_debug_shows_where() -> None:
    plain = failing([], "KeyError('x')", PHOTOSTYLE_DEBUG="0")
    assert plain.returncode == 1
    assert plain.stderr == (
        "Error: Unexpected KeyError: 'x'\n"
        "This is a bug in photostyle; `photostyle --debug ...` shows where it happened.\n"
    )
    debugged = failing(["--debug"], "KeyError('x')")
    assert debugged.returncode == 1
    assert debugged.stderr.startswith("Traceback")
    assert debugged.stderr.endswith("KeyError: 'x'\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_callback_of_a_weak_reference_is_not_lost(number: signal.Signals) -> None:
    program = f"""
import signal, time, weakref
from photostyle import cli
class Watched:
    pass
def work():
    watched = Watched()
    reference = weakref.ref(watched, lambda _: signal.raise_signal({int(number)}))
    del watched  # Python ignores exceptions of the callback
    time.sleep(60)
cli.cli = work
cli.main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (128 + number, "")


def test_an_unknown_command_is_wrong_usage() -> None:
    result = CliRunner().invoke(cli, ["imagine"])
    assert result.exit_code == 2
    assert "imagine" in result.stderr


def test_the_library_exports_what_it_lists() -> None:
    for name in photostyle.__all__:
        assert getattr(photostyle, name) is not None
    assert set(photostyle.__all__) <= set(dir(photostyle))
    with pytest.raises(AttributeError, match="no attribute 'unheard_of'"):
        _ = photostyle.unheard_of

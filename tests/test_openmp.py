"""How idle threads wait: chosen by programs, before torch is imported, and never for libraries."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from photostyle import openmp

SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SPINNING, SLEEPING = {"GOMP_SPINCOUNT": "10000"}, {"OMP_WAIT_POLICY": "PASSIVE"}


def settings() -> dict[str, str]:
    return {name: os.environ[name] for name in SETTINGS if name in os.environ}


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As at the start of a command: without torch and settings, on a machine with free cores."""
    monkeypatch.delitem(sys.modules, "torch")
    monkeypatch.setattr(openmp, "_set_here", set())
    monkeypatch.setattr(openmp, "_others_running", lambda: 0)
    before = dict(os.environ)
    for name in SETTINGS:
        os.environ.pop(name, None)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize(("others", "expected"), [(0, SPINNING), (3, SPINNING), (4, SLEEPING)])
def test_threads_sleep_at_once_where_no_core_is_free(
    others: int, expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    monkeypatch.setattr(openmp, "_others_running", lambda: others)
    openmp.limit_spinning()
    assert settings() == expected


@pytest.mark.usefixtures("without_torch")
def test_a_command_that_runs_other_programs_decides_again() -> None:
    openmp.limit_spinning()
    openmp.limit_spinning(beside_others=True)
    assert settings() == SLEEPING


@pytest.mark.usefixtures("without_torch")
@pytest.mark.parametrize("name", SETTINGS)
def test_what_the_user_has_set_is_kept(name: str) -> None:
    os.environ[name] = "5"
    openmp.limit_spinning()
    openmp.limit_spinning(beside_others=True)
    assert settings() == {name: "5"}
    assert openmp.user_environment()[name] == "5"
    assert openmp.waiting() == f"{name}=5"


@pytest.mark.usefixtures("without_torch")
def test_programs_that_decide_again_inherit_nothing() -> None:
    before = dict(os.environ)
    assert openmp.waiting() == "OpenMP's default"
    openmp.limit_spinning()
    assert os.environ != before
    assert openmp.user_environment() == before


def test_too_late_once_torch_is_imported() -> None:
    before = dict(os.environ)
    openmp.limit_spinning(beside_others=True)
    assert os.environ == before


@pytest.mark.skipif(not Path("/proc/loadavg").exists(), reason="no /proc/loadavg")
def test_running_threads_are_counted() -> None:
    code = "print(flush=True)\nwhile True: pass"
    programs = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) for _ in range(3)
    ]
    try:
        for program in programs:
            assert program.stdout
            program.stdout.readline()
        assert openmp._others_running() >= 3
    finally:
        for program in programs:
            program.kill()
            program.communicate()


REPORT = f"""
import os, sys
class Report:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print({{name: os.environ.get(name) for name in {SETTINGS}}}, flush=True)
            os._exit(0)
sys.meta_path.insert(0, Report())
"""


def at_import_of_torch(code: str) -> dict[str, str]:
    """The settings in the environment when a new program that starts with none imports torch."""
    free = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    process = subprocess.run(
        [sys.executable, "-c", REPORT + code], capture_output=True, text=True, check=True, env=free
    )
    return {name: value for name, value in eval(process.stdout).items() if value is not None}


@pytest.mark.parametrize(
    "words",
    [
        ["image", "day.jpg", "dusk.png"],
        ["train", ".", "-o", "run"],
        ["train-matcher", ".", "-o", "run"],
        ["search", ".", "--supernet", "supernet.safetensors", "-o", "run"],
        ["bench", "--video", "day.mp4"],
    ],
    ids=lambda words: words[0],
)
@pytest.mark.usefixtures("folder")
def test_commands_decide_before_torch_is_imported(words: list[str]) -> None:
    found = at_import_of_torch(
        f"import sys; from photostyle.cli import main; sys.argv[1:] = {words}; main()"
    )
    assert found in (SPINNING, SLEEPING)


@pytest.mark.parametrize(
    "use", ["photostyle.load", "photostyle.stylize_photo('day.jpg', 'dusk.png')"]
)
@pytest.mark.usefixtures("folder")
def test_the_library_leaves_the_environment_alone(use: str) -> None:
    assert at_import_of_torch(f"import photostyle; {use}") == {}

"""Photos need none of the packages that only training and evaluation use."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

WITHOUT_EXTRAS = """
import sys

EXTRAS = "fastapi gradio uvicorn matplotlib optuna ray scipy skimage torchvision".split()


class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, Missing())

from photostyle.cli import main

main()
"""


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_EXTRAS, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_photo_is_stylized_without_the_extras(folder: Path, model: str) -> None:
    process = run("image", "day.jpg", "dusk.png", "-o", "result.jpg", "--model", model)
    assert process.returncode == 0, process.stderr
    with Image.open(folder / "result.jpg") as result:
        assert result.size == (90, 61)


@pytest.mark.parametrize(
    ("extra", "arguments"),
    [
        ("evaluate", ["evaluate", ".", "--content", ".", "--style", "."]),
        ("ray", ["batch", ".", "dusk.png", "--ray", "auto"]),
        ("search", ["search", ".", "--supernet", "photonet", "-o", "search"]),
        ("train", ["train", ".", "-o", "run"]),
        ("train", ["train-matcher", ".", "-o", "run"]),
        ("ui", ["ui", "--port", "0"]),
    ],
)
@pytest.mark.usefixtures("folder")
def test_a_missing_extra_is_named(extra: str, arguments: list[str]) -> None:
    process = run(*arguments)
    assert process.returncode == 1
    assert f"pip install 'photostyle[{extra}]'" in process.stderr
    assert "Traceback" not in process.stderr

"""The folder of a training run, from which it can be resumed."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from photostyle.errors import PhotostyleError
from photostyle.files import new_file


class RunFolder:
    """A folder with the state of a run in ``checkpoint.pt`` and its figures in ``log.jsonl``."""

    def __init__(self, path: Path):
        self.path = path

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state of the run; its keys "step" and "recipe" are those that `load` reads."""
        with new_file(self.path / "checkpoint.pt", overwrite=True) as file:
            torch.save(dict(state), file)

    def load(
        self, recipe: Mapping[str, Any], defaults: Mapping[str, Any], device: torch.device
    ) -> dict[str, Any] | None:
        """The saved state, None if there is none; drops log lines of later steps.

        recipe: the options of the run. defaults: those of options that did not exist when the state
        was saved. Raises PhotostyleError if the options differ in anything but the number of steps.
        """
        path = self.path / "checkpoint.pt"
        if not path.exists():
            return None
        state: dict[str, Any] = torch.load(path, map_location=device, weights_only=True)
        theirs = {**defaults, **state["recipe"]}
        if theirs | {"steps": 0} != {**recipe, "steps": 0}:
            raise PhotostyleError(
                f"{self.path} holds a run with other options; repeat those or use a new folder."
            )
        self._shorten_log(state["step"])
        return state

    def log(self, step: int, figures: Mapping[str, float]) -> None:
        """Append a line to the log."""
        line = {"step": step, "time": round(time.time())}
        rounded = {name: float(f"{figure:.5g}") for name, figure in figures.items()}
        with (self.path / "log.jsonl").open("a") as file:
            file.write(json.dumps(line | rounded) + "\n")

    def _shorten_log(self, step: int) -> None:
        """Drop log lines of steps after the checkpoint, which will be repeated."""
        log = self.path / "log.jsonl"
        if not log.exists():
            return
        kept = []
        for line in log.read_text().splitlines():
            with suppress(ValueError):  # a truncated line
                if json.loads(line)["step"] <= step:
                    kept.append(line + "\n")
        with new_file(log, overwrite=True) as file:
            file.write("".join(kept).encode())


def diverged(step: int) -> PhotostyleError:
    """The error of a run whose gradient is NaN or infinite."""
    return PhotostyleError(
        f"Training diverged at step {step}; start again in a new folder with a lower "
        "--learning-rate."
    )

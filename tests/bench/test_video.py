"""The temporal stability of clips, and `photostyle bench --video`."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from support import clips

from photostyle.bench.scene import scene
from photostyle.bench.stability import estimate_motion, temporal_errors
from photostyle.cli import cli

Floats = npt.NDArray[np.floating]


def panning(count: int = 4, step: int = 3) -> list[Floats]:
    """A camera that moves to the right over a scene, in whole pixels."""
    photo = scene(240, 120) / 255
    return [photo[:, step * number : step * number + 200] for number in range(count)]


def test_the_flow_finds_a_pan() -> None:
    before, after = panning(2)
    motion = estimate_motion(before, after)
    inside = motion.visible.copy()
    inside[:, 180:] = inside[:20] = inside[-20:] = False
    shift = motion.positions[1] - np.arange(200)
    assert motion.visible.mean() > 0.6
    assert np.median(shift[inside]) == pytest.approx(3, abs=0.3)
    assert motion.static.mean() < 0.05


def brighter(number: int, photo: Floats) -> Floats:
    return photo * (1 + 0.1 * (number % 2))


@pytest.mark.parametrize("change", [None, brighter])
def test_the_warping_error_is_that_of_the_colors(
    change: Callable[[int, Floats], Floats] | None,
) -> None:
    """A pan has a small warping error, and a large one if its brightness alternates."""
    frames = panning()
    motions = [estimate_motion(a, b) for a, b in pairwise(frames)]
    own, _ = temporal_errors(frames, motions)
    difference = np.sqrt(np.mean(np.diff(np.stack(frames), axis=0) ** 2))
    assert own < 0.7 * difference
    if change:
        alternating, _ = temporal_errors([change(*pair) for pair in enumerate(frames)], motions)
        assert alternating > 1.3 * own


def test_flicker_is_the_change_of_the_mean_of_static_regions() -> None:
    frames = [brighter(number, scene(200, 120) / 255) for number in range(4)]
    still = [estimate_motion(frames[0], frames[0])] * 3
    assert still[0].static.mean() > 0.5
    _, flicker = temporal_errors(frames, still)
    assert flicker == pytest.approx(0.1 * frames[0].mean(), rel=0.3)
    _, none = temporal_errors([frames[0]] * 4, still)
    assert none == 0


def test_the_command_measures_a_clip(tmp_path: Path, model: str) -> None:
    clip = clips.make(str(tmp_path / "clip.mp4"), "-pix_fmt", "yuv420p", frames=6)
    report = tmp_path / "report.json"
    arguments = ["bench", "--device", "cpu", "--model", model, "--video", str(clip)]
    arguments += ["--frames", "4", "--match", "global", "--json", str(report)]
    result = CliRunner().invoke(cli, arguments)
    assert result.exit_code == 0, result.output
    assert "clip.mp4" in result.stdout
    read = json.loads(report.read_text())
    assert read["match"] == "global"
    (measured,) = read["clips"]
    assert measured["size"] == [160, 90]
    assert list(measured["stability"]) == ["shot", "smooth", "frame"]
    assert all(0 < mode["warping_error"] < 100 for mode in measured["stability"].values())
    speed = measured["speed"]
    assert speed["frames"] == 6
    assert speed["command_seconds"] > speed["codec_seconds"] > 0
    assert measured["codec_ratio"] == speed["command_seconds"] / speed["codec_seconds"]

"""The corpus run on a few files: what it reports, and what it survives."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from support.photos import camera_exif, encoded, example_files, profile, scene, to_linear

pytest.importorskip("resource")
pytest.importorskip("pyvips")
from corpus import corpus
from corpus.isolation import LostError, isolated
from corpus.reference import Display, by_vips

from photostyle.photo import Photo

P3 = profile("Display P3")
# CSS Color Module Level 4, sample code of the conversions.
P3_TO_SRGB = np.array(
    [[1.2249402, -0.2249402, 0], [-0.0420569, 1.0420569, 0], [-0.0196376, -0.0786361, 1.0982735]]
)


pytestmark = pytest.mark.usefixtures("one_thread")


def written(folder: Path, name: str, data: bytes) -> Path:
    (folder / name).write_bytes(data)
    return folder / name


def in_fork(function: Callable[..., Any], *args: object) -> Any:
    """libvips starts threads, which would be missing in later forks of this process."""
    return isolated(function, *args, seconds=60)


def shown_by_vips(path: Path) -> Any:
    display = in_fork(by_vips, path)
    assert display
    return display.values


@pytest.mark.parametrize(
    "name",
    [
        "plain.jpg",
        "progressive.jpg",
        "plain.png",
        "deep.png",
        "deep.tif",
        "plain.webp",
        "moving.gif",
    ],
)
def test_a_good_file_looks_the_same(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, name, example_files()[name])
    assert corpus.check(path, seconds=60).outcome == "same"


def test_the_reference_honours_orientation(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "turned.png", exif=camera_exif(6))
    shown = shown_by_vips(tmp_path / "turned.png")
    np.testing.assert_array_equal(shown[..., :3], np.rot90(scene(), -1) * 257.0)


def test_the_reference_honours_profile_and_alpha(tmp_path: Path) -> None:
    red = np.array((200, 60, 60), np.uint8)
    picture = Photo(np.full((8, 8, 3), red), np.full((8, 8), 51, np.uint8), P3, P3)
    shown = shown_by_vips(written(tmp_path, "p3.png", encoded(picture, "PNG")))
    linear = P3_TO_SRGB @ to_linear(red / 255)
    expected = np.where(linear < 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(shown[0, 0] / 257, [*255 * expected, 51], atol=0.5)


def test_refusals(tmp_path: Path) -> None:
    jpeg = example_files()["plain.jpg"]
    good = written(tmp_path, "good.jpg", jpeg)
    cut = written(tmp_path, "cut.jpg", jpeg[:-60])
    text = written(tmp_path, "text.jpg", b"no photo at all")
    assert in_fork(corpus.judge_refusal, good, "why").outcome == "refused"
    assert corpus.check(cut, seconds=60).outcome == "damaged"
    assert corpus.check(text, seconds=60).outcome == "unopened"


@pytest.mark.parametrize(("change", "outcome"), [(1, "same"), (2, "different")])
def test_differences_above_one_step_are_reported(tmp_path: Path, change: int, outcome: str) -> None:
    Image.fromarray(scene()).save(tmp_path / "content.png")
    changed = scene()
    changed[7, 5] += change
    Image.fromarray(changed).save(tmp_path / "result.png")
    rendered = corpus.Rendered(tmp_path / "result.png")
    found = in_fork(corpus.judge, tmp_path / "content.png", rendered)
    assert found.outcome == outcome
    if outcome == "different":
        assert found.detail.startswith("by up to 2.0/255")


@pytest.mark.parametrize(("change", "same"), [(3, True), (5, False)])
def test_heif_may_differ_a_little(tmp_path: Path, change: int, same: bool) -> None:
    Image.fromarray(scene()).save(tmp_path / "result.png")
    values = np.full((40, 60, 4), 65535, np.uint16)
    changed = values - np.uint16(257 * change)
    changed[..., 3] = 65535
    one, other = (Display(v, None, "heif", exact=False) for v in (values, changed))
    assert (corpus.compare(one, other, tmp_path / "result.png").worst == 0) == same


def test_a_result_of_another_size_is_reported(tmp_path: Path) -> None:
    Image.fromarray(scene(60, 40)).save(tmp_path / "content.png")
    Image.fromarray(scene(40, 60)).save(tmp_path / "result.png")
    rendered = corpus.Rendered(tmp_path / "result.png")
    found = in_fork(corpus.judge, tmp_path / "content.png", rendered)
    assert found[::2] == ("different", "40 x 60, not 60 x 40")


def test_a_hidden_colour_is_no_difference() -> None:
    visible, hidden = np.full((2, 2, 4), 40_000, np.uint16), np.zeros((2, 2, 4), np.uint16)
    other = hidden.copy()
    other[..., :3] = 50_000
    assert corpus.distances(hidden, other)[0] == 0
    worst, mean, share = corpus.distances(visible, hidden)
    assert worst == pytest.approx((40_000 / 65535) ** 2, abs=1e-4)
    assert mean == pytest.approx(worst)
    assert share == 1


def test_the_run_lists_faults_and_fails(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(tmp_path, "good.jpg", example_files()["plain.jpg"])
    assert corpus.main([tmp_path], jobs=1, seconds=60) == 0
    assert "Of 1 files\n     1 look the same\n" in capsys.readouterr().out
    (tmp_path / "hanging.png").write_bytes(example_files()["plain.png"])
    assert corpus.main([tmp_path], jobs=1, seconds=0) == 1
    printed = capsys.readouterr().out
    assert f"failed: {tmp_path / 'hanging.png'}: takes more than 0 s [.png]\n" in printed


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("function", "argument", "reason"),
    [
        (crash, (), "ends its process by SIGKILL"),
        (os._exit, (3,), "ends its process by exit code 3"),
        (time.sleep, (60,), "takes more than 0.5 s"),
        (int, ("x",), "raises ValueError"),
        (bytearray, (8 << 30,), "raises MemoryError"),
    ],
)
def test_a_process_that_is_lost(function: Any, argument: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(LostError, match=reason):
        isolated(function, *argument, seconds=0.5 if function is time.sleep else 60)


def test_a_function_in_a_process_of_its_own_returns_its_result() -> None:
    assert in_fork(sum, [1, 2]) == 3

"""A part of `make fuzz`: damaged files through the command, and every length of a few."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytest.importorskip("resource")
from fuzz import corruption


@pytest.fixture(scope="module")
def trial() -> Iterator[corruption.Trial]:
    before = Path.cwd()
    with TemporaryDirectory() as name:
        yield corruption.Trial(Path(name))
        os.chdir(before)


@pytest.fixture(autouse=True)
def current_folder(trial: corruption.Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(trial.folder)


def test_damaged_files(trial: corruption.Trial) -> None:
    outcomes = [trial.run(name, data) for name, data in trial.mutated(108, seed=1)]
    assert min(outcomes.count("read"), outcomes.count("refused")) > 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_more_damaged_files(trial: corruption.Trial, seed: int) -> None:
    for name, data in trial.mutated(1000, seed):
        trial.run(name, data)


def test_undamaged_files_are_read(trial: corruption.Trial) -> None:
    for name, data in trial.files.items():
        if not name.startswith("encoder"):
            assert trial.run(f"bad-{name}", data) == "read", name


def test_libraries_print_nothing(trial: corruption.Trial, caplog: pytest.LogCaptureFixture) -> None:
    """Neither of a wrong checksum nor of more channels than the data holds."""
    png = bytearray(trial.files["deep.png"])
    at = png.index(b"IEND") - 200
    png[at : at + 16] = bytes(16)
    assert trial.run("bad-deep.png", bytes(png)) == "refused"
    tiff = bytearray(trial.files["deep.tif"])
    for tag, kind in ((257, 3), (277, 3)):  # height and samples per pixel: far too many values
        tiff[tiff.index(struct.pack("<HH", tag, kind)) + 5] = 10
    assert trial.run("bad-deep.tif", bytes(tiff)) == "refused"
    assert not caplog.records


@pytest.mark.parametrize("name", ["plain.jpg", "plain.png", "deep.tif", "plain.webp"])
def test_files_cut_off_at_any_length(trial: corruption.Trial, name: str) -> None:
    data = trial.files[name]
    # The last bytes of a PNG file only mark its end.
    end = len(data) - 40
    lengths = [*range(0, 40, 8), *range(40, end, max(1, end // 6)), end]
    outcomes = [trial.run(f"bad-{name}", data[:length]) for length in lengths]
    assert set(outcomes) == {"refused"}

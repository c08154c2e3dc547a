"""A part of `make fault`: kills, full disks, competition, permissions."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

pytest.importorskip("fcntl")
pytest.importorskip("resource")
from faults import faults


@pytest.fixture(scope="module")
def bench() -> Iterator[faults.Bench]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a fork has none of its parent's threads
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield faults.Bench(Path(name))
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def video_bench() -> Iterator[faults.VideoBench]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with TemporaryDirectory() as name:
        yield faults.VideoBench(Path(name))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("number", faults.SIGNALS)
def test_signals_at_random_moments(bench: faults.Bench, number: signal.Signals) -> None:
    found = faults.kill(bench, 12, number)
    assert sum(found.values()) >= 12


@pytest.mark.parametrize("number", faults.SIGNALS)
def test_signals_while_a_video_is_made(
    video_bench: faults.VideoBench, number: signal.Signals
) -> None:
    found = faults.kill(video_bench, 8, number)
    assert sum(found.values()) >= 8


def test_a_file_size_limit(bench: faults.Bench) -> None:
    faults.limit_size(bench, [0, 4096, len(bench.whole) - 1, len(bench.whole)])


def test_several_writers_of_one_target(bench: faults.Bench) -> None:
    faults.compete(bench, 2)


def test_what_may_not_be_read_or_written(bench: faults.Bench) -> None:
    faults.forbid(bench)


def test_a_file_that_is_being_written_is_no_leftover(tmp_path: Path) -> None:
    from photostyle import files

    left = tmp_path / ".photostyle-0123456789abcdef"
    spared = tmp_path / ".photostyle-notours"
    left.write_bytes(b"half")
    spared.write_bytes(b"other")
    with files.new_file(tmp_path / "a") as first:
        first.write(b"a")
        (writing,) = (path for path in tmp_path.glob(".photostyle-*") if path != spared)
        assert writing != left
        with files.new_file(tmp_path / "b") as second:
            second.write(b"b")
        assert writing.exists()
    assert (tmp_path / "a").read_bytes() == b"a"
    assert (tmp_path / "b").read_bytes() == b"b"
    assert spared.exists()

"""A part of `make fault`: signals, full disks, competing processes, permissions."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

pytest.importorskip("fcntl")
pytest.importorskip("resource")
from faults import faults

from photostyle import files

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def workspace() -> Iterator[faults.Workspace]:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o755)  # read by another user too
        yield faults.Workspace(Path(name))


@pytest.fixture(scope="module")
def video_workspace() -> Iterator[faults.VideoWorkspace]:
    with TemporaryDirectory() as name:
        yield faults.VideoWorkspace(Path(name))


def interrupted(found: Counter[str]) -> int:
    """The number of runs that did not finish."""
    return found["nothing"] + found["old"] + found["shorter"]


@pytest.mark.parametrize("number", faults.SIGNALS)
def test_signals_at_random_moments(workspace: faults.Workspace, number: signal.Signals) -> None:
    assert interrupted(faults.send_signals(workspace, 8, number)) > 0


@pytest.mark.parametrize("number", faults.SIGNALS)
def test_signals_while_a_video_is_made(
    video_workspace: faults.VideoWorkspace, number: signal.Signals
) -> None:
    assert interrupted(faults.send_signals(video_workspace, 8, number)) > 0


@pytest.mark.slow
@pytest.mark.parametrize("number", faults.SIGNALS)
def test_more_signals(
    workspace: faults.Workspace, video_workspace: faults.VideoWorkspace, number: signal.Signals
) -> None:
    for one in (workspace, video_workspace):
        assert interrupted(faults.send_signals(one, 40, number, seed=1)) > 0


def test_a_file_size_limit(workspace: faults.Workspace) -> None:
    size = len(workspace.whole)
    faults.limit_file_size(workspace, [0, 4096, size - 1, size])


def test_a_full_disk(workspace: faults.Workspace) -> None:
    if not faults.fill_disk(workspace):
        pytest.skip("a file system may not be mounted here")


def test_competing_processes(workspace: faults.Workspace) -> None:
    faults.compete(workspace, 2)


def test_missing_permissions(workspace: faults.Workspace) -> None:
    faults.deny_permissions(workspace)


def test_a_temporary_file_in_use_is_kept(tmp_path: Path) -> None:
    """Only what a killed process has left is removed."""
    left = tmp_path / ".photostyle-0123456789abcdef"
    foreign = tmp_path / ".photostyle-notours"
    left.write_bytes(b"half")
    foreign.write_bytes(b"other")
    with files.new_file(tmp_path / "a") as first:
        first.write(b"a")
        (in_use,) = (path for path in tmp_path.glob(".photostyle-*") if path != foreign)
        assert in_use != left
        with files.new_file(tmp_path / "b") as second:
            second.write(b"b")
        assert in_use.exists()
    assert (tmp_path / "a").read_bytes() == b"a"
    assert (tmp_path / "b").read_bytes() == b"b"
    assert foreign.exists()

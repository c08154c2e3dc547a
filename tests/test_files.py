"""New files appear whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from photostyle import PhotostyleError, files


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), files.new_file(tmp_path / "new.jpg") as stream:
        stream.write(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_leaves_an_existing_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "old.jpg"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.new_file(target, overwrite=True) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:  # as on a memory card

        def refuse(*_: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    target = tmp_path / "new.jpg"
    with (
        pytest.raises(PhotostyleError, match="already exists"),
        files.new_file(target) as stream,
    ):
        stream.write(b"mine")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    other = tmp_path / "other.jpg"
    with files.new_file(other) as stream:
        stream.write(b"mine")
    assert other.read_bytes() == b"mine"
    assert sorted(tmp_path.iterdir()) == [target, other]


def test_a_link_to_itself_may_be_overwritten(tmp_path: Path) -> None:
    target = tmp_path / "loop.jpg"
    target.symlink_to(target)
    with files.new_file(target, overwrite=True) as stream:
        stream.write(b"new")
    assert target.read_bytes() == b"new"

"""`photostyle batch` with URLs: the same results as with files, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image
from support.photos import clouds

from photostyle import PhotostyleError
from photostyle.cli import cli
from photostyle.jobs import batch_worker, storage
from photostyle.jobs.batch_journal import JOURNAL
from photostyle.jobs.storage import RemotePath

NAMES = ("a.png", "b.png", "trip/c.png")


@pytest.fixture(autouse=True)
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryFileSystem]:
    """A storage in memory with three photos, a text and a style; a folder with the same."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    Path("temporary").mkdir()
    for number, name in enumerate((*(f"photos/{name}" for name in NAMES), "dusk.png")):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(clouds(40, 30, seed=number)).save(name)
    Path("photos/notes.txt").write_text("no photo")
    system = fsspec.filesystem("memory")
    system.rm("/", recursive=True)
    put(system, "photos")
    system.put("dusk.png", "/box/dusk.png")
    yield system
    system.rm("/", recursive=True)
    assert not list(Path("temporary").iterdir())


def put(system: MemoryFileSystem, folder: str) -> None:
    for path in Path("photos").rglob("*.*"):
        system.put(str(path), f"/box/{folder}/{path.relative_to('photos')}")


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["batch", *words, "--model", "none", "--jobs", "1", "--json"])


def lines(outcome: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def results(memory: MemoryFileSystem) -> set[str]:
    found = {name.removeprefix("/box/results/") for name in memory.find("/box/results")}
    return {name for name in found if not name.startswith(JOURNAL)}


URLS = "memory://box/photos", "memory://box/dusk.png", "-o", "memory://box/results"


def test_urls_give_the_results_of_files(memory: MemoryFileSystem) -> None:
    outcome = run(*URLS)
    assert outcome.exit_code == 0, outcome.output
    assert "Note: 1 file is neither a photo nor a clip: notes.txt." in outcome.stderr
    assert {line["output"] for line in lines(outcome)} == {
        f"memory://box/results/{name}" for name in NAMES
    }
    assert results(memory) == set(NAMES)
    assert run("photos", "dusk.png", "-o", "results").exit_code == 0
    for name in NAMES:
        with memory.open(f"/box/results/{name}") as file:
            found = np.asarray(Image.open(file))
        assert np.array_equal(found, np.asarray(Image.open(f"results/{name}")))


def test_resume_and_force(memory: MemoryFileSystem) -> None:
    memory.pipe("/box/results/a.png", b"mine")
    outcome = run(*URLS)
    assert outcome.exit_code == 1
    assert "'memory://box/results/a.png' already exists; use --force" in outcome.stderr
    memory.put("dusk.png", "/box/photos/b.png")
    outcome = run(*URLS, "--resume")
    assert outcome.exit_code == 1
    assert {Path(line["content"]).name: line["status"] for line in lines(outcome)} == {
        **{"a.png": "failed", "b.png": "done", "c.png": "skipped"},
    }
    assert memory.cat("/box/results/a.png") == b"mine"
    assert run(*URLS, "--resume", "--force").exit_code == 0
    assert {line["status"] for line in lines(run(*URLS, "--resume"))} == {"skipped"}


def test_an_output_is_no_input(memory: MemoryFileSystem) -> None:
    before = memory.cat("/box/photos/a.png")
    outcome = run(*URLS[:2], "-o", "memory://box/photos", "--force")
    assert "'memory://box/photos/a.png' is an input file" in lines(outcome)[0]["error"]
    assert memory.cat("/box/photos/a.png") == before


def test_styles_by_name_grid_and_page(memory: MemoryFileSystem) -> None:
    put(memory, "looks")
    assert run(URLS[0], "memory://box/looks", *URLS[2:]).exit_code == 0
    outcome = run(URLS[0], "memory://box/looks", *URLS[2:], "--grid", "--report", "page.html")
    assert outcome.exit_code == 0, outcome.output
    assert "contact-sheet.jpg" in results(memory)
    assert "trip/c-b.png" in results(memory)
    assert Path("page.html").read_text().count('class="slider"') == 9
    outcome = run(URLS[0], "dusk.png:0.5", "memory://box/dusk.png:0.5", "-o", "mixed")
    assert outcome.exit_code == 0, outcome.output


def test_a_failed_photo_leaves_nothing(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory.pipe("/box/photos/b.png", b"no photo")
    outcome = run(*URLS)
    assert outcome.exit_code == 1
    assert results(memory) == set(NAMES) - {"b.png"}
    failed = next(line for line in lines(outcome) if line["status"] == "failed")
    assert "'memory://box/photos/b.png'" in failed["error"]

    def full(*_: Any, **__: Any) -> None:
        raise OSError("The disk is full")

    monkeypatch.setattr(MemoryFileSystem, "put_file", full)
    outcome = CliRunner().invoke(cli, ["batch", *URLS, "--model", "none", "--force", "--jobs", "1"])
    assert outcome.exit_code == 1
    assert "cannot be written: The disk is full." in outcome.stderr


def test_an_upload_elsewhere_gets_its_name_when_it_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On storage that shows parts of files, here that of this machine under another scheme."""
    source = tmp_path / "source"
    source.write_bytes(b"whole")
    target = storage.place(f"local://{tmp_path}/folder/target")
    assert isinstance(target, RemotePath)
    storage.upload(source, target)
    assert storage.read(target) == b"whole"
    assert [str(path) for path in storage.files_at(target.parent)] == [str(target)]

    def lost(*_: Any, **__: Any) -> None:
        assert len(list((tmp_path / "folder").iterdir())) == 2
        raise OSError("The network is gone")

    monkeypatch.setattr(LocalFileSystem, "mv", lost)
    source.write_bytes(b"new")
    with pytest.raises(PhotostyleError, match=r"cannot be written: The network is gone\."):
        storage.upload(source, target)
    assert storage.read(target) == b"whole"
    assert len(list((tmp_path / "folder").iterdir())) == 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://bucket/photos", "'s3://bucket/photos' cannot be read: Install s3fs"),
        ("nothing://photos", "Protocol not known: nothing"),
        ("memory://box/none", "'memory://box/none' is not a folder"),
        ("memory://box/dusk.png", "is not a folder"),
    ],
)
def test_urls_that_cannot_be_used(url: str, message: str) -> None:
    outcome = run(url, "dusk.png", "-o", "results")
    assert outcome.exit_code == 1
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_a_file_url_is_a_path(tmp_path: Path) -> None:
    assert storage.place("file:///a%20b/c.png") == Path("/a b/c.png")
    assert run(f"file://{tmp_path}/photos", "dusk.png", "-o", "results").exit_code == 0
    assert Path("results/trip/c.png").exists()


def test_a_url_is_a_path_with_parts() -> None:
    root = storage.place("gs://box/photos")
    file = root / "trip" / "a.jpg"
    assert str(file) == "gs://box/photos/trip/a.jpg"
    assert (str(file.relative_to(root)), file.suffix) == ("trip/a.jpg", ".jpg")
    assert str(file.with_name("b.png").parent) == "gs://box/photos/trip"
    assert str(storage.place("hdfs:///photos") / "a.jpg") == "hdfs:///photos/a.jpg"
    assert Path("results") / file.relative_to(root) == Path("results/trip/a.jpg")


def test_the_network_is_loaded_for_no_skipped_file(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(*URLS).exit_code == 0
    monkeypatch.setattr(batch_worker, "load_stylizer", None)
    assert {line["status"] for line in lines(run(*URLS, "--resume"))} == {"skipped"}

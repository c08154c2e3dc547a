"""`photostyle batch`: names, styles, failures, resuming, processes that die, clips."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support import dying
from support.clips import Probed, make
from support.photos import clouds

from photostyle import PhotostyleError, stylize_photo
from photostyle.cli import cli
from photostyle.jobs import batch_pool, batch_worker
from photostyle.jobs.batch import SHEET, stylize_folder
from photostyle.jobs.batch_journal import JOURNAL
from photostyle.jobs.batch_plan import plan


def photo(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(clouds(40, 30, seed=seed)).save(path)
    return path


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three photos, one of them below, and a file of text; beside it a style."""
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.png", "b.png", "trip/c.png")):
        photo(Path("photos", name), number)
    Path("photos/notes.txt").write_text("no photo")
    photo(Path("dusk.png"), 9)
    return tmp_path


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["batch", *words, "--model", "none", "--jobs", "1"])


def lines(outcome: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in outcome.stdout.splitlines()]


def names(folder: str | Path) -> list[str]:
    files = (path for path in Path(folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in files if path.name != JOURNAL)


def test_results_keep_names_and_places_and_equal_those_of_image(tree: Path) -> None:
    outcome = run("photos", "dusk.png", "-o", "results")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.strip() == "results"
    assert "Note: 1 file is neither a photo nor a clip: notes.txt." in outcome.stderr
    assert names("results") == ["a.png", "b.png", "trip/c.png"]
    for name in names("results"):
        stylize_photo(f"photos/{name}", "dusk.png", "one.png", model="none", overwrite=True)
        result, one = (np.asarray(Image.open(path)) for path in (f"results/{name}", "one.png"))
        assert (result == one).all()
    assert not list(tree.rglob(".photostyle-[0-9]*"))


def test_a_bad_file_stops_no_other() -> None:
    Path("photos/b.png").write_bytes(b"no photo")
    outcome = run("photos", "dusk.png", "-o", "results", "--json")
    assert outcome.exit_code == 1
    assert names("results") == ["a.png", "trip/c.png"]
    status = {Path(line["content"]).name: line["status"] for line in lines(outcome)}
    assert status == {"a.png": "done", "b.png": "failed", "c.png": "done"}
    assert "2 done, 1 failed." in outcome.stderr
    assert "Failed: photos/b.png: " in outcome.stderr


def test_resume_makes_what_is_missing_or_has_changed() -> None:
    arguments = "photos", "dusk.png", "-o", "results", "--json"
    assert run(*arguments).exit_code == 0
    again = run(*arguments)
    assert again.exit_code == 1
    assert again.stderr.count("already exists; use --force") == 3

    before = {name: Path("results", name).stat().st_mtime_ns for name in names("results")}
    photo(Path("photos/b.png"), 30)
    Path("results/trip/c.png").unlink()
    outcome = run(*arguments, "--resume")
    assert outcome.exit_code == 0, outcome.output
    status = {Path(line["content"]).name: line["status"] for line in lines(outcome)}
    assert status == {"a.png": "skipped", "b.png": "done", "c.png": "done"}
    assert Path("results/a.png").stat().st_mtime_ns == before["a.png"]
    assert Path("results/b.png").stat().st_mtime_ns != before["b.png"]
    changed = run(*arguments, "--resume", "--strength", "0.5")
    assert {line["status"] for line in lines(changed)} == {"done"}


def test_resume_survives_a_line_that_was_cut_off() -> None:
    arguments = "photos", "dusk.png", "-o", "results", "--json"
    assert run(*arguments).exit_code == 0
    journal = Path("results", JOURNAL)
    journal.write_bytes(journal.read_bytes()[:-30])
    assert [one["status"] for one in lines(run(*arguments, "--resume"))].count("done") == 1
    assert {one["status"] for one in lines(run(*arguments, "--resume"))} == {"skipped"}


def test_a_content_that_changes_during_the_work_is_not_done() -> None:
    def changed(*words: Any, **options: Any) -> Any:
        made = stylize_photo(*words, **options)
        if words[0].name == "b.png":
            photo(Path("photos/b.png"), 40)
        return made

    arguments = "photos", "dusk.png", "-o", "results", "--json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_worker, "stylize_photo", changed)
        assert run(*arguments).exit_code == 0
    status = {
        Path(one["content"]).name: one["status"] for one in lines(run(*arguments, "--resume"))
    }
    assert status["b.png"] == "done"


def test_resume_replaces_no_file_of_others() -> None:
    Path("results").mkdir()
    Path("results/a.png").write_bytes(b"mine")
    for option in ((), ("--resume",)):  # also not because the first batch has tried
        assert run("photos", "dusk.png", "-o", "results", *option).exit_code == 1
    assert Path("results/a.png").read_bytes() == b"mine"


def test_results_inside_the_contents_are_no_contents() -> None:
    arguments = "photos", "dusk.png", "-o", "photos/results", "--resume"
    assert run(*arguments).exit_code == 0
    assert run(*arguments).exit_code == 0
    assert names("photos/results") == ["a.png", "b.png", "trip/c.png"]


def test_a_folder_of_styles_is_matched_by_name() -> None:
    for number, name in enumerate(("a.png", "b.jpg", "trip/c.png")):
        photo(Path("looks", name), 20 + number)
    tasks = plan(Path("photos"), ["looks"], Path("results")).tasks
    assert [task.style for task in tasks] == [
        ("looks/a.png",),
        ("looks/b.jpg",),
        ("looks/trip/c.png",),
    ]
    Path("looks/b.jpg").unlink()
    outcome = run("photos", "looks", "-o", "results")
    assert outcome.exit_code == 1
    assert "1 of 3 files have no style of their name in 'looks': b.png." in outcome.stderr
    assert not Path("results").exists()


def test_a_grid_has_every_style_and_a_contact_sheet() -> None:
    photo(Path("looks/fog.png"), 21)
    photo(Path("looks/noon.png"), 22)
    outcome = run("photos", "dusk.png", "looks", "-o", "results", "--grid", "--report", "all.html")
    assert outcome.exit_code == 0, outcome.output
    assert Path("all.html").read_text().count('class="slider"') == 9
    assert outcome.stdout.strip() == f"results/{SHEET}"
    assert names("results") == sorted(
        [
            f"{stem}-{style}.png"
            for stem in ("a", "b", "trip/c")
            for style in ("dusk", "fog", "noon")
        ]
        + [SHEET]
    )
    with Image.open(f"results/{SHEET}") as sheet:
        whole = sheet.size
        assert sheet.width > 3.5 * sheet.height / 3
    Path("looks/fog.png").write_bytes(b"no photo")
    assert run("photos", "dusk.png", "looks", "-o", "others", "--grid").exit_code == 1
    with Image.open(f"others/{SHEET}") as sheet:
        assert sheet.size == whole


@pytest.mark.parametrize(
    ("files", "styles", "message"),
    [
        ([], ["dusk.png"], "has no photos or clips"),
        (["a.CR2", "a.tif"], ["dusk.png"], "would both be written to"),
        (["a.png", "A.png"], ["dusk.png"], "would both be written to"),
        (["a.png"], [("dusk.png", 0.5)], "without weights"),
        (["a.png"], ["missing.png"], "'missing.png' cannot be read: No such file"),
    ],
)
def test_plans_that_are_refused(files: list[str], styles: list[Any], message: str) -> None:
    Path("some").mkdir()
    for name in files:
        Path("some", name).touch()
    with pytest.raises(PhotostyleError, match=message):
        plan(Path("some"), styles, Path("results"), grid=isinstance(styles[0], tuple))


def test_image_says_where_folders_go() -> None:
    outcome = CliRunner().invoke(cli, ["image", "photos", "dusk.png"])
    assert outcome.exit_code == 1
    assert "'photos' is a folder; `photostyle batch` stylizes folders." in outcome.stderr


def test_no_folder_and_no_model() -> None:
    outcome = run("dusk.png", "dusk.png")
    assert "'dusk.png' is not a folder; use `photostyle image` or `video`." in outcome.stderr
    outcome = CliRunner().invoke(cli, ["batch", "photos", "dusk.png", "--model", "missing"])
    assert outcome.exit_code == 1
    assert "missing" in outcome.stderr


def test_a_process_that_dies_costs_only_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_pool, "_work", dying.work)
    report = stylize_folder("photos", "dusk.png", "results", model="none", jobs=2)
    assert [one.status for one in report.files] == ["done", "failed", "done"]
    assert report.failures[0].error == "The process that worked on it died."


def test_clips_and_a_mix() -> None:
    make("photos/clip.mov", frames=4)
    photo(Path("fog.png"), 12)
    outcome = run("photos", "dusk.png:0.5", "fog.png:0.5", "-o", "results", "--strength", "0.5")
    assert outcome.exit_code == 0, outcome.output
    assert names("results") == ["a.png", "b.png", "clip.mov", "trip/c.png"]
    assert len(Probed("results/clip.mov").times) == 4

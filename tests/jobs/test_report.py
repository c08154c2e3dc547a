"""The page of --report, looked at and operated in a browser."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.browser import chromium, drag, pixels
from support.photos import scene

from photostyle import PhotostyleError
from photostyle.cli import cli
from photostyle.jobs import report

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

RED, BLUE, GREEN = (
    np.full((80, 120, 3), color, np.uint8)
    for color in ((200, 30, 30), (30, 30, 200), (30, 150, 30))
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails the test if it asks for anything but its own file."""
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text))
    yield page
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert errors == []
    page.close()


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def write(path: Path, *results: report.Result) -> str:
    report.write_page(results, path, title="Results")
    return path.as_uri()


def test_the_slider_is_dragged_from_the_one_photo_to_the_other(page: Page, tmp_path: Path) -> None:
    page.goto(write(tmp_path / "page.html", report.Result("a.jpg", RED, BLUE)))
    slider = page.locator(".slider")

    def reds() -> float:
        """The fraction of the slider that is red, in a line clear of labels."""
        line = pixels(slider)[20]
        return float((line[:, 0] > line[:, 2]).mean())

    assert reds() == pytest.approx(0.5, abs=0.03)
    drag(slider, 0.5, 0.9)
    assert reds() == pytest.approx(0.9, abs=0.03)
    drag(slider, 0.9, 0.1)
    assert reds() == pytest.approx(0.1, abs=0.03)
    page.locator(".slider input").press("End")
    assert reds() == pytest.approx(1, abs=0.03)
    left, right = pixels(slider)[20, [10, 100]].astype(int)
    assert np.abs(left - RED[0, 0]).max() <= 3
    assert np.abs(right - RED[0, 0]).max() <= 3


def test_image_shows_content_and_result(folder: Path, page: Page) -> None:
    done = run(
        "image", "day.jpg", "dusk.png", "-o", "a.png", "--model", "none", "--report", "a.html"
    )
    assert done.exit_code == 0, done.stderr
    page.goto((folder / "a.html").as_uri())
    slider = page.locator(".slider")
    for key, name in (("End", "day.jpg"), ("Home", "a.png")):
        page.locator(".slider input").press(key)
        with Image.open(name) as photo:
            clear = np.s_[3:24, 5:85]  # of labels
            difference = pixels(slider)[clear] - np.asarray(photo, int)[clear]
        assert np.abs(difference).mean() < 2.5
    shown = page.locator("main").text_content() or ""
    for text in ("day like dusk", "none", "exact", "90 x 61", "apply, s"):
        assert text in shown
    assert page.locator("figure img").count() == 1


def test_evaluate_shows_measures_that_can_be_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, page: Page
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("photos").mkdir()
    for number in range(3):
        pixels = np.roll(scene(96, 64 + 16 * number), number, 2)
        Image.fromarray(pixels).save(f"photos/p{number}.png")
    done = run("evaluate", "--graded", "photos", "--model", "none", "--csv", "--report", "a.html")
    assert done.exit_code == 0, done.stderr
    head, *lines = (line.split(",") for line in done.stdout.splitlines())
    page.goto((tmp_path / "a.html").as_uri())
    assert page.locator("thead th").all_text_contents() == head
    column = head.index("psnr")
    rows = sorted(lines, key=lambda line: float(line[column]))
    button = page.locator("thead button", has_text=re.compile("^psnr"))
    for expected in (rows, rows[::-1]):
        button.click()
        cells = page.locator(f"tbody td:nth-child({column + 1})")
        assert cells.all_text_contents() == [f"{float(line[column]):.3f}" for line in expected]
        assert page.locator("h2").all_text_contents() == [line[0] for line in expected]
    mean = np.mean([float(line[column]) for line in lines])
    assert page.locator(f"tfoot td:nth-child({column + 1})").inner_text() == f"{mean:.3f}"


def test_what_is_missing_or_infinite_is_sorted_too(page: Page, tmp_path: Path) -> None:
    figures = {
        "a": {"x": 2.0},
        "b": {},
        "c": {"x": float("inf")},
        "d": {"x": 10.0},
        "e": {"x": -1.0},
    }
    results = [report.Result(name, RED, BLUE, figures=one) for name, one in figures.items()]
    page.goto(write(tmp_path / "page.html", *results))
    for order in (["e", "a", "d", "c", "b"], ["c", "d", "a", "e", "b"]):
        page.locator("thead button", has_text="x").click()
        assert page.locator("h2").all_text_contents() == order


def test_names_and_notes_are_text(page: Page, tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)>\"'&</script><script>alert(2)</script>\udcff"
    page.on("dialog", lambda _: pytest.fail("a script ran"))
    result = report.Result(evil, RED, BLUE, {evil: GREEN}, {evil: evil}, [evil])
    report.write_page([result, result], tmp_path / "a.html", title=evil, settings={evil: evil})
    page.goto((tmp_path / "a.html").as_uri())
    shown = evil.replace("\udcff", "?")
    assert page.title() == shown
    assert page.locator("h2").all_text_contents() == [shown, shown]
    assert page.locator("img").count() == 6
    assert page.locator("script").count() == 1


def test_many_photos_are_smaller() -> None:
    assert report.side(1) == report.LARGEST
    assert report.LARGEST > report.side(100) > report.side(1000) == report.SMALLEST
    assert report.reduced(np.zeros((30, 900, 3), np.uint8), 300).shape == (10, 300, 3)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("page.png", "name it .html"), ("none/page.html", "does not exist"), ("a.html", "--force")],
)
def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    folder: Path, name: str, sentence: str
) -> None:
    (folder / "a.html").write_text("precious")
    done = run("image", "day.jpg", "dusk.png", "-o", "new.png", "--model", "none", "--report", name)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert not (folder / "new.png").exists()
    done = run("evaluate", "--graded", ".", "--model", "none", "--report", name)
    assert done.exit_code == 1
    assert sentence in done.stderr
    assert (folder / "a.html").read_text() == "precious"


def test_no_page_is_left_behind_by_an_error(tmp_path: Path) -> None:
    def results() -> Iterator[report.Result]:
        yield report.Result("a", RED, BLUE)
        raise PhotostyleError("No more.")

    with pytest.raises(PhotostyleError, match="No more"):
        report.write_page(results(), tmp_path / "page.html", title="Results")
    assert list(tmp_path.iterdir()) == []

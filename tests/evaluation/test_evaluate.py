"""`photostyle evaluate` from end to end, on photos made here."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image
from scipy import ndimage
from support.photos import clouds

from photostyle.cli import cli

MEASURES = ["score", "swd", "bc", "grad", "struct", "lip", "clip", "noise", "halo"]
NAMES = ["blurred", "same", "swapped"]


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["evaluate", *map(str, arguments)])


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three contents and styles, and as results a good, a dull and a bad one."""
    root = tmp_path_factory.mktemp("pairs")
    for folder in ("content", "style", "results"):
        (root / folder).mkdir()
    for seed, name in enumerate(NAMES):
        content, style = clouds(96, 72, seed), clouds(96, 60, seed + 10)
        result = {
            "same": content,
            "blurred": ndimage.gaussian_filter(content, (4, 4, 0)),
            "swapped": clouds(96, 72, 99),
        }[name]
        Image.fromarray(content).save(root / "content" / f"{name}.png")
        Image.fromarray(style).save(root / "style" / f"{name}.jpg")
        Image.fromarray(result).save(root / "results" / f"{name}.png")
    (root / "results" / "notes.txt").write_text("no photo")
    return root


@pytest.fixture(scope="module")
def pairs(folders: Path) -> list[str | Path]:
    return [folders / "results", "--content", folders / "content", "--style", folders / "style"]


def test_a_table_with_a_line_for_each_result_and_the_mean(pairs: list[str | Path]) -> None:
    outcome = evaluate(*pairs, "--target", pairs[2])
    assert outcome.exit_code == 0, outcome.output
    header, *lines = (line.split() for line in outcome.stdout.splitlines())
    assert header == ["name", *MEASURES, "psnr", "ssim", "ciede2000"]
    assert [line[0] for line in lines] == [*NAMES, "mean"]
    assert all(len([float(figure) for figure in line[1:]]) == len(header) - 1 for line in lines)
    assert "--vgg" in outcome.stderr


def test_json_and_csv_agree(pairs: list[str | Path], folders: Path) -> None:
    pairs = [*pairs, "--target", folders / "content"]
    report = json.loads(evaluate(*pairs, "--json").stdout)
    rows = list(csv.DictReader(evaluate(*pairs, "--csv").stdout.splitlines()))
    assert [row["name"] for row in rows] == [row["name"] for row in report["photos"]] == NAMES
    assert list(rows[0]) == ["name", *MEASURES, "psnr", "ssim", "ciede2000"]
    for row, expected in zip(rows, report["photos"], strict=True):
        assert {k: float(v) for k, v in row.items() if k != "name"} == pytest.approx(
            {k: v for k, v in expected.items() if k != "name"}
        )
    by_name = {row["name"]: row for row in report["photos"]}
    assert by_name["same"]["grad"] == pytest.approx(1)
    assert by_name["same"]["psnr"] == 100
    assert report["mean"]["grad"] == pytest.approx(np.mean([r["grad"] for r in by_name.values()]))
    assert by_name["same"]["score"] > by_name["blurred"]["score"] > by_name["swapped"]["score"]


def test_vgg_adds_gram_and_style(pairs: list[str | Path], teacher: Path) -> None:
    outcome = evaluate(*pairs, "--teacher", teacher, "--device", "cpu", "--json")
    assert outcome.exit_code == 0, outcome.output
    mean = json.loads(outcome.stdout)["mean"]
    assert {"gram", "style"} <= set(mean)
    assert 0 < mean["gram"] < 1
    assert not outcome.stderr


def test_label_maps_add_region_style(pairs: list[str | Path], tmp_path: Path) -> None:
    masks = {role: tmp_path / f"{role}-masks" for role in ("content", "style")}
    for folder in masks.values():
        folder.mkdir()
        for name in NAMES:
            labels = np.zeros((50, 40, 3), np.uint8)
            if name != "swapped":
                labels[20:] = (0, 255, 0)
            Image.fromarray(labels).save(folder / f"{name}.png")
    options: list[str | Path] = [
        "--content-masks",
        masks["content"],
        "--style-masks",
        masks["style"],
    ]
    outcome = evaluate(*pairs, *options, "--json")
    assert outcome.exit_code == 0, outcome.output
    report = json.loads(outcome.stdout)
    plain = json.loads(evaluate(*pairs, "--json").stdout)
    *measured, swapped = report["photos"]
    assert "region_style" not in swapped
    assert "no region_style: swapped" in outcome.stderr
    figures = [row.pop("region_style") for row in measured]
    assert all(0 < figure < 1 for figure in figures)
    assert report["mean"].pop("region_style") == pytest.approx(np.mean(figures))
    assert report == plain  # nothing else changes

    rows = list(csv.DictReader(evaluate(*pairs, *options, "--csv").stdout.splitlines()))
    assert [row["region_style"] for row in rows] == [*(str(figure) for figure in figures), ""]
    table = evaluate(*pairs, *options).stdout.splitlines()
    assert "region_style" in table[0].split()
    assert len(table[-1].split()) == len(table[0].split())

    (masks["style"] / "same.png").unlink()
    refused = evaluate(*pairs, *options)
    assert refused.exit_code == 1
    assert "The style mask folder" in refused.stderr
    assert "no photo named 'same'" in refused.stderr


def test_the_sheet_is_sorted_from_worst_to_best(pairs: list[str | Path], tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    assert evaluate(*pairs, "--sheet", sheet).exit_code == 0
    pixels = np.array(Image.open(sheet)).astype(int)
    row = len(pixels) // 3
    # In the last row, that of the best result, content and result are the same photo.
    result_left = 4 + 2 * (4 + round(96 * 224 / 72)) + (round(96 * 224 / 60) - round(96 * 224 / 72))
    for number, alike in enumerate([False, False, True]):
        strip = pixels[number * row + 26 : number * row + 240]
        difference = np.abs(strip[:, 4:300] - strip[:, result_left : result_left + 296]).mean()
        assert (difference < 1) == alike

    refused = evaluate(*pairs, "--sheet", sheet)
    assert refused.exit_code == 1
    assert "--force" in refused.stderr
    assert evaluate(*pairs, "--sheet", sheet, "--force").exit_code == 0


def test_errors_are_one_sentence(folders: Path, pairs: list[str | Path], tmp_path: Path) -> None:
    def says(text: str, *arguments: str | Path) -> None:
        outcome = evaluate(*arguments)
        assert outcome.exit_code == 1, outcome.output
        assert text in outcome.stderr
        assert "Traceback" not in outcome.output

    styles: list[str | Path] = ["--style", folders / "style"]
    says("does not exist", tmp_path / "absent", *pairs[1:])
    says("has no photos", tmp_path, *pairs[1:])
    partial = tmp_path / "partial"
    partial.mkdir()
    Image.fromarray(clouds(96, 72)).save(partial / "same.png")
    says("no photo named 'blurred'", folders / "results", "--content", partial, *styles)

    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(clouds(96, 96)).save(other / "same.png")
    says("different aspect ratios", other, *pairs[1:])
    says("the same size", partial, *pairs[1:], "--target", other)
    (other / "same.png").write_bytes(b"no photo")
    says("same.png", other, *pairs[1:])
    Image.fromarray(clouds(96, 72)).save(partial / "same.jpg")
    says("two photos named 'same'", partial, *pairs[1:])
    says("absent.pt", *pairs, "--teacher", tmp_path / "absent.pt")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "either RESULTS or --graded"),
        (["results"], "--content and --style"),
        (["results", "--graded", "photos"], "either RESULTS or --graded"),
        (["--graded", "photos", "--content", "content"], "--content needs RESULTS"),
        (["results", "--content", "a", "--style", "b", "--reconstruct"], "needs --graded"),
        (["results", "--content", "a", "--style", "b", "--seed", "3"], "needs --graded"),
        (["r", "--content", "a", "--style", "b", "--style-masks", "m"], "Give both"),
        (["--graded", "photos", "--style-masks", "m"], "--style-masks needs RESULTS"),
        (["r", "--content", "a", "--style", "b", "--crops", "far"], "--crops needs --graded"),
        (["--graded", "photos", "--crops", "some"], "'some' is not one of"),
        (["--graded", "photos", "--match", "some"], "'some' is not one of"),
        (["r", "--content", "a", "--style", "b", "--match", "none"], "--match needs --graded"),
        (["--graded", "photos", "--json", "--csv"], "either --json or --csv"),
    ],
)
def test_conflicting_options(arguments: list[str], message: str) -> None:
    outcome = evaluate(*arguments)
    assert outcome.exit_code == 2
    assert message in " ".join(outcome.stderr.split())


def test_graded_triples(folders: Path, model: str, tmp_path: Path) -> None:
    arguments: list[str | Path] = ["--graded", folders / "content", "--model", model]
    arguments += ["--device", "cpu"]
    first = json.loads(evaluate(*arguments, "--json").stdout)
    assert evaluate(*arguments, "--json").stdout == json.dumps(first, indent=1) + "\n"
    other = json.loads(evaluate(*arguments, "--json", "--seed", "1").stdout)
    assert other["mean"]["content_psnr"] != first["mean"]["content_psnr"]
    assert [row["name"] for row in first["photos"]] == NAMES
    improved = [float(row["psnr"] > row["content_psnr"]) for row in first["photos"]]
    assert [row["improved"] for row in first["photos"]] == improved
    assert first["mean"]["improved"] == pytest.approx(np.mean(improved))

    table = evaluate(*arguments, "--sheet", tmp_path / "sheet.png")
    assert table.exit_code == 0, table.output
    assert "content unchanged" in table.stdout
    assert "of 3" in table.stdout
    assert (tmp_path / "sheet.png").stat().st_size


def test_graded_without_a_network_or_a_match(folders: Path) -> None:
    arguments: list[str | Path] = ["--graded", folders / "content", "--model", "none", "--json"]
    matched, unmatched = (
        json.loads(evaluate(*arguments, "--match", match).stdout) for match in ("global", "none")
    )
    assert matched["mean"]["improved"] > 0
    for row in unmatched["photos"]:
        assert row["psnr"] == pytest.approx(row["content_psnr"], abs=0.2)


def write_inverting_cube(path: Path, strength: float = 1) -> None:
    """A .cube file that makes negatives, or with less strength moves towards grey."""
    corners = [(r, g, b) for b in (0, 1) for g in (0, 1) for r in (0, 1)]
    colors = [[c + strength * (1 - 2 * c) for c in corner] for corner in corners]
    path.write_text("LUT_3D_SIZE 2\n" + "\n".join(f"{r} {g} {b}" for r, g, b in colors))


def test_graded_with_a_cube_that_inverts(folders: Path, model: str, tmp_path: Path) -> None:
    write_inverting_cube(tmp_path / "inverted.cube")
    outcome = evaluate(
        *("--graded", folders / "content", "--model", model, "--device", "cpu"),
        *("--cube", tmp_path / "inverted.cube", "--plain-content", "--reconstruct", "--json"),
    )
    assert outcome.exit_code == 0, outcome.output
    rows = json.loads(outcome.stdout)["photos"]
    assert [row["grade"] for row in rows] == ["inverted.cube"] * 3
    assert all(row["reconstruction"] > 5 for row in rows)
    # A plain content is far from its negative.
    assert all(row["content_psnr"] < 15 for row in rows)


def test_a_folder_of_cubes(folders: Path, model: str, tmp_path: Path) -> None:
    """Every photo gets one of them, all equally often, and the seed draws which."""
    cubes = tmp_path / "cubes"
    cubes.mkdir()
    graded: list[str | Path] = [
        "--graded",
        folders / "content",
        "--model",
        model,
        "--device",
        "cpu",
        "--cube",
        cubes,
    ]
    refused = evaluate(*graded)
    assert refused.exit_code == 1
    assert "has no .cube files" in refused.stderr
    for strength in (0.1, 0.2, 0.3):
        write_inverting_cube(cubes / f"{strength}.cube", strength)
    (cubes / "readme.txt").write_text("no cube")

    def grades(seed: int) -> list[str]:
        outcome = evaluate(*graded, "--plain-content", "--seed", str(seed), "--json")
        assert outcome.exit_code == 0, outcome.output
        return [row["grade"] for row in json.loads(outcome.stdout)["photos"]]

    drawn = [grades(seed) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len({tuple(names) for names in drawn}) > 1
    assert all(sorted(names) == ["0.1.cube", "0.2.cube", "0.3.cube"] for names in drawn)


@pytest.mark.parametrize("crops", ["near", "far"])
def test_graded_crops_that_share_little(
    folders: Path, model: str, tmp_path: Path, crops: str
) -> None:
    write_inverting_cube(tmp_path / "weak.cube", 0.1)
    arguments: list[str | Path] = ["--graded", folders / "content", "--model", model]
    arguments += ["--device", "cpu", "--cube", tmp_path, "--plain-content"]
    report = json.loads(evaluate(*arguments, "--crops", crops, "--json").stdout)
    overlap = json.loads(evaluate(*arguments, "--json").stdout)
    assert overlap == json.loads(evaluate(*arguments, "--crops", "overlap", "--json").stdout)
    assert report["mean"]["content_psnr"] != overlap["mean"]["content_psnr"]
    gains = [row["psnr"] - row["content_psnr"] for row in report["photos"]]
    assert report["mean"]["worst_tenth"] == pytest.approx(min(gains))

    header, result, unchanged = evaluate(*arguments, "--crops", crops).stdout.splitlines()
    assert header.split()[-2:] == ["worst_tenth", "improved"]
    assert f"{min(gains):.3f}" in result
    assert "of 3" in result
    assert unchanged.split()[:2] == ["content", "unchanged"]

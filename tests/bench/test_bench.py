"""`photostyle bench` on small photos."""

from __future__ import annotations

import json
import re
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from support.models import TINY_WIDTHS
from support.photos import as_tensor

from photostyle import PhotostyleError
from photostyle.bench import plot
from photostyle.bench.baseline import Baseline
from photostyle.bench.phases import PHASES
from photostyle.bench.resolution import Resolution, parse
from photostyle.bench.scene import scene
from photostyle.cli import cli
from photostyle.model.transfer_settings import REFERENCE
from photostyle.openmp import waiting
from photostyle.transfer.pipeline import StyleTransfer, stylize
from photostyle.transfer.style import learn_style


def bench(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["bench", "--device", "cpu", *map(str, arguments)])


def test_resolutions_have_names_and_sizes() -> None:
    assert parse("fhd,2K, 4k,8k,1000X10") == [
        (1920, 1080),
        (2560, 1440),
        (3840, 2160),
        (7680, 4320),
        (1000, 10),
    ]
    assert str(Resolution(3840, 2160)) == "4k 3840x2160"
    assert str(Resolution(3841, 2160)) == "3841x2160"


@pytest.mark.parametrize(
    "text", ["", "5k", "fhd,", "1920", "1920x", "0x10", "-1x10", "1e3x10", "99999x1", "60000x60000"]
)
def test_an_unknown_resolution_is_a_usage_error(text: str) -> None:
    with pytest.raises(PhotostyleError):
        parse(text)
    result = bench("--res", text)
    assert result.exit_code == 2
    assert "resolution" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--device", "cuda:99"], 1, "cuda:99"),
        (["--model", "nonsense"], 1, "nonsense"),
        (["--mode", "exact", "--tile", "100", "--res", "600x40"], 1, "at least 176"),
        (["--runs", "0"], 2, "runs"),
        (["--plot", "plot.txt"], 1, ".png"),
        (["--plot", "taken.png"], 1, "already exists"),
        (["--json", "taken.png"], 1, "already exists"),
        (["--json", "nowhere/out.json"], 1, "does not exist"),
        (["--whole", "--baseline"], 2, "--baseline cannot be used with --whole"),
        (["--video", "clip.mp4"], 2, "--res cannot be used with --video"),
        (["--frames", "9"], 2, "--frames needs --video"),
        (["--whole", "--model", "nonsense"], 1, "nonsense"),
    ],
)
def test_errors_are_one_sentence_and_write_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken.png").write_bytes(b"precious")
    result = bench("--res", "40x30", *arguments)
    assert result.exit_code == code, result.output
    assert expected in result.stderr.splitlines()[-1]
    assert "Traceback" not in result.output
    assert [path.name for path in tmp_path.iterdir()] == ["taken.png"]
    assert Path("taken.png").read_bytes() == b"precious"


def test_without_matplotlib_a_plot_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(PhotostyleError, match=r"photostyle\[plot\]"):
        plot.check_plot(tmp_path / "plot.png")


def test_the_command_measures_and_reports(
    tmp_path: Path,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    report, picture = tmp_path / "report.json", tmp_path / "plot.png"
    arguments = ["--model", model, "--res", "96x64,300x200", "--mode", "fast", "--runs", "2"]
    arguments += ["--working-size", "64", "--threads", "1", "--json", str(report), "--baseline"]
    arguments += ["--plot", str(picture)]
    before = torch.get_num_threads()
    try:
        result = bench(*arguments)
    finally:
        torch.set_num_threads(before)
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert capfd.readouterr().err == ""  # the processes that measure share it

    read = json.loads(report.read_text())
    assert read["machine"]["threads"] == "1"
    assert read["machine"]["waiting"] == waiting()
    assert read["machine"]["torch"] == torch.__version__
    assert (read["model"], read["runs"], read["working_size"]) == (model, 2, 64)
    small, large = read["measurements"]
    assert (small["width"], small["height"], small["mode"]) == (96, 64, "fast")
    assert (large["width"], large["height"]) == (300, 200)
    for measured in (small, large):
        seconds = measured["seconds"]
        assert list(seconds) == ["learning", *PHASES, "total"]
        for spread in seconds.values():
            assert 0 <= spread["low"] <= spread["median"] <= spread["high"]
        assert all(seconds[name]["low"] > 0 for name in PHASES)
        # The median of two runs is their mean, so that medians add up.
        phases = sum(seconds[name]["median"] for name in PHASES)
        assert phases == pytest.approx(measured["profiled_seconds"]["median"], rel=0.15)
        assert measured["profiler_overhead"] > -1
        megapixels = measured["width"] * measured["height"] / 1e6
        speed = megapixels / seconds["total"]["median"]
        assert measured["megapixels_per_second"] == pytest.approx(speed)
        assert 1e8 < measured["peak_bytes"] < 4e9
        ratio = measured["baseline_seconds"] / seconds["total"]["median"]
        assert measured["baseline_ratio"] == pytest.approx(ratio)
    assert len(re.findall(r"\d+ times as long", result.stdout)) == 2
    for text in ("96x64, fast", "300x200, fast", *PHASES, "learning", "total", "peak memory"):
        assert text in result.stdout
    with Image.open(picture) as image:
        assert image.format == "PNG"
        assert min(image.size) > 300


def test_the_baseline_computes_what_the_reference_implementation_computes() -> None:
    """The expected result comes from our network and the reference transfer, tested elsewhere."""
    torch.manual_seed(0)
    baseline = Baseline(TINY_WIDTHS)
    content, style = (as_tensor(scene(96, 64, evening)) for evening in (False, True))
    with torch.inference_mode():
        learned, _ = learn_style(baseline.network, style)
        expected = stylize(baseline.network, content, StyleTransfer(learned, REFERENCE))
        result = baseline(content, style)
    assert expected.std() > 0.1
    torch.testing.assert_close(result, expected, atol=1e-3 * float(expected.std()), rtol=1e-3)


def test_scenes_make_files_as_large_as_those_of_cameras() -> None:
    photo = scene(601, 401)
    assert photo.shape == (401, 601, 3)
    assert not np.array_equal(photo, scene(601, 401, evening=True))
    stream = BytesIO()
    Image.fromarray(photo).save(stream, "JPEG", quality=95, subsampling=0)
    assert 2 < 8 * len(stream.getvalue()) / (601 * 401) < 10


@pytest.mark.slow
def test_an_8k_photo_from_file_to_file_takes_little_memory(tmp_path: Path) -> None:
    """The command with the bundled weights on 33 megapixels."""
    report = tmp_path / "report.json"
    result = bench("--whole", "--res", "8k", "--runs", "1", "--json", report)
    assert result.exit_code == 0, result.output
    (command,) = json.loads(report.read_text())["commands"]
    assert command["mode"] == "fast"
    phases = {"start", "read", "load", "learn", "apply", "write"}
    assert phases == command["seconds"].keys() - {"total"}
    total = sum(command["seconds"][phase] for phase in phases)
    assert command["seconds"]["total"] == pytest.approx(total, abs=0.01)
    assert command["pillow_ratio"] > 0
    if command["peak_bytes"] is not None:
        assert command["peak_bytes"] < 1.5e9

"""`photostyle video --via-lut`, compared with the usual way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.clips import SOUND, Probed, make
from support.log_footage import footage
from support.photos import scene

from photostyle import PhotostyleError
from photostyle.cli import cli
from photostyle.jobs.clip import stylize_clip
from photostyle.jobs.clip_lut import FRAMES, evenly

FAST = ("--model", "none", "--preset", "ultrafast", "--crf", "8")


@pytest.fixture(autouse=True)
def style(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(40, 30, evening=True)).save("style.png")


def run(*words: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(cli, ["video", *words])
    return result.exit_code, result.stdout.strip(), result.stderr.strip()


def psnr(one: Probed, other: Probed) -> float:
    error = np.mean(
        [(a / 255 - b / 255) ** 2 for a, b in zip(one.pixels, other.pixels, strict=True)]
    )
    return float(-10 * np.log10(error))


def test_a_clip_by_one_lut() -> None:
    """It comes close to the usual way, and keeps what that keeps."""
    tags = "setparams=colorspace=bt709:color_primaries=bt709:color_trc=bt709:range=tv"
    sound = ["-map", "0:v", "-map", "1:a", "-c:a", "aac", "-metadata", "title=Sea"]
    make("in.mp4", "-vf", tags, *sound, frames=30, inputs=SOUND)
    part = ("--start", "0.2", "--end", "0.8")
    assert run("in.mp4", "style.png", *FAST, *part, "-o", "usual.mp4")[0] == 0
    code, out, error = run("in.mp4", "style.png", *FAST, *part, "--via-lut", "-o", "lut.mp4")
    assert (code, out) == (0, "lut.mp4")
    said = float(error.split("PSNR of the LUT against the full transfer: ")[1].split(" dB")[0])
    source, usual, after = Probed("in.mp4"), Probed("usual.mp4"), Probed("lut.mp4")
    assert said > 45
    assert psnr(after, usual) > 40  # both are encoded
    assert np.abs(after.pixels[0] - source.pixels[6].astype(float)).mean() > 10
    for name in ("times", "tags", "format", "codec", "packets", "size", "rate"):
        assert getattr(after, name) == getattr(usual, name), name
    assert len(after.packets) > 10
    assert not list(Path().glob(".photostyle-*"))


def frames_of(folder: str) -> list[np.ndarray[Any, Any]]:
    files = sorted(Path(folder).glob("*.png"))
    return [np.asarray(Image.open(file).convert("RGB")).astype(float) for file in files]


def test_parts_of_a_shot_join_and_other_shots_do_not_count() -> None:
    """As in the usual way; the light of the first shot changes, so that each part has its own."""
    day = scene(64, 48)
    night = 0.5 * day[::-1, ::-1]
    Path("in").mkdir()
    for number in range(36):
        frame = day * (0.4 + number / 40) if number < 24 else night
        Image.fromarray(frame.astype(np.uint8)).save(f"in/{number:02}.png")
    made = {}
    for name, start, end in (("first", 0, 0.5), ("second", 0.25, 1), ("other", 1, 1.5)):
        words = ("in", "style.png", "--model", "none", "--start", f"{start}", "--end", f"{end}")
        assert run(*words, "--via-lut", "--frames-dir", name)[0] == 0
        made[name] = frames_of(name)
    assert [len(frames) for frames in made.values()] == [12, 18, 12]
    assert np.array_equal(made["first"][6:], made["second"][:6])
    run("in", "style.png", "--model", "none", "--start", "1", "--frames-dir", "usual")
    error = np.mean([(a - b) ** 2 for a, b in zip(made["other"], frames_of("usual"), strict=True)])
    assert 10 * np.log10(255**2 / error) > 38


def test_strength_0_changes_nothing() -> None:
    make("in.mp4", frames=4)
    for name, words in (("usual", ()), ("lut", ("--via-lut",))):
        code, _, error = run(
            "in.mp4", "style.png", *FAST, "--strength", "0", *words, "-o", f"{name}.mp4"
        )
        assert code == 0
        assert "PSNR" not in error
    for one, other in zip(Probed("usual.mp4").pixels, Probed("lut.mp4").pixels, strict=True):
        np.testing.assert_array_equal(one, other)


def test_frames_with_transparency() -> None:
    Path("frames").mkdir()
    for number in range(3):
        pixels = np.dstack([scene(64, 48, number), np.full((48, 64), 255, np.uint8)])
        pixels[:, :20, 3] = 0
        Image.fromarray(pixels).save(f"frames/{number}.png")
    words = ("frames", "style.png", "--model", "none")
    assert run(*words, "--frames-dir", "usual")[0] == 0
    code, _, error = run(*words, "--frames-dir", "lut", "--via-lut")
    assert code == 0
    said = float(error.split("transfer: ")[1].split(" dB")[0])
    for name in ("000001.png", "000003.png"):
        usual, after = (np.asarray(Image.open(f"{way}/{name}")) for way in ("usual", "lut"))
        np.testing.assert_array_equal(after[..., 3], usual[..., 3])
        seen = after[..., 3] > 0
        difference = after[seen][:, :3] / 255 - usual[seen][:, :3] / 255
        assert -10 * np.log10((difference**2).mean()) == pytest.approx(said, abs=4)


def test_log_footage_by_one_lut() -> None:
    y, x = np.mgrid[0:1:48j, 0:1:64j]
    light = np.stack([0.02 + x, 0.05 + 0.5 * y, 0.1 + 0.4 * x * y], -1)
    values = (footage(light, "slog3") * 65535).round().astype(">u2")
    Path("frames").mkdir()
    for number in range(2):
        Path(f"frames/{number}.ppm").write_bytes(b"P6 64 48 65535\n" + values.tobytes())
    words = ("frames", "style.png", *FAST, "--input-space", "slog3")
    assert run(*words, "-o", "log.mp4", "--strength", "0")[0] == 0
    assert run(*words, "-o", "usual.mp4")[0] == 0
    code, _, error = run(*words, "--via-lut", "-o", "lut.mp4")
    assert code == 0
    assert "read as Sony S-Log3, S-Gamut3.Cine" in error
    usual, after = Probed("usual.mp4"), Probed("lut.mp4")
    assert psnr(after, usual) > 30
    assert psnr(after, usual) > psnr(Probed("log.mp4"), usual) + 8


def test_what_one_lut_cannot_do_is_refused() -> None:
    make("in.mp4", frames=2)
    for words in (("--style", "style.png", "--at", "1"), ("--preview", "2")):
        assert run("in.mp4", "style.png", "--via-lut", *words)[0] == 2
    code, _, error = run("in.mp4", "style.png", "--via-lut", "--hdr", "keep", "-o", "no.mp4")
    assert (code, error) == (1, "Error: A LUT is for SDR; leave out --via-lut or --hdr keep.")
    with pytest.raises(PhotostyleError, match="One LUT has one style"):
        stylize_clip("in.mp4", "style.png", "no.mp4", via_lut=True, cues=[(1, "style.png")])
    assert not Path("no.mp4").exists()


def test_frames_are_evenly_spread() -> None:
    for count in (1, FRAMES, 25, 49, 500):
        kept = evenly(range(count))  # type: ignore[arg-type]
        assert min(count, FRAMES) <= len(kept) <= 2 * FRAMES
        assert len(set(np.diff(np.array(kept)))) <= 1

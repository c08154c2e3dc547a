"""The command `photostyle video` on clips that ffmpeg makes here, read back with PyAV."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image
from support.clips import SOUND, Probed, difference, ffmpeg, make
from support.models import save_tiny_model
from support.photos import scene

from photostyle.cli import cli

COMMAND = [sys.executable, "-m", "photostyle"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a style photo and a model of random weights."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(70, 40)[..., ::-1]).save("dusk.png")
    save_tiny_model(tmp_path / "tiny.safetensors")
    return tmp_path


def run(*arguments: str | Path, model: str = "tiny.safetensors") -> Result:
    """`photostyle video` in this process, with a tiny model."""
    words = ["video", *map(str, arguments), "--model", model, "--device", "cpu"]
    return CliRunner().invoke(cli, words)


def done(*arguments: str | Path) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refuses(result: Result, code: int = 1) -> str:
    """The one sentence on stderr of a run that must fail."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    sentence: str = result.stderr.splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert not list(Path().glob(".photostyle-*"))
    return sentence


def test_a_clip_is_stylized_and_keeps_the_rest(folder: Path) -> None:
    (folder / "meta.txt").write_text(
        ";FFMETADATA1\ntitle=Holiday\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=200\n"
        "[CHAPTER]\nTIMEBASE=1/1000\nSTART=200\nEND=400\n"
    )
    (folder / "words.srt").write_text("1\n00:00:00,000 --> 00:00:00,300\nHello\n")
    more = [*SOUND, "-f", "ffmetadata", "-i", "meta.txt", "-i", "words.srt"]
    maps = ["-map", "0", "-map", "1", "-map", "3", "-map_chapters", "2", "-c:s", "mov_text"]
    clip = make("in.mp4", *maps, "-c:a", "aac", inputs=more)
    result = done(clip, "dusk.png")
    assert result.stdout == "in-dusk.mp4\n"
    assert sorted(path.name for path in folder.glob("*.mp4")) == ["in-dusk.mp4", "in.mp4"]
    assert not list(folder.glob(".photostyle-*"))
    before, after = Probed(clip), Probed("in-dusk.mp4")
    assert after.times == before.times
    assert len(after.times) == 12
    assert after.rate == Fraction(30000, 1001)
    assert (after.codec, after.format) == ("h264", "yuv420p")
    assert after.packets == before.packets
    assert len(after.packets) > 10
    assert after.chapters == pytest.approx(before.chapters)
    assert len(after.chapters) == 2
    assert after.subtitles == ["mov_text"]
    assert difference(after.pixels[3], before.pixels[3]) > 5
    data = (folder / "in-dusk.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "not ready for streaming"


@pytest.mark.parametrize(
    ("target", "options", "note"),
    [
        ("out.mp4", ["-pix_fmt", "yuv420p10le"], None),
        ("out.mp4", ["-vf", "scale=161:91", "-c:v", "mjpeg"], "even"),
        ("out.gif", [], "A GIF has no sound."),
        ("out.mkv", [], None),
    ],
)
def test_notes_say_what_is_not_kept(target: str, options: list[str], note: str | None) -> None:
    clip = make("in.mkv", "-c:a", "aac", *options, frames=2, inputs=SOUND)
    stderr = done(clip, "dusk.png", "-o", target).stderr
    assert stderr.count("Note: ") == (note is not None)
    assert note is None or note in stderr


def test_a_codec_by_its_name() -> None:
    clip = make("in.mp4", frames=3)
    done(clip, "dusk.png", "-o", "out.mp4", "--codec", "h265", "--crf", "30", "--preset", "fast")
    after = Probed("out.mp4")
    assert (after.codec, len(after.times)) == ("hevc", 3)


def test_a_part_of_a_clip() -> None:
    clip = make("in.mp4", "-c:a", "aac", inputs=SOUND, rate="25", frames=25)
    done(clip, "dusk.png", "--start", "0:00.2", "--end", "0.6", "--strength", "0")
    before, after = Probed(clip), Probed("in-dusk.mp4")
    assert len(after.times) == 10
    assert after.times[0] == pytest.approx(0, abs=0.001)
    assert difference(before.pixels[5], after.pixels[0]) < 3
    assert 0 < len(after.packets) < len(before.packets)


def test_frames_in_and_out(folder: Path) -> None:
    clip = make("in.mp4", rate="10", frames=4)
    result = done(clip, "dusk.png", "--frames-dir", "frames")
    assert result.stdout == ""
    files = sorted(path.name for path in (folder / "frames").iterdir())
    assert files == [f"{number:06}.png" for number in (1, 2, 3, 4)]
    assert not (folder / "in-dusk.mp4").exists()
    for source in ("frames", "frames/%06d.png"):
        done(source, "dusk.png", "--fps", "24000/1001", "-o", "out.mp4", "--force")
        after = Probed("out.mp4")
        assert len(after.times) == 4
        assert after.rate == Fraction(24000, 1001)
    assert "--force" in refuses(run(clip, "dusk.png", "--frames-dir", "frames"))


def test_a_preview_is_a_sheet(folder: Path) -> None:
    clip = make("in.mp4", frames=10)
    assert done(clip, "dusk.png", "--preview", "5").stdout == "in-dusk-preview.png\n"
    with Image.open("in-dusk-preview.png") as sheet:
        width, height = sheet.size
    assert width > 4 * 300
    assert height > 4 * 224
    assert not (folder / "in-dusk.mp4").exists()


def test_a_damaged_clip_is_stylized_as_far_as_it_goes(folder: Path) -> None:
    clip = make("in.mkv", "-c:v", "mjpeg", "-c:a", "aac", inputs=SOUND, rate="25", frames=25)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 3 // 5])
    assert "damaged" in refuses(run(clip, "dusk.png", "-o", "out.mp4", "--strict"))
    assert not (folder / "out.mp4").exists()
    result = done(clip, "dusk.png", "-o", "out.mp4")
    found = re.search(r"damaged; only (\d+) frames", result.stderr)
    assert found
    assert 5 < int(found[1]) < 25
    assert len(Probed("out.mp4").times) == int(found[1])


def test_bad_input_gives_its_message() -> None:
    clip = make("in.mp4", frames=3)
    Path("text.mp4").write_text("no video at all")
    Path("empty.mp4").touch()
    Path("void").mkdir()
    ffmpeg(*SOUND, "sound.m4a")
    half = clip.read_bytes()
    Path("cut.mp4").write_bytes(half[:200])
    sentences = {
        "no such": run("missing.mp4", "dusk.png"),
        "is a photo": run("dusk.png", "dusk.png"),
        "no video stream": run("sound.m4a", "dusk.png"),
        "is empty": run("empty.mp4", "dusk.png"),
        "cannot be read as a video": run("text.mp4", "dusk.png"),
        "cut.mp4": run("cut.mp4", "dusk.png"),
        "no frames": run("void", "dusk.png"),
        "no frame after": run(clip, "dusk.png", "--start", "100"),
        "does not exist": run(clip, "dusk.png", "-o", "nowhere/out.mp4"),
        "Videos cannot be written as": run(clip, "dusk.png", "-o", "out.txt"),
        "Unknown codec": run(clip, "dusk.png", "--codec", "h999"),
        "cannot hold prores": run(clip, "dusk.png", "--codec", "prores"),
        "is an input file": run(clip, "dusk.png", "-o", "in.mp4", "--force"),
        "in.mp4": run(clip, clip),
    }
    for part, result in sentences.items():
        assert part.lower() in refuses(result).lower()
    assert clip.read_bytes() == half
    Path("out.mp4").write_bytes(b"mine")
    assert "--force" in refuses(run(clip, "dusk.png", "-o", "out.mp4"))
    assert Path("out.mp4").read_bytes() == b"mine"
    for words in (
        ["--style", "dusk.png"],
        ["--start", "2", "--end", "1"],
        ["--start", "soon"],
        ["--fps", "0"],
        ["--crf", "99"],
        ["--preview", "2", "--frames-dir", "x"],
    ):
        refuses(run(clip, "dusk.png", *words), 2)


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_frames_are_written(folder: Path, number: signal.Signals) -> None:
    """Ctrl-C keeps what is done, with the sound up to there; SIGTERM leaves nothing."""
    sound = ["-f", "lavfi", "-i", "sine=440:duration=12"]
    clip = make("in.mp4", "-c:a", "aac", inputs=sound, size="320x180", rate="25", frames=300)
    words = [
        *(str(clip), "dusk.png", "--model"),
        "tiny.safetensors",
        *("--temporal", "frame", "--preset", "ultrafast", "--crf", "1"),
        "-o",
        "out.mp4",
    ]
    process = subprocess.Popen(
        [*COMMAND, "video", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # The file without sound grows once frames are encoded: large frames are not buffered for long,
    # and exceed what is tried out before.
    limit = time.monotonic() + 60
    while not any(p.stat().st_size > 100_000 for p in folder.glob(".photostyle-*")):
        assert time.monotonic() < limit
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, number)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + number
    assert "Traceback" not in stderr
    assert not list(folder.glob(".photostyle-*"))
    if number == signal.SIGTERM:
        assert not Path("out.mp4").exists()
        return
    found = re.search(r"Interrupted after (\d+) frames", stderr)
    assert found
    after = Probed("out.mp4")
    assert len(after.times) == int(found[1])
    assert 0 < len(after.times) < 300
    assert abs(len(after.packets) * 1024 / 44100 - len(after.times) / 25) < 0.2


def test_a_full_disk_leaves_nothing(folder: Path) -> None:
    resource = pytest.importorskip("resource")
    clip = make("in.mp4", size="320x180", frames=60)

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    result = subprocess.run(
        [*COMMAND, "video", clip, "dusk.png", "--model", "tiny.safetensors", "--crf", "1"],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith("Error: The video cannot be")
    assert "Traceback" not in result.stderr
    assert sorted(p.name for p in folder.iterdir()) == ["dusk.png", "in.mp4", "tiny.safetensors"]


def test_several_styles() -> None:
    clip = make("in.mp4", rate="10", frames=12)
    Image.fromarray(scene(70, 40) // 4).save("night.png")
    words = ["--style", "night.png", "--at", "0:00.6", "--fade", "0.2"]
    done(clip, "dusk.png", *words)
    light = [pixels.mean() for pixels in Probed("in-dusk.mp4").pixels]
    assert light[11] < 0.75 * light[0]
    assert abs(light[5] - light[0]) < 5


def test_a_name_that_looks_like_an_option() -> None:
    make("in.mp4", frames=2)
    shutil.copy("in.mp4", "-y.mp4")
    words = ["--model", "tiny.safetensors", "-o", "./-out.mp4", "--", "-y.mp4", "dusk.png"]
    result = CliRunner().invoke(cli, ["video", *words])
    assert result.exit_code == 0, result.output
    assert len(Probed("./-out.mp4").times) == 2


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
def test_ways_to_match_without_a_network(temporal: str) -> None:
    clip = make("in.mp4", frames=5)
    options = ["--temporal", temporal, "--crf", "0", "--preset", "ultrafast", "-o"]
    for match in ("auto", "global", "none"):
        result = run(clip, "dusk.png", "--match", match, *options, f"{match}.mp4", model="none")
        assert result.exit_code == 0, result.output
    before, matched, unmatched = (
        Probed(name).pixels for name in ("in.mp4", "global.mp4", "none.mp4")
    )
    # Without a network and without a match only the encoding changes anything.
    assert all(difference(*pair) < 3 for pair in zip(before, unmatched, strict=True))
    assert all(difference(*pair) > 5 for pair in zip(before, matched, strict=True))


def test_a_preview_can_match_otherwise() -> None:
    clip = make("in.mp4", frames=5)
    for match in ("global", "none"):
        options = ["--preview", "2", "--match", match, "-o", f"{match}.png"]
        assert run(clip, "dusk.png", *options, model="none").exit_code == 0
    assert Path("global.png").read_bytes() != Path("none.png").read_bytes()


def test_an_unknown_match_is_a_usage_error() -> None:
    assert "'some' is not one of" in refuses(run("in.mp4", "dusk.png", "--match", "some"), code=2)

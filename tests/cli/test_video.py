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
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image
from support.photos import scene, tiny_model

import photostyle
from photostyle import video
from photostyle.cli import cli
from photostyle.model.moments import Moments
from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer
from photostyle.video import VideoFrame

COMMAND = [sys.executable, "-m", "photostyle"]
SOUND = ["-f", "lavfi", "-i", "sine=440:duration=1"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a style photo and a model of random weights."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(70, 40)[..., ::-1]).save("dusk.png")
    tiny_model(tmp_path / "tiny.safetensors")
    return tmp_path


def ffmpeg(*words: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *words]
    subprocess.run(command, check=True)


def make(
    name: str,
    *options: str,
    size: str = "160x90",
    rate: str = "30000/1001",
    frames: int = 12,
    inputs: list[str] | None = None,
) -> Path:
    """A short clip of a test pattern."""
    pattern = [
        "-f",
        "lavfi",
        "-i",
        f"testsrc2=size={size}:rate={rate},gblur=sigma=4",
        *(inputs or []),
    ]
    ffmpeg(*pattern, *(inputs or []), "-frames:v", str(frames), *options, name)
    return Path(name)


def run(*arguments: str | Path) -> Result:
    """`photostyle video` in this process, without a look: what is kept is looked at."""
    words = ["video", *map(str, arguments), "--model", "tiny.safetensors", "--device", "cpu"]
    return CliRunner().invoke(cli, words)


def done(*arguments: str | Path) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def refuses(result: Result, code: int = 1) -> str:
    """The one sentence on stderr of a run that has failed as it should."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    sentence: str = result.stderr.splitlines()[-1]
    assert sentence.startswith("Error: ")
    assert "Traceback" not in result.stderr
    assert not list(Path().glob(".photostyle-*"))
    return sentence


class Probed:
    """A clip as PyAV sees it."""

    def __init__(self, path: str | Path) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            self.size = stream.codec_context.width, stream.codec_context.height
            self.codec = stream.codec_context.name
            self.rate = stream.average_rate
            self.aspect = stream.sample_aspect_ratio or Fraction(1)
            context: Any = stream.codec_context
            self.tags = tuple(
                int(tag)
                for tag in (
                    context.color_range,
                    context.colorspace,
                    context.color_primaries,
                    context.color_trc,
                )
            )
            self.format = stream.codec_context.pix_fmt
            self.chapters = [
                float(c["start"] * (c["time_base"] or 0)) for c in container.chapters()
            ]
            self.subtitles = [s.codec_context.name for s in container.streams.subtitles]
            frames = list(container.decode(stream))
            self.times = [float(frame.time or 0) for frame in frames]
            self.rotation = int(frames[0].rotation)
            self.pixels = [
                np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames
            ]
        with av.open(str(path)) as container:
            self.sounds = [s.codec_context.name for s in container.streams.audio]
            self.packets = [
                bytes(packet)
                for packet in container.demux(*container.streams.audio)
                if packet.size and self.sounds
            ]


def difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean())


def test_a_clip_gets_the_look_and_keeps_the_rest(folder: Path) -> None:
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
    ("name", "options", "format"),
    [
        ("plain.mp4", ["-pix_fmt", "yuv420p"], {}),
        (
            "full.mp4",
            ["-vf", "scale=out_range=pc", "-pix_fmt", "yuv420p"],
            {},
        ),
        ("rich.mp4", ["-pix_fmt", "yuv444p"], {}),
        ("deep.mp4", ["-pix_fmt", "yuv420p10le"], {}),
        ("grey.mp4", ["-pix_fmt", "gray"], {}),
        ("tall.mp4", ["-pix_fmt", "yuv420p"], {"size": "90x160"}),
        ("odd.mkv", ["-vf", "scale=161:91", "-c:v", "libvpx-vp9", "-crf", "20", "-b:v", "0"], {}),
        ("squeezed.mp4", ["-vf", "setsar=4/3", "-pix_fmt", "yuv420p"], {}),
        ("slow.mp4", ["-pix_fmt", "yuv420p"], {"rate": "24000/1001"}),
        (
            "tagged.mp4",
            [
                "-vf",
                "scale=out_color_matrix=bt709,setparams=colorspace=bt709:"
                "color_primaries=bt709:color_trc=bt709:range=tv",
                "-pix_fmt",
                "yuv420p",
            ],
            {},
        ),
    ],
)
def test_an_untouched_clip_keeps_its_colours_and_tags(
    name: str, options: list[str], format: dict[str, Any]
) -> None:
    clip = make(name, *options, frames=5, **format)
    result = done(clip, "dusk.png", "--strength", "0", "-o", "out.mp4", "--crf", "8")
    before, after = Probed(clip), Probed("out.mp4")
    assert after.times == pytest.approx(before.times, abs=1e-6)
    width, height = before.size
    assert (width % 2 == 1) == ("odd" in name)
    assert after.size == (width + width % 2, height + height % 2)
    assert after.aspect == before.aspect
    assert after.tags[1:] == before.tags[1:]
    assert (after.tags[0] == 2) == (before.tags[0] == 2)
    for a, b in zip(before.pixels, after.pixels, strict=True):
        # PyAV converts 10 bits and odd chroma to RGB a little differently.
        limit = 4 if name.startswith(("rich", "deep", "odd")) else 2
        assert difference(a, b[:height, :width]) < limit
    assert ("10 bits" in result.stderr) == ("deep" in name)
    assert ("even" in result.stderr) == ("odd" in name)


def test_rotation_is_applied_once() -> None:
    make("flat.mp4", "-pix_fmt", "yuv420p", frames=3)
    ffmpeg("-display_rotation", "90", "-i", "flat.mp4", "-c", "copy", "turned.mp4")
    done("turned.mp4", "dusk.png", "--strength", "0")
    before, after = Probed("turned.mp4"), Probed("turned-dusk.mp4")
    assert abs(before.rotation) == 90
    assert after.rotation == 0
    assert after.size == (90, 160)
    assert difference(np.rot90(before.pixels[0], before.rotation // 90), after.pixels[0]) < 3


def test_variable_timing_is_kept() -> None:
    choice = "select='not(eq(mod(n,5),1)+eq(mod(n,7),3))'"
    clip = make("in.mp4", "-vf", choice, "-fps_mode", "vfr", rate="25", frames=20)
    done(clip, "dusk.png", "-o", "out.mkv")
    before, after = Probed(clip), Probed("out.mkv")
    assert len(set(np.diff(before.times).round(3))) > 1
    assert after.times == pytest.approx(before.times, abs=1e-3)


@pytest.mark.parametrize(
    ("suffix", "codec", "sound", "note"),
    [
        (".mov", "h264", ["aac"], False),
        (".mkv", "h264", ["aac"], False),
        (".webm", "vp9", ["opus"], True),
        (".gif", "gif", [], True),
    ],
)
def test_containers(suffix: str, codec: str, sound: list[str], note: bool) -> None:
    clip = make("in.mp4", "-c:a", "aac", inputs=SOUND, rate="25", frames=6)
    result = done(clip, "dusk.png", "-o", f"out{suffix}")
    before, after = Probed(clip), Probed(f"out{suffix}")
    assert (after.codec, after.sounds) == (codec, sound)
    assert ("Note: " in result.stderr) == note
    assert after.times == pytest.approx(before.times, abs=0.011)
    if not note:
        assert after.packets == before.packets


@pytest.mark.parametrize("codec", ["h265", "av1", "vp9"])
def test_codecs(codec: str) -> None:
    clip = make("in.mp4", frames=3)
    done(clip, "dusk.png", "-o", "out.mp4", "--codec", codec, "--crf", "30", "--preset", "veryfast")
    assert len(Probed("out.mp4").times) == 3


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
    found = re.search(r"damaged: (\d+) frames", result.stderr)
    assert found
    assert 5 < int(found[1]) < 25
    assert len(Probed("out.mp4").times) == int(found[1])


def test_bad_input_has_its_sentence() -> None:
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
        "not a video": run("text.mp4", "dusk.png"),
        "cut.mp4": run("cut.mp4", "dusk.png"),
        "no frames": run("void", "dusk.png"),
        "no frame after": run(clip, "dusk.png", "--start", "100"),
        "does not exist": run(clip, "dusk.png", "-o", "nowhere/out.mp4"),
        "needs an extension": run(clip, "dusk.png", "-o", "out.txt"),
        "Unknown codec": run(clip, "dusk.png", "--codec", "h999"),
        "holds no prores": run(clip, "dusk.png", "--codec", "prores"),
        "to be read": run(clip, "dusk.png", "-o", "in.mp4", "--force"),
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
    sound = ["-f", "lavfi", "-i", "sine=440:duration=40"]
    clip = make("in.mp4", "-c:a", "aac", inputs=sound, size="160x90", rate="25", frames=1000)
    words = [
        *(str(clip), "dusk.png", "--model"),
        "tiny.safetensors",
        *("--temporal", "frame", "--preset", "ultrafast"),
        "-o",
        "out.mp4",
    ]
    process = subprocess.Popen(
        [*COMMAND, "video", *words],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    # The silent file grows once frames are encoded.
    limit = time.monotonic() + 60
    while not any(p.stat().st_size > 100 for p in folder.glob(".photostyle-*")):
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
    found = re.search(r"ends after (\d+) frames", stderr)
    assert found
    after = Probed("out.mp4")
    assert len(after.times) == int(found[1])
    assert 0 < len(after.times) < 1000
    assert abs(len(after.packets) * 1024 / 44100 - len(after.times) / 25) < 0.2


def test_a_full_disk_leaves_nothing(folder: Path) -> None:
    resource = pytest.importorskip("resource")
    clip = make("in.mp4", size="320x180", frames=200)

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


def frames_of(*scenes: npt.NDArray[np.uint8]) -> list[VideoFrame]:
    return [
        VideoFrame(number, pixels.copy(), number, 1, Fraction(1, 10))
        for number, pixels in enumerate(scenes)
    ]


@pytest.fixture(scope="module")
def stylizer() -> photostyle.Stylizer:
    return photostyle.load("photonas", device="cpu")


def wandering(number: int) -> npt.NDArray[np.uint8]:
    """A still scene in which a bright thing grows."""
    pixels = scene(160, 96).copy()
    pixels[20 : 30 + 4 * number, 100 : 110 + 4 * number] = (250, 240, 60)
    return pixels


def test_shots_are_found_and_have_moments_of_their_own(stylizer: photostyle.Stylizer) -> None:
    one, other = scene(160, 96), np.ascontiguousarray(255 - scene(160, 96)[::-1])
    style = stylizer.learn(scene(120, 80)[..., ::-1].copy())
    clip = frames_of(one, one, one, other, other, one)
    restyling = VideoStylizer(stylizer, StyleTimeline([StyleCue(0, style)]))
    assert len(list(restyling.analyze_shots(clip))) == 6
    assert restyling.cuts == [3, 5]
    assert len(list(restyling.run(clip))) == len(clip)
    np.testing.assert_array_equal(clip[0].pixels, clip[2].pixels)
    # The first shot is one picture: as good as a photo on its own.
    alone = frames_of(one)[0]
    VideoStylizer(stylizer, StyleTimeline([StyleCue(0, style)]), temporal="frame")(alone)
    assert difference(alone.pixels, clip[0].pixels) < 0.5
    assert (
        VideoStylizer(stylizer, StyleTimeline([StyleCue(0, style)]), temporal="smooth").cuts == []
    )


def test_motion_is_no_cut(stylizer: photostyle.Stylizer) -> None:
    style = stylizer.learn(scene(120, 80))
    restyling = VideoStylizer(stylizer, StyleTimeline([StyleCue(0, style)]))
    panned = [np.ascontiguousarray(np.roll(scene(160, 96), 4 * k, 1)) for k in range(8)]
    assert len(list(restyling.analyze_shots(frames_of(*panned)))) == 8
    assert restyling.cuts == []


def test_what_does_not_move_does_not_flicker(stylizer: photostyle.Stylizer) -> None:
    """A still corner beside a growing bright thing: steadiest with one set of moments per shot."""
    style = stylizer.learn(np.ascontiguousarray(scene(120, 80)[..., ::-1]))
    flicker = {}
    for temporal in ("shot", "smooth", "frame"):
        clip = frames_of(*(wandering(k) for k in range(9)))
        restyling = VideoStylizer(stylizer, StyleTimeline([StyleCue(0, style)]), temporal=temporal)
        if temporal == "shot":
            assert (
                len(list(restyling.analyze_shots(frames_of(*(wandering(k) for k in range(9))))))
                == 9
            )
        assert len(list(restyling.run(clip))) == len(clip)
        corner = np.array([frame.pixels[60:, :60].mean((0, 1)) for frame in clip])
        flicker[temporal] = np.abs(np.diff(corner, axis=0)).mean()
    assert flicker["shot"] < 0.7 * flicker["frame"]
    assert flicker["smooth"] < 0.7 * flicker["frame"]


def test_a_programme_fades_from_one_style_to_the_next(stylizer: photostyle.Stylizer) -> None:
    styles = [stylizer.learn(np.ascontiguousarray(scene(99, 80) // k)) for k in (1, 3)]
    programme = StyleTimeline([StyleCue(0, styles[0]), StyleCue(1.0, styles[1])], fade=0.5)
    assert programme.at(0.9) == [(0, 1.0)]
    assert programme.at(1.25) == [(0, 0.5), (1, 0.5)]
    assert programme.at(2) == [(1, 1.0)]
    assert list(programme.between(0, 0.9)) == [0]
    assert list(programme.between(1.2, 9)) == [0, 1]
    assert list(programme.between(1.6, 9)) == [1]

    clip = frames_of(*([scene(160, 96)] * 20))
    restyling = VideoStylizer(stylizer, programme)
    assert len(list(restyling.analyze_shots(frames_of(*([scene(160, 96)] * 20))))) == 20
    assert len(list(restyling.run(clip))) == len(clip)
    light = [frame.pixels.mean() for frame in clip]
    assert light[9] == light[0]
    assert light[19] < 0.6 * light[0]
    for number in (11, 12, 13, 14):
        share = (number - 10) / 5
        assert light[number] == pytest.approx((1 - share) * light[0] + share * light[19], rel=0.05)
    assert light[15] == pytest.approx(light[19], rel=0.01)


def test_several_styles_by_the_command() -> None:
    clip = make("in.mp4", rate="10", frames=12)
    Image.fromarray(scene(70, 40) // 4).save("night.png")
    words = ["--style", "night.png", "--at", "0:00.6", "--fade", "0.2"]
    done(clip, "dusk.png", *words)
    light = [pixels.mean() for pixels in Probed("in-dusk.mp4").pixels]
    assert light[11] < 0.75 * light[0]
    assert abs(light[5] - light[0]) < 5


def test_pooled_moments_are_those_of_all_frames() -> None:
    from photostyle.transfer.video_stylizer import _joined

    batch = torch.rand(3, 5, 8, 9)
    merged = Moments.merge(Moments.of(photo[None]) for photo in batch)
    joined = Moments.of(_joined(batch))
    torch.testing.assert_close(joined.mean, merged.mean)
    torch.testing.assert_close(joined.covariance, merged.covariance)


def test_a_reader_gives_exact_times() -> None:
    clip = make("in.mkv", rate="24000/1001", frames=7)
    found = video.probe(video.Source(clip))
    frames = list(video.Reader(found))
    assert [frame.number for frame in frames] == list(range(7))
    assert [frame.time for frame in frames] == pytest.approx(Probed(clip).times, abs=1e-6)
    small = list(video.Reader(found, 64))
    assert small[0].pixels.shape == (36, 64, 3)
    assert (
        difference(
            np.asarray(Image.fromarray(frames[2].pixels).resize((64, 36), Image.Resampling.BOX)),
            small[2].pixels,
        )
        < 4
    )


def test_names_that_ffmpeg_could_take_for_something_else() -> None:
    clip = make("in.mp4", frames=2)
    for name in ("-y.mp4", "a:b.mp4", "100%d.mp4", "it's é.mp4"):
        shutil.copy(clip, name)
        result = CliRunner().invoke(
            cli,
            ["video", "--model", "tiny.safetensors", "-o", f"./out {name}", "--", name, "dusk.png"],
        )
        assert result.exit_code == 0, result.output
        assert len(Probed(f"./out {name}").times) == 2

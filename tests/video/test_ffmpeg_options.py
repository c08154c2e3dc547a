"""The installed ffmpeg knows every option, filter, codec and format that our commands use."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.clips import make

from photostyle.video import CONTAINERS, Encoding, Reader, Source, open_writer, probe
from photostyle.video.ffmpeg import executable

Command = list[str]


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> list[Command]:
    """Commands that copy clips of every kind into every container with every codec."""
    found: list[Command] = []
    start = subprocess.Popen

    def recorded(command: Command, **options: Any) -> Any:
        found.append(command[1:])
        return start(command, **options)

    folder = tmp_path_factory.mktemp("commands")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        sources = make_sources()
        patch.setattr("photostyle.video.ffmpeg.subprocess.Popen", recorded)
        for suffix, container in CONTAINERS.items():
            for codec in container.codecs:
                copy(sources[0], f"{codec}{suffix}", codec, cut_short=codec == "h264")
        for number, source in enumerate(sources[1:]):
            copy(source, f"source{number}.mp4")
    return found


def make_sources() -> list[Source]:
    """Clips of odd size with sound and subtitles and a clip with tags."""
    Path("words.srt").write_text("1\n00:00:00,000 --> 00:00:00,100\nHello\n")
    streams = ["-f", "lavfi", "-i", "sine=440:duration=0.1", "-i", "words.srt"]
    maps = ["-map", "0", "-map", "1", "-map", "1", "-map", "2", "-vf", "scale=65:37"]
    video = ["-c:v", "mjpeg", "-pix_fmt", "yuvj444p"]
    other = ["-c:a:0", "aac", "-c:a:1", "wavpack", "-c:s", "srt"]
    odd = make("odd.mkv", *maps, *video, *other, inputs=streams, frames=3)
    squeezed = make("squeezed.mp4", "-vf", "setsar=4/3", "-pix_fmt", "yuv420p", frames=3)
    return [
        Source(odd),
        Source(squeezed, start=0.01, end=1),
    ]


def copy(source: Source, target: str, codec: str | None = None, cut_short: bool = False) -> None:
    clip = probe(source)
    with open_writer(Path(target), clip, Encoding(codec, 40, "ultrafast")) as writer:
        for frame in Reader(clip):
            writer.add(frame)
        writer.cut_short = cut_short
    assert writer.count >= 2
    assert list(Reader(clip, 16))


@cache
def output_of(*arguments: str) -> str:
    command = [executable(), "-hide_banner", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@cache
def listed(kind: str) -> set[str]:
    """Names in ffmpeg's list of filters, encoders, muxers, demuxers or pix_fmts."""
    rows = re.findall(r"^ *[A-Z.]{1,7} +([\w,-]+)", output_of(f"-{kind}"), re.MULTILINE)
    return {name for row in rows for name in row.split(",")}


@cache
def options(*help_topic: str) -> set[str]:
    """Names of options in a help text, without their dash."""
    return set(re.findall(r"^ *-?([\w-]+)\W", output_of("-h", *help_topic), re.MULTILINE))


def values_of(commands: list[Command], *names: str) -> set[str]:
    """The values of options, which are named without stream specifiers."""
    pairs = (pair for command in commands for pair in pairwise(command))
    return {value for option, value in pairs if option.partition(":")[0] in names}


def test_options(commands: list[Command]) -> None:
    used = {
        word[1:].partition(":")[0]
        for command in commands
        for word in command
        if re.match(r"-[a-z]", word)
    }
    assert {"fps_mode", "enc_time_base", "movflags", "crf", "x265-params", "t", "ss"} <= used
    assert used - options("full") <= {"noaccurate_seek"}


def test_formats(commands: list[Command]) -> None:
    used: dict[str, set[str]] = {"muxers": set(), "demuxers": set()}
    for command in commands:
        for position, word in enumerate(command):
            if word == "-f":
                kind = "demuxers" if "-i" in command[position:] else "muxers"
                used[kind].add(command[position + 1])
    assert {"mp4", "mov", "webm", "gif", "rawvideo", "null", "matroska"} <= used["muxers"]
    assert used["demuxers"] == {"matroska"}
    for kind, names in used.items():
        assert names - listed(kind) == set()


def test_encoders(commands: list[Command]) -> None:
    used = values_of(commands, "-c") - {"copy"}
    assert {"libx264", "libx265", "libsvtav1", "libvpx-vp9", "prores_ks", "gif"} <= used
    assert {"aac", "libopus", "mov_text", "webvtt"} <= used
    assert used - listed("encoders") == set()


def test_filters(commands: list[Command]) -> None:
    graphs = values_of(commands, "-vf")
    calls = {re.sub(r"\[\w+\]", "", call) for graph in graphs for call in re.split("[,;]", graph)}
    names = {call.partition("=")[0] for call in calls}
    assert {"showinfo", "scale", "pad", "fillborders", "setparams", "palettegen"} <= names
    assert names - listed("filters") == set()
    for call in calls:
        name, _, arguments = call.partition("=")
        used = {word.partition("=")[0] for word in arguments.split(":") if "=" in word}
        assert used - options(f"filter={name}") == set()
    formats = {call.partition("=")[2] for call in calls if call.startswith("format=")}
    assert {"gbrp", "yuv420p"} <= formats
    assert formats - listed("pix_fmts") == set()

"""Tracks that a container refuses are re-encoded, mixed down or left out, before the work."""

from __future__ import annotations

import re
from pathlib import Path

import av
import pytest
from PIL import Image
from support.clips import ffmpeg

from photostyle.jobs.clip import stylize_clip
from photostyle.video import Encoding, Reader, Source, open_writer, probe

PICTURE = ["-f", "lavfi", "-i", "testsrc2=size=64x48:rate=25:duration=0.4"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def sound(rate: int = 44100, layout: str = "mono") -> list[str]:
    noise = f"anoisesrc=duration=0.4:sample_rate={rate},aformat=channel_layouts={layout}"
    return ["-f", "lavfi", "-i", noise]


def copy(name: str, target: str) -> list[str]:
    clip = probe(Source(Path(name)))
    with open_writer(Path(target), clip, Encoding(None, 40, "ultrafast")) as writer:
        for frame in Reader(clip):
            writer.add(frame)
    return writer.notes


def sounds(name: str) -> list[str]:
    with av.open(name) as container:
        assert len(list(container.decode(video=0))) == 10
    with av.open(name) as container:
        found = [stream.codec_context.name for stream in container.streams.audio]
        assert not found or list(container.decode(audio=0))
        return found


@pytest.mark.parametrize(
    ("name", "make", "target", "codec", "note"),
    [
        ("a.avi", [*sound(11025), "-c:a", "mp3"], "out.mp4", "aac", "mp3 audio was re-encoded"),
        (
            "a.mkv",
            [*sound(48000, "7.1(wide)"), "-c:a", "pcm_s16le"],
            "out.mp4",
            "aac",
            "re-encoded|mixed down",
        ),
        (
            "a.m2ts",
            [*sound(48000, "stereo"), "-c:a", "pcm_bluray", "-f", "mpegts"],
            "out.mkv",
            "aac",
            "pcm_bluray audio was re-encoded",
        ),
        ("a.avi", [*sound(22050), "-c:a", "adpcm_ima_wav"], "out.mp4", "aac", "re-encoded"),
        ("a.mkv", [*sound(), "-c:a", "wavpack"], "out.mkv", "wavpack", ""),
    ],
)
def test_sound_that_a_container_refuses(
    name: str, make: list[str], target: str, codec: str, note: str
) -> None:
    ffmpeg(*PICTURE, *make, name)
    notes = copy(name, target)
    assert sounds(target) == [codec]
    assert bool(notes) == bool(note)
    assert re.search(note, " ".join(notes))


def test_an_unknown_track_is_left_out() -> None:
    ffmpeg(*PICTURE, *sound(), *sound(), "-map", "0", "-map", "1", "-map", "2", "in.mp4")
    data = Path("in.mp4").read_bytes()
    for known, unknown in ((b"mp4a", b"zzzz"), (b"esds", b"free")):
        before, _, after = data.rpartition(known)
        data = before + unknown + after
    Path("in.mp4").write_bytes(data)
    notes = copy("in.mp4", "out.mp4")
    assert len(sounds("out.mp4")) == 1
    assert any("left out" in note for note in notes)


def test_tracks_of_two_programmes_are_counted_once() -> None:
    programmes = ["-program", "title=one:st=0:st=1", "-program", "title=two:st=0:st=1"]
    ffmpeg(*PICTURE, *sound(48000), "-map", "0", "-map", "1", *programmes, "-c:a", "mp2", "in.ts")
    assert probe(Source(Path("in.ts"))).audio == ("mp2",)
    assert not copy("in.ts", "out.mkv")
    assert sounds("out.mkv") == ["mp2"]


def test_further_tracks_of_video_are_noted() -> None:
    ffmpeg(*PICTURE, *PICTURE, "-map", "0", "-map", "1", "in.mkv")
    Image.new("RGB", (32, 32), "teal").save("style.png")
    notes = stylize_clip("in.mkv", "style.png", "out.mkv", model="none", strength=0).notes
    assert notes == ("Of 2 tracks of video only the first was kept.",)
    with av.open("out.mkv") as container:
        assert len(container.streams) == 1


def test_titles_are_no_streams() -> None:
    title = "a\n  Stream #0:7: Audio: aac, 48000 Hz"
    ffmpeg(*PICTURE, *sound(), "-metadata", f"title={title}", "-metadata", f"c={title}", "in.mkv")
    assert len(probe(Source(Path("in.mkv"))).audio) == 1
    assert not copy("in.mkv", "out.mkv")

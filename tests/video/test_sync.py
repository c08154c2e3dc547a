"""Sound beside the picture: containers and offsets, read back with PyAV."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support.clips import ffmpeg

from photostyle.jobs.clip import stylize_clip
from photostyle.video import Encoding, Reader, Source, open_writer, probe

PICTURE = "-f lavfi -i testsrc2=size=64x48:rate=25:duration=2"
TONE = "-f lavfi -i sine=440:duration=2:sample_rate=44100"
B_FRAMES = "-c:v libx264 -preset veryfast -bf 3 -pix_fmt yuv420p"
AAC = f"{B_FRAMES} -c:a aac"
GAP = "-vf select='lt(t,0.4)+gt(t,1.2)' -fps_mode vfr"

CLIPS = {
    "priming.mkv": f"{PICTURE} {TONE} {AAC}",
    "priming.mp4": f"{PICTURE} {TONE} {AAC}",
    "delayed.mp4": f"{PICTURE} {TONE} {AAC} -use_editlist 0 "
    "-movflags +frag_keyframe+empty_moov+delay_moov",
    "b-frames.avi": f"{PICTURE} {TONE} {B_FRAMES} -c:a mp3",
    "late.mp4": f"-itsoffset 0.5 {PICTURE} {TONE} {AAC}",
    "later.mkv": f"-itsoffset 3 {PICTURE} -f lavfi -i sine=440:duration=5 {AAC}",
    "late sound.mkv": f"{PICTURE} -itsoffset 0.7 {TONE} {AAC}",
    "one group.ts": f"{PICTURE} {TONE} {B_FRAMES} -g 250 -c:a mp2",
    "gap.mkv": f"{PICTURE} {TONE} {GAP} {AAC}",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def start_of(path: str) -> float:
    """The time in a file at which players begin, in seconds."""
    with av.open(path) as container:
        return (container.start_time or 0) / av.time_base


def times(path: str, zero: float) -> tuple[list[float], list[float]]:
    """Start times of frames and of sound packets, in seconds from a time in the file."""
    with av.open(path) as container:
        # PyAV gives B-frames of AVI in the right order with times in the order of decoding.
        frames = sorted(float(frame.time or 0) - zero for frame in container.decode(video=0))
    with av.open(path) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.pts is not None]
    return frames, [float((packet.pts or 0) * packet.time_base) - zero for packet in packets]


def copy(source: Source, target: str) -> None:
    clip = probe(source)
    with open_writer(Path(target), clip, Encoding(None, 40, "ultrafast")) as writer:
        reader = Reader(clip)
        for frame in reader:
            writer.add(frame)
    assert not reader.damage


def in_part(found: list[float], start: float | None, end: float | None) -> list[float]:
    """Times from the start of a part on."""
    return [
        time - (start or 0)
        for time in found
        if (start is None or time > start - 0.0005) and (end is None or time < end - 0.0005)
    ]


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(("start", "end"), [(None, None), (0.53, 1.71)])
@pytest.mark.parametrize("name", CLIPS)
def test_frames_and_sound_keep_their_times(
    name: str, start: float | None, end: float | None, suffix: str
) -> None:
    if name.startswith("later") and start:
        start, end = 3.53, 4.71
    ffmpeg(*CLIPS[name].split(), name)
    copy(Source(Path(name), start=start, end=end), f"out{suffix}")
    expected, found = times(name, start_of(name)), times(f"out{suffix}", 0)
    frames, packets = (in_part(one, start, end) for one in expected)
    assert found[0] == pytest.approx(frames, abs=1e-3)
    # Where sound is copied, a packet at the end of the part may have been kept or not.
    assert abs(len(packets) - len(found[1])) <= 1
    shared = min(len(packets), len(found[1]))
    assert shared > 10
    first = 1 if found[1][0] < packets[0] - 0.01 else 0
    assert found[1][first:shared] == pytest.approx(packets[: shared - first], abs=5e-3)


def test_sound_of_avi_in_long_packets_is_encoded_in_its_place() -> None:
    click = "-f lavfi -i aevalsrc=gte(t\\,1):d=2:s=22050"
    ffmpeg(*PICTURE.split(), *click.split(), "-c:a", "adpcm_ima_wav", "in.avi")
    copy(Source(Path("in.avi"), start=0.53, end=1.71), "out.mp4")
    with av.open("out.mp4") as container:
        sound = [
            (float(frame.time or 0) + number / frame.sample_rate, abs(value))
            for frame in container.decode(audio=0)
            for number, value in enumerate(frame.to_ndarray()[0])
        ]
    assert next(time for time, value in sound if value > 0.5) == pytest.approx(0.47, abs=5e-3)


def test_sound_that_is_encoded_again_has_no_gaps_and_stays_in_place() -> None:
    rough = f"{PICTURE} -f lavfi -i sine=440:duration=2:sample_rate=22050"
    ffmpeg(*rough.split(), "-c:v", "flv", "-c:a", "pcm_s16le", "in.flv")
    copy(Source(Path("in.flv"), start=0.5, end=1.5), "out.mp4")
    with av.open("out.mp4") as container:
        sound = list(container.decode(audio=0))
    starts = [float(frame.time or 0) for frame in sound]
    lengths = [frame.samples / frame.sample_rate for frame in sound]
    assert starts[0] == pytest.approx(0, abs=0.05)
    assert starts[-1] + lengths[-1] == pytest.approx(1, abs=0.05)
    for (a, b), length in zip(pairwise(starts), lengths, strict=False):
        assert b - a == pytest.approx(length, abs=5e-3)


def test_a_clip_that_changes_its_size_keeps_all_frames() -> None:
    picture = "-f lavfi -i testsrc2=rate=25:duration=0.4:size="
    ffmpeg(*f"{picture}64x48".split(), *B_FRAMES.split(), "-muxdelay", "0", "a.ts")
    ffmpeg(*f"{picture}96x64".split(), *B_FRAMES.split(), "-output_ts_offset", "0.4", "b.ts")
    Path("in.ts").write_bytes(Path("a.ts").read_bytes() + Path("b.ts").read_bytes())
    clip = probe(Source(Path("in.ts")))
    reader = Reader(clip)
    frames = list(reader)
    assert len(frames) == 20
    assert not reader.damage
    assert all(frame.pixels.shape == (48, 64, 3) for frame in frames)
    assert all(a.tick < b.tick for a, b in pairwise(frames))


def test_jittering_times_are_no_damage() -> None:
    jitter = "setpts='PTS+0.012*mod(N*7,5)/5/TB'"
    ffmpeg(*PICTURE.split(), "-vf", jitter, "-fps_mode", "passthrough", "-bf", "0", "in.mkv")
    copy(Source(Path("in.mkv")), "out.mkv")
    with av.open("in.mkv") as before, av.open("out.mkv") as after:
        pairs = zip(before.decode(video=0), after.decode(video=0), strict=True)
        assert all(abs(float(a.time or 0) - float(b.time or 0)) < 1e-3 for a, b in pairs)


def with_edits(name: str, edits: list[tuple[float, float]]) -> None:
    """Give each track of a mov, whose header comes last, edits: seconds, and where in the track."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    def parts(content: bytes) -> Iterator[tuple[bytes, bytes]]:
        while content:
            size, kind = struct.unpack(">I4s", content[:8])
            yield kind, content[8:size]
            content = content[size:]

    def scale(header: bytes) -> int:
        assert header[0] == 0
        return int(struct.unpack(">I", header[12:16])[0])

    media, _, header = Path(name).read_bytes().partition(b"moov")
    moov = list(parts(header))
    whole = scale(dict(moov)[b"mvhd"])
    for place, (kind, content) in enumerate(moov):
        if kind == b"trak":
            track = [part for part in parts(content) if part[0] != b"edts"]
            own = scale(dict(parts(dict(track)[b"mdia"]))[b"mdhd"])
            rows = [
                struct.pack(">IiI", round(s * whole), round(m * own), 1 << 16) for s, m in edits
            ]
            elst = box(b"elst", struct.pack(">II", 0, len(rows)) + b"".join(rows))
            track.insert(1, (b"edts", elst))
            moov[place] = kind, b"".join(box(*part) for part in track)
    content = b"".join(box(*part) for part in moov)
    Path(name).write_bytes(media[:-4] + box(b"moov", content))


@pytest.mark.parametrize("edits", [[(0.52, 0.0), (1.0, 1.0)], [(0.4, 0.4), (0.4, 0.4)]])
@pytest.mark.parametrize(
    ("codec", "target"), [("pcm_s16le", "mov"), ("pcm_s16le", "mkv"), ("aac", "mkv")]
)
def test_several_edits_are_played(
    edits: list[tuple[float, float]], codec: str, target: str
) -> None:
    # The pitch at t is 300 + 700 t.
    chirp = "-f lavfi -i aevalsrc=0.5*sin(2*PI*(300*t+350*t*t)):d=2:s=48000"
    ffmpeg(*PICTURE.split(), *chirp.split(), "-bf", "0", "-c:a", codec, "in.mov")
    with_edits("in.mov", edits)
    copy(Source(Path("in.mov")), f"out.{target}")
    shown = times("in.mov", 0)[0]
    assert times(f"out.{target}", 0)[0] == pytest.approx(shown, abs=1e-3)
    assert len(shown) == round(25 * sum(length for length, _ in edits))
    heard, end = np.zeros(2 * 48000), 0
    with av.open(f"out.{target}") as container:
        for frame in container.decode(audio=0):
            start = round(float(frame.time or 0) * 48000)
            samples = frame.to_ndarray()[0].astype(float)
            if abs(start - end) <= 96:  # mkv has times of 1 ms
                start = end
            end = start + len(samples)
            heard[max(start, 0) : start + len(samples)] = samples[max(-start, 0) :]
    begin, priming = 0.0, 1024 / 48000 if codec == "aac" else 0
    for length, place in edits:
        for time in np.arange(0.05, length - 0.05, 0.05):
            piece = heard[int((begin + time) * 48000) - 960 :][:1920] * np.hanning(1920)
            pitch = np.abs(np.fft.rfft(piece, 48000)).argmax()
            assert (pitch - 300) / 700 + priming == pytest.approx(place + time, abs=8e-3)
        begin += length


def test_encoded_sound_begins_where_it_began() -> None:
    ffmpeg(*PICTURE.split(), "-itsoffset", "0.3", *TONE.split(), "-c:a", "wavpack", "in.mkv")
    copy(Source(Path("in.mkv")), "out.mp4")
    assert times("out.mp4", 0)[1][0] == pytest.approx(0.3, abs=5e-3)


def test_no_frame_in_a_part_is_said_before_the_work() -> None:
    ffmpeg(*CLIPS["gap.mkv"].split(), "in.mkv")
    from photostyle import PhotostyleError

    with pytest.raises(PhotostyleError, match=r"no frame after 0\.5 seconds and before 1 seconds"):
        probe(Source(Path("in.mkv"), start=0.5, end=1.0))


@pytest.mark.parametrize(
    ("suffix", "codecs", "target"),
    [
        ("ts", AAC, "out.mp4"),
        ("ts", AAC, "out.webm"),  # sound is encoded again
        ("vob", "-c:v mpeg2video -c:a mp2", "out.mkv"),
    ],
)
def test_files_that_were_joined_follow_each_other(suffix: str, codecs: str, target: str) -> None:
    """Although the times of each begin anew."""
    click = "-f lavfi -i aevalsrc=between(t\\,0.8\\,0.802):s=48000:d=2"
    ffmpeg(*f"{PICTURE} {click} {codecs} -t 2".split(), f"in.{suffix}")
    joined = Path(f"joined.{suffix}")
    joined.write_bytes(3 * Path(f"in.{suffix}").read_bytes())
    Image.new("RGB", (32, 32), "teal").save("style.png")
    stylize_clip(joined, "style.png", target, model="none", strength=0, preset="ultrafast")
    frames, _ = times(target, 0.0)
    zero, clicks = frames[0], list[float]()
    assert [time - zero for time in frames] == pytest.approx(np.arange(150) / 25, abs=1e-3)
    with av.open(target) as container:
        for frame in container.decode(audio=0):
            samples = np.abs(frame.to_ndarray().astype(float)).max(0)
            time = float(frame.time or 0) + samples.argmax() / frame.sample_rate - zero
            loud = samples.max() > (0.2 if samples.max() < 2 else 6000)
            if loud and (not clicks or time > clicks[-1] + 0.5):
                clicks.append(time)
    assert clicks == pytest.approx([0.801, 2.801, 4.801], abs=5e-3)

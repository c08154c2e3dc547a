"""What phones and cameras write beside picture and sound, read back with PyAV."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from PIL import Image
from support.clips import SOUND, make

from photostyle.video import Reader, Source, open_writer, probe


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def copy(source: Path, target: str, start: float | None = None) -> list[str]:
    clip = probe(Source(source, start=start))
    reader = Reader(clip)
    with open_writer(Path(target), clip) as writer:
        for frame in reader:
            writer.add(frame)
    return [*writer.notes, *reader.notes]


KEYS = {
    "com.apple.quicktime.make": "Apple",
    "com.apple.quicktime.model": "iPhone 15 Pro",
    "com.apple.quicktime.creationdate": "2024-05-01T18:30:00+0200",
    "com.apple.quicktime.location.ISO6709": "+48.1372+011.5755+520.0/",
    "com.apple.quicktime.camera.lens_model": "24 mm f/1.78",
    "com.android.version": "14",
}
DATE = "2024-05-01T16:30:00.000000Z"


@pytest.mark.parametrize("target", ["out.mp4", "out.mov", "out.mkv"])
def test_keys_titles_languages_and_dates(target: str) -> None:
    options = [word for key in KEYS.items() for word in ("-metadata", "=".join(key))]
    options += ["-metadata", f"creation_time={DATE}", "-metadata:s:v", "language=ita"]
    options += ["-metadata:s:a", "language=fra", "-movflags", "use_metadata_tags", "-c:a", "aac"]
    source = make("in.mov", *options, inputs=SOUND, size="64x48", frames=3)
    # ffmpeg writes the date twice, phones do not.
    source.write_bytes(source.read_bytes().replace(b"mdtacreation_time", b"mdtacreation_here"))
    copy(source, target)
    with av.open(target) as container:
        found = {name.lower(): value for name, value in container.metadata.items()}
        for name, value in KEYS.items():
            assert found[name.lower()] == value
        assert found["creation_time"] == DATE
        languages = [stream.metadata.get("language") for stream in container.streams]
    # Matroska writes the other code of ISO 639-2.
    assert languages[0] == "ita"
    assert languages[1] in ("fra", "fre")


@pytest.mark.parametrize("target", ["out.mp4", "out.mov", "out.mkv"])
def test_languages_that_are_no_numbers_of_the_macintosh(target: str) -> None:
    options = ["-metadata:s:v", "language=deu", "-metadata:s:a", "language=hrv", "-c:a", "aac"]
    copy(make("in.mp4", *options, inputs=SOUND, size="64x48", frames=3), target)
    with av.open(target) as container:
        assert [stream.language for stream in container.streams] == ["deu", "hrv"]


def test_the_kind_of_file_is_no_tag_of_its_result() -> None:
    copy(make("in.mov", size="64x48", frames=3), "out.mkv")
    with av.open("out.mkv") as container:
        assert not [name for name in container.metadata if "BRAND" in name.upper()]


def data_track(name: str, kind: bytes) -> Path:
    """A clip whose subtitles of mov are made a track of data of a type."""
    Path("in.srt").write_text("1\n00:00:00,000 --> 00:00:00,100\nabcd\n")
    inputs = ["-i", "in.srt"]
    source = make(name, "-c:s", "mov_text", inputs=inputs, size="64x48", frames=3)
    known = source.read_bytes()
    assert known.count(b"tx3g") == known.count(b"sbtl") == 1
    source.write_bytes(known.replace(b"tx3g", kind).replace(b"sbtl", b"meta"))
    return source


@pytest.mark.parametrize("target", ["out.mp4", "out.mov"])
def test_telemetry_of_gopro(target: str) -> None:
    source = data_track("in.mp4", b"gpmd")
    assert copy(source, target) == []
    with av.open(source) as before, av.open(target) as after:
        assert after.streams.data
        packets = [
            [(p.pts, p.time_base, bytes(p)) for p in one.demux(one.streams.data) if p.size]
            for one in (before, after)
        ]
    assert packets[0] == packets[1] != []


@pytest.mark.parametrize(("kind", "target"), [(b"gpmd", "out.mkv"), (b"mebx", "out.mov")])
def test_data_that_cannot_be_copied_is_noted(kind: bytes, target: str) -> None:
    notes = copy(data_track("in.mp4", kind), target)
    assert [note for note in notes if f"Data ({kind.decode()}) was left out" in note]
    assert len(av.open(target).streams) == 1


@pytest.mark.parametrize("unit", [b"\x00\x00\x01\x65", b"\x00\x00\x01\x41"])
def test_captions_in_the_picture_are_noted(unit: bytes) -> None:
    """In the first frame, or in later ones, which only refer to others (P frames)."""
    options = ["-bf", "0", "-bsf:v", "h264_mp4toannexb"]
    stream = make("in.h264", *options, size="64x48", frames=3).read_bytes()
    # Rec. ITU-T T.35 user data of ATSC A/53: one pair of bytes of CEA-608.
    caption = b"\xb5\x00\x31GA94\x03\x41\xff\xfc\xc8\xe9\xff"
    message = b"\x00\x00\x01\x06\x04" + bytes([len(caption)]) + caption + b"\x80"
    place = stream.rindex(unit)
    source = Path("captions.h264")
    source.write_bytes(stream[:place] + message + stream[place:])
    assert "Closed captions in the picture were left out." in copy(source, "out.mp4")
    assert copy(Path("in.h264"), "out2.mp4") == []


@pytest.mark.parametrize("target", ["out.mp4", "out.mov"])
def test_timecodes(target: str) -> None:
    source = make("in.mov", "-timecode", "01:02:03:04", rate="25", size="64x48", frames=10)
    copy(source, target)
    with av.open(target) as container:
        assert container.streams.video[0].metadata["timecode"] == "01:02:03:04"
    copy(source, f"part-{target}", start=0.2)
    with av.open(f"part-{target}") as container:
        assert "timecode" not in container.streams.video[0].metadata


@pytest.mark.parametrize("target", ["out.mp4", "out.mkv"])
def test_cover_art(target: str) -> None:
    Image.new("RGB", (20, 10), "red").save("cover.png")
    options = ["-map", "0", "-map", "1", "-c:v:1", "copy", "-disposition:v:1", "attached_pic"]
    copy(make("in.mp4", *options, inputs=["-i", "cover.png"], size="64x48", frames=3), target)
    with av.open(target) as container:
        sizes = [(stream.width, stream.height) for stream in container.streams.video]
        assert sizes == [(64, 48), (20, 10)]


def test_attachments_and_titles_of_matroska() -> None:
    Path("font.ttf").write_bytes(b"a font")
    options = ["-attach", "font.ttf", "-metadata:s:t", "mimetype=font/ttf"]
    options += ["-metadata:s:v", "title=Main camera", "-metadata:s:v", "BPS=7"]
    source = make("in.mkv", *options, size="64x48", frames=3)
    assert copy(source, "out.mp4") == ["Attached files were left out: only mkv holds them."]
    assert copy(source, "out.mkv") == []
    with av.open("out.mkv") as container:
        assert container.streams.video[0].metadata["title"] == "Main camera"
        assert "BPS" not in container.streams.video[0].metadata
        assert container.streams[1].metadata["filename"] == "font.ttf"


def test_cover_art_that_a_container_refuses_is_left_out() -> None:
    Image.new("RGB", (20, 10), "red").save("cover.webp")
    attached = ["-attach", "cover.webp", "-metadata:s:t", "mimetype=image/webp"]
    notes = copy(make("in.mkv", *attached, size="64x48", frames=3), "out.mp4")
    assert [note for note in notes if "left out" in note]
    assert len(av.open("out.mp4").streams) == 1

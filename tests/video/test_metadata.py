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
    with open_writer(Path(target), clip) as writer:
        for frame in Reader(clip):
            writer.add(frame)
    return writer.notes


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
        assert found["creation_time"].split(";")[0] == DATE
        languages = [stream.metadata.get("language") for stream in container.streams]
    # Matroska writes the other code of ISO 639-2.
    assert languages[0] == "ita"
    assert languages[1] in ("fra", "fre")


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

"""Writes a clip: the encoded frames, then the sound, subtitles and chapters of the source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photostyle.files import new_file, scratch_file
from photostyle.video.clip import Clip, all_streams
from photostyle.video.containers import Container, codec_of, container_of
from photostyle.video.encoder import Encoding, VideoEncoder, encoding_error, padding
from photostyle.video.ffmpeg import file_url, run
from photostyle.video.reader import VideoFrame

_TEXT_SUBTITLES = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}


class Writer:
    """Takes the frames of a video file; made by `open_writer`.

    cut_short: set it to True if the clip's last frames are missing, so that the sound ends with the
    last frame. notes: sentences on parts of the clip that were not kept, complete at the end.
    """

    def __init__(self, encoder: VideoEncoder) -> None:
        self.cut_short = False
        self.notes: list[str] = []
        self._encoder = encoder

    @property
    def count(self) -> int:
        """Number of frames encoded."""
        return self._encoder.count

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame, whose pixels must not change any more.

        Raises PhotostyleError if ffmpeg has failed on an earlier one.
        """
        self._encoder.add(frame)


@contextmanager
def open_writer(
    target: Path, clip: Clip, encoding: Encoding | None = None, *, overwrite: bool = False
) -> Iterator[Writer]:
    """A writer of the file ``target``, which appears complete when the block ends, or not at all.

    The sound, subtitles and chapters of ``clip`` are added to the frames. Raises PhotostyleError if
    the file cannot be written, or if it exists and ``overwrite`` is False.
    """
    encoding = encoding or Encoding()
    container = container_of(target)
    codec = codec_of(container, encoding.codec)
    with new_file(target, overwrite=overwrite) as final, scratch_file(target.parent) as silent:
        muxer = _muxer_arguments(clip, container)
        silent_url = file_url(Path(silent.name))
        encoder = VideoEncoder(clip, codec, encoding, [*muxer, silent_url])
        writer = Writer(encoder)
        if any(padding(clip, codec)):
            writer.notes.append(
                "This codec needs even dimensions; the frames were padded by one pixel."
            )
        try:
            yield writer
            encoder.finish()
        except BaseException:
            encoder.stop()
            raise
        end = float(encoder.end) if writer.cut_short else None
        streams, notes = _other_streams(clip, container, end)
        writer.notes += notes
        # ffmpeg shifts every input to begin at 0; the sound is right with the picture's own start.
        video = ["-y", "-itsoffset", f"{float(encoder.start):.6f}", "-i", silent_url]
        output = [*container.options, *muxer, file_url(Path(final.name))]
        unused = all_streams(1) if streams else []
        if errors := run([*video, *streams, "-c:v", "copy", *output, *unused]):
            raise encoding_error(errors)


def _muxer_arguments(clip: Clip, container: Container) -> list[str]:
    muxer = ["-f", container.muxer]
    if container.muxer in ("mp4", "mov"):
        muxer += ["-video_track_timescale", str(clip.time_base.denominator)]
    return muxer


def _other_streams(
    clip: Clip, container: Container, end: float | None
) -> tuple[list[str], list[str]]:
    """ffmpeg's arguments that add the clip's other streams, up to ``end`` seconds; and notes."""
    if container.muxer == "gif":
        return [], ["A GIF has no sound."] if clip.audio else []
    if clip.source.is_image_sequence:
        return [], []
    arguments = [*clip.source.arguments, "-map", "0:v:0", "-map_metadata", "1"]
    if end is not None:
        arguments += ["-t", f"{end:.6f}"]
    notes: list[str] = []
    for kind, codecs in (("a", clip.audio), ("s", clip.subtitles)):
        kept = 0
        for number, codec in enumerate(codecs):
            encoder = (_audio_encoder if kind == "a" else _subtitle_encoder)(codec, container)
            if encoder:
                arguments += ["-map", f"1:{kind}:{number}", f"-c:{kind}:{kept}", encoder]
                kept += 1
            notes += _note(kind, codec, encoder, container)
    return arguments, notes


def _audio_encoder(codec: str, container: Container) -> str | None:
    """The encoder of an audio track; "copy" keeps the track, None leaves it out."""
    if container.audio is None or codec in container.audio:
        return "copy"
    return container.audio_encoder


def _subtitle_encoder(codec: str, container: Container) -> str | None:
    """The encoder of a subtitle track, as `_audio_encoder`."""
    if container.muxer == "matroska" and codec != "mov_text":
        return "copy"
    return container.subtitles if codec in _TEXT_SUBTITLES else None


def _note(kind: str, codec: str, encoder: str | None, container: Container) -> list[str]:
    """A note on a track, unless it is copied, or is subtitles that stay text."""
    if encoder == "copy" or (kind == "s" and encoder):
        return []
    name = f"{codec} {'audio' if kind == 'a' else 'subtitles'}"
    change = "re-encoded" if encoder else "left out"
    return [f"A track of {name} was {change}: {container.muxer} files cannot hold it."]

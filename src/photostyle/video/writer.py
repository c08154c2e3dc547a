"""Writes a clip: the encoded frames, then the sound, subtitles and chapters of the source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

from photostyle.files import new_file, scratch_file
from photostyle.video import metadata, quicktime, tracks
from photostyle.video.clip import Clip
from photostyle.video.containers import Container, codec_of, container_of
from photostyle.video.encoder import Encoding, VideoEncoder, encoding_error, padding
from photostyle.video.ffmpeg import file_url, run
from photostyle.video.reader import VideoFrame


class Writer:
    """Takes the frames of a video file; made by `open_writer`.

    cut_short: set it to True if the clip's last frames are missing, so that the sound ends with the
    last frame. shifts: those of the reader. notes: sentences on parts of the clip that were not
    kept, complete at the end.
    """

    def __init__(self, encoder: VideoEncoder) -> None:
        self.cut_short = False
        self.shifts: Sequence[Fraction] = ()
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
        video = ["-i", silent_url]
        kept, notes = tracks.choose(clip, container, Path(silent.name))
        encoder = VideoEncoder(clip, codec, encoding, [*muxer, silent_url])
        writer = Writer(encoder)
        writer.notes += notes
        if clip.attachments and container.muxer != "matroska":
            writer.notes.append("Attached files were left out: only mkv holds them.")
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
        if encoder.dropped:
            writer.notes.append(
                f"GIF shows at most 50 frames per second; {encoder.dropped} frames were left out."
            )
        streams: list[str] = []
        if container.muxer != "gif":
            video = ["-itsoffset", f"{-float(encoder.shift):.6f}", *video]
            end = float(encoder.end) if writer.cut_short else clip.source.length
            streams = _other_streams(
                clip, container, kept, end, writer.shifts, alpha=encoding.alpha
            )
        output = [*container.options, *muxer, file_url(Path(final.name))]
        files = metadata.files(clip, container) if streams else []
        inputs = ["-y", "-copyts", *video, *streams]
        if run([*inputs, *files, "-c:v", "copy", *output]):
            if errors := run([*inputs, "-c:v", "copy", *output]):
                raise encoding_error(errors)
            writer.notes.append("Cover art or attached files were left out: they cannot be copied.")
        if container.muxer in ("mp4", "mov"):
            languages = tracks.languages(clip, kept)
            quicktime.complete(Path(final.name), languages, clip.created)


def _muxer_arguments(clip: Clip, container: Container) -> list[str]:
    muxer = ["-f", container.muxer]
    if container.muxer in ("mp4", "mov"):
        muxer += ["-video_track_timescale", str(clip.time_base.denominator)]
    return muxer


def _other_streams(
    clip: Clip,
    container: Container,
    kept: Sequence[tracks.Encoded],
    end: float | None,
    shifts: Sequence[Fraction],
    *,
    alpha: bool,
) -> list[str]:
    """ffmpeg's arguments that add tracks, chapters and metadata of the clip, up to ``end``."""
    if clip.source.is_image_sequence:
        return []
    limit = [] if end is None else ["-t", f"{end:.6f}"]
    others = tracks.arguments(clip, container, kept, 1, shifts)
    copied = ["-map", "0:v:0", *others, *metadata.arguments(clip, container, kept, alpha=alpha)]
    return [*tracks.input_arguments(clip), *copied, *limit]

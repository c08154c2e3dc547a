"""Frames into a file: encoded as they come, then joined with the sound of the clip."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from photostyle.errors import PhotostyleError
from photostyle.files import new_file, scratch_file
from photostyle.video import matroska
from photostyle.video.clip import Clip
from photostyle.video.containers import Codec, Container, codec_of, container_of
from photostyle.video.process import Process, address, run
from photostyle.video.reader import PLANES, VideoFrame

BEHIND = 3
"""Frames that wait to be encoded."""

_TEXT = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded: codec, a key of CODECS (the container's own for None), its constant
    quality and its preset."""

    codec: str | None = None
    crf: int = 18
    preset: str = "medium"


class VideoEncoder:
    """Frames into a video file without sound; count: of those that it has got.

    Raises PhotostyleError, now or later, when ffmpeg fails.
    """

    def __init__(self, clip: Clip, codec: Codec, encoding: Encoding, output: Sequence[str]) -> None:
        self._clip, self._last = clip, Fraction(0)
        self._frames: queue.Queue[VideoFrame | None] = queue.Queue(BEHIND)
        self._failed = threading.Event()
        self.count = 0
        quality = [codec.crf, str(encoding.crf)] if codec.crf else []
        preset = ["-preset", encoding.preset] if codec.presets else []
        base = clip.time_base
        clock = ["-enc_time_base", f"{base.numerator}/{base.denominator}"]
        self._process = Process(
            [
                *("-y", "-f", "matroska", "-i", "pipe:0", "-map", "0:v:0"),
                *("-vf", _filters(clip, codec), "-fps_mode", "passthrough"),
                *([] if codec.encoder == "gif" else clock),
                *("-c:v", codec.encoder, *quality, *preset, *codec.options, *output),
            ],
            stdin=True,
        )
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    @property
    def end(self) -> Fraction:
        """Seconds of what has been added."""
        return self._last

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame, which is not to be changed any more."""
        self._hand_over(frame)
        self._last = (frame.tick + frame.duration) * frame.time_base

    def finish(self) -> None:
        """Complete the file."""
        self._hand_over(None)
        self._thread.join()
        if self._process.wait() or self._failed.is_set():
            raise self._failure()

    def stop(self) -> None:
        """Give up."""
        self._process.stop()
        self._failed.set()

    def _hand_over(self, frame: VideoFrame | None) -> None:
        while not self._failed.is_set():
            # A signal can interrupt either side so that it forgets to wake the other.
            with suppress(queue.Full):
                self._frames.put(frame, timeout=0.1)
                return
        raise self._failure()

    def _write(self) -> None:
        stream = self._process.stdin
        assert stream
        width, height = self._clip.size
        try:
            stream.write(matroska.header(width, height, self._clip.rate))
            while frame := self._next():
                time, duration = frame.tick * frame.time_base, frame.duration * frame.time_base
                stream.write(
                    matroska.cluster(max(time, Fraction(0)), duration, frame.pixels.nbytes)
                )
                for channel in PLANES:
                    stream.write(np.ascontiguousarray(frame.pixels[..., channel]).data)
                self.count += 1
            stream.close()
        except (OSError, ValueError):
            self._failed.set()

    def _next(self) -> VideoFrame | None:
        while not self._failed.is_set():
            with suppress(queue.Empty):
                return self._frames.get(timeout=0.1)
        return None

    def _failure(self) -> PhotostyleError:
        self._process.stop()
        return _failure(self._process.errors)


class Writer:
    """A video file that is being written; see `Writer.to`.

    cut_short: that not all frames of the clip will come, so that the sound must end with them.
    notes: sentences on what of the clip could not be kept, known at the end.
    """

    def __init__(self, encoder: VideoEncoder, clip: Clip, container: Container) -> None:
        self._encoder, self._clip, self._container = encoder, clip, container
        self.cut_short = False
        self.notes: list[str] = []
        self.add = encoder.add

    @property
    def count(self) -> int:
        """Frames in the file."""
        return self._encoder.count

    @classmethod
    @contextmanager
    def to(
        cls, target: Path, clip: Clip, encoding: Encoding, *, overwrite: bool = False
    ) -> Iterator[Writer]:
        """A writer of ``target``, which becomes a file when the block ends, or nothing at all.

        The frames that have been added get the sound, the subtitles and the chapters of the clip,
        as far as the container holds them: notes say what does not fit. Raises PhotostyleError
        where anything cannot be written.
        """
        container = container_of(target)
        codec = codec_of(container, encoding.codec)
        with new_file(target, overwrite=overwrite) as final, scratch_file(target.parent) as silent:
            clock = ["-video_track_timescale", str(clip.time_base.denominator)]
            clock = clock if container.muxer in ("mp4", "mov") else []
            form = ["-f", container.muxer, *clock]
            output = [*form, address(Path(silent.name))]
            encoder = VideoEncoder(clip, codec, encoding, output)
            writer = cls(encoder, clip, container)
            if codec.even and any(length % 2 for length in clip.size):
                writer.notes.append(
                    "This codec needs even numbers of rows and columns: the last are doubled."
                )
            try:
                yield writer
                encoder.finish()
            except BaseException:
                encoder.stop()
                raise
            failures = run(
                [
                    *("-y", "-i", address(Path(silent.name)), *writer._others()),
                    *("-c:v", "copy", *container.options, *form, address(Path(final.name))),
                ]
            )
            if failures:
                raise _failure(failures)

    def _others(self) -> list[str]:
        """What the clip holds besides its pictures, as ffmpeg's arguments; adds to the notes."""
        clip, container = self._clip, self._container
        if clip.source.is_frames or container.muxer == "gif":
            if clip.audio:
                self.notes.append("A GIF has no sound.")
            return []
        arguments = [*clip.source.arguments, "-map", "0:v:0", "-map_metadata", "1"]
        if self.cut_short:
            arguments += ["-t", f"{float(self._encoder.end):.6f}"]
        kinds = [("a", number, *self._audio(codec)) for number, codec in enumerate(clip.audio)]
        kinds += [("s", n, *self._subtitles(codec)) for n, codec in enumerate(clip.subtitles)]
        counts = {"a": 0, "s": 0}
        for kind, number, codec, note in kinds:
            if note:
                self.notes.append(note)
            if codec:
                arguments += ["-map", f"1:{kind}:{number}", f"-c:{kind}:{counts[kind]}", codec]
                counts[kind] += 1
        return arguments

    def _audio(self, codec: str) -> tuple[str | None, str | None]:
        """The encoder of a track ("copy" keeps it, None leaves it out), and a note."""
        container = self._container
        if container.audio is None or codec in container.audio:
            return "copy", None
        return (
            container.spare,
            f"Sound in {codec} was encoded anew: this container does not hold it.",
        )

    def _subtitles(self, codec: str) -> tuple[str | None, str | None]:
        """As `_audio`."""
        container = self._container
        if container.muxer == "matroska" and codec != "mov_text":
            return "copy", None
        if codec in _TEXT and container.subtitles:
            return container.subtitles, None
        return None, f"Subtitles in {codec} are left out: this container does not hold them."


def _filters(clip: Clip, codec: Codec) -> str:
    if codec.encoder == "gif":
        return "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"
    base = clip.time_base
    parts = [f"settb={base.numerator}/{base.denominator}"]
    if codec.even and any(length % 2 for length in clip.size):
        right, bottom = (length % 2 for length in clip.size)
        parts.append(
            f"pad=iw+{right}:ih+{bottom},fillborders=right={right}:bottom={bottom}:mode=smear"
        )
    parts.append(
        f"scale=out_color_matrix={clip.working_matrix}"
        f":out_range={'pc' if clip.range == 'pc' and clip.matrix != 'gbr' else 'tv'}"
        ":flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    )
    parts.append(f"format={codec.pixel_format}")
    if clip.aspect:
        parts.append(f"setsar={clip.aspect.numerator}/{clip.aspect.denominator}:max=100000")
    tags = {
        "range": "tv" if clip.matrix == "gbr" else clip.range,
        "colorspace": "bt709" if clip.matrix == "gbr" else clip.matrix,
        "color_primaries": clip.primaries,
        "color_trc": clip.transfer,
    }
    if clip.matrix == "gbr":
        tags["colorspace"] = clip.working_matrix
    parts.append("setparams=" + ":".join(f"{n}={v or 'unknown'}" for n, v in tags.items()))
    return ",".join(parts)


def _failure(errors: Sequence[str]) -> PhotostyleError:
    for reason in ("No space left on device", "File too large", "Permission denied"):
        if any(reason in error for error in errors):
            return PhotostyleError(f"The video cannot be written: {reason}.")
    said = errors[0] if errors else "ffmpeg ended before its time"
    return PhotostyleError(f"The video cannot be encoded: {said}.")

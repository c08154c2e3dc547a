"""Encodes frames into a video stream in the background."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from photostyle.errors import PhotostyleError
from photostyle.threads import Channel, Worker
from photostyle.video import conversion, matroska
from photostyle.video.clip import Clip
from photostyle.video.containers import Codec
from photostyle.video.ffmpeg import FFmpeg
from photostyle.video.reader import PLANES, Pixels, VideoFrame

GIF_TICK = Fraction(1, 100)
"""Seconds of GIF's unit of time."""

GIF_DELAY = 2
"""The least time of a frame in that unit; players show shorter ones for ten."""

WAITING = 3
"""Maximum number of frames that wait to be encoded."""


@dataclass(frozen=True)
class Encoding:
    """How frames are encoded.

    codec: a key of CODECS, None for the container's default. crf: constant quality, 0 to 63, lower
    is better. preset: speed of h264 and h265, a preset of x264. depth: bits per channel, 8 or 10,
    as far as the codec has a choice; frames have 8 or 16. alpha: whether frames have it and it is
    encoded. keep_hdr: whether the frames of an HDR clip are HDR, not SDR in BT.709.
    """

    codec: str | None = None
    crf: int = 18
    preset: str = "medium"
    depth: int = 8
    alpha: bool = False
    keep_hdr: bool = False

    @property
    def raw_depth(self) -> int:
        """Bits per channel of the frames to encode."""
        return 16 if self.depth > 8 else 8


class VideoEncoder:
    """Encodes frames into a video without sound.

    output: ffmpeg's arguments for the file. count: number of frames encoded. dropped: number of
    those that were left out, because GIF has no time for them. shift: seconds added to the times of
    all frames, so that none is below 0. end: end of the last added frame, in seconds.
    """

    def __init__(self, clip: Clip, codec: Codec, encoding: Encoding, output: Sequence[str]) -> None:
        clip = clip if encoding.keep_hdr else clip.sdr
        self.count = self.dropped = 0
        self._shortest = GIF_DELAY * GIF_TICK if codec.encoder == "gif" else Fraction(0)
        self._next_time: Fraction | None = None
        self.shift = self.end = Fraction(0)
        self._clip, self._encoding = clip, encoding
        self._frames: Channel[VideoFrame] = Channel(WAITING)
        self._process = FFmpeg([*_arguments(clip, codec, encoding), *output], stdin=True)
        self._worker = Worker(self._write)

    def add(self, frame: VideoFrame) -> None:
        """Take the next frame, whose pixels must not change any more.

        Raises PhotostyleError if ffmpeg has failed on an earlier one.
        """
        if self._shortest and not self._has_time(frame):
            self.dropped += 1
            return
        if not frame.number:
            self.shift = max(-frame.tick * frame.time_base, Fraction(0))
        if not self._frames.put(frame):
            raise self._failure()
        self.end = (frame.tick + frame.duration) * frame.time_base

    def _has_time(self, frame: VideoFrame) -> bool:
        """Whether GIF can show a frame, from the tick that is nearest to its time on."""
        time = round(frame.tick * frame.time_base / GIF_TICK) * GIF_TICK
        end = (frame.tick + frame.duration) * frame.time_base
        if self._next_time is not None and (time < self._next_time or time >= end):
            return False
        self._next_time = time + self._shortest
        return True

    def finish(self) -> None:
        """Complete the file; raises PhotostyleError if ffmpeg fails."""
        self._frames.close()
        if self._worker.exception() or self._process.wait():
            raise self._failure()

    def stop(self) -> None:
        """Abandon the file and end ffmpeg."""
        self._frames.close()
        self._process.stop()

    def _write(self) -> None:
        """Runs in a thread until the channel is closed and empty."""
        stream = self._process.stdin
        assert stream
        with closing(self._frames):
            channels, depth = 4 if self._encoding.alpha else 3, self._encoding.raw_depth
            clip = self._clip
            stream.write(matroska.header(*clip.size, clip.rate, channels, depth, clip.hdr))
            for frame in self._frames:
                time = frame.tick * frame.time_base
                duration = max(frame.duration * frame.time_base, self._shortest)
                planes = [frame.pixels[..., channel] for channel in PLANES]
                if self._encoding.alpha:
                    planes.append(_alpha(frame))
                length = sum(plane.nbytes for plane in planes)
                stream.write(matroska.cluster(time + self.shift, duration, length))
                for plane in planes:
                    stream.write(np.ascontiguousarray(plane).data)
                self.count += 1
            stream.close()

    def _failure(self) -> BaseException:
        """The thread's exception if it is a bug; otherwise an error with ffmpeg's message."""
        self._process.stop()
        error = self._worker.exception()
        if error and not isinstance(error, OSError):  # an OSError means that ffmpeg has ended
            return error
        return encoding_error(self._process.errors)


def _alpha(frame: VideoFrame) -> Pixels:
    if frame.alpha is None:
        return np.full_like(frame.pixels[..., 0], np.iinfo(frame.pixels.dtype).max)
    return frame.alpha


def encoding_error(messages: Sequence[str]) -> PhotostyleError:
    """The error to raise for the messages of a failed ffmpeg."""
    for reason in ("No space left on device", "File too large", "Permission denied"):
        if any(reason in message for message in messages):
            return PhotostyleError(f"The video cannot be written: {reason}.")
    reason = messages[0] if messages else "ffmpeg ended early"
    return PhotostyleError(f"The video cannot be encoded: {reason}.")


def padding(clip: Clip, codec: Codec) -> tuple[int, int]:
    """Columns and rows (0 or 1 each) to add to the frames of a clip for a codec."""
    width, height = clip.size
    return (width % 2, height % 2) if codec.even else (0, 0)


def _arguments(clip: Clip, codec: Codec, encoding: Encoding) -> list[str]:
    time_base = GIF_TICK if codec.encoder == "gif" else clip.time_base
    return [
        *("-y", "-copyts", "-f", "matroska", "-i", "pipe:0", "-map", "0:v:0"),
        *("-vf", _filters(clip, codec, encoding), "-fps_mode", "passthrough"),
        *("-enc_time_base", f"{time_base.numerator}/{time_base.denominator}"),
        *("-c:v", codec.encoder),
        *([codec.crf, str(encoding.crf)] if codec.crf else []),
        *(["-preset", encoding.preset] if codec.presets else []),
        *(codec.alpha_options or codec.options if encoding.alpha else codec.options),
    ]


def _filters(clip: Clip, codec: Codec, encoding: Encoding) -> str:
    """ffmpeg's filters from RGB frames to the encoder's input."""
    if codec.encoder == "gif":
        palette = "split[a][b];[a]palettegen=stats_mode=single[p];[b][p]paletteuse=new=1"
        return f"settb={GIF_TICK},{palette}"
    filters = [f"settb={clip.time_base.numerator}/{clip.time_base.denominator}"]
    right, bottom = padding(clip, codec)
    if right or bottom:
        filters.append(
            f"pad=iw+{right}:ih+{bottom},fillborders=right={right}:bottom={bottom}:mode=smear"
        )
    filters.append(
        conversion.from_rgb(clip, codec.format(encoding.depth, encoding.alpha), encoding.raw_depth)
    )
    aspect = _aspect(clip, right, bottom)
    if aspect:
        filters.append(f"setsar={aspect.numerator}/{aspect.denominator}:max=100000")
    return ",".join([*filters, conversion.color_tags(clip)])


def _aspect(clip: Clip, right: int, bottom: int) -> Fraction | None:
    """The aspect of pixels after padding, which doubles a width or height of one pixel."""
    width, height = clip.size
    twice_as_wide, twice_as_high = right and width == 1, bottom and height == 1
    if twice_as_wide or twice_as_high:
        return (clip.aspect or 1) * Fraction(1 + bool(twice_as_high), 1 + bool(twice_as_wide))
    return clip.aspect

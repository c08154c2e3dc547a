"""Reads the frames of a clip, decoding ahead of the caller."""

from __future__ import annotations

import atexit
import math
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from photostyle.errors import PhotostyleError
from photostyle.threads import Channel, Worker
from photostyle.video import conversion, log_footage
from photostyle.video.clip import BACK, Clip
from photostyle.video.ffmpeg import FFmpeg, Log

DECODED_AHEAD = 3
"""Maximum number of decoded frames that wait for the caller."""

PLANES = (1, 2, 0)
"""Channels in the order of ffmpeg's gbrp, to which it converts faster than to rgb24."""

Pixels = npt.NDArray[Any]
"""Values of type uint8 or uint16."""

ALPHA = 3
"""The channel of ffmpeg's gbrap that is alpha."""

_FRAME = re.compile(
    r"showinfo.*\bn:\s*\d+ pts:\s*(-?\d+|NOPTS).*?duration:\s*(-?\d+)(?:.* i:(\w))?"
)


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a clip, with its own writable pixels.

    number: index from 0. pixels: (H, W, 3), uint8 or uint16, RGB, with one plane per channel in
    memory. tick, duration: start and duration in units of time_base, which is in seconds. alpha:
    (H, W), of the type of the pixels, 0 is transparent; None for opaque frames.
    """

    number: int
    pixels: Pixels
    tick: int
    duration: int
    time_base: Fraction
    alpha: Pixels | None = None

    @property
    def time(self) -> float:
        """Seconds since the start of the clip."""
        return float(self.tick * self.time_base)


class Reader:
    """Iterates over the frames of a clip, upright and progressive, until one cannot be decoded.

    long_side: long side in pixels to which larger frames are reduced. depth: bits per channel of
    the pixels, 8 or 16. alpha: whether frames get the clip's alpha. keep_hdr: whether the values of
    HDR stay, which otherwise become SDR in BT.709. lut: a `.cube` file of a 3D LUT that the frames
    go through. damage: ffmpeg's error messages, complete after the last frame. shifts: seconds that
    were added to times after each place where those of the file jump back.
    """

    def __init__(
        self,
        clip: Clip,
        long_side: int | None = None,
        *,
        depth: int = 8,
        alpha: bool = False,
        keep_hdr: bool = False,
        lut: Path | None = None,
    ) -> None:
        self.clip, self.depth, self.alpha, self.keep_hdr = clip, depth, alpha, keep_hdr
        self.lut = lut
        self.width, self.height = reduced_size(clip, long_side)
        self.damage: list[str] = []
        self.shifts: list[Fraction] = []
        self._interlaced = False
        self._left_out: set[str] = set()

    @property
    def notes(self) -> list[str]:
        """Sentences on what was changed in the frames so far, or left out."""
        deinterlaced = ["The clip is interlaced; its frames were deinterlaced."]
        return deinterlaced * self._interlaced + sorted(self._left_out)

    def __iter__(self) -> Iterator[VideoFrame]:
        with log_footage.to_display(self.clip.source.input_space) as to_display:
            yield from self._frames(self._arguments(to_display))

    def _frames(self, arguments: list[str]) -> Iterator[VideoFrame]:
        log: Log = SimpleQueue()
        decoded: Channel[Pixels] = Channel(DECODED_AHEAD)
        process = FFmpeg(arguments, log=log, stdout=True)
        assert process.stdout
        worker = Worker(partial(self._decode, process.stdout, decoded))

        def stop() -> None:
            decoded.close()
            process.stop()
            worker.exception()  # wait for it

        # If a generator is closed only when Python shuts down, its threads are already frozen.
        atexit.register(stop)
        try:
            yield from self._with_times(decoded, log)
            worker.result()
            process.wait()
            while not log.empty():
                self._note(log.get())
        finally:
            atexit.unregister(stop)
            stop()
            self.damage = process.errors

    def _arguments(self, to_display: str) -> list[str]:
        size = self.width, self.height
        rgb = conversion.to_rgb(
            self.clip,
            size,
            self.depth,
            alpha=self.alpha,
            keep_hdr=self.keep_hdr,
            to_display=to_display,
        )
        if self.lut:
            rgb += f",lut3d=file={log_footage.quoted(self.lut)}:interp=tetrahedral"
        # Of raw frames the muxer expects increasing times, which those of the clip need not have.
        steady = "settb=1,setpts=N"
        # For clips that change their size. The filter refuses some tags, which are set again later.
        untagged = "setparams=colorspace=unknown:color_primaries=unknown:color_trc=unknown"
        same_size = f"{untagged},scale={self.clip.size[0]}:{self.clip.size[1]}"
        shown = f"{self.clip.timing},{same_size},showinfo=checksum=0"
        filters = f"{shown},{conversion.deinterlaced(self.clip)}"
        decoder = self.clip.decoder if self.alpha else None
        return [
            *(["-c:v", decoder] if decoder else []),
            *("-reinit_filter", "0"),
            *self.clip.arguments,
            *("-map", "0:V:0", "-vf", f"{filters},{rgb},{steady}", "-fps_mode", "passthrough"),
            *("-f", "rawvideo", "pipe:1"),
        ]

    def _decode(self, stream: IO[bytes], decoded: Channel[Pixels]) -> None:
        """Runs in a thread until the stream or the channel ends."""
        buffered: Any = stream
        order = (*PLANES, ALPHA) if self.alpha else PLANES
        kind = np.uint16 if self.depth == 16 else np.uint8
        with closing(decoded):
            while True:
                planes = np.empty((len(order), self.height, self.width), kind)
                # A buffered reader fills the whole buffer unless the stream ends.
                if any(buffered.readinto(planes[c].data) < planes[c].nbytes for c in order):
                    return
                if not decoded.put(planes):
                    return

    def _with_times(self, decoded: Channel[Pixels], log: Log) -> Iterator[VideoFrame]:
        tick, duration, shift = 0, 0, 0
        for number, planes in enumerate(decoded):
            next_tick, next_duration, interlaced = self._next_frame(log)
            self._interlaced |= interlaced
            if next_tick is None:
                next_tick = tick + duration - shift if number else 0
            if number and next_tick + shift < tick - BACK / self.clip.time_base:
                shift = tick + duration - next_tick
                self.shifts.append(shift * self.clip.time_base)
            next_tick += shift
            # If a time does not advance, use the tick after the previous one.
            tick = max(next_tick, tick + 1) if number else next_tick
            duration = next_duration if next_duration > 0 else duration
            pixels = planes[:3].transpose(1, 2, 0)
            alpha = planes[ALPHA] if self.alpha else None
            yield VideoFrame(number, pixels, tick, duration, self.clip.time_base, alpha)

    def _next_frame(self, log: Log) -> tuple[int | None, int, bool]:
        """Tick (None: unknown) and duration of the next frame in the log; if it is interlaced."""
        try:
            while (line := log.get(timeout=60)) is not None:
                if found := _FRAME.search(line):
                    tick = None if found[1] == "NOPTS" else int(found[1])
                    return tick, int(found[2]), found[3] in ("T", "B")
                self._note(line)
        except Empty:
            pass
        raise PhotostyleError("ffmpeg did not report the time of a frame.")

    def _note(self, line: str | None) -> None:
        """Note what a line of the log says of data beside a frame that no result keeps."""
        if not line or "side data - " not in line:
            return
        if "Closed Captions" in line:
            self._left_out.add("Closed captions in the picture were left out.")
        elif self.keep_hdr and ("HDR10+" in line or "2094-40" in line):
            self._left_out.add("The metadata of HDR10+ was left out; the result is HDR10.")


def reduced_size(clip: Clip, long_side: int | None) -> tuple[int, int]:
    """Width and height of frames whose long side is at most so many pixels; None for no limit."""
    scale = min(1, (long_side or math.inf) / max(clip.size))
    width, height = (max(1, round(length * scale)) for length in clip.size)
    return width, height

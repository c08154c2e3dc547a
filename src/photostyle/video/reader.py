"""Reads the frames of a clip, decoding ahead of the caller."""

from __future__ import annotations

import atexit
import re
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from queue import Empty, SimpleQueue
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from photostyle.errors import PhotostyleError
from photostyle.video import conversion
from photostyle.video.clip import Clip
from photostyle.video.ffmpeg import FFmpeg, Log
from photostyle.video.threads import Channel, Worker

DECODED_AHEAD = 3
"""Maximum number of decoded frames that wait for the caller."""

PLANES = (1, 2, 0)
"""Channels in the order of ffmpeg's gbrp, to which it converts faster than to rgb24."""

Pixels = npt.NDArray[Any]
"""Values of type uint8 or uint16."""

_TIMES = re.compile(r"showinfo.*\bn:\s*\d+ pts:\s*(-?\d+|NOPTS).*?duration:\s*(-?\d+)")


@dataclass(frozen=True)
class VideoFrame:
    """A frame of a clip, with its own writable pixels.

    number: index from 0. pixels: (H, W, 3), uint8 or uint16, RGB, with one plane per channel in
    memory. tick, duration: start and duration in units of time_base, which is in seconds.
    """

    number: int
    pixels: Pixels
    tick: int
    duration: int
    time_base: Fraction

    @property
    def time(self) -> float:
        """Seconds since the start of the clip."""
        return float(self.tick * self.time_base)


class Reader:
    """Iterates over the frames of a clip, upright, until one cannot be decoded.

    long_side: long side in pixels to which larger frames are reduced. depth: bits per channel of
    the pixels, 8 or 16. damage: ffmpeg's error messages, complete after the last frame.
    """

    def __init__(self, clip: Clip, long_side: int | None = None, *, depth: int = 8) -> None:
        self.clip, self.depth = clip, depth
        self.width, self.height = clip.size
        if long_side and long_side < max(clip.size):
            scale = long_side / max(clip.size)
            self.width, self.height = (max(1, round(length * scale)) for length in clip.size)
        self.damage: list[str] = []

    def __iter__(self) -> Iterator[VideoFrame]:
        log: Log = SimpleQueue()
        decoded: Channel[Pixels] = Channel(DECODED_AHEAD)
        process = FFmpeg(self._arguments(), log=log, stdout=True)
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
        finally:
            atexit.unregister(stop)
            stop()
            self.damage = process.errors

    def _arguments(self) -> list[str]:
        size = self.width, self.height
        filters = f"showinfo=checksum=0,{conversion.to_rgb(self.clip, size, self.depth)}"
        return [
            *self.clip.source.arguments,
            *("-map", "0:V:0", "-vf", filters, "-fps_mode", "passthrough"),
            *("-f", "rawvideo", "pipe:1"),
        ]

    def _decode(self, stream: IO[bytes], decoded: Channel[Pixels]) -> None:
        """Runs in a thread until the stream or the channel ends."""
        buffered: Any = stream
        kind = np.uint16 if self.depth == 16 else np.uint8
        with closing(decoded):
            while True:
                planes = np.empty((3, self.height, self.width), kind)
                # A buffered reader fills the whole buffer unless the stream ends.
                if any(buffered.readinto(planes[c].data) < planes[c].nbytes for c in PLANES):
                    return
                if not decoded.put(planes.transpose(1, 2, 0)):
                    return

    def _with_times(self, decoded: Channel[Pixels], log: Log) -> Iterator[VideoFrame]:
        tick, duration = 0, 0
        for number, pixels in enumerate(decoded):
            next_tick, next_duration = _next_times(log)
            # If a time is missing or does not advance, use the tick after the previous one.
            tick = max(next_tick, tick + 1) if number else next_tick
            duration = next_duration if next_duration > 0 else duration
            yield VideoFrame(number, pixels, tick, duration, self.clip.time_base)


def _next_times(log: Log) -> tuple[int, int]:
    """Tick (-1 if unknown) and duration of the next frame in the log."""
    try:
        while (line := log.get(timeout=60)) is not None:
            if found := _TIMES.search(line):
                return -1 if found[1] == "NOPTS" else int(found[1]), int(found[2])
    except Empty:
        pass
    raise PhotostyleError("ffmpeg did not report the time of a frame.")

"""Frames of a clip, decoded while the ones before are worked on."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from photostyle.errors import PhotostyleError
from photostyle.video.clip import Clip
from photostyle.video.process import Process

AHEAD = 3
"""Frames that wait decoded."""

PLANES = (1, 2, 0)
"""Channels in the order of ffmpeg's gbrp, which it makes of a clip faster than rgb24."""

_SHOWN = re.compile(r"showinfo.*\bn:\s*\d+ pts:\s*(-?\d+|NOPTS).*?duration:\s*(-?\d+)")


@dataclass(frozen=True)
class VideoFrame:
    """pixels: (H, W, 3), uint8, RGB, its own, a plane for each channel in memory; tick, duration:
    in time bases of its clip."""

    number: int
    pixels: npt.NDArray[np.uint8]
    tick: int
    duration: int
    time_base: Fraction

    @property
    def time(self) -> float:
        """Seconds since the start of the clip."""
        return float(self.tick * self.time_base)


class Reader:
    """The frames of a clip, upright, all of them or as far as they can be decoded.

    side: the long side that they are reduced to. damage: what was wrong with the file, known at
    the end.
    """

    def __init__(self, clip: Clip, side: int | None = None) -> None:
        self.clip = clip
        self.width, self.height = clip.size
        if side and side < max(clip.size):
            scale = side / max(clip.size)
            self.width, self.height = (max(1, round(length * scale)) for length in clip.size)
        self.damage: list[str] = []

    def __iter__(self) -> Iterator[VideoFrame]:
        times: queue.SimpleQueue[tuple[int, int] | None] = queue.SimpleQueue()
        frames: queue.Queue[npt.NDArray[np.uint8] | None] = queue.Queue(AHEAD)
        process = Process(self._arguments(), hear=lambda line: _note(line, times), stdout=True)
        stopping = threading.Event()
        thread = threading.Thread(
            target=self._decode, args=(process, frames, stopping), daemon=True
        )
        thread.start()
        try:
            number, tick, duration = 0, 0, 0
            while (pixels := frames.get()) is not None:
                try:
                    known = times.get(timeout=60)
                except queue.Empty:
                    raise PhotostyleError("ffmpeg does not tell the times of frames.") from None
                assert known
                # Where a time is missing or does not advance, the frame follows the one before.
                tick = max(known[0], tick + 1) if number else known[0]
                duration = known[1] if known[1] > 0 else duration
                yield VideoFrame(number, pixels, tick, duration, self.clip.time_base)
                number += 1
            process.wait()
        finally:
            stopping.set()
            process.stop()
            self.damage = process.errors
            thread.join()

    def _arguments(self) -> list[str]:
        matrix = self.clip.working_matrix
        flags = "area" if (self.width, self.height) != self.clip.size else "bicubic"
        scale = (
            f"scale={self.width}:{self.height}:in_color_matrix={matrix}"
            f":flags={flags}+accurate_rnd+full_chroma_int+full_chroma_inp"
        )
        filters = f"showinfo=checksum=0,{scale},format=gbrp"
        return [
            *self.clip.source.arguments,
            *("-map", "0:V:0", "-vf", filters, "-fps_mode", "passthrough"),
            *("-f", "rawvideo", "pipe:1"),
        ]

    def _decode(
        self, process: Process, frames: queue.Queue[Any], stopping: threading.Event
    ) -> None:
        stream: Any = process.stdout

        def hand_over(pixels: npt.NDArray[np.uint8] | None) -> None:
            while not stopping.is_set():
                # A signal that interrupts the other side can make it forget to wake this one.
                with suppress(queue.Full):
                    frames.put(pixels, timeout=0.1)
                    return

        try:
            while not stopping.is_set():
                planes = np.empty((3, self.height, self.width), np.uint8)
                # A buffered reader fills the whole buffer unless the stream ends.
                if any(stream.readinto(planes[c].data) < planes[c].nbytes for c in PLANES):
                    break
                hand_over(planes.transpose(1, 2, 0))
        except (OSError, ValueError):  # closed while reading
            pass
        hand_over(None)


def _note(line: str, times: queue.SimpleQueue[Any]) -> None:
    if found := _SHOWN.search(line):
        times.put((-1 if found[1] == "NOPTS" else int(found[1]), int(found[2])))

"""Clips for the tests: made by ffmpeg, read back with PyAV."""

from __future__ import annotations

import subprocess
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt

SOUND = ["-f", "lavfi", "-i", "sine=440:duration=1"]
"""One second of a tone, as an input of ffmpeg."""


def ffmpeg(*words: str) -> None:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *words]
    subprocess.run(command, check=True)


def make(
    name: str,
    *options: str,
    size: str = "160x90",
    rate: str = "30000/1001",
    frames: int = 12,
    inputs: list[str] | None = None,
) -> Path:
    """A short clip of a test pattern; inputs: more inputs of ffmpeg, numbered from 1."""
    pattern = ["-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate},gblur=sigma=4"]
    ffmpeg(*pattern, *(inputs or []), "-frames:v", str(frames), *options, name)
    return Path(name)


class Probed:
    """A clip as PyAV sees it."""

    def __init__(self, path: str | Path) -> None:
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            self.size = stream.codec_context.width, stream.codec_context.height
            self.codec = stream.codec_context.name
            self.rate = stream.average_rate
            self.aspect = stream.sample_aspect_ratio or Fraction(1)
            context: Any = stream.codec_context
            self.tags = tuple(
                int(tag)
                for tag in (
                    context.color_range,
                    context.colorspace,
                    context.color_primaries,
                    context.color_trc,
                )
            )
            self.format = stream.codec_context.pix_fmt
            self.chapters = [
                float(c["start"] * (c["time_base"] or 0)) for c in container.chapters()
            ]
            self.subtitles = [s.codec_context.name for s in container.streams.subtitles]
            frames = list(container.decode(stream))
            self.times = [float(frame.time or 0) for frame in frames]
            self.rotation = int(frames[0].rotation)
            self.pixels = [
                np.asarray(frame.to_ndarray(format="rgb24"), np.uint8) for frame in frames
            ]
        with av.open(str(path)) as container:
            self.sounds = [s.codec_context.name for s in container.streams.audio]
            self.packets = [
                bytes(packet)
                for packet in container.demux(*container.streams.audio)
                if packet.size and self.sounds
            ]


def difference(a: npt.NDArray[np.uint8], b: npt.NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(float) - b).mean())

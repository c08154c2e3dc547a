"""Measures video: temporal stability in each mode, and the speed of `photostyle video`."""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from photostyle.allocator import keep_freed_memory
from photostyle.bench.process import run_command
from photostyle.bench.scene import scene
from photostyle.bench.settings import Settings
from photostyle.errors import needs_extra
from photostyle.transfer.options import Match, Temporal
from photostyle.transfer.style import Style
from photostyle.transfer.stylizer import Stylizer, load
from photostyle.video import Clip, Reader, Source, probe
from photostyle.video.ffmpeg import executable, file_url

if TYPE_CHECKING:
    from photostyle.bench.stability import Stability

SIZE = 640
"""Long side, in pixels, of the frames whose stability is measured."""


@dataclass(frozen=True)
class Speed:
    """The speed of `photostyle video` on a clip of ``frames`` frames.

    command_seconds: time of the whole command. codec_seconds: time of ffmpeg to decode and encode
    the clip with the same settings. image_seconds: time of the engine behind `photostyle image`
    for one frame. peak_bytes: peak memory of the command's process.
    """

    command_seconds: float
    codec_seconds: float
    frames: int
    image_seconds: float
    peak_bytes: int | None

    @property
    def codec_ratio(self) -> float:
        """The command's time divided by that of the codec alone."""
        return self.command_seconds / self.codec_seconds

    @property
    def speedup(self) -> float:
        """The command's frame rate divided by that of the image engine."""
        return self.image_seconds * self.frames / self.command_seconds


@dataclass(frozen=True)
class ClipMeasurement:
    """The figures of one clip; size: width and height in pixels."""

    name: str
    size: tuple[int, int]
    stability: dict[Temporal, Stability]
    speed: Speed

    def as_json(self) -> dict[str, Any]:
        ratios = {"codec_ratio": self.speed.codec_ratio, "speedup": self.speed.speedup}
        return asdict(self) | ratios


def measure_clip(path: Path, settings: Settings) -> ClipMeasurement:
    """Measure the stability of a clip's first frames, and the speed of `photostyle video`.

    Raises PhotostyleError as the command does.
    """
    with needs_extra("evaluate"):
        from photostyle.bench.stability import measure_stability

    keep_freed_memory()
    stylizer = load(settings.model, device=settings.device)
    clip = probe(Source(path))
    style_photo = scene(1200, 800, evening=True)
    style = stylizer.learn(style_photo)
    frames = list(islice(Reader(clip, SIZE), settings.frames))
    stability = measure_stability(frames, stylizer, style, settings.match)
    image_seconds = _image_seconds(clip, stylizer, style, settings.match)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(style_photo).save(folder / "style.png")
        speed = _speed(clip, folder, settings, image_seconds)
    return ClipMeasurement(path.name, clip.size, stability, speed)


def _speed(clip: Clip, folder: Path, settings: Settings, image_seconds: float) -> Speed:
    """Run the command, and ffmpeg alone, on a clip and the style in a folder."""
    path, style, result = clip.source.path.resolve(), folder / "style.png", folder / "result.mp4"
    command = [sys.executable, "-m", "photostyle", "video", str(path), str(style)]
    run = run_command([*command, "-o", str(result), *settings.arguments])
    # With the encoder and the settings of `photostyle video`.
    codec = [executable(), "-loglevel", "error", "-i", file_url(path), "-map", "0:V:0"]
    codec += ["-fps_mode", "passthrough", "-c:v", "libx264", "-crf", "18", "-preset", "medium"]
    codec += ["-pix_fmt", "yuv420p", "-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    codec_run = run_command([*codec, str(folder / "codec.mp4")])
    count = probe(Source(result)).frame_count or 1
    return Speed(run.seconds, codec_run.seconds, count, image_seconds, run.peak_bytes)


def _image_seconds(clip: Clip, stylizer: Stylizer, style: Style, match: Match) -> float:
    """Mean seconds of the image engine on one frame, after a warm-up."""
    photos = [frame.pixels for frame in islice(Reader(clip), 6)]
    stylizer.apply(photos[0], style, match=match)
    start = time.perf_counter()
    for photo in photos[1:]:
        stylizer.apply(photo, style, match=match)
    return (time.perf_counter() - start) / max(1, len(photos) - 1)

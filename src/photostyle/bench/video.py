"""Video measured: how steady it is in each temporal mode, and how fast the whole command."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, replace
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage.registration import optical_flow_ilk

from photostyle.bench.process import peak_memory
from photostyle.bench.scene import scene
from photostyle.errors import PhotostyleError
from photostyle.transfer.options import TEMPORALS, Temporal
from photostyle.transfer.style import Style
from photostyle.transfer.stylizer import Stylizer
from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer
from photostyle.video import Clip, Reader, Source, probe
from photostyle.video.process import address, executable

Photos = list[npt.NDArray[np.float64]]
Mask = npt.NDArray[np.bool_]
Flow = npt.NDArray[np.float64]

SIDE, FLOW_SIDE = 640, 256
"""Long side of the frames that are compared, and of those of which the flow is computed."""

STILL = 0.3
"""Pixels of FLOW_SIDE that a region may move from frame to frame and count as static."""

LEAST = 0.02
"""Share of a frame that must be static for the frame to count."""


@dataclass(frozen=True)
class Steadiness:
    """How steady a result is, over the source's own; 1 is as steady as the source.

    warping: RMS difference between each frame and the one before, warped along the flow of the
    source where that is not occluded (Lai et al., Learning Blind Video Temporal Consistency, 2018),
    divided by how much stronger the contrast of the result is. flicker: mean change from frame to
    frame of the mean colour of what is static; None where nothing is.
    """

    warping: float
    flicker: float | None


@dataclass(frozen=True)
class Speed:
    """Seconds: of the whole command, and of ffmpeg decoding and encoding alike without any look.

    image: of the engine behind `photostyle image` on a frame. peak_bytes: of the command's process.
    """

    command: float
    codec: float
    frames: int
    image: float
    peak_bytes: int | None

    @property
    def ratio(self) -> float:
        return self.command / self.codec

    @property
    def gain(self) -> float:
        """How many times as many frames per second as frame by frame through the engine."""
        return self.image * self.frames / self.command


@dataclass(frozen=True)
class ClipMeasurement:
    name: str
    size: tuple[int, int]
    steadiness: dict[Temporal, Steadiness]
    speed: Speed

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"ratio": self.speed.ratio, "gain": self.speed.gain}


def measure_clip(
    path: Path, stylizer: Stylizer, frames: int, options: list[str]
) -> ClipMeasurement:
    """Measure a clip: the steadiness of its first ``frames``, and the speed of the command.

    options: further arguments of `photostyle video`. Raises PhotostyleError as the command does.
    """
    clip = probe(Source(path))
    evening = scene(1200, 800, evening=True)
    style = stylizer.learn(evening)
    steadiness = _steadiness(clip, stylizer, style, frames)
    return ClipMeasurement(
        path.name, clip.size, steadiness, _speed(clip, stylizer, style, evening, options)
    )


def _steadiness(
    clip: Clip, stylizer: Stylizer, style: Style, count: int
) -> dict[Temporal, Steadiness]:
    source = list(islice(Reader(clip, SIDE), count))
    if len(source) < 2:
        raise PhotostyleError("At least two frames are needed to see whether they are steady.")
    before = [frame.pixels / 255 for frame in source]
    motions = [_motion(a, b) for a, b in pairwise(before)]
    own = _measured(before, motions)
    found: dict[Temporal, Steadiness] = {}
    for temporal in TEMPORALS:
        restyling = VideoStylizer(stylizer, StyleTimeline([StyleCue(0, style)]), temporal=temporal)
        if temporal == "shot":
            for _ in restyling.analyze_shots(source):
                pass
        copies = (replace(frame, pixels=frame.pixels.copy()) for frame in source)
        after = [frame.pixels / 255 for frame in restyling.run(copies)]
        gain = np.std(after) / np.std(before)
        warping, flicker = _measured(after, motions)
        found[temporal] = Steadiness(
            float(warping / own[0] / gain),
            None if flicker is None or not own[1] else float(flicker / own[1]),
        )
    return found


def _measured(photos: Photos, motions: list[_Motion]) -> tuple[float, float | None]:
    """Warping error and flicker, not yet relative."""
    errors, changes = [], []
    for before, after, motion in zip(photos, photos[1:], motions, strict=False):
        warped = np.stack(
            [
                ndimage.map_coordinates(channel, motion.places, order=1, mode="nearest")
                for channel in np.moveaxis(before, 2, 0)
            ],
            axis=2,
        )
        errors.append(float(((after - warped)[motion.visible] ** 2).mean()))
        if motion.static.mean() >= LEAST:
            change = after[motion.static].mean(0) - before[motion.static].mean(0)
            changes.append(float(np.abs(change).mean()))
    return float(np.sqrt(np.mean(errors))), float(np.mean(changes)) if changes else None


@dataclass(frozen=True)
class _Motion:
    """From one frame to the next: where each pixel was, and which were visible, which static."""

    places: Flow
    visible: Mask
    static: Mask


def _motion(before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]) -> _Motion:
    height, width, _ = after.shape
    small = [_grey(photo) for photo in (before, after)]
    scale = width / small[0].shape[1]
    back = optical_flow_ilk(small[1], small[0], radius=5)
    forth = optical_flow_ilk(small[0], small[1], radius=5)
    grid = np.mgrid[0 : small[0].shape[0], 0 : small[0].shape[1]].astype(float)
    # Where the way back and forth does not lead home, one of the frames does not show the thing.
    there = grid + back
    home = np.stack(
        [ndimage.map_coordinates(part, there, order=1, mode="nearest") for part in forth]
    )
    error = np.hypot(*(back + home))
    visible = error < 0.5 + 0.1 * np.hypot(*back)
    visible &= (there >= 0).all(0) & (there[0] <= grid[0].max()) & (there[1] <= grid[1].max())
    static = visible & (np.hypot(*back) < STILL)
    flow = np.stack([_enlarged(part, height, width) for part in back]) * scale
    places = np.mgrid[0:height, 0:width] + flow
    full = [_enlarged(mask.astype(float), height, width) > 0.99 for mask in (visible, static)]
    return _Motion(places, full[0], full[1])


def _grey(photo: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    height, width, _ = photo.shape
    scale = min(1.0, FLOW_SIDE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    image = Image.fromarray((photo.mean(2) * 255).astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BOX), float) / 255


def _enlarged(part: npt.NDArray[np.float64], height: int, width: int) -> npt.NDArray[np.float64]:
    image = Image.fromarray(part.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), float)


def _speed(
    clip: Clip, stylizer: Stylizer, style: Style, evening: npt.NDArray[np.uint8], options: list[str]
) -> Speed:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        Image.fromarray(evening).save(folder / "style.png")
        source, look = str(clip.source.path.resolve()), str(folder / "style.png")
        words = [sys.executable, "-m", "photostyle", "video", source, look, *options]
        seconds, peak = _timed([*words, "-o", str(folder / "look.mp4")])
        plain = [executable(), "-loglevel", "error", "-i", address(clip.source.path.resolve())]
        plain += ["-map", "0:V:0", "-fps_mode", "passthrough", "-c:v", "libx264", "-crf", "18"]
        plain += [
            "-preset",
            "medium",
            "-pix_fmt",
            "yuv420p",
            "-vf",
            "pad=ceil(iw/2)*2:ceil(ih/2)*2",
        ]
        codec, _ = _timed([*plain, str(folder / "plain.mp4")])
        made = probe(Source(folder / "look.mp4"))
    count = made.frames or 1
    photos = [frame.pixels for frame in islice(Reader(clip), 6)]
    stylizer.apply(photos[0], style)
    start = time.perf_counter()
    for photo in photos[1:]:
        stylizer.apply(photo, style)
    image = (time.perf_counter() - start) / max(1, len(photos) - 1)
    return Speed(seconds, codec, count, image, peak)


def _timed(words: list[str]) -> tuple[float, int | None]:
    """Seconds and peak memory of a process; raises PhotostyleError with its words if it fails."""
    start, peak = time.perf_counter(), None
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=errors)
        while True:
            peak = peak_memory(process.pid) or peak
            try:
                code = process.wait(timeout=0.1)
                break
            except subprocess.TimeoutExpired:
                continue
        seconds = time.perf_counter() - start
        errors.seek(0)
        said = errors.read().decode(errors="replace").strip()
    if code:
        raise PhotostyleError(said.splitlines()[-1] if said else f"{words[0]} failed.")
    return seconds, peak

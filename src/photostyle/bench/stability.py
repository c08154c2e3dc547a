"""Temporal stability of a stylized clip, compared with that of its source.

Needs scipy and scikit-image, from the extra "evaluate".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from scipy import ndimage
from skimage.registration import optical_flow_ilk

from photostyle.errors import PhotostyleError
from photostyle.transfer.options import TEMPORALS, Match, Temporal
from photostyle.transfer.style import Style
from photostyle.transfer.stylizer import Stylizer
from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer
from photostyle.video import VideoFrame

Floats = npt.NDArray[np.floating[Any]]
Mask = npt.NDArray[np.bool_]

FLOW_SIZE = 256
"""Long side, in pixels, of the frames from which the optical flow is estimated."""

STATIC_MOTION = 0.3
"""Motion from frame to frame below which a pixel counts as static, in pixels at FLOW_SIZE."""

MIN_STATIC = 0.02
"""Fraction of a frame that must be static for the frame to count."""


@dataclass(frozen=True)
class Stability:
    """Temporal stability relative to the source: at 1 the result is as stable as the source.

    warping_error: RMS difference between each frame and the one before, warped along the source's
    optical flow, except at occluded pixels (Lai et al., Learning Blind Video Temporal Consistency,
    2018), divided by the gain in contrast. flicker: mean change from frame to frame of the mean
    colour of static regions; None if there are none. Both are divided by the source's value.
    """

    warping_error: float
    flicker: float | None


def measure_stability(
    frames: Sequence[VideoFrame], stylizer: Stylizer, style: Style, match: Match
) -> dict[Temporal, Stability]:
    """The stability of the stylized frames in each temporal mode; ``frames`` do not change.

    Raises PhotostyleError for fewer than two frames.
    """
    if len(frames) < 2:
        raise PhotostyleError("The clip has a single frame; temporal stability needs at least two.")
    source = [frame.pixels / 255 for frame in frames]
    motions = [estimate_motion(before, after) for before, after in pairwise(source)]
    source_error, source_flicker = temporal_errors(source, motions)
    stability: dict[Temporal, Stability] = {}
    for temporal in TEMPORALS:
        result = _stylized(frames, stylizer, style, match, temporal)
        error, flicker = temporal_errors(result, motions)
        contrast = np.std(result) / np.std(source)
        stability[temporal] = Stability(
            float(error / source_error / contrast),
            flicker / source_flicker if flicker is not None and source_flicker else None,
        )
    return stability


def _stylized(
    frames: Sequence[VideoFrame],
    stylizer: Stylizer,
    style: Style,
    match: Match,
    temporal: Temporal,
) -> list[Floats]:
    timeline = StyleTimeline([StyleCue(0, style)])
    video = VideoStylizer(stylizer, timeline, temporal=temporal, match=match)
    if temporal == "shot":
        for _ in video.analyze_shots(frames):
            pass
    copies = (replace(frame, pixels=frame.pixels.copy()) for frame in frames)
    return [frame.pixels / 255 for frame in video.run(copies)]


def temporal_errors(
    photos: Sequence[Floats], motions: Sequence[Motion]
) -> tuple[float, float | None]:
    """Warping error and flicker of frames (H, W, 3), 0..1, not yet divided by the source's.

    motions: the source's, one fewer than the frames. Flicker is None without static regions.
    """
    errors, changes = [], []
    for (before, after), motion in zip(pairwise(photos), motions, strict=True):
        difference = after - _sample(before, motion.positions)
        errors.append(float((difference[motion.visible] ** 2).mean()))
        if motion.static.mean() >= MIN_STATIC:
            change = after[motion.static].mean(0) - before[motion.static].mean(0)
            changes.append(float(np.abs(change).mean()))
    return float(np.sqrt(np.mean(errors))), float(np.mean(changes)) if changes else None


@dataclass(frozen=True)
class Motion:
    """Motion between two frames, for each pixel of the later one.

    positions: (2, H, W), row and column of the pixel in the frame before. visible: (H, W), whether
    it was visible there. static: (H, W), whether it did not move.
    """

    positions: Floats
    visible: Mask
    static: Mask


def estimate_motion(before: Floats, after: Floats) -> Motion:
    """Motion between frames (H, W, 3), 0..1, by iterative Lucas-Kanade optical flow.

    The flow is computed in both directions, to find occluded pixels.
    """
    height, width, _ = after.shape
    small_before, small_after = _small_gray(before), _small_gray(after)
    backward = optical_flow_ilk(small_after, small_before, radius=5)
    forward = optical_flow_ilk(small_before, small_after, radius=5)
    visible = _unoccluded(backward, forward)
    static = visible & (np.hypot(*backward) < STATIC_MOTION)
    flow = np.stack([_resized(part, height, width) for part in backward])
    return Motion(
        np.mgrid[0:height, 0:width] + flow * (width / small_before.shape[1]),
        *(_resized(mask.astype(float), height, width) > 0.99 for mask in (visible, static)),
    )


def _unoccluded(backward: Floats, forward: Floats) -> Mask:
    """Pixels for which the flow backward and then forward returns to its start, in the frame."""
    _, height, width = backward.shape
    positions = np.mgrid[0:height, 0:width] + backward
    returning = np.moveaxis(_sample(np.moveaxis(forward, 0, 2), positions), 2, 0)
    consistent: Mask = np.hypot(*(backward + returning)) < 0.5 + 0.1 * np.hypot(*backward)
    y, x = positions
    return consistent & (y >= 0) & (x >= 0) & (y <= height - 1) & (x <= width - 1)


def _sample(image: Floats, positions: Floats) -> Floats:
    """Channels of an image (H, W, C) at positions (2, ...), interpolated bilinearly."""
    channels = [
        ndimage.map_coordinates(channel, positions, order=1, mode="nearest")
        for channel in np.moveaxis(image, 2, 0)
    ]
    return np.stack(channels, axis=-1)


def _small_gray(photo: Floats) -> Floats:
    height, width, _ = photo.shape
    scale = min(1.0, FLOW_SIZE / max(height, width))
    size = (max(16, round(width * scale)), max(16, round(height * scale)))
    image = Image.fromarray((photo.mean(2) * 255).astype(np.float32))
    return np.asarray(image.resize(size, Image.Resampling.BOX), float) / 255


def _resized(plane: Floats, height: int, width: int) -> Floats:
    image = Image.fromarray(plane.astype(np.float32))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR), float)

"""Synthetic clips in which something happens that must not make a result pump or bleed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import numpy.typing as npt

from photostyle.bench.scene import scene
from photostyle.video import VideoFrame

Floats = npt.NDArray[np.floating[Any]]

WIDTH, HEIGHT, COUNT, RATE = 320, 180, 60, 24
"""Size of the clips in pixels, number of frames, and frames per second."""

HALF = COUNT // 2


@dataclass(frozen=True)
class SyntheticClip:
    """frames: (H, W, 3), uint8. still: (N, H, W), which pixels show what they show throughout; None
    if none do. cut: number of the frame that starts another shot."""

    frames: list[npt.NDArray[np.uint8]]
    still: npt.NDArray[np.bool_] | None = None
    cut: int | None = None

    def video_frames(self) -> list[VideoFrame]:
        """Fresh copies of the frames, with times."""
        return [
            VideoFrame(number, pixels.copy(), number, 1, Fraction(1, RATE))
            for number, pixels in enumerate(self.frames)
        ]


def lamp() -> SyntheticClip:
    """A lamp in a corner that flickers; the rest of the room stands still."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    distance = np.hypot(x - 60, y - 40)
    glow = 0.8 * np.exp(-((distance / 22) ** 2))[..., None] * np.array([1.0, 0.85, 0.5])
    room = 0.7 * _day()
    rng = np.random.default_rng(0)
    light = rng.integers(0, 2, COUNT) * rng.uniform(0.6, 1, COUNT)
    frames = [_noisy(room + level * glow, number) for number, level in enumerate(light)]
    return SyntheticClip(frames, np.stack([distance > 60] * COUNT))


def whip_pan() -> SyntheticClip:
    """The camera rests, is torn to another view within eight frames, and rests again."""
    view = _panorama()
    progress = np.clip((np.arange(COUNT + 1) - HALF + 4) / 8, 0, 1)
    positions = (progress**2 * (3 - 2 * progress)) * (view.shape[1] - WIDTH)
    return SyntheticClip([_seen(view, *positions[n : n + 2]) for n in range(COUNT)])


def long_pan() -> SyntheticClip:
    """The camera pans steadily from a dark to a bright view."""
    view = _panorama()
    positions = np.linspace(0, view.shape[1] - WIDTH, COUNT + 1)
    return SyntheticClip([_seen(view, *positions[n : n + 2]) for n in range(COUNT)])


def dissolve() -> SyntheticClip:
    """One view dissolves into another within a second."""
    one, other = _day(), _night()
    fraction = np.clip((np.arange(COUNT) - HALF + RATE / 2) / RATE, 0, 1)
    frames = [_noisy(one + f * (other - one), number) for number, f in enumerate(fraction)]
    return SyntheticClip(frames)


def like_colored_cut() -> SyntheticClip:
    """A cut to another view of the same colours."""
    one = _day()
    cut = HALF + 2  # between two frames that the network sees
    tiles = one.reshape(3, HEIGHT // 3, 4, WIDTH // 4, 3)
    other = tiles[[2, 0, 1]][:, :, [2, 3, 1, 0]].reshape(one.shape)
    return SyntheticClip(
        [_noisy(one if number < cut else other, number) for number in range(COUNT)], cut=cut
    )


def passing_object() -> SyntheticClip:
    """A large bright object crosses a scene that stands still."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    day = _day()
    frames, still = [], []
    for number in range(COUNT):
        center = -60 + (WIDTH + 120) * number / (COUNT - 1)
        inside = (abs(x - center) < 32) & (y > 45) & (y < 160)
        frames.append(_noisy(np.where(inside[..., None], [0.9, 0.25, 0.1], day), number))
        still.append(~((abs(x - center) < 36) & (y > 41) & (y < 164)))
    return SyntheticClip(frames, np.stack(still))


def fade() -> SyntheticClip:
    """A picture that comes from black and goes to it."""
    day, level = _day(), np.clip(np.sin(np.pi * np.arange(COUNT) / (COUNT - 1)) * 1.5, 0, 1)
    return SyntheticClip([_noisy(one * day, number) for number, one in enumerate(level)])


CLIPS: dict[str, Callable[[], SyntheticClip]] = {
    "lamp": lamp,
    "whip-pan": whip_pan,
    "long-pan": long_pan,
    "dissolve": dissolve,
    "like-colored-cut": like_colored_cut,
    "passing-object": passing_object,
    "fade": fade,
}


def _day() -> Floats:
    return scene(WIDTH, HEIGHT) / 255


def _night() -> Floats:
    return 0.5 * scene(WIDTH, HEIGHT, evening=True)[::-1, ::-1] / 255


def _panorama() -> Floats:
    """A view three times as wide as a frame, dark at the left and bright at the right."""
    view = scene(3 * WIDTH, HEIGHT) / 255
    wall = np.clip((np.linspace(0, 3, 3 * WIDTH) - 1.2) * 2, 0, 1)[:, None]
    return view * (0.35 + 0.65 * wall)


def _seen(view: Floats, start: float, end: float) -> npt.NDArray[np.uint8]:
    """What a camera sees of a view while it moves from one column to another."""
    columns = np.linspace(start, end, max(1, round(abs(end - start))) + 1)[:-1].round().astype(int)
    frame = np.mean([view[:, column : column + WIDTH] for column in columns], axis=0)
    return _noisy(frame, round(start))


def _noisy(frame: Floats, seed: int) -> npt.NDArray[np.uint8]:
    """A frame (H, W, 3), 0..1, with the noise of a camera, in 8 bits."""
    noise = np.random.default_rng(seed).normal(0, 0.004, frame.shape)
    return (255 * (frame + noise).clip(0, 1)).round().astype(np.uint8)

"""A photo in memory, and what is done to it besides giving it another look."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from photostyle.photo import color
from photostyle.photo.color import Pixels
from photostyle.photo.metadata import Metadata
from photostyle.version import __version__

Mask = npt.NDArray[np.uint8]

_STRIP = 1 << 21  # values that are worked on at once


@dataclass(frozen=True)
class AnimationFrame:
    """One frame of an animation: pixels and alpha as in `Photo`, duration in milliseconds."""

    pixels: Pixels
    alpha: Pixels | None
    duration: float


@dataclass(frozen=True)
class Animation:
    """The frames after the first; the duration of the first; how often all are shown, 0: forever.

    loop is None where the file says nothing of it: the frames are shown once.
    """

    frames: tuple[AnimationFrame, ...]
    duration: float
    loop: int | None


@dataclass(frozen=True)
class Photo:
    """A photo in memory, the right way up.

    pixels     H x W x 3, uint8 or uint16, RGB in the profile
    alpha      H x W, of the same type, 0 is transparent; None where there is no transparency
    profile    the RGB profile (ICC) that the pixels are in; None is sRGB
    original   the RGB profile in which the photo is written; None is sRGB without a profile
    metadata   what the camera and the photographer noted
    format     the name that Pillow has for the file's format, "JPEG" for instance
    animation  the further frames, if it moves
    notes      sentences on what of the file could not be kept
    """

    pixels: Pixels
    alpha: Pixels | None = None
    profile: bytes | None = None
    original: bytes | None = None
    metadata: Metadata = field(default_factory=Metadata)
    format: str = "PNG"
    animation: Animation | None = None
    notes: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width, _ = self.pixels.shape
        return width, height

    @property
    def depth(self) -> int:
        """Bits per channel, 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    def mapped(
        self, change: Callable[[Pixels, Pixels | None], tuple[Pixels, Pixels | None]]
    ) -> Photo:
        """The photo with pixels and alpha of every frame changed by a function."""
        pixels, alpha = change(self.pixels, self.alpha)
        animation = self.animation
        if animation:
            frames = [
                AnimationFrame(*change(frame.pixels, frame.alpha), frame.duration)
                for frame in animation.frames
            ]
            animation = replace(animation, frames=tuple(frames))
        return replace(self, pixels=pixels, alpha=alpha, animation=animation)

    def restyled(self, change: Callable[[Pixels, Mask | None], Pixels]) -> Photo:
        """The photo with the visible pixels of every frame changed by a function.

        The function is given pixels and mask of `visible` and returns pixels of that shape. What
        is fully transparent keeps its colour, and the alpha stays as it is.
        """

        def all_but_hidden(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, Pixels | None]:
            changed = change(*_visible(pixels, alpha))
            if alpha is not None:
                changed[alpha == 0] = pixels[alpha == 0]
            return changed, alpha

        return self.mapped(all_but_hidden)

    def visible(self) -> tuple[Pixels, Mask | None]:
        """The pixels as far as they can be seen, and a mask of how much (H x W, 255 is fully).

        Fully transparent pixels have the mean colour of the others, so that they count nowhere.
        The mask is None if all pixels count alike.
        """
        return _visible(self.pixels, self.alpha)

    def still(self) -> Photo:
        """The first frame alone."""
        return replace(self, animation=None)

    def stripped(self) -> Photo:
        """Without metadata, except for the resolution."""
        return replace(self, metadata=Metadata(dpi=self.metadata.dpi))

    def stamped(self, settings: str) -> Photo:
        """With the program, its version and its settings in the metadata."""
        return replace(
            self, metadata=self.metadata.stamped(f"photostyle {__version__} ({settings})")
        )

    def written_in_srgb(self) -> Photo:
        """The photo as it is, but to be written in sRGB and to say so."""
        return replace(self, original=color.SRGB)

    def in_profile(self, profile: bytes | None) -> Photo:
        """With the colours converted to an RGB profile; None is sRGB. The photo itself is kept."""
        if color.is_same(self.profile, profile):
            return replace(self, profile=profile)

        def change(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, Pixels | None]:
            pixels = pixels.copy()
            color.convert(pixels, self.profile, profile)
            return pixels, alpha

        return replace(self.mapped(change), profile=profile)

    def in_srgb(self) -> npt.NDArray[np.uint8]:
        """The visible pixels, H x W x 3, in sRGB and 8 bits."""
        seen = replace(self.still(), pixels=self.visible()[0])
        pixels: npt.NDArray[np.uint8] = seen.in_profile(None).with_depth(8).pixels
        return pixels

    def with_depth(self, depth: int) -> Photo:
        """With 8 or 16 bits per channel, rounded to the nearest value."""
        if depth == self.depth:
            return self
        return self.mapped(
            lambda pixels, alpha: (
                _in_depth(pixels, depth),
                None if alpha is None else _in_depth(alpha, depth),
            )
        )

    def on_white(self) -> Photo:
        """Without transparency: laid on white."""

        def change(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, None]:
            return pixels if alpha is None else _on_white(pixels, alpha), None

        return self.mapped(change)


def side_by_side(*photos: Photo) -> Photo:
    """Photos in a row on white, 8 bits, each as large as fits into the size of the first."""
    first = photos[0]
    box = first.size
    shown = [photo.still().on_white().in_profile(first.profile).with_depth(8) for photo in photos]
    images = [ImageOps.contain(Image.fromarray(photo.pixels), box) for photo in shown]
    row = Image.new("RGB", (sum(image.width for image in images), box[1]), "white")
    left = 0
    for image in images:
        row.paste(image, (left, (box[1] - image.height) // 2))
        left += image.width
    return Photo(np.array(row), profile=first.profile, original=first.original, format=first.format)


def strips(array: npt.NDArray[np.generic]) -> list[slice]:
    """The rows of an array in strips small enough to work on beside it."""
    rows = max(1, _STRIP // max(1, array[:1].size))
    return [slice(top, top + rows) for top in range(0, len(array), rows)]


def _visible(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, Mask | None]:
    if alpha is None or not alpha.any() or alpha.min() == np.iinfo(alpha.dtype).max:
        return pixels, None
    hidden = alpha == 0
    if hidden.any():
        pixels = pixels.copy()
        pixels[hidden] = pixels[~hidden].mean(axis=0).round()
    return pixels, _in_depth(alpha, 8) if alpha.dtype == np.uint16 else np.asarray(alpha, np.uint8)


def _in_depth(values: Pixels, depth: int) -> Pixels:
    result: Pixels = np.empty(values.shape, np.uint8 if depth == 8 else np.uint16)
    for rows in strips(values):
        strip = values[rows].astype(np.uint32)
        # 65535 is 257 x 255, so that white stays white.
        result[rows] = (strip + 128) // 257 if depth == 8 else strip * 257
    return result


def _on_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    result, white = np.empty_like(pixels), np.iinfo(pixels.dtype).max
    for rows in strips(pixels):
        opacity = alpha[rows, :, None] / np.float32(white)
        result[rows] = (pixels[rows] * opacity + white * (1 - opacity)).round()
    return result

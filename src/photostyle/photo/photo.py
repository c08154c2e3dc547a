"""A photo in memory, and the operations on it that need no network."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from photostyle.photo import color
from photostyle.photo.color import Pixels
from photostyle.photo.metadata import Metadata

Mask = npt.NDArray[np.uint8]

_STRIP_VALUES = 1 << 21  # processed at once


@dataclass(frozen=True)
class AnimationFrame:
    """One frame of an animation: pixels and alpha as in `Photo`, duration in milliseconds."""

    pixels: Pixels
    alpha: Pixels | None
    duration: float


@dataclass(frozen=True)
class Animation:
    """The frames of an animation after the first, and its timing.

    frames    all frames but the first, which is the photo itself
    duration  duration of the first frame, in milliseconds
    loop      number of times to play, 0 is forever; None if the file does not say (play once)
    """

    frames: tuple[AnimationFrame, ...]
    duration: float
    loop: int | None


@dataclass(frozen=True)
class Photo:
    """A photo in memory, upright.

    pixels     (H, W, 3), uint8 or uint16, RGB in ``profile``
    alpha      (H, W), same dtype, 0 is transparent; None for opaque photos
    profile    RGB profile (ICC) of the pixels; None is sRGB
    original   RGB profile in which the photo is written; None is sRGB without an embedded profile
    metadata   EXIF, XMP and resolution
    format     Pillow's name of the file format, for instance "JPEG"
    animation  the other frames of an animation
    notes      sentences on parts of the file that were not read or kept
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
        """Width and height in pixels."""
        height, width, _ = self.pixels.shape
        return width, height

    @property
    def depth(self) -> int:
        """Bits per channel, 8 or 16."""
        return self.pixels.dtype.itemsize * 8

    def map_frames(
        self, function: Callable[[Pixels, Pixels | None], tuple[Pixels, Pixels | None]]
    ) -> Photo:
        """A copy with a function applied to the pixels and alpha of every frame."""
        pixels, alpha = function(self.pixels, self.alpha)
        animation = self.animation
        if animation:
            frames = [
                AnimationFrame(*function(frame.pixels, frame.alpha), frame.duration)
                for frame in animation.frames
            ]
            animation = replace(animation, frames=tuple(frames))
        return replace(self, pixels=pixels, alpha=alpha, animation=animation)

    def map_visible(self, function: Callable[[Pixels, Mask | None], Pixels]) -> Photo:
        """A copy with a function applied to the visible pixels of every frame.

        The function takes the two values that `visible` returns, and returns pixels of the same
        shape. Fully transparent pixels keep their colour, and alpha does not change.
        """

        def visible_only(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, Pixels | None]:
            mapped = function(*_visible(pixels, alpha))
            if alpha is not None:
                mapped[alpha == 0] = pixels[alpha == 0]
            return mapped, alpha

        return self.map_frames(visible_only)

    def visible(self) -> tuple[Pixels, Mask | None]:
        """The pixels, and their opacity as a mask (H, W), uint8, where 255 is opaque.

        Fully transparent pixels get the mean colour of the others, so that they do not affect
        statistics. The mask is None if all pixels are equally visible.
        """
        return _visible(self.pixels, self.alpha)

    def with_alpha(self) -> Photo:
        """A copy of a still that has an alpha channel."""
        if self.alpha is not None:
            return self
        return replace(
            self, alpha=np.full_like(self.pixels[..., 0], np.iinfo(self.pixels.dtype).max)
        )

    def stills(self) -> list[Photo]:
        """The frames, each as a photo of its own."""
        frames = self.animation.frames if self.animation else ()
        others = (replace(self, pixels=f.pixels, alpha=f.alpha) for f in frames)
        return [frame.still() for frame in (self, *others)]

    def still(self) -> Photo:
        """A copy with only the first frame."""
        return replace(self, animation=None)

    def stripped(self) -> Photo:
        """A copy without metadata except the resolution."""
        return replace(self, metadata=Metadata(dpi=self.metadata.dpi))

    def stamped(self, software: str) -> Photo:
        """A copy with ``software``, a program and its settings, in EXIF's Software tag."""
        return replace(self, metadata=self.metadata.stamped(software))

    def with_metadata_for(self, format: str) -> Photo:
        """A copy with the metadata as a file of a format holds them."""
        srgb = False
        with suppress(RuntimeError):  # a profile that LittleCMS cannot use
            srgb = color.are_equivalent(self.profile, None)
        metadata = self.metadata.for_file(format, self.size, srgb)
        return replace(self, metadata=metadata.for_jpeg()[0] if format == "JPEG" else metadata)

    def written_in_srgb(self) -> Photo:
        """The same photo, to be written in sRGB with the profile embedded."""
        return replace(self, original=color.SRGB)

    def in_profile(self, profile: bytes | None) -> Photo:
        """A copy with colours converted to an RGB profile; None is sRGB."""
        if color.are_equivalent(self.profile, profile):
            return replace(self, profile=profile)

        def convert(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, Pixels | None]:
            pixels = pixels.copy()
            color.convert(pixels, self.profile, profile)
            return pixels, alpha

        return replace(self.map_frames(convert), profile=profile)

    def in_srgb(self) -> npt.NDArray[np.uint8]:
        """The visible pixels of the first frame as 8-bit sRGB (H, W, 3)."""
        visible = replace(self.still(), pixels=self.visible()[0])
        pixels: npt.NDArray[np.uint8] = visible.in_profile(None).with_depth(8).pixels
        return pixels

    def with_depth(self, depth: int, *, dithered: bool = False) -> Photo:
        """A copy with 8 or 16 bits per channel, rounded to the nearest value.

        dithered: round colours to 8 bits up or down in a fixed pattern, so that smooth gradients
        show no bands. Colours that 8 bits hold exactly stay as they are.
        """
        if depth == self.depth:
            return self
        return self.map_frames(
            lambda pixels, alpha: (
                _dithered(pixels) if dithered and depth == 8 else _to_depth(pixels, depth),
                None if alpha is None else _to_depth(alpha, depth),
            )
        )

    def on_white(self) -> Photo:
        """A copy without transparency, composited over white."""

        def composite(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, None]:
            return pixels if alpha is None else _over_white(pixels, alpha), None

        return self.map_frames(composite)


def strips(array: npt.NDArray[np.generic]) -> list[slice]:
    """Slices of rows that are small enough for temporary copies to take little memory."""
    rows = max(1, _STRIP_VALUES // max(1, array[:1].size))
    return [slice(top, top + rows) for top in range(0, len(array), rows)]


def _visible(pixels: Pixels, alpha: Pixels | None) -> tuple[Pixels, Mask | None]:
    if alpha is None or not alpha.any() or alpha.min() == np.iinfo(alpha.dtype).max:
        return pixels, None
    hidden = alpha == 0
    if hidden.any():
        pixels = pixels.copy()
        pixels[hidden] = pixels[~hidden].mean(axis=0).round()
    return pixels, _to_depth(alpha, 8) if alpha.dtype == np.uint16 else np.asarray(alpha, np.uint8)


def _to_depth(values: Pixels, depth: int) -> Pixels:
    result: Pixels = np.empty(values.shape, np.uint8 if depth == 8 else np.uint16)
    for rows in strips(values):
        strip = values[rows].astype(np.uint32)
        # 65535 is 257 x 255, so white stays white.
        result[rows] = (strip + 128) // 257 if depth == 8 else strip * 257
    return result


def _dithered(values: Pixels) -> Pixels:
    """uint16 (H, W, 3) as uint8, rounded by interleaved gradient noise (Jimenez, 2014)."""
    result: Pixels = np.empty(values.shape, np.uint8)
    height, width, channels = values.shape
    y = np.arange(height, dtype=np.float32)[:, None, None]
    x = np.arange(width, dtype=np.float32)[:, None]
    # An offset for each channel, so that the noise is not grey.
    offset = np.arange(channels, dtype=np.float32) / channels
    for rows in strips(values):
        noise = np.modf(np.float32(0.06711056) * x + np.float32(0.00583715) * y[rows])[0]
        threshold = np.modf(np.float32(52.9829189) * noise + offset)[0]
        # From 1 to 255 of 257, so that what is off by 1 in 16 bits is still rounded back.
        result[rows] = (values[rows] + (1 + 254 * threshold)).astype(np.uint32) // 257
    return result


def _over_white(pixels: Pixels, alpha: Pixels) -> Pixels:
    result, white = np.empty_like(pixels), np.iinfo(pixels.dtype).max
    for rows in strips(pixels):
        opacity = alpha[rows, :, None] / np.float32(white)
        result[rows] = (pixels[rows] * opacity + white * (1 - opacity)).round()
    return result

"""The pixels of photos of any type, strip by strip."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from photostyle.errors import PhotostyleError

ImageLike = TypeVar("ImageLike", Image.Image, np.ndarray, Tensor)
"""A PIL image, an (H, W, 3) array (uint8, uint16, or float 0..1), or a (3, H, W) tensor 0..1."""

CPU = torch.device("cpu")

STRIP = {"cpu": 1 << 18, "cuda": 1 << 21}
"""Pixels in a strip, by type of device: few enough for the cache of a CPU or the memory of a small
GPU, enough for all its threads."""

BLOCK = {"cpu": 1 << 15, "cuda": STRIP["cuda"]}
"""Pixels in a part of a strip, by type of device, that each thread takes through many steps: few
enough for the cache of a core."""


def strip_rows(width: int, device: torch.device) -> int:
    """Rows of a strip of a photo."""
    return max(1, STRIP[device.type] // width)


def map_strips(function: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
    """``function``, which works pixel by pixel, of pixels (B, 3, H, W).

    It is written over ``pixels``, in the memory of a strip, unless these have a gradient.
    """
    if pixels.requires_grad:
        return function(pixels)
    for strip in pixels.split(strip_rows(pixels.shape[3], pixels.device), 2):
        strip.copy_(function(strip))
    return pixels


def resized(pixels: Tensor, side: int, multiple: int = 1) -> Tensor:
    """Pixels (B, C, H, W), reduced to a long side of at most ``side`` pixels.

    multiple: both sides become multiples of it, at least two.
    """
    height, width = pixels.shape[-2:]
    scale = min(1, side / max(height, width)) / multiple
    least = 1 if multiple == 1 else 2
    size = [multiple * max(least, round(length * scale)) for length in (height, width)]
    if size == [height, width]:
        return pixels
    return F.interpolate(pixels, size, mode="bilinear", antialias=True)


class Canvas:
    """Reads a photo of any type and writes its result, in strips of float32, 0..1.

    The result has the type of the photo, but a PIL image comes back in RGB, or RGBA with its alpha,
    and a tensor as float32 on its device. in_place: let the result overwrite the photo if that is a
    writable array. device: the device of the strips. Raises PhotostyleError if it is not a
    photo: another type, shape or depth, empty, or with NaN or infinite values.
    """

    def __init__(
        self,
        photo: Image.Image | npt.NDArray[Any] | Tensor,
        in_place: bool = False,
        device: torch.device = CPU,
    ):
        self.photo, self.device = photo, device
        self._tensor: Tensor | None = None
        self._array: npt.NDArray[Any] | None = None
        if isinstance(photo, Tensor):
            self._tensor = _checked_tensor(photo)
            self.height, self.width = photo.shape[1:]
        elif isinstance(photo, np.ndarray):
            self._array = _checked_array(photo)
        elif isinstance(photo, Image.Image):
            if photo.mode.startswith(("I", "F")):  # which Pillow clips to 8 bits
                raise PhotostyleError(
                    f"A PIL image of mode {photo.mode} is not supported; use an array of 16 bits."
                )
            self._array = _checked_array(np.asarray(photo.convert("RGB")))
        else:
            raise PhotostyleError(
                f"A photo is a PIL image, an array or a tensor, not {type(photo).__name__}."
            )
        if self._array is not None:
            self.height, self.width, _ = self._array.shape
            kind = self._array.dtype
            self._scale = float(np.iinfo(kind).max) if kind in (np.uint8, np.uint16) else 1.0
        self._in_place = in_place and isinstance(photo, np.ndarray) and photo.flags.writeable
        self._result: Tensor | npt.NDArray[Any] | None = None
        if not self._finite():
            raise PhotostyleError("The photo contains NaN or infinite values.")

    def ratio(self, side: int) -> int:
        """How many times smaller a copy must be to have a long side of at most ``side`` pixels."""
        return math.ceil(max(self.height, self.width) / side)

    def reduced(self, side: int) -> tuple[Tensor, int]:
        """A copy (1, 3, h, w) with a long side of at most ``side`` pixels, and its `ratio`.

        Each pixel is the mean over a block of whole pixels of the photo.
        """
        block = self.ratio(side)
        rows = block * self._block_rows(block * self.width)
        parts = []
        for top in range(0, self.height, rows):
            strip = self.rows(top, min(self.height, top + rows))
            parts.append(F.avg_pool2d(strip, block, ceil_mode=True))
        return torch.cat(parts, 1)[None], block

    def strips(self) -> Iterator[tuple[int, int]]:
        """The first row of each strip, and the first row after it."""
        rows = strip_rows(self.width, self.device)
        for top in range(0, self.height, rows):
            yield top, min(self.height, top + rows)

    def blocks(self, top: int, bottom: int) -> Iterator[tuple[int, int]]:
        """The first row of each block of some rows, and the first row after it."""
        rows = self._block_rows(self.width)
        for first in range(top, bottom, rows):
            yield first, min(bottom, first + rows)

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Tensor:
        """Rows of the photo, or a part of them: (3, bottom - top, W), float32 in 0..1."""
        if self._tensor is not None:
            strip = self._tensor[:, top:bottom, left:right]
            return strip.to(self.device, torch.float32).clamp(0, 1)
        assert self._array is not None
        part = self._array[top:bottom, left:right].transpose(2, 0, 1)
        kind = np.uint8 if part.dtype == np.uint8 else np.float32
        planes = torch.from_numpy(np.array(part, kind, order="C"))
        strip = planes.to(self.device, torch.float32)
        return strip.mul_(1 / self._scale) if self._scale != 1.0 else strip.clamp_(0, 1)

    def _block_rows(self, width: int) -> int:
        threads = torch.get_num_threads() if self.device.type == "cpu" else 1
        return max(1, threads * BLOCK[self.device.type] // width)

    def _finite(self) -> bool:
        if self._tensor is not None:
            return all(torch.isfinite(self._tensor[:, a:b]).all() for a, b in self.strips())
        assert self._array is not None
        return self._scale != 1.0 or all(
            np.isfinite(self._array[a:b]).all() for a, b in self.strips()
        )

    def put(self, top: int, strip: Tensor) -> None:
        """Write rows of the result, (3, n, W), clipped to 0..1; ``strip`` is overwritten."""
        bottom = top + strip.shape[1]
        if self._tensor is not None:
            if self._result is None:
                self._result = torch.empty_like(self._tensor, dtype=torch.float32)
            assert isinstance(self._result, Tensor)
            self._result[:, top:bottom] = strip.clamp_(0, 1)
            return
        assert self._array is not None
        if self._result is None:
            self._result = self._array if self._in_place else np.empty_like(self._array)
        assert isinstance(self._result, np.ndarray)
        if self._scale != 1.0:  # integers take what is below the point
            strip = torch.add(torch.tensor(0.5), strip, alpha=self._scale, out=strip)
        strip = strip.clamp_(0, self._scale)
        if self._result.dtype == np.uint8 and self.device != CPU:
            torch.from_numpy(self._result[top:bottom]).copy_(strip.byte().permute(1, 2, 0))
            return
        for channel, values in enumerate(strip.cpu().numpy()):  # which is faster than torch here
            self._result[top:bottom, :, channel] = values

    def result(self) -> Image.Image | npt.NDArray[Any] | Tensor:
        """The photo that has been written."""
        if not isinstance(self.photo, Image.Image):
            assert self._result is not None
            return self._result
        assert isinstance(self._result, np.ndarray)
        image = Image.fromarray(self._result)
        if self.photo.has_transparency_data:
            image.putalpha(self.photo.convert("RGBA").getchannel("A"))
        return image


def _checked_array(photo: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if photo.ndim != 3 or photo.shape[2] != 3:
        raise PhotostyleError(f"An array must be of shape (H, W, 3), not {photo.shape}.")
    kind = photo.dtype
    if kind not in (np.uint8, np.uint16) and not np.issubdtype(kind, np.floating):
        raise PhotostyleError(f"An array must hold uint8, uint16 or floats in 0..1, not {kind}.")
    if not photo.size:
        raise PhotostyleError("The photo is empty.")
    return photo


def _checked_tensor(photo: Tensor) -> Tensor:
    if photo.ndim != 3 or photo.shape[0] != 3 or not photo.is_floating_point():
        raise PhotostyleError(
            "A tensor must be of shape (3, H, W) and hold floats in 0..1, "
            f"not {photo.dtype} of shape {tuple(photo.shape)}."
        )
    if not photo.numel():
        raise PhotostyleError("The photo is empty.")
    return photo

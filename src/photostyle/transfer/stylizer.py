"""Canvas and a style in, pixels out: the one engine behind the commands and the library."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager
from copy import deepcopy
from functools import cached_property
from typing import Literal, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.model import checkpoint
from photostyle.model.checkpoint import Checkpoint
from photostyle.model.moments import waits
from photostyle.model.network import PhotoNet
from photostyle.transfer import local_maps
from photostyle.transfer.canvas import CPU, Canvas, ImageLike, strip_rows
from photostyle.transfer.options import TILE, WORKING_SIZE, Mode
from photostyle.transfer.replay import Function, Replays
from photostyle.transfer.style import PIXELS, RESIDUAL, Style, Transferring, compose, record
from photostyle.transfer.tiling import OVERLAP, transfer_tiled

STYLE_SIZE = 1024
"""Long side of the copy of a style photo that is learned, in pixels."""

EXACT_PIXELS = 1 << 20
"""Photos of at most this many pixels are transferred exactly where the choice is the engine's."""


def load(source: str | os.PathLike[str] = "photonas", device: str = "auto") -> Stylizer:
    """A stylizer with the weights ``source``: a bundled name or a safetensors file.

    device: "cpu", "cuda", "cuda:N", or "auto" for CUDA where there is any. Raises PhotostyleError
    when the weights or the device are not to be had.
    """
    return Stylizer(checkpoint.load(source), choose_device(device))


def choose_device(name: str) -> torch.device:
    """The device of a name as in `load`; raises PhotostyleError when it is absent."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise PhotostyleError(f"Unknown device {name!r}; use auto, cpu, cuda or cuda:N.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise PhotostyleError(f"There is no CUDA device {name!r} here; use --device cpu.")
    return torch.device("cuda", device.index or 0) if device.type == "cuda" else device


class Stylizer:
    """Learns the style of one photo and gives it to others.

    ``learn`` and ``apply`` take any `ImageLike` of any size, and raise PhotostyleError for others. A
    mask is (H, W), uint8 or floats in 0..1: how much each pixel counts where statistics are taken.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device):
        self.checkpoint = checkpoint
        self.device = device
        self.network = checkpoint.network.to(device).to(memory_format=torch.channels_last)
        settings = checkpoint.transfer
        self._waits = any(
            waits(settings.method, settings.damping, self.network.channels(layer))
            for layer in self.network.architecture.wct_layers
        )
        self._replays = Replays()

    @torch.inference_mode()
    def learn(self, photo: ImageLike, mask: np.ndarray | None = None) -> Style:
        """The style of ``photo``: the moments of its features at every WCT layer.

        They are taken of a copy with a long side of at most STYLE_SIZE pixels.
        """
        small, _ = local_maps.reduce(Canvas(photo, device=self.device), STYLE_SIZE)
        with full_precision():
            style, _ = record(self.network, self._on_device(small), self._mask(mask, small))
        return style

    @torch.inference_mode()
    def apply(
        self,
        photo: ImageLike,
        style: Style,
        strength: float = 1.0,
        *,
        mode: Mode = "auto",
        working_size: int = WORKING_SIZE,
        tile: int = TILE,
        mask: np.ndarray | None = None,
        in_place: bool = False,
        progress: Callable[[float], None] = lambda _: None,
    ) -> ImageLike:
        """``photo`` in the look of ``style``: the same kind, type and size as given.

        A PIL image comes back in RGB, or RGBA with its alpha; a tensor as float32 in 0..1.

        strength: in [0, 1], blends every feature with its transferred self; 0 gives the photo back.
        mode: "exact" is the network on the photo itself, in tiles of ``tile`` pixels where it is
        larger; "fast" is the network on a copy with a long side of ``working_size`` pixels and
        local affine colour maps for the photo; "auto" is `way`. in_place: overwrite an array given.
        progress: told now and then the share that is done, in 0..1.
        """
        if not 0 <= strength <= 1:
            raise PhotostyleError(f"The strength must be between 0 and 1, not {strength}.")
        if working_size < 1:
            raise PhotostyleError(f"The working size must be at least 1 pixel, not {working_size}.")
        self._check(style)
        pixels = Canvas(photo, in_place, self.device)
        fast = self.way(mode, pixels.height, pixels.width) == "fast"
        if not fast and _is_tiled(pixels.height, pixels.width, tile):
            pixels.device = CPU  # where there is room for all of it
        if strength == 0:
            for top, bottom in pixels.strips():
                pixels.put(top, pixels.rows(top, bottom))
        else:
            self._transfer(
                pixels, style, strength, working_size if fast else None, tile, mask, progress
            )
        progress(1.0)
        return cast(ImageLike, pixels.result())

    @staticmethod
    def way(mode: Mode, height: int, width: int) -> Literal["fast", "exact"]:
        """The way that a photo of a size goes: for "auto", exact up to EXACT_PIXELS pixels."""
        if mode not in ("auto", "fast", "exact"):
            raise PhotostyleError(f"Unknown mode {mode!r}; use auto, fast or exact.")
        if mode != "auto":
            return mode
        return "exact" if height * width <= EXACT_PIXELS else "fast"

    def _transfer(
        self,
        pixels: Canvas,
        style: Style,
        strength: float,
        working_size: int | None,
        tile: int,
        mask: np.ndarray | None,
        progress: Callable[[float], None],
    ) -> None:
        """The network on a copy of the photo (on all of it without a size), then colour maps."""
        content, ratio = local_maps.reduce(pixels, working_size or max(pixels.height, pixels.width))
        refine, seen = self.checkpoint.transfer.refine, self._mask(mask, content)
        height, width = content.shape[2:]
        share = 0.5 if ratio > 1 else 0.9

        def matched(content: Tensor) -> Tensor:
            result = self._composed(
                content, style, strength, tile, seen, lambda done: progress(share * done)
            )
            return self._matched(result, content, style, strength, seen) if refine else result

        if seen is None and not _is_tiled(height, width, tile):
            result = self.replayed(style, (strength,), matched, content)
        else:
            result = matched(content)
        progress(share)
        if ratio == 1 and not refine:
            for top, bottom in pixels.strips():
                pixels.put(top, result[0, :, top:bottom])
            return
        local_maps.apply_maps(
            pixels,
            local_maps.maps_between(content, result).enlarged(ratio),
            refine,
            lambda done: progress(share + (1 - share) * done),
        )

    @cached_property
    def half(self) -> PhotoNet:
        """The network in half precision, which does for photos with contrast only.

        Where a photo has little of it the transfer makes it stronger, and with it what is lost.
        """
        return deepcopy(self.network).half()

    def replayed(
        self, owner: object, key: tuple[Hashable, ...], function: Function, argument: Tensor
    ) -> Tensor:
        """`Replays` of this stylizer, for what only its weights can make a GPU wait for."""
        if self._waits:
            return function(argument)
        return self._replays(owner, key, function, argument)

    def _matched(
        self, result: Tensor, content: Tensor, style: Style, strength: float, seen: Tensor | None
    ) -> Tensor:
        """As much of a result as maps hold, with the colours of the style."""
        result = local_maps.project_to_maps(content, result)
        transferring = Transferring(
            style.to(content.device), self.checkpoint.transfer, strength, seen
        )
        match = transferring.match(result, content)
        for strip in result.split(strip_rows(result.shape[3], result.device), 2):
            strip.copy_(match(strip))
        return result

    def _composed(
        self,
        content: Tensor,
        style: Style,
        strength: float,
        tile: int,
        seen: Tensor | None,
        progress: Callable[[float], None],
    ) -> Tensor:
        """`compose` on the device, in smaller tiles where its memory is not enough."""
        settings, (height, width) = self.checkpoint.transfer, content.shape[2:]
        try:
            with full_precision():
                if _is_tiled(height, width, tile):
                    return transfer_tiled(
                        self.network, content, style, settings, strength, seen, tile, progress
                    )
                seen_there = None if seen is None else seen.to(self.device)
                transferring = Transferring(style, settings, strength, seen_there)
                result = compose(self.network, self._on_device(content), transferring)
                return result.to(content.device)
        except torch.OutOfMemoryError:
            if self._replays.forget():
                torch.cuda.empty_cache()
                return self._composed(content, style, strength, tile, seen, progress)
            # The largest that is smaller than what was tried.
            smaller = min(tile, max(height, width)) // 2
            if smaller < OVERLAP or not _is_tiled(height, width, smaller):
                raise PhotostyleError(
                    f"The memory of {self.device} is not enough; free some of it, or use a smaller "
                    "--working-size or --device cpu."
                ) from None
        torch.cuda.empty_cache()
        return self._composed(content, style, strength, smaller, seen, progress)

    def _mask(self, mask: np.ndarray | None, photo: Tensor) -> Tensor | None:
        """A mask at the size of a photo (1, 3, H, W): (1, 1, H, W), float32 in 0..1."""
        if mask is None:
            return None
        scale = 255 if mask.dtype == np.uint8 else 1
        weights = torch.from_numpy(np.asarray(mask, np.float32))[None, None] / scale
        return F.interpolate(weights.to(photo.device), photo.shape[-2:], mode="area")

    def _on_device(self, photo: Tensor) -> Tensor:
        return photo.to(self.device).contiguous(memory_format=torch.channels_last)

    def _check(self, style: Style) -> None:
        network = self.network
        expected = {layer: network.channels(layer) for layer in network.architecture.wct_layers}
        found = {layer: moments.mean.shape[1] for layer, moments in style.moments.items()}
        if found != expected | {PIXELS: 3, RESIDUAL: 3}:
            raise PhotostyleError("This style was learned with another model; learn it again.")


def full_precision() -> AbstractContextManager[None]:
    """Convolutions of a GPU in float32: the 10 bits of TF32 would show as those of half do."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def _is_tiled(height: int, width: int, tile: int) -> bool:
    """Whether a photo is more than what a single tile is computed of."""
    return max(height, width) > tile + 2 * OVERLAP

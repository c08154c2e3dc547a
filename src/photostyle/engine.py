"""Pixels and a style in, pixels out: the one engine behind the commands and the library."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from photostyle import weights
from photostyle.errors import PhotostyleError
from photostyle.style import PIXELS, RESIDUAL, Style, record, transfer
from photostyle.weights import Checkpoint

Photo = TypeVar("Photo", Image.Image, np.ndarray, Tensor)
"""A PIL image, an (H, W, 3) array (uint8, uint16, or float 0..1), or a (3, H, W) tensor 0..1."""


def load(source: str | os.PathLike[str] = "photonas", device: str = "auto") -> Stylizer:
    """A stylizer with the weights ``source``: a bundled name or a safetensors file.

    device: "cpu", "cuda", "cuda:N", or "auto" for CUDA where there is any. Raises PhotostyleError
    when the weights or the device are not to be had.
    """
    return Stylizer(weights.load(source), choose_device(device))


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
    return device


class Stylizer:
    """Learns the style of one photo and gives it to others.

    ``learn`` and ``apply`` take any `Photo` of any size, and raise PhotostyleError for others.
    """

    def __init__(self, checkpoint: Checkpoint, device: torch.device):
        self.checkpoint = checkpoint
        self.device = device
        self.network = checkpoint.network.to(device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def learn(self, photo: Photo) -> Style:
        """The style of ``photo``: the moments of its features at every WCT place."""
        pixels, _ = to_pixels(photo)
        style, _ = record(self.network, self._on_device(pixels))
        return style

    @torch.inference_mode()
    def apply(self, photo: Photo, style: Style, strength: float = 1.0) -> Photo:
        """``photo`` in the look of ``style``: the same kind, type and size as given.

        A PIL image comes back in RGB, or RGBA with its alpha; a tensor as float32 in 0..1. strength
        in [0, 1] blends every feature with its transferred self; 0 gives the photo back.
        """
        if not 0 <= strength <= 1:
            raise PhotostyleError(f"The strength must be between 0 and 1, not {strength}.")
        self._check(style)
        pixels, restore = to_pixels(photo)
        if strength > 0:
            batch = self._on_device(pixels)
            result = transfer(self.network, batch, style, self.checkpoint.transfer, strength)
            pixels = result[0].to(pixels.device)
        return restore(pixels.clamp(0, 1))

    def _on_device(self, pixels: Tensor) -> Tensor:
        return pixels[None].to(self.device).contiguous(memory_format=torch.channels_last)

    def _check(self, style: Style) -> None:
        network = self.network
        expected = {place: network.channels(place) for place in network.architecture.places}
        found = {place: moments.mean.shape[1] for place, moments in style.moments.items()}
        if found != expected | {PIXELS: 3, RESIDUAL: 3}:
            raise PhotostyleError("This style was learned with another model; learn it again.")


def to_pixels(photo: Photo) -> tuple[Tensor, Callable[[Tensor], Photo]]:
    """A photo as RGB (3, H, W), float32 in 0..1, and the way back to its kind.

    Raises PhotostyleError when it is no photo: another type, shape or depth, empty, or not finite.
    """
    if isinstance(photo, Image.Image):
        return _from_image(photo)
    if isinstance(photo, np.ndarray):
        return _from_array(photo)
    if isinstance(photo, Tensor):
        return _from_tensor(photo)
    raise PhotostyleError(
        f"A photo is a PIL image, an array or a tensor, not {type(photo).__name__}."
    )


def _from_image(photo: Image.Image) -> tuple[Tensor, Callable[[Tensor], Image.Image]]:
    alpha = photo.convert("RGBA").getchannel("A") if photo.has_transparency_data else None
    pixels, to_array = _from_array(np.asarray(photo.convert("RGB")))

    def restore(result: Tensor) -> Image.Image:
        image = Image.fromarray(to_array(result))
        if alpha is not None:
            image.putalpha(alpha)
        return image

    return pixels, restore


def _from_array(photo: np.ndarray) -> tuple[Tensor, Callable[[Tensor], np.ndarray]]:
    if photo.ndim != 3 or photo.shape[2] != 3:
        raise PhotostyleError(f"An array must be of shape (H, W, 3), not {photo.shape}.")
    kind = photo.dtype
    if kind in (np.uint8, np.uint16):
        scale = float(np.iinfo(kind).max)
    elif np.issubdtype(kind, np.floating):
        scale = 1.0
    else:
        raise PhotostyleError(f"An array must hold uint8, uint16 or floats in 0..1, not {kind}.")
    pixels, _ = _from_tensor(torch.from_numpy(photo.astype(np.float32) / scale).permute(2, 0, 1))

    def restore(result: Tensor) -> np.ndarray:
        array = result.permute(1, 2, 0).cpu().numpy() * np.float32(scale)
        return (array if scale == 1 else array.round()).astype(kind)

    return pixels, restore


def _from_tensor(photo: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    if photo.ndim != 3 or photo.shape[0] != 3 or not photo.is_floating_point():
        raise PhotostyleError(
            "A tensor must be of shape (3, H, W) and hold floats in 0..1, "
            f"not {photo.dtype} of shape {tuple(photo.shape)}."
        )
    if not photo.numel():
        raise PhotostyleError("The photo is empty.")
    if not torch.isfinite(photo).all():
        raise PhotostyleError("The photo holds values that are no numbers (NaN or infinity).")
    return photo.float().clamp(0, 1), lambda result: result

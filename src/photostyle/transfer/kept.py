"""Results that keep a part of the photo: its luma or its chroma."""

from __future__ import annotations

import torch
from torch import Tensor

from photostyle.transfer.options import Keep

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of R, G and B in luma Y' (ITU-R BT.709, 3.2), on the encoded values."""


def keeping(result: Tensor, content: Tensor, keep: Keep) -> Tensor:
    """The result with what the content keeps; both RGB (3, H, W), 0..1.

    luminance: luma of the content, chroma (the difference of R, G and B from luma) of the result;
    color: the other way round. Chroma for which there is no room in 0..1 is reduced as a whole, so
    that luma and hue stay.
    """
    if keep == "none":
        return result
    light, color = (content, result) if keep == "luminance" else (result, content)
    luma = _luma(light).clamp(0, 1)
    chroma = color - _luma(color)
    room = torch.where(chroma > 0, 1 - luma, luma)
    share = (room / chroma.abs().clamp_min(1e-9)).amin(0).clamp_max(1)
    return luma + share * chroma


def _luma(rgb: Tensor) -> Tensor:
    red, green, blue = (weight * plane for weight, plane in zip(LUMA, rgb, strict=True))
    return red + green + blue

"""Results that keep a part of the photo: its luma, its chroma, or the hue of its skin."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from photostyle.transfer.options import Keep

LUMA = (0.2126, 0.7152, 0.0722)
"""Weights of R, G and B in luma Y' (ITU-R BT.709, 3.2), on the encoded values."""

HUE = math.radians(6)
"""How far the hue of skin may turn on the vectorscope at most, softly."""

EXCESS = 0.4
"""How far the saturation of skin may exceed that of the content at most, softly, as a fraction."""

_SKIN = (0.8, 0.56, 0.44)


def keeping(result: Tensor, content: Tensor, keep: Keep) -> Tensor:
    """The result with what the content keeps; both RGB (3, H, W), 0..1.

    luminance: luma of the content, chroma (the difference of R, G and B from luma) of the result;
    color: the other way round. Chroma for which there is no room in 0..1 is reduced as a whole, so
    that luma and hue stay. skin: see `keeping_skin`.
    """
    if keep in ("none", "skin"):
        return result
    light, color = (content, result) if keep == "luminance" else (result, content)
    return _joined(_luma(light), color - _luma(color))


def keeping_skin(result: Tensor, content: Tensor, skin: Tensor, saturation: float) -> Tensor:
    """The result with the hue of the content's skin; both RGB (3, H, W), 0..1.

    skin: (H, W), 0..1, where that is. saturation: of the look, see `saturation_of`. Luma is that of
    the result. The hue, the angle in the plane of BT.709's C_B and C_R, as on a vectorscope, turns
    towards the result's by up to HUE. Chroma changes as luma and the saturation of the look do;
    more than that of the content is rolled off.
    """
    if float(skin.amax()) < 1e-2:
        return result
    luma, luma_before = _luma(result).clamp(0, 1), _luma(content)
    blue, red = _vectorscope(content - luma_before)
    blue_after, red_after = _vectorscope(result - luma)
    turn = torch.atan2(
        blue * red_after - red * blue_after, blue * blue_after + red * red_after + 1e-9
    )
    # The opposite hue is as far to the left as to the right.
    turn = HUE * torch.tanh(turn / HUE) * (1 + turn.cos()) / 2
    gain = saturation * luma / luma_before.clamp_min(0.02)
    gain = torch.where(gain > 1, 1 + EXCESS * torch.tanh((gain - 1) / EXCESS), gain)
    cos, sin = gain * turn.cos(), gain * turn.sin()
    blue, red = blue * cos - red * sin, blue * sin + red * cos
    blue, red = 2 * (1 - LUMA[2]) * blue, 2 * (1 - LUMA[0]) * red
    chroma = torch.stack([red, -(LUMA[0] * red + LUMA[2] * blue) / LUMA[1], blue])
    return torch.lerp(result, _joined(luma, chroma), skin)


def saturation_of(maps: Tensor, skin: Tensor) -> float:
    """How many times as saturated as before local maps (12, h, w) make skin, beside its contrast.

    skin: (h, w), where that is. 0 for a look in black and white, wherever it moves the hue.
    """
    matrix = (maps[:9] * skin).sum((1, 2)) / skin.sum().clamp_min(1e-6)
    matrix = matrix.view(3, 3)
    color = matrix.new_tensor(_SKIN)[:, None, None]
    chroma = color - _luma(color)
    mapped = (matrix @ chroma.flatten())[:, None, None]
    before, after = (
        math.hypot(*map(float, _vectorscope(part))) for part in (chroma, mapped - _luma(mapped))
    )
    contrast = float(_luma(matrix.sum(1)[:, None, None]))
    return after / before / max(contrast, 0.3)


def _joined(luma: Tensor, chroma: Tensor) -> Tensor:
    luma = luma.clamp(0, 1)
    room = torch.where(chroma > 0, 1 - luma, luma)
    share = (room / chroma.abs().clamp_min(1e-9)).amin(0).clamp_max(1)
    return luma + share * chroma


def _luma(rgb: Tensor) -> Tensor:
    red, green, blue = (weight * plane for weight, plane in zip(LUMA, rgb, strict=True))
    return red + green + blue


def _vectorscope(chroma: Tensor) -> tuple[Tensor, Tensor]:
    """C_B and C_R (BT.709, 3.3) of differences of R, G and B from luma, (3, H, W)."""
    return chroma[2] / (2 * (1 - LUMA[2])), chroma[0] / (2 * (1 - LUMA[0]))

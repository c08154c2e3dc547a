"""HDR pixels that are stylized as SDR and stay HDR.

The network and the maps see light up to half of SDR's white as it is, and above it compressed by a
Moebius curve of the largest of R, G and B (as in ffmpeg's filter tonemap), in BT.709 and by the
curve of sRGB. The inverse leads back; light and colours beyond SDR follow what SDR holds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy.typing as npt
import torch
from torch import Tensor

from photostyle.bt2100 import (
    HLG_A,
    HLG_B,
    HLG_C,
    HLG_GAMMA,
    HLG_PEAK,
    WHITE,
    hlg_to_scene,
    light_to_pq,
    pq_to_light,
)
from photostyle.display import KNEE, moebius
from photostyle.transfer.canvas import Canvas

_FROM_BT709 = torch.tensor(
    [
        [0.627403896, 0.329283038, 0.043313066],
        [0.069097289, 0.919540395, 0.011362316],
        [0.016391439, 0.088013308, 0.895595253],
    ],
    dtype=torch.float64,
)
"""From linear BT.709 to linear BT.2020 (ITU-R BT.2087, table 2, with more digits)."""

_TO_BT709 = _FROM_BT709.inverse()

_LUMINANCE = (0.2627, 0.6780, 0.0593)
"""Of the primaries of BT.2020 (ITU-R BT.2100, table 4)."""

_DARK = 1e-9

_MAX = 65_535


@dataclass(frozen=True)
class HdrSpace:
    """Values of HDR in BT.2020, and what they are in SDR.

    hlg: whether they are those of HLG, not of PQ. peak: the brightest light to expect, in cd/m2.
    """

    hlg: bool
    peak: float

    def light(self, values: Tensor) -> Tensor:
        """Linear light in BT.2020, relative to WHITE, of values (3, ...) in 0..1, with 16 bits."""
        light = self._curve.to(values)[(values * _MAX).round_().long()]
        return light.mul_(_luminance(light) ** (HLG_GAMMA - 1)) if self.hlg else light

    def to_sdr(self, light: Tensor) -> Tensor:
        """Values of SDR, 0..1, of `light`."""
        light = _product(_TO_BT709, light).clamp_(0)
        return _to_srgb(light.mul_(_factor(self._compressed, light)).clamp_(0, 1))

    def from_sdr(self, sdr: Tensor, shown: Tensor, light: Tensor) -> Tensor:
        """Values of HDR of values of SDR (3, ...), which were ``shown`` of the light before.

        Light over the peak keeps its ratio to the peak. Colours outside BT.709 become as much paler
        as the largest channel comes nearer to the smallest.
        """
        after, before = self._expanded_light(sdr), self._expanded_light(shown)
        bt709 = _product(_TO_BT709, light)
        inside = bt709.clamp(0)
        change = (after - before) * _ratio(inside.amax(0), before.amax(0))
        change += (bt709 - inside) * (_ratio(_spread(after), _spread(before)).clamp_(max=1) - 1)
        return self._values(light.add(_product(_FROM_BT709, change)).clamp_(0))

    def _expanded_light(self, sdr: Tensor) -> Tensor:
        """Values of SDR as linear light in BT.709."""
        light = _from_srgb(sdr)
        return light.mul_(_factor(self._expanded, light))

    @cached_property
    def _curve(self) -> Tensor:
        """Light of each value of 16 bits, of HLG before the luminance is raised to its gamma."""
        values = torch.linspace(0, 1, _MAX + 1, dtype=torch.float64)
        if self.hlg:
            return torch.as_tensor(hlg_to_scene(values) * (HLG_PEAK / WHITE) ** (1 / HLG_GAMMA))
        return torch.as_tensor(pq_to_light(values) / WHITE)

    def _values(self, light: Tensor) -> Tensor:
        """The inverse of `light`."""
        if not self.hlg:
            return torch.as_tensor(light_to_pq((light * WHITE).clamp_(max=10_000)))
        light = light * (WHITE / HLG_PEAK)
        scene = (light * _luminance(light) ** (1 / HLG_GAMMA - 1)).clamp_(0, 1)
        bright = HLG_A * (12 * scene - HLG_B).clamp_(_DARK).log_() + HLG_C
        return torch.where(scene <= 1 / 12, (3 * scene).sqrt_(), bright)

    @cached_property
    def _moebius(self) -> tuple[float, float, float]:
        return moebius(max(1.01, self.peak / WHITE))

    def _compressed(self, light: Tensor) -> Tensor:
        a, b, scale = self._moebius
        return torch.where(light <= KNEE, light, scale * (light + a) / (light + b))

    def _expanded(self, light: Tensor) -> Tensor:
        a, b, scale = self._moebius
        return torch.where(light <= KNEE, light, (b * light - a * scale) / (scale - light))


class HdrCanvas(Canvas):
    """A `Canvas` of values of HDR, whose strips are SDR."""

    def __init__(self, photo: npt.NDArray[Any], space: HdrSpace, **options: Any) -> None:
        super().__init__(photo, **options)
        self._space = space
        self._read = (-1, torch.empty(0), torch.empty(0))

    def rows(self, top: int, bottom: int, left: int = 0, right: int | None = None) -> Tensor:
        light = self._space.light(super().rows(top, bottom, left, right))
        shown = self._space.to_sdr(light)
        self._read = (top, light, shown)
        return shown.clone()

    def put(self, top: int, strip: Tensor) -> None:
        if self._read[0] != top or self._read[1].shape != strip.shape:
            self.rows(top, top + strip.shape[1])
        _, light, shown = self._read
        super().put(top, self._space.from_sdr(strip, shown, light))


def _factor(curve: Callable[[Tensor], Tensor], light: Tensor) -> Tensor:
    """The factor (1, ...) by which a curve changes the largest channel of light (3, ...)."""
    largest = light.amax(0, keepdim=True).clamp_(_DARK)
    return curve(largest) / largest


def _spread(colors: Tensor) -> Tensor:
    return colors.amax(0) - colors.amin(0)


def _ratio(a: Tensor, b: Tensor) -> Tensor:
    """a / b; 1 where b is nothing."""
    return torch.where(b > _DARK, a / b.clamp(_DARK), 1.0)


def _product(matrix: Tensor, colors: Tensor) -> Tensor:
    return (matrix.to(colors) @ colors.flatten(1)).view_as(colors)


def _luminance(light: Tensor) -> Tensor:
    weights = torch.tensor(_LUMINANCE).to(light)
    return torch.einsum("c,c...->...", weights, light)[None].clamp_(_DARK)


def _to_srgb(linear: Tensor) -> Tensor:
    return torch.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _from_srgb(values: Tensor) -> Tensor:
    return torch.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)

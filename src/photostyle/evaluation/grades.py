"""Random colour grades, as a photographer or colourist applies them to a whole photo."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

LUMA_601 = torch.tensor([0.299, 0.587, 0.114])
"""Weights of R, G and B in BT.601 luma, the Y of JPEG files.

Grades and training losses use them because the bundled weights were trained with them; the metrics
use BT.709.
"""


@dataclass(frozen=True)
class Grade:
    """A colour grade.

    Applied in this order: exposure and white balance in linear light; then contrast, gamma, curves
    per channel, hue, saturation and split toning on sRGB values; finally a shoulder.

    gains: linear factors of R, G, B; contrast: slope at mid-grey minus 1; gamma: exponents of R, G,
    B; lift, gain: new black and white points of R, G, B; hue: rotation in radians; saturation:
    factor; shadows, highlights: RGB added where luma is low and where it is high; shoulder:
    distance from 0 and 1 at which the soft roll-off starts, 0 for hard clipping.
    """

    gains: np.ndarray
    contrast: float
    gamma: np.ndarray
    lift: np.ndarray
    gain: np.ndarray
    hue: float
    saturation: float
    shadows: np.ndarray
    highlights: np.ndarray
    shoulder: float

    def __call__(self, pixels: Tensor) -> Tensor:
        """Grade sRGB (..., 3, H, W), 0..1; returns the same shape and range."""

        def rgb(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=pixels.dtype, device=pixels.device)[:, None, None]

        x = _to_srgb(_to_linear(pixels) * rgb(self.gains))
        # The cubic has slope 1 + contrast at 0.5 and keeps 0 and 1; outside 0..1 it adds nothing.
        inside = x.clamp(0, 1)
        x = x + 2 * self.contrast * inside * (1 - inside) * (2 * inside - 1)
        x = x.clamp_min(1e-4) ** rgb(self.gamma)
        x = rgb(self.lift) + x * rgb(self.gain - self.lift)
        x = torch.einsum("ij,...jhw->...ihw", self._chroma(pixels), x)
        luma = torch.einsum("i,...ihw->...hw", LUMA_601.to(x), x).clamp(0, 1).unsqueeze(-3)
        x = x + rgb(self.shadows) * (1 - luma) ** 2 + rgb(self.highlights) * luma**2
        return _soft_clip(x, self.shoulder)

    def _chroma(self, like: Tensor) -> Tensor:
        """Rotation of hue and scaling of saturation about the grey axis as one RGB matrix."""
        axis = np.full(3, 1 / np.sqrt(3))
        cross = np.cross(np.eye(3), axis)
        cos, sin = np.cos(self.hue), np.sin(self.hue)
        rotation = cos * np.eye(3) + sin * cross + (1 - cos) * np.outer(axis, axis)
        grey = np.outer(np.ones(3), LUMA_601.numpy())
        matrix = (grey + self.saturation * (np.eye(3) - grey)) @ rotation
        return torch.as_tensor(matrix, dtype=like.dtype, device=like.device)


@dataclass(frozen=True)
class Regional:
    """Two grades for the colours on either side of a soft border in RGB.

    direction: (3,), unit vector across the border; center: an RGB colour on it; softness: RGB
    distance over which one grade blends into the other. Only a pixel's colour selects its grade,
    not its position.
    """

    grades: tuple[Grade, Grade]
    direction: np.ndarray
    center: np.ndarray
    softness: float

    def __call__(self, pixels: Tensor) -> Tensor:
        """Grade sRGB (..., 3, H, W), 0..1; returns the same shape and range."""
        direction = torch.as_tensor(self.direction, dtype=pixels.dtype)
        center = torch.as_tensor(self.center, dtype=pixels.dtype)[:, None, None]
        side = torch.einsum("i,...ihw->...hw", direction, pixels - center).unsqueeze(-3)
        first, second = (grade(pixels) for grade in self.grades)
        return torch.lerp(first, second, torch.sigmoid(side / self.softness))


def sample_regional(rng: np.random.Generator, like: Tensor) -> Regional:
    """Two random grades whose border divides the colours of RGB ``like`` (3, H, W), 0..1."""
    direction = rng.standard_normal(3)
    colors = like.flatten(1)
    return Regional(
        grades=(sample(rng), sample(rng)),
        direction=direction / np.linalg.norm(direction),
        center=colors.mean(1).double().numpy(),
        softness=0.3 * float(colors.std(1).mean()) + 0.02,
    )


def sample(rng: np.random.Generator, strength: float = 1.0) -> Grade:
    """A random grade, usually moderate; strength scales it from 0 (no change) to 1."""
    s = strength * rng.uniform() ** 0.6

    def normal(scale: float, size: int | None = None) -> np.ndarray:
        return (
            s * scale * rng.standard_normal(size).clip(-2.2, 2.2)
            if size
            else np.asarray(s * scale * np.clip(rng.standard_normal(), -2.2, 2.2))
        )

    temperature, tint = normal(0.35), normal(0.12)
    exposure = normal(0.5)
    white = np.array([temperature, -tint, -temperature])
    tone = rng.uniform(0, 2 * np.pi)
    toning = normal(0.06) * np.cos(tone + np.array([0, 2, 4]) * np.pi / 3)
    return Grade(
        gains=2 ** (exposure + white),
        contrast=float(np.clip(normal(0.3), -0.45, 0.6)),
        gamma=2 ** (normal(0.3) + normal(0.12, 3)),
        lift=np.abs(normal(0.05)) + normal(0.03, 3),
        gain=1 - np.abs(normal(0.05)) + normal(0.04, 3),
        hue=float(normal(0.12)),
        # Some grades are nearly black and white.
        saturation=float(rng.uniform(0, 0.4) if rng.uniform() < 0.12 * s else 2 ** normal(0.6)),
        shadows=toning - toning.mean(),
        highlights=-(toning - toning.mean()) + normal(0.02, 3),
        shoulder=float(s * rng.choice([0.0, 0.1, 0.2])),
    )


def _to_linear(x: Tensor) -> Tensor:
    return torch.where(x <= 0.04045, x / 12.92, ((x.clamp_min(0.04) + 0.055) / 1.055) ** 2.4)


def _to_srgb(x: Tensor) -> Tensor:
    return torch.where(x <= 0.0031308, 12.92 * x, 1.055 * x.clamp_min(0.003) ** (1 / 2.4) - 0.055)


def _soft_clip(x: Tensor, shoulder: float) -> Tensor:
    if not shoulder:
        return x.clamp(0, 1)
    half = 0.5 - shoulder
    centered = x - 0.5
    beyond = (centered.abs() - half).clamp_min(0)
    rolled = half + shoulder * torch.tanh(beyond / shoulder)
    return 0.5 + torch.where(beyond > 0, centered.sign() * rolled, centered)

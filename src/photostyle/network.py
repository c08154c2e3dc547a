"""PhotoNet: the encoder, the bottleneck aggregation, the skip links and the decoder.

Source: An et al. (AAAI 2020), figure 2. Layers carry VGG-19's names in the encoder and the names of
the authors' checkpoints in the decoder; only the layers that an architecture uses exist.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photostyle.architecture import Architecture, Widths
from photostyle.moments import instance_norm

Visit = Callable[[str, Tensor], Tensor]
"""Called at every WCT place with its name and features (B, C, H, W); returns what to go on with."""

Padding = Literal["zeros", "reflect"]

STRIDE = 16
"""Sizes inside the network are multiples of this: level 5 is reached after four poolings."""

# Reflection needs two pixels at level 5.
MINIMUM_SIZE = 2 * STRIDE


def passthrough(_: str, features: Tensor) -> Tensor:
    """The visit that changes nothing: the network then reconstructs its input."""
    return features


def conv(
    channels_in: int, channels_out: int, size: int = 3, padding: Padding = "reflect"
) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, size, padding=size // 2, padding_mode=padding)


def reflect(features: Tensor) -> Tensor:
    """One pixel of reflection on each side, what a 3x3 convolution needs to keep the size."""
    return F.pad(features, (1, 1, 1, 1), mode="reflect")


def upsample(features: Tensor) -> Tensor:
    return F.interpolate(features, scale_factor=2, mode="nearest")


class Encoder(nn.Module):
    """VGG-19 from the 1x1 colour conversion (conv0) to reluN_1 of its last level, at any widths.

    ``padding`` is "reflect" as in style transfer, or "zeros" as VGG-19 was trained.
    """

    # How many 3x3 convolutions VGG-19 has at each resolution; level N ends after the first of N.
    CONVOLUTIONS = (2, 2, 4, 4, 1)

    def __init__(self, widths: Sequence[int], padding: Padding = "reflect"):
        super().__init__()
        self.conv0 = conv(3, 3, 1)
        channels = 3
        for block, width in enumerate(widths, 1):
            count = self.CONVOLUTIONS[block - 1] if block < len(widths) else 1
            for i in range(1, count + 1):
                self.add_module(f"conv{block}_{i}", conv(channels, width, 3, padding))
                channels = width

    def level(self, number: int, features: Tensor) -> Tensor:
        """From level ``number - 1`` (from pixels for 1) to level ``number``: reluN_1."""
        if number == 1:
            return self._convolve("conv1_1", self.conv0(features))
        below = number - 1
        for i in range(2, self.CONVOLUTIONS[below - 1] + 1):
            features = self._convolve(f"conv{below}_{i}", features)
        return self._convolve(f"conv{number}_1", F.max_pool2d(features, 2))

    def _convolve(self, name: str, features: Tensor) -> Tensor:
        return F.relu_(self.get_submodule(name)(features))


class PhotoNet(nn.Module):
    """The dense auto-encoder with BFA and INSL, for any architecture and widths."""

    def __init__(self, architecture: Architecture, widths: Widths):
        super().__init__()
        self.architecture = a = architecture
        self.widths = widths
        w1, w2, w3, w4, w5 = widths
        self.encoder = Encoder(widths)

        aggregated = sum(widths[level - 1] for level in (4, 3, 2, 1) if a.aggregates(level))
        self.aggregate = conv(w5 + aggregated, w5, 1)

        if a.conv15:
            self.conv15 = conv(w5, w5)
        if a.conv16:
            self.conv16 = conv(w5, w4)

        self.conv17 = conv((w4 if a.conv16 else w5) + a.skip4 * w4, w4)
        if a.conv18:
            self.conv18 = conv(w4, w4)
        self.conv19 = conv(w4, w3, 3 if a.conv19 else 1)
        if a.conv20:
            self.conv20 = conv(w3, w3)

        self.conv21 = conv(w3 + a.skip3 * w3, w3)
        if a.conv22:
            self.conv22 = conv(w3, w3)
        self.conv23 = conv(w3, w2, 3 if a.conv23 else 1)
        if a.conv24:
            self.conv24 = conv(w2, w2)

        self.conv25 = conv(w2 + a.skip2 * w2, w1)
        if a.conv26:
            self.conv26 = conv(w1, w1)

        self.conv27 = conv(w1 + a.skip1 * w1, 3)

    def forward(self, pixels: Tensor, visit: Visit = passthrough) -> Tensor:
        """RGB (B, 3, H, W), 0..1, of any size from 1x1 up, to RGB of the same size, not clamped.

        ``visit`` sees the features at every WCT place of the architecture: pass one that records
        moments to learn a style, one that maps features to transfer it.
        """
        height, width = pixels.shape[-2:]
        return self.decode(self.encode(pad(pixels)), visit)[..., :height, :width]

    def channels(self, place: str) -> int:
        """Channels of the features at a WCT place."""
        w1, w2, w3, w4, w5 = self.widths
        if place.startswith(("level", "skip")):
            return self.widths[int(place[-1]) - 1]
        # Stage 2 is entered by what leaves stage 1, whose last convolution may be off.
        narrowed = w4 if self.architecture.conv16 else w5
        return {"d1": w5, "d2": narrowed, "d3": w3, "d4": w2, "d5": w1}[place]

    def encode(self, pixels: Tensor) -> dict[int, Tensor]:
        """Levels 1 to 5 of padded pixels; those that nothing but the encoder uses are left out."""
        levels = {}
        features = pixels
        for number in range(1, 6):
            features = self.encoder.level(number, features)
            if self.architecture.uses(number):
                levels[number] = features
        return levels

    def decode(self, levels: dict[int, Tensor], visit: Visit) -> Tensor:
        """The pixels of ``levels`` (emptied on the way, so that memory is free when unused)."""
        a = self.architecture

        def at(place: str, features: Tensor) -> Tensor:
            return visit(place, features) if place in a.places else features

        bottleneck = [at("level5", levels.pop(5))]
        for level in (4, 3, 2, 1):
            if level in levels:
                levels[level] = at(f"skip{level}", levels[level])
            if a.aggregates(level):
                window = STRIDE >> (level - 1)
                bottleneck.append(F.max_pool2d(instance_norm(levels[level]), window))
        x = self.aggregate(torch.cat(bottleneck, 1))
        del bottleneck

        x = self._optional("conv16", upsample(self._optional("conv15", at("d1", x))))
        x = at("d2", x)
        x = F.relu_(self._link(self.conv17, x, levels, 4))
        x = F.relu_(self.conv19(self._optional("conv18", x)))
        x = self._optional("conv20", upsample(x))
        x = at("d3", x)
        x = F.relu_(self._link(self.conv21, x, levels, 3))
        x = F.relu_(self.conv23(self._optional("conv22", x)))
        x = self._optional("conv24", upsample(x))
        x = at("d4", x)
        x = F.relu_(self._link(self.conv25, x, levels, 2))
        x = self._optional("conv26", upsample(x))
        x = at("d5", x)
        return self._link(self.conv27, x, levels, 1)

    def _link(self, layer: nn.Conv2d, x: Tensor, levels: dict[int, Tensor], level: int) -> Tensor:
        """``layer`` on the concatenation of x and the skip link of ``level``.

        Computed as a sum over the two, because a large photo's concatenation is gigabytes.
        """
        if not self.architecture.skips(level):
            return layer(x)
        own = x.shape[1]
        result = F.conv2d(reflect(x), layer.weight[:, :own], layer.bias)
        skip = levels.pop(level)
        if self.architecture.normalises(level):
            skip = instance_norm(skip)
        return result + F.conv2d(reflect(skip), layer.weight[:, own:])

    def _optional(self, name: str, features: Tensor) -> Tensor:
        return F.relu_(getattr(self, name)(features)) if hasattr(self, name) else features


def pad(pixels: Tensor) -> Tensor:
    """Repeat the right and bottom edge up to the next size that the network takes."""
    height, width = (
        max(MINIMUM_SIZE, -(-size // STRIDE) * STRIDE) - size for size in pixels.shape[-2:]
    )
    return F.pad(pixels, (0, width, 0, height), mode="replicate") if height or width else pixels

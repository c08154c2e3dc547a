"""PhotoNet: the encoder, the bottleneck aggregation, the skip links and the decoder.

Source: An et al. (AAAI 2020), figure 2. Layers carry VGG-19's names in the encoder and the names of
the authors' checkpoints in the decoder; only the layers that an architecture uses exist.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photostyle.model.architecture import Architecture, Widths
from photostyle.model.moments import AffineMap, Moments, normalisation

Padding = Literal["zeros", "reflect"]

STRIDE = 16
"""Sizes inside the network are multiples of this: level 5 is reached after four poolings."""

# Reflection needs two pixels at level 5.
MINIMUM_SIZE = 2 * STRIDE


class Visitor:
    """What the network hands its features to; this one changes nothing.

    A visitor that records moments learns a style, one that returns maps transfers it.
    """

    def visit(self, layer: str, features: Tensor) -> AffineMap | None:  # noqa: ARG002
        """Called at every WCT layer with features (B, C, H, W): the map to go on with, or None.

        Features that are enlarged by repetition come as they were before it.
        """
        return None

    def normalise(self, layer: str, features: Tensor, mapping: AffineMap | None) -> AffineMap:  # noqa: ARG002
        """The instance normalisation of features that ``mapping`` has changed, with that map."""
        return normalise(Moments.of(features), mapping)


def normalise(moments: Moments, mapping: AffineMap | None) -> AffineMap:
    """``mapping``, followed by the instance normalisation of features that had ``moments``."""
    if mapping is None:
        return normalisation(moments)
    return mapping.then(normalisation(moments.mapped(mapping)))


class MappedFeatures(NamedTuple):
    """Features as seen through a map, perhaps enlarged; the convolution that reads them does both.

    What leaves the encoder is never enlarged.
    """

    features: Tensor
    mapping: AffineMap | None = None
    enlarged: bool = False
    """Whether each pixel stands for 2 x 2."""

    def resolve(self) -> Tensor:
        """The mapped features, not enlarged."""
        return self.features if self.mapping is None else self.mapping(self.features)

    def convolve(self, weight: Tensor, bias: Tensor) -> Tensor:
        """The convolution of what is seen, with reflection padding to keep its size."""
        convolution = _of_enlarged if self.enlarged else _reflecting
        return convolution(*self._fold(weight, bias))

    @staticmethod
    def convolve_all(x: list[MappedFeatures], weight: Tensor) -> list[Tensor]:
        """The convolutions of an encoder's features as seen through several maps, without bias."""
        folded = [seen._fold(weight, weight.new_zeros(len(weight))) for seen in x]
        (features, *others), weights, biases = zip(*folded, strict=True)
        if any(other is not features for other in others):  # a batch has a map for each photo
            return [_reflecting(*one) for one in folded]
        joined = _reflecting(features, torch.cat(weights), torch.cat(biases))
        return list(joined.split(len(weight), 1))

    def _fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, kernel and bias, with the map in the kernel where it is one for all."""
        features, mapping, _ = self
        if mapping is None or len(mapping.matrix) > 1:
            return self.resolve(), weight, bias
        kernel = weight.double()
        bias = bias + torch.einsum("oiyx,i->o", kernel, mapping.bias[0])
        kernel = torch.einsum("oiyx,ij->ojyx", kernel, mapping.matrix[0])
        return features, kernel.to(weight.dtype), bias.to(weight.dtype)


def _reflecting(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.shape[-1] > 1:
        features = F.pad(features, (1, 1, 1, 1), mode="reflect")
    return F.conv2d(features, weight, bias)


def _of_enlarged(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of features, each repeated 2 x 2 times, from the features as they are.

    Of the pixels that a row of the kernel meets two at least are the same, whose weights add up:
    the even and odd rows and columns of the result are four convolutions with 2x2 kernels.
    """
    batch, _, height, width = features.shape
    kernels = _even_and_odd(_even_and_odd(weight, 3), 3).flatten(0, 2)
    # Reflected before they are repeated, edges are repeated themselves.
    padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
    parts = F.conv2d(padded, kernels, bias.repeat(4))
    parts = parts.permute(0, 2, 3, 1).unflatten(3, (2, 2, len(weight)))
    result = parts.new_empty(batch, height, 2, width, 2, len(weight))
    for p in range(2):
        for q in range(2):
            result[:, :, p, :, q] = parts[:, p : p + height, q : q + width, p, q]
    return result.view(batch, 2 * height, 2 * width, len(weight)).permute(0, 3, 1, 2)


def _even_and_odd(kernels: Tensor, dim: int) -> Tensor:
    """What becomes of 3 weights along a dimension, for even and for odd layers: (2, ...)."""
    before, here, after = kernels.unbind(dim)
    even, odd = (before, here + after), (before + here, after)
    return torch.stack([torch.stack(weights, dim) for weights in (even, odd)])


def conv(
    channels_in: int, channels_out: int, size: int = 3, padding: Padding = "reflect"
) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, size, padding=size // 2, padding_mode=padding)


def pool(seen: MappedFeatures, window: int, increasing: bool) -> MappedFeatures:
    """Max-pooling of mapped features; it may as well come before an increasing map."""
    if increasing:
        return MappedFeatures(F.max_pool2d(seen.features, window), seen.mapping)
    return MappedFeatures(F.max_pool2d(seen.resolve(), window))


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

    def forward(self, pixels: Tensor, visitor: Visitor | None = None) -> Tensor:
        """RGB (B, 3, H, W), 0..1, of any size from 1x1 up, to RGB of the same size, not clamped.

        ``visitor`` sees the features at every WCT layer of the architecture.
        """
        return self.decode(self.encode(pad(pixels)), pixels.shape, visitor or Visitor())[0]

    def channels(self, layer: str) -> int:
        """Channels of the features at a WCT layer."""
        w1, w2, w3, w4, w5 = self.widths
        if layer.startswith(("level", "skip")):
            return self.widths[int(layer[-1]) - 1]
        # Stage 2 is entered by what leaves stage 1, whose last convolution may be off.
        narrowed = w4 if self.architecture.conv16 else w5
        return {"d1": w5, "d2": narrowed, "d3": w3, "d4": w2, "d5": w1}[layer]

    def encode(self, pixels: Tensor) -> dict[int, Tensor]:
        """Levels 1 to 5 of padded pixels; those that nothing but the encoder uses are left out."""
        levels = {}
        features = pixels.to(self.aggregate.weight.dtype)
        for number in range(1, 6):
            features = self.encoder.level(number, features)
            if self.architecture.uses(number):
                levels[number] = features
        return levels

    def decode(
        self, levels: dict[int, Tensor], shape: Sequence[int], visitor: Visitor, keep: bool = False
    ) -> tuple[Tensor, Tensor]:
        """The pixels of ``levels``, (B, 3, H, W) for ``shape`` = (..., H, W), as transferred.

        Empties ``levels`` on the way, so that memory is free when unused. With ``keep`` the second
        tensor is what the network makes without the visitor's maps, else it is the first; they
        share all work up to the first map.
        """
        a = self.architecture

        def at(layer: str, x: list[MappedFeatures]) -> list[MappedFeatures]:
            if layer not in a.wct_layers:
                return x
            features, enlarged = x[0].resolve(), x[0].enlarged
            mapping = visitor.visit(layer, features)
            if mapping is None:
                return x
            rest = x[1:] or [MappedFeatures(features, None, enlarged)]
            return [MappedFeatures(features, mapping, enlarged), *(rest if keep else [])]

        def activate(x: list[Tensor]) -> list[MappedFeatures]:
            return [MappedFeatures(F.relu_(features)) for features in x]

        def convolve(name: str, x: list[MappedFeatures]) -> list[MappedFeatures]:
            if not hasattr(self, name):
                return x
            layer = getattr(self, name)
            return activate([seen.convolve(layer.weight, layer.bias) for seen in x])

        def enlarge(x: list[MappedFeatures]) -> list[MappedFeatures]:
            return [seen._replace(enlarged=True) for seen in x]

        def link(name: str, x: list[MappedFeatures], level: int) -> list[Tensor]:
            """A convolution of the concatenation of x and the skip link of ``level``.

            Computed as a sum over the two, because a large photo's concatenation is gigabytes.
            """
            layer = getattr(self, name)
            own = x[0].features.shape[1]
            results = [seen.convolve(layer.weight[:, :own], layer.bias) for seen in x]
            if not a.skips(level):
                return results
            added = MappedFeatures.convolve_all(skips.pop(level), layer.weight[:, own:])
            if len(results) < len(added):
                return [results[0] + skip for skip in added]
            return [result.add_(skip) for result, skip in zip(results, 2 * added, strict=False)]

        def aggregate(parts: list[list[MappedFeatures]]) -> list[MappedFeatures]:
            count = max(len(part) for part in parts)
            joined = [
                torch.cat([(2 * part)[i].resolve() for part in parts], 1) for i in range(count)
            ]
            return [MappedFeatures(self.aggregate(features)) for features in joined]

        parts = [at("level5", [MappedFeatures(levels.pop(5))])]
        skips: dict[int, list[MappedFeatures]] = {}
        for level in (4, 3, 2, 1):
            if level not in levels:
                continue
            features, layer = levels.pop(level), f"skip{level}"
            skip = at(layer, [MappedFeatures(features)])
            if a.normalises(level) or a.aggregates(level):
                normalised = [
                    MappedFeatures(features, visitor.normalise(layer, features, seen.mapping))
                    for seen in skip
                ]
            if a.aggregates(level):
                window = STRIDE >> (level - 1)
                # Normalisation alone is increasing.
                parts.append(
                    [
                        pool(seen, window, increasing=was.mapping is None)
                        for was, seen in zip(skip, normalised, strict=True)
                    ]
                )
            if a.skips(level):
                skips[level] = normalised if a.normalises(level) else skip
        x = aggregate(parts)
        del parts

        x = convolve("conv16", enlarge(convolve("conv15", at("d1", x))))
        x = activate(link("conv17", at("d2", x), 4))
        x = convolve("conv20", enlarge(convolve("conv19", convolve("conv18", x))))
        x = activate(link("conv21", at("d3", x), 3))
        x = convolve("conv24", enlarge(convolve("conv23", convolve("conv22", x))))
        x = activate(link("conv25", at("d4", x), 2))
        x = convolve("conv26", enlarge(x))
        pixels = link("conv27", at("d5", x), 1)
        height, width = shape[-2:]
        precision = torch.promote_types(pixels[0].dtype, torch.float32)
        made, unchanged = (
            picture[..., :height, :width].to(precision) for picture in (pixels[0], pixels[-1])
        )
        return made, unchanged


def pad(pixels: Tensor) -> Tensor:
    """Repeat the right and bottom edge up to the next size that the network takes."""
    height, width = (
        max(MINIMUM_SIZE, -(-size // STRIDE) * STRIDE) - size for size in pixels.shape[-2:]
    )
    return F.pad(pixels, (0, width, 0, height), mode="replicate") if height or width else pixels

"""PhotoNet: encoder, bottleneck feature aggregation (BFA), skip links (INSL) and decoder.

Source: An et al. (AAAI 2020), figure 2. Encoder layers have the names of VGG-19, decoder layers
those of the reference checkpoints; only the layers that an architecture uses exist.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.profiler import record_function

from photostyle.model.architecture import Architecture, Widths
from photostyle.model.moments import AffineMap, Moments, normalization

Padding = Literal["zeros", "reflect"]

STRIDE = 16
"""Sizes inside the network are multiples of this: level 5 is reached after four poolings."""

# Reflection needs two pixels at level 5.
MINIMUM_SIZE = 2 * STRIDE


class Visitor:
    """Receives the features at every WCT layer and may return maps; the base class returns none.

    A visitor that records moments learns a style, one that returns maps transfers it.
    """

    def visit(self, layer: str, features: Tensor) -> AffineMap | None:  # noqa: ARG002
        """The map for features (B, C, H, W) at a WCT layer, or None to leave them unchanged.

        The network calls it at level5 and skip4 to skip1, then at d1 to d5. It sees features that
        are about to be enlarged by repetition before they are.
        """
        return None

    def normalize(self, layer: str, features: Tensor, mapping: AffineMap | None) -> AffineMap:  # noqa: ARG002
        """``mapping``, if any, followed by instance normalization, as one map of the features."""
        return normalize(Moments.of(features), mapping)


def normalize(moments: Moments, mapping: AffineMap | None) -> AffineMap:
    """``mapping``, if any, then instance normalization, for features with ``moments``."""
    if mapping is None:
        return normalization(moments)
    return mapping.then(normalization(moments.mapped(mapping)))


@dataclass(frozen=True)
class MappedFeatures:
    """Features with a pending affine map, and a pending enlargement by 2 x 2.

    The convolution that reads them does both: it folds the map into its kernel and computes the
    enlarged result from the small features.
    """

    features: Tensor
    mapping: AffineMap | None = None
    enlarged: bool = False

    def enlarge(self) -> MappedFeatures:
        """Each pixel repeated 2 x 2 times."""
        return replace(self, enlarged=True)

    def resolve(self) -> Tensor:
        """The mapped features, not enlarged."""
        return self.features if self.mapping is None else self.mapping(self.features)

    def max_pool(self, window: int, increasing: bool) -> MappedFeatures:
        """The mapped features, max-pooled; an increasing map commutes with pooling."""
        if increasing:
            return replace(self, features=F.max_pool2d(self.features, window))
        return MappedFeatures(F.max_pool2d(self.resolve(), window))

    def convolve(self, weight: Tensor, bias: Tensor) -> Tensor:
        """The convolution of the mapped, enlarged features, with reflection padding."""
        convolution = _convolve_enlarged if self.enlarged else _convolve_reflecting
        result = convolution(*self.fold(weight, bias))
        shift = self.fold_shift(weight)
        return result if shift is None else result.add_(convolution(*shift))

    def fold(self, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Features, kernel and bias, with the map in the kernel if it is one for all photos.

        What such a map shifts by region is left to `fold_shift`.
        """
        mapping = self.mapping
        if mapping is None or len(mapping.matrix) > 1:
            return self.resolve(), weight, bias
        kernel = weight.double()
        bias = bias + torch.einsum("oiyx,i->o", kernel, mapping.bias[0])
        kernel = torch.einsum("oiyx,ij->ojyx", kernel, mapping.matrix[0])
        return self.features, kernel.to(weight.dtype), bias.to(weight.dtype)

    def fold_shift(self, weight: Tensor) -> tuple[Tensor, Tensor, Tensor] | None:
        """The masks of regions with the kernel that turns them into the convolved shift of a map.

        None if there is no shift, or `fold` has applied it. The bias is 0.
        """
        mapping = self.mapping
        if mapping is None or len(mapping.matrix) > 1 or mapping.shift is None:
            return None
        masks = mapping.shift.weights.contiguous(memory_format=torch.channels_last)
        kernel = torch.einsum("oiyx,ki->okyx", weight.double(), mapping.shift.biases[0])
        return masks.to(weight.dtype), kernel.to(weight.dtype), weight.new_zeros(len(weight))


def _convolve_reflecting(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if weight.shape[-1] > 1:
        features = F.pad(features, (1, 1, 1, 1), mode="reflect")
    return F.conv2d(features, weight, bias)


def _convolve_enlarged(features: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """The 3x3 convolution of features enlarged 2 x 2, computed from the small features.

    Of the pixels that a row of the kernel covers at least two are the same, and their weights add
    up: the even and odd rows and columns of the result are four convolutions with 2x2 kernels.
    """
    batch, _, height, width = features.shape
    kernels = _even_and_odd(_even_and_odd(weight, 3), 3).flatten(0, 2)
    # Reflection of an enlarged photo repeats its edge.
    padded = F.pad(features, (1, 1, 1, 1), mode="replicate")
    parts = F.conv2d(padded, kernels, bias.repeat(4))
    parts = parts.permute(0, 2, 3, 1).unflatten(3, (2, 2, len(weight)))
    result = parts.new_empty(batch, height, 2, width, 2, len(weight))
    for p in range(2):
        for q in range(2):
            result[:, :, p, :, q] = parts[:, p : p + height, q : q + width, p, q]
    return result.view(batch, 2 * height, 2 * width, len(weight)).permute(0, 3, 1, 2)


def _even_and_odd(kernels: Tensor, dim: int) -> Tensor:
    """Sums of the 3 weights along a dimension, for even and for odd pixels: (2, ...)."""
    before, here, after = kernels.unbind(dim)
    even, odd = (before, here + after), (before + here, after)
    return torch.stack([torch.stack(weights, dim) for weights in (even, odd)])


def conv(
    channels_in: int, channels_out: int, size: int = 3, padding: Padding = "reflect"
) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels_out, size, padding=size // 2, padding_mode=padding)


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


class Link:
    """A level of the encoder as the decoder reads it.

    pooled, joined: what the aggregation and the skip link read, after WCT and normalization.
    twin: the same link with or without WCT, which reads the same features.
    """

    def __init__(self, pooled: MappedFeatures, joined: MappedFeatures) -> None:
        self.pooled, self.joined = pooled, joined
        self._twin: weakref.ref[Link] | None = None
        self._convolved: Tensor | None = None

    @property
    def twin(self) -> Link | None:
        return self._twin() if self._twin else None

    def pair(self, other: Link) -> None:
        """Make two links each other's twins, without a cycle that keeps their features."""
        self._twin, other._twin = weakref.ref(other), weakref.ref(self)

    def convolve(self, weight: Tensor) -> Tensor:
        """The convolution of the skip link, with the kernel of the one layer that reads it.

        That of the twin is computed along, so that a large level is read once for both.
        """
        if self._convolved is None:
            twin = self.twin
            pair = [self, twin] if twin else [self]
            zero = weight.new_zeros(len(weight))
            folded = [link.joined.fold(weight, zero) for link in pair]
            if all(features is folded[0][0] for features, _, _ in folded):
                _, *parameters = zip(*folded, strict=True)
                kernels, biases = (torch.cat(parts) for parts in parameters)
                results = _convolve_reflecting(folded[0][0], kernels, biases).split(len(weight), 1)
            else:
                results = tuple(_convolve_reflecting(*one) for one in folded)
            for link, result in zip(pair, results, strict=True):
                shift = link.joined.fold_shift(weight)
                link._convolved = result if shift is None else result + _convolve_reflecting(*shift)
        assert self._convolved is not None
        return self._convolved


Links = dict[int, Link]


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
        visitor = visitor or Visitor()
        links, _ = self.link(self.encode(pad(pixels)), visitor)
        return self.decode(links, pixels.shape, visitor)

    @property
    def wct_layers(self) -> tuple[str, ...]:
        """The layers with WCT, in the order in which the network reaches them."""
        return self.architecture.wct_layers

    def channels(self, layer: str) -> int:
        """Channels of the features at a WCT layer."""
        w1, w2, w3, w4, w5 = self.widths
        if layer.startswith(("level", "skip")):
            return self.widths[int(layer[-1]) - 1]
        # Stage 2 reads the last convolution of stage 1, which may be off.
        narrowed = w4 if self.architecture.conv16 else w5
        return {"d1": w5, "d2": narrowed, "d3": w3, "d4": w2, "d5": w1}[layer]

    @record_function("encoding")
    def encode(self, pixels: Tensor) -> dict[int, Tensor]:
        """relu1_1 to relu5_1 of padded pixels by level, those that the decoder uses."""
        levels, features = {}, pixels
        for number in range(1, 6):
            features = self.encoder.level(number, features)
            if self.architecture.uses(number):
                levels[number] = features
        return levels

    @record_function("decoding")
    def link(self, levels: dict[int, Tensor], visitor: Visitor) -> tuple[Links, Links]:
        """The levels as the decoder reads them, with WCT by the visitor's maps and without.

        Levels that WCT leaves unchanged are the same links in both.
        """
        links, plain = {}, {}
        for level in sorted(levels, reverse=True):
            layer = "level5" if level == 5 else f"skip{level}"
            mapping = self._visit(layer, levels[level], visitor)
            links[level] = plain[level] = self._link(level, levels[level], mapping, visitor)
            if mapping is not None:
                plain[level] = self._link(level, levels[level], None, visitor)
                links[level].pair(plain[level])
        return links, plain

    @record_function("decoding")
    def decode(self, links: Links, shape: Sequence[int], visitor: Visitor) -> Tensor:
        """Pixels (B, 3, H, W) from the links of an encoded photo of ``shape`` (..., H, W)."""
        x = self._aggregate(links)
        x = self._stage1(x, visitor)
        x = self._stage2(x, links, visitor)
        x = self._stage3(x, links, visitor)
        x = self._stage4(x, links, visitor)
        x = self._stage5(x, links, visitor)
        height, width = shape[-2:]
        return x.features[..., :height, :width]

    def _link(
        self, level: int, features: Tensor, mapping: AffineMap | None, visitor: Visitor
    ) -> Link:
        """INSL, and the pooling for BFA, of a level with its map from WCT, if any."""
        transferred = MappedFeatures(features, mapping)
        a = self.architecture
        if level == 5 or not (a.normalizes(level) or a.aggregates(level)):
            return Link(transferred, transferred)
        normalized = replace(
            transferred, mapping=visitor.normalize(f"skip{level}", features, mapping)
        )
        if not a.aggregates(level):
            return Link(transferred, normalized)
        # Normalization alone is increasing, so that pooling may come first.
        window = STRIDE >> (level - 1)
        pooled = normalized.max_pool(window, increasing=mapping is None)
        return Link(pooled, normalized if a.normalizes(level) else transferred)

    def _aggregate(self, links: Links) -> MappedFeatures:
        """BFA: level 5 with the normalized, pooled levels below, through a 1x1 convolution."""
        parts = [links[5].pooled.resolve()]
        for level in (4, 3, 2, 1):
            if self.architecture.aggregates(level):
                parts.append(links[level].pooled.resolve())
        return MappedFeatures(self.aggregate(torch.cat(parts, 1)))

    def _stage1(self, x: MappedFeatures, visitor: Visitor) -> MappedFeatures:
        x = self._transfer("d1", x, visitor)
        x = self._convolve("conv15", x)
        return self._convolve("conv16", x.enlarge())

    def _stage2(self, x: MappedFeatures, links: Links, visitor: Visitor) -> MappedFeatures:
        x = self._transfer("d2", x, visitor)
        x = self._join("conv17", x, links, 4)
        x = self._convolve("conv19", self._convolve("conv18", x))
        return self._convolve("conv20", x.enlarge())

    def _stage3(self, x: MappedFeatures, links: Links, visitor: Visitor) -> MappedFeatures:
        x = self._transfer("d3", x, visitor)
        x = self._join("conv21", x, links, 3)
        x = self._convolve("conv23", self._convolve("conv22", x))
        return self._convolve("conv24", x.enlarge())

    def _stage4(self, x: MappedFeatures, links: Links, visitor: Visitor) -> MappedFeatures:
        x = self._transfer("d4", x, visitor)
        x = self._join("conv25", x, links, 2)
        return self._convolve("conv26", x.enlarge())

    def _stage5(self, x: MappedFeatures, links: Links, visitor: Visitor) -> MappedFeatures:
        x = self._transfer("d5", x, visitor)
        return self._join("conv27", x, links, 1, activate=False)

    def _transfer(self, layer: str, x: MappedFeatures, visitor: Visitor) -> MappedFeatures:
        """WCT of what a stage of the decoder reads, as a map still to be applied."""
        features = x.resolve()
        mapping = self._visit(layer, features, visitor)
        return MappedFeatures(features, mapping, x.enlarged)

    def _visit(self, layer: str, features: Tensor, visitor: Visitor) -> AffineMap | None:
        return visitor.visit(layer, features) if layer in self.architecture.wct_layers else None

    def _convolve(self, name: str, x: MappedFeatures) -> MappedFeatures:
        """A convolution and ReLU, if the architecture has that layer."""
        if not hasattr(self, name):
            return x
        layer = getattr(self, name)
        return MappedFeatures(F.relu_(x.convolve(layer.weight, layer.bias)))

    def _join(
        self, name: str, x: MappedFeatures, links: Links, level: int, activate: bool = True
    ) -> MappedFeatures:
        """A convolution of x concatenated with the skip link of ``level``, if there is one.

        Computed as the sum over the two, because the concatenation of a large photo is gigabytes.
        """
        layer, own = getattr(self, name), x.features.shape[1]
        result = x.convolve(layer.weight[:, :own], layer.bias)
        if self.architecture.skips(level):
            result = result.add_(links[level].convolve(layer.weight[:, own:]))
        return MappedFeatures(F.relu_(result) if activate else result)


class Passthrough(PhotoNet):
    """No network: pixels pass through unchanged, so that colours alone are transferred."""

    wct_layers = ()

    def __init__(self) -> None:
        nn.Module.__init__(self)

    def forward(self, pixels: Tensor, visitor: Visitor | None = None) -> Tensor:  # noqa: ARG002
        return pixels

    def encode(self, pixels: Tensor) -> dict[int, Tensor]:
        return {0: pixels}

    def link(self, levels: dict[int, Tensor], visitor: Visitor) -> tuple[Links, Links]:  # noqa: ARG002
        pixels = MappedFeatures(levels[0])
        links = {0: Link(pixels, pixels)}
        return links, links

    def decode(self, links: Links, shape: Sequence[int], visitor: Visitor) -> Tensor:  # noqa: ARG002
        height, width = shape[-2:]
        return links[0].pooled.features[..., :height, :width]


@contextmanager
def full_precision(device: torch.device) -> Iterator[None]:
    """Convolutions in float32: on a GPU torch would round their factors to the 10 bits of TF32.

    The switch is torch's own, for the whole process.
    """
    if device.type != "cuda":
        yield
        return
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def pad(pixels: Tensor) -> Tensor:
    """Repeat the right and bottom edge up to the next size that the network takes."""
    height, width = (
        max(MINIMUM_SIZE, -(-size // STRIDE) * STRIDE) - size for size in pixels.shape[-2:]
    )
    return F.pad(pixels, (0, width, 0, height), mode="replicate") if height or width else pixels

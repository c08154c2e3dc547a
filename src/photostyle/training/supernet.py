"""The supernet: one set of weights for every architecture of PhotoNet.

A subnetwork leaves out convolutions of the largest network, and the input channels of missing skip
links and aggregated levels. Where it needs a kernel of another shape, the supernet holds a second
kernel in addition to the largest network's.

It is trained by the sandwich rule (Yu and Huang, Universally Slimmable Networks, ICCV 2019; Yu et
al., BigNAS, ECCV 2020): each step trains the largest network, the smallest, and a random one; the
smaller two learn from the largest as well as from the photos.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photostyle.bundled import networks
from photostyle.errors import PhotostyleError
from photostyle.model.architecture import PHOTONET, Architecture, Widths
from photostyle.model.checkpoint import fill, load, read_tensors
from photostyle.model.network import PhotoNet, conv
from photostyle.model.transfer_settings import TransferSettings

SKIP_LINKS = {"conv17": 4, "conv21": 3, "conv25": 2, "conv27": 1}
"""The level of the skip link that supplies the last input channels of a layer, by layer."""

BITS = tuple(bit.name for bit in fields(Architecture) if bit.name != "unread")
"""Names of the 31 bits of the architecture string that are searched, in its order."""

SMALLEST = Architecture(wct_d5=True)
"""The smallest network has one WCT layer, because without any it would transfer nothing."""


def canonical(architecture: Architecture) -> Architecture:
    """The same network with all bits off that have no effect.

    These are the normalization of a missing skip link, its WCT layer unless the level is
    aggregated, and the bit that is never read.
    """
    bits = {bit: getattr(architecture, bit) for bit in BITS}
    for level in (1, 2, 3, 4):
        bits[f"wct_skip{level}"] &= architecture.uses(level)
        bits[f"norm{level}"] &= architecture.skips(level)
    return Architecture(**bits)


def sample(rng: np.random.Generator) -> Architecture:
    """A random canonical architecture with at least one WCT layer.

    All bits are on with the same probability, which is itself drawn from 0..1, so that small,
    medium and large networks are equally likely.
    """
    while True:
        probability = rng.uniform()
        architecture = canonical(
            Architecture(*(bool(on) for on in rng.uniform(size=32) < probability))
        )
        if architecture.wct_layers:
            return architecture


class Supernet(PhotoNet):
    """PHOTONET with additional kernels for subnetworks.

    conv17_wide: replaces the part of conv17 that reads conv16, where conv16 is off. conv19_1x1,
    conv23_1x1: replace conv19 and conv23 where these are off.
    """

    def __init__(self, widths: Widths):
        super().__init__(PHOTONET, widths)
        _, w2, w3, w4, w5 = widths
        self.conv17_wide = conv(w5, w4)
        self.conv19_1x1 = conv(w4, w3, 1)
        self.conv23_1x1 = conv(w3, w2, 1)
        self._encodings: list[tuple[Tensor, dict[int, Tensor]]] | None = None

    @classmethod
    def around(cls, largest: PhotoNet) -> Supernet:
        """The supernet of a PHOTONET, with additional kernels equivalent to those they replace.

        A 1x1 kernel is the sum of the 3x3 kernel, and conv17_wide is the product of conv16's sum
        and conv17. They are equivalent in flat areas where no ReLU clips.
        """
        supernet = cls(largest.widths)
        supernet.load_state_dict(largest.state_dict(), strict=False)
        with torch.no_grad():
            own = dict(supernet.named_parameters())
            for layer in ("conv19", "conv23"):
                summed = own[f"{layer}.weight"].sum((2, 3), keepdim=True)
                own[f"{layer}_1x1.weight"].copy_(summed)
                own[f"{layer}_1x1.bias"].copy_(own[f"{layer}.bias"])
            above = own["conv17.weight"][:, : largest.widths[3]]
            below = own["conv16.weight"].sum((2, 3))
            own["conv17_wide.weight"].copy_(torch.einsum("omhw,mi->oihw", above, below))
            shift = above.sum((2, 3)) @ own["conv16.bias"]
            own["conv17_wide.bias"].copy_(own["conv17.bias"] + shift)
        return supernet

    def slices(self, network: PhotoNet) -> dict[str, Tensor]:
        """The weights of ``network``'s decoder by name, as differentiable views of our own."""
        own = dict(self.named_parameters())
        return {
            name: self._slice(name, own, network.architecture)
            for name, _ in network.named_parameters()
            if not name.startswith("encoder.")
        }

    def _slice(self, name: str, own: Mapping[str, Tensor], a: Architecture) -> Tensor:
        layer, _, kind = name.rpartition(".")
        if layer == "aggregate" and kind == "weight":
            sizes = [self.widths[level - 1] for level in (5, 4, 3, 2, 1)]
            inputs = own[name].split(sizes, 1)
            kept = [inputs[0]]
            kept += [inputs[5 - level] for level in (4, 3, 2, 1) if a.aggregates(level)]
            return torch.cat(kept, 1)
        if layer in ("conv19", "conv23") and not getattr(a, layer):
            return own[f"{layer}_1x1.{kind}"]
        if layer == "conv17" and not a.conv16:
            wide = own[f"conv17_wide.{kind}"]
            if kind == "bias" or not a.skip4:
                return wide
            return torch.cat([wide, own[name][:, -self.widths[3] :]], 1)
        if layer in SKIP_LINKS and kind == "weight" and not a.skips(SKIP_LINKS[layer]):
            return own[name][:, : -self.widths[SKIP_LINKS[layer] - 1]]
        return own[name]

    def subnetwork(self, architecture: Architecture) -> PhotoNet:
        """A network of ``architecture`` that uses the supernet's weights and trains them.

        It shares the supernet's encoder and `shared_encodings`.
        """
        return _Subnetwork(self, architecture)

    def extract(self, architecture: Architecture) -> PhotoNet:
        """A network of ``architecture`` with a copy of the supernet's weights."""
        with torch.device("meta"):
            network = PhotoNet(architecture, self.widths)
        tensors = {f"encoder.{name}": t for name, t in self.encoder.state_dict().items()}
        tensors |= self.slices(network)
        fill(network, {name: t.detach().clone() for name, t in tensors.items()}, "The supernet")
        return network

    @contextmanager
    def shared_encodings(self) -> Iterator[None]:
        """Within the block each photo (the same tensor) is encoded once for all subnetworks."""
        self._encodings = []
        try:
            yield
        finally:
            self._encodings = None

    def encode(self, pixels: Tensor) -> dict[int, Tensor]:
        if self._encodings is None:
            return super().encode(pixels)
        for encoded, levels in self._encodings:
            if encoded is pixels:
                return dict(levels)
        levels = super().encode(pixels)
        self._encodings.append((pixels, levels))
        return dict(levels)


class _Subnetwork(PhotoNet):
    """A PhotoNet whose layers use slices of a supernet's parameters instead of their own.

    `torch.func.functional_call` would replace them only during one call of ``forward``, but the
    transfer calls ``encode`` and ``decode``.
    """

    def __init__(self, supernet: Supernet, architecture: Architecture):
        with torch.device("meta"):
            super().__init__(architecture, supernet.widths)
        # A bound method, so that the supernet does not become a submodule of its subnetwork.
        self._encode = supernet.encode
        self.encoder = supernet.encoder
        for name, tensor in supernet.slices(self).items():
            layer, _, kind = name.rpartition(".")
            module = self.get_submodule(layer)
            delattr(module, kind)
            setattr(module, kind, tensor)

    def encode(self, pixels: Tensor) -> dict[int, Tensor]:
        levels = self._encode(pixels)
        return {n: features for n, features in levels.items() if self.architecture.uses(n)}


def load_supernet(source: str | os.PathLike[str]) -> tuple[Supernet, TransferSettings]:
    """A supernet and its transfer settings, from a supernet's file or the weights of a PHOTONET.

    source: a file or a bundled name. Raises PhotostyleError as `photostyle.model.checkpoint.load`
    does, and for weights of a smaller network.
    """
    path = networks().get(str(source), Path(source))
    network, settings = _load(path)
    if isinstance(network, Supernet):
        return network, settings
    if network.architecture != PHOTONET:
        raise PhotostyleError(
            f"{path} holds a smaller network; give weights of a supernet or of photonet, made by "
            "`photostyle train` with --supernet or --arch photonet."
        )
    return Supernet.around(network), settings


def load_start(
    source: str | os.PathLike[str], architecture: Architecture | None, widths: Widths
) -> PhotoNet:
    """A network to start training from: the one in a file, or extracted from a larger one.

    source: a file or a bundled name; weights of ``architecture``, of a supernet or of a PHOTONET.
    architecture: None for the supernet itself. Raises PhotostyleError as `load_supernet` does, and
    for weights of other widths.
    """
    path = networks().get(str(source), Path(source))
    network, _ = _load(path)
    if network.widths != widths:
        found = ",".join(map(str, network.widths))
        raise PhotostyleError(f"{path} has other widths; use --widths {found}.")
    if not isinstance(network, Supernet) and network.architecture == architecture:
        return network
    supernet, _ = load_supernet(path)
    return supernet.extract(architecture) if architecture else supernet


def _load(path: Path) -> tuple[PhotoNet, TransferSettings]:
    if "conv17_wide.weight" in read_tensors(path):
        checkpoint = load(path, lambda _, widths: Supernet(widths))
    else:
        checkpoint = load(path)
    return checkpoint.network, checkpoint.transfer

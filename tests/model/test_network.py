from __future__ import annotations

import gc
import weakref
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from photostyle.model.architecture import FULL_WIDTHS, PHOTONAS, PHOTONET, Architecture
from photostyle.model.moments import AffineMap, RegionShift
from photostyle.model.network import MappedFeatures, PhotoNet, Visitor, pad

WIDTHS = (4, 6, 5, 7, 8)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("architecture", "decoder", "whole"),
    [(PHOTONET, 16_723_203, 29_668_175), (PHOTONAS, 6_140_995, 19_085_967)],
)
def test_the_paper_s_numbers_of_parameters(
    architecture: Architecture, decoder: int, whole: int
) -> None:
    with torch.device("meta"):
        network = PhotoNet(architecture, FULL_WIDTHS)
    assert parameters(network) == whole
    assert parameters(network) - parameters(network.encoder) == decoder


@settings(max_examples=40, deadline=None)
@given(
    string=st.text("01", min_size=32, max_size=32),
    widths=st.tuples(*[st.integers(1, 9)] * 5),
    height=st.integers(1, 50),
    width=st.integers(1, 50),
)
@torch.no_grad()
def test_any_architecture_width_and_size(
    string: str, widths: tuple[int, int, int, int, int], height: int, width: int
) -> None:
    network = PhotoNet(Architecture.parse(string), widths)
    seen = {}

    class Recorder(Visitor):
        def visit(self, layer: str, features: Tensor) -> None:
            seen[layer] = features.shape[1]

    result = network(torch.rand(2, 3, height, width), Recorder())
    assert result.shape == (2, 3, height, width)
    assert torch.isfinite(result).all()
    layers = network.architecture.wct_layers
    assert list(seen.items()) == [(layer, network.channels(layer)) for layer in layers]


class Mapping(Visitor):
    """Maps by the names of layers."""

    def __init__(self, maps: dict[str, AffineMap]):
        self.maps = maps

    def visit(self, layer: str, features: Tensor) -> AffineMap | None:  # noqa: ARG002
        return self.maps.get(layer)


class MappingByRegion(Mapping):
    """Maps that also shift three regions, whose masks change smoothly, each on its own."""

    def visit(self, layer: str, features: Tensor) -> AffineMap:
        biases = torch.arange(3.0)[:, None] * self.maps[layer].bias[:, None]
        return replace(self.maps[layer], shift=RegionShift(biases, masks_like(features)))


def masks_like(features: Tensor) -> Tensor:
    masks = torch.linspace(-1, 1, 18).view(1, 3, 2, 3).sin().softmax(1).to(features)
    size = features.shape[2:]
    return F.interpolate(masks, size, mode="bilinear").repeat(len(features), 1, 1, 1)


def some_map(channels: int, batch: int = 1) -> AffineMap:
    matrix = torch.eye(channels) + 0.3 * torch.randn(batch, channels, channels) / channels**0.5
    return AffineMap(matrix.double(), torch.randn(batch, channels).double())


@torch.no_grad()
def test_features_are_freed_without_a_garbage_collector() -> None:
    """They are most of the memory, and a cycle would keep them until the next collection."""

    class Watching(Visitor):
        def __init__(self) -> None:
            self.seen: list[weakref.ref[Tensor]] = []

        def visit(self, layer: str, features: Tensor) -> AffineMap | None:  # noqa: ARG002
            self.seen.append(weakref.ref(features))
            channels = features.shape[1]
            return AffineMap(torch.eye(channels).double()[None], torch.zeros(1, channels).double())

    network, visitor = PhotoNet(PHOTONET, (8, 8, 8, 8, 8)), Watching()
    gc.disable()
    try:
        with torch.no_grad():
            network(torch.rand(1, 3, 32, 32), visitor)
        assert len(visitor.seen) == len(PHOTONET.wct_layers)
        assert [ref() for ref in visitor.seen] == [None] * len(visitor.seen)
    finally:
        gc.enable()


def test_every_map_that_visit_returns_is_applied() -> None:
    torch.manual_seed(0)
    network, pixels = PhotoNet(PHOTONET, (16, 16, 16, 16, 16)), torch.rand(1, 3, 32, 48)
    plain = network(pixels)
    for layer in PHOTONET.wct_layers:
        changed = network(pixels, Mapping({layer: some_map(16)}))
        assert not torch.equal(changed, plain), layer
    alone = PhotoNet(Architecture(wct_d1=True), WIDTHS)  # no convolution reads its map at once
    changed = alone(pixels, Mapping({"d1": some_map(8)}))
    assert not torch.equal(changed, alone(pixels))


@settings(max_examples=25, deadline=None)
@given(
    string=st.text("01", min_size=32, max_size=32),
    seed=st.integers(0, 99),
    visitor=st.sampled_from([Mapping, MappingByRegion]),
)
@torch.no_grad()
def test_folded_maps_are_those_applied_to_features(
    string: str, seed: int, visitor: type[Mapping]
) -> None:
    """A map for each sample is applied to the features, one for all is folded into kernels."""
    torch.manual_seed(seed)
    network, pixels = PhotoNet(Architecture.parse(string), WIDTHS), torch.rand(2, 3, 33, 40)
    maps = {layer: some_map(network.channels(layer)) for layer in network.architecture.wct_layers}
    each = {
        layer: AffineMap(m.matrix.repeat(2, 1, 1), m.bias.repeat(2, 1)) for layer, m in maps.items()
    }

    levels = network.encode(pad(pixels))
    links, plain = network.link(levels, visitor(maps))
    folded = network.decode(links, pixels.shape, visitor(maps))
    applied = network(pixels, visitor(each))
    reconstruction = network.decode(plain, pixels.shape, Visitor())
    torch.testing.assert_close(folded, applied, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(reconstruction, network(pixels), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 5), (7, 4)])
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("by_region", [False, True])
def test_a_convolution_of_enlarged_features(
    height: int, width: int, mapped: bool, by_region: bool
) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 5, height, width, dtype=torch.float64, requires_grad=True)
    weight, bias = torch.randn(4, 5, 3, 3).double().requires_grad_(), torch.randn(4).double()
    mapping = some_map(5) if mapped else None
    if mapping and by_region:
        mapping = MappingByRegion({"": mapping}).visit("", features.detach())
    found = MappedFeatures(features, mapping, enlarged=True).convolve(weight, bias)
    enlarged = features if mapping is None else mapping(features)
    enlarged = enlarged.repeat_interleave(2, 2).repeat_interleave(2, 3)
    expected = F.conv2d(F.pad(enlarged, (1, 1, 1, 1), mode="reflect"), weight, bias)
    torch.testing.assert_close(found, expected)
    along = torch.randn_like(found)
    gradients = [torch.autograd.grad(x, (features, weight), along) for x in (found, expected)]
    torch.testing.assert_close(*gradients)


@torch.no_grad()
def test_channels_last_changes_nothing() -> None:
    network, pixels = PhotoNet(PHOTONET, WIDTHS), torch.rand(2, 3, 33, 47)
    expected = network(pixels)
    network.to(memory_format=torch.channels_last)
    result = network(pixels.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_padding_repeats_the_edge() -> None:
    """A photo that was padded by hand gives the same."""
    network, pixels = PhotoNet(PHOTONAS, WIDTHS), torch.rand(1, 3, 33, 47)
    padded = F.pad(pixels, (0, 1, 0, 15), mode="replicate")
    assert pad(pixels).shape == padded.shape
    torch.testing.assert_close(network(pixels), network(padded)[..., :33, :47])


@torch.no_grad()
def test_photos_of_a_batch_do_not_mix() -> None:
    network, pixels = PhotoNet(PHOTONAS, WIDTHS), torch.rand(3, 3, 32, 64)
    together = network(pixels)
    for i in range(3):
        torch.testing.assert_close(together[i], network(pixels[i : i + 1])[0], rtol=1e-4, atol=1e-5)

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from photostyle.architecture import FULL_WIDTHS, PHOTONAS, PHOTONET, Architecture
from photostyle.network import PhotoNet

WIDTHS = (4, 6, 5, 7, 8)


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("architecture", "decoder", "whole"),
    [(PHOTONET, 16_723_203, 29_668_175), (PHOTONAS, 6_140_995, 19_085_967)],
)
def test_published_numbers_of_parameters(
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

    def visit(place: str, features: Tensor) -> Tensor:
        seen[place] = features.shape[1]
        return features

    result = network(torch.rand(2, 3, height, width), visit)
    assert result.shape == (2, 3, height, width)
    assert torch.isfinite(result).all()
    places = network.architecture.places
    assert list(seen.items()) == [(place, network.channels(place)) for place in places]


@torch.no_grad()
def test_what_visit_returns_is_what_goes_on() -> None:
    torch.manual_seed(0)
    network, pixels = PhotoNet(PHOTONET, (16, 16, 16, 16, 16)), torch.rand(1, 3, 32, 48)
    plain = network(pixels)
    for place in PHOTONET.places:
        changed = network(
            pixels, lambda p, f, here=place: f + 9 * torch.rand(16, 1, 1) if p == here else f
        )
        assert not torch.equal(changed, plain), place


@torch.no_grad()
def test_channels_last_changes_nothing() -> None:
    network, pixels = PhotoNet(PHOTONET, WIDTHS), torch.rand(2, 3, 33, 47)
    expected = network(pixels)
    network.to(memory_format=torch.channels_last)
    result = network(pixels.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_padding_does_not_reach_into_a_photo_that_fits() -> None:
    """The batch and a size that needs no padding: each sample alone gives the same."""
    network, pixels = PhotoNet(PHOTONAS, WIDTHS), torch.rand(3, 3, 32, 64)
    together = network(pixels)
    for i in range(3):
        torch.testing.assert_close(together[i], network(pixels[i : i + 1])[0], rtol=1e-4, atol=1e-5)

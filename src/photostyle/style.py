"""What has been learned of a style photo: the moments at every WCT place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from photostyle.moments import Moments, transfer_map
from photostyle.network import PhotoNet


@dataclass(frozen=True)
class Style:
    """The moments of a style photo's features, by the name of the WCT place."""

    moments: Mapping[str, Moments]


def record(network: PhotoNet, pixels: Tensor) -> tuple[Style, Tensor]:
    """Learn the style of RGB (B, 3, H, W), 0..1; also gives the network's reconstruction of it.

    The features go through the decoder unchanged and their moments at each place are kept.
    """
    moments = {}

    def visit(place: str, features: Tensor) -> Tensor:
        moments[place] = Moments.of(features)
        return features

    reconstruction = network(pixels, visit)
    return Style(moments), reconstruction


def transfer(
    network: PhotoNet,
    pixels: Tensor,
    style: Style,
    method: str,
    damping: float,
    strength: float = 1.0,
) -> Tensor:
    """RGB (B, 3, H, W), 0..1, with the features at every place carried onto ``style``'s moments.

    ``strength`` blends each feature with its transferred self; method and damping are those of
    `photostyle.moments.transfer_map`. The result is not clamped.
    """

    def visit(place: str, features: Tensor) -> Tensor:
        mapping = transfer_map(Moments.of(features), style.moments[place], method, damping)
        return mapping.blend(strength)(features)

    return network(pixels, visit)

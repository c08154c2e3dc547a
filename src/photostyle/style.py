"""What has been learned of a style photo: the moments at every WCT place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from photostyle.moments import Moments, transfer_map
from photostyle.network import PhotoNet, pad, passthrough
from photostyle.weights import Transfer

PIXELS = "pixels"
"""Beside the WCT places of the network, the name of the place of the photo itself."""

RESIDUAL_DAMPING = 1e-2
"""Damping at PIXELS: a grey photo holds faint colour noise, which must stay faint."""


@dataclass(frozen=True)
class Style:
    """The moments of a style photo's pixels and features, by the name of the place."""

    moments: Mapping[str, Moments]


def record(network: PhotoNet, pixels: Tensor) -> tuple[Style, Tensor]:
    """Learn the style of RGB (B, 3, H, W), 0..1; also gives the network's reconstruction of it.

    The features go through the decoder unchanged and their moments at each place are kept.
    """
    moments = {PIXELS: Moments.of(pixels)}

    def visit(place: str, features: Tensor) -> Tensor:
        moments[place] = Moments.of(features)
        return features

    reconstruction = network(pixels, visit)
    return Style(moments), reconstruction


def transfer(
    network: PhotoNet, pixels: Tensor, style: Style, settings: Transfer, strength: float = 1.0
) -> Tensor:
    """RGB (B, 3, H, W), 0..1, with the features at every place carried onto ``style``'s moments.

    ``strength`` blends each feature with its transferred self. The result is not clamped.
    """

    def visit(place: str, features: Tensor) -> Tensor:
        mapping = transfer_map(
            Moments.of(features), style.moments[place], settings.method, settings.damping
        )
        return mapping.blend(strength)(features)

    height, width = pixels.shape[-2:]
    padded = pad(pixels)
    levels = network.encode(padded)
    result = network.decode(dict(levels), visit)
    if settings.residual:
        ours, theirs = Moments.of(pixels), style.moments[PIXELS]
        mapping = transfer_map(ours, theirs, settings.method, RESIDUAL_DAMPING).blend(strength)
        result = result + mapping.linear(padded - network.decode(levels, passthrough))
    elif strength < 1:
        # So that strength 0 gives the photo itself, not its reconstruction.
        result = result + (1 - strength) * (padded - network.decode(levels, passthrough))
    return result[..., :height, :width]

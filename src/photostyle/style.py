"""What has been learned of a style photo: the moments at every WCT place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from photostyle.moments import AffineMap, Moments, transfer_map
from photostyle.network import PhotoNet, Visit, pad, passthrough
from photostyle.weights import Transfer

PIXELS, RESIDUAL = "pixels", "residual"
"""Beside the WCT places of the network: the photo itself, and what the auto-encoder loses of it."""

RESIDUAL_DAMPING = 1e-2
"""Damping of the residual's map: a grey photo holds faint colour noise, which must stay faint."""


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
    moments[RESIDUAL] = Moments.of(pixels - reconstruction)
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

    def decode(levels: dict[int, Tensor], visit: Visit) -> Tensor:
        return network.decode(levels, visit)[..., :height, :width]

    levels = network.encode(pad(pixels))
    if settings.residual:
        # The transfer comes last, so that levels are freed as they are transferred.
        residual = pixels - decode(dict(levels), passthrough)
        mapping = _residual_map(pixels, residual, style, settings).blend(strength)
        return decode(levels, visit) + mapping(residual)
    if strength < 1:
        # So that strength 0 gives the photo itself, not its reconstruction.
        residual = pixels - decode(dict(levels), passthrough)
        return decode(levels, visit) + (1 - strength) * residual
    return decode(levels, visit)


def _residual_map(pixels: Tensor, residual: Tensor, style: Style, settings: Transfer) -> AffineMap:
    """Carries residuals over as the colours of the two photos would be, and their mean exactly.

    The means of the residuals are what reconstruction gets wrong in the colour of either photo.
    """
    colours = transfer_map(
        Moments.of(pixels), style.moments[PIXELS], settings.method, RESIDUAL_DAMPING
    )
    return AffineMap.between(
        Moments.of(residual).mean, style.moments[RESIDUAL].mean, colours.matrix
    )

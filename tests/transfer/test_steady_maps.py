"""Maps that are averaged with those of other frames."""

from __future__ import annotations

import torch

from photostyle.transfer.local_maps import LocalAffineMaps
from photostyle.transfer.steady_maps import ALIKE, OWN, Anchors


def test_one_color_has_one_grade_wherever_it_is() -> None:
    """The maps are the mean, weighted by likeness of colours, of those of all blocks."""
    generator = torch.Generator().manual_seed(0)
    colors = (32 * torch.rand(2, 3, 4, 6, generator=generator)).round() / 32
    colors[0, :, 0] = colors[1, :, 3, :1]  # seen again at another place, in another frame
    known, key = colors[:1], colors[1]
    maps = torch.rand(1, 12, 4, 6, generator=generator).half()
    own = torch.rand(12, 4, 6, generator=generator)
    steadied = Anchors(known, maps).steadied(LocalAffineMaps(own, 4), key, anywhere=True)
    distance = torch.cdist(key.flatten(1).T.double(), known[0].flatten(1).T.double())
    weights = torch.exp(-(distance**2) / (2 * ALIKE**2))
    sums = weights @ maps[0].flatten(1).T.double() + OWN * own.flatten(1).T
    expected = (sums / (OWN + weights.sum(1, keepdim=True))).T.view(12, 4, 6).float()
    assert (expected - own).abs().max() > 0.1
    torch.testing.assert_close(steadied.maps, expected, rtol=0, atol=2e-3)

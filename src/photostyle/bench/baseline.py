"""The reference implementation of PhotoNAS (An et al., AAAI 2020), run as by its authors.

It uses the full widths at full resolution, resizes both photos to that resolution, encodes the
style again for each content photo, concatenates features and computes WCT in float64 by singular
value decomposition. Weights are random, because the time does not depend on them.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photostyle.model.architecture import FULL_WIDTHS, PHOTONAS, Widths
from photostyle.model.network import PhotoNet, pad

BYTES_PER_PIXEL = 6_000
"""Peak memory of a run per pixel; a run at 1920x1080 takes 11.9 GB."""


class Baseline(nn.Module):
    """The reference implementation's forward pass with random weights."""

    def __init__(self, widths: Widths = FULL_WIDTHS) -> None:
        super().__init__()
        self.network = PhotoNet(PHOTONAS, widths).requires_grad_(False)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, content: Tensor, style: Tensor) -> Tensor:
        """Transfer the style of one RGB photo to another, both (1, 3, H, W), 0..1.

        The result has the size of the content after `pad`.
        """
        contents, styles = self._levels(content), self._levels(style)
        x = wct(self._to_last_stage(contents), self._to_last_stage(styles))
        skip = F.instance_norm(wct(contents[0], styles[0]))
        return self.network.conv27(torch.cat([x, skip], 1))

    def _levels(self, pixels: Tensor) -> list[Tensor]:
        levels, features = [], pad(pixels)
        for number in range(1, 6):
            features = self.network.encoder.level(number, features)
            # Safe to keep: the next level begins with a convolution or pooling, not in place.
            levels.append(features)
        return levels

    def _to_last_stage(self, levels: list[Tensor]) -> Tensor:
        network = self.network
        _, two, _, four, five = levels
        pooled = (F.max_pool2d(F.instance_norm(four), 2), F.max_pool2d(F.instance_norm(two), 8))
        x = network.aggregate(torch.cat([five, *pooled], 1))
        x = F.interpolate(x, scale_factor=2)
        x = F.relu(network.conv17(torch.cat([x, four], 1)))
        x = F.interpolate(F.relu(network.conv19(x)), scale_factor=2)
        x = F.relu(network.conv21(x))
        x = F.interpolate(F.relu(network.conv23(x)), scale_factor=2)
        return F.interpolate(F.relu(network.conv25(x)), scale_factor=2)


def wct(content: Tensor, style: Tensor) -> Tensor:
    """The WCT of the reference implementation for features (1, C, H, W), in float64."""
    c, s = (features[0].flatten(1).double() for features in (content, style))
    mean_c, mean_s = c.mean(1, keepdim=True), s.mean(1, keepdim=True)
    c, s = c - mean_c, s - mean_s
    cov_c, cov_s = (x @ x.T / (x.shape[1] - 1) for x in (c, s))
    cov_c = 1.5 * cov_c + torch.diag(cov_c.diagonal())
    vectors_c, values_c, _ = torch.linalg.svd(cov_c)
    vectors_s, values_s, _ = torch.linalg.svd(cov_s)
    kept_c, kept_s = values_c >= 1e-6, values_s >= 1e-6
    whiten = vectors_c[:, kept_c] * values_c[kept_c] ** -0.5 @ vectors_c[:, kept_c].T
    color = vectors_s[:, kept_s] * values_s[kept_s] ** 0.5 @ vectors_s[:, kept_s].T
    result = color @ (whiten @ c) + mean_s
    return result.to(content.dtype).view_as(content)

"""VGG-19 features, for losses and measures."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from photostyle.model.checkpoint import fill
from photostyle.model.network import Encoder
from photostyle.model.reference import read_vgg, torchvision_vgg


class VGGFeatures(nn.Module):
    """A frozen VGG-19 up to the deepest reluN_1 that its file holds.

    Pixels are RGB (B, 3, H, W), 0..1; width and height must be at least 2**levels.
    """

    def __init__(self, encoder: Encoder, levels: int):
        super().__init__()
        self.encoder = encoder.requires_grad_(False)
        self.levels = levels

    @classmethod
    def load(cls, path: Path | None = None) -> VGGFeatures:
        """Load the weights of a file (see `read_vgg`), or torchvision's for None.

        Raises PhotostyleError for unreadable or damaged files, and if torchvision is missing.
        """
        tensors, padding = read_vgg(path) if path else torchvision_vgg()
        widths: list[int] = []
        while (name := f"conv{len(widths) + 1}_1.weight") in tensors:
            widths.append(len(tensors[name]))
        encoder = Encoder(widths, padding)
        expected = encoder.state_dict()
        used = {name: tensor for name, tensor in tensors.items() if name in expected}
        fill(encoder, used, str(path or "VGG-19"))
        return cls(encoder.to(memory_format=torch.channels_last), len(widths))

    @property
    def widths(self) -> list[int]:
        """Channels of relu1_1, relu2_1, ..."""
        return [
            len(self.encoder.get_parameter(f"conv{n}_1.bias")) for n in range(1, self.levels + 1)
        ]

    def forward(self, pixels: Tensor, levels: int | None = None) -> list[Tensor]:
        """relu1_1, relu2_1, ... of the first ``levels`` levels, by default of all."""
        features = [pixels]
        for number in range(1, (levels or self.levels) + 1):
            features.append(self.encoder.level(number, features[-1]))
        return features[1:]

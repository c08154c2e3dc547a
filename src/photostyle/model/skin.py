"""Where photos show human skin, by what the matcher reads of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save as serialize
from torch import Tensor, nn

from photostyle.bundled import SKIN, bundled_file
from photostyle.errors import PhotostyleError
from photostyle.files import new_file
from photostyle.model.checkpoint import SKIN_FORMAT, fill, read_file, read_tensors
from photostyle.model.matcher import DESCRIPTOR, Blocks

AROUND = 7
"""Side of the window of blocks that a block is judged with."""

FACTS = 3 * (DESCRIPTOR + 5)
"""Numbers by which a block is judged."""

_WIDTH = 24


class SkinHead(nn.Module):
    """The logit of the probability that a block shows skin.

    It is judged by its descriptor and colour, and by the same of the blocks around it and of the
    whole photo: skin-coloured wood has no face beside it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.perceptron = nn.Sequential(
            nn.Linear(FACTS, _WIDTH), nn.SiLU(), nn.Linear(_WIDTH, _WIDTH), nn.SiLU()
        )
        self.out = nn.Linear(_WIDTH, 1)

    def forward(self, facts: Tensor) -> Tensor:
        """Logits (..., 1) for blocks of which `facts` says (..., FACTS)."""
        return self.out(self.perceptron(facts))


def facts(blocks: Blocks) -> Tensor:
    """What blocks of h x w are judged by: (B, h, w, FACTS)."""
    own = torch.cat([blocks.descriptors, _colors(blocks.colors)], 1)
    around = F.avg_pool2d(own, AROUND, 1, AROUND // 2, count_include_pad=False)
    whole = own.mean((2, 3), keepdim=True).expand_as(own)
    return torch.cat([own, around, whole], 1).permute(0, 2, 3, 1)


def _colors(rgb: Tensor) -> Tensor:
    """RGB (B, 3, h, w), 0..1, with the red and blue of its chroma relative to its lightness."""
    lightness = rgb.mean(1, keepdim=True)
    relative = (rgb[:, ::2] - lightness) / (lightness + 0.05)
    return torch.cat([2 * rgb - 1, 2 * relative], 1)


def load_skin_head(path: Path | None = None) -> SkinHead:
    """The head of a file, None for the bundled one, in float32 on the CPU.

    Raises PhotostyleError if there is no such file or it is not a head.
    """
    path = path or bundled_file(SKIN)
    if read_file(path).get("format") != SKIN_FORMAT:
        raise PhotostyleError(f"{path} does not tell skin; use a file of examples/train_skin.py.")
    with torch.device("meta"):
        head = SkinHead()
    fill(head, {name: tensor.float() for name, tensor in read_tensors(path).items()}, str(path))
    return head


def save_skin_head(head: SkinHead, path: Path, provenance: Mapping[str, Any]) -> None:
    """Write a head as safetensors, in float16; overwrites."""
    metadata = {"format": SKIN_FORMAT, "provenance": json.dumps(provenance)}
    tensors = {n: t.detach().cpu().half().contiguous() for n, t in head.state_dict().items()}
    with new_file(path, overwrite=True) as file:
        file.write(serialize(tensors, metadata))

"""Tiny networks with random weights, as files."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from photostyle.model.architecture import PHOTONAS
from photostyle.model.checkpoint import Checkpoint, save
from photostyle.model.network import Encoder, PhotoNet

TINY_WIDTHS = (4, 4, 8, 8, 8)


def save_tiny_model(path: Path) -> None:
    """Writes a PhotoNAS of few channels."""
    torch.manual_seed(0)
    save(Checkpoint(PhotoNet(PHOTONAS, TINY_WIDTHS)), path, torch.float16)


def save_tiny_teacher(path: Path) -> None:
    """Writes the first three levels of a VGG-19 of few channels, under Caffe's names."""
    torch.manual_seed(0)
    tensors = Encoder((4, 6, 8)).state_dict()
    save_file({n: t.contiguous() for n, t in tensors.items() if not n.startswith("conv0")}, path)

"""Checkpoints of the reference implementation and of VGG-19, recognized by their content."""

from __future__ import annotations

import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from photostyle.errors import PhotostyleError, needs_extra
from photostyle.files import check_target
from photostyle.model import t7
from photostyle.model.architecture import LEVELS, Architecture, find_architecture
from photostyle.model.checkpoint import Checkpoint, fill, read_tensors, save
from photostyle.model.network import Encoder, Padding, PhotoNet
from photostyle.model.transfer_settings import REFERENCE

NAMES = [
    f"conv{block}_{i}"
    for block, count in enumerate(Encoder.CONVOLUTIONS, 1)
    for i in range(1, count + 1)
]
"""The thirteen 3x3 convolutions from conv1_1 to conv5_1, in order."""

# Positions of these convolutions in torchvision's vgg19().features and in the reference Lua file,
# where position 0 is the 1x1 colour conversion.
_TORCHVISION = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
_LUA = (2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42)

# What torch.load raises for damaged files: the pickle is a program for its unpickler.
_UNPICKLING_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)

_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_CAFFE_MEAN = (103.939, 116.779, 123.68)


def read_vgg(path: Path) -> tuple[dict[str, Tensor], Padding]:
    """Read VGG-19 weights: (tensors ``convB_I.weight``/``.bias`` and ``conv0``, padding mode).

    Recognized by the names inside: torchvision's ``vgg19`` state dict; the reference encoder
    (``conv1`` to ``conv14``); Caffe names (``conv1_1``; RGB 0..1 becomes BGR 0..255 minus the
    mean); Collaborative Distillation (``conv0``, ``conv11``, ...); the reference's Lua file.
    All tensors become float32. Raises PhotostyleError otherwise.
    """
    state = _read_t7(path) if _is_t7(path) else read_state(path)

    def renamed(names: dict[str, str]) -> dict[str, Tensor]:
        return {
            f"{ours}.{kind}": state[f"{theirs}.{kind}"].float()
            for theirs, ours in names.items()
            for kind in ("weight", "bias")
            if f"{theirs}.{kind}" in state
        }

    if "features.0.weight" in state:
        features = zip(_TORCHVISION, NAMES, strict=True)
        tensors = renamed({f"features.{i}": name for i, name in features})
        return tensors | imagenet_conversion(), "zeros"
    if "conv14.weight" in state:
        names = {f"conv{i}": name for i, name in enumerate(NAMES, 2)}
        return renamed({"conv1": "conv0"} | names), "reflect"
    if "conv1_1.weight" in state:
        return renamed({name: name for name in NAMES}) | _caffe_conversion(), "zeros"
    if "conv11.weight" in state and "conv0.weight" in state:
        return renamed({"conv0": "conv0"} | {n.replace("_", ""): n for n in NAMES}), "reflect"
    raise PhotostyleError(
        f"{path} is not a known VGG-19; use torchvision's vgg19 state dict, the reference "
        "encoder's (conv1 to conv14) or its Lua .t7 file."
    )


def read_reference_checkpoint(decoder: Path, encoder: Path, architecture: Architecture) -> PhotoNet:
    """The network of a reference decoder checkpoint and a VGG-19 encoder (see `read_vgg`).

    decoder: a torch state dict with the names ``conv15``, ``conv17_2``, ``conv_pyramid213``, ...;
    layers that ``architecture`` does not use are left out. Raises PhotostyleError when a file is
    none of these or lacks a layer.
    """
    vgg, _ = read_vgg(encoder)
    state = read_state(decoder)
    if not any(name.startswith("conv_pyramid") for name in state):
        raise PhotostyleError(f"{decoder} is not a reference decoder: it has no conv_pyramid.")
    tensors = {f"encoder.{name}": tensor for name, tensor in vgg.items()}
    if "conv5_1.bias" not in vgg:
        raise PhotostyleError(f"{encoder} ends before conv5_1, which the network needs.")
    w1, w2, w3, w4, w5 = (len(vgg[f"conv{level}_1.bias"]) for level in LEVELS)
    with torch.device("meta"):
        network = PhotoNet(architecture, (w1, w2, w3, w4, w5))
    for ours in dict.fromkeys(name.split(".")[0] for name, _ in network.named_parameters()):
        if ours != "encoder":
            theirs = reference_name(ours, architecture)
            for kind in ("weight", "bias"):
                if f"{theirs}.{kind}" in state:
                    tensors[f"{ours}.{kind}"] = state[f"{theirs}.{kind}"].float()
    fill(network, tensors, f"{decoder} with {encoder}")
    return network


def convert_reference_checkpoint(
    decoder: Path,
    encoder: Path,
    arch: str,
    output: Path,
    *,
    float32: bool = False,
    overwrite: bool = False,
) -> None:
    """Convert a checkpoint of the reference implementation to a photostyle checkpoint.

    arch: name or string of its architecture. float32: keep full precision, else float16. Raises
    PhotostyleError as `read_reference_checkpoint` and `photostyle.files.new_file` do.
    """
    check_target(output, overwrite=overwrite)
    network = read_reference_checkpoint(decoder, encoder, find_architecture(arch))
    provenance = {"imported from": decoder.name, "encoder": encoder.name}
    checkpoint = Checkpoint(network, REFERENCE, provenance)
    save(checkpoint, output, torch.float32 if float32 else torch.float16, overwrite=overwrite)


def reference_name(layer: str, architecture: Architecture) -> str:
    """The name of one of our decoder layers in reference checkpoints.

    They hold a layer ``_2`` for each choice between two shapes, and a 1x1 convolution for every
    choice of aggregated levels, whose digits count from level 4 (1) to level 1 (4).
    """
    if layer == "aggregate":
        digits = "".join(str(5 - level) for level in (4, 3, 2, 1) if architecture.aggregates(level))
        return f"conv_pyramid{len(digits)}{digits if 0 < len(digits) < 4 else ''}"
    full_shape = {
        "conv17": architecture.skip4,
        "conv19": architecture.conv19,
        "conv21": architecture.skip3,
        "conv23": architecture.conv23,
        "conv25": architecture.skip2,
        "conv27": architecture.skip1,
    }
    return layer if full_shape.get(layer, True) else f"{layer}_2"


def torchvision_vgg() -> tuple[dict[str, Tensor], Padding]:
    """torchvision's ImageNet VGG-19 as `read_vgg` gives it; downloads it on first use."""
    with needs_extra("train"):
        from torchvision.models import VGG19_Weights, vgg19

    features = vgg19(weights=VGG19_Weights.IMAGENET1K_V1).features
    tensors = {
        f"{name}.{kind}": getattr(features[i], kind).detach()
        for i, name in zip(_TORCHVISION, NAMES, strict=True)
        for kind in ("weight", "bias")
    }
    return tensors | imagenet_conversion(), "zeros"


def read_state(path: Path) -> dict[str, Tensor]:
    """A state dict from a safetensors file or a torch checkpoint, which is never run as code.

    Raises PhotostyleError for anything else.
    """
    if not path.is_file():
        raise PhotostyleError(f"There is no file {path}.")
    with path.open("rb") as file:
        start = file.read(9)
    # A safetensors file starts with the length of its JSON header, eight bytes, and a brace.
    if start[8:9] == b"{":
        return read_tensors(path)
    try:
        if zipfile.is_zipfile(path):
            _check_archive(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickles of old versions
            state = torch.load(path, map_location="cpu", weights_only=True)
    except _UNPICKLING_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise PhotostyleError(f"{path} is not a readable torch checkpoint ({reason}).") from None
    if not isinstance(state, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in state.items()
    ):
        raise PhotostyleError(f"{path} is not a state dict (tensors by name).")
    return {re.sub(r"^module\.", "", name): tensor for name, tensor in state.items()}


def imagenet_conversion() -> dict[str, Tensor]:
    """torchvision's normalization of RGB 0..1 as the 1x1 convolution conv0."""
    mean, std = torch.tensor(_IMAGENET_MEAN), torch.tensor(_IMAGENET_STD)
    return {"conv0.weight": torch.diag(1 / std)[..., None, None], "conv0.bias": -mean / std}


def _caffe_conversion() -> dict[str, Tensor]:
    flip = 255 * torch.eye(3).flip(0)
    return {"conv0.weight": flip[..., None, None], "conv0.bias": -torch.tensor(_CAFFE_MEAN)}


def _is_t7(path: Path) -> bool:
    """Whether a file starts with a Torch 7 object (type 4), and not with a safetensors header."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        start = file.read(9)
    return start.startswith(b"\4\0\0\0") and start[8:9] != b"{"


def _read_t7(path: Path) -> dict[str, Tensor]:
    """The convolutions of the reference Lua file by the names of the reference encoder."""
    if not path.is_file():
        raise PhotostyleError(f"There is no file {path}.")
    state = {}
    try:
        modules = t7.parse(path.read_bytes()).fields[b"modules"]
        for number, position in enumerate((0, *_LUA), 1):
            fields = modules[position + 1].fields
            weight, bias = (
                torch.tensor(np.array(fields[kind], np.float32)) for kind in (b"weight", b"bias")
            )
            size = 1 if number == 1 else 3
            # SpatialConvolutionMM keeps its kernels as the rows of a matrix.
            state[f"conv{number}.weight"] = weight.reshape(len(bias), -1, size, size)
            state[f"conv{number}.bias"] = bias
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise PhotostyleError(
            f"{path} is not the Lua file of the reference encoder ({error})."
        ) from None
    return state


def _check_archive(path: Path) -> None:
    """Raises ValueError for an archive that unpacks to more than it is; torch never compresses."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    total = sum(entry.file_size for entry in entries)
    if any(entry.compress_type for entry in entries) or total > path.stat().st_size:
        raise ValueError("it is compressed")

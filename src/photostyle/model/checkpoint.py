"""Our checkpoints: written, loaded by path or bundled name, recognized by their content.

A checkpoint is a safetensors file whose metadata hold everything that its network is built from:
the architecture string, the five widths, the transfer settings; and how it was made.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from photostyle.bundled import networks
from photostyle.errors import PhotostyleError
from photostyle.files import new_file
from photostyle.model.architecture import Architecture, Widths, parse_widths
from photostyle.model.moments import METHODS
from photostyle.model.network import Passthrough, PhotoNet
from photostyle.model.transfer_settings import TransferSettings

FORMAT = "photostyle/1"

MATCHER_FORMAT = "photostyle-matcher/1"
"""The format of files of `photostyle.model.matcher`."""

SKIN_FORMAT = "photostyle-skin/1"
"""The format of files of `photostyle.model.skin`."""

_OTHERS = {MATCHER_FORMAT: "a matcher", SKIN_FORMAT: "what finds skin for --keep skin"}

NONE = "none"
"""The model without a network: colours alone are transferred."""


@dataclass
class Checkpoint:
    """A network, how it transfers, and where it comes from.

    provenance: what was trained or imported, how and on what, as JSON values.
    """

    network: PhotoNet
    transfer: TransferSettings = field(default_factory=TransferSettings)
    provenance: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the weights: styles that were learned with them fit no other weights."""
        return digest_of(self.network)


def digest_of(module: torch.nn.Module) -> str:
    """SHA-256 of the weights of a module."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode() + str(tuple(tensor.shape)).encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def load(
    source: str | os.PathLike[str], build: Callable[[Architecture, Widths], PhotoNet] = PhotoNet
) -> Checkpoint:
    """Load bundled weights by name, or a safetensors file by path, in float32 on the CPU.

    The name "none" stands for no network.

    build: makes the network, without memory, that the weights are for. Raises PhotostyleError if
    there is no such file or it is not a photostyle checkpoint.
    """
    if str(source) == NONE:
        return Checkpoint(Passthrough())
    path = networks().get(str(source), Path(source))
    metadata = read_metadata(path)
    try:
        architecture = Architecture.parse(metadata["architecture"])
        widths = parse_widths(metadata["widths"])
        checkpoint = Checkpoint(
            # No memory is allocated before the file has shown that it holds that much.
            _empty_network(build, architecture, widths),
            _transfer_settings(metadata["transfer"]),
            json.loads(metadata["provenance"]),
        )
        transfer = checkpoint.transfer
        if transfer.method not in METHODS:
            raise ValueError(f"unknown method {transfer.method}")
        if not isinstance(transfer.damping, (int, float)) or not 0 <= transfer.damping < math.inf:
            raise ValueError(f"damping {transfer.damping!r}")
        if not isinstance(transfer.refine, bool):
            raise ValueError(f"refine {transfer.refine!r}")
    except (KeyError, ValueError, TypeError, RecursionError, PhotostyleError) as error:
        raise _damaged(path, error) from None
    tensors = {name: tensor.float() for name, tensor in read_tensors(path).items()}
    fill(checkpoint.network, tensors, str(path))
    return checkpoint


def identify(source: str | os.PathLike[str]) -> str:
    """File name and SHA-256 of weights, by which other files refer to them."""
    path = networks().get(str(source), Path(source))
    _open(path)
    return f"{path.name} sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def read_metadata(path: Path) -> dict[str, str]:
    """The metadata of a photostyle checkpoint; raises PhotostyleError for any other file."""
    metadata = read_file(path)
    kind = "a style" if "photostyle" in metadata else _OTHERS.get(metadata.get("format", ""))
    if kind:
        raise PhotostyleError(
            f"{path} is {kind}, not a network; use the weights of a network, such as photonas."
        )
    if metadata.get("format") != FORMAT:
        raise PhotostyleError(
            f"{path} is not a photostyle checkpoint; convert one with `photostyle weights import`."
        )
    return metadata


def read_file(path: Path) -> dict[str, str]:
    """The metadata of a safetensors file; raises PhotostyleError if it is not one."""
    with _open(path) as file:
        return file.metadata() or {}


def describe(path: Path) -> dict[str, str]:
    """The facts in a file of weights, by name, in the order in which to show them."""
    metadata = read_file(path)
    if metadata.get("format") == MATCHER_FORMAT:
        names: tuple[str, ...] = ("format", "widths")
    elif metadata.get("format") == SKIN_FORMAT:
        names = ("format",)
    else:
        metadata = read_metadata(path)
        names = ("architecture", "widths", "transfer")
    tensors = read_tensors(path).values()
    try:
        provenance = dict(json.loads(metadata.get("provenance", "{}")))
    except (ValueError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from None
    facts = {name: metadata.get(name, "?") for name in names}
    facts["parameters"] = f"{sum(tensor.numel() for tensor in tensors):,}"
    facts["precision"] = ", ".join(sorted({str(t.dtype).removeprefix("torch.") for t in tensors}))
    return facts | {name: str(value) for name, value in provenance.items()}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """All tensors of a safetensors file; raises PhotostyleError if it is not one."""
    with _open(path) as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def save(
    checkpoint: Checkpoint, path: Path, dtype: torch.dtype, *, overwrite: bool = False
) -> None:
    """Write a checkpoint as safetensors, with weights of ``dtype``.

    Raises PhotostyleError as `photostyle.files.new_file` does.
    """
    network = checkpoint.network
    if isinstance(network, Passthrough):
        raise PhotostyleError(f"The model {NONE} has no weights to write.")
    metadata = {
        "format": FORMAT,
        "architecture": str(network.architecture),
        "widths": ",".join(map(str, network.widths)),
        "transfer": json.dumps(asdict(checkpoint.transfer)),
        "provenance": json.dumps(checkpoint.provenance),
    }
    tensors = {
        name: tensor.detach().cpu().to(dtype).contiguous()
        for name, tensor in network.state_dict().items()
    }
    with new_file(path, overwrite=overwrite) as file:
        file.write(serialize(tensors, metadata))


def fill(network: torch.nn.Module, tensors: dict[str, Tensor], origin: str) -> None:
    """Load weights into a network, which may be on the meta device.

    origin: where they come from, for messages. Raises PhotostyleError unless they are exactly the
    weights of the network, of the same shapes and finite.
    """
    expected = network.state_dict()
    for name, parameter in expected.items():
        if name not in tensors:
            raise PhotostyleError(f"{origin} lacks the weights {name}.")
        if tensors[name].shape != parameter.shape:
            raise PhotostyleError(
                f"{origin} contains {name} of shape {tuple(tensors[name].shape)} instead of "
                f"{tuple(parameter.shape)}."
            )
        if not torch.isfinite(tensors[name]).all():
            raise PhotostyleError(f"{origin} contains NaN or infinite values in {name}.")
    if extra := sorted(tensors.keys() - expected.keys()):
        raise PhotostyleError(f"{origin} contains unexpected weights: {extra[0]}.")
    network.load_state_dict(tensors, assign=True)
    network.requires_grad_(False)


def _empty_network(
    build: Callable[[Architecture, Widths], PhotoNet], architecture: Architecture, widths: Widths
) -> PhotoNet:
    with torch.device("meta"):
        return build(architecture, widths)


def _transfer_settings(text: str) -> TransferSettings:
    settings = TransferSettings(**json.loads(text))
    if settings.method == "published":  # the name in files of the first release
        settings = replace(settings, method="reference")
    return settings


def _damaged(path: Path, error: Exception) -> PhotostyleError:
    return PhotostyleError(f"{path} has damaged metadata ({error}); download or make it again.")


def _open(path: Path) -> Any:
    names = ", ".join(networks()) or "no files"
    if str(path) == NONE:
        raise PhotostyleError(f"The model {NONE} has no weights; bundled weights: {names}.")
    if not path.is_file():
        raise PhotostyleError(f"The weights file {path} does not exist; bundled weights: {names}.")
    try:
        return safe_open(path, "pt")
    except (SafetensorError, OSError) as error:
        raise PhotostyleError(f"{path} is not a readable safetensors file ({error}).") from None

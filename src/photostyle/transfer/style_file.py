"""Style files: what is learned of one or more photos, for the networks that learned it.

A safetensors file. Its metadata hold the weight and the provenance of each style, the digest of the
weights that learned it, and that of the matcher that read its blocks. Covariances are stored by
their upper triangles in float32, blocks as they are in float16, thumbnails and samples with 8 bits
per value, masks at half their size. The bytes of each tensor are compressed; files of the first
format, in which they are not, are read too.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.files import new_file, read_bytes
from photostyle.model.matcher import DESCRIPTOR, Blocks
from photostyle.model.moments import Moments
from photostyle.transfer.content_moments import PIXELS, RESIDUAL
from photostyle.transfer.style import AnyStyle, Style, StyleMix, parts_of
from photostyle.transfer.tone_curves import BINS, ToneHistogram

KEY, FORMAT, UNCOMPRESSED = "photostyle", "photostyle-style/2", "photostyle-style/1"

FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "dict_size": 1 << 20}]

LARGEST = 16 << 20
"""Bytes of a tensor at most: many times those of any style."""

Tensors = dict[str, Tensor]


def write(style: AnyStyle, path: Path, *, overwrite: bool = False) -> None:
    """Write a style or mix; raises PhotostyleError as `photostyle.files.new_file` does."""
    with new_file(path, overwrite=overwrite) as file:
        file.write(serialize(style))


def serialize(style: AnyStyle) -> bytes:
    """The bytes of a style file."""
    tensors: Tensors = {}
    described = []
    for number, (part, weight) in enumerate(parts_of(style)):
        tensors |= {f"{number}.{name}": tensor for name, tensor in _packed(part).items()}
        described.append(
            {
                "weight": weight,
                "photos": part.photos,
                "digest": part.digest,
                "matcher": part.matcher,
                "provenance": dict(part.provenance),
            }
        )
    types = {name: [str(t.dtype)[6:], *t.shape] for name, t in tensors.items()}
    facts = {"format": FORMAT, "tensors": types, "styles": described}
    # In one entry: safetensors writes several in any order, but equal styles give equal files.
    stored = {name: _compressed(name, tensor) for name, tensor in tensors.items()}
    return save(stored, {KEY: json.dumps(facts)})


def read(path: Path) -> AnyStyle:
    """The style or mix in a file.

    Raises PhotostyleError if it cannot be read, or is no style file or a damaged one.
    """
    return deserialize(read_bytes(path), str(path))


def deserialize(data: bytes, name: str) -> AnyStyle:
    """The style or mix in the bytes of a file; name: for messages, of `PhotostyleError`."""
    described = describe(data, name)
    try:
        tensors = load(data)
        if "tensors" in (facts := _facts(data)):
            tensors = {
                name: _decompressed(name, tensor, *facts["tensors"][name])
                for name, tensor in tensors.items()
            }
        parts = [
            (_unpacked(_Part(tensors, f"{number}."), facts), facts["weight"])
            for number, facts in enumerate(described)
        ]
    except (
        SafetensorError,
        lzma.LZMAError,
        LookupError,
        TypeError,
        ValueError,
        RuntimeError,
    ) as error:
        raise _damaged(name, error) from None
    return parts[0][0] if len(parts) == 1 else StyleMix.of(parts)


def describe(data: bytes, name: str) -> list[dict[str, Any]]:
    """The facts on each style in the bytes of a file; raises PhotostyleError if it is none."""
    facts = _facts(data)
    if facts.get("format") not in (FORMAT, UNCOMPRESSED):
        raise PhotostyleError(
            f"{name!r} is not a style file; make one with `photostyle style learn`."
        )
    try:
        described = facts["styles"]
        for facts in described:
            weight, photos = facts["weight"], facts["photos"]
            if not (0 < float(weight) <= 1 and 0 < int(photos) == photos):
                raise ValueError("weights or numbers of photos")
            for text in (facts["digest"], facts["matcher"]):
                if not isinstance(text, str):
                    raise TypeError("digests")
            dict(facts["provenance"])
        if not described:
            raise ValueError("no styles")
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(name, error) from None
    return list(described)


def _facts(data: bytes) -> Mapping[str, Any]:
    """The facts in the metadata of a style file; empty if it is none."""
    length = int.from_bytes(data[:8], "little")
    try:
        return dict(json.loads(json.loads(data[8 : 8 + length])["__metadata__"][KEY]))
    except (KeyError, TypeError, ValueError, RecursionError):
        return {}


def _damaged(name: str, error: Exception) -> PhotostyleError:
    return PhotostyleError(f"{name!r} is a damaged style file ({error}); make it again.")


def _packed(style: Style) -> Tensors:
    tensors = {"tones": style.tones.counts.float(), "thumbnail": _bytes(style.thumbnail)}
    for layer, moments in style.moments.items():
        rows, columns = _triangle(moments.mean.shape[-1])
        tensors[f"moments.{layer}.count"] = moments.count.float()
        tensors[f"moments.{layer}.mean"] = moments.mean.float()
        tensors[f"moments.{layer}.covariance"] = moments.covariance[:, rows, columns].float()
    for layer, samples in style.samples.items():
        tensors |= _quantized(f"samples.{layer}", samples)
    if style.mask is not None:
        size = [math.ceil(side / 2) for side in style.mask.shape[2:]]
        tensors["mask"] = _bytes(F.interpolate(style.mask.float(), size, mode="area"))
    if style.blocks is not None:
        # Clusters of descriptors that differ in the least can differ.
        tensors |= {f"blocks.{name}": part.half() for name, part in style.blocks._asdict().items()}
    return tensors


def _compressed(name: str, tensor: Tensor) -> Tensor:
    """The bytes of a tensor, (N,), by their significance; pictures as differences of neighbours."""
    array = tensor.cpu().contiguous().numpy()
    if name.endswith(_SMOOTH):
        array = np.diff(array, axis=-1, prepend=np.zeros_like(array[..., :1]))
    planes = array.reshape(-1, 1).view(np.uint8).T
    found = lzma.compress(planes.tobytes(), lzma.FORMAT_RAW, filters=FILTERS)
    return torch.frombuffer(bytearray(found), dtype=torch.uint8)


_SMOOTH = ("thumbnail", "mask")


def _decompressed(name: str, stored: Tensor, kind: str, *shape: int) -> Tensor:
    """The tensor of such bytes; raises ValueError or LZMAError if they are damaged."""
    if kind not in ("uint8", "float16", "float32"):
        raise ValueError(f"{name} of type {kind}")
    dtype, size = np.dtype(kind), math.prod(shape)
    if not 0 < size * dtype.itemsize <= LARGEST:
        raise ValueError(f"{name} of shape {shape}")
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=FILTERS)
    found = decoder.decompress(stored.numpy().tobytes(), size * dtype.itemsize)
    planes = np.frombuffer(found, np.uint8).reshape(dtype.itemsize, size)
    array = np.array(planes.T, order="C").view(dtype).reshape(shape)
    if name.endswith(_SMOOTH):
        array = np.cumsum(array, axis=-1, dtype=dtype)
    return torch.from_numpy(array)


class _Part:
    """The tensors of one style of a file, checked as they are taken."""

    def __init__(self, tensors: Tensors, prefix: str) -> None:
        self._tensors = {
            name.removeprefix(prefix): tensor
            for name, tensor in tensors.items()
            if name.startswith(prefix)
        }

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def layers(self, group: str) -> Iterator[str]:
        """The layers of which there are "moments" or "samples"."""
        names = (name.split(".") for name in self._tensors)
        return iter(sorted({parts[1] for parts in names if parts[0] == group}))

    def take(self, name: str, *shape: int | None) -> Tensor:
        """A finite tensor of a shape, in which None stands for any length, as float32."""
        tensor = self._tensors[name].float()
        fits = len(tensor.shape) == len(shape) and tensor.numel() > 0
        if not fits or any(w not in (None, n) for n, w in zip(tensor.shape, shape, strict=True)):
            raise ValueError(f"{name} of shape {tuple(tensor.shape)}")
        if not torch.isfinite(tensor).all():
            raise ValueError(f"NaN or infinite values in {name}")
        return tensor

    def quantized(self, name: str, channels: int | None) -> Tensor:
        values = self.take(name, 1, channels, None, None) / 255
        low, high = self.take(f"{name}.range", 2, values.shape[1])[..., None, None]
        return (low + (high - low) * values).half()


def _unpacked(part: _Part, facts: Mapping[str, Any]) -> Style:
    moments, samples = {}, {}
    for layer in part.layers("moments"):
        mean = part.take(f"moments.{layer}.mean", 1, None).double()
        channels = mean.shape[1]
        triangle = part.take(f"moments.{layer}.covariance", 1, channels * (channels + 1) // 2)
        rows, columns = _triangle(channels)
        covariance = triangle.new_zeros(1, channels, channels).double()
        covariance[:, rows, columns] = covariance[:, columns, rows] = triangle.double()
        count = part.take(f"moments.{layer}.count", 1).double()
        moments[layer] = Moments(count, mean, covariance)
    for layer in part.layers("samples"):
        if layer not in moments:
            raise ValueError(f"samples of {layer} without moments")
        samples[layer] = part.quantized(f"samples.{layer}", moments[layer].mean.shape[1])
    if {PIXELS, RESIDUAL} - moments.keys() or samples.keys() - moments.keys():
        raise ValueError("no moments of pixels")
    thumbnail = part.take("thumbnail", 1, 3, None, None).half() / 255
    photos = int(facts["photos"])
    if thumbnail.shape[2] % photos:
        raise ValueError(f"{photos} photos in a thumbnail of {thumbnail.shape[2]} rows")
    blocks = None
    if "blocks.descriptors" in part:
        descriptors = part.take("blocks.descriptors", 1, DESCRIPTOR, None, None).half()
        colors = part.take("blocks.colors", 1, 3, *descriptors.shape[2:])
        if descriptors.shape[2] % photos:
            raise ValueError(f"{photos} photos in blocks of {descriptors.shape[2]} rows")
        blocks = Blocks(descriptors, colors.half(), part.take("blocks.statistics", 1, None).half())
    mask = None
    if "mask" in part:
        mask = part.take("mask", 1, 1, None, None) / 255
        mask = F.interpolate(mask, thumbnail.shape[2:], mode="bilinear")
    return Style(
        moments,
        ToneHistogram(part.take("tones", 1, 3, BINS).double().clamp_min(0)),
        samples,
        thumbnail,
        blocks,
        mask,
        digest=facts["digest"],
        matcher=facts["matcher"],
        photos=photos,
        provenance=facts["provenance"],
    )


def _quantized(name: str, values: Tensor) -> Tensors:
    """Values (1, C, h, w) in 8 bits, and the range of each channel, (2, C)."""
    values = values.float()
    low, high = (values.amin((0, 2, 3)), values.amax((0, 2, 3)))
    span = (high - low).clamp_min(torch.finfo(torch.float32).tiny)[:, None, None]
    return {
        name: ((values - low[:, None, None]) / span * 255).round().byte(),
        f"{name}.range": torch.stack([low, high]),
    }


def _bytes(values: Tensor) -> Tensor:
    """Values in 0..1 with 8 bits."""
    return (values.float().clamp(0, 1) * 255).round().byte()


def _triangle(channels: int) -> tuple[Tensor, Tensor]:
    rows, columns = torch.triu_indices(channels, channels)
    return rows, columns

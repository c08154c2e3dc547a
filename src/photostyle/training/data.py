"""Photos for training, read from folders or tar shards, and random crops of them."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from photostyle import photo
from photostyle.errors import PhotostyleError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"}


class _Member(NamedTuple):
    """A photo of a tar shard, still compressed."""

    name: str
    data: bytes


class Photos:
    """The photos in folders (searched recursively) and tar files, in a fixed order.

    Photos of shards stay in memory, compressed; those in folders are read on access. Raises
    PhotostyleError if there are no photos.
    """

    def __init__(self, sources: Sequence[Path]):
        self._files: list[Path | _Member] = []
        for source in sources:
            if source.is_dir():
                found = (p for p in source.rglob("*") if p.suffix.lower() in SUFFIXES)
                self._files += sorted(found)
            else:
                self._files += _members(source)
        if not self._files:
            raise PhotostyleError(f"There are no photos in {', '.join(map(str, sources))}.")

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Image.Image:
        """Photo ``index``, upright, in sRGB with 8 bits; raises PhotostyleError if unreadable."""
        file = self._files[index]
        if isinstance(file, Path):
            return Image.fromarray(photo.read(file, still=True).in_srgb())
        try:
            return Image.fromarray(photo.read(BytesIO(file.data), still=True).in_srgb())
        except PhotostyleError as error:
            raise PhotostyleError(
                f"The photo {file.name!r} of a tar file is unreadable: {error}"
            ) from None

    def random(self, rng: np.random.Generator) -> Image.Image:
        """A random photo, as by index."""
        return self[int(rng.integers(len(self)))]


def random_crop(image: Image.Image, size: int, rng: np.random.Generator, smallest: float) -> Tensor:
    """A random square crop of a photo, flipped at random: RGB (3, size, size), float32, 0..1.

    Before the resize, the ratio of its side to the photo's short side is log-uniform between
    ``smallest`` and 1, but the side has at least ``size`` pixels if the photo does.
    """
    short = min(image.size)
    side = short * smallest ** rng.uniform()
    side = int(min(max(side, size), short))
    left, top = (int(rng.integers(length - side + 1)) for length in image.size)
    box = (left, top, left + side, top + side)
    crop = image.resize((size, size), Image.Resampling.BICUBIC, box, reducing_gap=3.0)
    if rng.uniform() < 0.5:
        crop = crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return torch.from_numpy(np.array(crop)).permute(2, 0, 1).float() / 255


def _members(shard: Path) -> list[_Member]:
    try:
        with tarfile.open(shard) as archive:
            members = sorted(archive, key=lambda member: member.name)
            photos = [m for m in members if m.isfile() and Path(m.name).suffix.lower() in SUFFIXES]
            return [_Member(m.name, archive.extractfile(m).read()) for m in photos]  # type: ignore[union-attr]
    except (OSError, tarfile.TarError) as error:
        raise PhotostyleError(f"{shard} is neither a folder nor a tar file ({error}).") from None

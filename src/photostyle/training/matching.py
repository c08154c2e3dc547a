"""Pairs of photos whose answer is known, for the training of a `photostyle.model.matcher.Matcher`.

A pair consists of two crops of one photo, which may show different parts of it, or of two photos;
the style has a colour grade, and the target is the ungraded content in this grade. Small copies of
all photos and the lookup tables of the grades stay on the device, where pairs are made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from photostyle.evaluation import grades
from photostyle.evaluation.graded_pairs import OPPOSITE
from photostyle.lut import Lut
from photostyle.model.matcher import ANALYSIS_SIZE, Matcher
from photostyle.model.network import STRIDE
from photostyle.training.data import Photos

Numbers = npt.NDArray[np.int64]

Mode = Literal["near", "far", "overlap", "different"]
"""How the crops of a pair lie: at opposite ends of a photo, with some of it (near) or nothing (far)
in common; anywhere in a photo; or in different photos."""

CHANCES = (0.2, 0.3, 0.1, 0.4)
"""Probabilities of the modes."""

UNGRADED = 0.75
"""Fraction of the pairs of different photos that have no grade, as most photos have none: else a
grade would be no evidence that both photos show the same scene."""

SHORT_SIDE = 200
"""Short side of the copies to train on, in pixels; 1,000 of them take about 0.2 GB."""

GRID = 17
"""Grid points per axis of lookup tables."""

_SHAPES = ((256, 176), (256, 224), (224, 256), (176, 256), (224, 224))
_ALIKE = 24


def read_small(
    photos: Photos, numbers: Sequence[int], short: int, read: Callable[[int], None]
) -> list[np.ndarray]:
    """Copies of photos, by number, as (H, W, 3), uint8.

    Their short side has at most ``short`` pixels, their long side at most twice as many. read:
    called with the number of photos read so far.
    """
    copies = []
    with ThreadPoolExecutor() as pool:
        for copy in pool.map(lambda number: _reduced(photos[number], short), numbers):
            copies.append(copy)
            read(len(copies))
    return copies


def _reduced(image: Image.Image, short: int) -> np.ndarray:
    scale = min(1, short / min(image.size), 2 * short / max(image.size))
    width, height = (max(1, round(length * scale)) for length in image.size)
    return np.array(image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0))


class PhotoStore:
    """Photos (H, W, 3), uint8, of different sizes on a device. sizes: (N, 2), heights and widths.

    A box is a row of top, left, height and width in pixels.
    """

    def __init__(self, photos: Sequence[np.ndarray], device: torch.device):
        self.pixels = [torch.from_numpy(photo).permute(2, 0, 1).to(device) for photo in photos]
        self.sizes = np.array([photo.shape[:2] for photo in photos])

    def __len__(self) -> int:
        return len(self.pixels)

    def crops(self, numbers: Numbers, boxes: Numbers, shape: tuple[int, int]) -> Tensor:
        """RGB (B, 3, *shape), 0..1, from the boxes (B, 4) of photos."""
        crops = []
        for number, (top, left, height, width) in zip(numbers, boxes, strict=True):
            crop = self.pixels[number][None, :, top : top + height, left : left + width]
            crops.append(F.interpolate(crop.float() / 255, shape, mode="bilinear", antialias=True))
        return torch.cat(crops).clamp(0, 1)

    def random_crops(self, rng: np.random.Generator, count: int) -> Tensor:
        """RGB (B, 3, H, W), 0..1, from random photos, all of one random shape."""
        numbers = rng.integers(len(self), size=count)
        return self.crops(numbers, random_boxes(rng, self.sizes[numbers]), _random_shape(rng))


def _random_shape(rng: np.random.Generator) -> tuple[int, int]:
    return _SHAPES[rng.integers(len(_SHAPES))]


def _true_shape(rng: np.random.Generator, box: Numbers) -> tuple[int, int]:
    """The height and width of a box, enlarged or reduced to a random long side."""
    lengths = box[2:] * (rng.uniform(0.6, 1) * ANALYSIS_SIZE / box[2:].max())
    height, width = np.maximum(2, (lengths / STRIDE).round()).astype(int) * STRIDE
    return int(height), int(width)


def random_boxes(rng: np.random.Generator, sizes: Numbers) -> Numbers:
    """A box (B, 4) anywhere in each photo of ``sizes`` (B, 2), with 45 to 90 % of both sides."""
    extents = _lengths(sizes * rng.uniform(0.45, 0.9, (len(sizes), 1)))
    corners = rng.integers(sizes - extents + 1)
    return np.concatenate([corners, extents], 1)


def opposite_boxes(
    rng: np.random.Generator, sizes: Numbers, mode: Literal["near", "far"]
) -> tuple[Numbers, Numbers]:
    """Two boxes (B, 4) at opposite ends of the long side of each photo of ``sizes`` (B, 2).

    Their length is that of `photostyle.evaluation.graded_pairs`, varied by up to 0.05 of the side.
    """
    photos, axis = np.arange(len(sizes)), sizes.argmax(1)
    long = sizes.max(1)
    lengths = _lengths(long * (OPPOSITE[mode] + rng.uniform(-0.05, 0.03, len(sizes))))
    at_start = rng.uniform(size=len(sizes)) < 0.5

    def boxes(at_start: npt.NDArray[np.bool_]) -> Numbers:
        boxes = np.concatenate([np.zeros_like(sizes), sizes], 1)
        boxes[photos, axis] = np.where(at_start, 0, long - lengths)
        boxes[photos, 2 + axis] = lengths
        return boxes

    return boxes(at_start), boxes(~at_start)


def _lengths(lengths: npt.NDArray[np.float64]) -> Numbers:
    return np.maximum(1, lengths.round()).astype(np.int64)


class GradeTables:
    """Colour grades as lookup tables (N, 3, GRID, GRID, GRID), indexed by red, green and blue.

    random: of random grades. luts: of `.cube` files, which may be none.
    """

    def __init__(self, luts: Sequence[Lut], count: int, seed: int, device: torch.device):
        """count: number of random grades."""
        self.plain = plain_table().to(device)
        self.luts = tabulate(luts).to(device)
        self.random = random_tables(count, seed).to(device)

    def draw(self, rng: np.random.Generator, count: int, luts: float) -> Tensor:
        """Random tables, each with the probability ``luts`` from a LUT, if there are any.

        LUTs are applied with a strength of 0.5 to 1.15, some of them with part of a random grade.
        """
        drawn = _choice(rng, self.random, count)
        if not len(self.luts):
            return drawn
        strength = rng.uniform(0.5, 1.15, count)
        mixed = np.where(rng.uniform(size=count) < 0.4, rng.uniform(0, 0.5, count), 0)
        lut = self.plain.lerp(_choice(rng, self.luts, count), self._per_photo(strength))
        lut = lut + self._per_photo(mixed) * (_choice(rng, self.random, count) - self.plain)
        from_lut = self._per_photo(rng.uniform(size=count) < luts).bool()
        return torch.where(from_lut, lut, drawn).clamp(0, 1)

    def before(self, rng: np.random.Generator, style: Tensor) -> Tensor:
        """Tables for contents that get the grades ``style`` (B, 3, GRID, GRID, GRID).

        Of ten contents six are ungraded, one has the style's grade already and three another one.
        """
        count = len(style)
        kind = self._per_photo(rng.uniform(size=count))
        other = self.draw(rng, count, 0.2)
        return torch.where(kind < 0.6, self.plain, torch.where(kind < 0.7, style, other))

    def _per_photo(self, values: npt.NDArray[Any]) -> Tensor:
        """Values (B,) as (B, 1, 1, 1, 1) for tables."""
        return torch.from_numpy(values).float().to(self.plain.device).view(-1, 1, 1, 1, 1)


def _choice(rng: np.random.Generator, tables: Tensor, count: int) -> Tensor:
    return tables[torch.from_numpy(rng.integers(len(tables), size=count)).to(tables.device)]


def plain_table() -> Tensor:
    """The table (3, GRID, GRID, GRID) that changes nothing."""
    axis = torch.linspace(0, 1, GRID)
    return torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij"))


def tabulate(luts: Sequence[Lut]) -> Tensor:
    """The tables (N, 3, GRID, GRID, GRID) of LUTs with grids of any size."""
    colors = plain_table().flatten(2).permute(1, 2, 0).double().numpy()
    tables = [torch.from_numpy(lut(colors)).float().permute(2, 0, 1) for lut in luts]
    plain = plain_table()
    return (
        torch.stack(tables).view(-1, *plain.shape) if tables else plain.new_empty(0, *plain.shape)
    )


def random_tables(count: int, seed: int) -> Tensor:
    """The tables (N, 3, GRID, GRID, GRID) of random grades (`photostyle.evaluation.grades`)."""
    plain, rng = plain_table(), np.random.default_rng(seed)
    colors = plain.flatten(2)
    return torch.stack([grades.sample(rng)(colors).view_as(plain) for _ in range(count)])


def apply_tables(tables: Tensor, pixels: Tensor) -> Tensor:
    """RGB (B, 3, H, W), 0..1, through tables (B, 3, GRID, GRID, GRID), one for each photo."""
    # grid_sample takes the coordinate of the last axis, blue, first.
    grid = (2 * pixels.flip(1) - 1).permute(0, 2, 3, 1)[:, None]
    return F.grid_sample(tables, grid, padding_mode="border", align_corners=True)[:, :, 0]


@torch.no_grad()
def find_alike(matcher: Matcher, photos: PhotoStore) -> Numbers:
    """The numbers (N, K) of the photos most like each photo, which are hard to tell from it.

    Compared are the covariances of their descriptors, the matcher's statistics and the mean and
    deviation of their colours.
    """
    points = []
    for numbers in np.array_split(np.arange(len(photos)), -(-len(photos) // 32)):
        boxes = np.concatenate([np.zeros_like(photos.sizes), photos.sizes], 1)[numbers]
        blocks = matcher.blocks(photos.crops(numbers, boxes, (224, 224)))
        descriptors, colors = blocks.descriptors.flatten(2), blocks.colors.flatten(2)
        covariances = (descriptors @ descriptors.mT).flatten(1)
        parts = (4 * F.normalize(part, dim=1) for part in (blocks.statistics, covariances))
        points.append(torch.cat([*parts, colors.mean(2), colors.std(2)], 1))
    joined = torch.cat(points)
    distances = torch.cdist(joined, joined).fill_diagonal_(torch.inf)
    nearest = distances.topk(min(_ALIKE, len(photos) - 1), largest=False)
    return nearest.indices.cpu().numpy()


class Pairs(NamedTuple):
    """A batch of pairs, RGB (B, 3, H, W), 0..1.

    plain, style_plain: content and style without grades. same: (B,), 1 if both are crops of one
    photo, else 0.
    """

    plain: Tensor
    content: Tensor
    style_plain: Tensor
    style: Tensor
    target: Tensor
    same: Tensor


@dataclass
class PairSampler:
    """Draws pairs. alike: (N, K) as of `find_alike`; hard: fraction of different photos from it."""

    photos: PhotoStore
    grades: GradeTables
    alike: Numbers
    hard: float

    def random_mode(self, rng: np.random.Generator) -> Mode:
        modes: tuple[Mode, ...] = get_args(Mode)
        return modes[rng.choice(len(modes), p=CHANCES)]

    def pairs(self, rng: np.random.Generator, count: int, mode: Mode) -> Pairs:
        """Random pairs of a mode; both photos of a pair are flipped or neither.

        All contents of a batch have one shape, and so have all styles. A single pair keeps the
        shapes of its crops, in sizes up to those in which photos are compared.
        """
        plain, style_plain = self._crops(rng, count, mode)
        grade = self.grades.draw(rng, count, 0.5)
        before = self.grades.before(rng, grade)
        if mode == "different":
            ungraded = rng.uniform(size=count) < UNGRADED
            grade[ungraded] = before[ungraded] = self.grades.plain
        return Pairs(
            plain,
            apply_tables(before, plain),
            style_plain,
            apply_tables(grade, style_plain),
            apply_tables(grade, plain),
            torch.full((count,), float(mode != "different"), device=plain.device),
        )

    def other_photos(self, rng: np.random.Generator, numbers: Numbers) -> Numbers:
        """Another photo for each photo: one of those alike, or any."""
        count, total = len(numbers), len(self.photos)
        column = rng.integers(self.alike.shape[1], size=count)
        anywhere = (numbers + rng.integers(1, total, size=count)) % total
        return np.where(rng.uniform(size=count) < self.hard, self.alike[numbers, column], anywhere)

    def _crops(self, rng: np.random.Generator, count: int, mode: Mode) -> tuple[Tensor, Tensor]:
        photos = self.photos
        numbers = others = rng.integers(len(photos), size=count)
        if mode == "different":
            others = self.other_photos(rng, numbers)
        if mode == "near" or mode == "far":
            content, style = opposite_boxes(rng, photos.sizes[numbers], mode)
        else:
            content, style = (random_boxes(rng, photos.sizes[n]) for n in (numbers, others))
        flip = torch.from_numpy(rng.uniform(size=count) < 0.5).view(-1, 1, 1, 1)

        def crops(numbers: Numbers, boxes: Numbers) -> Tensor:
            shape = _random_shape(rng) if count > 1 else _true_shape(rng, boxes[0])
            upright = photos.crops(numbers, boxes, shape)
            return torch.where(flip.to(upright.device), upright.flip(3), upright)

        return crops(numbers, content), crops(others, style)

"""Training of descriptors and of the `Matcher`: what corresponds, how far to trust it, which look.

A pair is two crops of one photo, often with nothing in common, or of two photos; the style has a
grade. The encoder learns the descriptors of VGG-19 of the photo without its grade, the matcher the
colour map of the grade. All photos stay on the device as bytes; crops and grades are made there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from photostyle.evaluation import grades
from photostyle.model.matcher import ANALYSIS_SIZE, DESCRIPTOR, Matcher, Matches
from photostyle.model.vgg import VGGFeatures

GRID = 17
"""Grid points per axis of the lookup tables that grades are applied with."""

MODES = ("near", "far", "overlap", "different")
"""How the two crops of a pair lie: at opposite ends, with some or nothing in common; anywhere; or
in two photos."""

_CHANCES = (0.2, 0.3, 0.1, 0.4)
_SHAPES = ((256, 176), (256, 224), (224, 256), (176, 256), (224, 224))


class PhotoStack:
    """Photos of different sizes as one tensor of bytes on a device."""

    def __init__(self, photos: Sequence[np.ndarray], device: torch.device):
        height, width = (max(photo.shape[i] for photo in photos) for i in (0, 1))
        self.pixels = torch.zeros(len(photos), 3, height, width, dtype=torch.uint8)
        for row, photo in zip(self.pixels, photos, strict=True):
            row[:, : photo.shape[0], : photo.shape[1]] = torch.from_numpy(photo).permute(2, 0, 1)
        self.pixels = self.pixels.to(device)
        self.sizes = np.array([photo.shape[:2] for photo in photos])
        self.alike: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.sizes)

    @torch.no_grad()
    def find_alike(self, matcher: Matcher, count: int = 24) -> None:
        """Find the photos most like each photo, by the means of their descriptors."""
        rows = []
        for start in range(0, len(self), 64):
            numbers = np.arange(start, min(len(self), start + 64))
            whole = np.concatenate([np.zeros((len(numbers), 2)), self.sizes[numbers]], 1)
            photos = self.crops(numbers, whole, (224, 224), np.zeros(len(numbers), bool))
            found = matcher.blocks(photos)
            squares = found.descriptors.flatten(2) @ found.descriptors.flatten(2).mT
            tones = found.colors.flatten(2)
            rows.append(
                torch.cat(
                    [
                        F.normalize(found.statistics, dim=1) * 4,
                        F.normalize(squares.flatten(1), dim=1) * 4,
                        tones.mean(2),
                        tones.std(2),
                    ],
                    1,
                )
            )
        points = torch.cat(rows)
        points = (points - points.mean(0)) / (points.std(0).mean() + 1e-6)
        distance = torch.cdist(points, points)
        distance.fill_diagonal_(torch.inf)
        self.alike = distance.topk(min(count, len(self) - 1), largest=False).indices.cpu().numpy()

    def crops(
        self, numbers: np.ndarray, boxes: np.ndarray, size: tuple[int, int], flip: np.ndarray
    ) -> Tensor:
        """Crops (B, 3, *size), 0..1; boxes: (B, 4), top, left, height, width in pixels."""
        pixels = self.pixels[torch.from_numpy(numbers).to(self.pixels.device)].float() / 255
        full = np.array(pixels.shape[2:])
        scale = boxes[:, 2:] / full
        center = (boxes[:, :2] + boxes[:, 2:] / 2) / full * 2 - 1
        theta = np.zeros((len(boxes), 2, 3), np.float32)
        theta[:, 0, 0], theta[:, 1, 1] = scale[:, 1] * np.where(flip, -1, 1), scale[:, 0]
        theta[:, 0, 2], theta[:, 1, 2] = center[:, 1], center[:, 0]
        grid = F.affine_grid(
            torch.from_numpy(theta).to(pixels.device), [len(boxes), 3, *size], align_corners=False
        )
        return F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)


class Grades:
    """Colour grades as lookup tables, (N, 3, GRID, GRID, GRID): films' looks and random grades."""

    def __init__(self, looks: np.ndarray, count: int, seed: int, device: torch.device):
        """looks: (M, GRID, GRID, GRID, 3), indexed by red, green, blue. count: of random grades."""
        axis = torch.linspace(0, 1, GRID)
        self.plain = torch.stack(torch.meshgrid(axis, axis, axis, indexing="ij")).to(device)
        rng = np.random.default_rng(seed)
        flat = self.plain.cpu().flatten(2)
        drawn = [grades.sample(rng)(flat).clamp(0, 1).view_as(self.plain) for _ in range(count)]
        self.random = torch.stack(drawn).to(device)
        self.looks = torch.from_numpy(looks).permute(0, 4, 1, 2, 3).contiguous().to(device)

    def draw(self, rng: np.random.Generator, count: int, looks: float) -> Tensor:
        """Grades for ``count`` photos, a part ``looks`` of them films' looks of varied strength."""
        device = self.plain.device
        of_look = torch.from_numpy(rng.uniform(size=count) < looks)
        look = self.looks[torch.from_numpy(rng.integers(len(self.looks), size=count)).to(device)]
        other = self.random[torch.from_numpy(rng.integers(len(self.random), size=count)).to(device)]
        second = self.random[
            torch.from_numpy(rng.integers(len(self.random), size=count)).to(device)
        ]
        strength = torch.from_numpy(rng.uniform(0.5, 1.15, count)).float().to(device)
        mild = torch.from_numpy(
            np.where(rng.uniform(size=count) < 0.4, rng.uniform(0, 0.5, count), 0)
        ).float()
        mild = mild.to(device).view(-1, 1, 1, 1, 1)
        look = self.plain.lerp(look, strength.view(-1, 1, 1, 1, 1))
        look = look + mild * (second - self.plain)
        return torch.where(of_look.to(device).view(-1, 1, 1, 1, 1), look, other).clamp(0, 1)


def apply_table(tables: Tensor, pixels: Tensor) -> Tensor:
    """Pixels (B, 3, H, W), 0..1, through a lookup table each, (B, 3, GRID, GRID, GRID)."""
    grid = (2 * pixels.flip(1) - 1).permute(0, 2, 3, 1)[:, None]
    return F.grid_sample(tables, grid, padding_mode="border", align_corners=True)[:, :, 0]


class Descriptors(nn.Module):
    """The descriptors to learn: standardized VGG-19 levels 3 to 5, in DESCRIPTOR components."""

    def __init__(self, vgg: VGGFeatures):
        super().__init__()
        self.vgg = vgg
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("components", torch.zeros(1))

    def raw(self, pixels: Tensor) -> Tensor:
        """(B, C, h, w) at level 4: each level of unit length, level 3 with a weight of 0.3."""
        levels = self.vgg(pixels, 5)
        size, parts = levels[3].shape[2:], []
        for number, weight in ((3, 0.3), (4, 1.0), (5, 1.0)):
            features = levels[number - 1]
            mean = features.mean((2, 3), keepdim=True)
            features = (features - mean) / (features.std((2, 3), keepdim=True) + 1e-3)
            if number == 3:
                features = F.avg_pool2d(features, 2)
            features = F.interpolate(features, size, mode="bilinear", align_corners=False)
            parts.append(F.normalize(features, dim=1) * weight)
        return torch.cat(parts, 1)

    @torch.no_grad()
    def find_components(self, batches: Sequence[Tensor]) -> None:
        """Principal components of photos, scaled by the root of their deviation."""
        rows = torch.cat([self.raw(batch).transpose(0, 1).flatten(1).T for batch in batches])
        self.mean = rows.mean(0)
        _, values, vectors = torch.linalg.svd(rows - self.mean, full_matrices=False)
        deviation = values[:DESCRIPTOR] / len(rows) ** 0.5
        self.components = vectors[:DESCRIPTOR] / deviation[:, None].sqrt()
        size = ((rows - self.mean) @ self.components.T).pow(2).sum(1).mean().sqrt()
        self.components = self.components / size

    @torch.no_grad()
    def forward(self, pixels: Tensor) -> Tensor:
        raw = self.raw(pixels) - self.mean[:, None, None]
        return torch.einsum("kc,bchw->bkhw", self.components, raw)


@dataclass
class Pairs:
    """A batch: plain and graded contents, styles, and what the contents should become."""

    plain: Tensor
    content: Tensor
    style_plain: Tensor
    style: Tensor
    target: Tensor
    same: Tensor


def boxes(
    rng: np.random.Generator, sizes: np.ndarray, mode: str, long: tuple[float, float] = (0.4, 0.6)
) -> tuple[np.ndarray, np.ndarray]:
    """Two crops of each photo of ``sizes`` (B, 2), each (B, 4): top, left, height, width."""
    count = len(sizes)
    rows = np.arange(count)
    both = []
    if mode in ("near", "far"):
        part = np.full(count, 0.58 if mode == "near" else 0.45)
        if long:
            part = part + rng.uniform(-0.05, 0.03, count)
        axis = sizes.argmax(1)
        first = rng.uniform(size=count) < 0.5
        for at_start in (first, ~first):
            box = np.concatenate([np.zeros((count, 2)), sizes], 1).astype(np.float64)
            box[rows, 2 + axis] *= part
            box[rows, axis] = np.where(at_start, 0, sizes[rows, axis] * (1 - part))
            both.append(box)
    else:
        for _ in range(2):
            part = rng.uniform(0.45, 0.9, (count, 1))
            extent = sizes * part
            both.append(
                np.concatenate([rng.uniform(size=(count, 2)) * (sizes - extent), extent], 1)
            )
    return both[0], both[1]


def make_pairs(
    stack: PhotoStack, pool: Grades, rng: np.random.Generator, count: int, mode: str
) -> Pairs:
    """Random pairs of a mode."""
    numbers = rng.integers(len(stack), size=count)
    others = rng.integers(len(stack), size=count) if mode == "different" else numbers
    if mode == "different" and stack.alike is not None:
        column = rng.integers(stack.alike.shape[1], size=count)
        others = np.where(rng.uniform(size=count) < 0.75, stack.alike[numbers, column], others)
    first, _ = boxes(rng, stack.sizes[numbers], mode)
    second = boxes(rng, stack.sizes[others], mode)[1] if mode == "different" else None
    if second is None:
        first, second = boxes(rng, stack.sizes[numbers], mode)
    shapes = rng.integers(len(_SHAPES), size=2)
    flip = rng.uniform(size=count) < 0.5
    plain = stack.crops(numbers, first, _SHAPES[shapes[0]], flip)
    style_plain = stack.crops(others, second, _SHAPES[shapes[1]], flip)
    grade = pool.draw(rng, count, 0.5)
    before = pool.draw(rng, count, 0.2)
    kind = torch.from_numpy(rng.uniform(size=count)).to(plain.device).view(-1, 1, 1, 1, 1)
    before = torch.where(kind < 0.6, pool.plain, torch.where(kind < 0.7, grade, before))
    return Pairs(
        plain,
        apply_table(before, plain),
        style_plain,
        apply_table(grade, style_plain),
        apply_table(grade, plain),
        torch.full((count,), float(mode != "different"), device=plain.device),
    )


def log_error(found: Tensor, target: Tensor) -> Tensor:
    """The mean over photos of the log of their mean squared error: minus PSNR, softly bounded."""
    return ((found - target) ** 2).mean((1, 2, 3)).add(3e-4).log().mean()


def terms(matcher: Matcher, teacher: Descriptors, pairs: Pairs) -> dict[str, Tensor]:
    """The weighted terms of the loss."""
    content, style = (matcher.blocks(photo) for photo in (pairs.content, pairs.style))
    distil = sum(
        ((made.descriptors - teacher(plain)) ** 2).sum(1).mean()
        for made, plain in ((content, pairs.plain), (style, pairs.style_plain))
    )
    found: Matches = matcher(content, style)
    coarse, target = (F.avg_pool2d(p, 3) for p in (pairs.content, pairs.target))
    look = log_error(found.look(coarse), target)
    prior = log_error(found.prior(coarse), target)
    scene = F.binary_cross_entropy_with_logits(found.same_scene, pairs.same)
    return {"distil": 2 * distil, "look": 0.3 * look, "prior": 0.1 * prior, "scene": 0.5 * scene}


@torch.no_grad()
def validate(matcher: Matcher, stack: PhotoStack, looks: Tensor) -> dict[str, float]:
    """PSNR of looks and unchanged contents on near, far and different pairs; scene logits."""
    figures: dict[str, float] = {}
    for mode in ("near", "far", "different"):
        rng = np.random.default_rng(5)
        gains, found_all, plain_all, prior_all, logits = [], [], [], [], []
        for start in range(0, len(stack), 1):
            numbers = np.array([start])
            others = (numbers + 17) % len(stack) if mode == "different" else numbers
            way = "far" if mode == "different" else mode
            first, second = boxes(rng, stack.sizes[numbers], way, ())[0], None
            rng2 = np.random.default_rng(start)
            first, second = boxes(rng2, stack.sizes[numbers], way, ())
            if mode == "different":
                second = boxes(np.random.default_rng(start), stack.sizes[others], way, ())[1]
            sizes = []
            for box in (first, second):
                scale = ANALYSIS_SIZE / box[0, 2:].max()
                sizes.append(tuple(int(max(32, round(n * scale / 16) * 16)) for n in box[0, 2:]))
            flip = np.zeros(1, bool)
            content = stack.crops(numbers, first, sizes[0], flip)
            table = looks[[start % len(looks)]]
            style = apply_table(table, stack.crops(others, second, sizes[1], flip))
            target = apply_table(table, content)
            found = matcher(matcher.blocks(content), matcher.blocks(style))

            def psnr(made: Tensor, target: Tensor = target) -> float:
                return float(-10 * ((made.clamp(0, 1) - target) ** 2).mean().log10())

            found_all.append(psnr(found.look(content)))
            prior_all.append(psnr(found.prior(content)))
            plain_all.append(psnr(content))
            gains.append(found_all[-1] - plain_all[-1])
            logits.append(float(found.same_scene))
        worst = sorted(gains)[: max(1, len(gains) // 10)]
        figures |= {
            f"{mode} look": np.mean(found_all),
            f"{mode} prior": np.mean(prior_all),
            f"{mode} unchanged": np.mean(plain_all),
            f"{mode} improved": np.mean(np.array(gains) > 0),
            f"{mode} worst": np.mean(worst),
            f"{mode} same": np.mean(np.array(logits) > 0),
        }
    return {name: round(float(value), 3) for name, value in figures.items()}

"""What corresponds in two photos, and the colour look that leads from one to the other.

A `Matcher` has an encoder of its own, for a network must see colours and a matcher must not. It
reads descriptors: what levels 3 to 5 say about each block of a photo, whatever its grade. It finds
for each block of the content what the style photo shows of the same kind, how far that is to be
trusted, and the look: the colour map of the whole photo that these matches, and what is known of
looks in general, make most likely.

Matching by attention: Liu et al., AdaAttN (ICCV 2021), eq. 3 to 6; the look without matches: Ke et
al., Neural Preset (CVPR 2023).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from safetensors.torch import save as serialize
from torch import Tensor, nn

from photostyle.bundled import MATCHER, bundled_file
from photostyle.errors import PhotostyleError
from photostyle.files import new_file
from photostyle.model.architecture import Widths, parse_widths
from photostyle.model.checkpoint import (
    MATCHER_FORMAT,
    fill,
    read_file,
    read_tensors,
)
from photostyle.model.network import Encoder, full_precision

ANALYSIS_SIZE = 384
"""Long side of the copies of photos that are compared, in pixels."""

DESCRIPTOR = 64
"""Channels of a descriptor."""

TERMS = 13
"""Terms of a colour map's polynomial."""

FACTS = 192 + 6
"""Numbers in the summary of two photos and of how well they match."""

_WIDTH, _HEADS, _ROUNDS, _KEY = 96, 4, 2, 64


@dataclass(frozen=True)
class Look:
    """A polynomial colour map of a whole photo; coefficients: (B, TERMS, 3)."""

    coefficients: Tensor

    def __call__(self, pixels: Tensor) -> Tensor:
        """The colours of RGB (B, 3, H, W), 0..1, after the look; not clamped."""
        height, width = pixels.shape[2:]
        colors = pixels.flatten(2).mT
        mapped = basis(colors) @ self.coefficients.to(colors)
        return mapped.mT.unflatten(2, (height, width))


def basis(colors: Tensor) -> Tensor:
    """The terms of a colour map, (..., TERMS), at colours (..., 3), RGB in 0..1.

    With u = 2 rgb - 1: 1, u, u^2, the products of two channels, u^3.
    """
    u = 2 * colors - 1
    crossed = u * u.roll(-1, -1)
    return torch.cat([torch.ones_like(u[..., :1]), u, u * u, crossed, u**3], -1)


def identity(like: Tensor) -> Tensor:
    """The coefficients (TERMS, 3) of the map that changes nothing."""
    coefficients = like.new_zeros(TERMS, 3)
    coefficients[0] = 0.5
    coefficients[1:4] = 0.5 * torch.eye(3, dtype=like.dtype, device=like.device)
    return coefficients


class Blocks(NamedTuple):
    """What is known of the blocks of photos, 8 x 8 pixels each.

    descriptors: (B, DESCRIPTOR, h, w). colors: (B, 3, h, w), their mean RGB, 0..1. statistics:
    (B, 2 C), the logarithms of means and deviations of all C channels of the encoder's levels.
    """

    descriptors: Tensor
    colors: Tensor
    statistics: Tensor


class Context(NamedTuple):
    """Vectors (B, n, C) of blocks of 2 x 2 blocks that are aware of both photos, and their grid."""

    vectors: Tensor
    grid: tuple[int, int]


class Matches(NamedTuple):
    """What a matcher finds.

    colors: (B, n, 3), the style's RGB for each block of the content; trust: (B, n), 0..1. look: the
    most likely one; prior: the look without the matches. facts: (B, FACTS), what is known of both
    photos together. same_scene: (B,), the logit of the probability that both show the same scene.
    """

    colors: Tensor
    trust: Tensor
    look: Look
    prior: Look
    facts: Tensor
    same_scene: Tensor


def _mean_and_deviation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Those of each channel (B, C, H, W) over the photo, (B, C, 1, 1); faster than `Tensor.std`."""
    mean = features.mean((2, 3), keepdim=True)
    count = features.shape[2] * features.shape[3]
    variance = ((features - mean) ** 2).sum((2, 3), keepdim=True) / (count - 1)
    return mean, variance.sqrt()


def _standardized(features: Tensor) -> Tensor:
    """Each channel of features (B, C, H, W) with mean 0 and variance 1 over the photo."""
    mean, deviation = _mean_and_deviation(features)
    return (features - mean) / (deviation + 1e-2 * deviation.mean(1, keepdim=True) + 1e-6)


class Matcher(nn.Module):
    """Descriptors, matches and looks. widths: channels of the encoder's levels."""

    def __init__(self, widths: Widths):
        super().__init__()
        self.widths = widths
        self.encoder = Encoder(widths)
        self.describe = nn.Conv2d(sum(widths[2:]), DESCRIPTOR, 1)
        self.embed = nn.Linear(DESCRIPTOR + 8, _WIDTH)
        self.of_style = nn.Parameter(torch.zeros(_WIDTH))
        self.rounds = nn.ModuleList(_Round() for _ in range(_ROUNDS))
        self.key_descriptor = nn.Linear(DESCRIPTOR, _KEY)
        self.key_context = nn.Linear(_WIDTH, _KEY)
        self.sharpness = nn.Parameter(torch.tensor(3.0))
        self.judge = _perceptron(5 + _WIDTH, 64, 1)
        self.summarize = _perceptron(2 * (2 * _WIDTH + 9 + 16), 192, 192)
        self.to_prior = nn.Linear(192, TERMS * 3)
        self.to_caution = nn.Linear(192, 1)
        self.fingerprint = nn.Sequential(
            nn.LayerNorm(2 * sum(widths)), _perceptron(2 * sum(widths), 128, 64)
        )
        self.to_scene = _perceptron(FACTS + 3 * 64, 128, 1)
        self.ridge = nn.Parameter(torch.zeros(TERMS, TERMS))
        if not self.ridge.is_meta:  # where torch.eye imports torch._dynamo, which takes a second
            nn.init.eye_(self.ridge)
        self.evidence = nn.Parameter(torch.tensor(4.0))
        nn.init.zeros_(self.to_prior.weight)
        nn.init.zeros_(self.to_prior.bias)

    def descriptors(self, levels: dict[int, Tensor]) -> Tensor:
        """Descriptors (B, DESCRIPTOR, h, w) from relu3_1, relu4_1, relu5_1.

        h, w: those of level 4. Every channel is standardized over the photo first, which takes
        most of a grade away.
        """
        size = levels[4].shape[2:]
        parts = [
            F.avg_pool2d(_standardized(levels[3]), 2),
            _standardized(levels[4]),
            F.interpolate(_standardized(levels[5]), size, mode="bilinear"),
        ]
        return self.describe(torch.cat(parts, 1))

    def blocks(self, pixels: Tensor) -> Blocks:
        """The blocks of RGB (B, 3, H, W), 0..1; H, W: multiples of 16, 32 at least."""
        levels: dict[int, Tensor] = {}
        features = pixels.contiguous(memory_format=torch.channels_last)
        with full_precision(pixels.device):
            for number in range(1, len(self.widths) + 1):
                levels[number] = features = self.encoder.level(number, features)
        moments: list[Tensor] = []
        for features in levels.values():
            moments += _mean_and_deviation(features)
        statistics = torch.cat(moments, 1).flatten(1).clamp_min(1e-3).log()
        return Blocks(self.descriptors(levels), F.avg_pool2d(pixels, 8), statistics)

    def forward(self, content: Blocks, style: Blocks) -> Matches:
        """Match the blocks of B contents with those of B styles."""
        near, far = self._context(content, style)
        query, key = self._keys(content, near), self._keys(style, far)
        scores = self.sharpness.exp() * query @ key.mT
        attention = scores.softmax(2)
        back = scores.softmax(1)
        theirs = style.colors.flatten(2).mT
        ours = content.colors.flatten(2).mT
        colors = attention @ theirs
        spread = (attention @ (theirs * theirs) - colors * colors).clamp_min(0).sum(2)
        evidence = torch.stack(
            [
                scores.amax(2) / self.sharpness.exp(),
                attention.amax(2).clamp_min(1e-6).log() / 5,
                (attention * back).sum(2).clamp_min(1e-6).log() / 5,
                spread.clamp_min(1e-6).sqrt(),
                (colors - ours).norm(dim=2),
            ],
            2,
        )
        context = _enlarged(near, content.colors.shape[2:])
        trust = self.judge(torch.cat([evidence, context], 2))[..., 0].sigmoid()
        summary = F.silu(
            self.summarize(
                torch.cat([_summary(near, content.colors), _summary(far, style.colors)], 1)
            )
        )
        start = identity(ours) + 0.1 * self.to_prior(summary).unflatten(1, (TERMS, 3))
        look = self._fit(ours, colors, trust, start, self.to_caution(summary)[:, 0])
        misfit = ((basis(ours) @ look.to(ours) - colors) ** 2).sum(2)
        total = trust.mean(1)
        facts = [
            total,
            (total + 1e-4).log(),
            ((misfit * trust).mean(1) / (total + 1e-4) + 1e-5).log() / 4,
            evidence[..., 0].mean(1),
            evidence[..., 2].mean(1),
            ((look - start) ** 2).sum((1, 2)).add(1e-6).log() / 4,
        ]
        known = torch.cat([summary, torch.stack(facts, 1).to(summary)], 1)
        scene = self.same_scene(known, content.statistics, style.statistics)
        return Matches(colors, trust, Look(look), Look(start), known, scene)

    def same_scene(self, facts: Tensor, content: Tensor, style: Tensor) -> Tensor:
        """The logit (B,) of the probability that photos show the same scene.

        facts: as in `Matches`; content, style: statistics as in `Blocks`.
        """
        a, b = self.fingerprint(content), self.fingerprint(style)
        compared = [(a - b).abs(), a * b, (a - b) ** 2]
        logit: Tensor = self.to_scene(torch.cat([facts, *compared], 1))[:, 0]
        return logit

    def _context(self, content: Blocks, style: Blocks) -> tuple[Context, Context]:
        """Each photo's blocks of 2 x 2, (B, n, C), aware of both photos; with their grid."""
        near, grid_near = self._embedded(content)
        far, grid_far = self._embedded(style)
        far = far + self.of_style
        for step in self.rounds:
            near, far = step(near, far), step(far, near)
        return Context(near, grid_near), Context(far, grid_far)

    def _embedded(self, blocks: Blocks) -> tuple[Tensor, tuple[int, int]]:
        parts = F.avg_pool2d(blocks.descriptors, 2, ceil_mode=True)
        means = F.avg_pool2d(blocks.colors, 2, ceil_mode=True)
        squares = F.avg_pool2d(blocks.colors**2, 2, ceil_mode=True)
        deviation = (squares - means**2).clamp_min(1e-6).sqrt()
        batch, _, height, width = parts.shape
        y = torch.linspace(-1, 1, height, device=parts.device)[:, None].expand(height, width)
        x = torch.linspace(-1, 1, width, device=parts.device)[None].expand(height, width)
        place = torch.stack([y, x]).expand(batch, -1, -1, -1)
        joined = torch.cat([parts, 2 * means - 1, 4 * deviation, place], 1)
        return self.embed(joined.flatten(2).mT), (height, width)

    def _keys(self, blocks: Blocks, context: Context) -> Tensor:
        own = self.key_descriptor(blocks.descriptors.flatten(2).mT)
        around = self.key_context(_enlarged(context, blocks.colors.shape[2:]))
        return F.normalize(own + around, dim=2)

    def _fit(
        self, ours: Tensor, theirs: Tensor, trust: Tensor, start: Tensor, caution: Tensor
    ) -> Tensor:
        """The coefficients (B, TERMS, 3) that lead from our colours to theirs, drawn to start."""
        with torch.autocast(ours.device.type, enabled=False):
            terms, target = basis(ours.double()), theirs.double()
            start = start.double()
            weighted = (self.evidence.double().exp() / ours.shape[1]) * (
                trust.double()[..., None] * terms
            )
            ridge = self.ridge.double()
            penalty = caution.double().exp()[:, None, None] * (ridge @ ridge.mT) + 1e-4 * torch.eye(
                TERMS, dtype=torch.float64, device=ours.device
            )
            off = target - terms @ start
            step = torch.linalg.solve(weighted.mT @ terms + penalty, weighted.mT @ off)
            return start + step


class _Round(nn.Module):
    """Attention within a photo, attention to the other, and a perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.within, self.across = _Attention(), _Attention()
        self.norm = nn.LayerNorm(_WIDTH)
        self.perceptron = _perceptron(_WIDTH, 2 * _WIDTH, _WIDTH)

    def forward(self, ours: Tensor, theirs: Tensor) -> Tensor:
        ours = ours + self.within(ours, ours)
        ours = ours + self.across(ours, theirs)
        return ours + self.perceptron(self.norm(ours))


class _Attention(nn.Module):
    """Multi-head attention (Vaswani et al., 2017) of normalized vectors (B, n, C)."""

    def __init__(self) -> None:
        super().__init__()
        self.norm_query, self.norm_key = nn.LayerNorm(_WIDTH), nn.LayerNorm(_WIDTH)
        self.query, self.key_value = nn.Linear(_WIDTH, _WIDTH), nn.Linear(_WIDTH, 2 * _WIDTH)
        self.out = nn.Linear(_WIDTH, _WIDTH)

    def forward(self, ours: Tensor, theirs: Tensor) -> Tensor:
        query = self.query(self.norm_query(ours))
        key, value = self.key_value(self.norm_key(theirs)).chunk(2, 2)
        query, key, value = (
            x.unflatten(2, (_HEADS, -1)).transpose(1, 2) for x in (query, key, value)
        )
        mixed = F.scaled_dot_product_attention(query, key, value)
        return self.out(mixed.transpose(1, 2).flatten(2))


def _perceptron(inside: int, hidden: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inside, hidden), nn.SiLU(), nn.Linear(hidden, outside))


def _enlarged(context: Context, size: Sequence[int]) -> Tensor:
    """Vectors of blocks of 2 x 2, (B, n, C), and their grid, for each block: (B, m, C)."""
    vectors, grid = context
    planes = vectors.mT.unflatten(2, grid)
    return F.interpolate(planes, size, mode="bilinear").flatten(2).mT


def _summary(context: Context, colors: Tensor) -> Tensor:
    """A vector for a photo: of its blocks in context, and of its colours and tones."""
    vectors, _ = context
    flat = colors.flatten(2)
    mean = flat.mean(2)
    off = flat - mean[..., None]
    rows, columns = torch.triu_indices(3, 3)
    covariance = (off @ off.mT / flat.shape[2])[:, rows, columns]
    luma = flat.mean(1)
    levels = torch.linspace(0.01, 0.99, 16, device=luma.device)
    tones = luma.quantile(levels, dim=1).mT
    return torch.cat(
        [vectors.mean(1), vectors.amax(1), 2 * mean - 1, 10 * covariance, 2 * tones - 1], 1
    )


def load_matcher(path: Path | None = None) -> Matcher:
    """The matcher of a file, None for the bundled one, in float32 on the CPU.

    Raises PhotostyleError if there is no such file or it is not a matcher.
    """
    path = path or bundled_file(MATCHER)
    metadata = read_file(path)
    if metadata.get("format") != MATCHER_FORMAT:
        raise PhotostyleError(f"{path} is not a matcher; make one with `photostyle train-matcher`.")
    with torch.device("meta"):
        matcher = Matcher(parse_widths(metadata["widths"]))
    fill(matcher, {name: tensor.float() for name, tensor in read_tensors(path).items()}, str(path))
    return matcher


def save_matcher(
    matcher: Matcher, path: Path, provenance: Mapping[str, Any], *, overwrite: bool = False
) -> None:
    """Write a matcher as safetensors, in float16; raises PhotostyleError as `new_file` does."""
    metadata = {
        "format": MATCHER_FORMAT,
        "widths": ",".join(map(str, matcher.widths)),
        "provenance": json.dumps(provenance),
    }
    tensors = {
        name: tensor.detach().cpu().half().contiguous()
        for name, tensor in matcher.state_dict().items()
    }
    with new_file(path, overwrite=overwrite) as file:
        file.write(serialize(tensors, metadata))

"""Training of a `photostyle.model.matcher.Matcher` on pairs whose answer is known.

The encoder learns the descriptors of VGG-19 for photos without their grade, the matcher the colour
map of the grade and whether both photos show the same scene. The pairs of a step depend only on the
seed and its number, so a resumed run continues as if it had never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from photostyle.errors import PhotostyleError
from photostyle.evaluation.graded_pairs import crop_pair, worst_tenth
from photostyle.jobs.progress import Progress
from photostyle.model.matcher import (
    ANALYSIS_SIZE,
    DESCRIPTOR,
    Blocks,
    Matcher,
    Matches,
    save_matcher,
)
from photostyle.model.network import STRIDE
from photostyle.model.vgg import VGGFeatures
from photostyle.training.matching import (
    GradeTables,
    Pairs,
    PairSampler,
    PhotoStore,
    apply_tables,
    find_alike,
)
from photostyle.training.recipe import MatcherRecipe
from photostyle.training.run_folder import RunFolder, diverged
from photostyle.transfer.canvas import resized

LOG_EVERY, VALIDATE_EVERY = 100, 2000
"""Number of steps between log lines and between validations."""

ENCODER_RATE = 0.5
"""Learning rate of the encoder relative to that of the rest."""

REPLAYED = 8
"""Pairs in a batch of the scene alone for each pair that is new in it."""

TERM_WEIGHTS = {"descriptors": 2.0, "look": 0.3, "prior": 0.1, "scene": 0.5}
"""Weights of the terms of the loss."""

LEVEL_WEIGHTS = {3: 0.3, 4: 1.0, 5: 1.0}
"""Weights of VGG-19's levels in the descriptors to learn."""


class Teacher:
    """The descriptors to learn: principal components of standardized features of VGG-19.

    Raises PhotostyleError if the network ends before relu5_1. `fit` must come before `targets`.

    mean: (C,). components: (DESCRIPTOR, C).
    """

    def __init__(self, vgg: VGGFeatures):
        if vgg.levels < max(LEVEL_WEIGHTS):
            raise PhotostyleError("This VGG-19 ends before conv5_1; use one that has it.")
        self.vgg = vgg
        self.mean = self.components = torch.empty(0)

    @torch.no_grad()
    def features(self, pixels: Tensor) -> Tensor:
        """(B, C, h, w) at the size of level 4, from levels of unit length times their weight.

        Before that every channel is standardized over the photo, which removes most of a grade.
        """
        levels = self.vgg(pixels, max(LEVEL_WEIGHTS))
        size, parts = levels[3].shape[2:], []
        for number, weight in LEVEL_WEIGHTS.items():
            features = levels[number - 1]
            mean = features.mean((2, 3), keepdim=True)
            features = (features - mean) / (features.std((2, 3), keepdim=True) + 1e-3)
            if number < 4:
                features = F.avg_pool2d(features, 2)
            features = F.interpolate(features, size, mode="bilinear")
            parts.append(weight * F.normalize(features, dim=1))
        return torch.cat(parts, 1)

    def fit(self, photos: Sequence[Tensor]) -> None:
        """Find the components of photos, RGB (B, 3, H, W), 0..1.

        Each is divided by the root of its deviation, which raises weak ones, and all by one factor,
        so that descriptors have a mean square length of 1.
        """
        rows = torch.cat([_rows(self.features(batch)) for batch in photos]).double()
        covariance = torch.cov(rows.T, correction=0)
        values, vectors = torch.linalg.eigh(covariance)
        values = values[-DESCRIPTOR:].flip(0).clamp_min(1e-12)
        vectors = vectors[:, -DESCRIPTOR:].flip(1)
        components = (vectors / values**0.25).T
        self.mean = rows.mean(0).float()
        self.components = (components / values.sqrt().sum().sqrt()).float()

    @torch.no_grad()
    def align(self, matcher: Matcher, photos: Sequence[Tensor]) -> None:
        """Rotate the components towards a trained matcher's descriptors (orthogonal Procrustes).

        The sign and, among similar ones, the order of components differ from run to run.
        """
        ours = torch.cat([_rows(self.targets(batch)) for batch in photos])
        theirs = torch.cat([_rows(matcher.blocks(batch).descriptors) for batch in photos])
        left, _, right = torch.linalg.svd(ours.double().T @ theirs.double())
        self.components = ((left @ right).T @ self.components.double()).float()

    def targets(self, pixels: Tensor) -> Tensor:
        """Descriptors (B, DESCRIPTOR, h, w) of RGB (B, 3, H, W), 0..1."""
        features = self.features(pixels) - self.mean[:, None, None]
        return torch.einsum("kc,bchw->bkhw", self.components, features)


def _rows(planes: Tensor) -> Tensor:
    """Vectors (N, C) of all positions of (B, C, h, w)."""
    return planes.transpose(0, 1).flatten(1).T


def loss_terms(matcher: Matcher, teacher: Teacher, pairs: Pairs) -> dict[str, Tensor]:
    """The weighted terms of the loss, by name."""
    content, style = matcher.blocks(pairs.content), matcher.blocks(pairs.style)
    found: Matches = matcher(content, style)
    small, target = F.avg_pool2d(pairs.content, 3), F.avg_pool2d(pairs.target, 3)
    terms = {
        "scene": F.binary_cross_entropy_with_logits(found.same_scene, pairs.same),
        "descriptors": _descriptor_error(content, teacher.targets(pairs.plain))
        + _descriptor_error(style, teacher.targets(pairs.style_plain)),
        "look": log_error(found.look(small), target),
        "prior": log_error(found.prior(small), target),
    }
    return {name: TERM_WEIGHTS[name] * term for name, term in terms.items()}


class SeenPairs(NamedTuple):
    """What the judgement of the scene needs of N pairs, and its answer.

    facts: (N, FACTS), see `Matches`. content, style: statistics as in `Blocks`. same: (N,).
    """

    facts: Tensor
    content: Tensor
    style: Tensor
    same: Tensor

    @classmethod
    @torch.no_grad()
    def of(cls, matcher: Matcher, pairs: Pairs) -> SeenPairs:
        content, style = matcher.blocks(pairs.content), matcher.blocks(pairs.style)
        facts = matcher(content, style).facts
        return cls(facts, content.statistics, style.statistics, pairs.same)

    @classmethod
    def joined(cls, parts: Sequence[SeenPairs]) -> SeenPairs:
        return cls(*(torch.cat(columns) for columns in zip(*parts, strict=True)))


def _descriptor_error(blocks: Blocks, targets: Tensor) -> Tensor:
    return ((blocks.descriptors - targets) ** 2).sum(1).mean()


def log_error(pixels: Tensor, target: Tensor) -> Tensor:
    """The mean over photos (B, 3, H, W) of the logarithm of their mean squared error.

    So each dB of PSNR counts the same, but less and less above 35 dB.
    """
    return ((pixels - target) ** 2).mean((1, 2, 3)).add(3e-4).log().mean()


ValidationMode = Literal["near", "far", "different"]


class _Score(NamedTuple):
    """PSNR, in dB, of the look, of the look without matches and of the content; the same scene?"""

    look: float
    prior: float
    unchanged: float
    same: bool


def validate(
    matcher: Matcher, photos: Sequence[np.ndarray], tables: Tensor, device: torch.device
) -> dict[str, float]:
    """Figures on graded pairs of photos (H, W, 3), uint8, and on pairs of different ones.

    tables: (N, 3, GRID, GRID, GRID), grades of the styles. By mode: mean PSNR in dB of the look, of
    the look without matches and of the unchanged content; the fraction of photos that improve; the
    worst tenth of the gains in dB; the fraction that are taken for the same scene.
    """
    figures: dict[str, float] = {}
    for mode in get_args(ValidationMode):
        scores = []
        for number in range(len(photos)):
            content, style = _validation_pair(photos, number, mode, device)
            scores.append(_score(matcher, content, style, tables[[number % len(tables)]]))
        figures |= {f"{mode} {name}": value for name, value in _summary(scores).items()}
    return figures


def _validation_pair(
    photos: Sequence[np.ndarray], number: int, mode: ValidationMode, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Content and style (1, 3, H, W) of the size that photos are matched at."""
    crops: Literal["near", "far"] = "near" if mode == "near" else "far"
    content, style = crop_pair(photos[number], np.random.default_rng(number), crops)
    if mode == "different":
        other = (number + 1) % len(photos)
        _, style = crop_pair(photos[other], np.random.default_rng(number), crops)

    def analyzed(pixels: np.ndarray) -> Tensor:
        channels = torch.from_numpy(pixels.copy()).to(device).permute(2, 0, 1).float() / 255
        return resized(channels[None], ANALYSIS_SIZE, STRIDE)

    return analyzed(content), analyzed(style)


@torch.no_grad()
def _score(matcher: Matcher, content: Tensor, style: Tensor, table: Tensor) -> _Score:
    found: Matches = matcher(matcher.blocks(content), matcher.blocks(apply_tables(table, style)))
    target = apply_tables(table, content)

    def psnr(pixels: Tensor) -> float:
        return float(-10 * ((pixels.clamp(0, 1) - target) ** 2).mean().clamp_min(1e-8).log10())

    look, prior = psnr(found.look(content)), psnr(found.prior(content))
    return _Score(look, prior, psnr(content), bool(found.same_scene > 0))


def _summary(scores: Sequence[_Score]) -> dict[str, float]:
    columns = zip(_Score._fields, zip(*scores, strict=True), strict=True)
    means = {name: float(np.mean(values)) for name, values in columns}
    gains = [score.look - score.unchanged for score in scores]
    improved = float(np.mean([gain > 0 for gain in gains]))
    figures = means | {"improved": improved, "worst": worst_tenth(gains)}
    return {name: round(figure, 3) for name, figure in figures.items()}


class Validation(NamedTuple):
    """Photos (H, W, 3), uint8, and tables (N, 3, GRID, GRID, GRID) that training does not see."""

    photos: Sequence[np.ndarray]
    tables: Tensor


class MatcherTrainer:
    """A training run in an existing folder, as of `photostyle.training.run_folder.RunFolder`.

    matcher: the one to start from, already trained if the recipe has a start. teacher: None if only
    the judgement of the scene is trained.
    """

    def __init__(
        self,
        folder: Path,
        recipe: MatcherRecipe,
        photos: PhotoStore,
        grades: GradeTables,
        validation: Validation,
        matcher: Matcher,
        teacher: Teacher | None,
        device: torch.device,
    ):
        self.folder, self.files, self.recipe = folder, RunFolder(folder), recipe
        self.validation, self.device = validation, device
        nothing = np.zeros((len(photos), 0), np.int64)
        self.sampler = PairSampler(photos, grades, nothing, recipe.hard)
        self.matcher, self.teacher = matcher.requires_grad_(teacher is not None).to(device), teacher
        if teacher is None:
            for part in (matcher.fingerprint, matcher.to_scene):
                part.requires_grad_(True)
        else:
            teacher.vgg.to(device)
        self.average = AveragedModel(
            self.matcher, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging)
        )
        assert isinstance(self.average.module, Matcher)
        self.averaged = self.average.module
        encoder = [p for p in self.matcher.encoder.parameters() if p.requires_grad]
        known = set(encoder)
        others = [p for p in self.matcher.parameters() if p.requires_grad and p not in known]
        groups = [{"params": encoder, "scale": ENCODER_RATE}, {"params": others, "scale": 1.0}]
        self.optimizer = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=1e-3)
        self.step = 0
        self.seen: SeenPairs | None = None

    def start(self) -> None:
        """Continue from the checkpoint in the folder, or prepare a new run.

        Raises PhotostyleError if its recipe differs in anything but the number of steps.
        """
        state = self.files.load(asdict(self.recipe), {}, self.device)
        if state is None:
            self._prepare()
            return
        self.step = state["step"]
        self.matcher.load_state_dict(state["matcher"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.teacher:
            self.teacher.mean, self.teacher.components = state["mean"], state["components"]
        self.sampler.alike = state["alike"].cpu().numpy()
        self.seen = state["seen"] and SeenPairs(*state["seen"])

    def save(self) -> None:
        """Write the checkpoint."""
        self.files.save(
            {
                "step": self.step,
                "recipe": asdict(self.recipe),
                "matcher": self.matcher.state_dict(),
                "average": self.average.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "mean": self.teacher and self.teacher.mean,
                "components": self.teacher and self.teacher.components,
                "alike": torch.from_numpy(self.sampler.alike),
                "seen": self.seen and tuple(self.seen),
            }
        )

    def advance(self) -> dict[str, float]:
        """Take one step and return the weighted terms of its loss, with the mode in their names.

        Raises PhotostyleError if the gradient is NaN or infinite.
        """
        rng = np.random.default_rng([self.recipe.seed, self.step])
        terms = self._terms(rng)
        self.optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        if not torch.isfinite(nn.utils.clip_grad_norm_(self.matcher.parameters(), 1.0)):
            raise diverged(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = group["scale"] * self.recipe.rate(self.step)
        self.optimizer.step()
        self.average.update_parameters(self.matcher)
        self.step += 1
        return {name: float(term.detach()) for name, term in terms.items()}

    def _terms(self, rng: np.random.Generator) -> dict[str, Tensor]:
        """The weighted terms of the loss of a step, with the mode in their names.

        A step of the scene alone mixes the modes, and pairs of all shapes. As all before it is
        fixed, its batch is drawn from all pairs that were seen so far.
        """
        batch, sampler = self.recipe.batch, self.sampler
        if self.teacher:
            mode = sampler.random_mode(rng)
            terms = loss_terms(self.matcher, self.teacher, sampler.pairs(rng, batch, mode))
            return {f"{mode} {name}": term for name, term in terms.items()}
        pairs = [sampler.pairs(rng, 1, sampler.random_mode(rng)) for _ in range(batch)]
        fresh = [SeenPairs.of(self.matcher, pair) for pair in pairs]
        self.seen = SeenPairs.joined([*([self.seen] if self.seen else []), *fresh])
        drawn = torch.from_numpy(rng.integers(len(self.seen.same), size=REPLAYED * batch))
        *judged, same = (column[drawn.to(column.device)] for column in self.seen)
        logits = self.matcher.same_scene(*judged)
        return {"scene": F.binary_cross_entropy_with_logits(logits, same)}

    def train(self, progress: Progress, seconds: float) -> None:
        """Take all remaining steps and write a checkpoint every ``seconds`` and at the end.

        progress: called with the number of steps done, and the terms of the last one as the detail.
        """
        saved = time.monotonic()
        sums: dict[str, list[float]] = {}
        try:
            while self.step < self.recipe.steps:
                terms = self.advance()
                for name, term in terms.items():
                    sums.setdefault(name, []).append(term)
                text = " ".join(f"{name} {value:.2f}" for name, value in terms.items())
                progress("training", self.step, self.recipe.steps, text)
                if self.step % LOG_EVERY == 0:
                    self._log(sums)
                    sums.clear()
                if self.step % VALIDATE_EVERY == 0 and self.step < self.recipe.steps:
                    self.files.log(self.step, self.validate())
                if time.monotonic() - saved > seconds:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    def validate(self) -> dict[str, float]:
        """The figures of `validate` for the averaged matcher."""
        return validate(self.averaged, *self.validation, self.device)

    def write(self) -> Path:
        """Write the averaged matcher with its provenance and return its path."""
        figures = self.validate()
        self.files.log(self.step, figures)
        provenance: Mapping[str, object] = {
            "made by": "photostyle train-matcher",
            "steps done": self.step,
            "recipe": asdict(self.recipe),
            "loss": TERM_WEIGHTS,
            "validation photos": len(self.validation.photos),
            "validation": figures,
        }
        path = self.folder / "weights.safetensors"
        save_matcher(self.averaged, path, provenance, overwrite=True)
        return path

    def _prepare(self) -> None:
        """Find what the whole run needs: components of the descriptors, and photos alike."""
        rng = np.random.default_rng([self.recipe.seed, 0, 1])
        if self.teacher:
            batches = [self.sampler.photos.random_crops(rng, 8) for _ in range(12)]
            self.teacher.fit(batches)
            if self.recipe.start:
                self.teacher.align(self.matcher, batches)
        self.sampler.alike = find_alike(self.matcher, self.sampler.photos)

    def _log(self, sums: Mapping[str, Sequence[float]]) -> None:
        means = {name: sum(terms) / len(terms) for name, terms in sorted(sums.items())}
        self.files.log(self.step, {"rate": self.recipe.rate(self.step), **means})

"""Training of a network (the C-step of An et al. 2020) through the transfer itself.

The photos of a step depend only on the seed and its number, so a resumed run continues as if it had
never stopped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from photostyle.evaluation import grades
from photostyle.evaluation.graded_pairs import crop_pair
from photostyle.evaluation.options import Crops
from photostyle.jobs.progress import Progress
from photostyle.lut import Lut
from photostyle.model.architecture import Architecture
from photostyle.model.checkpoint import Checkpoint, save
from photostyle.model.matcher import Matcher
from photostyle.model.network import PhotoNet, conv, pad
from photostyle.model.vgg import VGGFeatures
from photostyle.photo.contact_sheet import save_sheet
from photostyle.training import losses
from photostyle.training.data import Photos, random_crop
from photostyle.training.distillation import Outcome, distillation
from photostyle.training.recipe import Recipe
from photostyle.training.run_folder import RunFolder, diverged

LOG_EVERY, SHEET_EVERY = 20, 500
"""Number of steps between log lines and between sample sheets."""


@dataclass(frozen=True)
class Batch:
    """The photos of a step: RGB (B, 3, S, S), 0..1; target is None except for graded pairs."""

    content: Tensor
    style: Tensor
    target: Tensor | None

    def to(self, device: torch.device) -> Batch:
        def moved(photos: Tensor) -> Tensor:
            return photos.to(device, memory_format=torch.channels_last)

        target = None if self.target is None else moved(self.target)
        return Batch(moved(self.content), moved(self.style), target)


@dataclass(frozen=True)
class Weights:
    """Weights of the terms of the loss."""

    pixel: float = 10.0
    gradient: float = 5.0
    feature: float = 1.0
    reconstruction: float = 20.0
    guide: float = 0.1
    style: float = 16.0
    palette: float = 30.0
    structure: float = 0.6
    edges: float = 1.5
    smoothness: float = 20.0
    clipping: float = 15.0
    output: float = 10.0
    moments: float = 2.0


WEIGHTS = Weights()


def make_batch(photos: Photos, recipe: Recipe, step: int, luts: Sequence[Lut] = ()) -> Batch:
    """The photos of a step, which depend only on the recipe's seed and the step's number.

    luts: grades to draw from, beside random ones.
    """
    rng = np.random.default_rng([recipe.seed, step])
    if step % recipe.unpaired_every == recipe.unpaired_every - 1:
        pair = (
            [random_crop(photos.random(rng), recipe.size, rng, 0.4) for _ in range(recipe.batch)]
            for _ in range(2)
        )
        content, style = (torch.stack(crops) for crops in pair)
        return Batch(content, style, None)
    rows = []
    for _ in range(recipe.batch):
        photo = photos.random(rng)
        a, b = _crops(photo, recipe, rng)
        p = grades.sample(rng)
        if rng.uniform() < recipe.identity:
            rows.append((p(a), p(a), p(a)))
            continue
        q = _grade(rng, a, recipe, luts)
        rows.append((p(a), q(b), q(a)))
    return Batch(*(torch.stack(crops) for crops in zip(*rows, strict=True)))


def _crops(photo: Image.Image, recipe: Recipe, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Two crops of a photo, anywhere or at opposite ends."""
    if rng.uniform() < recipe.opposite:
        crops: Crops = "near" if rng.uniform() < 0.5 else "far"
        ends = (Image.fromarray(end) for end in crop_pair(np.asarray(photo), rng, crops))
        a, b = (random_crop(end, recipe.size, rng, 0.8) for end in ends)
    else:
        a, b = (random_crop(photo, recipe.size, rng, 0.5) for _ in range(2))
    return a, b


def _grade(
    rng: np.random.Generator, pixels: Tensor, recipe: Recipe, luts: Sequence[Lut]
) -> Callable[[Tensor], Tensor]:
    """A LUT, a random grade, or two of them for regions of RGB (3, H, W) separated by colour."""
    if luts and rng.uniform() < 0.5:
        lut = luts[int(rng.integers(len(luts)))]
        return lambda photo: torch.from_numpy(lut(photo.permute(1, 2, 0).numpy())).permute(2, 0, 1)
    if rng.uniform() < recipe.regional:
        return grades.sample_regional(rng, pixels)
    return grades.sample(rng)


def weighted(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each term multiplied by its weight in WEIGHTS."""
    return {name: getattr(WEIGHTS, name) * term for name, term in terms.items()}


class Loss(nn.Module):
    """The loss of a batch, with trained 1x1 maps from the encoder's features to the guide's.

    vgg: VGG-19 for the style and structure terms. guide: VGG-19, often a smaller one, that compares
    graded pairs and whose features the encoder learns. distil: a frozen network whose outcome the
    network learns. matcher: finds the regions and looks of the transfer; None for one without.
    """

    def __init__(
        self,
        recipe: Recipe,
        vgg: VGGFeatures,
        guide: VGGFeatures,
        distil: Checkpoint | None = None,
        matcher: Matcher | None = None,
    ):
        super().__init__()
        self.recipe, self.distil = recipe, distil
        self.matcher = matcher
        if distil:
            self.add_module("larger", distil.network.to(memory_format=torch.channels_last))
        self.vgg, self.guide = vgg, guide
        torch.manual_seed(recipe.seed)  # for the initial weights of the maps
        self.maps = nn.ModuleList(
            conv(ours, theirs, 1) for ours, theirs in zip(recipe.widths, guide.widths, strict=False)
        )

    def forward(self, network: PhotoNet, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms, by name."""
        content, style = batch.content, batch.style
        outcome = Outcome.of(network, content, style, self.recipe.transfer, self.matcher)
        terms = self.terms(network, batch, outcome)
        if self.distil:
            larger, settings = self.distil.network, self.distil.transfer
            with torch.no_grad():
                teacher = Outcome.of(larger, content, style, settings, outcome.found)
            terms |= distillation(outcome, teacher, network.architecture.wct_layers)
        return weighted(terms)

    def terms(self, network: PhotoNet, batch: Batch, outcome: Outcome) -> dict[str, Tensor]:
        """The unweighted terms of the loss without distillation, by name."""
        vgg, guide = self.vgg, self.guide
        reconstruction, result = outcome.reconstruction, outcome.result
        terms = {"reconstruction": losses.pixel(reconstruction, batch.style)}
        terms["reconstruction"] = terms["reconstruction"] + 0.5 * losses.gradient(
            reconstruction, batch.style
        )
        if batch.target is not None:
            terms["pixel"] = losses.pixel(result, batch.target)
            terms["gradient"] = losses.gradient(result, batch.target)
            terms["feature"] = losses.feature(guide(result, 3), guide(batch.target, 3))
            terms["guide"] = self._guide(network, batch.style)
        else:
            of_result = vgg(result, 3)
            of_content, of_style = vgg(batch.content, 3), vgg(batch.style, 3)
            if outcome.regions is None:
                terms["style"] = losses.style(of_result, of_style)
                terms["palette"] = losses.palette(result, batch.style)
            else:
                seen, sought = [result, *of_result], [batch.style, *of_style]
                terms["style"] = losses.style(seen, sought, outcome.regions)
            terms["structure"] = losses.structure(of_result[2:], of_content[2:])
            terms["edges"] = losses.edges(result, batch.content)
            terms["smoothness"] = losses.smoothness(result, batch.content)
            terms["clipping"] = losses.clipping(result)
        return terms

    def _guide(self, network: PhotoNet, pixels: Tensor) -> Tensor:
        levels = network.encode(pad(pixels))
        targets = self.guide(pad(pixels), len(self.maps))
        numbers = [n for n in levels if n <= len(self.maps)]
        return losses.feature(
            [torch.relu(self.maps[n - 1](levels[n])) for n in numbers],
            [targets[n - 1] for n in numbers],
        )


class Trainer:
    """A training run in an existing folder.

    The folder holds the run's state in ``checkpoint.pt``, the terms of the loss in ``log.jsonl``,
    and sheets of content | style | result in ``samples``. start: the network to start from; None
    for random weights. luts: grades to train on, beside random ones.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        photos: Photos,
        loss: Loss,
        device: torch.device,
        start: PhotoNet | None = None,
        luts: Sequence[Lut] = (),
    ):
        self.folder, self.recipe, self.photos, self.device = folder, recipe, photos, device
        self.luts = luts
        self.files = RunFolder(folder)
        torch.manual_seed(recipe.seed)
        self.network = self._build(start)
        self.network.requires_grad_(True).to(device).to(memory_format=torch.channels_last)
        self.loss = loss.to(device)
        self.average = AveragedModel(
            self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.averaging)
        )
        assert isinstance(self.average.module, PhotoNet)
        self.averaged = self.average.module
        parameters = [*self.network.parameters(), *self.loss.maps.parameters()]
        self.optimizer = torch.optim.AdamW(parameters, betas=(0.9, 0.99), weight_decay=1e-4)
        self.step = 0

    def resume(self) -> None:
        """Continue from the checkpoint in the folder, if there is one.

        Raises PhotostyleError if its recipe differs in anything but the number of steps.
        """
        defaults = asdict(Recipe("", self.recipe.widths))
        state = self.files.load(asdict(self.recipe), defaults, self.device)
        if state is None:
            return
        self.step = state["step"]
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.loss.maps.load_state_dict(state["maps"])
        self.optimizer.load_state_dict(state["optimiser"])

    def save(self) -> None:
        """Write the checkpoint."""
        self.files.save(
            {
                "step": self.step,
                "recipe": asdict(self.recipe),
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "maps": self.loss.maps.state_dict(),
                "optimiser": self.optimizer.state_dict(),
            }
        )

    def advance(self) -> dict[str, float]:
        """Take one step and return the weighted terms of its loss.

        Raises PhotostyleError if the gradient is NaN or infinite.
        """
        batch = make_batch(self.photos, self.recipe, self.step, self.luts)
        terms = self.terms(batch.to(self.device))
        self.optimizer.zero_grad()
        torch.stack(list(terms.values())).sum().backward()
        norm = nn.utils.clip_grad_norm_(self.optimizer.param_groups[0]["params"], 10.0)
        if not torch.isfinite(norm):
            raise diverged(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(self.step)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return {name: float(term.detach()) for name, term in terms.items()}

    def terms(self, batch: Batch) -> dict[str, Tensor]:
        """The weighted terms of the loss of this step, by name."""
        terms: dict[str, Tensor] = self.loss(self.network, batch)
        return terms

    def train(self, progress: Progress, seconds: float) -> None:
        """Take all remaining steps and write a checkpoint every ``seconds`` and at the end.

        progress: called with the number of steps done, and the mean terms since the last log line
        as the detail.
        """
        saved = time.monotonic()
        sums: dict[str, list[float]] = {}
        try:
            while self.step < self.recipe.steps:
                for name, term in self.advance().items():
                    sums.setdefault(name, []).append(term)
                means = {name: sum(terms) / len(terms) for name, terms in sums.items()}
                text = " ".join(f"{name} {value:.2f}" for name, value in means.items())
                progress("training", self.step, self.recipe.steps, text)
                if self.step % LOG_EVERY == 0:
                    self.files.log(self.step, {"rate": self.recipe.rate(self.step), **means})
                    sums.clear()
                if self.step % SHEET_EVERY == 0 or self.step == self.recipe.steps:
                    self._write_sheet()
                if time.monotonic() - saved > seconds:
                    self.save()
                    saved = time.monotonic()
        finally:
            self.save()

    def result(self) -> Checkpoint:
        """The averaged network with its transfer settings and provenance."""
        recipe = self.recipe
        provenance = {
            "made by": "photostyle train",
            "photos": len(self.photos),
            "steps done": self.step,
            "recipe": asdict(recipe),
            "loss": asdict(WEIGHTS),
        }
        return Checkpoint(self.averaged, recipe.transfer, provenance)

    def write(self) -> Path:
        """Write the averaged network to a file for use with --model and return its path."""
        path = self.folder / "weights.safetensors"
        save(self.result(), path, torch.float16, overwrite=True)
        return path

    def _build(self, start: PhotoNet | None) -> PhotoNet:
        return start or initial_network(self.recipe)

    def _write_sheet(self) -> None:
        rng = np.random.default_rng(self.recipe.seed)
        rows = []
        for _ in range(6):
            content, style = (
                random_crop(self.photos.random(rng), 224, rng, 1.0).to(self.device)[None]
                for _ in range(2)
            )
            with torch.no_grad():
                made = Outcome.of(
                    self.averaged, content, style, self.recipe.transfer, self.loss.matcher
                )
            rows.append([to_uint8(photo[0]) for photo in (content, style, made.result)])
        folder = self.folder / "samples"
        folder.mkdir(exist_ok=True)
        save_sheet(rows, folder / f"{self.step:06}.png")


def to_uint8(pixels: Tensor) -> np.ndarray:
    """Convert RGB (3, H, W), 0..1, to (H, W, 3), uint8."""
    return (pixels.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).cpu().numpy()


def initial_network(recipe: Recipe) -> PhotoNet:
    """An untrained network for a recipe, with random weights from torch's global generator."""
    network = PhotoNet(Architecture.parse(recipe.architecture), recipe.widths)
    _initialize(network)
    return network


def _initialize(network: PhotoNet) -> None:
    """Initialize near Dirac kernels (Zagoruyko 2017), so that colours pass through from the start.

    With torch's default initialization the reconstruction error after 120 steps is 1.6 times as
    large.
    """
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                channels_out, channels_in, size, _ = module.weight.shape
                module.weight.mul_(0.3)
                index = torch.arange(channels_out)
                module.weight[index, index % channels_in, size // 2, size // 2] += 1
        conversion = network.encoder.get_submodule("conv0").state_dict()
        conversion["weight"].copy_(torch.eye(3)[..., None, None])
        conversion["bias"].zero_()

"""Training and search from photos to weights, for the commands; imports nothing heavy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from photostyle.bundled import MATCHER, bundled_file
from photostyle.errors import PhotostyleError, needs_extra
from photostyle.jobs.progress import Progress, silent
from photostyle.model.architecture import PHOTONET, Architecture, find_architecture, parse_widths
from photostyle.model.transfer_settings import TransferSettings
from photostyle.training.recipe import MatcherRecipe, Recipe, Score, SearchSettings

if TYPE_CHECKING:
    import numpy as np

    from photostyle.lut import Lut
    from photostyle.model.matcher import Matcher
    from photostyle.training.search import Candidate
    from photostyle.training.supernet import Supernet

Method = Literal["monge", "classic"]
"""Methods of `photostyle.model.moments.transfer_map` that can be trained with."""


def train(
    photos: Sequence[Path],
    output: Path,
    *,
    arch: str = "photonas",
    supernet: bool = False,
    widths: str = "32,48,64,96,128",
    method: Method = "monge",
    steps: int = Recipe.steps,
    batch: int = Recipe.batch,
    size: int = Recipe.size,
    learning_rate: float = Recipe.learning_rate,
    seed: int = Recipe.seed,
    match: Literal["auto", "global"] = "auto",
    looks: Path | None = None,
    vgg: Path | None = None,
    guide: Path | None = None,
    start: str | None = None,
    distil: str | None = None,
    device: str = "auto",
    checkpoint_every: float = 200.0,
    progress: Progress = silent,
) -> Path:
    """Train a network on ``photos`` (folders or tar shards) and return the path of its weights.

    Resumes the run in the folder ``output``, if there is one.

    arch: name or string of the architecture; ignored with ``supernet``, which trains PHOTONET and
    all smaller networks. widths: channels of the five levels, separated by commas. batch: pairs of
    photos in each step. size: side of the crops in pixels, a multiple of 16. learning_rate: its
    peak. match: how colours are matched; "auto" by region or by look, as for users. looks: folder
    of `.cube` files, None for random grades alone. vgg: VGG-19 weights for the losses, None for
    torchvision's. guide: VGG-19 weights for the losses of the encoder and of graded pairs, None for
    ``vgg``. start: weights to start from; distil: network to
    learn from; both are bundled names or files. device: as in `photostyle.load`. checkpoint_every:
    seconds between checkpoints. progress: a `Progress`, called after each step with the mean losses
    as the detail.

    Raises PhotostyleError if an option is invalid, photos or weights are unreadable, ``output``
    holds a run with other options, or training diverges.
    """
    from photostyle.model.checkpoint import identify, load
    from photostyle.model.matcher import load_matcher
    from photostyle.model.vgg import VGGFeatures
    from photostyle.training.data import Photos
    from photostyle.training.supernet import load_start
    from photostyle.training.supernet_trainer import SupernetTrainer
    from photostyle.training.trainer import Loss, Trainer
    from photostyle.transfer.stylizer import choose_device

    if supernet and distil:
        raise PhotostyleError("A supernet learns from photos alone; omit --distil.")
    if size % 16:
        raise PhotostyleError(f"The size of the crops must be a multiple of 16, not {size}.")
    architecture = PHOTONET if supernet else find_architecture(arch)
    luts = _read_luts(looks) if looks else []
    matcher = load_matcher().requires_grad_(False) if match == "auto" else None
    recipe = Recipe(
        architecture=str(architecture),
        widths=parse_widths(widths),
        transfer=TransferSettings(method=method),
        steps=steps,
        batch=batch,
        size=size,
        learning_rate=learning_rate,
        seed=seed,
        luts=len(luts),
        matcher=identify(bundled_file(MATCHER)) if matcher else "",
        supernet=supernet,
        start=identify(start) if start else "",
        distil=identify(distil) if distil else "",
    )
    network = (
        load_start(start, None if supernet else architecture, recipe.widths) if start else None
    )
    features = VGGFeatures.load(vgg)
    guide_features = VGGFeatures.load(guide) if guide else features
    loss = Loss(recipe, features, guide_features, load(distil) if distil else None, matcher)
    kind = SupernetTrainer if supernet else Trainer
    trainer = kind(output, recipe, Photos(photos), loss, choose_device(device), network, luts)
    _make_folder(output)
    trainer.resume()
    trainer.train(progress, checkpoint_every)
    return trainer.write()


def train_matcher(
    photos: Sequence[Path],
    output: Path,
    *,
    looks: Path | None = None,
    vgg: Path | None = None,
    steps: int = MatcherRecipe.steps,
    batch: int = MatcherRecipe.batch,
    learning_rate: float = MatcherRecipe.learning_rate,
    hard: float = MatcherRecipe.hard,
    scene_only: bool = MatcherRecipe.scene_only,
    seed: int = MatcherRecipe.seed,
    start: str | None = None,
    device: str = "auto",
    checkpoint_every: float = 200.0,
    progress: Progress = silent,
) -> Path:
    """Train a matcher on ``photos`` (folders or tar shards) and return the path of its weights.

    Resumes the run in the folder ``output``, if there is one. One photo in 32 and one look in five
    are kept out of training, for validation.

    looks: folder of `.cube` files, None for random grades alone. vgg: VGG-19 weights to learn
    descriptors from, None for torchvision's. batch: pairs of photos in each step. learning_rate:
    its peak; the encoder learns at half of it. hard: fraction of the pairs of different photos
    whose photos look alike. scene_only: train only what judges whether both photos show the same
    scene, which needs no VGG-19. start: a matcher to continue from, "matcher" for the bundled one,
    None to begin with the encoder of the bundled photonet. device: as in `photostyle.load`.
    checkpoint_every: seconds between checkpoints. progress: a `Progress`, called after each step
    with its losses as the detail.

    Raises PhotostyleError if an option is invalid, photos, looks or weights are unreadable,
    ``output`` holds a run with other options, or training diverges.
    """
    from photostyle.model.checkpoint import identify
    from photostyle.model.matcher import ANALYSIS_SIZE
    from photostyle.model.vgg import VGGFeatures
    from photostyle.training import matching
    from photostyle.training.data import Photos
    from photostyle.training.matcher_trainer import MatcherTrainer, Teacher, Validation
    from photostyle.transfer.stylizer import choose_device

    torch_device = choose_device(device)
    start_file = bundled_file(MATCHER) if start == MATCHER else Path(start) if start else None
    matcher = _initial_matcher(start_file, seed)
    teacher = None if scene_only else Teacher(VGGFeatures.load(vgg))
    collection = Photos(photos)
    kept_out, trained = _split(len(collection), seed)
    luts = _read_luts(looks) if looks else []
    held_luts = luts[4::5]
    training_luts = [lut for number, lut in enumerate(luts) if number % 5 != 4]
    recipe = MatcherRecipe(
        widths=matcher.widths,
        photos=len(trained),
        luts=len(training_luts),
        steps=steps,
        batch=batch,
        learning_rate=learning_rate,
        seed=seed,
        hard=hard,
        scene_only=scene_only,
        start=identify(start_file) if start_file else "",
    )
    _make_folder(output)

    def read(numbers: Sequence[int], short: int) -> list[np.ndarray]:
        return matching.read_small(
            collection, numbers, short, lambda count: progress("reading", count, len(numbers))
        )

    tables = matching.tabulate(held_luts) if held_luts else matching.random_tables(10, seed + 1)
    validation = Validation(read(kept_out, ANALYSIS_SIZE), tables.to(torch_device))
    store = matching.PhotoStore(read(trained, matching.SHORT_SIDE), torch_device)
    grades = matching.GradeTables(training_luts, recipe.grades, seed, torch_device)
    trainer = MatcherTrainer(
        output, recipe, store, grades, validation, matcher, teacher, torch_device
    )
    progress("preparing")
    trainer.start()
    trainer.train(progress, checkpoint_every)
    progress("validating")
    return trainer.write()


def _initial_matcher(file: Path | None, seed: int) -> Matcher:
    """The matcher of a file; for None a new one with the encoder of the bundled photonet."""
    import torch

    from photostyle.model.checkpoint import load
    from photostyle.model.matcher import Matcher, load_matcher
    from photostyle.model.network import PhotoNet

    if file:
        return load_matcher(file)
    network = load("photonet").network
    assert isinstance(network, PhotoNet)
    torch.manual_seed(seed)
    matcher = Matcher(network.widths)
    matcher.encoder.load_state_dict(network.encoder.state_dict())
    return matcher


def _split(count: int, seed: int) -> tuple[list[int], list[int]]:
    """The numbers of photos for validation, one in 32 but at least two, and for training."""
    import numpy as np

    if count < 4:
        raise PhotostyleError(f"Training needs at least four photos, not {count}.")
    numbers = np.random.default_rng(seed).permutation(count).tolist()
    held = max(2, count // 32)
    return sorted(numbers[:held]), sorted(numbers[held:])


def _read_luts(folder: Path) -> list[Lut]:
    from photostyle import lut

    files = sorted(folder.glob("*.cube"))
    if not files:
        raise PhotostyleError(f"There are no .cube files in {folder}.")
    return [lut.read(file) for file in files]


class SearchResult(NamedTuple):
    """The chosen network of a search, and the number of networks evaluated.

    latency: time to learn and apply a style, divided by the teacher's. distance: mean CIEDE2000
    between the network's results and the teacher's.
    """

    architecture: Architecture
    latency: float
    distance: float
    evaluated: int


def search(
    photos: Sequence[Path],
    output: Path,
    supernet: str,
    *,
    candidates: int = 200,
    score: Score = SearchSettings.score,
    within: float = 0.0,
    choose: str | None = None,
    reference: str | None = None,
    vgg: Path | None = None,
    pairs: int = SearchSettings.pairs,
    size: int = SearchSettings.size,
    latency_size: int = SearchSettings.latency_size,
    population: int = SearchSettings.population,
    seed: int = SearchSettings.seed,
    storage: str | None = None,
    study: str = "search",
    device: str = "auto",
    progress: Progress = silent,
) -> SearchResult:
    """Search the networks of a supernet and write the results to the folder ``output``.

    Resumes the study in the storage. Writes candidates.jsonl, pareto.png and the chosen network
    with the supernet's weights, chosen.safetensors.

    photos: folders or tar shards. supernet, reference: weights, by bundled name or file;
    ``reference`` is the teacher, None for the supernet's largest network. candidates: number of
    networks to evaluate. within: choose the fastest network whose distance is at most (1 + within)
    times that of PHOTONAS. choose: choose this architecture instead, by name or string. vgg: VGG-19
    weights for the paper's score, None for torchvision's. storage: file or database URL of the
    study, None for study.log in ``output``. study: name of the study in the storage. device: as in
    `photostyle.load`. For the others see `SearchSettings`.

    Raises PhotostyleError if an option is invalid, photos or weights are unreadable, or the storage
    cannot be used or holds a study made with other options.
    """
    with needs_extra("search"):
        import matplotlib  # noqa: F401
        import optuna  # noqa: F401
    import torch

    from photostyle.model.checkpoint import identify, load
    from photostyle.model.matcher import load_matcher
    from photostyle.model.vgg import VGGFeatures
    from photostyle.training.data import Photos
    from photostyle.training.evaluator import Evaluator, make_pairs
    from photostyle.training.pareto import save_plot
    from photostyle.training.search import Search
    from photostyle.training.supernet import load_supernet
    from photostyle.transfer.stylizer import choose_device

    if size % 16:
        raise PhotostyleError(f"The size of the pairs must be a multiple of 16, not {size}.")
    chosen = [_searchable(choose)] if choose else []
    network, transfer = load_supernet(supernet)
    torch_device = choose_device(device)
    network.to(torch_device).to(memory_format=torch.channels_last)
    collection = Photos(photos)
    settings = SearchSettings(
        supernet=identify(supernet),
        reference=identify(reference) if reference else "",
        matcher=identify(bundled_file(MATCHER)),
        photos=len(collection),
        score=score,
        pairs=pairs,
        size=size,
        latency_size=latency_size,
        population=population,
        seed=seed,
    )
    _make_folder(output)
    trials = Search(settings, storage or str(output / "study.log"), study)
    evaluator = Evaluator(
        network,
        transfer,
        make_pairs(collection, pairs, size, seed),
        reference=load(reference) if reference else None,
        vgg=VGGFeatures.load(vgg).to(torch_device) if score == "paper" else None,
        latency_size=latency_size,
        matcher=load_matcher().to(torch_device),
    )
    try:
        trials.run(evaluator, candidates, progress, chosen)
    finally:
        trials.write(output / "candidates.jsonl")
    best = trials.find(chosen[0]) if chosen else trials.choose(within)
    save_plot(trials, best, output / "pareto.png")
    _save_chosen(best, network, transfer, settings, output / "chosen.safetensors")
    latency, distance = best.figures["latency"], best.figures["distance"]
    return SearchResult(best.architecture, latency, distance, len(trials.candidates()))


def _save_chosen(
    best: Candidate,
    supernet: Supernet,
    transfer: TransferSettings,
    settings: SearchSettings,
    path: Path,
) -> None:
    """Write the chosen network in full precision, because training continues from it."""
    from torch import float32

    from photostyle.model.checkpoint import Checkpoint, save

    provenance = {"made by": "photostyle search", **asdict(settings), "figures": best.figures}
    network = supernet.cpu().extract(best.architecture)
    save(Checkpoint(network, transfer, provenance), path, float32, overwrite=True)


def _searchable(name: str) -> Architecture:
    """The canonical architecture of a name or string, which must have a WCT layer."""
    from photostyle.training.supernet import canonical

    architecture = canonical(find_architecture(name))
    if not architecture.wct_layers:
        raise PhotostyleError(f"{name} transfers nothing: it has no WCT layer; choose another.")
    return architecture


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PhotostyleError(f"Cannot write {folder}: {error.strerror}.") from None

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import optuna
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from PIL import Image
from skimage import color
from support.photos import clouds
from torch import Tensor

import photostyle
from photostyle import PhotostyleError
from photostyle.cli import cli
from photostyle.jobs.progress import silent
from photostyle.model import checkpoint
from photostyle.model.architecture import PHOTONAS, PHOTONET, Architecture
from photostyle.model.checkpoint import Checkpoint
from photostyle.model.moments import Moments
from photostyle.model.network import PhotoNet
from photostyle.model.transfer_settings import TransferSettings
from photostyle.training.data import Photos
from photostyle.training.distillation import Outcome, distillation
from photostyle.training.evaluator import (
    Evaluator,
    feature_error,
    make_pairs,
    paper_score,
    region_error,
)
from photostyle.training.evolution import (
    SPACE,
    AgingEvolution,
    architecture_of,
    parameters_of,
)
from photostyle.training.recipe import SearchSettings
from photostyle.training.search import ANCHORS, FARTHER, SLOWER, Search
from photostyle.training.supernet import (
    BITS,
    SMALLEST,
    Supernet,
    canonical,
    load_start,
    load_supernet,
    sample,
)
from photostyle.transfer.correspondence import Correspondence
from photostyle.transfer.regions import RegionMasks
from photostyle.transfer.style import Style
from photostyle.transfer.tone_curves import ToneHistogram

WIDTHS = (4, 5, 6, 7, 8)
ARCHITECTURES = st.lists(st.booleans(), min_size=32, max_size=32).map(
    lambda bits: Architecture(*bits)
)


@pytest.fixture(scope="module")
def supernet() -> Supernet:
    torch.manual_seed(0)
    return Supernet(WIDTHS).requires_grad_(False)


# The supernet.


def test_there_are_31_bits() -> None:
    assert len(BITS) == 31
    assert set(SPACE) == set(BITS)
    assert architecture_of(parameters_of(PHOTONAS)) == canonical(PHOTONAS) == PHOTONAS


@given(architecture=ARCHITECTURES)
def test_the_canonical_architecture_is_the_same_network(architecture: Architecture) -> None:
    same = canonical(architecture)
    assert canonical(same) == same
    assert same.wct_layers == architecture.wct_layers
    with torch.device("meta"):
        a, b = PhotoNet(architecture, WIDTHS), PhotoNet(same, WIDTHS)
    assert {n: t.shape for n, t in a.state_dict().items()} == {
        n: t.shape for n, t in b.state_dict().items()
    }


def test_bits_without_effect_are_dropped_and_others_kept() -> None:
    assert canonical(Architecture(wct_skip3=True, norm3=True)) == Architecture()
    transferred = Architecture(bfa3=True, wct_skip3=True)
    assert canonical(transferred) == transferred
    assert canonical(PHOTONET) == PHOTONET


def test_samples_cover_all_sizes_and_transfer_something() -> None:
    rng = np.random.default_rng(0)
    samples = [sample(rng) for _ in range(300)]
    assert all(a.wct_layers and canonical(a) == a for a in samples)
    parts = [str(a).count("1") for a in samples]
    assert min(parts) < 5
    assert max(parts) > 27
    assert len(SMALLEST.wct_layers) == 1


@settings(max_examples=25, deadline=None)
@given(architecture=ARCHITECTURES)
def test_a_subnetwork_computes_what_its_extract_does(
    supernet: Supernet, architecture: Architecture
) -> None:
    pixels = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    extract = supernet.extract(architecture)
    torch.testing.assert_close(supernet.subnetwork(architecture)(pixels), extract(pixels))
    expected = {n: p.shape for n, p in PhotoNet(architecture, WIDTHS).named_parameters()}
    assert {n: p.shape for n, p in extract.named_parameters()} == expected


@pytest.mark.parametrize(
    ("missing", "layer", "columns"),
    [
        ("bfa4", "aggregate", slice(8, 15)),
        ("bfa3", "aggregate", slice(15, 21)),
        ("bfa2", "aggregate", slice(21, 26)),
        ("bfa1", "aggregate", slice(26, 30)),
        ("skip4", "conv17", slice(7, 14)),
        ("skip3", "conv21", slice(6, 12)),
        ("skip2", "conv25", slice(5, 10)),
        ("skip1", "conv27", slice(4, 8)),
    ],
)
def test_a_missing_skip_link_equals_a_zero_kernel(
    supernet: Supernet, missing: str, layer: str, columns: slice
) -> None:
    pixels = torch.rand(1, 3, 32, 32)
    smaller = supernet.extract(Architecture(**{part: part != missing for part in BITS}))
    zeroed = supernet.extract(PHOTONET)
    zeroed.get_parameter(f"{layer}.weight")[:, columns] = 0
    torch.testing.assert_close(smaller(pixels), zeroed(pixels))


def test_gradients_of_a_subnetwork_reach_the_supernet() -> None:
    torch.manual_seed(0)  # with one in ten, all that conv27 is given is cut off by ReLUs
    supernet = Supernet(WIDTHS)
    supernet.subnetwork(SMALLEST)(torch.rand(1, 3, 32, 32)).sum().backward()
    gradients = {n: p.grad for n, p in supernet.named_parameters() if p.grad is not None}
    assert {"conv17_wide.weight", "conv19_1x1.weight", "encoder.conv1_1.weight"} <= set(gradients)
    assert "conv17.weight" not in gradients
    assert gradients["conv27.weight"][:, :4].abs().sum() > 0
    assert not gradients["conv27.weight"][:, 4:].any()  # the skip link that is off


def test_second_kernels_are_equivalent_in_flat_areas() -> None:
    """Of features without edges, before any ReLU."""
    torch.manual_seed(1)
    supernet = Supernet.around(PhotoNet(PHOTONET, WIDTHS))
    flat = torch.rand(1, 8, 1, 1).expand(-1, -1, 6, 6)
    with torch.no_grad():
        narrow = supernet.conv16(flat)
        own = supernet.conv17.weight[:, :7]
        expected = F.conv2d(F.pad(narrow, (1, 1, 1, 1), "reflect"), own, supernet.conv17.bias)
        torch.testing.assert_close(supernet.conv17_wide(flat), expected)
        torch.testing.assert_close(supernet.conv19_1x1(narrow), supernet.conv19(narrow))


def test_shared_encodings_are_computed_once() -> None:
    supernet = Supernet(WIDTHS).requires_grad_(False)
    pixels, counts = torch.rand(1, 3, 32, 32), [0]
    supernet.encoder.conv0.register_forward_hook(lambda *_: counts.__setitem__(0, counts[0] + 1))
    expected = supernet.extract(PHOTONAS)(pixels)
    with supernet.shared_encodings():
        for _ in range(3):
            torch.testing.assert_close(supernet.subnetwork(PHOTONAS)(pixels), expected)
    assert counts == [1]
    supernet(pixels)
    assert counts == [2]


def saved(network: PhotoNet, path: Path) -> Path:
    checkpoint.save(Checkpoint(network), path, torch.float32)
    return path


def test_weights_to_start_from(supernet: Supernet, tmp_path: Path) -> None:
    whole = saved(supernet, tmp_path / "supernet.safetensors")
    largest = saved(supernet.extract(PHOTONET), tmp_path / "largest.safetensors")
    small = saved(supernet.extract(PHOTONAS), tmp_path / "small.safetensors")
    pixels = torch.rand(1, 3, 32, 32)

    loaded, _ = load_supernet(whole)
    torch.testing.assert_close(
        loaded.subnetwork(SMALLEST)(pixels), supernet.subnetwork(SMALLEST)(pixels)
    )
    expected = supernet.extract(PHOTONAS)(pixels)
    for path in (whole, small):
        torch.testing.assert_close(load_start(path, PHOTONAS, WIDTHS)(pixels), expected)
    assert isinstance(load_start(largest, None, WIDTHS), Supernet)
    # From a network with all parts only what it lacks is made up.
    cut = load_start(largest, PHOTONAS, WIDTHS).state_dict()
    torch.testing.assert_close(cut["conv27.weight"], supernet.conv27.weight)

    with pytest.raises(PhotostyleError, match="smaller network"):
        load_start(small, SMALLEST, WIDTHS)
    with pytest.raises(PhotostyleError, match="--widths 4,5,6,7,8"):
        load_start(whole, PHOTONAS, (4, 4, 4, 4, 4))
    with pytest.raises(PhotostyleError, match="unexpected weights"):
        checkpoint.load(whole)


# Scores.


def test_paper_score_by_hand() -> None:
    """The paper's string has seven ones."""
    assert paper_score(0.05, 0.3, PHOTONAS) == pytest.approx(0.8 * 0.05 + 0.1 * 0.3 + 0.1 * 7 / 32)
    assert paper_score(0, 0, PHOTONET) == pytest.approx(0.1 * 31 / 32)
    idle = Architecture(wct_d5=True, wct_skip2=True, norm2=True)
    assert paper_score(0, 0, idle) == pytest.approx(0.1 / 32)


def test_feature_error_by_hand() -> None:
    """Errors 1 and 3 at mean activations 2 and 5: the mean of 1/4 and 9/25."""
    teacher = [torch.full((1, 2, 3, 3), 2.0), torch.full((1, 4, 2, 2), 5.0)]
    result = [teacher[0] - 1, teacher[1] + 3]
    assert feature_error(result, teacher) == pytest.approx((1 / 4 + 9 / 25) / 2)
    assert feature_error(teacher, teacher) == 0


def outcome(value: float, **layers: Tensor) -> Outcome:
    pixels = torch.full((1, 3, 4, 4), value)
    moments = {n: Moments.of(f) for n, f in layers.items()}
    return Outcome(Style(moments, ToneHistogram.of(pixels), {}, pixels), pixels, pixels)


def test_distillation_by_hand() -> None:
    """Results and reconstructions 0.3 apart; means 1 and 3, variances 4 and 1 at one layer."""
    pattern = torch.tensor([1.0, -1.0]).repeat(8).view(1, 1, 4, 4)
    student = outcome(0.2, d5=1 + 2 * pattern, d2=pattern, pixels=pattern)
    teacher = outcome(0.5, d5=3 + pattern, d2=pattern.expand(-1, 2, -1, -1), d1=pattern)
    terms = distillation(student, teacher, ("d2", "d5"))  # at d2 the teacher is wider
    charbonnier = (0.3**2 + 1e-4) ** 0.5 - 1e-2
    assert terms["output"].item() == pytest.approx(2 * charbonnier, abs=1e-6)
    assert terms["moments"].item() == pytest.approx((2 / 4 + 3 / 5) / 2, abs=1e-6)
    assert set(distillation(student, teacher, ())) == {"output"}
    assert all(t.item() == 0 for t in distillation(student, student, ("d2", "d5")).values())


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(6):
        Image.fromarray(clouds(seed=seed)).save(folder / f"{seed}.png")
    return folder


def test_the_evaluator_compares_with_the_teacher(supernet: Supernet, photos: Path) -> None:
    pairs = make_pairs(Photos([photos]), 4, 64, 0)
    assert [pair.target is not None for pair in pairs] == [True, False, True, False]
    evaluator = Evaluator(supernet, TransferSettings(), pairs, latency_size=64)
    with supernet.shared_encodings():
        itself = [evaluator.compare(supernet.subnetwork(PHOTONET), n) for n in range(4)]
        other = [evaluator.compare(supernet.subnetwork(SMALLEST), n) for n in range(4)]
    for same, different in zip(itself, other, strict=True):
        assert same["distance"] == pytest.approx(0, abs=0.05)
        assert different["distance"] > 0.1
        assert different["pixel"] > same["pixel"]
    assert ["target" in figures for figures in other] == [True, False, True, False]
    assert all(figures["error"] == figures["target"] for figures in other[::2])

    # Another teacher: its results are what a candidate is compared with.
    reference = Checkpoint(supernet.extract(SMALLEST), TransferSettings())
    evaluator = Evaluator(supernet, TransferSettings(), pairs, reference=reference, latency_size=64)
    assert evaluator.compare(supernet.subnetwork(SMALLEST), 1)["pixel"] < 1e-9
    assert evaluator.compare(supernet.subnetwork(PHOTONET), 1)["pixel"] > 1e-6


def test_the_error_counts_regions_and_known_answers(photos: Path) -> None:
    """The result that has the style's colours in each region has no error, others have."""
    pair = make_pairs(Photos([photos]), 2, 64, 0)[1]
    halves = torch.zeros(1, 2, 64, 64)
    halves[:, 0, :, :32], halves[:, 1, :, 32:] = 1, 1
    found = Correspondence("auto", halves, torch.ones(1, 2)), RegionMasks(halves, 64, 64)
    moments = outcome(0.5)
    style = np.zeros((64, 64, 3), np.uint8)
    style[:, :32] = 200, 40, 40  # red on the left, grey on the right
    style[:, 32:] = 128
    batch = replace(pair, style=torch.from_numpy(style / 255).permute(2, 0, 1)[None].float())
    right = region_error(replace(moments, found=found), batch, style)
    turned = region_error(replace(moments, found=found), batch, style[:, ::-1].copy())
    assert right == pytest.approx(0, abs=1e-6)
    lab = color.rgb2lab(np.array([[[200, 40, 40], [128, 128, 128]]], np.uint8))[0]
    directions = np.random.default_rng(0).normal(size=(64, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    distance = np.abs(directions @ (lab[0] - lab[1])).mean()
    assert 20 * (1 - np.sqrt(np.exp(-distance / 15))) < turned <= 20
    assert region_error(moments, batch, style) == 0  # no regions were found


def test_latency_is_the_median_ratio(supernet: Supernet, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = Evaluator(supernet, TransferSettings(), [], latency_size=64)
    seconds = iter([3.0, 8.0, 3.0, 4.0, 9.0, 5.0])  # candidate, teacher, in turn
    monkeypatch.setattr(evaluator, "_time", lambda *_: next(seconds))
    assert evaluator.latency(SMALLEST) == pytest.approx(3 / 4)


# The search.


class FakeEvaluator:
    """A fake `Evaluator` whose figures depend on the architecture alone."""

    def __init__(self, supernet: Supernet, stop_at: int | None = None):
        self.supernet, self.stop_at = supernet, stop_at
        self.evaluated: list[Architecture] = []
        self.compared = 0

    def latency(self, architecture: Architecture) -> float:
        if len(self.evaluated) == self.stop_at:
            raise KeyboardInterrupt
        self.evaluated.append(architecture)
        return 0.2 + 0.8 * str(architecture).count("1") / 31

    def compare(self, network: PhotoNet, number: int) -> dict[str, float]:
        self.compared += 1
        bits = np.array([c == "1" for c in str(canonical(network.architecture))])
        missing = float((~bits) @ np.random.default_rng(7).uniform(0, 1, 32))
        return {
            "distance": missing * (1 + 0.1 * number),
            "error": 5 + abs(missing - 4) * (1 + 0.1 * number),
            "pixel": 0.01 * missing,
            "feature": 0.1 * missing,
        }


def make_settings(**changes: Any) -> SearchSettings:
    return SearchSettings("supernet", "", "", 6, **{"pairs": 8, "population": 10, **changes})


def search(
    storage: str, supernet: Supernet, count: int, stop_at: int | None = None, **changes: Any
) -> tuple[Search, FakeEvaluator]:
    evaluator = FakeEvaluator(supernet, stop_at)
    found = Search(make_settings(**changes), storage, "test")
    found.run(cast(Evaluator, evaluator), count, silent)
    return found, evaluator


@pytest.mark.parametrize(("score", "objective"), [("pareto", "distance"), ("results", "error")])
def test_search_finds_the_front(
    supernet: Supernet, tmp_path: Path, score: str, objective: str
) -> None:
    found, evaluator = search(str(tmp_path / "study.log"), supernet, 28, score=score)
    candidates = found.candidates()
    assert len(candidates) == 28
    assert len(set(evaluator.evaluated)) == len(evaluator.evaluated) == 28  # none twice
    assert evaluator.evaluated[:3] == [canonical(anchor) for anchor in ANCHORS]
    assert all(c.architecture.wct_layers for c in candidates)

    front = found.front()
    points = [(c.figures["latency"], c.figures[objective]) for c in candidates]
    for c in candidates:
        mine = (c.figures["latency"], c.figures[objective])
        beaten = any(p != mine and p[0] <= mine[0] and p[1] <= mine[1] for p in points)
        assert (c in front) == (not beaten)

    pruned = [c for c in candidates if c.state == "pruned"]
    assert pruned
    assert evaluator.compared < 28 * 8
    complete = [c for c in candidates if c.state == "complete"]
    for c in pruned:
        assert c.pairs in (2, 4)
        assert any(
            c.figures["latency"] > SLOWER * other.figures["latency"]
            and c.figures[objective] > FARTHER * other.figures[objective]
            for other in complete
        )

    photonas = found.find(PHOTONAS).figures
    chosen = found.choose(0.0)
    assert chosen.figures[objective] <= photonas[objective]
    assert chosen.figures["latency"] <= photonas["latency"]
    closer = [c for c in front if c.figures[objective] <= 0.8 * photonas[objective]]
    assert found.choose(-0.2) == min(closer, key=lambda c: c.figures["latency"])
    with pytest.raises(PhotostyleError, match="not evaluated"):
        found.find(Architecture(conv15=True))


@pytest.mark.parametrize("score", ["pareto", "results", "paper"])
def test_an_interrupted_search_continues_unchanged(
    supernet: Supernet, tmp_path: Path, score: str
) -> None:
    urls = [str(tmp_path / name) for name in "ab"]
    whole, at_once = search(urls[0], supernet, 20, score=score)
    for stop_at in (1, 12, 3):
        with pytest.raises(KeyboardInterrupt):
            search(urls[1], supernet, 20, stop_at, score=score)
    resumed, last = search(urls[1], supernet, 20, score=score)
    assert len(last.evaluated) == 20 - 1 - 12 - 3
    assert [c.architecture for c in resumed.candidates()] == at_once.evaluated
    assert resumed.choose(0).architecture == whole.choose(0).architecture

    again, idle = search(urls[1], supernet, 20, score=score)
    assert idle.evaluated == []
    assert len(again.candidates()) == 20
    with pytest.raises(PhotostyleError, match="other options"):
        search(urls[1], supernet, 20, score=score, seed=1)


def test_a_candidate_of_a_lost_worker_is_evaluated_again(
    supernet: Supernet, tmp_path: Path
) -> None:
    url = str(tmp_path / "study.log")
    Search(make_settings(), url, "test").study.ask(SPACE)  # takes PHOTONET and is killed
    found, _ = search(url, supernet, 12)
    assert found.find(PHOTONET).state == "complete"


class MeetingEvaluator(FakeEvaluator):
    """Waits at its first networks until the other worker has evaluated the same number."""

    def __init__(self, meeting: threading.Barrier):
        super().__init__(Supernet(WIDTHS))
        self.meeting = meeting

    def latency(self, architecture: Architecture) -> float:
        if len(self.evaluated) < 4:
            self.meeting.wait(timeout=60)
        return super().latency(architecture)


def test_workers_share_a_storage(tmp_path: Path) -> None:
    url = str(tmp_path / "study.log")
    searches = [Search(make_settings(), url, "test") for _ in range(2)]
    meeting = threading.Barrier(2)
    evaluators = [MeetingEvaluator(meeting) for _ in searches]
    threads = [
        threading.Thread(target=s.run, args=(cast(Evaluator, e), 24, silent))
        for s, e in zip(searches, evaluators, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(len(evaluator.evaluated) >= 4 for evaluator in evaluators)
    assert len(evaluators[0].evaluated) + len(evaluators[1].evaluated) < 30
    assert 24 <= len(searches[0].candidates()) <= 25


def test_paper_score_is_what_the_paper_search_minimises(supernet: Supernet, tmp_path: Path) -> None:
    found, evaluator = search(str(tmp_path / "study.log"), supernet, 50, score="paper")
    for c in found.candidates():
        expected = paper_score(c.figures["pixel"], c.figures["feature"], c.architecture)
        assert c.figures["score"] == pytest.approx(expected)
    complete = [c for c in found.candidates() if c.state == "complete"]
    assert found.choose(0) == min(complete, key=lambda c: c.figures["score"])
    assert len(complete) < 50  # Optuna's pruner pruned some
    assert evaluator.compared < 50 * 8


def evolution(
    population: int, tournament: int, trials: int, value: Callable[[dict[str, bool]], float]
) -> list[optuna.trial.FrozenTrial]:
    study = optuna.create_study(sampler=AgingEvolution(3, population, tournament))
    for _ in range(trials):
        trial = study.ask(SPACE)
        study.tell(trial, value(trial.params))
    return study.get_trials(states=(TrialState.COMPLETE,))


def test_aging_evolution() -> None:
    """With a tournament of all, each child is a neighbour of the best of the latest ten."""
    trials = evolution(10, 10, 60, lambda parts: sum(parts.values()))
    for number, trial in enumerate(trials[10:], 10):
        alive = trials[number - 10 : number]
        best = min(t.values[0] for t in alive)
        distances = [
            sum(trial.params[part] != t.params[part] for part in BITS)
            for t in alive
            if t.values[0] == best
        ]
        assert 1 in distances
    # The oldest dies: some parent was worse than the best ever known.
    assert min(t.values[0] for t in trials[-10:]) < min(t.values[0] for t in trials[:10])
    architectures = [architecture_of(trial.params) for trial in trials]
    assert len(set(architectures)) == len(architectures)
    again = evolution(10, 10, 60, lambda parts: sum(parts.values()))
    assert [t.params for t in again] == [t.params for t in trials]


def test_a_tournament_of_one_is_random() -> None:
    """Only with selection pressure is there progress."""

    def end(tournament: int) -> float:
        trials = evolution(10, tournament, 150, lambda parts: sum(parts.values()))
        return float(np.mean([trial.values[0] for trial in trials[-10:]]))

    assert end(8) < 8
    assert end(1) > 9


# From the command line.


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def test_train_search_distil(
    photos: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("photostyle.training.trainer.LOG_EVERY", 10)
    runs = {name: tmp_path / name for name in ("super", "search", "distilled")}
    common = ("--teacher", teacher, "--threads", 1, "--device", "cpu")
    training = (*common, "--widths", "4,5,6,7,8", "--batch", 1, "--size", 64)

    supernet = ("train", photos, "-o", runs["super"], "--supernet", *training)
    outcome = invoke(*supernet, "--steps", 20)
    assert outcome.exit_code == 0, outcome.output
    file = runs["super"] / "supernet.safetensors"
    assert str(file) in outcome.stdout
    lines = [json.loads(line) for line in (runs["super"] / "log.jsonl").read_text().splitlines()]
    for network in ("smallest", "sampled", "reconstruction"):
        assert lines[-1][network] < lines[0][network]
    # The largest is a network like any other.
    largest = photostyle.load(runs["super"] / "weights.safetensors", "cpu").network
    assert largest.architecture == PHOTONET

    options = ("--pairs", 4, "--size", 64, "--latency-size", 64, "--population", 4)
    arguments = ("search", photos, "--supernet", file, "-o", runs["search"], *options, *common)
    outcome = invoke(*arguments, "--candidates", 6)
    assert outcome.exit_code == 0, outcome.output
    outcome = invoke(*arguments, "--candidates", 9)  # goes on
    assert outcome.exit_code == 0, outcome.output
    record = (runs["search"] / "candidates.jsonl").read_text().splitlines()
    candidates = [json.loads(line) for line in record]
    assert len(candidates) == 9
    assert [c["architecture"] for c in candidates[:2]] == [
        str(canonical(PHOTONET)),
        str(PHOTONAS),
    ]
    assert {"distance", "latency", "target", "pixel", "state", "pairs", "ones"} <= set(
        candidates[0]
    )
    with Image.open(runs["search"] / "pareto.png") as plot:
        assert plot.format == "PNG"
        assert plot.width > 600
    chosen = outcome.stdout.strip()
    assert chosen in [c["architecture"] for c in candidates]
    cut = photostyle.load(runs["search"] / "chosen.safetensors", "cpu")
    assert str(cut.network.architecture) == chosen
    assert cut.checkpoint.provenance["supernet"] == checkpoint.identify(file)

    start = ("--arch", chosen, "--from", file, "--distil", runs["super"] / "weights.safetensors")
    distilling = ("train", photos, "-o", runs["distilled"], *training, *start)
    outcome = invoke(*distilling, "--steps", 10)
    assert outcome.exit_code == 0, outcome.output
    (line,) = (runs["distilled"] / "log.jsonl").read_text().splitlines()
    assert {"output", "moments", "reconstruction"} <= set(json.loads(line))
    distilled = photostyle.load(runs["distilled"] / "weights.safetensors", "cpu")
    recipe = distilled.checkpoint.provenance["recipe"]
    assert recipe["start"] == checkpoint.identify(file)
    assert recipe["distil"] == checkpoint.identify(runs["super"] / "weights.safetensors")
    result = distilled.apply(clouds(seed=1), distilled.learn(clouds(seed=2)))
    assert result.shape == (110, 150, 3)
    # It started where the supernet had got to, far from a network that was drawn.
    kernel = distilled.network.conv27.weight
    torch.testing.assert_close(kernel, cut.network.conv27.weight, rtol=0, atol=0.06)

    refused = {
        ("--arch", "photonas"): "trains all",
        ("--distil", "photonet"): "trains all",
    }
    for more, message in refused.items():
        outcome = invoke(*supernet, *more)
        assert outcome.exit_code == 2
        assert message in outcome.stderr
    outcome = invoke(*arguments, "--seed", 1)
    assert outcome.exit_code == 1
    assert "other options" in outcome.stderr

    # By the error of results, with regions that the matcher finds.
    output = tmp_path / "results"
    arguments = ("search", photos, "--supernet", file, "-o", output, *options, *common)
    outcome = invoke(*arguments, "--score", "results", "--candidates", 3)
    assert outcome.exit_code == 0, outcome.output
    candidates = [json.loads(line) for line in (output / "candidates.jsonl").open()]
    assert all(0 < c["error"] < 30 for c in candidates)


def test_paper_search_from_the_command_line(
    photos: Path, teacher: Path, supernet: Supernet, tmp_path: Path
) -> None:
    file = saved(supernet, tmp_path / "supernet.safetensors")
    output = tmp_path / "search"
    options: tuple[object, ...] = ("--pairs", 4, "--size", 64, "--latency-size", 64)
    options += ("--population", 4, "--storage", f"sqlite:///{tmp_path}/study.sqlite")
    arguments = ("search", photos, "--supernet", file, "-o", output, *options, "--device", "cpu")
    outcome = invoke(*arguments, "--score", "paper", "--candidates", 6, "--teacher", teacher)
    assert outcome.exit_code == 0, outcome.output
    lines = (output / "candidates.jsonl").read_text().splitlines()
    candidates = [json.loads(line) for line in lines]
    complete = [c for c in candidates if c["state"] == "complete"]
    best = min(complete, key=lambda c: c["score"])
    assert outcome.stdout.strip() == best["architecture"]
    expected = 0.8 * best["pixel"] + 0.1 * best["feature"] + 0.1 * best["ones"] / 32
    assert best["score"] == pytest.approx(expected, abs=1e-5)

    mine = str(Architecture(wct_d5=True, skip1=True, norm1=True))
    outcome = invoke(
        *arguments, "--score", "paper", "--candidates", 6, "--teacher", teacher, "--choose", mine
    )
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stdout.strip() == mine


def test_impossible_searches_are_refused(
    photos: Path, supernet: Supernet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = saved(supernet, tmp_path / "supernet.safetensors")

    def refused(*more: object, source: object = file) -> str:
        output = tmp_path / "search"
        outcome = invoke("search", photos, "--supernet", source, "-o", output, *more)
        assert outcome.exit_code in (1, 2)
        assert isinstance(outcome.exception, SystemExit)
        return outcome.stderr

    assert "smaller network" in refused(source="photonas")
    assert "does not exist" in refused(source=tmp_path / "missing.safetensors")
    assert "cannot be used" in refused("--storage", "nonsense://here")
    assert "cannot be used" in refused("--storage", f"{tmp_path}/no/such.log")
    (tmp_path / "cut.log").write_text('{"op_code": 0}\n{"op_co')
    assert "delete that line" in refused("--storage", tmp_path / "cut.log")
    assert "multiple of 16" in refused("--size", 100)
    assert "transfers nothing" in refused("--choose", "0" * 32)
    (tmp_path / "search").rmdir()
    (tmp_path / "search").write_text("a file")
    assert "Cannot write" in refused()
    monkeypatch.setitem(sys.modules, "optuna", None)
    assert "pip install 'photostyle[search]'" in refused()

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from safetensors.torch import save_file
from support.photos import clouds

from photostyle import PhotostyleError
from photostyle.bundled import MATCHER, bundled_file, networks
from photostyle.cli import cli
from photostyle.lut import Lut
from photostyle.model.checkpoint import describe, load, read_tensors
from photostyle.model.matcher import DESCRIPTOR, Blocks, Matcher, load_matcher
from photostyle.model.network import Encoder
from photostyle.model.vgg import VGGFeatures
from photostyle.training import matcher_trainer, matching
from photostyle.training.data import Photos
from photostyle.training.matcher_trainer import TERM_WEIGHTS, MatcherTrainer, Teacher, loss_terms
from photostyle.training.matching import GRID, GradeTables, PairSampler, PhotoStore, apply_tables
from photostyle.training.run import _initial_matcher

CPU = torch.device("cpu")
SIZES = np.array([[100, 200], [301, 200], [64, 64], [7, 300]])


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of the first five levels of a VGG-19 of few channels."""
    torch.manual_seed(0)
    tensors = Encoder((4, 6, 24, 24, 24)).state_dict()
    path = tmp_path_factory.mktemp("vgg") / "vgg.safetensors"
    save_file({n: t.contiguous() for n, t in tensors.items() if not n.startswith("conv0")}, path)
    return path


def grades(luts: int = 2) -> GradeTables:
    return GradeTables([mixed_lut(number) for number in range(luts)], 5, 0, CPU)


def mixed_lut(seed: int, size: int = 5) -> Lut:
    table = np.random.default_rng(seed).uniform(size=(size, size, size, 3))
    return Lut(table, np.zeros(3), np.ones(3))


def sampler(hard: float = 1.0, luts: int = 2) -> PairSampler:
    photos = PhotoStore([clouds(60 + 9 * n, 50, seed=n) for n in range(6)], CPU)
    alike = np.array([[(number + 1) % 6, (number + 2) % 6] for number in range(6)])
    return PairSampler(photos, grades(luts), alike, hard)


def test_lookup_is_trilinear() -> None:
    """The mean of the eight grid points around a colour, weighted by the opposite volumes."""
    generator = torch.Generator().manual_seed(0)
    table = torch.rand(3, GRID, GRID, GRID, generator=generator)
    color = torch.tensor([0.137, 0.52, 0.981])
    position = color.double() * (GRID - 1)
    expected = torch.zeros(3, dtype=torch.float64)
    for corner in itertools.product((0, 1), repeat=3):
        point = position.floor().long() + torch.tensor(corner)
        weight = (1 - (position - point).abs()).prod()
        expected += weight * table[:, point[0], point[1], point[2]]
    found = apply_tables(table[None], color.view(1, 3, 1, 1)).flatten()
    torch.testing.assert_close(found, expected.float(), rtol=0, atol=1e-5)


def test_tables_of_luts_of_any_grid_are_those_of_the_files() -> None:
    # At the grid's points, where trilinear and tetrahedral interpolation agree.
    pixels = np.random.default_rng(0).integers(0, GRID, (9, 8, 3)) / (GRID - 1)
    channels = torch.from_numpy(pixels).float().permute(2, 0, 1)[None]
    for lut in (mixed_lut(1, GRID), mixed_lut(2, 5)):  # the points of 5 are among those of 17
        found = apply_tables(matching.tabulate([lut]), channels)[0].permute(1, 2, 0)
        np.testing.assert_allclose(found, lut(pixels), atol=1e-5)
    plain = apply_tables(matching.plain_table()[None], channels)
    torch.testing.assert_close(plain, channels, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("mode", "low", "high"), [("near", 0.53, 0.61), ("far", 0.40, 0.48)])
def test_boxes_at_opposite_ends(mode: Literal["near", "far"], low: float, high: float) -> None:
    starts = set()
    for seed in range(20):
        first, second = matching.opposite_boxes(np.random.default_rng(seed), SIZES, mode)
        for size, *boxes in zip(SIZES, first, second, strict=True):
            axis = int(size.argmax())
            long, short = size[axis], size[1 - axis]
            for box in boxes:
                assert box[1 - axis] == 0
                assert box[3 - axis] == short
                assert low * long - 0.5 <= box[2 + axis] <= high * long + 0.5
            a, b = sorted(boxes, key=lambda box: int(box[axis]))
            assert a[axis] == 0
            assert b[axis] + b[2 + axis] == long
            overlap = a[2 + axis] - b[axis]
            assert overlap > 0 if mode == "near" else overlap <= 0
            starts.add(boxes[0][axis] == 0)
    assert starts == {True, False}


def test_random_boxes_lie_in_the_photo() -> None:
    for seed in range(20):
        boxes = matching.random_boxes(np.random.default_rng(seed), SIZES)
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, :2] + boxes[:, 2:] <= SIZES).all()
        assert (boxes[:, 2:] >= 0.45 * SIZES - 0.5).all()
        assert (boxes[:, 2:] <= 0.9 * SIZES + 0.5).all()


def test_a_crop_shows_its_box() -> None:
    photo = np.zeros((40, 60, 3), np.uint8)
    photo[10:20, 30:50] = (255, 51, 0)
    store = PhotoStore([photo, photo], CPU)
    crops = store.crops(np.array([1, 0]), np.array([[10, 30, 10, 20], [0, 0, 10, 60]]), (16, 32))
    expected = torch.tensor([1, 0.2, 0]).view(3, 1, 1).expand(3, 16, 32)
    torch.testing.assert_close(crops[0], expected)
    assert not crops[1].any()


def test_copies_have_the_asked_size(tmp_path: Path) -> None:
    for number, (width, height) in enumerate([(400, 300), (60, 40), (900, 100)]):
        Image.fromarray(clouds(width, height)).save(tmp_path / f"{number}.png")
    counts: list[int] = []
    copies = matching.read_small(Photos([tmp_path]), [0, 1, 2], 150, counts.append)
    assert [copy.shape for copy in copies] == [(150, 200, 3), (40, 60, 3), (33, 300, 3)]
    assert counts == [1, 2, 3]


@pytest.mark.parametrize("mode", get_args(matching.Mode))
def test_pairs_have_the_known_answer(mode: matching.Mode, monkeypatch: pytest.MonkeyPatch) -> None:
    """The style has one grade of the pool and the target is the plain content in the same."""
    drawn = []

    def draw(
        tables: GradeTables, rng: np.random.Generator, count: int, luts: float
    ) -> torch.Tensor:
        drawn.append(random_draw(tables, rng, count, luts))
        return drawn[-1]

    random_draw = GradeTables.draw
    monkeypatch.setattr(GradeTables, "draw", draw)
    pairs = sampler().pairs(np.random.default_rng(3), 12, mode)
    grade, other = drawn
    torch.testing.assert_close(pairs.target, apply_tables(grade, pairs.plain))
    torch.testing.assert_close(pairs.style, apply_tables(grade, pairs.style_plain))
    befores = (pairs.plain, pairs.target, apply_tables(other, pairs.plain))
    for number, content in enumerate(pairs.content):
        assert any(torch.allclose(content, before[number], atol=1e-4) for before in befores)
    assert set(pairs.same.tolist()) == {float(mode != "different")}
    for photos in pairs[:5]:
        assert photos.min() >= 0
        assert photos.max() <= 1 + 1e-6  # the interpolation rounds


def test_contents_are_plain_graded_like_the_style_or_otherwise() -> None:
    tables = grades()
    rng = np.random.default_rng(0)
    style = tables.draw(rng, 400, 0.5)
    before = tables.before(rng, style)
    plain = (before == tables.plain).flatten(1).all(1).float().mean()
    like_style = (before == style).flatten(1).all(1).float().mean()
    assert 0.5 < plain < 0.7
    assert 0.05 < like_style < 0.15


def test_grades_come_from_both_sources() -> None:
    tables = grades()

    def fraction_random(drawn: torch.Tensor) -> float:
        equal = (drawn[:, None] == tables.random).flatten(2).all(2).any(1)
        return float(equal.float().mean())

    assert fraction_random(tables.draw(np.random.default_rng(0), 50, 0.0)) == 1
    assert fraction_random(tables.draw(np.random.default_rng(0), 50, 1.0)) == 0
    without_luts = grades(luts=0)
    assert without_luts.draw(np.random.default_rng(0), 4, 0.5).shape == (4, 3, GRID, GRID, GRID)


@pytest.mark.parametrize("hard", [0.0, 0.5, 1.0])
def test_different_photos_are_different(hard: float) -> None:
    pairs = sampler(hard)
    numbers = np.tile(np.arange(6), 50)
    others = pairs.other_photos(np.random.default_rng(0), numbers)
    assert (others != numbers).all()
    alike = (pairs.alike[numbers] == others[:, None]).any(1).mean()
    assert alike == pytest.approx(hard + (1 - hard) * 2 / 5, abs=0.1)


def test_photos_alike_are_found() -> None:
    """Each of four photos has a noisy copy."""
    torch.manual_seed(0)
    photos = [clouds(70, 60, seed=seed) for seed in range(4)]
    rng = np.random.default_rng(0)
    noisy = [(p + rng.normal(0, 2, p.shape)).clip(0, 255).astype(np.uint8) for p in photos]
    alike = matching.find_alike(Matcher((4, 4, 8, 8, 8)), PhotoStore([*photos, *noisy], CPU))
    assert alike.shape == (8, 7)
    assert alike[:, 0].tolist() == [4, 5, 6, 7, 0, 1, 2, 3]


def test_descriptors_to_learn(vgg: Path) -> None:
    """They have unit length on average, and alignment recovers rotated ones."""
    torch.manual_seed(0)
    teacher = Teacher(VGGFeatures.load(vgg))
    photos = [sampler().photos.random_crops(np.random.default_rng(n), 2) for n in range(2)]
    teacher.fit(photos)
    targets = [teacher.targets(batch) for batch in photos]
    assert targets[0].shape[:2] == (2, DESCRIPTOR)
    square = torch.cat([t.pow(2).sum(1).flatten() for t in targets]).mean()
    assert square.item() == pytest.approx(1, abs=1e-3)
    components = teacher.components
    rotation, _ = torch.linalg.qr(torch.randn(DESCRIPTOR, DESCRIPTOR))

    class Rotated(Matcher):
        def blocks(self, pixels: torch.Tensor) -> Blocks:
            turned = torch.einsum("kj,bjhw->bkhw", rotation, teacher.targets(pixels))
            return Blocks(turned, pixels, pixels)

    teacher.align(Rotated((4, 4, 8, 8, 8)), photos)
    aligned = teacher.targets(photos[0])
    expected = torch.einsum("kj,bjhw->bkhw", rotation, targets[0])
    torch.testing.assert_close(aligned, expected, rtol=0, atol=2e-2)
    assert not torch.allclose(teacher.components, components)


def test_a_short_vgg_is_refused(teacher: Path) -> None:
    with pytest.raises(PhotostyleError, match="conv5_1"):
        Teacher(VGGFeatures.load(teacher))


def test_loss_terms_are_finite_and_train_all_weights(vgg: Path) -> None:
    torch.manual_seed(0)
    matcher, teacher = Matcher((4, 4, 8, 8, 8)), Teacher(VGGFeatures.load(vgg))
    pairs = sampler()
    teacher.fit([pairs.photos.random_crops(np.random.default_rng(0), 2)])
    for mode in get_args(matching.Mode):
        terms = loss_terms(matcher, teacher, pairs.pairs(np.random.default_rng(1), 2, mode))
        assert set(terms) == set(TERM_WEIGHTS)
        total = torch.stack(list(terms.values())).sum()
        assert torch.isfinite(total)
        total.backward()
    missing = [n for n, p in matcher.named_parameters() if p.grad is None]
    assert not missing


def test_log_error_by_hand() -> None:
    pixels, target = torch.tensor([0.1, 0.0]).view(2, 1, 1, 1), torch.zeros(2, 1, 1, 1)
    expected = (np.log(0.0103) + np.log(0.0003)) / 2
    assert matcher_trainer.log_error(pixels, target).item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def inputs(tmp_path: Path, vgg: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Photos, looks and options of a tiny run."""
    monkeypatch.setattr(matching, "_SHAPES", ((32, 48), (48, 32)))
    monkeypatch.setattr(matcher_trainer, "LOG_EVERY", 2)
    monkeypatch.setattr(matcher_trainer, "ANALYSIS_SIZE", 64)
    random_tables = matching.random_tables
    monkeypatch.setattr(matching, "random_tables", lambda _, seed: random_tables(5, seed))
    photos, looks = tmp_path / "photos", tmp_path / "looks"
    photos.mkdir()
    looks.mkdir()
    for number in range(6):
        Image.fromarray(clouds(60, 48, seed=number)).save(photos / f"{number}.png")
        table = mixed_lut(number, 2).table.transpose(2, 1, 0, 3).reshape(-1, 3)
        rows = "\n".join(" ".join(f"{value:.4f}" for value in row) for row in table)
        (looks / f"{number}.cube").write_text(f"LUT_3D_SIZE 2\n{rows}\n")
    return [
        *("train-matcher", str(photos), "--looks", str(looks), "--vgg", str(vgg), "--steps", "4"),
        *("--batch", "2", "--threads", "1", "--device", "cpu", "-o"),
    ]


def test_train_matcher_end_to_end_and_resume(inputs: list[str], tmp_path: Path) -> None:
    """A run that is stopped and resumed ends in the same state as one that is not."""
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    outcome = CliRunner().invoke(cli, [*inputs, str(whole)])
    assert outcome.exit_code == 0, outcome.output
    advance = MatcherTrainer.advance

    def interrupted(run: MatcherTrainer) -> dict[str, float]:
        if run.step == 3:
            raise KeyboardInterrupt
        return advance(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MatcherTrainer, "advance", interrupted)
        assert CliRunner().invoke(cli, [*inputs, str(halved)]).exit_code == 130
    assert sorted(path.name for path in halved.iterdir()) == ["checkpoint.pt", "log.jsonl"]
    outcome = CliRunner().invoke(cli, [*inputs, str(halved)])
    assert outcome.exit_code == 0, outcome.output
    expected, resumed = (torch.load(run / "checkpoint.pt") for run in (whole, halved))
    assert resumed.pop("recipe") == expected.pop("recipe")
    torch.testing.assert_close(resumed, expected, rtol=0, atol=0)
    files = [run / "weights.safetensors" for run in (whole, halved)]
    torch.testing.assert_close(*map(read_tensors, files), rtol=0, atol=0)
    assert describe(files[0]) == describe(files[1])

    lines = [json.loads(line) for line in (halved / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 4]
    assert {"near look", "far unchanged", "different same"} < set(lines[-1])

    load_matcher(whole / "weights.safetensors")
    facts = describe(whole / "weights.safetensors")
    assert facts["format"] == "photostyle-matcher/1"
    assert facts["made by"] == "photostyle train-matcher"
    assert facts["steps done"] == "4"
    assert "'photos': 4, 'luts': 5, 'steps': 4, 'batch': 2" in facts["recipe"]

    outcome = CliRunner().invoke(cli, [*inputs, str(whole), "--seed", "1"])
    assert outcome.exit_code == 1
    assert "other options" in outcome.stderr


def test_scene_only_changes_the_judgement_of_the_scene_alone(
    inputs: list[str], tmp_path: Path
) -> None:
    without_vgg = [*inputs[:4], *inputs[6:], str(tmp_path / "run")]
    outcome = CliRunner().invoke(cli, [*without_vgg, "--from", "matcher", "--scene-only"])
    assert outcome.exit_code == 0, outcome.output
    before = read_tensors(bundled_file(MATCHER))
    after = read_tensors(tmp_path / "run" / "weights.safetensors")
    changed = {name.split(".")[0] for name in before if not before[name].equal(after[name])}
    assert changed == {"fingerprint", "to_scene"}


def test_most_pairs_of_different_photos_have_no_grade() -> None:
    drawn = sampler().pairs(np.random.default_rng(3), 64, "different")
    plain = (drawn.style - drawn.style_plain).abs().amax((1, 2, 3)) < 1e-3
    assert 38 <= int(plain.sum()) <= 58
    assert ((drawn.content - drawn.plain).abs().amax((1, 2, 3)) < 1e-3)[plain].all()


def test_a_new_matcher_starts_with_the_encoder_of_photonet() -> None:
    encoder = _initial_matcher(None, 0).encoder.state_dict()
    expected = load("photonet").network.encoder.state_dict()
    torch.testing.assert_close(encoder, dict(expected), rtol=0, atol=0)


def test_errors_are_sentences(inputs: list[str], tmp_path: Path) -> None:
    def error(*options: str) -> str:
        outcome = CliRunner().invoke(cli, [*inputs, str(tmp_path / "run"), *options])
        assert outcome.exit_code == 1, outcome.output
        assert not (tmp_path / "run" / "weights.safetensors").exists()
        return outcome.stderr

    assert "no .cube files" in error("--looks", str(tmp_path))
    assert "does not exist" in error("--from", "missing.safetensors")
    assert "is not a matcher" in error("--from", str(networks()["photonas"]))
    for number in range(3):
        (tmp_path / "photos" / f"{number}.png").unlink()
    assert "at least four photos" in error()

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms
from support.photos import camera_exif, clouds, profile

import photostyle
from photostyle import PhotostyleError
from photostyle.cli import cli
from photostyle.evaluation import grades
from photostyle.lut import Lut
from photostyle.model.vgg import VGGFeatures
from photostyle.training import losses, trainer
from photostyle.training.data import Photos, random_crop
from photostyle.training.recipe import Recipe
from photostyle.training.trainer import make_batch

WIDTHS = (4, 4, 5, 6, 6)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photos in a tar file, with a text beside them."""
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(8):
        Image.fromarray(clouds(seed=seed)).save(folder / f"{seed}.jpg")
    (folder / "sources.csv").write_text("file,licence\n")
    with tarfile.open(folder / "shard.tar", "w") as archive:
        for path in sorted(folder.glob("*.[jc]*")):
            archive.add(path, path.name)
    return folder / "shard.tar"


def test_photos_from_folders_and_shards(shard: Path, tmp_path: Path) -> None:
    in_shard, in_folder = Photos([shard]), Photos([shard.parent])
    assert len(in_shard) == len(in_folder) == 8
    for i in range(8):
        np.testing.assert_array_equal(in_shard[i], in_folder[i])
    with pytest.raises(PhotostyleError, match="no photos"):
        Photos([tmp_path])
    with pytest.raises(PhotostyleError, match="neither"):
        Photos([tmp_path / "missing.tar"])


def test_photos_are_upright_and_in_srgb(tmp_path: Path) -> None:
    """From folders and from shards, by the orientation and the profile in the file."""
    image = Image.fromarray(clouds(60, 40))
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "turned.png", exif=camera_exif(6))
    image.save(tmp_path / "wide.png", icc_profile=profile("Display P3"))
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for path in sorted(tmp_path.glob("*.png")):
            archive.add(path, path.name)
    for source in (tmp_path, tmp_path / "shard.tar"):
        photos = Photos([source])
        plain, turned, wide = (np.asarray(photos[number]).astype(int) for number in range(3))
        np.testing.assert_array_equal(plain, np.asarray(image))
        np.testing.assert_array_equal(turned, np.rot90(plain, -1))
        converted = ImageCms.profileToProfile(
            image, BytesIO(profile("Display P3")), ImageCms.createProfile("sRGB")
        )
        assert np.abs(wide - np.asarray(converted)).max() <= 2
        assert np.abs(wide - plain).max() > 10


@given(
    seed=st.integers(0, 999),
    width=st.integers(1, 120),
    height=st.integers(1, 120),
    size=st.integers(1, 70),
    smallest=st.floats(0.1, 1),
)
def test_a_crop_is_a_square_of_the_photo(
    seed: int, width: int, height: int, size: int, smallest: float
) -> None:
    crop = random_crop(
        Image.fromarray(clouds(width, height)), size, np.random.default_rng(seed), smallest
    )
    assert crop.shape == (3, size, size)
    assert crop.min() >= 0
    assert crop.max() <= 1


@given(seed=st.integers(0, 9999), strength=st.floats(0, 1))
def test_a_grade_keeps_the_range(seed: int, strength: float) -> None:
    pixels = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(seed))
    graded = grades.sample(np.random.default_rng(seed), strength)(pixels)
    assert graded.shape == pixels.shape
    assert torch.isfinite(graded).all()
    assert graded.min() >= 0
    assert graded.max() <= 1


def test_a_grade_of_strength_0_changes_nothing() -> None:
    pixels = torch.rand(2, 3, 8, 8) * 0.98 + 0.01
    grade = grades.sample(np.random.default_rng(0), 0.0)
    torch.testing.assert_close(grade(pixels), pixels, rtol=1e-4, atol=1e-4)


def test_a_grade_does_not_depend_on_the_photo() -> None:
    """It depends on each pixel alone, so a crop of a graded photo is the graded crop."""
    pixels, grade = torch.rand(3, 20, 20), grades.sample(np.random.default_rng(3))
    torch.testing.assert_close(grade(pixels)[:, 4:9, 2:11], grade(pixels[:, 4:9, 2:11]))


def test_losses_vanish_where_they_should() -> None:
    torch.manual_seed(0)
    a, b = torch.rand(2, 3, 40, 40), torch.rand(2, 3, 40, 40)
    features = [torch.rand(2, 5, 20, 20), torch.rand(2, 6, 10, 10)]
    others = [torch.rand_like(f) ** 2 for f in features]
    shuffled = [f.flatten(2)[..., torch.randperm(f[0, 0].numel())].view_as(f) for f in features]
    for loss in (losses.pixel, losses.gradient, losses.edges):
        assert abs(loss(a, a).item()) < 1e-5
        assert loss(a, b).item() > 0.01
    for comparison in (losses.feature, losses.style, losses.structure):
        assert comparison(features, features).item() < 1e-6
        assert comparison(features, others).item() > 0.01
    assert losses.style(features, shuffled).item() < 1e-6  # statistics know no layers
    assert losses.structure([3 * f + 1 for f in features], features).item() < 1e-2
    assert losses.edges(0.5 * a + 0.2, a).item() < 0.01  # contrast and brightness may change


def test_style_loss_by_hand() -> None:
    """Features of means 1 and 3 and variances 4 and 1: half of 2/4 plus half of 3/5."""
    pattern = torch.tensor([1.0, -1.0]).repeat(8).view(1, 1, 4, 4)
    loss = losses.style([1 + 2 * pattern], [3 + pattern])
    assert loss.item() == pytest.approx((2 / 4 + 3 / 5) / 2, abs=1e-6)


def test_smoothness_sees_noise_in_the_sky_only() -> None:
    torch.manual_seed(0)
    sky, noise = torch.full((1, 3, 40, 40), 0.6), 0.05 * torch.randn(1, 3, 40, 40)
    foliage = torch.rand(1, 3, 40, 40)
    assert losses.smoothness(sky - 0.3, sky).item() < 1e-6
    assert losses.smoothness(sky + noise, sky).item() > 0.01
    assert losses.smoothness(foliage + noise, foliage).item() < 1e-3


def test_palette_ignores_positions() -> None:
    a = torch.rand(1, 3, 12, 12)
    shuffled = a.flatten(2)[..., torch.randperm(144)].view_as(a)
    assert losses.palette(a, shuffled).item() < 1e-6
    black, white = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    # Greys differ in Y alone: the mean of |cos| to an axis over the sphere is a half.
    assert losses.palette(black, white).item() == pytest.approx(0.5, abs=0.1)
    assert losses.palette(a, a.flip(1)).item() > 0.01


def test_clipping_by_hand() -> None:
    result = torch.tensor([-0.09, 0.5, 1.09, 0.7]).view(1, 1, 2, 2)
    assert losses.clipping(result).item() == pytest.approx((0.1 + 0.1) / 4, abs=1e-6)


def test_graded_pairs_have_the_grade_of_a_lut(shard: Path) -> None:
    """Half of the grades are LUTs: here one that turns everything to one colour."""
    flat = Lut(np.full((2, 2, 2, 3), 0.25), np.zeros(3), np.ones(3))
    recipe = Recipe("", WIDTHS, batch=8, size=32, identity=0, regional=0, opposite=1)
    batch = make_batch(Photos([shard]), recipe, 0, [flat])
    assert batch.target is not None
    even = [bool((photo == 0.25).all()) for photo in batch.target]
    assert even == [bool((photo == 0.25).all()) for photo in batch.style]
    assert 0 < sum(even) < 8
    assert all(photo.std() > 0.01 for photo in batch.content)


def test_vgg_widths_come_from_the_file(teacher: Path) -> None:
    network = VGGFeatures.load(teacher)
    assert network.widths == [4, 6, 8]
    shapes = [tuple(f.shape) for f in network(torch.rand(2, 3, 32, 48))]
    assert shapes == [(2, 4, 32, 48), (2, 6, 16, 24), (2, 8, 8, 12)]


def arguments(shard: Path, teacher: Path, output: Path, steps: int) -> list[str]:
    return [
        *("train", str(shard), "-o", str(output), "--teacher", str(teacher), "--arch", "photonet"),
        *("--widths", ",".join(map(str, WIDTHS)), "--steps", str(steps), "--batch", "2"),
        *("--size", "64", "--threads", "1", "--device", "cpu"),
    ]


def test_train_end_to_end_and_resume(
    shard: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped and resumed ends in the same state as one that is not."""
    monkeypatch.setattr(trainer, "LOG_EVERY", 8)
    whole, halved = tmp_path / "whole", tmp_path / "halved"
    outcome = CliRunner().invoke(cli, arguments(shard, teacher, whole, 16))
    assert outcome.exit_code == 0, outcome.output
    lines = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [8, 16]
    assert lines[1]["reconstruction"] < 0.8 * lines[0]["reconstruction"]
    with Image.open(whole / "samples" / "000016.png") as sheet:
        assert sheet.width > 600

    advance = trainer.Trainer.advance

    def interrupted(run: trainer.Trainer) -> dict[str, float]:
        if run.step == 11:
            raise KeyboardInterrupt
        return advance(run)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer.Trainer, "advance", interrupted)
        assert CliRunner().invoke(cli, arguments(shard, teacher, halved, 16)).exit_code == 130
    assert not (halved / "weights.safetensors").exists()
    with (halved / "log.jsonl").open("a") as log:
        log.write('{"step": 12, "time"')  # a line that was cut off
    outcome = CliRunner().invoke(cli, arguments(shard, teacher, halved, 16))
    assert outcome.exit_code == 0, outcome.output
    expected, resumed = (torch.load(run / "checkpoint.pt") for run in (whole, halved))
    assert resumed.pop("recipe") == expected.pop("recipe")
    torch.testing.assert_close(resumed, expected, rtol=0, atol=0)
    steps = [json.loads(line)["step"] for line in (halved / "log.jsonl").read_text().splitlines()]
    assert steps == [8, 16]

    stylizer = photostyle.load(whole / "weights.safetensors", "cpu")
    result = stylizer.apply(clouds(seed=1), stylizer.learn(clouds(seed=2)))
    assert result.shape == (110, 150, 3)

    other = [*arguments(shard, teacher, whole, 16), "--seed", "1"]
    outcome = CliRunner().invoke(cli, other)
    assert outcome.exit_code == 1
    assert "other options" in outcome.stderr

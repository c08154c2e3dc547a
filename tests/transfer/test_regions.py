"""Regions: found, given by hand, sharpened, and at every size of features."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.photos import as_tensor
from torch import Tensor

import photostyle
from photostyle import PhotostyleError
from photostyle.bench.scene import scene
from photostyle.model.matcher import Blocks
from photostyle.transfer.correspondence import by_hand, counted, one_hot, scene_weight
from photostyle.transfer.regions import (
    COUNT,
    HEIGHT,
    Box,
    Clusters,
    RegionMasks,
    normalized,
    placed,
    presence,
    sharpened,
)
from photostyle.transfer.tiling import tiles


def blocks_of(descriptors: Tensor, colors: Tensor | None = None) -> Blocks:
    if colors is None:
        colors = torch.full((len(descriptors), 3, *descriptors.shape[2:]), 0.5)
    return Blocks(descriptors, colors, torch.zeros(len(descriptors), 1))


def random_masks(height: int, width: int, count: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return normalized(torch.rand(1, count, height, width, generator=generator))


def test_masks_at_their_own_grid_are_the_masks() -> None:
    masks = random_masks(48, 64)
    regions = RegionMasks(masks, 48, 64)
    found = regions.at(torch.empty(1, 5, 48, 64), Box(0, 48, 0, 64))
    torch.testing.assert_close(found, masks, atol=1e-5, rtol=0)
    # The same masks for a photo that is 10 times as large: its features at scale 16 are sparse.
    large = RegionMasks(masks, 480, 640)
    found = large.at(torch.empty(1, 5, 30, 40), Box(0, 480, 0, 640))
    assert found.shape == (1, 3, 30, 40)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 30, 40))


def test_masks_at_features_are_taken_at_the_centers_of_their_pixels() -> None:
    """A ramp from 0 to 1 is linear, so its value at a position is that position."""
    ramp = ((torch.arange(64) + 0.5) / 64).expand(1, 1, 32, 64)
    regions = RegionMasks(torch.cat([ramp, 1 - ramp], 1), 32, 64)
    found = regions.at(torch.empty(1, 5, 4, 8), Box(0, 32, 0, 64))
    expected = (torch.arange(8) + 0.5) / 8
    torch.testing.assert_close(found[0, 0], expected.expand(4, 8), atol=1e-5, rtol=0)


@pytest.mark.parametrize("scale", [1, 2, 4, 8, 16])
def test_the_masks_of_tiles_are_those_of_the_whole(scale: int) -> None:
    height, width = 371, 529
    regions = RegionMasks(random_masks(90, 130), height, width)
    rows, columns = (-(-size // 16) * 16 // scale for size in (height, width))
    whole = regions.at(torch.empty(1, 5, rows, columns), Box(0, height, 0, width))
    for tile in tiles(height, width, 176):
        box = tile.outer
        size = [-(-s // 16) * 16 // scale for s in (box.bottom - box.top, box.right - box.left)]
        part = regions.at(torch.empty(1, 5, *size), box)
        top, left = box.top // scale, box.left // scale
        expected = whole[..., top : top + size[0], left : left + size[1]]
        torch.testing.assert_close(part, expected, atol=1e-4, rtol=0)


def test_sharpened_masks_follow_edges_and_add_up() -> None:
    """A mask that is a block off at a hard edge lies at the edge afterwards."""
    photo = torch.full((1, 3, 64, 96), 0.2)
    photo[..., 51:] = 0.8
    coarse = torch.zeros(1, 2, 8, 12)
    coarse[:, 0, :, :6], coarse[:, 1, :, 6:] = 1, 1
    found = sharpened(coarse, photo)
    torch.testing.assert_close(found.sum(1), torch.ones(1, 64, 96))
    assert found.min() >= 0
    off = (found[0, 0] - (photo[0, 0] < 0.5).float()).abs()
    assert off[:, 51:54].mean() < 0.25  # at the right of the edge
    assert (found[0, 0, :, 50] - found[0, 0, :, 51]).mean() > 0.5


def test_clusters_are_the_same_every_time_and_separate_what_differs() -> None:
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(3, 8, generator=generator)
    labels = torch.arange(12).remainder(3).expand(1, 10, 12)
    noise = 0.01 * torch.randn(1, 8, 10, 12, generator=generator)
    photo = placed(blocks_of(kinds[labels].permute(0, 3, 1, 2) + noise))
    before = torch.get_rng_state()
    found = [Clusters.of([photo, photo.flip(3)], 3) for _ in range(2)]
    assert torch.equal(before, torch.get_rng_state())
    torch.testing.assert_close(found[0].centers, found[1].centers, atol=0, rtol=0)
    assert found[0].softness == found[1].softness
    weights = found[0].weights(photo)
    torch.testing.assert_close(weights.sum(1), torch.ones(1, 10, 12))
    assert weights.amax(1).mean() > 0.9
    of_kinds = [weights.argmax(1)[labels == kind].unique().tolist() for kind in range(3)]
    assert sorted(of_kinds) == [[0], [1], [2]]


def test_fewer_blocks_than_clusters() -> None:
    photo = placed(blocks_of(torch.randn(1, 8, 1, 2, generator=torch.Generator().manual_seed(0))))
    weights = Clusters.of([photo, photo]).weights(photo)
    assert torch.isfinite(weights).all()
    assert weights.shape[1] <= COUNT


def test_blocks_that_look_the_same_share_their_height() -> None:
    """The left half is even, the right half is not: only there does height tell blocks apart."""
    descriptors = torch.zeros(1, 8, 20, 30)
    descriptors[..., 15:] = torch.randn(1, 8, 20, 15, generator=torch.Generator().manual_seed(0))
    heights = placed(blocks_of(descriptors))[0, -1]
    assert heights[:, :15].std() < 1e-4
    np.testing.assert_allclose(heights[:, 20], torch.linspace(-HEIGHT, HEIGHT, 20), atol=1e-4)
    # Blocks of different colours are not the same.
    colors = torch.full((1, 3, 20, 30), 0.5)
    colors[:, :, :10] = 0.2
    heights = placed(blocks_of(descriptors, colors))[0, -1]
    assert heights[:10, :15].max() < 0 < heights[10:, :15].min()


def test_regions_count_from_a_hundredth_of_both_photos_on() -> None:
    shares = torch.tensor([0.5, 0.03, 0.01, 0.003, 0])
    masks = shares.view(1, 5, 1, 1).expand(1, 5, 4, 4)
    found = presence(masks, torch.full_like(masks, 0.2))[0]
    torch.testing.assert_close(presence(torch.full_like(masks, 0.2), masks)[0], found)
    assert (found[:2] > 0.98).all()
    assert found[2].item() == pytest.approx(0.5)
    assert (found[3:] < 0.01).all()


def test_what_does_not_count_is_no_evidence() -> None:
    masks, weights = one_hot(torch.tensor([[[0, 0, 1, 2]]]), 3), torch.tensor([[[[1.0, 1, 0, 1]]]])
    found = counted(masks, weights).mean((2, 3))
    torch.testing.assert_close(found, torch.tensor([[2 / 3, 0, 1 / 3]]))
    assert counted(masks, None) is masks
    assert counted(masks, torch.zeros(1, 1, 1, 4)) is masks


def test_the_same_scene_is_certain_far_from_the_middle() -> None:
    weights = scene_weight(torch.tensor([-10.0, -3, 0, 3, 10]))
    assert (weights.diff() > 0).all()
    assert weights[0] < 0.01
    assert weights[-1] > 0.99


@pytest.fixture(scope="module")
def halves() -> tuple[np.ndarray, np.ndarray]:
    """A style with a red and a blue half, textured; the labels 3 and 7 of the halves."""
    rng = np.random.default_rng(0)
    photo = rng.normal(0, 0.05, (96, 128, 1)) + np.where(
        np.arange(128)[:, None] < 64, (0.7, 0.3, 0.25), (0.2, 0.35, 0.7)
    )
    labels = np.where(np.arange(128) < 64, 3, 7) + np.zeros((96, 1), int)
    return photo.clip(0, 1), labels


@pytest.mark.parametrize("with_matcher", [True, False])
@pytest.mark.parametrize("swapped", [False, True])
def test_labeled_halves_take_the_colors_of_their_counterparts(
    photonas: photostyle.Stylizer,
    halves: tuple[np.ndarray, np.ndarray],
    swapped: bool,
    with_matcher: bool,
) -> None:
    stylizer = photonas
    if not with_matcher:
        stylizer = photostyle.Stylizer(photonas.checkpoint, photonas.device)
    style = stylizer.learn(halves[0], labels=halves[1])
    photo = scene(120, 90) / 255
    labels = np.where(np.arange(90)[:, None] < 45, *((7, 3) if swapped else (3, 7)))
    labels = np.broadcast_to(labels, (90, 120))
    result = stylizer.apply(photo, style, labels=labels)
    for label in (3, 7):
        found = result[labels == label].mean(0)
        wanted, other = (halves[0][halves[1] == n].mean(0) for n in (label, 10 - label))
        assert np.abs(found - wanted).max() < 0.06
        assert np.linalg.norm(found - wanted) < 0.25 * np.linalg.norm(found - other)


def test_a_label_without_counterpart_moves_as_the_photo_does(
    photonas: photostyle.Stylizer, halves: tuple[np.ndarray, np.ndarray]
) -> None:
    style = photonas.learn(halves[0], labels=halves[1])
    content = as_tensor(scene(120, 90))
    labels = torch.full((1, 90, 120), 3)
    labels[:, 45:] = 200
    found, masks = by_hand(labels, style, content, 90, 120)
    assert found.trust[0, 3] > 0.9
    assert found.trust[0, 200] == 0
    assert found.trust[0, 7] == 0
    torch.testing.assert_close(masks.masks.sum(1), torch.ones(1, 90, 120))
    result = photonas.apply(content[0], style, labels=labels[0].numpy())
    assert torch.isfinite(result).all()


def test_labels_where_no_pixel_counts_are_no_evidence(
    photonas: photostyle.Stylizer, halves: tuple[np.ndarray, np.ndarray]
) -> None:
    counts = np.where(halves[1] == 3, 255, 0).astype(np.uint8)
    masked, whole = (photonas.learn(halves[0], mask, halves[1]) for mask in (counts, None))
    content, labels = as_tensor(scene(120, 90)), torch.full((1, 90, 120), 7)
    labels[:, 45:] = 3
    upper = torch.zeros(1, 1, 90, 120)
    upper[:, :, :45] = 1
    for style, mask, label in ((masked, None, 7), (whole, upper, 3)):
        found, _ = by_hand(labels, style, content, 90, 120, mask)
        assert found.trust[0, label] < 0.2
        assert found.trust[0, 10 - label] > 0.9


def test_labels_that_do_not_fit_are_refused(
    photonas: photostyle.Stylizer, halves: tuple[np.ndarray, np.ndarray]
) -> None:
    photo, labels = halves
    style, unlabeled = photonas.learn(photo, labels=labels), photonas.learn(photo)
    for wrong, words in (
        (labels[:5], "integers of shape"),
        (labels / 2, "integers of shape"),
        (labels + 250, "between 0 and 255"),
        (labels - 5, "between 0 and 255"),
    ):
        with pytest.raises(PhotostyleError, match=words):
            photonas.apply(photo, style, labels=wrong)  # type: ignore[arg-type]
    with pytest.raises(PhotostyleError, match="style photo needs a mask"):
        photonas.apply(photo, unlabeled, labels=labels)

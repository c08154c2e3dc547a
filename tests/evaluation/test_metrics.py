"""The metrics against values worked out by hand, and whether they rank results correctly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from scipy import ndimage
from support.photos import landscape

from photostyle import PhotostyleError
from photostyle.evaluation import graded_pairs, metrics
from photostyle.evaluation.options import Crops
from photostyle.photo.contact_sheet import save_sheet

Pixels = npt.NDArray[np.uint8]
TO_CONTENT = (
    metrics.grad,
    metrics.struct,
    metrics.lip,
    metrics.noise,
    metrics.halo,
)


def plain(*colour: int) -> Pixels:
    return np.full((48, 64, 3), colour, np.uint8)


def noisy(photo: Pixels, sigma: float) -> Pixels:
    grain = np.random.default_rng(1).normal(scale=sigma, size=photo.shape[:2])[..., None]
    return (photo + grain).clip(0, 255).round().astype(np.uint8)


class Colours(torch.nn.Module):
    """A teacher whose three layers are the pixels themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, pixels: torch.Tensor, levels: int) -> list[torch.Tensor]:
        return [pixels] * levels


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        ((0, 0, 0), (255, 255, 255), 100.0),
        ((255, 0, 0), (0, 255, 0), 86.608),
        ((255, 0, 0), (0, 0, 255), 52.879),
        ((0, 255, 0), (0, 0, 255), 83.186),
    ],
)
def test_ciede2000_of_known_colors(
    a: tuple[int, ...], b: tuple[int, ...], difference: float
) -> None:
    assert metrics.ciede2000(plain(*a), plain(*b)) == pytest.approx(difference, abs=0.01)


def test_psnr_by_hand() -> None:
    assert metrics.psnr(plain(100, 100, 100), plain(110, 90, 110)) == pytest.approx(
        20 * np.log10(25.5)
    )
    assert metrics.psnr(landscape(), landscape()) == 100


def test_ssim_of_flat_photos_is_their_luminance_term() -> None:
    a, b = 100 / 255, 140 / 255
    expected = (2 * a * b + 0.01**2) / (a * a + b * b + 0.01**2)
    assert metrics.ssim(plain(100, 100, 100), plain(140, 140, 140)) == pytest.approx(expected)
    assert metrics.ssim(landscape(), landscape()) == pytest.approx(1)


def test_gram_by_hand() -> None:
    teacher: object = Colours()
    # Flat photos have no covariance, so that half the distance of the means is left.
    distance = metrics.gram(plain(51, 51, 51), plain(102, 102, 102), teacher)  # type: ignore[arg-type]
    assert distance == pytest.approx(1 / 3 / 2)

    # Black and white halves: mean 1/2, and variance 1/4 or, at half the contrast, 1/16.
    whole, half = plain(0, 0, 0), plain(64, 64, 64)
    whole[:, :32], half[:, :32] = 255, 191
    a, b = (photo / 255 for photo in (whole, half))
    c, d = (np.cov(photo.reshape(-1, 3).T, bias=True) for photo in (a, b))
    expected = np.linalg.norm(c - d) / (np.linalg.norm(c) + np.linalg.norm(d)) / 2
    # The edge is softened when the photo is resized to 320 pixels.
    assert metrics.gram(whole, half, teacher) == pytest.approx(expected, abs=0.01)  # type: ignore[arg-type]


def test_swd_of_flat_photos_is_a_mean_projection() -> None:
    white, black = plain(255, 255, 255), plain(0, 0, 0)
    # The mean of |cos| over the sphere is 1/2; 64 directions come near it.
    assert metrics.swd(white, black) == pytest.approx(50, rel=0.1)
    assert metrics.swd(black, white) == metrics.swd(white, black)
    assert metrics.swd(landscape(), landscape()) == 0


def test_bc_of_same_and_of_disjoint_colors() -> None:
    assert metrics.bc(landscape(), landscape()) == pytest.approx(1)
    assert metrics.bc(plain(255, 0, 0), plain(0, 0, 255)) == pytest.approx(0, abs=1e-6)
    assert metrics.bc(landscape(), plain(128, 128, 128)) < metrics.bc(
        landscape(), noisy(landscape(), 5)
    )


def test_region_style_by_hand() -> None:
    result, style = landscape(), landscape(200, 90, seed=3)[..., ::-1]
    of_result, of_style = np.zeros((128, 160), int), np.zeros((90, 200), int)
    of_result[:, 40:120], of_style[:, 100:] = 4, 4
    # Too small in the style photo: such a region neither counts nor has a weight.
    of_result[:, 120:], of_style[:3, :100] = 7, 7
    assert (of_style == 7).mean() < 0.02

    def score(a: Pixels, b: Pixels) -> float:
        return float(np.sqrt(np.exp(-metrics.swd(a, b) / 15) * metrics.bc(a, b, limit=128)))

    first = score(result[:, :40], style[3:, :100])
    second = score(result[:, 40:120], style[:, 100:])
    figure = metrics.region_style(result, style, of_result, of_style)
    assert figure == pytest.approx(first / 3 + second * 2 / 3)


def test_region_style_of_swapped_colors() -> None:
    """The palette of the whole fits, but not that of the regions."""
    labels = np.zeros((48, 64), int)
    labels[:, :32] = 1
    style = plain(200, 40, 40)
    style[:, 32:] = (40, 40, 200)
    swapped = style[:, ::-1]
    assert metrics.bc(swapped, style) == pytest.approx(1)
    assert metrics.region_style(style, style, labels, labels) == pytest.approx(1)
    figure = metrics.region_style(swapped, style, labels, labels)
    assert figure is not None
    assert figure < 0.05


def test_no_region_style_without_two_regions() -> None:
    photo, one, two = landscape(), np.zeros((128, 160), int), np.zeros((128, 160), int)
    two[:64] = 1
    assert metrics.region_style(photo, photo, two, two) == pytest.approx(1)
    assert metrics.region_style(photo, photo, one, two) is None
    assert metrics.region_style(photo, photo, one, one) is None
    assert metrics.region_style(photo, photo, two, two + 2) is None
    two[:] = 0
    two[:2] = 1
    assert metrics.region_style(photo, photo, two, two) is None
    assert "region_style" not in metrics.measure(photo, photo, photo, labels=(one, one))


@pytest.mark.parametrize("function", TO_CONTENT)
def test_the_content_itself_scores_perfectly(function: object) -> None:
    assert function(landscape(), landscape()) == pytest.approx(1)  # type: ignore[operator]


def test_grad_sees_edges_and_not_their_sign() -> None:
    assert metrics.grad(landscape(), 255 - landscape()) == pytest.approx(1)
    blurred = ndimage.gaussian_filter(landscape(), (2, 2, 0))
    assert metrics.grad(landscape(), blurred) < 0.9


def test_struct_ignores_a_change_of_tone() -> None:
    grey = landscape()[..., [1, 1, 1]]
    darker = ((grey / 255) ** 1.5 * 255).round().astype(np.uint8)
    assert metrics.struct(grey, darker) > 0.98 > metrics.ssim(grey, darker)
    assert metrics.struct(grey, noisy(grey, 20)) < 0.8


@pytest.mark.parametrize("gain", [0.6, 0.8, 1.0])
def test_an_even_loss_of_contrast_is_not_an_artefact(gain: float) -> None:
    duller = (landscape() / 255 - 0.5) * gain + 0.5
    assert metrics.lip(landscape(), duller) < 1.01
    assert metrics.noise(landscape(), duller) == pytest.approx(1, abs=0.15)
    assert metrics.halo(landscape(), duller) == pytest.approx(1, abs=0.2)
    assert metrics.clip(landscape(), duller) == 0


def test_lip_of_a_linear_change_is_its_factor() -> None:
    rng = np.random.default_rng(0)
    content = rng.integers(0, 120, (64, 64, 3), np.uint8)
    assert metrics.lip(content, content * 2) == pytest.approx(2)
    assert metrics.lip(plain(9, 9, 9), landscape(64, 48)) == 1


def test_clip_counts_newly_clipped_pixels() -> None:
    content = plain(10, 10, 10)
    content[0, :, 0] = 255
    result = content.copy()
    result[:3, :, 0] = 255  # in the first of these rows it was there before
    result[3, :, 1] = 0
    assert metrics.clip(content, result) == pytest.approx(100 * 3 / 48)


def test_noise_counts_in_flat_areas_only() -> None:
    content = landscape()
    sky, wood = content.copy(), content.copy()
    sky[:64], wood[64:] = noisy(content, 3)[:64], noisy(content, 3)[64:]
    assert metrics.noise(content, sky) > 1.3
    assert metrics.noise(content, wood) < 1.1
    more = [metrics.noise(content, noisy(content, sigma)) for sigma in (0, 1, 2, 4)]
    assert more == sorted(more)


def test_halo_is_a_glow_beside_an_edge() -> None:
    content = landscape()
    glow = 25 * np.exp(-(((np.arange(128) - 64) / 8) ** 2))[:, None, None]
    haloed = content.copy()
    haloed[:64] = (content + glow).clip(0, 255).astype(np.uint8)[:64]
    assert metrics.halo(content, haloed) > 1.5
    assert metrics.halo(content, noisy(content, 2)) < 1.15


def test_style_and_score_by_hand() -> None:
    measures = {"gram": 0.2, "swd": 15 * np.log(2), "bc": 0.9, "grad": 0.8, "struct": 0.7}
    measures |= {"lip": 6.0, "clip": 5.0, "noise": 1.2, "halo": 0.9}
    assert metrics.style_score(measures) == pytest.approx((0.8 * 0.5 * 0.9) ** (1 / 3))
    clean = np.exp(-(0.1 + 0.1 + 0.2))
    with_gram = (0.8 * 0.5 * 0.9 * 0.8 * 0.7 * clean) ** (1 / 6)
    assert metrics.score(measures) == pytest.approx(with_gram)
    del measures["gram"]
    assert metrics.score(measures) == pytest.approx((0.5 * 0.9 * 0.8 * 0.7 * clean) ** (1 / 5))


def test_measure_resizes_everything_to_the_result() -> None:
    content, style = landscape(), landscape(200, 90, seed=3)[..., ::-1]
    half = np.asarray(Image.fromarray(content).resize((80, 64), Image.Resampling.LANCZOS))
    measures = metrics.measure(content, style, half)
    assert list(measures)[:3] == ["score", "swd", "bc"]
    assert {"gram", "style", "psnr"}.isdisjoint(measures)
    assert measures["grad"] == pytest.approx(1)
    assert metrics.measure(content / 255, style / 255, half / 255) == pytest.approx(measures)

    teacher: object = Colours()
    full = metrics.measure(content, style, content, content, teacher)  # type: ignore[arg-type]
    assert {"gram", "style", "psnr", "ssim", "ciede2000"} <= set(full)
    assert full["psnr"] == 100
    assert full["ciede2000"] == 0


def test_a_worse_result_scores_less() -> None:
    scores = [
        metrics.measure(landscape(), landscape(), noisy(landscape(), sigma))["score"]
        for sigma in (0, 2, 5, 20)
    ]
    assert scores == sorted(scores, reverse=True)


def test_mean_leaves_out_what_was_not_measured() -> None:
    assert metrics.mean([{"bc": 1.0}, {"bc": 2.0, "style": 4.0}]) == {"bc": 1.5, "style": 4}


def test_mean_takes_the_median_of_lip() -> None:
    rows = [{"lip": lip, "clip": lip} for lip in (1.0, 2.0, 9.0)]
    assert metrics.mean(rows) == {"lip": 2, "clip": 4}


@pytest.mark.parametrize(
    ("content", "result"),
    [
        (landscape(), landscape(128, 128)),
        (landscape(), landscape()[:8]),
        (landscape()[..., 0], landscape()),
        (landscape().astype(np.int32), landscape()),
    ],
)
def test_photos_that_cannot_be_measured_are_refused(content: Pixels, result: Pixels) -> None:
    with pytest.raises(PhotostyleError):
        metrics.measure(content, landscape(), result)
    with pytest.raises(PhotostyleError):
        metrics.ssim(content, result[:40])


def test_a_triple_is_two_crops_with_two_grades() -> None:
    def inverted(pixels: Pixels) -> Pixels:
        return 255 - pixels

    photo = landscape()
    triple = graded_pairs.triple(photo, np.random.default_rng(4), inverted, graded_pairs.ungraded)
    assert triple.content.shape == triple.style.shape == (96, 120, 3)
    np.testing.assert_array_equal(triple.target, 255 - triple.content)
    assert not np.array_equal(triple.style, triple.target)

    figures = graded_pairs.compare(triple, triple.target)
    assert figures["psnr"] == 100
    assert figures["improved"] == 1
    assert graded_pairs.compare(triple, triple.content)["improved"] == 0


@pytest.mark.parametrize(("crops", "length"), [("near", 116), ("far", 90)])
@pytest.mark.parametrize("tall", [False, True])
def test_crops_from_opposite_ends(crops: Crops, length: int, tall: bool) -> None:
    photo = np.random.default_rng(0).integers(256, size=(90, 200, 3), dtype=np.uint8)
    photo = photo.swapaxes(0, 1) if tall else photo
    contents = set()
    for seed in range(8):
        content, style = graded_pairs.crop_pair(photo, np.random.default_rng(seed), crops)
        if tall:
            content, style = content.swapaxes(0, 1), style.swapaxes(0, 1)
        wide = photo.swapaxes(0, 1) if tall else photo
        ends = [wide[:, :length], wide[:, -length:]]
        first = np.array_equal(content, ends[0])
        np.testing.assert_array_equal(content, ends[not first])
        np.testing.assert_array_equal(style, ends[first])
        contents.add(first)
    assert contents == {False, True}


def test_overlapping_crops_are_the_default() -> None:
    photo = landscape()
    pairs = [
        graded_pairs.crop_pair(photo, np.random.default_rng(3), *crops)
        for crops in ((), ("overlap",))
    ]
    for one, other in zip(*pairs, strict=True):
        assert one.shape == (96, 120, 3)
        np.testing.assert_array_equal(one, other)


def test_the_worst_tenth() -> None:
    assert graded_pairs.worst_tenth([3, -2, 5]) == -2
    assert graded_pairs.worst_tenth([*range(19, -1, -1)]) == 0.5
    assert graded_pairs.worst_tenth([*range(118)]) == np.mean(range(12))


def test_triples_follow_the_seed() -> None:
    first, again, other = (
        graded_pairs.triple(landscape(), np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    for one, same in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, same)
    assert not np.array_equal(first.target, other.target)


def test_a_sheet_holds_rows_and_captions(tmp_path: Path) -> None:
    rows = [[plain(255, 0, 0), plain(0, 255, 0)], [plain(0, 0, 255), plain(0, 0, 0)]]
    save_sheet(rows, tmp_path / "a.png", height=48)
    save_sheet(rows, tmp_path / "b.png", ["first", "x" * 100], height=48)
    bare, captioned = (np.array(Image.open(tmp_path / name)) for name in ("a.png", "b.png"))
    assert bare.shape == (4 + 2 * 52, 4 + 2 * 68, 3)
    assert captioned.shape[0] == bare.shape[0] + 36
    assert captioned.shape[1] > 300
    assert bare[20, 20].tolist() == [255, 0, 0]
    assert bare[80, 20].tolist() == [0, 0, 255]

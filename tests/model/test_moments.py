"""Moments and maps against NumPy, against formulas, and at their limits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from photostyle.model import moments
from photostyle.model.moments import METHODS, Moments, RegionMeans, normalization, transfer_map


def features(channels: int, height: int, width: int, seed: int = 0, batch: int = 1) -> Tensor:
    """Correlated, skewed features as after a ReLU."""
    generator = torch.Generator().manual_seed(seed)
    mix = torch.randn(channels, channels, generator=generator)
    noise = torch.randn(batch, channels, height, width, generator=generator)
    return torch.relu(torch.einsum("ij,bjhw->bihw", mix, noise) + 0.5)


def cov(x: Tensor) -> np.ndarray:
    return np.cov(x[0].flatten(1).double().numpy(), bias=True)


def test_moments_equal_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "CHUNK", {"cpu": 37})  # several chunks, the last one short
    x = features(8, 20, 30)
    ours = Moments.of(x)
    assert ours.count.item() == 600
    np.testing.assert_allclose(ours.mean[0], x[0].flatten(1).double().mean(1), rtol=1e-6)
    np.testing.assert_allclose(ours.covariance[0], cov(x), atol=3e-7 * cov(x).max())
    exact = Moments.of(x.double())
    np.testing.assert_allclose(exact.covariance[0], cov(x), rtol=1e-10, atol=1e-12)


def test_merged_moments_are_those_of_the_union() -> None:
    x = features(5, 17, 40).double()
    merged = Moments.merge(Moments.of(part) for part in (x[..., :3], x[..., 3:21], x[..., 21:]))
    whole = Moments.of(x)
    torch.testing.assert_close(merged.count, whole.count)
    torch.testing.assert_close(merged.mean, whole.mean)
    torch.testing.assert_close(merged.covariance, whole.covariance)


def random_moments(channels: int, seed: int, rank: int | None = None) -> Moments:
    generator = torch.Generator().manual_seed(seed)
    root = torch.randn(channels, rank or channels, generator=generator, dtype=torch.float64)
    mean = torch.randn(1, channels, generator=generator, dtype=torch.float64)
    return Moments(torch.full((1,), 100.0).double(), mean, (root @ root.mT / channels)[None])


@pytest.mark.parametrize("channels", [3, 24])
@pytest.mark.parametrize("part", [0.3, 0.5])
def test_the_barycenter_of_two_is_the_point_of_the_geodesic(channels: int, part: float) -> None:
    """(1-t)^2 A + t^2 B + t(1-t) ((AB)^1/2 + (BA)^1/2), with SciPy's roots (Bhatia et al. 2019)."""
    linalg = pytest.importorskip("scipy.linalg")
    one, other = random_moments(channels, 1), random_moments(channels, 2)
    a, b = (moments.covariance[0].numpy() for moments in (one, other))
    between = (linalg.sqrtm(a @ b) + linalg.sqrtm(b @ a)).real
    expected = (1 - part) ** 2 * a + part**2 * b + part * (1 - part) * between
    found = Moments.barycenter([one, other], [1 - part, part])
    np.testing.assert_allclose(found.covariance[0], expected, atol=1e-4 * expected.max())
    torch.testing.assert_close(found.mean, (1 - part) * one.mean + part * other.mean)
    swapped = Moments.barycenter([other, one], [part, 1 - part])
    torch.testing.assert_close(swapped.covariance, found.covariance, rtol=1e-3, atol=1e-4)


def test_the_barycenter_of_three_is_the_fixed_point_and_beats_its_neighbors() -> None:
    """S = sum w (S^1/2 C S^1/2)^1/2, which minimizes the weighted squared distances."""
    linalg = pytest.importorskip("scipy.linalg")
    parts, weights = [random_moments(5, seed) for seed in range(3)], [0.5, 0.3, 0.2]
    found = Moments.barycenter(parts, weights).covariance[0].numpy()
    root = linalg.sqrtm(found).real
    covariances = [part.covariance[0].numpy() for part in parts]
    mapped = sum(
        weight * linalg.sqrtm(root @ covariance @ root).real
        for weight, covariance in zip(weights, covariances, strict=True)
    )
    np.testing.assert_allclose(mapped, found, atol=1e-5)

    def distance(candidate: np.ndarray) -> float:
        root = linalg.sqrtm(candidate).real
        squared = [
            np.trace(candidate + c - 2 * linalg.sqrtm(root @ c @ root).real) for c in covariances
        ]
        return float(np.dot(weights, squared))

    rng = np.random.default_rng(0)
    for _ in range(20):
        step = rng.normal(size=(5, 5)) * 0.03
        assert distance(found) < distance(found + step + step.T)


def test_deviations_of_a_barycenter_are_the_means_of_deviations() -> None:
    """Of covariances with the same axes: halfway between 1 and 3 is 2, not the 2.24 of variances.

    Also where a covariance lacks full rank, and for equal ones.
    """
    deviations = torch.tensor([[1.0, 2.0, 0.0], [3.0, 1.0, 0.0], [2.0, 6.0, 0.0]]).double()
    axes = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    axes = axes.double()
    parts = [
        Moments(torch.ones(1).double(), torch.zeros(1, 3).double(), c[None])
        for c in (axes * deviations[:, None] ** 2) @ axes.mT
    ]
    for weights in ([0.5, 0.5, 0.0], [0.2, 0.3, 0.5], [1.0, 0.0, 0.0]):
        found = Moments.barycenter(parts, weights).covariance[0]
        expected = (torch.tensor(weights).double() @ deviations) ** 2
        np.testing.assert_allclose(axes.mT @ found @ axes, np.diag(expected), atol=1e-3)
    same = Moments.barycenter([parts[0]] * 3, [0.2, 0.3, 0.5])
    np.testing.assert_allclose(same.covariance, parts[0].covariance, atol=1e-6)


def test_a_huge_offset_does_not_cancel() -> None:
    x = features(4, 50, 50).double()
    torch.testing.assert_close(
        Moments.of(x + 1e7).covariance, Moments.of(x).covariance, rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("method", ["monge", "classic"])
def test_a_map_gives_the_style_moments(method: str) -> None:
    content, style = features(6, 40, 40, 1).double(), features(6, 30, 50, 2).double() * 3 + 1
    mapped = transfer_map(Moments.of(content), Moments.of(style), method, 0.0)(content)
    np.testing.assert_allclose(cov(mapped), cov(style), rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(mapped.mean((2, 3)), style.mean((2, 3)))


def test_classic_is_the_formula_of_li_et_al() -> None:
    """E_s D_s^1/2 E_s^T E_c D_c^-1/2 E_c^T, by singular value decomposition in NumPy."""
    content, style = features(6, 40, 40, 1).double(), features(6, 30, 50, 2).double()
    (ec, dc, _), (es, ds, _) = np.linalg.svd(cov(content)), np.linalg.svd(cov(style))
    expected = es @ np.diag(ds**0.5) @ es.T @ ec @ np.diag(dc**-0.5) @ ec.T
    ours = METHODS["classic"](Moments.of(content), Moments.of(style), 0.0)
    np.testing.assert_allclose(ours[0], expected, rtol=1e-7, atol=1e-9)


def test_monge_is_symmetric_positive_and_solves_riccati() -> None:
    """The optimal map is the one symmetric positive T with T C T = S."""
    content, style = features(6, 40, 40, 1).double(), features(6, 30, 50, 2).double()
    t = METHODS["monge"](Moments.of(content), Moments.of(style), 0.0)[0].numpy()
    np.testing.assert_allclose(t, t.T, atol=1e-10)
    assert np.linalg.eigvalsh(t).min() > 0
    np.testing.assert_allclose(t @ cov(content) @ t, cov(style), rtol=1e-7, atol=1e-9)


def test_reference_damps_the_content() -> None:
    content, style = features(6, 40, 40, 1).double(), features(6, 30, 50, 2).double()
    n = 1600 / 1599
    damped = cov(content) * n * (1.5 + np.eye(6))
    (ec, dc, _), (es, ds, _) = np.linalg.svd(damped), np.linalg.svd(cov(style) * 1500 / 1499)
    expected = es @ np.diag(ds**0.5) @ es.T @ ec @ np.diag(dc**-0.5) @ ec.T
    ours = METHODS["reference"](Moments.of(content), Moments.of(style), 0.0)
    np.testing.assert_allclose(ours[0], expected, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("method", ["monge", "classic"])
def test_equal_moments_give_the_identity(method: str) -> None:
    x = features(16, 3, 3)  # rank-deficient: fewer pixels than channels
    mapped = transfer_map(Moments.of(x), Moments.of(x), method, 1e-3)(x)
    torch.testing.assert_close(mapped, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("method", list(METHODS))
@settings(max_examples=60, deadline=None)
@given(
    channels=st.integers(1, 12),
    sizes=st.tuples(*[st.integers(1, 6)] * 4),
    scales=st.tuples(*[st.sampled_from([0.0, 1e-30, 1e-6, 1.0, 1e6, 1e15])] * 2),
    rank=st.integers(0, 12),
    seed=st.integers(0, 99),
)
def test_maps_are_always_finite(
    method: str,
    channels: int,
    sizes: tuple[int, int, int, int],
    scales: tuple[float, float],
    rank: int,
    seed: int,
) -> None:
    content = features(channels, *sizes[:2], seed) * scales[0]
    style = features(channels, *sizes[2:], seed + 1) * scales[1]
    content[:, rank:] = content[:, :1]
    mapping = transfer_map(Moments.of(content), Moments.of(style), method, 1e-3)
    assert torch.isfinite(mapping.matrix).all()
    assert torch.isfinite(mapping(content)).all()


def test_strength_blends_with_the_identity() -> None:
    content, style = features(6, 9, 9, 1), features(6, 9, 9, 2)
    mapping = transfer_map(Moments.of(content), Moments.of(style), "monge", 1e-3)
    torch.testing.assert_close(mapping.blend(0.0)(content), content)
    torch.testing.assert_close(mapping.blend(1.0)(content), mapping(content))
    torch.testing.assert_close(
        mapping.blend(0.3)(content), 0.7 * content + 0.3 * mapping(content), rtol=1e-4, atol=1e-4
    )


def test_a_batch_is_mapped_sample_by_sample() -> None:
    content, style = features(4, 8, 8, 1, batch=3), features(4, 5, 9, 2, batch=3)
    content = content.contiguous(memory_format=torch.channels_last)
    together = transfer_map(Moments.of(content), Moments.of(style), "monge", 1e-3)(content)
    for i in range(3):
        c, s = content[i : i + 1], style[i : i + 1]
        alone = transfer_map(Moments.of(c), Moments.of(s), "monge", 1e-3)(c)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-4, atol=1e-4)


def test_mapped_moments_are_those_of_mapped_features_also_by_region() -> None:
    content, style = features(6, 20, 30).double(), features(6, 25, 20, seed=1).double()
    regions = [torch.zeros(1, 3, *x.shape[2:], dtype=x.dtype) for x in (content, style)]
    for masks in regions:
        masks[:, 0, :5], masks[:, 1, 5:, :11], masks[:, 2, 5:, 11:] = 1, 1, 1
    ours, theirs = (Moments.of(x, None, m) for x, m in zip((content, style), regions, strict=True))
    for trust in (None, torch.tensor([[1.0, 0.5, 0.0]])):
        mapping = transfer_map(ours, theirs, "monge", 1e-3, regions[0], trust)
        mapped, expected = ours.mapped(mapping), Moments.of(mapping(content), None, regions[0])
        torch.testing.assert_close(mapped.mean, expected.mean)
        torch.testing.assert_close(mapped.covariance, expected.covariance)
        assert mapped.regions is not None
        assert expected.regions is not None
        torch.testing.assert_close(mapped.regions.mean, expected.regions.mean)


def test_instance_norm_equals_torchs() -> None:
    x = features(7, 12, 11, batch=2) * 4 + 3
    expected = torch.nn.functional.instance_norm(x)
    torch.testing.assert_close(normalization(Moments.of(x))(x), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", [0, 1])
def test_gradients_of_matrix_roots(which: int) -> None:
    factor = torch.randn(2, 5, 5, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    matrix = factor @ factor.mT
    matrix[1] = torch.eye(5)  # equal eigenvalues, where the gradient of eigh is infinite
    matrix.requires_grad_()

    def root(a: Tensor) -> Tensor:
        return moments.matrix_roots((a + a.mT) / 2)[which]

    assert torch.autograd.gradcheck(root, matrix)


def hard_regions(height: int, width: int, seed: int = 0) -> Tensor:
    """Masks (1, 3, height, width), one of them 1 at every pixel."""
    labels = np.random.default_rng(seed).integers(0, 3, (height, width))
    return torch.from_numpy(np.stack([labels == k for k in range(3)])[None]).float()


def region_means(x: Tensor, regions: Tensor) -> np.ndarray:
    """By NumPy; of hard masks."""
    pixels = x[0].double().numpy()
    return np.stack([pixels[:, region > 0].mean(1) for region in regions[0].numpy()])


def test_the_means_of_regions_are_weighted_averages() -> None:
    x, soft = features(4, 9, 11).double(), torch.rand(1, 3, 9, 11, dtype=torch.float64)
    weights = torch.rand(1, 1, 9, 11, dtype=torch.float64)
    for given_weights, expected_weights in ((None, soft), (weights, soft * weights)):
        found = RegionMeans.of(x, given_weights, soft)
        for k in range(3):
            w = expected_weights[0, k].numpy()
            assert found.mass[0, k].item() == pytest.approx(w.sum())
            expected = np.average(x[0].flatten(1).numpy(), 1, w.ravel())
            np.testing.assert_allclose(found.mean[0, k], expected, rtol=1e-5)


def test_a_region_without_pixels_has_the_mean_of_the_photo() -> None:
    x = features(4, 9, 11).double()
    regions = torch.stack([torch.ones(9, 11), torch.zeros(9, 11)])[None].double()
    found = RegionMeans.of(x, None, regions)
    torch.testing.assert_close(found.mean[0, 1], x.mean((2, 3))[0])


def test_merged_regions_are_those_of_the_union() -> None:
    """Also where a region lies in one part only."""
    x, regions = features(5, 17, 40).double(), hard_regions(17, 40).double()
    regions[:, 2, :, :20], regions[:, 0, :, :20] = 0, regions[:, [0, 2], :, :20].sum(1)
    parts = [np.s_[..., :20], np.s_[..., 20:33], np.s_[..., 33:]]
    merged = Moments.merge(Moments.of(x[part], None, regions[part]) for part in parts).regions
    whole = RegionMeans.of(x, None, regions)
    assert merged is not None
    torch.testing.assert_close(merged.mass, whole.mass)
    torch.testing.assert_close(merged.mean, whole.mean, rtol=1e-5, atol=1e-6)


def test_within_and_between_regions_add_up() -> None:
    """The law of total covariance; within is what remains around the means of regions."""
    x, regions = features(5, 20, 30).double(), hard_regions(20, 30).double()
    found = Moments.of(x, None, regions)
    means = torch.from_numpy(region_means(x, regions))
    around = x - torch.einsum("kc,bkhw->bchw", means, regions)
    np.testing.assert_allclose(found.within[0], cov(around), atol=1e-6)
    np.testing.assert_allclose(found.covariance[0], cov(x), atol=1e-6)
    assert Moments.of(x).within is not None
    torch.testing.assert_close(Moments.of(x).within, Moments.of(x).covariance)


@pytest.mark.parametrize("method", ["monge", "classic"])
def test_a_map_takes_each_region_to_the_mean_of_the_styles(method: str) -> None:
    content, style = features(6, 40, 40, 1).double(), features(6, 30, 50, 2).double() * 3 + 1
    ours, theirs = hard_regions(40, 40, 1).double(), hard_regions(30, 50, 2).double()
    content = content + torch.einsum("k,bkhw->bhw", torch.tensor([0.0, 3, -2]).double(), ours)
    moments_of = (Moments.of(content, None, ours), Moments.of(style, None, theirs))
    mapping = transfer_map(*moments_of, method, 0.0, ours)
    expected = region_means(style, theirs)
    np.testing.assert_allclose(region_means(mapping(content), ours), expected, atol=1e-4)
    # Without trust a region moves as the photo does.
    trust = torch.tensor([[1.0, 0.0, 0.5]]).double()
    trusted = region_means(transfer_map(*moments_of, method, 0.0, ours, trust)(content), ours)
    whole = region_means(transfer_map(*moments_of, method, 0.0)(content), ours)
    np.testing.assert_allclose(trusted[0], expected[0], atol=1e-4)
    np.testing.assert_allclose(trusted[1], whole[1], atol=1e-6)
    np.testing.assert_allclose(trusted[2], (whole[2] + expected[2]) / 2, atol=1e-4)


def test_moments_after_a_map_that_differs_by_region() -> None:
    content, style = features(6, 40, 40, 1).double(), features(6, 30, 50, 2).double()
    ours, theirs = hard_regions(40, 40, 1).double(), hard_regions(30, 50, 2).double()
    before = Moments.of(content, None, ours)
    mapping = transfer_map(before, Moments.of(style, None, theirs), "monge", 1e-3, ours)
    assert mapping.shift is not None
    assert mapping.shift.biases.abs().max() > 0.01
    found, expected = before.mapped(mapping), Moments.of(mapping(content), None, ours)
    torch.testing.assert_close(found.mean, expected.mean, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found.covariance, expected.covariance, rtol=1e-4, atol=1e-5)
    assert found.regions is not None
    assert expected.regions is not None
    torch.testing.assert_close(found.regions.mean, expected.regions.mean, rtol=1e-5, atol=1e-6)


def test_half_of_a_map_by_region_is_halfway() -> None:
    content, style = features(6, 20, 20, 1).double(), features(6, 20, 20, 2).double()
    regions = hard_regions(20, 20).double()
    source, target = (Moments.of(x, None, regions) for x in (content, style))
    mapping = transfer_map(source, target, "monge", 1e-3, regions)
    torch.testing.assert_close(mapping.blend(0)(content), content)
    torch.testing.assert_close(mapping.blend(0.5)(content), (content + mapping(content)) / 2)

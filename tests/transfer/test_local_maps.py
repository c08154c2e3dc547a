"""The fast mode: strips, smoothness, and the fit of the local maps."""

from __future__ import annotations

from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F

from photostyle.bench.scene import scene
from photostyle.transfer import local_maps
from photostyle.transfer.canvas import BLOCK, STRIP, Canvas
from photostyle.transfer.local_maps import LocalAffineMaps, MapRows
from photostyle.transfer.options import Match
from photostyle.transfer.style import Style
from photostyle.transfer.stylizer import Stylizer

Floats = npt.NDArray[np.float64]


@pytest.fixture(scope="module")
def evening(photonas: Stylizer) -> Style:
    return photonas.learn(scene(240, 160, evening=True))


def fast(stylizer: Stylizer, photo: Floats, style: Style, working_size: int = 128) -> Floats:
    result: Floats = stylizer.apply(photo, style, mode="fast", working_size=working_size)
    return result


@pytest.mark.parametrize("size", [(511, 333), (640, 97), (130, 700)])
def test_strips_give_what_the_whole_gives(
    photonas: Stylizer, evening: Style, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    photo = scene(*size) / 255
    results = []
    for strip, block in ((1 << 30, 1 << 30), (1 << 30, 3000), (5000, 2000), (1, 1)):
        monkeypatch.setitem(STRIP, "cpu", strip)
        monkeypatch.setitem(BLOCK, "cpu", block)
        results.append(fast(photonas, photo, evening))
    assert np.abs(results[0] - photo).max() > 0.1
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-4)


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_in_place_gives_what_a_copy_gives(
    photonas: Stylizer, evening: Style, depth: type[np.uint8] | type[np.uint16]
) -> None:
    photo = scene(400, 300).astype(depth) * (257 if depth == np.uint16 else 1)
    before = photo.copy()
    copied = photonas.apply(photo, evening, mode="fast", working_size=128)
    assert np.array_equal(photo, before)
    overwritten = photonas.apply(photo, evening, mode="fast", working_size=128, in_place=True)
    assert overwritten is photo
    assert np.array_equal(overwritten, copied)


def test_a_gradient_stays_smooth(photonas: Stylizer, evening: Style) -> None:
    """No bands, no grid: from pixel to pixel the slope of a clear sky hardly changes."""
    y, x = np.mgrid[0:1:500j, 0:1:800j]
    sky = np.stack([0.35 + 0.3 * y, 0.5 + 0.25 * y, 0.8 + 0.1 * y - 0.1 * x], -1)
    result = fast(photonas, sky, evening)
    assert np.abs(result - sky).mean() > 0.05
    for axis in (0, 1):
        slope = np.diff(result, axis=axis)
        assert np.abs(np.diff(slope, axis=axis)).max() < 0.25 / 255
        assert np.abs(slope).max() < 3 / 255


@pytest.mark.parametrize("match", ["auto", "regions"])
def test_flat_areas_stay_flat_by_region(photonas: Stylizer, evening: Style, match: Match) -> None:
    """Their height in the photo alone divides no area into regions."""
    photo = np.empty((160, 640, 3))
    photo[:, :320], photo[:, 320:] = (0.2, 0.22, 0.25), (0.6, 0.75, 0.9)
    result: Floats = photonas.apply(photo, evening, match=match)
    assert np.abs(result - photo).max() > 0.05
    for far in (np.s_[:, :160], np.s_[:, -160:]):
        assert np.abs(result[far] - result[far].mean((0, 1))).max() < 3 / 255


def test_flat_regions_stay_flat_and_halos_are_bounded(photonas: Stylizer, evening: Style) -> None:
    """At a hard edge between flat colours exact rings a little, and fast at most twice as much."""
    photo = np.empty((160, 1280, 3))
    photo[:, :640], photo[:, 640:] = (0.2, 0.22, 0.25), (0.6, 0.75, 0.9)
    results: list[Floats] = [
        photonas.apply(photo, evening, mode=mode, working_size=640, match="global")
        for mode in ("fast", "exact")
    ]
    assert np.abs(results[0][:, 0] - results[0][:, -1]).max() > 0.2
    for half, far in ((np.s_[:, :640], np.s_[:, :400]), (np.s_[:, 640:], np.s_[:, -400:])):
        ringing = [np.abs(result[half] - result[far].mean((0, 1))) for result in results]
        assert ringing[0].max() < 2 * ringing[1].max()
        assert ringing[0].mean() < 3 * ringing[1].mean()
        assert np.abs(results[0][far] - results[0][far].mean((0, 1))).max() < 1 / 255


def test_detail_is_kept(photonas: Stylizer, evening: Style) -> None:
    """Lines one pixel wide, which the reduced copy loses, stay in the result."""
    photo = scene(900, 600) / 255
    photo[::7] *= 0.8
    result = fast(photonas, photo, evening)
    detail, kept = ((x[1:] - x[:-1]).mean(-1).ravel() for x in (photo, result))
    assert np.corrcoef(detail, kept)[0, 1] > 0.95


def test_fast_is_near_exact(photonas: Stylizer, evening: Style) -> None:
    photo = scene(720, 480) / 255
    exact: Floats = photonas.apply(photo, evening, mode="exact")
    error = ((fast(photonas, photo, evening, 360) - exact) ** 2).mean()
    assert -10 * np.log10(error) > 30


def test_a_fit_finds_the_map_that_was_applied() -> None:
    generator = torch.Generator().manual_seed(0)
    content = torch.rand(1, 3, 60, 80, generator=generator)
    matrix = torch.tensor([[0.9, 0.1, 0.0], [0.0, 0.7, 0.2], [0.1, 0.0, 1.1]])
    bias = torch.tensor([0.05, -0.02, 0.1])
    result = torch.einsum("ij,bjhw->bihw", matrix, content) + bias[:, None, None]
    maps = local_maps.fit(content, result, 2e-3)
    expected = torch.cat([matrix.flatten(), bias])[:, None, None].expand_as(maps)
    torch.testing.assert_close(maps, expected, atol=2e-3, rtol=0)


def test_a_fit_by_region_knows_nothing_of_the_other_regions() -> None:
    content = torch.rand(1, 3, 40, 60, generator=torch.Generator().manual_seed(0))
    left = (torch.arange(60) < 23).float().expand(1, 1, 40, 60)
    regions = torch.cat([left, torch.zeros_like(left), 1 - left], 1)
    dark, warm = 0.4 * content, content * torch.tensor([1.2, 1, 0.7])[:, None, None] + 0.1
    result = left * dark + (1 - left) * warm

    apart = LocalAffineMaps(local_maps.fit(content, result, 1e-4, 0.1, regions), 1)(content[0], 0)
    together = LocalAffineMaps(local_maps.fit(content, result, 1e-4, 0.1), 1)(content[0], 0)
    assert (apart - result[0]).abs().max() < 2e-3
    assert (together - result[0]).abs().max() > 0.1


def test_project_to_maps_applies_the_fitted_maps() -> None:
    generator = torch.Generator().manual_seed(0)
    content = torch.rand(2, 3, 60, 80, generator=generator)
    result = content**1.5 + 0.1 * torch.rand(2, 3, 60, 80, generator=generator)
    expected = []
    for c, r in zip(content, result, strict=True):
        maps = local_maps.fit(c[None], r[None], 0.01)
        matrix = maps[:9].unflatten(0, (3, 3))
        expected.append(torch.einsum("ijhw,jhw->ihw", matrix, c) + maps[9:])
    found = local_maps.project_to_maps(content, result, 0.01)
    torch.testing.assert_close(found, torch.stack(expected))
    # What maps made of the content, maps can make of it again.
    again = local_maps.project_to_maps(content, found.clone(), 1e-6)
    assert (again - found).abs().mean() < 5e-3


@pytest.mark.parametrize(("width", "height", "ratio"), [(70, 53, 2), (301, 200, 6), (640, 9, 20)])
def test_differentiable_maps_are_those_by_rows(width: int, height: int, ratio: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shape = (-(-size // ratio) for size in (height, width))
    maps = LocalAffineMaps(torch.randn(13, *shape, generator=generator), ratio)
    photo = torch.rand(3, height, width, generator=generator)
    skin = F.interpolate(maps.maps[None, 12:], scale_factor=ratio, mode="bilinear")[0, 0]
    for first in range(0, height, 28):
        rows = MapRows(maps, first, min(first + 28, height), width)
        for top in range(first, min(first + 28, height), 7):
            strip = photo[:, top : min(top + 7, first + 28)]
            torch.testing.assert_close(rows(strip, top), maps(strip, top), atol=1e-4, rtol=0)
            expected = skin[top : top + strip.shape[1], :width]
            found = rows.skin(top, strip.shape[1])
            torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("width", "height"), [(1000, 667), (333, 1234), (4000, 3), (50, 40)])
def test_the_reduced_copy_is_the_photo_in_small(width: int, height: int) -> None:
    """Each pixel of the copy is near the mean of what it covers: nothing is shifted or cut off."""
    y, x = np.mgrid[0:height, 0:width]
    photo = np.stack([x / width, y / height, np.full(x.shape, 0.5)], -1)
    small, ratio = Canvas(photo).reduced(200)
    assert max(small.shape[-2:]) <= 200
    assert small.shape[-2:] == (height, width) or ratio > 1
    for axis, (channel, size) in enumerate([(1, height), (0, width)]):
        count = small.shape[2 + axis]
        centres = ((np.arange(count) + 0.5) * ratio).clip(0.5, size - 0.5)
        found = small[0, channel].mean(1 - axis).numpy() * size + 0.5
        assert np.abs(found - centres)[1:-1].max(initial=0) < 0.5 * ratio


@pytest.mark.parametrize(("width", "height"), [(80, 60), (50, 3), (1, 7)])
def test_a_fit_that_is_differentiated_is_the_same(width: int, height: int) -> None:
    generator = torch.Generator().manual_seed(0)
    content, result = torch.rand(2, 1, 3, height, width, generator=generator)
    expected = local_maps.fit(content, result)
    found = local_maps.fit(content, result.requires_grad_())
    assert found.requires_grad
    torch.testing.assert_close(found.detach(), expected)


def test_a_guided_filter_is_the_formula_of_the_papers() -> None:
    """He, Sun and Tang 2013, eq. 14 to 16, window by window in NumPy, at half the size."""
    rng = np.random.default_rng(0)
    height, width, radius, epsilon = 9, 12, 2, 1e-2
    guide, values = rng.random((3, 2 * height, 2 * width)), rng.random((2, height, width))
    small = guide.reshape(3, height, 2, width, 2).mean((2, 4))

    def window(y: int, x: int) -> tuple[slice, slice]:
        rows, columns = (slice(max(0, n - radius), n + radius + 1) for n in (y, x))
        return rows, columns

    slopes, offsets = np.zeros((2, 3, height, width)), np.zeros((2, 1, height, width))
    for y, x in np.ndindex(height, width):
        inside = window(y, x)
        colors = np.stack([channel[inside].ravel() for channel in small])
        covariance = np.cov(colors, bias=True) + epsilon * np.eye(3)
        for k in range(2):
            target = values[k][inside].ravel()
            joint = ((colors - colors.mean(1)[:, None]) * (target - target.mean())).mean(1)
            slope = np.linalg.solve(covariance, joint)
            slopes[k, :, y, x], offsets[k, 0, y, x] = slope, target.mean() - slope @ colors.mean(1)
    maps = np.concatenate([slopes, offsets], 1)
    means = np.empty_like(maps)
    for y, x in np.ndindex(height, width):
        rows, columns = window(y, x)
        means[..., y, x] = maps[:, :, rows, columns].mean((2, 3))

    def enlarged(plane: Floats) -> Floats:
        """Interpolated between the centres of blocks of 2 x 2 pixels."""
        for axis, count in enumerate(plane.shape):
            at = (np.arange(2 * count) + 0.5) / 2 - 0.5
            interpolate = partial(np.interp, at, np.arange(count))
            plane = np.apply_along_axis(interpolate, axis, plane)
        return plane

    large = np.array([[enlarged(plane) for plane in planes] for planes in means])
    expected = (large[:, :3] * guide).sum(1) + large[:, 3]
    found = local_maps.guided_filter(
        torch.from_numpy(guide), torch.from_numpy(values), 2 * radius, epsilon
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)

"""Fitted LUTs: they give an edit back, on other photos too."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.photos import clouds, landscape

from photostyle import PhotostyleError
from photostyle.lut import Lut, pairs, prior
from photostyle.lut.fit import Examples, closeness, fit
from photostyle.lut.lut import grid
from photostyle.lut.prior import Prior

Array = npt.NDArray[np.float64]
Pixels = npt.NDArray[np.uint8]


def film(colors: Array) -> Array:
    """A look like that of film: lifted blacks, a shoulder, crosstalk between channels."""
    mixed = colors @ np.array([[0.8, 0.1, 0.1], [0.15, 0.8, 0.05], [0.05, 0.2, 0.75]]).T
    curve = mixed**1.4 / (mixed**1.4 + (0.45 * (1 - mixed)) ** 1.2)
    return np.asarray(0.04 + 0.92 * curve * np.array([1.0, 0.97, 0.9]))


LOOK = Lut.of(film, 33)


def as_jpeg(pixels: Pixels) -> Pixels:
    stream = BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=92)
    return np.array(Image.open(stream))


def on_other_photos(found: Lut, seeds: range = range(10, 14)) -> float:
    colors = np.concatenate([clouds(seed=seed) for seed in seeds]) / 255
    return closeness(found, colors, LOOK.map(colors))


@pytest.mark.parametrize("size", [2, 5])
def test_a_fit_minimises_what_it_says(size: int) -> None:
    """Against the same least squares with every term written out as a row."""
    rng = np.random.default_rng(0)
    colors, targets = rng.uniform(size=(2, 300, 3))
    examples = Examples(colors, targets, rng.uniform(size=300))
    found = fit(examples, size, smoothness=0.3, identity=0.02)

    step = 16 / (size - 1)
    rows, right = [], []
    units = np.eye(size**3)
    basis = [
        Lut(np.repeat(unit.reshape((size,) * 3 + (1,)), 3, -1), np.zeros(3), np.ones(3)).map(colors)
        for unit in units
    ]
    weights = np.sqrt(examples.counts())
    rows.append(weights[:, None] * np.stack(basis, 1)[..., 0])
    right.append(weights[:, None] * (targets - colors))
    for axis in range(3) if size > 2 else ():
        bend = np.diff(units.reshape((size**3,) + (size,) * 3), 2, axis + 1).reshape(size**3, -1).T
        rows.append(np.sqrt(0.3 / step) * bend)
        right.append(np.zeros((len(bend), 3)))
    rows.append(np.sqrt(0.02 * step**3) * units)
    right.append(np.zeros((size**3, 3)))
    best = np.linalg.lstsq(np.concatenate(rows), np.concatenate(right), rcond=None)[0]
    expected = grid(size) + best.reshape((size,) * 3 + (3,))
    np.testing.assert_allclose(found.table, expected, atol=2e-4)


def test_colours_that_were_not_seen_stay_near_the_identity() -> None:
    dark = np.random.default_rng(0).uniform(0, 0.3, (5000, 3))
    found = fit(Examples(dark, dark[:, ::-1]), 17, smoothness=0.01, identity=0.01)
    assert closeness(found, dark, dark[:, ::-1]) > 40
    white = found.map(np.ones((1, 3)))
    assert np.abs(white - 1).max() < 0.05


@pytest.mark.parametrize("jpeg", [False, True])
def test_an_edit_of_one_photo_is_found_for_others(jpeg: bool) -> None:
    before = clouds(400, 300, seed=1)
    after = LOOK(before)
    examples = pairs.examples(before, as_jpeg(after) if jpeg else after)
    found = fit(examples, 17, prior=prior.load())
    assert on_other_photos(found) > 40


def test_the_prior_completes_what_a_photo_does_not_show() -> None:
    """A photo of few colours, and an edit that the prior has learned to be likely."""
    edits = [
        Lut.of(lambda colors, k=k: colors ** (1 + 0.1 * k), 9)  # type: ignore[misc]
        for k in range(-4, 5)
    ]
    known = Prior.learn([edits], 4)
    dull = landscape()
    edit = Lut.of(lambda colors: colors**1.25, 33)
    examples = pairs.examples(dull, edit(dull))
    seen = np.random.default_rng(0).uniform(size=(1000, 3))
    with_prior = closeness(fit(examples, 17, prior=known), seen, edit.map(seen))
    without = closeness(fit(examples, 17), seen, edit.map(seen))
    assert with_prior > 40 > without


def test_a_prior_survives_its_file(tmp_path: Path) -> None:
    known = Prior.learn([[LOOK], [Lut.of(lambda colors: colors[..., ::-1], 2)]], 2)
    known.save(tmp_path / "prior.safetensors", "a test")
    again = prior.load(tmp_path / "prior.safetensors")
    np.testing.assert_allclose(again.components, known.components, atol=1e-3)
    (tmp_path / "other.safetensors").write_bytes(b"other")
    for name in ("other", "none"):
        with pytest.raises(PhotostyleError, match=f"{name}.safetensors' is no prior"):
            prior.load(tmp_path / f"{name}.safetensors")


def textured(seed: int, width: int = 240, height: int = 180) -> Pixels:
    """Coloured rectangles: something with edges."""
    rng = np.random.default_rng(seed)
    pixels = clouds(width, height, seed=seed).astype(int)
    for _ in range(60):
        top, left = rng.integers(0, height), rng.integers(0, width)
        pixels[top : top + 25, left : left + 35] = rng.integers(20, 236, 3)
    return pixels.astype(np.uint8)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (3, -5), (-7, 2)])
def test_shifted_pictures_are_aligned(down: int, right: int) -> None:
    whole = textured(0)
    before = whole[10:-10, 10:-10] / 255
    after = whole[10 + down : len(whole) - 10 + down, 10 + right : 230 + right] / 255
    first, second = pairs.aligned(before, 1 - 0.8 * after)
    assert first.shape == second.shape
    assert first.shape[0] == before.shape[0] - abs(down)
    np.testing.assert_allclose(1 - 0.8 * first, second)


def test_pictures_of_different_sizes_are_aligned() -> None:
    before = textured(1, 480, 360)
    small = np.array(Image.fromarray(LOOK(before)).resize((240, 180), Image.Resampling.LANCZOS))
    found = fit(pairs.examples(before, small), 17, prior=prior.load())
    assert closeness(found, before / 255, LOOK.map(before / 255)) > 35
    crop = LOOK(before)[6:-2, 4:-8]
    found = fit(pairs.examples(before, crop), 17, prior=prior.load())
    assert closeness(found, before / 255, LOOK.map(before / 255)) > 40


def test_pictures_that_do_not_show_the_same_are_refused() -> None:
    for other in (textured(3), textured(2, 240, 90), textured(2)[:, ::-1]):
        with pytest.raises(PhotostyleError, match="do not show the same"):
            pairs.examples(textured(2), other)


def test_16_bit_pictures_and_large_ones() -> None:
    before = textured(4, 4200, 300)
    examples = pairs.examples(before.astype(np.uint16) * 257, LOOK(before))
    assert len(examples.colors) <= 2 * pairs.MAX_EXAMPLES
    assert closeness(LOOK, examples.colors, examples.targets) > 30


def test_edges_count_less_if_the_pictures_do_not_match_exactly() -> None:
    before = textured(5)
    exact = pairs.examples(before, LOOK(before))
    assert (exact.weights == 1).all()
    coded = pairs.examples(before, as_jpeg(LOOK(before)))
    assert coded.weights.min() < 0.1
    assert coded.weights.max() > 0.9

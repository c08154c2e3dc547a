"""Mixes of styles."""

from __future__ import annotations

import numpy as np
import pytest
from support.photos import landscape, scene

import photostyle
from photostyle import PhotostyleError, Style, Stylizer
from photostyle.transfer.options import Match, fractions
from photostyle.transfer.style import StyleMix


@pytest.fixture(scope="module")
def styles(photonas: Stylizer) -> tuple[Style, Style]:
    """A photo in evening light, and a pale blue one."""
    warm = scene(80, 64, seed=1, evening=True)
    blue = (128 + 0.4 * (landscape(seed=2)[..., ::-1].astype(float) - 100)).clip(0, 255)
    return photonas.learn(warm), photonas.learn(blue.astype(np.uint8))


@pytest.mark.parametrize("match", ["auto", "global"])
def test_halfway_looks_halfway(
    photonas: Stylizer, styles: tuple[Style, Style], match: Match
) -> None:
    """Means and deviations of the colours are those between, also for a third of the way."""
    content = scene(120, 90)
    ends = [photonas.apply(content, style, match=match) / 255 for style in styles]
    for weight in (0.5, 0.67):
        mix = StyleMix.of([(styles[0], weight), (styles[1], 1 - weight)])
        result = photonas.apply(content, mix, match=match) / 255
        for statistic in (np.mean, np.std):
            first, last = (statistic(end, (0, 1)) for end in ends)
            found = statistic(result, (0, 1))
            expected = weight * first + (1 - weight) * last
            assert np.abs(found - expected).max() < 0.015
        blended = weight * ends[0] + (1 - weight) * ends[1]
        assert np.abs(result - blended).mean() < 0.02


@pytest.mark.parametrize("match", ["auto", "global"])
def test_a_mix_of_one_style_is_that_style(
    photonas: Stylizer, styles: tuple[Style, Style], match: Match
) -> None:
    content, (style, other) = scene(120, 90), styles
    expected = photonas.apply(content, style, match=match)
    for mix in ([(style, 2.0)], [(style, 1.0), (other, 0.0)], [(style, 0.3), (style, 0.7)]):
        result = photonas.apply(content, StyleMix.of(mix), match=match)
        assert np.abs(result.astype(int) - expected).max() <= 1


def test_mixes_are_flat_and_their_weights_add_up_to_1(styles: tuple[Style, Style]) -> None:
    one, other = styles
    mix = StyleMix.of([(StyleMix.of([(one, 1), (other, 3)]), 4), (one, 1)])
    assert [style for style, _ in mix.parts] == [one, other, one]
    np.testing.assert_allclose([weight for _, weight in mix.parts], [0.2, 0.6, 0.2])
    assert mix.digest == one.digest


@pytest.mark.parametrize(
    ("weights", "sentence"),
    [
        ([0.5, -0.1], "must be 0 or more, not -0.1"),
        ([float("nan")], "must be 0 or more, not nan"),
        ([float("inf"), 1.0], "must be 0 or more, not inf"),
        ([0.0, 0.0], "must not all be 0"),
    ],
)
def test_invalid_weights_are_refused(weights: list[float], sentence: str) -> None:
    with pytest.raises(PhotostyleError, match=sentence):
        fractions(weights)


def test_what_cannot_be_mixed_is_refused(photonas: Stylizer, styles: tuple[Style, Style]) -> None:
    with pytest.raises(PhotostyleError, match="at least one style"):
        StyleMix.of([])
    colors = photostyle.load("none", device="cpu").learn(scene(40, 30))
    mix = StyleMix.of([(styles[0], 1), (colors, 1)])
    with pytest.raises(PhotostyleError, match="learned with other weights"):
        photonas.apply(scene(40, 30), mix)
    labels = np.zeros((30, 40), int)
    with pytest.raises(PhotostyleError, match="needs a mask of regions"):
        photonas.apply(scene(40, 30), StyleMix.of([(styles[0], 1)]), labels=labels)

"""Input spaces, compared with colour-science and with formulas written down in the tests."""

from __future__ import annotations

import numpy as np
import pytest
from support.log_footage import FOOTAGE, curve, footage, matrix, patches, shown

from photostyle.input_space import INPUT_SPACES
from photostyle.transfer.options import INPUT_SPACE_NAMES


def test_the_names_of_options() -> None:
    assert tuple(INPUT_SPACES) == INPUT_SPACE_NAMES == ("rec709", *FOOTAGE)


@pytest.mark.parametrize("name", FOOTAGE)
def test_curve_and_gamut(name: str) -> None:
    space, values = INPUT_SPACES[name], np.linspace(0, 1, 1024)
    assert space.curve
    np.testing.assert_allclose(space.curve(values), curve(values, name), rtol=1e-5, atol=1e-8)
    np.testing.assert_allclose(space.to_bt709, matrix(name), atol=1e-4)
    np.testing.assert_allclose(space.to_bt709.sum(1), 1, atol=1e-9)  # white stays white


@pytest.mark.parametrize("name", FOOTAGE)
def test_what_a_display_shows(name: str) -> None:
    light = patches()
    result = INPUT_SPACES[name].display(footage(light, name))
    np.testing.assert_allclose(result, shown(light, name), atol=0.5 / 255)
    np.testing.assert_allclose(result[0, :2, 0], (0, 0.4614), atol=1e-3)  # black, a grey card


def test_colors_outside_bt709_are_clipped() -> None:
    green = INPUT_SPACES["slog3"].display(footage(np.array([[-0.2, 0.5, 0.1]]), "slog3"))
    np.testing.assert_allclose(green, shown(np.array([[0, 0.5, 0.1]]), "slog3"), atol=1e-6)
    assert INPUT_SPACES["slog3"].display(np.ones((1, 3))) == pytest.approx(1)


def test_rec709_stays() -> None:
    values = np.random.default_rng(0).random((4, 3))
    np.testing.assert_array_equal(INPUT_SPACES["rec709"].display(values), values)

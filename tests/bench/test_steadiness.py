from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

import photostyle
from photostyle.bench.steadiness import extra_luma, measure_steadiness, styles, unrest
from photostyle.bench.synthetic_clips import CLIPS
from photostyle.transfer.style import Style


@pytest.fixture(scope="module")
def pale(photonas: photostyle.Stylizer) -> Style:
    return photonas.learn(styles()["pale"])


@pytest.mark.parametrize("name", ["lamp", "whip-pan", "dissolve", "fade", "passing-object"])
def test_luma_changes_only_where_the_source_does(
    photonas: photostyle.Stylizer, pale: Style, name: str
) -> None:
    found = measure_steadiness(CLIPS[name](), photonas, pale)
    assert found.cuts == []
    assert found.luma < 1
    if name in ("lamp", "passing-object"):
        assert found.still is not None
        assert found.still <= 2


def test_a_cut_between_like_colors_is_found_and_does_not_bleed(
    photonas: photostyle.Stylizer, pale: Style
) -> None:
    clip = CLIPS["like-colored-cut"]()
    found = measure_steadiness(clip, photonas, pale)
    assert found.cuts == [clip.cut]
    assert found.before_cut is not None
    assert found.before_cut < 1.5  # the noise of the camera


def test_pumping_and_ghosts_are_measured() -> None:
    def frames(*levels: int) -> list[npt.NDArray[np.uint8]]:
        return [np.full((16, 16, 3), level, np.uint8) for level in levels]

    result = frames(100, 100, 108, 100)
    result[0][:8], result[0][8:] = 0, 200
    source = frames(100, 100, 100, 100)
    source[0][:8], source[0][8:] = 0, 200
    assert extra_luma(source, source, None) == 0
    assert extra_luma(source, result, None) == pytest.approx(8)
    assert extra_luma(source, frames(100, 100, 100, 108), 3) == 0
    result = frames(100, 100, 108, 100)
    still = np.ones((4, 16, 16), bool)
    still[2] = False
    assert unrest(result, still) == 0
    assert unrest(result, np.ones((4, 16, 16), bool)) == pytest.approx(8, abs=1)

"""What training compares with its targets: the results that users get, for a whole batch."""

from __future__ import annotations

import pytest
import torch
from support.photos import as_tensor

import photostyle
from photostyle.bench.scene import scene
from photostyle.training import losses
from photostyle.training.distillation import Outcome
from photostyle.training.losses import Regions


def test_each_pair_of_a_batch_has_the_result_that_users_get(
    photonas: photostyle.Stylizer,
) -> None:
    """By regions, looks and maps of its own."""
    day, evening = (as_tensor(scene(96, 64, evening)) for evening in (False, True))
    contents, styles = torch.cat([day, evening.flip(3)]), torch.cat([evening, day])
    with torch.no_grad():
        found = Outcome.of(
            photonas.network, contents, styles, photonas.checkpoint.transfer, photonas.matcher
        )
    for number in range(2):
        expected = photonas.apply(contents[number], photonas.learn(styles[number]), mode="exact")
        result = found.result[number].clamp(0, 1)
        torch.testing.assert_close(result, expected, atol=2e-3, rtol=0)


def test_the_style_of_regions_by_hand() -> None:
    """Left 1 against 3, right 2 against 2, where only the left half counts, by half."""
    result = torch.tensor([1.0, 1.0, 2.0, 2.0]).double().expand(1, 1, 4, 4)
    style = torch.tensor([2.0, 2.0, 3.0, 3.0]).double().expand(1, 1, 4, 4)
    left = torch.tensor([1.0, 1.0, 0.0, 0.0]).expand(1, 1, 4, 4)
    halves = torch.cat([left, 1 - left], 1)
    regions = Regions(halves, halves.flip(1), torch.tensor([[0.5, 0.0]]))
    # Variances are 0, so that only the means differ: (3 - 1) / (3 + 1), of which a half.
    expected = 0.5 * 0.5 * (2 / 4) / 2
    assert losses.style([result], [style], regions).item() == pytest.approx(expected, abs=1e-5)
    assert losses.style([result], [result], regions._replace(style=halves)).item() < 1e-5

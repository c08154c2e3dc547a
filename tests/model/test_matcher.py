"""The matcher: descriptors that see no grade, looks, and its files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.photos import as_tensor
from torch import Tensor

from photostyle import PhotostyleError
from photostyle.bench.scene import scene
from photostyle.model.matcher import (
    DESCRIPTOR,
    TERMS,
    Look,
    Matcher,
    basis,
    identity,
    load_matcher,
    save_matcher,
)

GAIN, LIFT = torch.tensor([1.0, 0.85, 0.7]), torch.tensor([0.0, 0.03, 0.08])
"""A warm, faded grade: rgb -> GAIN rgb + LIFT."""


@pytest.fixture(scope="module")
def matcher() -> Matcher:
    return load_matcher()


@pytest.fixture(scope="module")
def photo() -> Tensor:
    """RGB (1, 3, 256, 384)."""
    return as_tensor(scene(384, 256))


def graded(photo: Tensor) -> Tensor:
    return GAIN[:, None, None] * photo + LIFT[:, None, None]


def test_the_terms_of_a_look_by_hand() -> None:
    r, g, b = 2 * 0.9 - 1, 2 * 0.2 - 1, 2 * 0.6 - 1
    expected = [1, r, g, b, r * r, g * g, b * b, r * g, g * b, b * r, r**3, g**3, b**3]
    np.testing.assert_allclose(basis(torch.tensor([0.9, 0.2, 0.6])), expected, atol=1e-6)
    assert len(expected) == TERMS


def test_the_identity_changes_nothing(photo: Tensor) -> None:
    torch.testing.assert_close(Look(identity(photo)[None])(photo), photo)


@torch.no_grad()
def test_descriptors_hardly_see_a_grade(matcher: Matcher, photo: Tensor) -> None:
    """Blocks resemble their graded selves more than other blocks of the same photo."""
    plain, toned = (matcher.blocks(p).descriptors for p in (photo, graded(photo)))
    assert plain.shape == (1, DESCRIPTOR, 32, 48)
    same = F.cosine_similarity(plain, toned)
    other = F.cosine_similarity(plain, plain.roll((16, 24), (2, 3)))
    assert same.mean() > 0.95
    assert same.mean() > other.mean() + 0.3


@torch.no_grad()
@pytest.mark.parametrize("value", [None, 0.0, 1.0])
def test_photos_of_the_least_size_give_finite_looks(matcher: Matcher, value: float | None) -> None:
    noise = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blocks = matcher.blocks(noise if value is None else torch.full_like(noise, value))
    found = matcher(blocks, matcher.blocks(noise.flip(0)))
    assert found.look.coefficients.shape == (2, TERMS, 3)
    assert found.colors.shape == (2, 16, 3)
    for tensor in (found.look.coefficients, found.colors, found.trust, found.same_scene):
        assert torch.isfinite(tensor).all()
    assert found.trust.min() >= 0
    assert found.trust.max() <= 1


@torch.no_grad()
def test_the_look_of_a_graded_photo_is_found(matcher: Matcher, photo: Tensor) -> None:
    """The same photo before and after a grade: the same scene, and the look is the grade."""
    target = graded(photo)
    found = matcher(matcher.blocks(photo), matcher.blocks(target))
    error = ((found.look(photo) - target) ** 2).mean()
    unchanged = ((photo - target) ** 2).mean()
    assert -10 * error.log10() > 25
    assert error < 0.1 * unchanged
    assert found.same_scene.item() > 1


@torch.no_grad()
def test_reading_a_matcher_imports_no_compiler() -> None:
    """It takes torch a second, in every process of a batch."""
    code = "import sys; from photostyle.model.matcher import load_matcher; load_matcher(); "
    code += "sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    assert torch.equal(Matcher((8, 8, 8, 8, 8)).ridge, torch.eye(TERMS))


def test_a_matcher_is_read_as_it_was_written(tmp_path: Path, photo: Tensor) -> None:
    torch.manual_seed(0)
    path, matcher = tmp_path / "tiny.safetensors", Matcher((4, 4, 8, 8, 8)).half().float()
    save_matcher(matcher, path, {"made": "by a test"})
    read = load_matcher(path)
    assert read.widths == matcher.widths
    for name, tensor in matcher.state_dict().items():
        assert torch.equal(read.state_dict()[name], tensor), name
    blocks = [one.blocks(photo) for one in (matcher, read)]
    torch.testing.assert_close(matcher(blocks[0], blocks[0])[0], read(blocks[1], blocks[1])[0])


def test_what_is_no_matcher_is_refused(tmp_path: Path, model: str) -> None:
    with pytest.raises(PhotostyleError, match=r"is not a matcher; .*\.$"):
        load_matcher(Path(model))
    with pytest.raises(PhotostyleError, match=r"missing\.safetensors.*\.$"):
        load_matcher(tmp_path / "missing.safetensors")
    path = tmp_path / "text.safetensors"
    path.write_text("not weights")
    with pytest.raises(PhotostyleError, match=r"text\.safetensors.*\.$"):
        load_matcher(path)

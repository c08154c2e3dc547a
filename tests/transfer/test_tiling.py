"""The exact mode in tiles against the network on the whole photo, at every pixel."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch

from photostyle import PhotostyleError
from photostyle.bench.scene import scene
from photostyle.model.architecture import PHOTONAS, PHOTONET, Architecture
from photostyle.model.checkpoint import Checkpoint
from photostyle.model.network import PhotoNet
from photostyle.model.transfer_settings import REFERENCE, TransferSettings
from photostyle.transfer.options import Match
from photostyle.transfer.stylizer import Stylizer
from photostyle.transfer.tiling import OVERLAP, tiles

TOLERANCE = 0.02
"""In steps of 8 bits: what rounding explains, and too small an overlap exceeds."""

Mask = npt.NDArray[np.uint8]


def circle(width: int, height: int) -> Mask:
    """A mask that leaves whole tiles without a pixel that counts."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    return (255 * ((x - 0.2) ** 2 + (y - 0.6) ** 2 < 0.05)).astype(np.uint8)


def difference(
    stylizer: Stylizer,
    size: tuple[int, int],
    tile: int,
    strength: float = 1.0,
    mask: Mask | None = None,
    match: Match = "auto",
) -> float:
    """The largest difference between tiled and untiled results, in 8-bit steps."""
    content, style = scene(*size) / 255, stylizer.learn(scene(120, 90, evening=True))
    whole, tiled = (
        stylizer.apply(content, style, strength, mode="exact", tile=pixels, mask=mask, match=match)
        for pixels in (4096, tile)
    )
    assert np.abs(whole - content).max() > 0.1 * strength
    return float(np.abs(tiled - whole).max() * 255)


@pytest.mark.parametrize(
    ("size", "tile"), [((529, 99), 176), ((371, 353), 176), ((150, 577), 192), ((530, 33), 176)]
)
def test_tiled_equals_untiled(photonas: Stylizer, size: tuple[int, int], tile: int) -> None:
    """Also where the overlap reaches beyond the neighbour, at odd edges, and in narrow tiles."""
    assert difference(photonas, size, tile) < TOLERANCE


def test_tiled_equals_untiled_by_region(photonas: Stylizer) -> None:
    assert difference(photonas, (529, 199), 176, match="regions") < TOLERANCE


def test_tiled_equals_untiled_by_labels(photonas: Stylizer) -> None:
    content, warm = scene(541, 203) / 255, scene(120, 90, evening=True)
    ours = np.arange(203)[:, None] // 50 % 3 + np.zeros(541, int)
    style = photonas.learn(warm, labels=np.arange(90)[:, None] // 30 + np.zeros(120, int))
    whole, tiled = (
        photonas.apply(content, style, mode="exact", tile=tile, labels=ours) for tile in (4096, 176)
    )
    assert np.abs(whole - content).max() > 0.1
    assert np.abs(tiled - whole).max() * 255 < TOLERANCE


def test_tiled_equals_untiled_in_part(photonas: Stylizer) -> None:
    assert difference(photonas, (541, 65), 176, strength=0.6) < TOLERANCE


def test_tiled_equals_untiled_under_a_mask(photonas: Stylizer) -> None:
    size = (541, 97)
    # The quantiles of so few pixels magnify rounding.
    assert difference(photonas, size, 176, mask=circle(*size)) < 5 * TOLERANCE
    assert difference(photonas, size, 176, mask=np.zeros((97, 541), np.uint8)) < TOLERANCE
    content, style = scene(*size), photonas.learn(scene(120, 90, evening=True))
    plain, masked = (
        photonas.apply(content, style, mode="exact", mask=mask).astype(int)
        for mask in (None, circle(*size))
    )
    assert np.abs(plain - masked).max() > 10


@pytest.mark.parametrize("settings", [TransferSettings(), REFERENCE], ids=["ours", "reference"])
@pytest.mark.parametrize("architecture", [PHOTONET, PHOTONAS], ids=["photonet", "photonas"])
def test_every_layer_gets_the_moments_of_the_whole_photo(
    architecture: Architecture, settings: TransferSettings
) -> None:
    torch.manual_seed(0)
    network = PhotoNet(architecture, (3, 4, 5, 6, 7)).requires_grad_(False)
    stylizer = Stylizer(Checkpoint(network, settings), torch.device("cpu"))
    assert difference(stylizer, (549, 93), 176) < TOLERANCE


def test_too_small_an_overlap_would_be_seen(
    photonas: Stylizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("tiling", "stylizer"):
        monkeypatch.setattr(f"photostyle.transfer.{module}.OVERLAP", 16)
    assert difference(photonas, (529, 99), 176) > 10 * TOLERANCE


def test_the_engine_uses_tiles_for_large_photos(photonas: Stylizer) -> None:
    content = scene(563, 65)
    style = photonas.learn(scene(120, 90, evening=True))
    fractions: list[float] = []
    tiled, whole = (
        photonas.apply(content, style, mode="exact", tile=tile, progress=told.append)
        for tile, told in ((176, fractions), (1024, []))
    )
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    # The end of the tiles and that of all are told twice.
    assert fractions == sorted(fractions)
    assert len(set(fractions)) >= max(4, len(fractions) - 2)
    assert fractions[-1] == 1.0


@pytest.mark.parametrize("size", [(1, 1), (176, 176), (177, 500), (1000, 700)])
@pytest.mark.parametrize("tile", [176, 200, 512])
def test_tiles_cover_every_pixel_once(size: tuple[int, int], tile: int) -> None:
    count = np.zeros(size, int)
    for outer, kept in tiles(*size, tile):
        count[kept.top : kept.bottom, kept.left : kept.right] += 1
        assert max(kept.bottom - kept.top, kept.right - kept.left) <= tile
        assert (outer.top, outer.left) == (max(0, kept.top - OVERLAP), max(0, kept.left - OVERLAP))
        assert outer.bottom == min(size[0], kept.bottom + OVERLAP)
        assert outer.right == min(size[1], kept.right + OVERLAP)
        # Poolings see the same blocks of pixels as on the whole photo.
        assert outer.top % 16 == outer.left % 16 == 0
    assert (count == 1).all()


@pytest.mark.parametrize("tile", [175, 1, 0, -16])
def test_a_tile_smaller_than_the_overlap_is_refused(photonas: Stylizer, tile: int) -> None:
    style = photonas.learn(scene(60, 40))
    with pytest.raises(PhotostyleError, match="at least 176"):
        photonas.apply(scene(900, 40), style, mode="exact", tile=tile)

"""Exact in tiles against the network on the whole photo, at every pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

import photostyle
from photostyle import PhotostyleError
from photostyle.architecture import PHOTONAS, PHOTONET
from photostyle.bench.scene import scene
from photostyle.engine import Stylizer
from photostyle.network import PhotoNet
from photostyle.style import Style, record, transfer
from photostyle.tiles import OVERLAP, tiles, transfer_tiled
from photostyle.weights import PUBLISHED, Transfer


@pytest.fixture(scope="module")
def photonas() -> Stylizer:
    return photostyle.load("photonas", device="cpu")


def photo(width: int, height: int, evening: bool = False) -> Tensor:
    return torch.from_numpy(scene(width, height, evening)).permute(2, 0, 1)[None] / 255


def mask(width: int, height: int) -> Tensor:
    y, x = torch.meshgrid(torch.linspace(0, 1, height), torch.linspace(0, 1, width), indexing="ij")
    return ((x - 0.3) ** 2 + (y - 0.6) ** 2 < 0.1).float()[None, None]


@torch.inference_mode()
def difference(
    network: PhotoNet,
    settings: Transfer,
    content: Tensor,
    tile: int,
    strength: float = 1.0,
    seen: Tensor | None = None,
) -> float:
    """The largest difference between tiled and whole, in steps of 8 bits."""
    style, _ = record(network, photo(120, 90, evening=True))
    whole = transfer(network, content, style, settings, strength, seen)
    tiled = transfer_tiled(network, content, style, settings, strength, seen, tile)
    assert tiled.shape == whole.shape
    assert (whole - content).abs().max() > 0.1 * strength
    return float((tiled - whole).abs().max() * 255)


@pytest.mark.parametrize(
    ("width", "height", "tile"), [(401, 199, 176), (353, 352, 176), (150, 397, 192), (208, 33, 176)]
)
def test_tiled_equals_untiled(photonas: Stylizer, width: int, height: int, tile: int) -> None:
    """Also where a tile's overlap reaches into others than its neighbours, and at odd edges."""
    checkpoint = photonas.checkpoint
    content = photo(width, height)
    assert difference(checkpoint.network, checkpoint.transfer, content, tile) < 1


def test_tiled_equals_untiled_under_a_mask_and_in_part(photonas: Stylizer) -> None:
    checkpoint, content = photonas.checkpoint, photo(367, 181)
    seen = mask(367, 181)
    assert difference(checkpoint.network, checkpoint.transfer, content, 176, 0.6, seen) < 1
    style, _ = record(checkpoint.network, photo(120, 90, evening=True))
    with torch.inference_mode():
        plain, masked = (
            transfer(checkpoint.network, content, style, checkpoint.transfer, 1.0, given)
            for given in (None, seen)
        )
    assert (plain - masked).abs().max() > 0.05


@pytest.mark.parametrize("settings", [Transfer(), PUBLISHED], ids=["ours", "published"])
@pytest.mark.parametrize("architecture", [PHOTONET, PHOTONAS], ids=["photonet", "photonas"])
def test_every_place_waits_for_the_whole_photo(architecture, settings) -> None:  # type: ignore[no-untyped-def]
    torch.manual_seed(0)
    network = PhotoNet(architecture, (3, 4, 5, 6, 7)).requires_grad_(False)
    assert difference(network, settings, photo(389, 211), 176) < 1


def test_a_wrong_overlap_would_be_seen(photonas: Stylizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("photostyle.tiles.OVERLAP", 16)
    checkpoint = photonas.checkpoint
    assert difference(checkpoint.network, checkpoint.transfer, photo(401, 199), 176) > 1


def test_the_engine_takes_tiles_for_large_photos(photonas: Stylizer) -> None:
    content = scene(563, 201)
    style = photonas.learn(scene(120, 90, evening=True))
    shares: list[float] = []
    tiled, whole = (
        photonas.apply(content, style, mode="exact", tile=tile, progress=told.append)
        for tile, told in ((176, shares), (1024, []))
    )
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert len(shares) > 3
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


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

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from support.photos import as_tensor, scene

import photostyle
from photostyle import PhotostyleError
from photostyle.model.architecture import PHOTONAS
from photostyle.model.checkpoint import Checkpoint
from photostyle.model.network import PhotoNet
from photostyle.transfer.content_moments import ContentMoments
from photostyle.transfer.options import MATCHES, Match
from photostyle.transfer.pipeline import StyleTransfer, stylize
from photostyle.transfer.stylizer import Stylizer, choose_device
from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer


@pytest.fixture(scope="module", params=["photonas", "photonet"])
def stylizer(request: pytest.FixtureRequest) -> Stylizer:
    return photostyle.load(request.param, device="cpu")


@pytest.fixture(scope="module")
def content() -> np.ndarray:
    """A scene of 110 x 75 pixels, floats."""
    return (scene(110, 75, grain=0.05) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def warm() -> np.ndarray:
    """Another scene in evening light, 40 x 64 pixels, 8 bits."""
    return scene(40, 64, seed=1, evening=True, grain=0.08)


def test_a_mask_is_padded_for_every_layer_but_the_pixels() -> None:
    """Also where features happen to be of the photo's size: 16 pixels are padded to 32."""
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :8, :] = 1
    masked = ContentMoments(mask)
    for layer, size, fraction in (("pixels", 16, 1 / 2), ("skip1", 32, 1 / 4), ("d5", 16, 1 / 4)):
        weights = masked.weights(layer, torch.empty(1, 3, size, size))
        assert weights is not None
        assert weights.mean() == fraction
        assert weights.shape[-2:] == (size, size)


def test_every_type_of_photo_comes_back_as_itself(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray
) -> None:
    style = stylizer.learn(warm)
    expected = stylizer.apply(content, style)
    assert expected.shape == content.shape
    assert expected.dtype == np.float32

    double = stylizer.apply(content.astype(np.float64), style)
    assert double.dtype == np.float64
    np.testing.assert_allclose(double, expected, atol=1e-5)

    tensor = stylizer.apply(torch.from_numpy(content).permute(2, 0, 1).double(), style)
    assert tensor.dtype == torch.float32
    np.testing.assert_allclose(tensor.permute(1, 2, 0), expected, atol=1e-5)

    deep = stylizer.apply((65535 * content).round().astype(np.uint16), style)
    assert deep.dtype == np.uint16
    np.testing.assert_allclose(deep / 65535, expected, atol=1e-3)

    eight = (255 * content).round().astype(np.uint8)
    array = stylizer.apply(eight, style)
    assert array.dtype == np.uint8
    np.testing.assert_allclose(array / 255, expected, atol=0.02)

    image = stylizer.apply(Image.fromarray(eight), style)
    assert image.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(image), array)


def test_every_type_of_photo_gives_the_same_style(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray
) -> None:
    expected = stylizer.apply(content, stylizer.learn(warm))
    tensor = torch.from_numpy(warm).permute(2, 0, 1) / 255
    styles = [
        stylizer.learn(Image.fromarray(warm)),
        stylizer.learn(warm / 255),
        stylizer.learn(tensor),
        stylizer.learn(warm.astype(np.uint16) * 257),
    ]
    for style in styles:
        np.testing.assert_allclose(stylizer.apply(content, style), expected, atol=1e-4)


def test_alpha_is_kept(stylizer: Stylizer, content: np.ndarray, warm: np.ndarray) -> None:
    image = Image.fromarray((255 * content).astype(np.uint8))
    alpha = Image.fromarray(np.tile(np.linspace(0, 255, 110).astype(np.uint8), (75, 1)))
    image.putalpha(alpha)
    result = stylizer.apply(image, stylizer.learn(warm))
    assert result.mode == "RGBA"
    np.testing.assert_array_equal(np.asarray(result)[..., 3], np.asarray(alpha))


def test_the_colors_of_the_style_are_transferred(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray
) -> None:
    """Mean and spread of each channel come much closer to the style's than they were."""

    def statistics(photo: np.ndarray) -> np.ndarray:
        return np.concatenate([photo.mean((0, 1)), photo.std((0, 1))])

    goal = statistics(warm / 255)
    before = np.abs(statistics(content) - goal).sum()
    result = stylizer.apply(content, stylizer.learn(warm))
    assert np.abs(statistics(result) - goal).sum() < 0.4 * before


def test_strength_goes_from_the_photo_to_the_result(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray
) -> None:
    style = stylizer.learn(warm)
    np.testing.assert_array_equal(stylizer.apply(content, style, strength=0), content)
    almost = stylizer.apply(content, style, strength=1e-3)
    assert np.abs(almost - content).max() < 2 / 255
    full = stylizer.apply(content, style)
    distances = [
        np.abs(stylizer.apply(content, style, strength=s) - full).mean() for s in (0, 0.3, 0.6, 1)
    ]
    assert all(nearer < farther for farther, nearer in pairwise(distances))
    for strength in (-0.1, 1.6, float("nan")):
        with pytest.raises(PhotostyleError, match=r"between 0 and 1\.5"):
            stylizer.apply(content, style, strength=strength)


@pytest.mark.parametrize("match", MATCHES)
def test_a_strength_over_1_exaggerates(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray, match: Match
) -> None:
    """The mean colour goes on in the same direction, by about as much as told."""
    style = stylizer.learn(warm)
    once, just, more = (
        stylizer.apply(content, style, strength=s, match=match) for s in (1, 1.001, 1.5)
    )
    assert np.abs(just - once).max() < 1 / 255
    change, further = ((r - content).mean((0, 1)) for r in (once, more))
    assert further @ change / (change @ change) == pytest.approx(1.5, abs=0.2)
    assert more.min() >= 0
    assert more.max() <= 1


def test_a_strength_over_1_inverts_no_contrast(stylizer: Stylizer) -> None:
    """Of a style of fog, whose contrast is a tenth, 1.5 leaves less, but no negative."""
    ramp = np.repeat(np.linspace(0.1, 0.9, 96)[None, :, None], 64, 0).repeat(3, 2)
    ramp = ramp.astype(np.float32)
    fog = (0.6 + 0.1 * (ramp - 0.5)).astype(np.float32)
    style = stylizer.learn(fog)
    rows = [stylizer.apply(ramp, style, s, match="global")[32].mean(1) for s in (1, 1.5)]
    spans = [row[88] - row[8] for row in rows]
    assert 0 < spans[1] < spans[0] < 0.2
    assert np.diff(rows[1])[4:-4].min() > -1e-3


@pytest.mark.parametrize("match", MATCHES)
def test_strength_0_gives_the_photo_itself(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray, match: Match
) -> None:
    result = stylizer.apply(content, stylizer.learn(warm), 0, match=match)
    np.testing.assert_array_equal(result, content)


@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_photo_in_its_own_style_is_the_photo(stylizer: Stylizer, match: Match, seed: int) -> None:
    """Up to a few steps of 8 bits; the look is that of the same scene: nearly none."""
    photo = scene(160, 120, seed, evening=bool(seed)) / 255
    result = stylizer.apply(photo, stylizer.learn(photo), match=match)
    steps = 255 * np.abs(result - photo)
    assert steps.mean() < 1.5
    assert steps.max() < {"auto": 4, "regions": 8, "global": 8, "none": 0.1}[match]


wild_photos = arrays(
    np.uint8,
    st.tuples(st.integers(1, 40), st.integers(1, 40), st.just(3)),
    elements=st.sampled_from([0, 1, 128, 254, 255]),
    fill=st.sampled_from([0, 128, 255]),
)


@settings(max_examples=12)
@given(wild_photos, wild_photos, st.sampled_from(["auto", "regions"]))
def test_wild_photos_by_region_stay_finite(
    photonas: Stylizer, photo: np.ndarray, other: np.ndarray, match: Match
) -> None:
    """And near 0..1 before they are clipped: the maps are bounded."""
    style, pixels = photonas.learn(other), as_tensor(photo)
    found, regions = photonas.correspond(pixels, style, match)
    transfer = StyleTransfer(
        style, photonas.checkpoint.transfer, 1.0, ContentMoments(None, regions), found
    )
    with torch.no_grad():
        result = stylize(photonas.network, pixels, transfer)
    assert torch.isfinite(result).all()
    assert result.min() > -0.3
    assert result.max() < 1.3


@pytest.mark.parametrize("match", ["auto", "regions", "global"])
@pytest.mark.parametrize("value", [0, 90, 255])
def test_even_photos_stay_even(
    photonas: Stylizer, warm: np.ndarray, value: int, match: Match
) -> None:
    """What rounding makes of them is not stretched to the style's contrast."""
    even = np.full((60, 90, 3), value, np.uint8)
    result = photonas.apply(even, photonas.learn(warm), match=match).astype(int)
    assert np.ptp(result, (0, 1)).max() <= 1


@pytest.mark.parametrize("match", ["auto", "regions"])
def test_black_bars_stay_black(stylizer: Stylizer, match: Match) -> None:
    """Beside a picture in both photos: the bars are a region of their own."""
    photo, warm = scene(160, 100) / 255, scene(160, 100, seed=1, evening=True) / 255
    for picture in (photo, warm):
        picture[:20], picture[-20:] = 0, 0
    result = stylizer.apply(photo, stylizer.learn(warm), match=match)
    assert np.abs(result - photo)[25:75].mean() > 0.05
    for bar in (result[:12], result[-12:]):
        assert bar.mean() < 3 / 255
        assert bar.max() < 10 / 255


def test_without_a_network_colors_alone_are_transferred(
    content: np.ndarray, warm: np.ndarray
) -> None:
    """The model `none`: equal pixels stay equal where nothing is local, and it has no regions."""
    nothing = photostyle.load("none", device="cpu")
    assert nothing.matcher is None
    style = nothing.learn(warm)
    assert style.blocks is None
    assert set(style.moments) == {"pixels", "residual"}
    result = nothing.apply(content, style)
    before, after = (
        np.abs(photo.mean((0, 1)) - warm.mean((0, 1)) / 255).max() for photo in (content, result)
    )
    assert after < 0.2 * before
    for match in ("auto", "regions"):
        np.testing.assert_array_equal(
            nothing.apply(content, style, match=match),
            nothing.apply(content, style, match="global"),
        )
    unmatched = nothing.apply(content, style, match="none")
    np.testing.assert_allclose(unmatched, content, atol=1e-3)


@pytest.mark.parametrize("content_size", [(1, 1), (1, 300), (40, 2), (33, 47)])
@pytest.mark.parametrize("constant", [False, True])
def test_photos_without_information(
    stylizer: Stylizer, content_size: tuple[int, int], constant: bool, warm: np.ndarray
) -> None:
    rng = np.random.default_rng(0)
    photo = np.full((*content_size, 3), 0.4) if constant else rng.random((*content_size, 3))
    for style in (warm, np.zeros((1, 1, 3), np.uint8), np.full((50, 20, 3), 255, np.uint8)):
        result = stylizer.apply(photo, stylizer.learn(style))
        assert result.shape == photo.shape
        assert np.isfinite(result).all()


def test_the_photo_is_not_changed(stylizer: Stylizer, warm: np.ndarray) -> None:
    tensor = torch.rand(3, 32, 32)
    before = tensor.clone()
    stylizer.apply(tensor, stylizer.learn(tensor))
    assert torch.equal(tensor, before)
    style = stylizer.learn(255 - warm)
    for photo in (warm[::2].copy(), warm.astype(np.uint16) * 257, warm / 255):
        copy = photo.copy()
        result = stylizer.apply(photo, style, strength=0.5)
        np.testing.assert_array_equal(photo, copy)
        assert np.abs(result.astype(float) - copy).max() > 0


@pytest.mark.parametrize("writable", [True, False])
def test_in_place_overwrites_what_may_be_written(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray, writable: bool
) -> None:
    """Read-only arrays, such as that of a PIL image, are not overwritten."""
    style = stylizer.learn(warm)
    photo = (255 * content).astype(np.uint8)
    expected = stylizer.apply(photo, style)
    given = photo.copy() if writable else np.asarray(Image.fromarray(photo))
    assert given.flags.writeable == writable
    result = stylizer.apply(given, style, in_place=True)
    np.testing.assert_array_equal(result, expected)
    assert np.shares_memory(result, given) == writable
    np.testing.assert_array_equal(given, expected if writable else photo)


@pytest.mark.parametrize(
    "turned",
    [np.s_[::-1], np.s_[:, ::-1], np.s_[..., ::-1], np.s_[::2, 3::3]],
    ids=["upside down", "mirrored", "channels", "strided"],
)
def test_views_of_arrays_are_photos(
    stylizer: Stylizer, warm: np.ndarray, turned: tuple[slice, ...]
) -> None:
    """For example OpenCV's BGR with reversed channels."""
    style, view = stylizer.learn(warm), warm.copy()[turned]
    expected = stylizer.apply(view.copy(), style)
    np.testing.assert_array_equal(stylizer.apply(view, style), expected)
    assert stylizer.apply(view, style, in_place=True) is view
    np.testing.assert_array_equal(view, expected)


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        (np.zeros((4, 4), np.uint8), "shape"),
        (np.zeros((4, 4, 4), np.uint8), "shape"),
        (np.zeros((4, 4, 3), np.int32), "not int32"),
        (np.zeros((0, 4, 3), np.uint8), "empty"),
        (np.full((4, 4, 3), np.nan), "NaN or infinite"),
        (torch.zeros(4, 4, 3), "shape"),
        (torch.zeros(3, 4, 4, dtype=torch.uint8), "uint8"),
        (torch.full((3, 4, 4), torch.inf), "NaN or infinite"),
        ("photo.jpg", "not str"),
    ],
)
def test_what_is_not_a_photo_is_refused(photo: object, words: str) -> None:
    checkpoint = Checkpoint(PhotoNet(PHOTONAS, (2, 2, 2, 2, 2)))
    stylizer = Stylizer(checkpoint, torch.device("cpu"))
    with pytest.raises(PhotostyleError, match=words):
        stylizer.learn(photo)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"working_size": 0}, "working size"),
        ({"working_size": float("nan"), "mode": "fast"}, "working size"),
        ({"style": "dusk.jpg"}, "what `learn` returns, not str"),
        ({"mask": np.ones((5, 110))}, r"shape \(75, 110\), not \(5, 110\)"),
        ({"mask": np.full((75, 110), np.nan)}, "between 0 and 1"),
    ],
)
def test_what_is_no_option_is_refused(
    stylizer: Stylizer, content: np.ndarray, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(PhotostyleError, match=words):
        stylizer.apply(content, **{"style": stylizer.learn(content), **options})


def test_a_mask_is_for_a_photo_of_its_size(stylizer: Stylizer, content: np.ndarray) -> None:
    with pytest.raises(PhotostyleError, match="mask must be of shape"):
        stylizer.learn(content, np.ones((5, 5)))


def test_a_style_of_another_model_is_refused(content: np.ndarray) -> None:
    ours, theirs = (
        Stylizer(Checkpoint(PhotoNet(PHOTONAS, widths)), torch.device("cpu"))
        for widths in [(2, 2, 2, 2, 2), (3, 2, 2, 2, 2)]
    )
    with pytest.raises(PhotostyleError, match="learned with other weights"):
        ours.apply(content, theirs.learn(content))
    same_widths = Stylizer(Checkpoint(PhotoNet(PHOTONAS, (2, 2, 2, 2, 2))), torch.device("cpu"))
    with pytest.raises(PhotostyleError, match="learned with other weights"):
        ours.apply(content, same_widths.learn(content))
    timeline = StyleTimeline([StyleCue(0, theirs.learn(content))])
    with pytest.raises(PhotostyleError, match="learned with other weights"):
        VideoStylizer(ours, timeline)


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "mps", ""])
def test_other_devices_are_refused(name: str) -> None:
    with pytest.raises(PhotostyleError, match="device"):
        choose_device(name)


@pytest.mark.parametrize("limit", [600, 100])
def test_tiles_get_smaller_if_gpu_memory_runs_out(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    """A device with memory for at most ``limit`` rows and columns: smaller tiles, or an error."""
    from photostyle.transfer import stylizer as engine
    from photostyle.transfer import tiling
    from photostyle.transfer.pipeline import compose

    sides: list[int] = []

    def limited(network: PhotoNet, pixels: torch.Tensor, transfer: StyleTransfer) -> torch.Tensor:
        sides.append(max(pixels.shape[-2:]))
        if sides[-1] > limit:
            raise torch.OutOfMemoryError
        return compose(network, pixels, transfer)

    stylizer = photostyle.load("photonas", device="cpu")
    photo = np.random.default_rng(0).random((64, 900, 3)).astype(np.float32)
    style = stylizer.learn(photo[:, :99])
    expected = stylizer.apply(photo, style, mode="exact")
    for module in (engine, tiling):
        monkeypatch.setattr(module, "compose", limited)
    if limit < 200:
        with pytest.raises(PhotostyleError, match="--device cpu"):
            stylizer.apply(photo, style, mode="exact")
        return
    found = stylizer.apply(photo, style, mode="exact")
    assert sides[0] == 900
    assert sides[-1] <= limit
    np.testing.assert_allclose(found, expected, atol=1 / 255)


def test_results_take_part_in_training(stylizer: Stylizer) -> None:
    """Neither styles nor results are inference tensors, which autograd refuses."""
    photo = torch.rand(3, 40, 50)
    result = stylizer.apply(photo, stylizer.learn(torch.rand(3, 40, 50)))
    result.mul_(0.5)
    factor = torch.ones(1, requires_grad=True)
    (factor * result).sum().backward()
    assert factor.grad == result.sum()


@pytest.mark.parametrize("mode", ["I;16", "I", "F"])
def test_pil_images_that_pillow_would_clip_are_refused(stylizer: Stylizer, mode: str) -> None:
    with pytest.raises(PhotostyleError, match="use an array"):
        stylizer.learn(Image.new(mode, (8, 8)))


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.ones((9, 8), np.uint8), "shape"),
        (np.ones((8, 9, 1), np.uint8), "shape"),
        (np.full((8, 9), 2.0), "between 0 and 1"),
        (np.full((8, 9), -0.5), "between 0 and 1"),
        (np.full((8, 9), np.nan), "between 0 and 1"),
    ],
)
def test_invalid_masks_are_refused(stylizer: Stylizer, mask: object, words: str) -> None:
    photo = np.full((8, 9, 3), 0.5)
    with pytest.raises(PhotostyleError, match=words):
        stylizer.learn(photo, mask)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_what_a_mask_excludes_does_not_count(
    stylizer: Stylizer, content: np.ndarray, warm: np.ndarray, mode: Any
) -> None:
    """In neither photo: other pixels there change nothing where the network does not reach."""
    spoiled_style, style_mask = warm.copy(), np.zeros(warm.shape[:2], np.uint8)
    style_mask[:32] = 255
    mean = warm[:32].mean((0, 1)).astype(np.uint8)
    warm = warm.copy()
    warm[32:], spoiled_style[32:] = mean, (0, 255, 0)
    photo = np.tile(content, (1, 4, 1))
    spoiled, mask = photo.copy(), np.zeros(photo.shape[:2], np.uint8)
    mask[:, :200] = 255
    spoiled[:, 420:] = (0, 1, 0)
    whole, unmasked = (
        stylizer.apply(p, stylizer.learn(s, style_mask), mode=mode, mask=mask, working_size=440)
        for p, s in ((photo, warm), (spoiled, spoiled_style))
    )
    counted = stylizer.apply(spoiled, stylizer.learn(spoiled_style), mode=mode, working_size=440)
    same, other = (np.abs(r - whole)[:, :100].mean() for r in (unmasked, counted))
    assert same < 0.1 * other


EVEN = {"black": (0, 0, 0), "white": (255, 255, 255), "grey": (128, 128, 128), "red": (200, 30, 30)}


@pytest.mark.parametrize("match", MATCHES)
@pytest.mark.parametrize("color", EVEN.values(), ids=EVEN.keys())
def test_an_even_photo_stays_as_it_is(
    photonas: Stylizer, warm: np.ndarray, color: tuple[int, int, int], match: Match
) -> None:
    photo = np.full((48, 64, 3), color, np.uint8)
    result = photonas.apply(photo.copy(), photonas.learn(warm), match=match)
    np.testing.assert_array_equal(result, photo)


@pytest.mark.parametrize("deviation", [0.5, 1, 2, 4, 8, 16])
def test_noise_does_not_become_a_picture(
    photonas: Stylizer, warm: np.ndarray, deviation: float
) -> None:
    """The gain is bounded, and 1 where there is next to no contrast."""
    noise = np.random.default_rng(0).normal(60, deviation, (48, 64, 3))
    photo = (noise / 255).astype(np.float32)
    result = photonas.apply(photo, photonas.learn(warm))
    gain = result.std((0, 1)) / photo.std((0, 1))
    assert (gain < (1.05 if deviation <= 2 else 6)).all()

"""Masks of all kinds: label maps, and weights."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import cms_profile, png_encode
from PIL import Image

from photostyle import PhotostyleError
from photostyle.photo.label_map import (
    read_label_maps,
    read_weights,
    resized_labels,
    resized_weights,
)

BASIC = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "cyan": (0, 255, 255),
    "magenta": (255, 0, 255),
    "grey": (128, 128, 128),
}
ADE20K = ["#787878", "#b47878", "#06e6e6", "#503232", "#04c803", "#cc05ff", "#e005ff", "#ebff07"]

Labels = npt.NDArray[np.uint8]


def cells(count: int, width: int = 320, height: int = 240, seed: int = 0) -> Labels:
    """Labels (H, W) of ``count`` regions, each of two Voronoi cells."""
    seeds = np.random.default_rng(seed).uniform(0, 1, (2 * count, 2)) * [height, width]
    y, x = np.mgrid[:height, :width]
    nearest = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(-1)
    return (nearest % count).astype(np.uint8)


def painted(labels: Labels, colors: list[Any]) -> Image.Image:
    return Image.fromarray(np.array(colors, np.uint8)[labels])


def stored(image: Image.Image, format: str = "PNG", **options: Any) -> BytesIO:
    stream = BytesIO()
    image.save(stream, format, **options)
    stream.seek(0)
    return stream


def rgb(name: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(name[1:]))


def agreement(found: Labels, names: list[str], labels: Labels, expected: list[str]) -> float:
    return float((np.array(names)[found] == np.array(expected)[labels]).mean())


@pytest.mark.parametrize(
    "options",
    [
        {"format": "PNG"},
        {"format": "JPEG", "quality": 95},
        {"format": "JPEG", "quality": 75},
        {"format": "JPEG", "quality": 30},
        {"format": "WEBP", "quality": 60},
    ],
)
def test_basic_colors_survive_compression(options: dict[str, Any]) -> None:
    labels, others = cells(9), cells(5, 200, 300, seed=1)
    colors = list(BASIC.values())
    maps = read_label_maps(
        stored(painted(labels, colors), **options), stored(painted(others, colors), **options)
    )
    assert sorted(maps.names) == sorted(BASIC)
    assert maps.content.shape == labels.shape
    assert maps.style.shape == others.shape
    for found, true in ((maps.content, labels), (maps.style, others)):
        assert agreement(found, maps.names, true, list(BASIC)) > 0.97


@pytest.mark.parametrize("scale", [0.6, 1.7, 4])
@pytest.mark.parametrize("filter", [Image.Resampling.BILINEAR, Image.Resampling.LANCZOS])
def test_blended_edges_are_no_labels(scale: float, filter: Image.Resampling) -> None:
    labels = cells(len(ADE20K))
    image = painted(labels, [rgb(name) for name in ADE20K])
    size = round(image.width * scale), round(image.height * scale)
    resized = stored(image.resize(size, filter))
    maps = read_label_maps(resized, stored(image))
    assert len(maps.names) == len(ADE20K)
    assert agreement(maps.style, maps.names, labels, maps.names) < 1  # in another order
    for label in range(len(ADE20K)):
        inside = maps.style[labels == label]
        assert len(set(inside.tolist())) == 1
        same = resized_labels(labels, *maps.content.shape) == label
        assert (maps.content[same] == inside[0]).mean() > 0.95


def test_every_small_flat_region_and_no_soft_edge() -> None:
    """0.1 % of a map, and an edge that is blended over 40 pixels."""
    ramp = np.clip((np.arange(400) - 180) / 40, 0, 1) * 255
    pixels = np.repeat(np.repeat(ramp[None], 300, 0)[..., None], 3, 2).round().astype(np.uint8)
    pixels[20:31, 20:31] = (200, 90, 40)
    maps = read_label_maps(stored(Image.fromarray(pixels)), stored(Image.fromarray(pixels)))
    assert sorted(maps.names) == ["#c85a28", "black", "white"]
    assert (maps.content[20:31, 20:31] == maps.names.index("#c85a28")).all()
    assert (maps.content[40:, :180] == maps.names.index("black")).all()
    assert (maps.content[:, 221:] == maps.names.index("white")).all()


def test_noisy_colors_are_one_label() -> None:
    labels = cells(4)
    clean = np.asarray(painted(labels, [(20, 20, 20), (240, 10, 10), (90, 200, 90), (90, 90, 200)]))
    noise = np.random.default_rng(0).integers(-4, 5, clean.shape)
    noisy = stored(Image.fromarray((clean + noise).astype(np.uint8)))
    maps = read_label_maps(noisy, stored(Image.fromarray(clean)))
    assert len(maps.names) == 4
    np.testing.assert_array_equal(maps.content, maps.style)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "tiff16"])
def test_numbers_as_grey_values(mode: str) -> None:
    labels, others = cells(5), cells(3, seed=2)

    def file(values: Labels) -> BytesIO:
        if mode == "tiff16":
            stream = BytesIO()
            tifffile.imwrite(stream, values.astype(np.uint16))
            return BytesIO(stream.getvalue())
        if mode == "I;16":
            return BytesIO(png_encode(values.astype(np.uint16)))
        image = Image.fromarray(values)
        if mode == "P":
            image = image.convert("P")
        return stored(image)

    maps = read_label_maps(file(labels), stored(Image.fromarray(others)))
    assert maps.names == ["black", "grey 1", "grey 2", "grey 3", "grey 4"]
    np.testing.assert_array_equal(maps.content, labels)
    np.testing.assert_array_equal(maps.style, others)


def test_numbers_of_16_bits() -> None:
    labels = cells(3)
    values = np.array([7, 26001, 26002], np.uint16)[labels]
    maps = read_label_maps(BytesIO(png_encode(values)), BytesIO(png_encode(values)))
    assert maps.names == ["grey 7", "grey 26001", "grey 26002"]
    np.testing.assert_array_equal(maps.content, labels)


def test_the_kind_of_file_does_not_matter() -> None:
    labels = cells(2)
    grey = Image.fromarray(labels * 255)
    alpha = Image.fromarray(np.random.default_rng(0).integers(0, 256, labels.shape, np.uint8))
    with_alpha = grey.convert("RGB")
    with_alpha.putalpha(alpha)
    profile = cms_profile("gray", gamma=1.0, whitepoint=[0.3127, 0.3290])
    kinds = [
        stored(grey),
        stored(grey.convert("1")),
        stored(grey.convert("RGB")),
        stored(grey.convert("RGB").quantize(2)),
        stored(with_alpha),
        stored(grey, "GIF"),
        stored(grey, "TIFF", icc_profile=profile),
        BytesIO(png_encode(labels.astype(np.uint16) * 65535)),
    ]
    for kind in kinds:
        maps = read_label_maps(kind, stored(grey))
        assert maps.names == ["black", "white"]
        np.testing.assert_array_equal(maps.content, labels)
        np.testing.assert_array_equal(maps.style, labels)


def test_a_profile_does_not_merge_numbers() -> None:
    labels = cells(4)
    profile = cms_profile("gray", gamma=4.0, whitepoint=[0.3127, 0.3290])
    file = stored(Image.fromarray(labels), icc_profile=profile)
    assert len(read_label_maps(file, stored(Image.fromarray(labels))).names) == 4


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=30, unique=True),
    st.integers(0, 9),
)
def test_clean_maps_are_taken_exactly(colors: list[tuple[int, int, int]], seed: int) -> None:
    """Blocks of any colours, however similar, in two maps of different sizes."""
    rng = np.random.default_rng(seed)
    sizes = ((6, 9), (4, 7))
    labels = [
        rng.integers(len(colors), size=size, dtype=np.uint8).repeat(4, axis=0).repeat(5, axis=1)
        for size in sizes
    ]
    maps = read_label_maps(*(stored(painted(some, colors)) for some in labels))
    used = {colors[label] for some in labels for label in np.unique(some)}
    assert len(maps.names) == len(set(maps.names)) == len(used)
    number = dict(zip(sorted(used), range(len(used)), strict=True))
    table = np.array([number.get(color, 0) for color in colors])
    np.testing.assert_array_equal(maps.content, table[labels[0]])
    np.testing.assert_array_equal(maps.style, table[labels[1]])


def test_files_that_are_no_label_maps(tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    painted(cells(3), list(BASIC.values())).save(good)
    y, x = np.mgrid[0:255:240j, 0:255:320j]
    photo = tmp_path / "photo.png"
    Image.fromarray(np.stack([x, y, (x + y) / 2], -1).astype(np.uint8)).save(photo)
    with pytest.raises(PhotostyleError, match=r"photo\.png' is no label map"):
        read_label_maps(good, photo)
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:200])
    with pytest.raises(PhotostyleError, match=r"cut\.png"):
        read_label_maps(tmp_path / "cut.png", good)
    with pytest.raises(PhotostyleError, match=r"none\.png"):
        read_label_maps(good, tmp_path / "none.png")
    (tmp_path / "text.png").write_text("no mask")
    with pytest.raises(PhotostyleError, match=r"text\.png"):
        read_weights(tmp_path / "text.png")
    many = np.arange(300, dtype=np.uint16).reshape(15, 20).repeat(3, 0).repeat(3, 1)
    with pytest.raises(PhotostyleError, match="300 regions"):
        read_label_maps(BytesIO(png_encode(many)), BytesIO(png_encode(many)))


def test_resized_labels_are_the_nearest() -> None:
    labels = np.array([[0, 1], [2, 3]], np.uint8)
    np.testing.assert_array_equal(
        resized_labels(labels, 4, 6), labels.repeat(2, axis=0).repeat(3, axis=1)
    )
    large = cells(6)
    np.testing.assert_array_equal(resized_labels(large, *large.shape), large)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_weights_of_any_mode(mode: str) -> None:
    values = np.zeros((4, 8), np.uint8)
    values[:, 4:] = 255
    image = Image.fromarray(values)
    file = (
        BytesIO(png_encode(values.astype(np.uint16) * 257))
        if mode == "I;16"
        else stored(image.convert(mode))
    )
    weights = read_weights(file)
    assert weights.dtype == np.float32
    np.testing.assert_allclose(weights, values / 255, atol=1e-6)


def test_weights_are_grey_and_opacity() -> None:
    image = Image.new("RGBA", (3, 2), (255, 255, 255, 255))
    image.putpixel((0, 0), (128, 128, 128, 255))
    image.putpixel((1, 0), (255, 255, 255, 0))
    image.putpixel((2, 0), (255, 255, 255, 51))
    weights = read_weights(stored(image))
    np.testing.assert_allclose(weights, np.array([[128 / 255, 0, 0.2], [1, 1, 1]]), atol=1e-6)


def test_resized_weights_are_averaged_and_interpolated() -> None:
    weights = np.zeros((40, 60), np.float32)
    weights[:, 30:] = 1
    for size in ((10, 15), (80, 120), (40, 60)):
        resized = resized_weights(weights, *size)
        assert resized.shape == size
        assert resized.dtype == np.float32
        assert resized.min() == 0
        assert resized.max() == 1
        assert resized.mean() == pytest.approx(0.5, abs=1e-3)
        assert (np.diff(resized, axis=1) >= 0).all()

"""Masks in files: label maps, in which each colour is a region, and weights between 0 and 1."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from photostyle.errors import PhotostyleError
from photostyle.photo.color import Pixels
from photostyle.photo.decode import read
from photostyle.photo.photo import strips

Source = str | Path | BinaryIO
Labels = npt.NDArray[np.uint8]
Weights = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Colors = npt.NDArray[np.float64]

MAX_LABELS = 256
"""Maximum number of regions in a pair of label maps."""

_BASIC_COLORS = {
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

# Colours are RGB in 0..255, distances Euclidean.
_SPREAD = 10.0
"""Colours closer than this to a label belong to it; compression moves flat colours less."""
_NEARBY = 48.0
"""Distance within which similar colours surround a label if edges are soft or colours noisy."""
_FLAT, _SMOOTH = 12, 36
"""Maximum difference per channel within 3 x 3 pixels of a flat area and of a soft edge."""
_MIN_SHARE = 0.0004
"""Minimum share of a map that the flat areas of a label cover."""
_MIN_FLAT = 0.25
"""Minimum share of flat pixels among the pixels of a label."""
_MIN_PEAK = 0.5
"""Minimum share of a label among the pixels within _NEARBY that are not on sharp edges."""
_MIN_PURE = 0.9
"""Minimum share of a single colour in a label that is within _NEARBY of another."""
_MIN_LABELED = 0.5
"""Minimum share of a map's pixels within _NEARBY of a label."""
_WEIGHTS_OF_RGB = np.array([0.2126, 0.7152, 0.0722], np.float32)


class LabelMaps(NamedTuple):
    """The label maps of a content photo and a style photo, with common labels.

    content, style  (H, W), uint8: the number of each pixel's label
    names           the name of each label: of a basic colour, "grey 17" or "#rrggbb"
    """

    content: Labels
    style: Labels
    names: list[str]


def read_label_maps(content: Source, style: Source) -> LabelMaps:
    """Read the label maps of a content and a style photo; the same colour is the same region.

    The files may be RGB, grey, palette or 1-bit images of any size and any format that `read`
    reads; alpha and profiles are ignored. If both are free of blended edges and compression noise,
    every colour is a label, even grey values that differ by 1. Otherwise labels are the colours of
    flat areas in either map, without colours that only occur where two regions blend. All other
    pixels get the label of the nearest colour.

    Raises PhotostyleError if a file cannot be read or is no label map, or if there are more than
    MAX_LABELS labels.
    """
    sources = (content, style)
    pixels = [read(source, still=True, color_managed=False).pixels for source in sources]
    maps = [_Map.of(values) for values in _with_common_depth(pixels)]
    colors = _exact_labels(maps)
    if not len(colors):
        if maps[0].pixels.dtype != np.uint8:
            maps = [_Map.of(_to_8_bits(of_map.pixels)) for of_map in maps]
        colors = _clustered_labels(maps, sources)
    if len(colors) > MAX_LABELS:
        raise PhotostyleError(
            f"{_name(content)} and {_name(style)} have {len(colors)} regions; a pair of label maps "
            f"can have at most {MAX_LABELS}."
        )
    depth = maps[0].pixels.dtype
    names = [_color_name(color, depth) for color in colors.astype(int).tolist()]
    content_labels, style_labels = (of_map.snapped_to(colors) for of_map in maps)
    return LabelMaps(content_labels, style_labels, names)


def resized_labels(labels: Labels, height: int, width: int) -> Labels:
    """Labels (H, W) resized to (height, width): each pixel gets the label at its centre."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip((height, width), labels.shape, strict=True)
    )
    return labels[rows[:, None], columns]


def read_weights(source: Source) -> Weights:
    """Read a mask as weights (H, W), float32: 0 where it is black or transparent, 1 where white.

    The file may be an image of any mode, size and format that `read` reads; profiles are ignored.
    Colours count by their BT.709 luma. Raises PhotostyleError if the file cannot be read.
    """
    mask = read(source, still=True, color_managed=False)
    white = np.float32(np.iinfo(mask.pixels.dtype).max)
    weights: Weights = np.empty(mask.pixels.shape[:2], np.float32)
    for rows in strips(mask.pixels):
        weights[rows] = mask.pixels[rows] @ _WEIGHTS_OF_RGB / white
        if mask.alpha is not None:
            weights[rows] *= mask.alpha[rows] / white
    return weights.clip(0, 1, out=weights)


def resized_weights(weights: Weights, height: int, width: int) -> Weights:
    """Weights (H, W) resized to (height, width), bilinearly or, when reduced, by averaging."""
    image = Image.fromarray(weights).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(image, np.float32).clip(0, 1)


def _with_common_depth(maps: Sequence[Pixels]) -> list[Pixels]:
    """Maps of the same depth; numbers up to 255 in 16-bit files are labels like in 8-bit files."""
    deep = [pixels for pixels in maps if pixels.dtype == np.uint16]
    if deep and max(int(pixels.max()) for pixels in deep) <= 255:
        return [pixels.astype(np.uint8) for pixels in maps]
    return list(maps) if len(deep) in (0, len(maps)) else [_to_8_bits(pixels) for pixels in maps]


def _to_8_bits(pixels: Pixels) -> Pixels:
    if pixels.dtype == np.uint8:
        return pixels
    result: Pixels = ((pixels.astype(np.uint32) + 128) // 257).astype(np.uint8)
    return result


def _exact_labels(maps: Sequence[_Map]) -> Colors:
    """The colours (n, 3) of two maps; none if edges are blended or colours are noisy.

    Blending and compression make more colours than there are regions, and most of these colours
    nowhere fill 3 x 3 pixels. A few such colours in a clean map belong to specks.
    """
    found = []
    for of_map in maps:
        flat = of_map.palette[of_map.shares(_is_even(of_map.pixels, 0)) > 0]
        if len(of_map.palette) > 2 * len(flat):
            return np.empty((0, 3))
        found.append(flat)
    return np.unique(np.concatenate(found), axis=0)


def _clustered_labels(maps: Sequence[_Map], sources: Sequence[Source]) -> Colors:
    """The colours (n, 3) of flat areas in either of two 8-bit maps."""
    histograms = [_Histogram.of(of_map) for of_map in maps]
    labels = np.empty((0, 3))
    for histogram in histograms:
        labels = _with_peaks(labels, histogram)
    for histogram, source in zip(histograms, sources, strict=True):
        near = _nearest(histogram.colors, labels)[1] <= _NEARBY
        if histogram.shares[near].sum() < _MIN_LABELED:
            raise PhotostyleError(
                f"{_name(source)} is no label map; fill each region with one colour of its own."
            )
    return labels


class _Histogram(NamedTuple):
    """The distinct colours (n, 3) of a map, and the share of its pixels (n,) that each covers.

    shares  of all pixels
    flat    of pixels in flat areas
    smooth  of pixels in flat areas and on soft edges
    """

    colors: Colors
    shares: Colors
    flat: Colors
    smooth: Colors

    @classmethod
    def of(cls, of_map: _Map) -> _Histogram:
        everywhere = np.ones(of_map.pixels.shape[:2], bool)
        flat, smooth = (_is_even(of_map.pixels, difference) for difference in (_FLAT, _SMOOTH))
        return cls(of_map.palette, *(of_map.shares(mask) for mask in (everywhere, flat, smooth)))


def _with_peaks(labels: Colors, histogram: _Histogram) -> Colors:
    """The labels and the peaks of a map's colours that are no blends, the largest first."""
    colors, flat = histogram.colors, histogram.flat
    free = _nearest(colors, labels)[1] > _SPREAD
    untried = free & (flat > 0)
    while flat[untried].sum() >= _MIN_SHARE and len(labels) <= MAX_LABELS:
        largest = np.argmax(flat * untried)
        peak = colors[largest]
        for _ in range(2):  # towards the middle of colours that vary
            inside = untried & (_distances(colors, peak) <= _SPREAD)
            if inside.any():
                peak = np.average(colors[inside], axis=0, weights=flat[inside])
        distances = _distances(colors, peak)
        inside = free & (distances <= _SPREAD)
        share = flat[inside].sum()
        is_pure = flat[largest] >= _MIN_PURE * share
        is_apart = not (_distances(labels, peak) <= _NEARBY).any()
        if (
            share >= _MIN_SHARE
            and share >= _MIN_FLAT * histogram.shares[inside].sum()
            and share >= _MIN_PEAK * histogram.smooth[free & (distances <= _NEARBY)].sum()
            and (is_pure or is_apart)
        ):
            labels = np.vstack([labels, _basic_color(peak)])
            free &= ~inside
        untried &= ~inside
        untried[largest] = False
    return labels


class _Map(NamedTuple):
    """A map, and its pixels as runs of one colour, of which a label map has few.

    pixels   (H, W, 3)
    palette  (n, 3): the distinct colours
    starts   (m,): the index of the first pixel of each run
    colors   (m,): the index of its colour
    """

    pixels: Pixels
    palette: Colors
    starts: npt.NDArray[np.intp]
    colors: npt.NDArray[np.intp]

    @classmethod
    def of(cls, pixels: Pixels) -> _Map:
        image = np.empty(pixels.shape[:2], np.uint64)
        for rows in strips(pixels):
            red, green, blue = np.moveaxis(pixels[rows].astype(np.uint64), -1, 0)
            image[rows] = red << 32 | green << 16 | blue
        keys = image.ravel()
        starts = np.flatnonzero(np.r_[True, keys[1:] != keys[:-1]])
        distinct, colors = np.unique(keys[starts], return_inverse=True)
        palette = np.stack([distinct >> shift & 0xFFFF for shift in (32, 16, 0)], -1)
        return cls(pixels, palette.astype(np.float64), starts, colors.ravel())

    def shares(self, mask: Mask) -> Colors:
        """The share (n,) of the map that each colour covers within a mask (H, W)."""
        counts = np.add.reduceat(mask.ravel(), self.starts, dtype=np.int64)
        return np.bincount(self.colors, counts, len(self.palette)) / mask.size

    def snapped_to(self, labels: Colors) -> Labels:
        """The number of the nearest label for each pixel (H, W)."""
        height, width, _ = self.pixels.shape
        numbers = _nearest(self.palette, labels)[0].astype(np.uint8)[self.colors]
        lengths = np.diff(self.starts, append=height * width)
        return np.repeat(numbers, lengths).reshape(height, width)


def _is_even(pixels: Pixels, difference: int) -> Mask:
    """Where the 3 x 3 pixels around a pixel differ by at most ``difference`` per channel (H, W)."""
    even = np.ones(pixels.shape[:2], bool)
    for channel in np.moveaxis(pixels, -1, 0):
        low = high = np.pad(channel, 1, mode="edge")
        for axis in (0, 1):
            low, high = _of_three(np.minimum, low, axis), _of_three(np.maximum, high, axis)
        even &= high - low <= difference
    return even


def _of_three(function: np.ufunc, values: Pixels, axis: int) -> Pixels:
    """The minimum or maximum of each three neighbours along an axis, which loses two values."""
    values = np.moveaxis(values, axis, 0)
    result: Pixels = function(function(values[:-2], values[1:-1]), values[2:])
    return np.moveaxis(result, 0, axis)


def _nearest(colors: Colors, labels: Colors) -> tuple[npt.NDArray[np.intp], Colors]:
    """For each colour (n, 3) the number of the nearest label, and its distance."""
    number = np.zeros(len(colors), np.intp)
    nearest = np.full(len(colors), np.inf)
    for label, color in enumerate(labels):
        distance = _distances(colors, color)
        closer = distance < nearest
        number[closer], nearest[closer] = label, distance[closer]
    return number, nearest


def _distances(colors: Colors, color: Colors) -> Colors:
    offsets = colors - color
    distances: Colors = np.sqrt(np.einsum("ij,ij->i", offsets, offsets))
    return distances


def _basic_color(color: Colors) -> Colors:
    """The basic colour within _SPREAD of a colour, or else the colour, rounded."""
    basic = np.array(list(_BASIC_COLORS.values()), np.float64)
    distances = _distances(basic, color)
    return basic[distances.argmin()] if distances.min() <= _SPREAD else color.round()


def _color_name(color: list[int], depth: npt.DTypeLike) -> str:
    for name, basic in _BASIC_COLORS.items():
        if depth == np.uint8 and color == list(basic):
            return name
    if len(set(color)) == 1:
        return f"grey {color[0]}"
    digits = 2 * np.dtype(depth).itemsize
    return "#" + "".join(f"{value:0{digits}x}" for value in color)


def _name(source: Source) -> str:
    name = source if isinstance(source, (str, Path)) else getattr(source, "name", None)
    return "The mask" if name is None else repr(str(name))

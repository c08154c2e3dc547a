"""HDR to SDR: tone mapping of PQ and HLG.

Sources: ITU-R BT.2100-2 (PQ, HLG), BT.2408 (203 cd/m2 is the white of SDR), BT.2390-10, 5.4.1 (the
curve that compresses highlights).
"""

from __future__ import annotations

from collections.abc import Callable
from math import isqrt

import numpy as np
import numpy.typing as npt

from photostyle.bt2100 import HLG_PEAK, WHITE, hlg_to_scene, light_to_pq, pq_to_light
from photostyle.display import encoded, xyz_matrix
from photostyle.photo.color import Pixels
from photostyle.photo.named_color import DISPLAY_P3, HLG, PQ, ColorSpace
from photostyle.photo.photo import strips
from photostyle.photo.raster import Raster

Floats = npt.NDArray[np.floating]

_SAMPLED_PIXELS = 1 << 20
_NEGLIGIBLE = 0.001  # share of pixels that may become brighter than white


def tone_mapped(raster: Raster, space: ColorSpace) -> Raster:
    """A raster of grey or RGB in a colour space of HDR, converted to Display P3 with its profile.

    Luminances up to about half of `WHITE` are kept. From there, a curve compresses those up to the
    brightness that 0.1 % of the pixels exceed, if it is above WHITE. It is applied to the largest
    channel, and the others keep their ratio to it. Alpha and dtype stay.
    """
    to_light = _light(space, raster.dtype)
    step = 1 + isqrt(raster.shape[0] * raster.shape[1] // _SAMPLED_PIXELS)
    brightness = [
        to_light(_rgb(raster.rows(rows)[::step, ::step], raster)).max(axis=-1).ravel()
        for rows in _parts(raster)
    ]
    peak = float(np.quantile(np.concatenate(brightness), 1 - _NEGLIGIBLE))
    compress, top = _compression(peak), np.iinfo(raster.dtype).max

    def mapped(part: slice) -> Pixels:
        values = raster.rows(part)
        light = to_light(_rgb(values, raster))
        largest = light.max(axis=-1, keepdims=True)
        light *= compress(largest) / np.maximum(largest, 1e-9)
        result = (encoded(light.clip(0, 1)) * top).round().astype(raster.dtype)
        return np.dstack([result, values[..., -1]]) if raster.alpha else result

    return Raster(mapped, raster.shape, raster.dtype, "RGB ", raster.alpha, DISPLAY_P3.profile())


def _light(space: ColorSpace, dtype: npt.DTypeLike) -> Callable[[Pixels], Floats]:
    """A function from RGB values to linear Display P3 of at least 0, where WHITE is 1."""
    levels = np.linspace(0, 1, np.iinfo(dtype).max + 1)
    to_xyz = xyz_matrix(space.primaries)
    to_p3 = (np.linalg.inv(xyz_matrix(DISPLAY_P3.primaries)) @ to_xyz).T.astype(np.float32)
    luminance = to_xyz[1].astype(np.float32)
    curve = pq_to_light(levels) / WHITE if space.transfer == PQ else hlg_to_scene(levels)
    table = curve.astype(np.float32)

    def to_light(values: Pixels) -> Floats:
        light = table[values]
        if space.transfer == HLG:
            scene = np.maximum(light @ luminance, 1e-9)[..., None]
            light = light * (scene**0.2 * np.float32(HLG_PEAK / WHITE))
        return np.asarray(np.maximum(light @ to_p3, 0))

    return to_light


def _compression(peak: float) -> Callable[[Floats], Floats]:
    """The curve from 0..peak to 0..1; all light is relative to WHITE."""
    if peak <= 1:
        return lambda light: light
    source = light_to_pq(np.array(peak * WHITE).clip(0, 10_000))
    white = light_to_pq(np.array(WHITE)) / source
    knee = 1.5 * white - 0.5
    # Logarithmic steps, of which linear interpolation is exact enough.
    steps = np.geomspace(1e-3, peak, 4096)
    given = light_to_pq((steps * WHITE).clip(0, 10_000)) / source
    t = ((given - knee) / (1 - knee)).clip(0, 1)
    bent = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (3 * t**2 - 2 * t**3) * white
    )
    mapped = np.where(given < knee, steps, pq_to_light(bent * source) / WHITE)
    return lambda light: np.where(
        light < steps[0], light, np.interp(light, steps, mapped).astype(np.float32)
    )


def _rgb(values: Pixels, raster: Raster) -> Pixels:
    colors = values[..., : -1 if raster.alpha else None]
    return colors.repeat(3, axis=-1) if raster.space == "GRAY" else colors


def _parts(raster: Raster) -> list[slice]:
    height, width = raster.shape
    return strips(np.broadcast_to(np.uint8(0), (height, width, 3)))

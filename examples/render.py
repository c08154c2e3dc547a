"""Renders the example pair: a mountain lake by day and a seashore at dusk.

    python examples/render.py FOLDER        writes FOLDER/content.jpg and FOLDER/style.jpg

The project ships no photos by others, so both scenes are computed from seeded noise. The terrain is
a height field, into which rays are cast column by column; light is linear until `develop`. Lengths
are in metres; the camera looks along z, and x points to the right.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

Array = npt.NDArray[Any]
Terrain = Callable[[Array, Array], Array]  # height at x and z

WIDTH, HEIGHT = 1200, 800
SCALE = 1.25  # render larger, then reduce: smooth edges
W, H = round(WIDTH * SCALE), round(HEIGHT * SCALE)
FOCAL = 0.85 * W
X = (np.arange(W, dtype=np.float32) - W / 2) / FOCAL  # x / z of each column


def rgb(*values: float) -> Array:
    return np.array(values, np.float32)


def mix(a: Any, b: Any, weight: Array) -> Array:
    weight = weight[..., None]
    mixed: Array = a * (1 - weight) + b * weight
    return mixed


def step(low: float, high: float, values: Array) -> Array:
    """Smoothstep: 0 below low, 1 above high, smooth between."""
    t = np.clip((values - low) / (high - low), 0, 1)
    smooth: Array = t * t * (3 - 2 * t)
    return smooth


class Noise:
    """Noise with the spectrum of natural textures, amplitude ~ frequency ** -power.

    It is a function of two coordinates with period 1 in both, and has a standard deviation of 1.
    """

    def __init__(self, seed: int, power: float, ridged: bool = False, size: int = 1024) -> None:
        rng = np.random.default_rng(seed)
        frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)) * size
        frequency[0, 0] = np.inf
        spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * frequency**-power
        grid = np.fft.irfft2(spectrum, (size, size))
        if ridged:  # sharp crests at the zero crossings, in five octaves
            grid /= grid.std()
            crests = np.zeros_like(grid)
            for octave in range(5):
                index = np.arange(size) * 2**octave + 97 * octave
                crests -= 0.5**octave * np.abs(grid[np.ix_(index % size, index % size)]).clip(0, 2)
            grid = crests - crests.mean()
        self.size = size
        self.values = np.pad(grid / grid.std(), (0, 1), "wrap").astype(np.float32).ravel()

    def __call__(self, u: Any, v: Any) -> Array:
        u, v = np.asarray(u, np.float32) * self.size, np.asarray(v, np.float32) * self.size
        i, j = np.floor(u), np.floor(v)
        u, v = u - i, v - j
        index = (i.astype(np.intp) & (self.size - 1)) * (self.size + 1)
        index = index + (j.astype(np.intp) & (self.size - 1))
        first, second = self.values.take(index), self.values.take(index + 1)
        first += v * (second - first)
        index += self.size + 1
        third, fourth = self.values.take(index), self.values.take(index + 1)
        third += v * (fourth - third)
        value: Array = first + u * (third - first)
        return value


def cast(heights: Array, distances: Array, camera: float, horizon: float) -> Array:
    """The distance at which the ray of each pixel hits the terrain, H x W; infinite in the sky.

    heights: of the terrain, by distance (rows) and by column of the picture.
    """
    slopes = np.maximum.accumulate((heights - camera) / distances[:, None], axis=0)
    rays = (horizon - np.arange(H, dtype=np.float32)) / FOCAL
    hit = np.full((H, W), np.inf, np.float32)
    for column in range(W):
        crest = slopes[:, column]
        after = np.searchsorted(crest, rays).clip(1)
        found = after < len(distances)
        after = after[found]
        rise = crest[after] - crest[after - 1]
        part = np.clip((rays[found] - crest[after - 1]) / np.maximum(rise, 1e-9), 0, 1)
        hit[found, column] = distances[after - 1] + part * np.diff(distances)[after - 1]
    return hit


def normals(terrain: Terrain, x: Array, z: Array) -> Array:
    """Unit normals of the terrain, smoothed over a pixel's footprint at that distance."""
    eps = 0.004 * z
    here = terrain(x, z)
    left, back = terrain(x - eps, z), terrain(x, z + eps)
    normal = np.stack([(left - here) / eps, np.ones_like(z), (here - back) / eps], -1)
    unit: Array = normal / np.linalg.norm(normal, axis=-1, keepdims=True)
    return unit


def strokes(lines: Array, widths: Array, colors: Array, blur: float = 0) -> tuple[Array, Array]:
    """Draws lines (n x 2 x 2, pixels) in order; returns their linear colour and their coverage."""
    sheet = Image.new(
        "RGBA", (W, H), (*(colors.mean(0) ** (1 / 2.2) * 255).astype(int).tolist(), 0)
    )
    draw = ImageDraw.Draw(sheet)
    inks = (colors.clip(0, 1) ** (1 / 2.2) * 255).astype(int)
    for line, width, ink in zip(lines, widths, inks, strict=True):
        draw.line([tuple(point) for point in line], (*ink.tolist(), 255), max(1, round(width)))
    if blur:
        sheet = sheet.filter(ImageFilter.GaussianBlur(blur))
    drawn = np.asarray(sheet, np.float32) / 255
    return drawn[..., :3] ** 2.2, drawn[..., 3]


def develop(light: Array, seed: int, grain: float, vignette: float) -> Image.Image:
    """Turns linear light into a photo, with vignette, glow, a tone curve and grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[-1 : 1 : H * 1j, -1 : 1 : W * 1j].astype(np.float32)
    light = light * (1 - vignette * (x**2 + 0.6 * y**2))[..., None]
    bright = Image.fromarray(((light.clip(0, 2) / 2) ** 0.5 * 255).astype(np.uint8))
    glow = np.asarray(bright.filter(ImageFilter.GaussianBlur(18 * SCALE)), np.float32) / 255
    light = 0.93 * light + 0.07 * 2 * glow**2
    toned = (light * (2.51 * light + 0.03)) / (light * (2.43 * light + 0.59) + 0.14)
    image = Image.fromarray((toned.clip(0, 1) ** (1 / 2.2) * 255 + 0.5).astype(np.uint8))
    image = image.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    pixels = np.asarray(image, np.float32)
    speck = rng.standard_normal((HEIGHT, WIDTH, 1)) + 0.4 * rng.standard_normal((HEIGHT, WIDTH, 3))
    return Image.fromarray((pixels + grain * speck).clip(0, 255).astype(np.uint8))


def lake() -> Image.Image:
    """A meadow, a lake, forest and snowy mountains under cumulus clouds, around noon."""
    rng = np.random.default_rng(7)
    camera, horizon = 14.0, 0.45 * H
    sun = rgb(-0.62, 0.62, -0.48)
    sunlight, skylight = rgb(3.1, 2.95, 2.7), rgb(0.42, 0.55, 0.8)
    rough, smooth = Noise(1, 1.15), Noise(2, 2.0)
    ridged = Noise(3, 2.1, ridged=True)

    def massif(x: Array, z: Array) -> Array:
        rise = step(2300, 8200, z)
        height: Array = rise * (560 + 300 * ridged(x / 17000 + 0.37, z / 17000 + 0.15))
        height += rise * 36 * smooth(x / 2100, z / 2100)
        height += step(1250, 3600, z) * (110 + 80 * smooth(x / 9000 + 0.3, z / 9000))
        height += 330 * step(0.16, 0.62, np.abs(x / z + 0.04)) * step(1250, 3800, z)
        return height

    def terrain(x: Array, z: Array) -> Array:
        shore = 1280 + 130 * smooth(x / 2500, 0.3)
        bank = 12.3 - 0.21 * z + (0.3 + z / 70) * smooth(x / 140 + 0.4, z / 140)
        beyond = np.where(z > shore, 4 + (z - shore) * 0.02, -6.0)
        height: Array = np.maximum(bank, beyond + massif(x, z))
        return height

    z = np.geomspace(5, 26000, 1300).astype(np.float32)
    hit = cast(terrain(X * z[:, None], z[:, None]), z, camera, horizon)
    rows = np.arange(H, dtype=np.float32)[:, None]
    rays = np.broadcast_to((horizon - rows) / FOCAL, (H, W))

    light = np.zeros((H, W, 3), np.float32)
    light[rows[:, 0] < horizon] = _day_sky(rays[rows[:, 0] < horizon])
    land = np.isfinite(hit) & (hit > 1100)
    d = hit[land]
    x = np.broadcast_to(X, (H, W))[land] * d
    here = terrain(x, d)
    normal = normals(terrain, x, d)
    shade = np.ones_like(d)
    for reach in np.geomspace(80, 4000, 7):
        over = massif(x + sun[0] * reach, d + sun[2] * reach) - here - sun[1] * reach
        shade *= 1 - 0.75 * step(-0.03, 0.1, over / reach)
    # Cloud shadows.
    shade *= 1 - 0.65 * step(0.1, 0.9, smooth(x / 9000 + 0.6, d / 9000 + 0.1))

    detail = rough(x / 3100, d / 3100) + 0.5 * rough(x / 710 + 0.5, d / 2170)
    canopy = step(-1.2, 2.2, detail + 0.8 * smooth(x / 1900, d / 1900))
    wood = mix(rgb(0.016, 0.034, 0.016), rgb(0.07, 0.088, 0.034), canopy)
    alp = mix(rgb(0.11, 0.13, 0.05), rgb(0.2, 0.19, 0.09), step(-1, 1, detail))
    rock = mix(rgb(0.16, 0.15, 0.14), rgb(0.36, 0.34, 0.31), step(-1.3, 1.3, detail))
    snow = rgb(0.85, 0.88, 0.93)
    steep = 1 - normal[:, 1]
    ground = mix(wood, alp, step(330, 520, here + 90 * detail))
    ground = mix(
        ground, rock, np.maximum(step(470, 720, here + 120 * detail), step(0.3, 0.5, steep))
    )
    ground = mix(ground, snow, step(720, 1000, here + 130 * detail - 900 * (steep - 0.2)))
    direct = (normal @ sun).clip(0) * shade
    ground = ground * (direct[:, None] * sunlight + (0.45 + 0.55 * normal[:, 1:2]) * skylight)
    air = np.exp(-d[:, None] * rgb(3.0e-5, 4.6e-5, 7.4e-5))
    light[land] = ground * air + rgb(0.62, 0.74, 0.92) * (1 - air)

    light = _forest_edge(light, rng, terrain, camera, horizon)
    light = _still_water(light, rays, camera, horizon, rough)
    bank = hit < 100
    d = np.where(bank, hit, 0)
    x = X * d
    bank[bank] = terrain(x[bank], d[bank]) > 0.15 * rough(x[bank] / 97, d[bank] / 97)
    soil = rough(x[bank] / 83, d[bank] / 83)
    light[bank] = mix(rgb(0.05, 0.075, 0.018), rgb(0.17, 0.19, 0.06), step(-1.5, 1.5, soil))
    light = _meadow(light, rng, terrain, camera, horizon, sunlight + skylight)
    return develop(light * 0.66, 11, grain=1.6, vignette=0.16)


def _day_sky(rays: Array) -> Array:
    rough, smooth = Noise(21, 1.55), Noise(22, 2.2)
    up = np.maximum(rays, 0) + 0.012
    clear = mix(rgb(0.72, 0.84, 0.98), rgb(0.13, 0.29, 0.66), step(-0.06, 0.5, up) ** 0.7)
    u, v = X / (up + 0.05) * 0.16, 0.16 / (up + 0.05)

    def density(u: Array, v: Array) -> Array:
        return rough(u, v) + 0.75 * smooth(u / 2.3 + 0.2, v / 2.3 + 0.4)

    here = density(u, v)
    cover = step(0.35, 1.5, here) * step(0.0, 0.09, rays)
    toward_sun = sum(step(0.2, 1.7, density(u - 0.012 * k, v - 0.016 * k)) for k in (1, 2, 3)) / 3
    lit = np.exp(-1.5 * toward_sun * step(0.4, 2.2, here))
    cloud = mix(rgb(0.5, 0.57, 0.68), rgb(1.55, 1.52, 1.47), lit)
    cloud = mix(rgb(0.85, 0.92, 1.0), cloud, step(0.0, 0.22, rays))
    return mix(clear, cloud, 0.95 * cover)


def _forest_edge(
    light: Array, rng: np.random.Generator, terrain: Terrain, camera: float, horizon: float
) -> Array:
    """Draws single spruces in front of the forest on the far shore."""
    count = 2600
    z = np.sort(rng.uniform(1180, 2100, count))[::-1].astype(np.float32)
    x = rng.uniform(-0.62, 0.62, count).astype(np.float32) * z
    base = terrain(x, z)
    keep = (base > 0.5) & (rng.random(count) < 0.9)
    x, z, base = x[keep], z[keep], base[keep]
    tall = rng.uniform(9, 24, len(z))
    column, foot = W / 2 + x / z * FOCAL, horizon - (base - 12 - camera) / z * FOCAL
    size = (tall + 12) / z * FOCAL
    parts = np.linspace(0, 1, 9)
    lines, widths, colors = [], [], []
    for part in parts:
        half = 0.2 * size * (1 - part) * rng.uniform(0.6, 1.25, len(z)) + 0.4
        y = foot - size * part
        droop = 0.25 * half
        lines.append(np.stack([column - half, y + droop, column + half * 0.8, y + droop], -1))
        widths.append(np.full(len(z), 1 + 0.09 * size))
        tone = rng.uniform(0.5, 1.3, (len(z), 1)) * (0.5 + 0.7 * part)
        colors.append(rgb(0.032, 0.06, 0.032) * tone + rgb(0.018, 0.024, 0.034))
    order = np.argsort(np.tile(-z, len(parts)), kind="stable")
    joined = np.concatenate(lines)[order].reshape(-1, 2, 2)
    ink, cover = strokes(joined, np.concatenate(widths)[order], np.concatenate(colors)[order], 0.6)
    return mix(light, ink, cover)


def _still_water(light: Array, rays: Array, camera: float, horizon: float, noise: Noise) -> Array:
    """Reflects the view above the far shore in the lake; breezes roughen it with ripples."""
    shore = round(horizon + camera / 1180 * FOCAL)
    rows = np.arange(shore, H, dtype=np.float32)[:, None]
    z = camera * FOCAL / (rows - horizon)
    x = X * z
    breeze = step(-0.4, 1.4, noise(x / 900, z / 2600 + 0.2))
    ripple = noise(x / 24, z / 40) + 0.6 * noise(x / 6.1 + 0.3, z / 11)
    amount = (0.6 + 9 * breeze) * SCALE
    row = 2 * shore - rows - amount * (1.6 + ripple) * (0.4 + 120 / (z + 60))
    column = np.arange(W) + 0.25 * amount * noise(x / 17 + 0.1, z / 31)
    i, j = row.clip(0, shore - 1).astype(int), column.clip(0, W - 1).astype(int)
    mirrored = light[i, j]
    cosine = (-rays[shore:]) / np.sqrt(1 + rays[shore:] ** 2)
    fresnel = 0.03 + 0.97 * (1 - cosine) ** 5
    deep = mix(rgb(0.012, 0.075, 0.085), rgb(0.03, 0.13, 0.12), step(400, 60, z + 0 * x))
    water = mix(deep, mirrored, (0.94 * fresnel).clip(0, 1) * (1 - 0.12 * breeze))
    result = light.copy()
    result[shore:] = water
    return result


def _meadow(
    light: Array,
    rng: np.random.Generator,
    terrain: Terrain,
    camera: float,
    horizon: float,
    sunlight: Array,
) -> Array:
    """Draws grass blade by blade, from far to near, and flowers."""
    count = 52000
    z = (1 / rng.uniform(1 / 62, 1 / 6.0, count)).astype(np.float32)
    z = np.sort(z)[::-1]
    x = rng.uniform(-0.62, 0.62, count).astype(np.float32) * z
    patch, field = Noise(31, 1.4), Noise(32, 2.0)
    base = terrain(x, z)
    x, z, base = x[base > 0], z[base > 0], base[base > 0]
    count = len(z)
    tall = (0.22 + 0.1 * field(x / 50, z / 50)).clip(0.08, 0.6) * rng.uniform(0.5, 1.5, count)
    lean = (0.25 * rng.standard_normal(count) + 0.22) * tall
    column, foot = W / 2 + x / z * FOCAL, horizon - (base - camera) / z * FOCAL
    top = horizon - (base + tall - camera) / z * FOCAL
    tip = W / 2 + (x + lean) / z * FOCAL
    middle, bend = column + 0.3 * (tip - column), foot + 0.6 * (top - foot)
    lower = np.stack([column, foot + 3, middle, bend], -1)
    upper = np.stack([middle, bend, tip, top], -1)
    hue = step(-1.4, 1.6, patch(x / 25, z / 25) + 0.5 * rng.standard_normal(count))
    green = mix(rgb(0.06, 0.115, 0.018), rgb(0.235, 0.225, 0.06), hue)
    green = green * rng.uniform(0.6, 1.25, (count, 1)) * sunlight * 0.42
    lines = np.stack([lower, upper], 1).reshape(-1, 2, 2)
    colors = np.stack([green * 0.42, green], 1).reshape(-1, 3)
    widths = np.repeat(0.011 / z * FOCAL * rng.uniform(0.6, 1.4, count), 2)
    ink, cover = strokes(lines, widths, colors, 0.5)
    result = mix(light, ink, cover)

    heads = rng.choice(np.flatnonzero((field(x / 31, z / 31) > 0.4) & (z > 11) & (z < 50)), 900)
    kinds = np.stack([rgb(0.95, 0.93, 0.86), rgb(0.95, 0.72, 0.06), rgb(0.5, 0.28, 0.75)])
    flower = kinds[rng.choice(3, len(heads), p=[0.5, 0.35, 0.15])] * rng.uniform(0.6, 1.1, (900, 1))
    radius = 0.012 / z[heads] * FOCAL
    center = np.stack([tip[heads], top[heads]], -1)
    span = np.stack([center - radius[:, None] * [1, 0.1], center + radius[:, None] * [1, 0.1]], 1)
    order = np.argsort(-z[heads])
    ink, cover = strokes(span[order], 1.7 * radius[order], flower[order], 0.6)
    result = mix(result, ink, cover)
    for x0, z0, tall0 in ((-17.5, 36.0, 15.0), (-12.6, 41.0, 9.5), (21.0, 39.0, 11.5)):
        foot0 = horizon - (float(terrain(rgb(x0), rgb(z0))[0]) - camera) / z0 * FOCAL
        spot = (W / 2 + x0 / z0 * FOCAL, foot0)
        result = _spruce(result, rng, spot, tall0 / z0 * FOCAL)
    return result


def _spruce(light: Array, rng: np.random.Generator, foot: Any, tall: float) -> Array:
    """Draws a spruce in the foreground: whorls of hanging branches, lit from the left."""
    count = 9000
    part = np.sort(rng.beta(1.0, 1.35, count))  # from the ground to the top
    whorl = np.round(part * 34) / 34 + rng.normal(0, 0.004, count)
    angle = rng.uniform(0, np.pi, count)  # from the right, past the front, to the left
    reach = 0.2 * tall * (1 - part) ** 0.85 * (0.72 + 0.28 * np.cos(37 * part + 3 * angle))
    along = rng.beta(2.2, 1.1, count)
    x = foot[0] + reach * along * np.cos(angle)
    y = foot[1] - tall * (0.05 + 0.95 * whorl) + reach * along * (0.45 + 0.2 * np.sin(angle))
    twig = (0.006 + 0.018 * (1 - part)) * tall * rng.uniform(0.5, 1.3, count)
    end_x = x + twig * (0.7 * np.cos(angle) + rng.normal(0, 0.35, count))
    end_y = y + twig * rng.uniform(0.25, 1.0, count)
    tone = (0.35 + 0.65 * along) * (0.55 + 0.45 * -np.cos(angle)) * rng.uniform(0.5, 1.35, count)
    colors = rgb(0.012, 0.02, 0.014) + rgb(0.085, 0.12, 0.045) * tone[:, None].astype(np.float32)
    trunk = np.array([[foot[0], foot[1] + 2, foot[0], foot[1] - 0.96 * tall]])
    lines = np.concatenate([trunk, np.stack([x, y, end_x, end_y], -1)]).reshape(-1, 2, 2)
    widths = np.append(0.012 * tall, np.full(count, max(1, 0.0062 * tall)))
    ink, cover = strokes(lines, widths, np.concatenate([[rgb(0.05, 0.036, 0.026)], colors]), 0.5)
    return mix(light, ink, cover)


def seashore() -> Image.Image:
    """Surf on a sandy beach below rocks, the sun just above the horizon."""
    camera, horizon = 2.6, 0.47 * H
    sun = rgb(-0.15, 0.062, 1.0)
    sun /= np.linalg.norm(sun)
    streaks, smooth, fine = Noise(41, 1.75), Noise(42, 2.2), Noise(43, 1.3)

    def sky(across: Array, up: Array) -> Array:
        """Light from the direction (across, up, 1)."""
        length = np.sqrt(1 + across**2 + up**2)
        aim = (across * sun[0] + up * sun[1] + sun[2]) / length
        up = np.abs(up)
        low, high = step(0.42, 0.0, up), step(0.05, 0.75, up)
        clear = mix(rgb(0.4, 0.36, 0.43), rgb(0.1, 0.15, 0.31), high)
        clear = mix(clear, rgb(0.98, 0.47, 0.2), low**2.2 * step(0.55, 0.995, aim))
        clear = mix(clear, rgb(0.62, 0.37, 0.34), 0.7 * low**3 * step(1.0, 0.75, aim))
        u, v = across / (up + 0.07) * 0.085, 0.21 / (up + 0.07)
        thick = streaks(u, v) + 0.9 * smooth(u / 1.7 + 0.1, v / 1.7 + 0.35)
        cover = step(-0.35, 1.5, thick) * step(0.015, 0.12, up)
        edge = np.exp(-1.9 * step(0.1, 2.2, thick))
        glow = step(0.72, 0.998, aim)
        dark = mix(rgb(0.13, 0.12, 0.17), rgb(0.34, 0.16, 0.13), glow)
        bright = mix(rgb(0.55, 0.33, 0.33), rgb(1.75, 0.78, 0.3), glow)
        light = mix(clear, mix(dark, bright, edge), 0.88 * cover)
        halo = 0.55 * np.exp((aim - 1) * 90) + 2.6 * np.exp((aim - 1) * 2200)
        disc = 26 * step(0.99988, 0.99995, aim)
        light += (halo + disc)[..., None] * rgb(1.0, 0.58, 0.24)
        return light

    rows = np.arange(H, dtype=np.float32)[:, None]
    rays = np.broadcast_to((horizon - rows) / FOCAL, (H, W)).astype(np.float32)
    across = np.broadcast_to(X, (H, W))
    above = rows[:, 0] <= horizon
    light = np.zeros((H, W, 3), np.float32)
    light[above] = sky(across[above], rays[above])

    # The sea; distant waves are too small to see, so they average out to roughness.
    below = rays < -2e-4
    d = camera / -rays[below]
    x = across[below] * d
    shore = 15.5 + 2.4 * smooth(x / 90 + 0.2, 0.7) + 0.5 * smooth(x / 19, 0.1)
    for ray in range(3):
        near = 30 / (d + 30)
        swell = fine(x / 160 + 0.1 * ray, d / 47) * near**0.3
        chop = fine(x / 21 + 0.37, d / 11 + 0.3 * ray) + 0.5 * fine(x / 3.1, d / 2.3 + 0.2 * ray)
        tilt = 0.05 * swell + 0.055 * chop * (0.25 + near)
        side = 0.03 * fine(x / 9.7 + 0.3 * ray, d / 8.1) + 0.02 * smooth(x / 11, d / 9)
        up = np.abs(-rays[below] + 2 * np.abs(tilt)) + 0.004
        mirrored = sky(across[below] + 2 * side, up)
        cosine = up / np.sqrt(1 + up**2)
        fresnel = 0.02 + 0.98 * (1 - cosine.clip(0, 1)) ** 5
        body = rgb(0.012, 0.03, 0.045) + 0.05 * rgb(0.1, 0.3, 0.3) * near[:, None]
        light[below] += mix(body, mirrored.clip(0, 9), fresnel * 0.92) / 3

    # Sand: a wet strip that mirrors the sky, and dry, rippled sand in front of it.
    sand = d < shore
    xs, ds = x[sand], d[sand]
    inland = shore[sand] - ds
    wet = step(5.2, 1.4, inland + 0.7 * smooth(xs / 13, ds / 13))
    grains = 1.2 * (fine(xs / 5.7, ds / 5.7) - fine(xs / 5.7 - 0.004, ds / 5.7 - 0.01))
    grains += 1.3 * (fine(xs / 1.7, ds / 1.7) - fine(xs / 1.7 - 0.004, ds / 1.7 - 0.008))
    ripples = smooth(xs / 9 + 0.4, ds / 5.5) + 0.4 * fine(xs / 14, ds / 3.6)
    lit = 0.33 + 0.045 * ripples + 0.13 * grains
    dry = rgb(0.66, 0.37, 0.22) * lit[:, None].clip(0.05)
    damp = dry * 0.34
    mirror = sky(across[below][sand] + 0.012 * grains, -rays[below][sand] + 0.02 + 0.01 * ripples)
    shine = 0.1 + 0.55 * np.exp(rays[below][sand] * 5.5)
    ground = mix(dry, mix(damp, mirror.clip(0, 6), shine), wet)

    water = light[below]
    water[sand] = ground
    # Foam: a lacy edge of the water, and lines of breakers behind it.
    lace = step(0.55, 0.95, 1 - np.abs(fine(x / 4.3, d / 3.1)) * 0.9 + 0.25 * smooth(x / 7, d / 5))
    foam = np.zeros_like(d)
    breakers = ((0, 0.55, 1.0), (1.7, 0.6, 1.0), (5.5, 1.2, 1.1), (13, 2.2, 1.0), (27, 3.5, 0.7))
    for out, deep, amount in breakers:
        line = shore + out + (0.4 + 0.09 * out) * smooth(x / (40 + 6 * out), 0.13 * out)
        behind = (d - line) / deep
        crest = np.exp(-np.abs(behind) * np.where(behind < 0, 9, 1.6))
        broken = step(-0.5, 0.7, smooth(x / (30 + 4 * out) + 0.3, 0.21 * out + 0.4))
        foam = np.maximum(foam, amount * crest * (0.35 + 0.65 * lace) * (broken if out else 1))
    white = rgb(0.62, 0.47, 0.45) * (0.65 + 0.25 * fine(x / 2, d / 2)).clip(0.2, 1.1)[:, None]
    light[below] = mix(water, white, foam.clip(0, 1))

    light = _rocks(light, sky, sun, camera, horizon)
    haze = np.exp(-(((rows - horizon) / (0.016 * H)) ** 2)) * np.ones((1, W), np.float32) * 0.35
    light = mix(light, rgb(0.95, 0.5, 0.27), haze.astype(np.float32))
    return develop(light * rgb(0.98, 0.75, 0.63), 13, grain=1.8, vignette=0.24)


def _rocks(light: Array, sky: Terrain, sun: Array, camera: float, horizon: float) -> Array:
    """Adds a headland on the right and boulders in the surf, dark against the light."""
    ridged, rough = Noise(51, 2.0, ridged=True), Noise(52, 1.7)

    def terrain(x: Array, z: Array) -> Array:
        head = step(-0.05, 1.0, (x - 0.13 * z - 24) / 90) * step(150, 230, z) * step(620, 380, z)
        height = head * (62 + 9 * rough(x / 240, z / 240)) + 5 * head * ridged(x / 150, z / 150)
        far = step(0.0, 1.0, (x + 0.1 * z) / 900) * step(2600, 3000, z) * step(4200, 3400, z)
        height += far * (130 + 40 * rough(x / 2600, z / 2600))
        boulders = step(0.35, 1.5, rough(x / 46 + 0.23, z / 46 + 0.61)) * step(19, 24, z)
        boulders *= step(75, 50, z) * step(0.03, 0.2, x / z + 0.02)
        result: Array = height + boulders * (1.9 + 0.4 * ridged(x / 17, z / 17)) - 0.25
        return result

    z = np.geomspace(16, 4400, 900).astype(np.float32)
    hit = cast(terrain(X * z[:, None], z[:, None]).clip(0), z, camera, horizon)
    d = np.where(np.isfinite(hit), hit, 1)
    rock = np.isfinite(hit) & (terrain(X * d, d) > 0.02)
    d = hit[rock]
    x = np.broadcast_to(X, (H, W))[rock] * d
    normal = normals(terrain, x, d)
    grain = rough(x / 23, d / 23)
    stone = mix(rgb(0.1, 0.085, 0.08), rgb(0.2, 0.165, 0.14), step(-1.5, 1.5, grain))
    rim = (normal @ sun).clip(0)[:, None] * rgb(2.6, 1.2, 0.5)
    lit = stone * (rim + (0.35 + 0.65 * normal[:, 1:2]) * rgb(0.3, 0.34, 0.5))
    air = np.exp(-d[:, None] * rgb(0.00035, 0.0005, 0.0007))
    behind = sky(x / d, np.full_like(d, 0.02))
    result = light.copy()
    result[rock] = lit * air + behind.clip(0, 1.2) * (1 - air)
    return result


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    lake().save(folder / "content.jpg", quality=93, subsampling=0)
    seashore().save(folder / "style.jpg", quality=93, subsampling=0)

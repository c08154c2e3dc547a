"""Log footage by colour-science, and what displays show of it by formulas written down here."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of libraries for plots
    import colour

Array = npt.NDArray[np.float64]

FOOTAGE = {
    "slog2": ("S-Log2", "S-Gamut"),
    "slog3": ("S-Log3", "S-Gamut3.Cine"),
    "slog3-sgamut3": ("S-Log3", "S-Gamut3"),
    "logc3": ("ARRI LogC3", "ARRI Wide Gamut 3"),
    "logc4": ("ARRI LogC4", "ARRI Wide Gamut 4"),
    "vlog": ("V-Log", "V-Gamut"),
    "clog2": ("Canon Log 2", "Cinema Gamut"),
    "clog3": ("Canon Log 3", "Cinema Gamut"),
    "flog": ("F-Log", "F-Gamut"),
    "flog2": ("F-Log2", "F-Gamut"),
    "nlog": ("N-Log", "N-Gamut"),
    "log3g10": ("Log3G10", "REDWideGamutRGB"),
    "dlog": ("D-Log", "DJI D-Gamut"),
    "llog": ("L-Log", "ITU-R BT.2020"),
    "bmdfilm5": ("Blackmagic Film Generation 5", "Blackmagic Wide Gamut"),
    "davinci": ("DaVinci Intermediate", "DaVinci Wide Gamut"),
    "applelog": ("Apple Log Profile", "ITU-R BT.2020"),
    "acescct": ("ACEScct", "ACEScct"),
}
"""Names of curve and gamut in colour-science."""


def matrix(name: str) -> Array:
    """From light in the gamut of the footage to light in BT.709."""
    source, target = (colour.RGB_COLOURSPACES[n].copy() for n in (FOOTAGE[name][1], "ITU-R BT.709"))
    for space in (source, target):
        space.use_derived_transformation_matrices(True)  # those of the standards are rounded
    return np.asarray(colour.matrix_RGB_to_RGB(source, target, "Bradford"))


def curve(values: Array, name: str) -> Array:
    return np.asarray(colour.cctf_decoding(values, function=FOOTAGE[name][0]))


def footage(light: Array, name: str) -> Array:
    """The log values of light (..., 3) in BT.709; white is 1."""
    camera = light @ np.linalg.inv(matrix(name)).T
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(colour.cctf_encoding(camera, function=FOOTAGE[name][0]))


def shown(light: Array, name: str) -> Array:
    """Light (..., 3) in BT.709, compressed from half of white on, by the curve of sRGB; in 0..1."""
    j, p = 0.5, float(curve(np.ones(1), name)[0])
    a, b = -j * j * (p - 1) / (j * j - 2 * j + p), (j * j - 2 * j * p + p) / (p - 1)
    x = light.max(-1, keepdims=True)
    bright = (b * b + 2 * b * j + j * j) / (b - a) * (x + a) / (x + b)
    y = (light * np.where(x <= j, x, bright) / np.maximum(x, 1e-9)).clip(0, 1)
    return np.where(y <= 0.0031308, 12.92 * y, 1.055 * y ** (1 / 2.4) - 0.055)


def patches() -> Array:
    """Light (16, 24, 3) in BT.709: black, greys up to 4 times white, and colours of all hues."""
    light = np.random.default_rng(0).uniform(0.01, 1.5, (16, 24, 3)) ** 2
    light[0] = np.geomspace(0.001, 4, 24)[:, None]
    light[0, :3] = np.array([[0], [0.18], [1]])
    light[1, :6] = 0.5 * np.array([[a, b, c] for a in (0, 1) for b in (0, 1) for c in (0, 1)])[1:7]
    return light

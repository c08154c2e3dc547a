"""Input spaces: the colours of log footage, and how displays show them.

A camera's log values become light by its curve, and light of its gamut becomes light in BT.709.
Light is relative to a white object (a reflectance of 100 %); a grey card has 0.18. What lies
outside BT.709 is clipped. As for HDR, light up to half of white stays, and a Moebius curve of
the largest of R, G and B compresses what is above, up to the brightest light that the curve holds.
Like browsers, we show BT.709 by the curve of sRGB.

Sources, by their makers: Sony, Technical Summary for S-Gamut3.Cine/S-Log3 and S-Gamut3/S-Log3, and
for S-Log2; ARRI, ALEXA Log C Curve (EI 800), and ARRI LogC4; Panasonic, V-Log/V-Gamut Reference
Manual; Canon, Input Transform Version 202007; Fujifilm, F-Log and F-Log2 Data Sheet; Nikon, N-Log
Specification; RED, White Paper on REDWideGamutRGB and Log3G10; DJI, White Paper on D-Log and
D-Gamut; Blackmagic Design, Generation 5 Color Science, and DaVinci Resolve Wide Gamut Intermediate;
Apple, Apple Log Profile White Paper; Leica, L-Log Reference Manual; Academy S-2016-001 (ACEScct).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from photostyle.display import BT709, KNEE, Floats, Matrix, conversion, encoded, moebius

Curve = Callable[[Floats], Floats]

_D65 = (0.3127, 0.3290)
_BT2020 = (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *_D65)
_S_GAMUT3 = (0.730, 0.280, 0.140, 0.855, 0.100, -0.050, *_D65)
_S_GAMUT3_CINE = (0.766, 0.275, 0.225, 0.800, 0.089, -0.087, *_D65)
_ARRI_WIDE_GAMUT_3 = (0.684, 0.313, 0.221, 0.848, 0.0861, -0.1020, *_D65)
_ARRI_WIDE_GAMUT_4 = (0.7347, 0.2653, 0.1424, 0.8576, 0.0991, -0.0308, *_D65)
_V_GAMUT = (0.730, 0.280, 0.165, 0.840, 0.100, -0.030, *_D65)
_CINEMA_GAMUT = (0.740, 0.270, 0.170, 1.140, 0.080, -0.100, *_D65)
_RED_WIDE_GAMUT = (0.780308, 0.304253, 0.121595, 1.493994, 0.095612, -0.084589, *_D65)
_D_GAMUT = (0.71, 0.31, 0.21, 0.88, 0.09, -0.08, *_D65)
_BLACKMAGIC_WIDE_GAMUT = (
    *(0.7177215, 0.3171181, 0.2280410, 0.8615690, 0.1005841, -0.0820452),
    *(0.3127170, 0.3290312),
)
_DAVINCI_WIDE_GAMUT = (0.8000, 0.3130, 0.1682, 0.9877, 0.0790, -0.1155, *_D65)
_AP1 = (0.713, 0.293, 0.165, 0.830, 0.128, 0.044, 0.32168, 0.33767)


@dataclass(frozen=True)
class InputSpace:
    """What the values of photos and clips mean.

    name: for people, of curve and gamut. curve: from values in 0..1 to light; None if a display
    shows the values as they are. primaries: x and y of red, green, blue and white.
    """

    name: str
    curve: Curve | None
    primaries: tuple[float, ...]

    def display(self, values: Floats) -> Floats:
        """What a display shows of values (..., 3) in 0..1: values of sRGB in 0..1."""
        if self.curve is None:
            return values
        light = (self.curve(values) @ self.to_bt709.T.astype(values.dtype)).clip(0)
        largest = light.max(axis=-1, keepdims=True).clip(1e-9)
        a, b, scale = moebius(self.peak)
        compressed = np.where(largest <= KNEE, largest, scale * (largest + a) / (largest + b))
        return encoded((light * (compressed / largest)).clip(0, 1))

    @cached_property
    def peak(self) -> float:
        """The brightest light that the curve holds."""
        assert self.curve
        return float(self.curve(np.ones(1))[0])

    @cached_property
    def black(self) -> float:
        """The value of no light."""
        assert self.curve
        values = np.linspace(0, 1, 4096)
        return float(np.interp(0, self.curve(values), values))

    @cached_property
    def to_bt709(self) -> Matrix:
        """The matrix from light to light in BT.709."""
        return conversion(self.primaries, BT709)


def _logarithmic(
    a: float, b: float, c: float, d: float, cut: float, e: float, f: float, base: float = 10
) -> Curve:
    """The curve whose values are c log(a light + b) + d above ``cut``, e light + f below."""
    log = math.log(base)

    def light(values: Floats) -> Floats:
        bright = (np.exp((values - d) * (log / c)) - b) / a
        return np.where(values > cut, bright, (values - f) / e)

    return light


_SLOG2_BLACK = 0.030001222851889303


def _slog2(values: Floats) -> Floats:
    """S-Log2, whose values count from the black of legal range."""
    signal = (values * 1023 - 64) / 876
    bright = 10 ** ((signal - 0.646596) / 0.432699) - 0.037584
    return 0.9 * 219 / 155 * np.where(signal >= _SLOG2_BLACK, bright, (signal - _SLOG2_BLACK) / 5)


def _slog3(values: Floats) -> Floats:
    bright = 0.19 * 10 ** ((values * 1023 - 420) / 261.5) - 0.01
    dark = (values * 1023 - 95) * (0.01125 / (171.2102946929 - 95))
    return np.where(values * 1023 >= 171.2102946929, bright, dark)


def _logc4() -> Curve:
    a, b, c = (2**18 - 16) / 117.45, (1023 - 95) / 1023, 95 / 1023
    s = 7 * math.log(2) * 2 ** (7 - 14 * c / b) / (a * b)
    t = (2 ** (14 * (-c / b) + 6) - 64) / a
    return _logarithmic(a, 64, b / 14, c - 6 * b / 14, 0, 1 / s, -t / s, base=2)


def _canon(gain: float, slope: float, black: float) -> Curve:
    """Canon Log 2: symmetric about black."""

    def light(values: Floats) -> Floats:
        above = values - black
        return 0.9 / gain * np.sign(above) * (10 ** (np.abs(above) / slope) - 1)

    return light


def _clog3(values: Floats) -> Floats:
    bright = (10 ** ((values - 0.12240537) / 0.36726845) - 1) / 14.98325
    dark = -(10 ** ((0.12783901 - values) / 0.36726845) - 1) / 14.98325
    middle = (values - 0.12512219) / 1.9754798
    light = np.where(values < 0.097465473, dark, middle)
    return 0.9 * np.where(values > 0.15277891, bright, light)


def _nlog(values: Floats) -> Floats:
    bright = np.exp((values * 1023 - 619) / 150)
    return np.where(values < 452 / 1023, (values * 1023 / 650) ** 3 - 0.0075, bright)


def _applelog(values: Floats) -> Floats:
    bright = 2 ** ((values - 0.69336945) / 0.08550479) - 0.00964052
    dark = np.sqrt(values.clip(0) / 47.28711236) - 0.05641088
    return np.where(values >= 47.28711236 * (0.01 + 0.05641088) ** 2, bright, dark)


_LOGC3 = _logarithmic(5.555556, 0.052272, 0.247190, 0.385537, 0.149658, 5.367655, 0.092809)
_VLOG = _logarithmic(1, 0.00873, 0.241514, 0.598206, 0.181, 5.6, 0.125)
_FLOG = _logarithmic(0.555556, 0.009468, 0.344676, 0.790453, 0.100537775, 8.735631, 0.092864)
_FLOG2 = _logarithmic(5.555556, 0.064829, 0.245281, 0.384316, 0.100686685, 8.799461, 0.092864)
_DLOG = _logarithmic(0.9892, 0.0108, 0.256663, 0.584555, 0.14, 6.025, 0.0929)
_LLOG = _logarithmic(1.3, 0.0115, 0.27, 0.6, 0.138, 8, 0.09)
_LOG3G10 = _logarithmic(155.975327, 1 + 0.01 * 155.975327, 0.224282, 0, 0, 15.1927, 0.01 * 15.1927)
_BMDFILM5 = _logarithmic(
    *(1, 0.005494072432257808, 0.08692876065491224, 0.5300133392291939),
    *(0.005 * 8.283605932402494 + 0.09246575342465753, 8.283605932402494, 0.09246575342465753),
    base=math.e,
)
_DAVINCI = _logarithmic(1, 0.0075, 0.07329248, 7 * 0.07329248, 0.02740668, 10.44426855, 0, base=2)
_ACESCCT = _logarithmic(
    *(1, 0, 1 / 17.52, 9.72 / 17.52, 0.155251141552511, 10.5402377416545, 0.0729055341958355),
    base=2,
)

INPUT_SPACES = {
    "rec709": InputSpace("BT.709", None, BT709),
    "slog2": InputSpace("Sony S-Log2, S-Gamut", _slog2, _S_GAMUT3),
    "slog3": InputSpace("Sony S-Log3, S-Gamut3.Cine", _slog3, _S_GAMUT3_CINE),
    "slog3-sgamut3": InputSpace("Sony S-Log3, S-Gamut3", _slog3, _S_GAMUT3),
    "logc3": InputSpace("ARRI LogC3 (EI 800), Wide Gamut 3", _LOGC3, _ARRI_WIDE_GAMUT_3),
    "logc4": InputSpace("ARRI LogC4, Wide Gamut 4", _logc4(), _ARRI_WIDE_GAMUT_4),
    "vlog": InputSpace("Panasonic V-Log, V-Gamut", _VLOG, _V_GAMUT),
    "clog2": InputSpace(
        "Canon Log 2, Cinema Gamut", _canon(87.09937546, 0.24136077, 0.092864125), _CINEMA_GAMUT
    ),
    "clog3": InputSpace("Canon Log 3, Cinema Gamut", _clog3, _CINEMA_GAMUT),
    "flog": InputSpace("Fujifilm F-Log, F-Gamut", _FLOG, _BT2020),
    "flog2": InputSpace("Fujifilm F-Log2, F-Gamut", _FLOG2, _BT2020),
    "nlog": InputSpace("Nikon N-Log, BT.2020", _nlog, _BT2020),
    "log3g10": InputSpace("RED Log3G10, REDWideGamutRGB", _LOG3G10, _RED_WIDE_GAMUT),
    "dlog": InputSpace("DJI D-Log, D-Gamut", _DLOG, _D_GAMUT),
    "llog": InputSpace("Leica L-Log, BT.2020", _LLOG, _BT2020),
    "bmdfilm5": InputSpace("Blackmagic Film Gen 5, Wide Gamut", _BMDFILM5, _BLACKMAGIC_WIDE_GAMUT),
    "davinci": InputSpace("DaVinci Intermediate, Wide Gamut", _DAVINCI, _DAVINCI_WIDE_GAMUT),
    "applelog": InputSpace("Apple Log, BT.2020", _applelog, _BT2020),
    "acescct": InputSpace("ACEScct, AP1", _ACESCCT, _AP1),
}
"""Input spaces by their names in commands."""

"""The transfer functions of HDR, for arrays and tensors alike.

Source: ITU-R BT.2100-2, table 4 (PQ) and table 5 (HLG).
"""

from __future__ import annotations

import math
from typing import Any

WHITE = 203.0
"""Luminance in cd/m2 of the white of SDR within HDR (ITU-R BT.2408)."""

HLG_PEAK = 1000.0
"""Luminance in cd/m2 of the white of HLG's nominal display, whose gamma is HLG_GAMMA."""

HLG_GAMMA = 1.2

HLG_A, HLG_B, HLG_C = 0.17883277, 0.28466892, 0.55991073
"""The constants of HLG's curve."""

_PQ_M1, _PQ_M2 = 2610 / 16384, 2523 / 4096 * 128
_PQ_C1, _PQ_C2, _PQ_C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32


def pq_to_light(values: Any) -> Any:
    """Luminance in cd/m2 of PQ in 0..1."""
    power = values ** (1 / _PQ_M2)
    return 10_000 * ((power - _PQ_C1).clip(0) / (_PQ_C2 - _PQ_C3 * power)) ** (1 / _PQ_M1)


def light_to_pq(light: Any) -> Any:
    """The inverse of `pq_to_light`; light is at least 0."""
    power = (light / 10_000) ** _PQ_M1
    return ((_PQ_C1 + _PQ_C2 * power) / (1 + _PQ_C3 * power)) ** _PQ_M2


def hlg_to_scene(values: Any) -> Any:
    """Linear light of the scene in 0..1 of HLG in 0..1."""
    bright = (math.e ** ((values - HLG_C) / HLG_A) + HLG_B) / 12
    return (values <= 0.5) * (values**2 / 3) + (values > 0.5) * bright

"""The static metadata of HDR clips: the mastering display and the brightest light.

Sources: SMPTE ST 2086, CTA-861.3 (MaxCLL and MaxFALL).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_NUMBER = r"(-?[\d.]+)"
_PRIMARIES = re.compile(rf"\b(?:r|g|b|wp)\({_NUMBER},? ?{_NUMBER}\)")
_LUMINANCE = re.compile(rf"min_luminance={_NUMBER}, max_luminance={_NUMBER}")
_LIGHT = re.compile(r"MaxCLL=(\d+), MaxFALL=(\d+)")
_DOLBY = re.compile(r"DOVI configuration record: .*profile: (\d+).*compatibility id: (\d+)")

DEFAULT_PEAK = 1000.0
"""Brightest light of a clip that does not say it, in cd/m2: the peak of HLG's nominal display."""

_LEAST_PEAK, _MOST_PEAK = 203.0, 10_000.0


@dataclass(frozen=True)
class HdrMetadata:
    """What a clip says of its light; None and False if it says nothing.

    primaries: x and y of red, green, blue and white of the mastering display. luminance: its least
    and greatest, in cd/m2. light: that of the brightest pixel and of the brightest frame's mean, in
    cd/m2. dolby_vision: the profile, and the number of what its base layer is compatible with.
    """

    primaries: tuple[float, ...] | None = None
    luminance: tuple[float, float] | None = None
    light: tuple[int, int] | None = None
    dolby_vision: tuple[int, int] | None = None

    @classmethod
    def of(cls, log: Iterable[str]) -> HdrMetadata:
        """The metadata in lines of ffmpeg's log of one frame."""
        text = "\n".join(log)
        numbers = [float(value) for pair in _PRIMARIES.findall(text) for value in pair]
        luminance, light = _LUMINANCE.search(text), _LIGHT.search(text)
        dolby = _DOLBY.search(text)
        return cls(
            tuple(numbers[:8]) if len(numbers) >= 8 and any(numbers[:8]) else None,
            (float(luminance[1]), float(luminance[2])) if luminance else None,
            (int(light[1]), int(light[2])) if light else None,
            (int(dolby[1]), int(dolby[2])) if dolby else None,
        )

    @property
    def needs_dolby_vision(self) -> bool:
        """Whether frames are of Dolby Vision's own colour space, as in profile 5."""
        return self.dolby_vision is not None and self.dolby_vision[1] == 0

    @property
    def peak(self) -> float:
        """The brightest light to expect, in cd/m2; impossible values count as none."""
        for peak in (self.light and self.light[0], self.luminance and self.luminance[1]):
            if peak and _LEAST_PEAK <= peak <= _MOST_PEAK:
                return float(peak)
        return DEFAULT_PEAK

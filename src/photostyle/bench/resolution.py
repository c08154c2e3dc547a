"""Names and sizes of pictures."""

from __future__ import annotations

import re
from typing import NamedTuple

from photostyle.errors import PhotostyleError

NAMES = {"fhd": (1920, 1080), "2k": (2560, 1440), "4k": (3840, 2160), "8k": (7680, 4320)}

LONGEST, MOST = 65_500, 500_000_000
"""Pixels of a side that a JPEG file holds, and of a photo that photostyle reads."""


class Resolution(NamedTuple):
    """The size of a picture in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        name = {size: name for name, size in NAMES.items()}.get((self.width, self.height))
        size = f"{self.width}x{self.height}"
        return f"{name} {size}" if name else size

    @property
    def megapixels(self) -> float:
        return self.width * self.height / 1e6


def parse(text: str) -> list[Resolution]:
    """Read "fhd,8k,1920x1080"; raises PhotostyleError for what is no resolution."""
    return [_one(word.strip()) for word in text.split(",")]


def _one(word: str) -> Resolution:
    if word.lower() in NAMES:
        return Resolution(*NAMES[word.lower()])
    found = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", word, re.IGNORECASE)
    if found is None:
        known = ", ".join(NAMES)
        raise PhotostyleError(f"Unknown resolution {word!r}; use {known} or one like 1920x1080.")
    resolution = Resolution(int(found[1]), int(found[2]))
    if min(resolution) < 1 or max(resolution) > LONGEST or resolution.megapixels * 1e6 > MOST:
        raise PhotostyleError(
            f"A resolution has sides of 1 to {LONGEST} pixels and at most {MOST // 10**6} "
            f"megapixels, not {word}."
        )
    return resolution

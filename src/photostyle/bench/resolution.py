"""Photo resolutions, by name or size."""

from __future__ import annotations

import re
from typing import NamedTuple

from photostyle.errors import PhotostyleError

NAMES = {"fhd": (1920, 1080), "2k": (2560, 1440), "4k": (3840, 2160), "8k": (7680, 4320)}

MAX_SIDE = 65_500
"""Largest side of a JPEG file, in pixels."""

MAX_PIXELS = 500_000_000
"""Largest photo that photostyle reads, in pixels."""


class Resolution(NamedTuple):
    """The size of a photo in pixels."""

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
    """Parse a list like "fhd,8k,1920x1080"; raises PhotostyleError for an invalid resolution."""
    return [_one(word.strip()) for word in text.split(",")]


def _one(word: str) -> Resolution:
    if word.lower() in NAMES:
        return Resolution(*NAMES[word.lower()])
    found = re.fullmatch(r"([0-9]{1,6})x([0-9]{1,6})", word, re.IGNORECASE)
    if found is None:
        known = ", ".join(NAMES)
        raise PhotostyleError(f"Unknown resolution {word!r}; use {known} or one like 1920x1080.")
    resolution = Resolution(int(found[1]), int(found[2]))
    width, height = resolution
    if min(width, height) < 1 or max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise PhotostyleError(
            f"A resolution has sides of 1 to {MAX_SIDE} pixels and at most {MAX_PIXELS // 10**6} "
            f"megapixels, not {word}."
        )
    return resolution

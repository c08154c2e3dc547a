"""Options of a transfer and their defaults; imports nothing heavy, so that --help stays fast."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

from photostyle.errors import PhotostyleError

Mode = Literal["auto", "fast", "exact"]
"""The network on a reduced copy (fast), on the photo itself (exact), or by the photo's size."""

WORKING_SIZE = 768
"""Long side of the copy of a photo that the network sees in fast mode, in pixels."""

TILE = 1024
"""Side of a tile in exact mode, in pixels."""

Match = Literal["auto", "regions", "global", "none"]
"""How colours are matched: by region, or by the look where both photos show the same scene; always
by region; to the palette of the whole style photo; or not at all beyond what the network does."""

MATCHES = get_args(Match)

Keep = Literal["none", "luminance", "color", "skin"]
"""What the result has from the content: nothing, its luma, its chroma, or the hue of its skin."""

KEEPS = get_args(Keep)

MAX_STRENGTH = 1.5
"""The largest strength: over 1 the change of colours is extrapolated."""

Temporal = Literal["shot", "smooth", "frame"]
"""Where the content's statistics come from: the whole shot, a running mean over frames, or each
frame separately."""

TEMPORALS = get_args(Temporal)

Across = Literal["shots", "clip"]
"""Whether each shot has statistics of its own, or all shots of a clip have the same."""

ACROSS = get_args(Across)

INPUT_SPACE_NAMES = (
    *("rec709", "slog2", "slog3", "slog3-sgamut3", "logc3", "logc4", "vlog", "clog2", "clog3"),
    *("flog", "flog2", "nlog", "log3g10", "dlog", "llog", "bmdfilm5", "davinci", "applelog"),
    "acescct",
)
"""Names of `photostyle.input_space.INPUT_SPACES`."""

VIDEO_WORKING_SIZE = 288
"""Long side of the copy of a frame that the network sees, in pixels."""


def fractions(weights: Sequence[float]) -> list[float]:
    """Weights of styles scaled to a sum of 1.

    Raises PhotostyleError for a negative or infinite weight, and if all are 0.
    """
    for weight in weights:
        if not 0 <= weight < math.inf:
            raise PhotostyleError(f"The weight of a style must be 0 or more, not {weight:g}.")
    total = sum(weights)
    if not total > 0:
        raise PhotostyleError("The weights of the styles must not all be 0.")
    return [weight / total for weight in weights]

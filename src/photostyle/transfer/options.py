"""Options of a transfer and their defaults; imports nothing heavy, so that --help stays fast."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["auto", "fast", "exact"]
"""The network on a reduced copy (fast), on the photo itself (exact), or by the photo's size."""

WORKING_SIZE = 768
"""Long side of the copy of a photo that the network sees in fast mode, in pixels."""

TILE = 1024
"""Side of a tile in exact mode, in pixels."""

Temporal = Literal["shot", "smooth", "frame"]
"""Where the content's statistics come from: the whole shot, a running mean over frames, or each
frame separately."""

TEMPORALS = get_args(Temporal)

VIDEO_WORKING_SIZE = 288
"""Long side of the copy of a frame that the network sees, in pixels."""

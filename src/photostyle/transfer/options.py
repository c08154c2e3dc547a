"""What users choose of a transfer, and its defaults; imports nothing heavy, so that help can."""

from __future__ import annotations

from typing import Literal, get_args

Mode = Literal["auto", "fast", "exact"]
"""The network on a reduced copy (fast), on the photo itself (exact), or by the photo's size."""

WORKING_SIZE = 768
"""Long side of the copy of a photo that the network sees in fast mode, in pixels."""

TILE = 1024
"""Side of a tile in exact mode, in pixels."""

Temporal = Literal["shot", "smooth", "frame"]
"""What the moments of the content are taken of: the whole shot, frames with those before them, or
each frame on its own."""

TEMPORALS = get_args(Temporal)

VIDEO_WORKING_SIZE = 288
"""Long side of the copy of a frame that the network sees, in pixels."""

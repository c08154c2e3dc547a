"""Options of the evaluation; imports nothing heavy."""

from __future__ import annotations

from typing import Literal

Crops = Literal["overlap", "near", "far"]
"""How much the two crops of a graded pair have in common; see `evaluation.graded_pairs`."""

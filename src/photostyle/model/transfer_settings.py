"""How a network transfers a style: part of its checkpoint. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TransferSettings:
    """How a network transfers a style.

    method, damping: arguments of `photostyle.model.moments.transfer_map`. refine: add what the
    auto-encoder loses of the content to the result, so that every detail of the photo is kept,
    match its colours to the style's, and keep them from clipping.
    """

    method: str = "monge"
    damping: float = 1e-3
    refine: bool = True


REFERENCE = TransferSettings("reference", 0.0, refine=False)
"""How the reference implementation transfers."""

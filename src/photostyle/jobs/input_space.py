"""The input space that a user names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from photostyle.errors import PhotostyleError
from photostyle.transfer.options import INPUT_SPACE_NAMES

if TYPE_CHECKING:
    from photostyle.input_space import InputSpace


def named(name: str | None) -> InputSpace | None:
    """The input space of a name, None for none; raises PhotostyleError for an unknown name."""
    if name is None:
        return None
    from photostyle.input_space import INPUT_SPACES

    if name not in INPUT_SPACES:
        raise PhotostyleError(f"Unknown input space {name!r}; use {', '.join(INPUT_SPACE_NAMES)}.")
    return INPUT_SPACES[name]

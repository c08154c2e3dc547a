"""The model of a job: a bundled name, a weights file, or a loaded stylizer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from photostyle.transfer.stylizer import Stylizer

    Model = str | os.PathLike[str] | Stylizer


def load_stylizer(model: Model, device: str) -> Stylizer:
    """``model`` itself if it is a stylizer, otherwise a new one for a bundled name or file.

    Raises PhotostyleError as `photostyle.transfer.stylizer.load` does, TypeError for another type.
    """
    from photostyle.transfer.stylizer import Stylizer, load

    if isinstance(model, Stylizer):
        return model
    if not isinstance(model, (str, os.PathLike)):
        raise TypeError(f"A model is a name, a path or a Stylizer, not {type(model).__name__}.")
    return load(model, device)


def model_name(model: Model) -> str | None:
    """The bundled name or the path; None for a loaded stylizer."""
    return os.fspath(model) if isinstance(model, (str, os.PathLike)) else None

"""The model of a job: a name, a weights file, or a stylizer that is loaded already."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from photostyle.transfer.stylizer import Stylizer

    Model = str | os.PathLike[str] | Stylizer


def load_stylizer(model: Model, device: str) -> Stylizer:
    """The stylizer given, or the one that `photostyle.transfer.stylizer.load` makes."""
    if not isinstance(model, (str, os.PathLike)):
        return model
    from photostyle.transfer.stylizer import load

    return load(model, device)


def model_name(model: Model) -> str | None:
    """The bundled name or the path; None for a loaded stylizer."""
    return os.fspath(model) if isinstance(model, (str, os.PathLike)) else None

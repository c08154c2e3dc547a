"""Gives a photo the look of another photo, and keeps it a photo.

>>> import photostyle
>>> stylizer = photostyle.load("photonas")
>>> style = stylizer.learn(style_photo)
>>> result = stylizer.apply(content_photo, style)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from photostyle.version import __version__

if TYPE_CHECKING:
    from photostyle.errors import PhotostyleError
    from photostyle.transfer.style import Style
    from photostyle.transfer.stylizer import Stylizer, load

__all__ = ["PhotostyleError", "Style", "Stylizer", "__version__", "load"]

# Imported when first asked for: torch takes seconds to import, and `--help` needs none of it.
_HOME = {
    "PhotostyleError": "photostyle.errors",
    "Style": "photostyle.transfer.style",
    "Stylizer": "photostyle.transfer.stylizer",
    "load": "photostyle.transfer.stylizer",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'photostyle' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

"""Gives a photo or a video the colours and tones of another photo, and keeps it photorealistic.

From file to file, as the commands do:

>>> import photostyle
>>> report = photostyle.stylize_photo("day.jpg", "dusk.jpg", "result.jpg")
>>> report = photostyle.stylize_clip("day.mp4", "dusk.jpg", "result.mp4")

In memory, with arrays, PIL images or tensors:

>>> stylizer = photostyle.load("photonas")
>>> style = stylizer.learn(style_photo)
>>> result = stylizer.apply(content_photo, style)

Many files with one model, loaded once:

>>> for path in paths:
...     photostyle.stylize_photo(path, "dusk.jpg", model=stylizer)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from photostyle.version import __version__

if TYPE_CHECKING:
    from photostyle.errors import PhotostyleError
    from photostyle.jobs.batch import BatchReport, FileReport, stylize_folder
    from photostyle.jobs.clip import ClipReport, preview_clip, stylize_clip
    from photostyle.jobs.photo import PhotoReport, stylize_photo
    from photostyle.transfer.style import Style
    from photostyle.transfer.stylizer import Stylizer, load

__all__ = [
    "BatchReport",
    "ClipReport",
    "FileReport",
    "PhotoReport",
    "PhotostyleError",
    "Style",
    "Stylizer",
    "__version__",
    "load",
    "preview_clip",
    "stylize_clip",
    "stylize_folder",
    "stylize_photo",
]

# Imported when first used: importing torch takes seconds, and `--help` needs none of it.
_MODULES = {
    "BatchReport": "photostyle.jobs.batch",
    "ClipReport": "photostyle.jobs.clip",
    "FileReport": "photostyle.jobs.batch",
    "PhotoReport": "photostyle.jobs.photo",
    "PhotostyleError": "photostyle.errors",
    "Style": "photostyle.transfer.style",
    "Stylizer": "photostyle.transfer.stylizer",
    "load": "photostyle.transfer.stylizer",
    "preview_clip": "photostyle.jobs.clip",
    "stylize_clip": "photostyle.jobs.clip",
    "stylize_folder": "photostyle.jobs.batch",
    "stylize_photo": "photostyle.jobs.photo",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'photostyle' has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})

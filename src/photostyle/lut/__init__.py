"""Lookup tables (LUTs): colour transforms as tables, in files and fitted to photos.

- `lut`: `Lut`, the transform, with tetrahedral interpolation
- `cube`: `.cube` files
- `hald`: Hald CLUTs, LUTs as images
- `pairs`: two pictures of one frame, before and after an edit, as examples
- `fit`: the LUT that fits examples best
- `prior`: what colour edits look like, for colours that the examples lack
"""

from __future__ import annotations

from pathlib import Path

from photostyle.errors import PhotostyleError
from photostyle.lut import cube, hald
from photostyle.lut.lut import Curves, Lut

__all__ = ["Curves", "Lut", "check_suffix", "read", "write"]

_IMAGES = (".png", ".tif", ".tiff")
"""Extensions of Hald CLUTs; any other LUT is a `.cube` file."""


def read(path: Path) -> Lut:
    """Read a LUT: a Hald CLUT from .png or .tif, a `.cube` file from any other extension.

    Raises PhotostyleError if the file cannot be read or contains no valid LUT.
    """
    return hald.read(path) if path.suffix.lower() in _IMAGES else cube.read(path)


def write(lut: Lut, path: Path, *, overwrite: bool = False) -> None:
    """Write a LUT in the format of the file's extension; see `cube.write` and `hald.write`.

    Raises PhotostyleError if the file cannot be written or `check_suffix` fails.
    """
    check_suffix(path)
    format = hald if path.suffix.lower() in _IMAGES else cube
    format.write(lut, path, overwrite=overwrite)


def check_suffix(path: Path) -> None:
    """Raise PhotostyleError if LUTs cannot be written with the extension of ``path``."""
    if path.suffix.lower() not in (".cube", *_IMAGES):
        raise PhotostyleError(
            f"LUTs cannot be written as {path.name!r}; use .cube, or .png for a Hald CLUT."
        )

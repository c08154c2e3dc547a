"""The weights that come with photostyle."""

from __future__ import annotations

from pathlib import Path

MATCHER = "matcher"
"""The file of `photostyle.model.matcher`."""

EDITS = "edits"
"""The file of `photostyle.lut.prior`."""

SKIN = "skin"
"""The file of `photostyle.model.skin`."""

# A wheel has the weights inside the package, a checkout beside src.
_FOLDERS = [Path(__file__).parent / "_weights", Path(__file__).parents[2] / "weights"]


def networks() -> dict[str, Path]:
    """The networks: files by name."""
    return {name: path for name, path in _files().items() if name not in (MATCHER, EDITS, SKIN)}


def bundled_file(name: str) -> Path:
    """The file of that name, which is missing from a damaged installation."""
    return _files().get(name, _FOLDERS[-1] / f"{name}.safetensors")


def _files() -> dict[str, Path]:
    return {
        path.stem: path
        for folder in reversed(_FOLDERS)
        for path in sorted(folder.glob("*.safetensors"))
    }

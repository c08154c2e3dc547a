"""Makes LUTs and applies them to photos, from file to file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from photostyle.files import as_path, check_target
from photostyle.jobs.photo import Depth, check_options
from photostyle.version import __version__

File = str | os.PathLike[str]


@dataclass(frozen=True)
class LutReport:
    """A report on what a function of this module wrote.

    output: the LUT or photo written. notes: sentences on parts of the files that were not read or
    kept.
    """

    output: Path
    notes: tuple[str, ...]


def apply_lut(
    lut: File,
    photo: File,
    output: File | None = None,
    *,
    depth: Depth = "auto",
    quality: int | None = None,
    strip_metadata: bool = False,
    overwrite: bool = False,
) -> LutReport:
    """Write the photo ``photo`` with its colours transformed by a LUT.

    The LUT takes and gives sRGB: a photo with another profile is converted to sRGB and back. The
    transform is computed with 16 bits per channel; a result with 8 is dithered. The photo keeps
    what `photostyle.jobs.photo.stylize_photo` keeps.

    lut: a `.cube` file or a Hald CLUT. output: a file whose extension names the format; None for
    PHOTO-LUT with the extension of the photo in the current folder. depth, quality,
    strip_metadata, overwrite: as in `stylize_photo`.

    Raises PhotostyleError if a file cannot be read, an option is invalid, or the result cannot be
    written.
    """
    from photostyle import lut as luts
    from photostyle import photo as photos
    from photostyle.photo.formats import FORMATS

    check_options(depth, quality)
    look, source = as_path(lut), as_path(photo)
    table = luts.read(look)
    original = photos.read(source)
    target = Path(f"{source.stem}-{look.stem}{photos.suffix_for(original, source.suffix)}")
    target = target if output is None else as_path(output)
    format = photos.format_of(target)
    photos.check_depth(format, depth)
    check_target(target, overwrite=overwrite, inputs=[look, source])
    result = original.with_depth(16).in_profile(None)
    result = result.map_visible(lambda pixels, _: table(pixels))
    wanted = original.depth if depth == "auto" else int(depth)
    bits = 8 if result.animation else min(wanted, FORMATS[format].depth)
    result = result.in_profile(original.profile).with_depth(bits, dithered=True)
    software = f"photostyle {__version__} (LUT {look.stem})"
    result = result.stripped() if strip_metadata else result.stamped(software)
    photos.write(result, target, overwrite=overwrite, quality=quality)
    return LutReport(target, (*original.notes, *photos.unsupported_features(result, format)))

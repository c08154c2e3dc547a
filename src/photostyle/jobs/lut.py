"""Makes LUTs and applies them to photos, from file to file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from photostyle.errors import PhotostyleError
from photostyle.files import as_path, check_target, output_path
from photostyle.jobs import input_space as input_spaces
from photostyle.jobs.models import load_stylizer
from photostyle.jobs.photo import Depth, check_options
from photostyle.jobs.progress import Progress, silent
from photostyle.jobs.styles import StyleInputs
from photostyle.transfer.options import Keep, Match
from photostyle.version import __version__

if TYPE_CHECKING:
    from photostyle.input_space import InputSpace
    from photostyle.jobs.models import Model
    from photostyle.jobs.styles import Styles
    from photostyle.lut import Lut
    from photostyle.lut.fit import Examples
    from photostyle.photo import Photo

File = str | os.PathLike[str]

SRGB = "sRGB"

_TAKES = "Input colour space: "
"""What a comment in a LUT begins with."""

SIZES = (17, 33, 65)
"""Points per axis that `make_lut` and `fit_lut` offer."""

SIZE, LOG_SIZE = 33, 65
"""Points per axis, if none are asked for; a LUT that takes log footage bends more."""


@dataclass(frozen=True)
class LutReport:
    """A report on what a function of this module wrote.

    output: the LUT or photo written. notes: sentences on parts of the files that were not read or
    kept. psnr: how close the LUT comes to what it was fitted to, in dB; None if nothing was fitted.
    """

    output: Path
    notes: tuple[str, ...]
    psnr: float | None = None


def make_lut(
    content: File,
    style: Styles,
    output: File,
    *,
    size: int | None = None,
    title: str | None = None,
    clamp: bool = True,
    model: Model = "photonas",
    device: str = "auto",
    strength: float = 1.0,
    match: Match = "auto",
    keep: Keep = "none",
    input_space: str | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> LutReport:
    """Write the LUT that comes closest to stylizing the photo ``content`` like ``style``.

    style: as in `stylize_photo`.

    The LUT takes and gives sRGB; with an input space, which is that of the content, it takes the
    values of that. It is smooth, and changes colours less the farther they are from those of the
    content. output: a `.cube` file, or .png or .tif for a Hald CLUT. size: points per axis, one of
    SIZES; None is SIZE, or LOG_SIZE for log footage. title: None for the names of content and
    style. clamp: whether values are clamped to 0..1; a Hald CLUT always is. model, device,
    strength, match, keep, input_space: as in `stylize_photo`; a LUT does to all things of the
    colours of skin what it does to skin.
    progress: called with the phases read, load, apply and fit.

    The report has the PSNR between the content transformed by the LUT and the stylized content.
    Raises PhotostyleError if a photo cannot be read, an option is invalid, or the LUT cannot be
    written.
    """
    from photostyle.lut import Lut, pairs
    from photostyle.lut.fit import fit

    source, space = as_path(content), input_spaces.named(input_space)
    progress("read")
    styles = StyleInputs(style)
    target = output_path(output, f"{source.stem}-{styles.name}.cube")
    if size is None:
        size = LOG_SIZE if space and space.curve else SIZE
    _check_lut(target, size, overwrite, [source, *styles.paths])
    check_options("auto", None, match=match, keep=keep)
    photo = _read(source, space)
    before, mask = photo.with_depth(8).visible()
    progress("load")
    stylizer = load_stylizer(model, device)
    progress("apply")
    learned = styles.learn(stylizer)
    after = stylizer.apply(before, learned, strength, match=match, mask=mask, keep=keep)
    progress("fit")
    examples = pairs.examples(before, after)
    coarse = min(size, SIZE) if space else size  # the look is smooth
    lut = look = fit(examples, coarse, smoothness=1.0, identity=0.01)
    if space:
        lut = Lut.of(lambda values: look.map(space.display(values)), size)
        examples = pairs.samples(_values(source), after)
    title = f"{source.stem} like {styles.name}" if title is None else title
    takes = space.name if space else SRGB
    psnr = write_fitted(lut, target, title, clamp, overwrite, examples, takes)
    return LutReport(target, (*photo.notes, *styles.notes), psnr)


def fit_lut(
    before: File,
    after: File,
    output: File,
    *,
    size: int | None = None,
    title: str | None = None,
    clamp: bool = True,
    prior: File | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> LutReport:
    """Write the LUT that turns the photo ``before`` into ``after``, an edited version of it.

    The photos may have different sizes and be shifted by a few per cent. Colours that they do not
    show get what a prior, learned from many edits, finds likeliest. before, after: photos, or two
    folders whose photos of the same name (without extension) are pairs. prior: a file of
    `photostyle train-edits`; None for the one that comes with photostyle. Everything else is as in
    `make_lut`; progress is called with the phases read and fit.

    The report has the PSNR between ``before`` transformed by the LUT and ``after``, where both
    show the same. Raises PhotostyleError as `make_lut` does, if two photos do not show the same,
    and if the folders have no names in common.
    """
    from photostyle.lut import pairs
    from photostyle.lut.fit import Examples, fit
    from photostyle.lut.prior import load

    target = output_path(output, f"{as_path(before).stem}-{as_path(after).stem}.cube")
    found = _pairs(as_path(before), as_path(after))
    size = SIZE if size is None else size
    _check_lut(target, size, overwrite, [path for pair in found for path in pair])
    likely = load(None if prior is None else as_path(prior))
    parts, notes = [], list[str]()
    for number, names in enumerate(found):
        progress("read", number, len(found))
        photos = [_read(path) for path in names]
        notes += [note for one in photos for note in one.notes]
        try:
            most = pairs.MAX_EXAMPLES // len(found) + 1
            first, second = (one.visible()[0] for one in photos)
            parts.append(pairs.examples(first, second, most))
        except PhotostyleError as error:
            raise PhotostyleError(f"{str(names[0])!r} and {str(names[1])!r}: {error}") from error
    progress("fit")
    together = Examples.together(parts)
    lut = fit(together, size, prior=likely)
    title = as_path(after).stem if title is None else title
    psnr = write_fitted(lut, target, title, clamp, overwrite, together)
    return LutReport(target, tuple(notes), psnr)


def _check_lut(target: Path, size: int, overwrite: bool, inputs: Iterable[Path]) -> None:
    """Raise PhotostyleError, before the work, if no LUT of that size can be written there."""
    from photostyle.lut import check_suffix

    if not 2 <= size <= 256:
        raise PhotostyleError(f"A LUT has 2 to 256 points per axis, not {size}.")
    check_suffix(target)
    check_target(target, overwrite=overwrite, inputs=inputs)


def _read(path: Path, space: InputSpace | None = None) -> Photo:
    from photostyle import photo

    return photo.read(path, still=True, metadata=False, input_space=space).in_profile(None)


def _values(path: Path) -> Any:
    """The pixels of a photo, as they are in its file."""
    from photostyle import photo

    return photo.read(path, still=True, metadata=False, color_managed=False).pixels


def _pairs(before: Path, after: Path) -> list[tuple[Path, Path]]:
    """Both files, or the files of the same name in two folders."""
    if not (before.is_dir() and after.is_dir()):
        return [(before, after)]
    firsts, seconds = (
        {file.stem: file for file in sorted(folder.iterdir()) if not file.name.startswith(".")}
        for folder in (before, after)
    )
    found = [(file, seconds[name]) for name, file in firsts.items() if name in seconds]
    if not found:
        raise PhotostyleError(
            f"The folders {str(before)!r} and {str(after)!r} have no file names in common."
        )
    return found


def write_fitted(
    lut: Lut,
    target: Path,
    title: str,
    clamp: bool,
    overwrite: bool,
    examples: Examples,
    takes: str = SRGB,
) -> float:
    """Write a LUT with its title and colour spaces; return its closeness to ``examples``."""
    from photostyle import lut as luts
    from photostyle.lut.fit import closeness

    lut = replace(lut, table=lut.table.clip(0, 1)) if clamp else lut
    comments = (
        f"photostyle {__version__}",
        f"{_TAKES}{takes}",
        f"Output colour space: {SRGB}",
    )
    luts.write(lut.titled(title, *comments), target, overwrite=overwrite)
    return closeness(lut, examples.colors, examples.targets)


def apply_lut(
    lut: File,
    photo: File,
    output: File | None = None,
    *,
    input_space: str | None = None,
    depth: Depth = "auto",
    quality: int | None = None,
    strip_metadata: bool = False,
    overwrite: bool = False,
) -> LutReport:
    """Write the photo ``photo`` with its colours transformed by a LUT.

    The LUT takes and gives sRGB: a photo with another profile is converted to sRGB and back. A LUT
    whose comments name another input space, as `make_lut` writes them, gets the values of the file
    as they are, and the result is in sRGB. The transform is computed with 16 bits per channel; a
    result with 8 is dithered. The photo keeps what `photostyle.jobs.photo.stylize_photo` keeps.

    lut: a `.cube` file or a Hald CLUT. output: a file whose extension names the format; None for
    PHOTO-LUT with the extension of the photo in the current folder. input_space, depth, quality,
    strip_metadata, overwrite: as in `stylize_photo`; an input space is for LUTs that take sRGB.

    Raises PhotostyleError if a file cannot be read, an option is invalid, or the result cannot be
    written.
    """
    from photostyle import lut as luts
    from photostyle import photo as photos
    from photostyle.photo.formats import FORMATS

    check_options(depth, quality)
    look, source = as_path(lut), as_path(photo)
    table = luts.read(look)
    space = input_spaces.named(input_space)
    takes = next((line[len(_TAKES) :] for line in table.comments if line.startswith(_TAKES)), SRGB)
    if takes != SRGB and space:
        raise PhotostyleError(f"The LUT takes {takes} itself; leave out --input-space.")
    original = photos.read(source, color_managed=takes == SRGB, input_space=space)
    if takes != SRGB:
        original = original.written_in_srgb()
    target = Path(f"{source.stem}-{look.stem}{photos.suffix_for(original, source.suffix)}")
    target = target if output is None else output_path(output, target)
    format = photos.format_of(target)
    photos.check_depth(format, depth)
    check_target(target, overwrite=overwrite, inputs=[look, source])
    result = original.with_depth(16).in_profile(None)
    result = result.map_visible(lambda pixels, _: table(pixels))
    wanted = original.depth if depth == "auto" else int(depth)
    bits = 16 if min(wanted, FORMATS[format].depth) > 8 and not result.animation else 8
    result = result.in_profile(original.profile).with_depth(bits, dithered=True)
    software = f"photostyle {__version__} (LUT {look.stem})"
    result = result.stripped() if strip_metadata else result.stamped(software)
    photos.write(result, target, overwrite=overwrite, quality=quality)
    return LutReport(target, (*original.notes, *photos.unsupported_features(result, format)))

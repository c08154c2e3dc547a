"""Stylizes one photo like another, from file to file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, get_args

from photostyle.errors import PhotostyleError
from photostyle.files import as_path, output_path
from photostyle.jobs import input_space as input_spaces
from photostyle.jobs.animation import stylize_animation
from photostyle.jobs.masks import Masks
from photostyle.jobs.models import load_stylizer, model_name
from photostyle.jobs.progress import Progress, Stopwatch, silent
from photostyle.jobs.report import Result, check_page, shown, write_page
from photostyle.jobs.styles import StyleInputs, source_of
from photostyle.transfer.options import KEEPS, MATCHES, TILE, WORKING_SIZE, Keep, Match, Mode
from photostyle.version import __version__

if TYPE_CHECKING:
    from photostyle.jobs.models import Model
    from photostyle.jobs.styles import Styles
    from photostyle.photo import Photo

    File = str | os.PathLike[str] | BinaryIO

Depth = Literal["8", "10", "16", "auto"]
"""Bits per channel of the result, 10 in AVIF and HEIC only; auto: more than 8 if the content has
more and the format can store them."""

ProfileChoice = Literal["keep", "srgb"]
"""Colour profile of the result: keep the content's, or convert to sRGB."""


@dataclass(frozen=True)
class PhotoReport:
    """A report on what `stylize_photo` did.

    output: the file written; None for a stream. compare: the file with content, style and result
    side by side, if any. page: the report to look at, if any. content_size, style_size: width and
    height in pixels, of what is not one style photo None. model: name or path; None for a loaded
    `Stylizer`. mode: "fast" or "exact". strength: 0 to 1.5. match: see `Match`. keep: see `Keep`.
    seconds: wall-clock time of the phases read, load, learn, apply and write. notes: sentences on
    parts of the files that were not read or kept, and on regions without a counterpart.
    """

    output: Path | None
    compare: Path | None
    page: Path | None
    content_size: tuple[int, int]
    style_size: tuple[int, int] | None
    model: str | None
    device: str
    mode: str
    strength: float
    match: Match
    keep: Keep
    seconds: dict[str, float]
    notes: tuple[str, ...]


def stylize_photo(
    content: File,
    style: Styles | StyleInputs,
    output: File | None = None,
    *,
    model: Model = "photonas",
    device: str = "auto",
    strength: float = 1.0,
    match: Match = "auto",
    keep: Keep = "none",
    content_mask: File | None = None,
    style_mask: File | None = None,
    only: File | None = None,
    mode: Mode = "auto",
    working_size: int = WORKING_SIZE,
    tile: int = TILE,
    input_space: str | None = None,
    depth: Depth = "auto",
    profile: ProfileChoice = "keep",
    quality: int | None = None,
    strip_metadata: bool = False,
    still: bool = False,
    salvage: bool = False,
    compare: bool = False,
    report: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> PhotoReport:
    """Write the photo ``content`` with the colours and tones of the photo ``style``.

    An animation is stylized like a clip (see `photostyle.jobs.clip`), with the statistics of each
    shot, every frame on its own copy; with "exact", of up to ``tile`` pixels.

    The result has the size of the content and keeps its transparency, animation, colour profile,
    bit depth and metadata as far as the format can store them. An output file appears complete or
    not at all.

    content: a file of any format that `photostyle.photo.read` knows, or a binary stream. style:
    such a photo, a folder of photos, which count as one style, a style file, or a learned style; or
    a list of these, which are mixed evenly, or by weight: [("dusk.jpg", 0.7), ("fog.style", 0.3)].
    output: a file whose extension names the format; a binary stream, which gets the format of the
    content; a folder, for CONTENT-STYLE with the extension of the content in it; or None for that
    in the current folder.
    model: a bundled name, a weights file, or a loaded `Stylizer`, which can be reused and has its
    own device. device: as in `photostyle.load`. strength, match, keep, mode, working_size, tile:
    as in `Stylizer.apply`. content_mask, style_mask: label maps, in which each colour is a region
    (see `photostyle.photo.label_map`); each region of the content takes the colours of the
    region of the same colour in the style. only: a mask of the content; all of the change where it
    is white, none where it is black. Masks are upright, of any size and format, and serve all
    frames of an animation. input_space: what the values of the content mean, whatever its profile
    says; None for its profile. Log footage is mapped to sRGB first, and the result is in sRGB.
    depth: see `Depth`. profile: see `ProfileChoice`. quality: 1 to 100, for
    lossy formats; None is 95, for AVIF and HEIC 90. strip_metadata: leave out all metadata except
    the resolution. still: use only the first frame of an animation. salvage: read a JPEG as content
    that is cut off as far as it goes. compare: also write content, style and result side by side to
    OUTPUT-compare. report: also write a page to look at, with both photos under a slider (see
    `photostyle.jobs.report`). overwrite: replace existing files, but never an input. progress: a
    `Progress`, called with the phases of `PhotoReport`.

    Raises PhotostyleError if a photo or a mask cannot be read, a mask has another shape than its
    photo, only one of the two label maps is given, the model or the device cannot be used, an
    option is invalid, or the result cannot be written; TypeError if a file or the model has a wrong
    type.
    """
    check_options(depth, quality, profile, match, keep)
    _check_label_maps(content_mask, style_mask, match)
    # Imports no torch, which another thread may import while the photos are read.
    from photostyle import photo

    watch, source, space = Stopwatch(progress), source_of(content), input_spaces.named(input_space)
    if isinstance(source, Path) and source.is_dir():
        raise PhotostyleError(f"{str(source)!r} is a folder; `photostyle batch` stylizes folders.")
    mask_sources = [
        None if file is None else source_of(file) for file in (content_mask, style_mask, only)
    ]
    with watch("read"):
        content_photo = photo.read(source, still=still, salvage=salvage, input_space=space)
        styles = StyleInputs.of(style)
        target = _Target.choose(output, default_output(content_photo, source, styles.name), compare)
        photo.check_depth(target.format, depth)
        inputs = [path for path in (source, *mask_sources) if isinstance(path, Path)]
        target.check([*inputs, *styles.paths], overwrite)
        page = None if report is None else as_path(report)
        if page:
            check_page(page, overwrite=overwrite, inputs=[*inputs, *styles.paths])
        style_size = styles.photo.size if styles.photo else None
        masks = Masks.read(mask_sources, content_photo.size, style_size)
    with watch("load"):
        stylizer = load_stylizer(model, device)
    with watch("learn"):
        learned = styles.learn(
            stylizer,
            content_photo.profile,
            masks.style,
            lambda done, total: progress("learn", done, total),
        )
    before = shown(content_photo) if page else None
    width, height = content_photo.size
    chosen = stylizer.choose_mode(mode, height, width)
    with watch("apply", chosen):
        result = content_photo.with_depth(16) if depth in ("10", "16") else content_photo
        if result.animation:
            size = working_size if chosen == "fast" else min(max(width, height), tile)
            result = stylize_animation(
                result,
                stylizer,
                learned,
                strength,
                match,
                keep,
                size,
                masks,
                lambda done: progress("apply", done, 1, chosen),
            )
        else:
            result = result.map_visible(
                lambda pixels, mask: stylizer.apply(
                    pixels,
                    learned,
                    strength,
                    match=match,
                    keep=keep,
                    mode=chosen,
                    working_size=working_size,
                    tile=tile,
                    mask=mask,
                    labels=masks.content,
                    only=masks.only,
                    in_place=not compare,
                    progress=lambda done: progress("apply", done, 1, chosen),
                )
            )
    name = model_name(model)
    with watch("write"):
        stamp = None if strip_metadata else software(name, chosen, strength, match, keep)
        result = _finished(result, depth, profile, stamp)
        pictures = styles.pictures(learned) if target.compared else []
        inputs_shown = [("content", content_photo), *labelled(pictures)]
        target.write(result, inputs_shown, overwrite, quality)
    unsupported = photo.unsupported_features(result, target.format)
    done = PhotoReport(
        output=None if target.stream else target.path,
        compare=target.compared,
        page=page,
        content_size=content_photo.size,
        style_size=style_size,
        model=name,
        device=str(stylizer.device),
        mode=chosen,
        strength=strength,
        match=match,
        keep=keep,
        seconds=watch.seconds,
        notes=(*content_photo.notes, *styles.notes, *masks.notes(), *unsupported),
    )
    if page and before is not None:
        entry = Result(
            target.path.name,
            before,
            shown(result),
            {label: shown(one) for label, one in labelled(styles.pictures(learned))},
            {f"{phase}, s": seconds for phase, seconds in done.seconds.items()},
            done.notes,
        )
        title = f"{_name(source).stem} like {styles.name}"
        write_page([entry], page, title=title, settings=_settings(done), overwrite=overwrite)
    return done


def check_options(
    depth: str,
    quality: int | None,
    profile: str = "keep",
    match: str = "auto",
    keep: str = "none",
) -> None:
    """Raise PhotostyleError if an option of `stylize_photo` is invalid."""
    for name, value, known in (
        ("depth", depth, get_args(Depth)),
        ("profile", profile, get_args(ProfileChoice)),
        ("match", match, MATCHES),
        ("keep", keep, KEEPS),
    ):
        if value not in known:
            raise PhotostyleError(f"Unknown {name} {value!r}; use {', '.join(known)}.")
    if quality is not None and not 1 <= quality <= 100:
        raise PhotostyleError(f"The quality must be between 1 and 100, not {quality}.")


def _check_label_maps(content_mask: object, style_mask: object, match: str) -> None:
    if (content_mask is None) != (style_mask is None):
        raise PhotostyleError("Give a content mask and a style mask, or neither.")
    if content_mask is not None and match in ("global", "none"):
        raise PhotostyleError(f"Masks of regions cannot be used with the match {match!r}.")


@dataclass(frozen=True)
class _Target:
    """Where to write the result: to ``path``, or to ``stream`` in the format that ``path`` names.

    compared: the file for content, style and result side by side, if any.
    """

    path: Path
    stream: BinaryIO | None
    compared: Path | None
    format: str

    @classmethod
    def choose(cls, output: File | None, default: Path, compare: bool) -> _Target:
        from photostyle import photo

        target = default if output is None else source_of(output)
        path, stream = (target, None) if isinstance(target, Path) else (default, target)
        if isinstance(output, (str, os.PathLike)):
            path = output_path(output, default)
        if stream and compare:
            raise PhotostyleError("A comparison needs an output file, not a stream.")
        compared = path.with_name(f"{path.stem}-compare{path.suffix}") if compare else None
        return cls(path, stream, compared, photo.format_of(path))

    def check(self, inputs: list[Path], overwrite: bool) -> None:
        """Raise PhotostyleError, before the work, if a file cannot be written."""
        from photostyle.files import check_target

        for file in (self.compared, None if self.stream else self.path):
            if file:
                check_target(file, overwrite=overwrite, inputs=inputs)

    def write(
        self,
        result: Photo,
        inputs: Sequence[tuple[str, Photo]],
        overwrite: bool,
        quality: int | None,
    ) -> None:
        from photostyle import photo
        from photostyle.files import new_file

        if self.stream:
            photo.encode(result, self.format, self.stream, quality=quality)
            self.stream.flush()
            return
        # The result gets its name only after the comparison is complete as well.
        with new_file(self.path, overwrite=overwrite) as stream:
            photo.encode(result, self.format, stream, quality=quality)
            if self.compared:
                row = photo.side_by_side([*inputs, ("result", result)])
                photo.write(row, self.compared, overwrite=overwrite, quality=quality)


def labelled(styles: Sequence[Photo]) -> list[tuple[str, Photo]]:
    """The pictures of styles with their labels."""
    names = ["style"] if len(styles) == 1 else [f"style {n}" for n in range(1, len(styles) + 1)]
    return list(zip(names, styles, strict=True))


def _finished(result: Photo, depth: Depth, profile: ProfileChoice, stamp: str | None) -> Photo:
    """The result as it will be written; stamp: for the metadata, None to strip them."""
    result = result.with_depth(8) if depth == "8" else result
    result = result.written_in_srgb() if profile == "srgb" else result
    return result.stripped() if stamp is None else result.stamped(stamp)


def software(
    model: str | None,
    mode: str,
    strength: float,
    match: str,
    keep: str = "none",
    regions: float = 1.0,
) -> str:
    """The program and its settings, for the metadata.

    regions: how far a match by region was followed, see `photostyle.ui.look`.
    """
    settings = [f"mode {mode}", f"strength {strength:g}", f"match {match}"]
    if model:
        settings.insert(0, f"model {Path(model).stem}")
    if keep != "none":
        settings.append(f"keep {keep}")
    if regions < 1:
        settings.append(f"regions {regions:g}")
    return f"photostyle {__version__} ({', '.join(settings)})"


def _settings(done: PhotoReport) -> dict[str, object]:
    """The settings of a result by name, to be shown."""
    model = {"model": Path(done.model).stem} if done.model else {}
    width, height = done.content_size
    return {
        **model,
        "device": done.device,
        "mode": done.mode,
        "strength": f"{done.strength:g}",
        "match": done.match,
        **({"keep": done.keep} if done.keep != "none" else {}),
        "size": f"{width} x {height}",
    }


def _name(content: Path | BinaryIO) -> Path:
    return content if isinstance(content, Path) else Path("stdin")


def default_output(photo: Photo, content: Path | BinaryIO, style: str) -> Path:
    """CONTENT-STYLE with an extension that suits the photo; a stream is named "stdin"."""
    from photostyle.photo import suffix_for

    first = _name(content)
    return Path(f"{first.stem}-{style}{suffix_for(photo, first.suffix)}")

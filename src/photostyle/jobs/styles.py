"""The styles of a job: photos, folders of photos, style files and learned styles, with weights."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Protocol

from photostyle.errors import PhotostyleError
from photostyle.files import as_path, read_bytes
from photostyle.transfer.options import fractions

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from photostyle.photo import Photo
    from photostyle.transfer.style import AnyStyle, Style
    from photostyle.transfer.stylizer import Stylizer

    File = str | os.PathLike[str] | BinaryIO
    StyleSource = File | AnyStyle
    Styles = StyleSource | Sequence[StyleSource | tuple[StyleSource, float]]
    Labels = npt.NDArray[np.uint8]
    Counted = Callable[[int, int], None]

SUFFIX = ".style"
"""The extension of style files."""

_WEIGHT = re.compile(r"(.+):([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", re.DOTALL)

_TOLERANCE = 0.015
"""How far a sum of weights may be from 1 without a note: 0.33 three times is no mistake."""

_NAMED = 3
"""How many files a note names."""


def weighted(names: Sequence[str]) -> list[str | tuple[str, float]]:
    """File names as on the command line, with weights as in ``dusk.jpg:0.7``.

    A name that exists as it is has no weight. Raises PhotostyleError if only some have weights.
    """
    found: list[str | tuple[str, float]] = []
    for name in names:
        match = None if os.path.lexists(name) else _WEIGHT.fullmatch(name)
        found.append((match[1], float(match[2])) if match else name)
    plain = [entry for entry in found if isinstance(entry, str)]
    if 0 < len(plain) < len(found):
        raise PhotostyleError(f"Give all styles a weight, or none; {plain[0]!r} has no weight.")
    return found


def source_of(file: File) -> Path | BinaryIO:
    """A path, or a binary stream; raises TypeError for anything else."""
    if isinstance(file, (str, os.PathLike)):
        return as_path(file)
    is_text = hasattr(file, "encoding")
    if is_text or not (hasattr(file, "read") or hasattr(file, "write")):
        raise TypeError(f"A photo is a path or a binary stream, not {type(file).__name__}.")
    return file


class StyleInputs:
    """The styles of a job, read as far as that needs no network.

    styles: one, or several, each alone or with its weight. paths: their files and folders. name:
    for the default name of the output. notes: sentences about the weights and what is not read.

    Raises PhotostyleError for a file that is neither a photo nor a style file, and for weights that
    are negative or all 0; TypeError for something else.
    """

    @classmethod
    def of(cls, styles: Styles | StyleInputs) -> StyleInputs:
        """``styles`` itself if they are read already."""
        return styles if isinstance(styles, StyleInputs) else cls(styles)

    def __init__(self, styles: Styles) -> None:
        listed = styles if isinstance(styles, (list, tuple)) else [styles]
        if not listed:
            raise PhotostyleError("Give at least one style.")
        pairs = [one if isinstance(one, tuple) else (one, None) for one in listed]
        self._weights = [1.0 if weight is None else float(weight) for _, weight in pairs]
        shares = fractions(self._weights)
        self.paths: list[Path] = []
        self.notes = [] if pairs[0][1] is None else list(_weight_notes(self._weights, shares))
        names = []
        self._inputs: list[_Input] = []
        self._learned: dict[tuple[str, bytes | None], AnyStyle] = {}
        for one, _ in pairs:
            if hasattr(one, "digest"):
                self._inputs.append(_Learned(one))
                continue
            source = source_of(one)
            if isinstance(source, Path):
                self.paths.append(source)
            names.append(_name(source))
            self._inputs.append(_read(source))
        self.name = "-".join(Path(name).stem or name for name in names) or "style"
        for one in self._inputs:
            self.notes += one.photo.notes if isinstance(one, _Photo) else ()

    @property
    def photo(self) -> Photo | None:
        """The photo, if that is the only style."""
        only = self._inputs[0]
        return only.photo if len(self._inputs) == 1 and isinstance(only, _Photo) else None

    def learn(
        self,
        stylizer: Stylizer,
        profile: bytes | None = None,
        labels: Labels | None = None,
        progress: Counted = lambda *_: None,
    ) -> AnyStyle:
        """The style, or the mix of all styles.

        profile: RGB profile in which photos are learned; None is sRGB. labels: of the only photo.
        progress: called with the numbers of files of a folder that are done and in all. Without
        labels, what was learned for a profile is kept for the next call. Raises PhotostyleError as
        `Stylizer.check_style` does, for a damaged style file, and for a folder without photos.
        """
        if labels is not None:
            return self._learn(stylizer, profile, labels, progress)
        key = stylizer.checkpoint.digest, profile
        if key not in self._learned:
            self._learned[key] = self._learn(stylizer, profile, labels, progress)
        return self._learned[key]

    def _learn(
        self, stylizer: Stylizer, profile: bytes | None, labels: Labels | None, progress: Counted
    ) -> AnyStyle:
        from photostyle.transfer.style import StyleMix

        styles = []
        for one in self._inputs:
            styles.append(one.learn(stylizer, profile, labels, progress))
            stylizer.check_style(styles[-1])
            self.notes += one.skipped() if isinstance(one, _Folder) else ()
        if len(styles) == 1:
            return styles[0]
        return StyleMix.of(zip(styles, self._weights, strict=True))

    def pictures(self, learned: AnyStyle) -> list[Photo]:
        """What to show of the styles: the photo, or thumbnails of what was learned."""
        from photostyle.photo import Photo
        from photostyle.transfer.style import parts_of

        if self.photo:
            return [self.photo]
        thumbnails = (part.picture() for part, _ in parts_of(learned))
        return [Photo(pixels) for pixels in thumbnails]


def _weight_notes(weights: Sequence[float], shares: Sequence[float]) -> Iterator[str]:
    total = sum(weights)
    if abs(total - 1) <= _TOLERANCE:
        return
    if len(weights) == 1:
        yield "The weight of a single style has no effect; --strength sets how far to follow it."
        return
    *parts, last = (f"{share:.2g}" for share in shares)
    counted = f"{', '.join(parts)} and {last}"
    yield f"The weights add up to {total:g} instead of 1; they count as {counted}."


class _Input(Protocol):
    """One style of a job."""

    def learn(
        self,
        stylizer: Stylizer,
        profile: bytes | None,
        labels: Labels | None,
        progress: Counted,
        /,
    ) -> AnyStyle: ...


@dataclass(frozen=True)
class _Learned:
    """A style that was learned before."""

    style: AnyStyle

    def learn(self, *_: object) -> AnyStyle:
        return self.style


@dataclass(frozen=True)
class _Photo:
    """A photo, and the name of its file."""

    photo: Photo
    name: str

    def learn(
        self, stylizer: Stylizer, profile: bytes | None, labels: Labels | None, _: Counted
    ) -> Style:
        photo = self.photo.in_profile(profile).with_depth(8)
        style = stylizer.learn(*photo.visible(), labels=labels)
        return replace(style, provenance={**style.provenance, "photos": [self.name]})


@dataclass(frozen=True)
class _StyleFile:
    """The bytes of a style file."""

    data: bytes
    name: str

    def learn(self, stylizer: Stylizer, *_: object) -> AnyStyle:
        from photostyle.transfer import style_file

        return stylizer.with_blocks(style_file.deserialize(self.data, self.name))


class _Folder:
    """A folder of photos, which are read one by one and learned as one style."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            files = [path for path in sorted(path.iterdir()) if path.is_file()]
        except OSError as error:
            raise PhotostyleError(
                f"The folder {str(path)!r} cannot be read: {error.strerror or error}."
            ) from error
        self._files = [file for file in files if not file.name.startswith(".")]
        self._skipped: list[str] = []

    def learn(
        self, stylizer: Stylizer, profile: bytes | None, _: Labels | None, progress: Counted
    ) -> Style:
        from photostyle.transfer.style import pooled

        style = pooled(self._each(stylizer, profile, progress), len(self._files))
        if style is None:
            raise PhotostyleError(f"The folder {str(self.path)!r} has no photo that can be read.")
        return style

    def skipped(self) -> Iterator[str]:
        """A sentence on the files that could not be read, if there are any."""
        if self._skipped:
            more = " and others" if len(self._skipped) > _NAMED else ""
            yield (
                f"{len(self._skipped)} of {len(self._files)} files in {str(self.path)!r} could not "
                f"be read as photos: {', '.join(self._skipped[:_NAMED])}{more}."
            )

    def _each(
        self, stylizer: Stylizer, profile: bytes | None, progress: Counted
    ) -> Iterator[Style]:
        from photostyle import photo

        self._skipped.clear()
        for number, file in enumerate(self._files, 1):
            try:
                found = photo.read_style(file)
            except PhotostyleError:
                self._skipped.append(file.name)
            else:
                yield _Photo(found, file.name).learn(stylizer, profile, None, progress)
            progress(number, len(self._files))


def _read(source: Path | BinaryIO) -> _Input:
    """A style, read as far as that needs no network."""
    from photostyle import photo

    name = _name(source)
    if isinstance(source, Path):
        if source.is_dir():
            return _Folder(source)
        if not _is_style_file(source):
            return _Photo(photo.read_style(source), name)
        data = read_bytes(source)
    else:
        if source.seekable():
            source.seek(0)
        data = source.read()
        if not _starts_like_a_style(data[:9]):
            return _Photo(photo.read_style(BytesIO(data)), name)
    return _StyleFile(data, name)


def _is_style_file(path: Path) -> bool:
    """By its content; what has the extension is one that is damaged."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError:
        return False
    return _starts_like_a_style(start) or path.suffix.lower() == SUFFIX


def _starts_like_a_style(start: bytes) -> bool:
    """Whether a file starts as safetensors do: the length of a JSON object, then the object."""
    return start[8:] == b"{" and start[4:8] == bytes(4)


def _name(source: Path | BinaryIO) -> str:
    return source.name or source.resolve().name if isinstance(source, Path) else "stdin"

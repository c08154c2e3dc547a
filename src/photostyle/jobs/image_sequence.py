"""Image sequences as clips: each frame is read as a photo, so its profile and orientation count."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from photostyle.errors import PhotostyleError
from photostyle.lut import cube
from photostyle.video import Clip, Reader, Source, VideoFrame, sequence
from photostyle.video import probe as probe_video
from photostyle.video.reader import DECODED_AHEAD, reduced_size

if TYPE_CHECKING:
    from photostyle.input_space import InputSpace
    from photostyle.photo import Photo
    from photostyle.threads import Channel

WHITE = 1.0
"""The white of floats in every frame; that of single photos depends on their highlights."""


def probe(source: Source) -> Clip:
    """The properties of a clip or an image sequence; of the latter those of its first frame.

    Raises PhotostyleError if no frame can be decoded.
    """
    if not source.is_image_sequence:
        return probe_video(source)
    files = _files(source)
    first, rate = _read(files[0], source.input_space), source.frame_rate
    kind = "rgb" if first.alpha is None and not any(map(_has_alpha, files)) else "rgba"
    bits = f"{len(kind) * 16}le" if first.depth == 16 else "" if kind == "rgba" else "24"
    return Clip(
        source,
        size=first.size,
        time_base=1 / rate,
        rate=rate,
        duration=float(len(files) / rate),
        pixel_format=kind + bits,
        matrix="bt709",
        primaries="bt709",
        transfer="iec61966-2-1",
        range="tv",
    )


def reader(
    clip: Clip,
    long_side: int | None = None,
    *,
    depth: int = 8,
    alpha: bool = False,
    keep_hdr: bool = False,
    lut: Path | None = None,
) -> Reader | SequenceReader:
    """A `video.Reader` of a clip, or a `SequenceReader` of an image sequence."""
    if clip.source.is_image_sequence:
        return SequenceReader(clip, long_side, depth=depth, alpha=alpha, lut=lut)
    return Reader(clip, long_side, depth=depth, alpha=alpha, keep_hdr=keep_hdr, lut=lut)


def has_transparency(clip: Clip) -> bool:
    """Whether a pixel of a clip or an image sequence is not opaque."""
    if not clip.has_alpha:
        return False
    frames = reader(clip, alpha=True)
    return any(frame.alpha is not None and frame.alpha.min() < 255 for frame in frames)


class SequenceReader:
    """Iterates over the frames of an image sequence, in sRGB.

    Parameters and attributes are those of `video.Reader`; frames that are reduced have 8 bits. The
    iteration raises PhotostyleError if a frame cannot be read or has another size than the first.
    """

    def __init__(
        self,
        clip: Clip,
        long_side: int | None = None,
        *,
        depth: int = 8,
        alpha: bool = False,
        lut: Path | None = None,
    ) -> None:
        self.clip, self.alpha = clip, alpha
        self._lut = cube.read(lut) if lut else None
        self.size = reduced_size(clip, long_side)
        self.depth = depth if self.size == clip.size else 8
        self.damage: list[str] = []
        self.shifts: list[Fraction] = []
        self.notes: list[str] = sequence.gaps(_files(clip.source))

    def __iter__(self) -> Iterator[VideoFrame]:
        from photostyle.threads import Channel, Worker

        decoded: Channel[Photo] = Channel(DECODED_AHEAD)
        worker = Worker(partial(self._decode, decoded))
        with closing(decoded):
            for number, photo in enumerate(decoded):
                yield self._frame(number, photo)
        worker.result()

    def _decode(self, decoded: Channel[Photo]) -> None:
        """Runs in a thread until the frames or the channel end."""
        files = _files(self.clip.source)
        noted = set(self.notes)
        with closing(decoded):
            for file in files:
                photo = _read(file, self.clip.source.input_space)
                if photo.size != self.clip.size:
                    raise PhotostyleError(
                        f"The frame {str(file)!r} has {photo.size[0]}x{photo.size[1]} pixels, but "
                        f"the first one, {files[0].name!r}, has "
                        f"{self.clip.size[0]}x{self.clip.size[1]}; give all frames one size."
                    )
                for note in photo.notes:
                    text = note.removeprefix(f"{str(file)!r}: ")
                    if text not in noted:
                        noted.add(text)
                        self.notes.append(f"{file.name!r}, and perhaps later frames: {text}")
                if not decoded.put(photo.in_profile(None).with_depth(self.depth)):
                    return

    def _frame(self, number: int, photo: Photo) -> VideoFrame:
        import numpy as np
        from PIL import Image

        pixels, alpha = photo.pixels, photo.alpha if self.alpha else None
        pixels = self._lut(pixels) if self._lut else pixels
        if self.size != self.clip.size:
            box = Image.Resampling.BOX
            pixels = np.asarray(Image.fromarray(pixels).resize(self.size, box))
            if alpha is not None:
                alpha = np.array(Image.fromarray(alpha).resize(self.size, box))
        planes = np.array(pixels.transpose(2, 0, 1), order="C")
        return VideoFrame(number, planes.transpose(1, 2, 0), number, 1, self.clip.time_base, alpha)


def _files(source: Source) -> list[Path]:
    """The frames from start to end; raises PhotostyleError if there is none."""
    files, rate = source.files, source.frame_rate
    first = math.ceil(round(float((source.start or 0) * rate), 3))
    last = len(files) if source.end is None else math.ceil(round(float(source.end * rate), 3))
    if not files[first:last]:
        raise PhotostyleError(
            f"{str(source.path)!r} has no frame after {source.start or 0:g} seconds."
        )
    return files[first:last]


def _read(file: Path, space: InputSpace | None) -> Photo:
    from photostyle import photo

    if file.suffix.lower() == ".dpx":
        return photo.read(BytesIO(sequence.as_png(file)), still=True, input_space=space)
    return photo.read(file, still=True, metadata=False, white=WHITE, input_space=space)


def _has_alpha(file: Path) -> bool:
    """Whether a file of which Pillow knows it has alpha."""
    from PIL import Image

    try:
        with Image.open(file) as image:
            return image.has_transparency_data
    except (OSError, ValueError, SyntaxError):
        return False

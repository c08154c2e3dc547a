"""One LUT for a clip: fitted to what the engine makes of frames of all of it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from photostyle.errors import PhotostyleError
from photostyle.files import scratch_file

if TYPE_CHECKING:
    from photostyle.lut import Lut
    from photostyle.transfer.video_stylizer import VideoStylizer
    from photostyle.video import VideoFrame

FRAMES = 12
"""Least number of frames to which a LUT is fitted, if a clip has as many."""

SIZE = 33
"""Points per axis."""


def evenly(
    frames: Iterable[VideoFrame], anew: Callable[[VideoFrame], bool] = lambda _: False
) -> list[VideoFrame]:
    """FRAMES to twice as many frames, evenly spread over all from the last that is ``anew`` on."""
    kept: list[VideoFrame] = []
    step, number = 1, 0
    for frame in frames:
        if anew(frame):
            kept, step, number = [], 1, 0
        if number % step == 0:
            kept.append(frame)
        number += 1
        if len(kept) > 2 * FRAMES:
            kept, step = kept[::2], 2 * step
    return kept


def fitted(stylizer: VideoStylizer, frames: Iterable[VideoFrame]) -> tuple[Lut, float]:
    """The LUT that comes closest to stylizing frames, and how close it comes: the PSNR in dB.

    The frames are stylized in place; their transparent pixels do not count. Raises PhotostyleError
    if nothing is visible in any of them.
    """
    from photostyle.lut import pairs
    from photostyle.lut.fit import Examples, closeness, fit

    parts = []
    for frame in frames:
        before = frame.pixels.copy()
        stylizer(frame)
        shown = slice(None) if frame.alpha is None else frame.alpha > 0
        colors, targets = (pixels[shown].reshape(-1, 1, 3) for pixels in (before, frame.pixels))
        if len(colors):
            parts.append(pairs.samples(colors, targets, pairs.MAX_EXAMPLES // FRAMES))
    if not parts:
        raise PhotostyleError("The clip has no visible pixel to which a LUT could be fitted.")
    examples = Examples.together(parts)
    lut = fit(examples, SIZE, smoothness=1.0, identity=0.01)
    lut = replace(lut, table=lut.table.clip(0, 1))
    return lut, closeness(lut, examples.colors, examples.targets)


def file_of(lut: Lut, files: ExitStack) -> Path:
    """A temporary `.cube` file, which is removed when ``files`` are closed."""
    from photostyle.lut import cube

    stream = files.enter_context(scratch_file(Path(tempfile.gettempdir()), ".cube"))
    cube.dump(lut, stream)
    stream.flush()
    return Path(stream.name)

"""Stylizes an animated photo like a shot of a clip, so that fades and flashes stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    import numpy.typing as npt

    from photostyle.jobs.masks import Masks
    from photostyle.photo import Photo
    from photostyle.transfer.options import Keep, Match
    from photostyle.transfer.style import AnyStyle
    from photostyle.transfer.stylizer import Stylizer


@dataclass(frozen=True)
class _Frame:
    """A frame of an animation, as `photostyle.transfer.video_stylizer.Frame`."""

    number: int
    pixels: npt.NDArray[Any]
    time: float = 0.0


def stylize_animation(
    photo: Photo,
    stylizer: Stylizer,
    style: AnyStyle,
    strength: float,
    match: Match,
    keep: Keep,
    working_size: int,
    masks: Masks,
    progress: Callable[[float], None],
) -> Photo:
    """An animated photo in a style; the network sees every frame.

    working_size: long side in pixels of the copies that it sees. progress: called with the fraction
    done, 0..1. Raises PhotostyleError as `VideoStylizer` does.
    """
    from photostyle.transfer.video_stylizer import (
        FrameMasks,
        StyleCue,
        StyleTimeline,
        VideoStylizer,
    )

    visible = [still.visible() for still in photo.stills()]
    frames = [_Frame(number, pixels.copy()) for number, (pixels, _) in enumerate(visible)]
    video = VideoStylizer(
        stylizer,
        StyleTimeline([StyleCue(0.0, style)]),
        strength=strength,
        match=match,
        keep=keep,
        working_size=working_size,
        step=1,
        masks=FrameMasks([mask for _, mask in visible], masks.content, masks.only),
    )
    analyzed = 0.2  # of the work
    if strength > 0:
        for number, _ in enumerate(video.analyze_shots(frames), 1):
            progress(analyzed * number / len(frames))
    for number, _ in enumerate(video.run(frames), 1):
        progress(analyzed + (1 - analyzed) * number / len(frames))
    results = (frame.pixels for frame in frames)
    return photo.map_visible(lambda *_: next(results))

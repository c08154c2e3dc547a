"""How steady a result stays on synthetic clips: `python -m photostyle.bench.steadiness`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from photostyle.bench.scene import scene
from photostyle.bench.synthetic_clips import CLIPS, SyntheticClip
from photostyle.transfer.kept import LUMA
from photostyle.transfer.options import Temporal
from photostyle.transfer.style import AnyStyle
from photostyle.transfer.stylizer import Stylizer, load
from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer

BLOCK = 8
"""Side of the blocks whose colours are compared at still places, in pixels."""

Frames = list[npt.NDArray[np.uint8]]


@dataclass(frozen=True)
class Steadiness:
    """What a result does that its source does not, in 8-bit steps.

    luma: the largest change of the mean luma from one frame to the next, beyond that of the source
    times the gain of the result in light and contrast (at least 1). still: 99th percentile of how
    far blocks at still places are from their median over time; None without such places.
    before_cut: the largest difference between the frames just before a cut and an earlier one;
    None without a cut. cuts: those that were found.
    """

    luma: float
    still: float | None
    before_cut: float | None
    cuts: list[int]


def measure_steadiness(
    clip: SyntheticClip, stylizer: Stylizer, style: AnyStyle, temporal: Temporal = "shot"
) -> Steadiness:
    """The steadiness of a clip in a style."""
    video = VideoStylizer(stylizer, StyleTimeline([StyleCue(0, style)]), temporal=temporal)
    if temporal == "shot":
        for _ in video.analyze_shots(clip.video_frames()):
            pass
    result = [frame.pixels for frame in video.run(clip.video_frames())]
    return Steadiness(
        extra_luma(clip.frames, result, clip.cut),
        None if clip.still is None else unrest(result, clip.still),
        None if clip.cut is None else _bleeding(result, clip.cut),
        video.cuts,
    )


def extra_luma(source: Frames, result: Frames, cut: int | None) -> float:
    """See `Steadiness`."""
    before, after = (np.array([(frame @ LUMA).mean() for frame in one]) for one in (source, result))
    gain = max(1.0, after.mean() / before.mean(), np.std(result) / np.std(source))
    extra = np.abs(np.diff(after)) - gain * np.abs(np.diff(before))
    if cut is not None:
        extra[cut - 1] = 0
    return max(0.0, float(extra.max()))


def unrest(result: Frames, still: npt.NDArray[np.bool_]) -> float:
    """See `Steadiness`; still: (N, H, W)."""
    blocks = np.stack([_blocks(frame.astype(float)) for frame in result])
    whole = np.stack([_blocks(one[..., None].astype(float)) for one in still]) == 1
    shown = np.where(whole, blocks, np.nan)[:, whole.any((0, 3))]
    return float(np.nanpercentile(np.abs(shown - np.nanmedian(shown, 0)), 99))


def _bleeding(result: Frames, cut: int) -> float:
    earlier = result[cut - 13].astype(float)
    return max(float(np.abs(frame - earlier).mean()) for frame in result[cut - 6 : cut])


def _blocks(frame: npt.NDArray[Any]) -> npt.NDArray[Any]:
    height, width = (side // BLOCK * BLOCK for side in frame.shape[:2])
    parts = frame[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK, -1)
    return parts.mean((1, 3))


def styles() -> dict[str, npt.NDArray[np.uint8]]:
    """Style photos: an evening, a bright and pale one, and one with the channels exchanged."""
    day = scene(600, 400)
    return {
        "evening": scene(600, 400, evening=True),
        "pale": (130 + day // 2).astype(np.uint8),
        "exchanged": np.ascontiguousarray(day[..., ::-1]),
    }


def main() -> None:
    """Print the table of docs/video.md: the worst of all styles for each clip."""
    stylizer = load()
    learned = [stylizer.learn(photo) for photo in styles().values()]
    print("| | luma | still places | before a cut |\n|---|---|---|---|")
    for name, make in CLIPS.items():
        found = [measure_steadiness(make(), stylizer, style) for style in learned]
        still = [one.still for one in found if one.still is not None]
        before = [one.before_cut for one in found if one.before_cut is not None]
        columns = [f"{max(values):.2f}" if values else "" for values in (still, before)]
        print(f"| {name} | {max(one.luma for one in found):.2f} | {' | '.join(columns)} |")


if __name__ == "__main__":
    main()

"""A style given to moving pictures: what is known of the content is held steady over time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.model.moments import Moments
from photostyle.model.transfer_settings import TransferSettings
from photostyle.transfer import local_maps
from photostyle.transfer.canvas import Canvas
from photostyle.transfer.color_match import ColorMatch, sampled
from photostyle.transfer.local_maps import LocalAffineMaps
from photostyle.transfer.options import TEMPORALS, VIDEO_WORKING_SIZE, Temporal
from photostyle.transfer.style import Style, Transferring, compose
from photostyle.transfer.stylizer import Stylizer, full_precision
from photostyle.video import VideoFrame

EPSILON = 0.1
"""As `local_maps.EPSILON`: most windows follow the frame as a whole, which steadies them."""

POOLED = 12
"""At most as many frames stand for a shot."""

HALF_ERROR = 1 / 255
"""Largest difference that half precision may make in the frames that stand for a shot, on 0..1."""

STEP = 6
"""The network sees every so many frames where the moments are those of the shot."""

PACE = 0.1
"""Share of a frame in the running moments of `smooth`."""

CUT_CHANGE, CUT_COLOURS = 0.08, 0.3
"""From one shot to the next: the least mean difference of the frames at a few pixels, in 0..1, and
the least Hellinger distance of the histograms of their colours."""


@dataclass(frozen=True)
class StyleCue:
    """From ``time`` on, in seconds, the look is that of ``style``."""

    time: float
    style: Style


class StyleTimeline:
    """Which style is shown when; each takes ``fade`` seconds to take over from the one before."""

    def __init__(self, cues: Sequence[StyleCue], fade: float = 0.0) -> None:
        self.cues = sorted(cues, key=lambda cue: cue.time)
        self.fade = fade

    def at(self, time: float) -> list[tuple[int, float]]:
        """Numbers and weights of the cues at a time; the weights add up to 1."""
        current = self._current(time)
        share = (time - self.cues[current].time) / self.fade if self.fade else 1.0
        if current == 0 or share >= 1:
            return [(current, 1.0)]
        return [(current - 1, 1 - share), (current, share)]

    def between(self, start: float, end: float) -> range:
        """Numbers of the cues that are shown at some time from start to end."""
        return range(self.at(start)[0][0], self._current(end) + 1)

    def _current(self, time: float) -> int:
        return max(0, sum(cue.time <= time for cue in self.cues) - 1)


class VideoStylizer:
    """The looks of a programme, given to the frames of a clip one after the other.

    temporal: see `Temporal`. For "shot" all frames are to be shown to `analyze_shots` beforehand.
    working_size: see VIDEO_WORKING_SIZE. Raises PhotostyleError for settings that make no sense.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        programme: StyleTimeline,
        *,
        temporal: Temporal = "shot",
        strength: float = 1.0,
        working_size: int = VIDEO_WORKING_SIZE,
    ) -> None:
        if temporal not in TEMPORALS:
            raise PhotostyleError(f"Unknown temporal mode {temporal!r}; use shot, smooth or frame.")
        if not 0 <= strength <= 1:
            raise PhotostyleError(f"The strength must be between 0 and 1, not {strength}.")
        self.stylizer, self.programme, self.temporal = stylizer, programme, temporal
        self.strength, self.working_size = strength, working_size
        self.cuts: list[int] = []
        self._looks: dict[tuple[int, int], _Look] = {}
        self._watch = _CutWatch()
        self._shot = 0

    @torch.inference_mode()
    def analyze_shots(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """The first pass of "shot": finds the shots and takes moments over each; frames may be
        reduced. Gives the frames back as it goes."""
        watch, sample = _CutWatch(), _Sample()
        first = last = 0.0
        for frame in frames:
            small = self._reduced(frame)
            if watch.is_cut(small):
                self._pool(sample, first, last)
                self.cuts.append(frame.number)
                sample = _Sample()
            if not len(sample):
                first = frame.time
            last = frame.time
            sample.add(small)
            yield frame
        if len(sample):
            self._pool(sample, first, last)

    def run(self, frames: Iterable[VideoFrame]) -> Iterator[VideoFrame]:
        """All frames in their order, each in its look, in place.

        For "shot" the network sees every STEPth frame, and all of a fade; the maps of those between
        are in between.
        """
        if self.strength == 0:
            yield from frames
            return
        step = STEP if self.temporal == "shot" else 1
        waiting: list[VideoFrame] = []
        before: LocalAffineMaps | None = None
        last: VideoFrame | None = None
        for frame in frames:
            if last and self._breaks(last, frame):
                if waiting:
                    yield from self._between(waiting, before)
                waiting, before = [], None
            waiting.append(frame)
            if before is None or len(waiting) == step or self._fades(last or frame, frame):
                maps = self._maps(frame)
                yield from self._between(waiting, before, maps)
                before, waiting = maps, []
            last = frame
        if waiting:
            yield from self._between(waiting, before)

    def __call__(self, frame: VideoFrame) -> None:
        """Give a single frame its look, in place."""
        for _ in self.run([frame]):
            pass

    def _breaks(self, before: VideoFrame, frame: VideoFrame) -> bool:
        """Whether a shot or a style begins with ``frame``."""
        cues = (self.programme.at(one.time)[-1][0] for one in (before, frame))
        return frame.number in self.cuts or len(set(cues)) > 1

    def _fades(self, *frames: VideoFrame) -> bool:
        """Whether two styles are shown at once in one of the frames."""
        return any(len(self.programme.at(frame.time)) > 1 for frame in frames)

    @torch.inference_mode()
    def _between(
        self,
        frames: list[VideoFrame],
        before: LocalAffineMaps | None,
        after: LocalAffineMaps | None = None,
    ) -> Iterator[VideoFrame]:
        """Frames that follow one with the maps ``before``; ``after``: the maps of the last one."""
        after = after or self._maps(frames[-1])
        refine = self.stylizer.checkpoint.transfer.refine
        for number, frame in enumerate(frames, 1):
            maps = before.lerp(after, number / len(frames)) if before else after
            local_maps.apply_maps(self._pixels(frame), maps, refine)
            yield frame

    @torch.inference_mode()
    def _maps(self, frame: VideoFrame) -> LocalAffineMaps:
        """What becomes of the colours of a frame."""
        small = self._reduced(frame)
        if self.temporal == "shot":
            self._shot = sum(cut <= frame.number for cut in self.cuts)
        elif self._watch.is_cut(small):
            self._shot += 1
            self._looks.clear()
        looks = [(self._look(cue), weight) for cue, weight in self.programme.at(frame.time)]
        result = torch.stack([weight * look(small) for look, weight in looks]).sum(0)
        ratio = local_maps.ratio(self._pixels(frame), self.working_size)
        return local_maps.maps_between(small, result, EPSILON).enlarged(ratio)

    def _reduced(self, frame: VideoFrame) -> Tensor:
        return local_maps.reduce(self._pixels(frame), self.working_size)[0]

    def _pixels(self, frame: VideoFrame) -> Canvas:
        return Canvas(frame.pixels, in_place=True, device=self.stylizer.device)

    def _look(self, cue: int) -> _Look:
        key = (self._shot, cue)
        if key not in self._looks:
            if self.temporal == "shot":
                raise PhotostyleError("The clip has changed between the first pass and the second.")
            self._looks[key] = self._new_look(cue)
        return self._looks[key]

    def _pool(self, sample: _Sample, first: float, last: float) -> None:
        """The looks of a shot that lasts from first to last."""
        frames = sample.frames()
        for cue in self.programme.between(first, last):
            look = self._looks[len(self.cuts), cue] = self._new_look(cue)
            look.hold(frames)

    def _new_look(self, cue: int) -> _Look:
        style = self.programme.cues[cue].style
        return _Look(self.stylizer, style, self.strength, self.temporal)


class _Look:
    """A style as it is given to the frames of one shot."""

    def __init__(
        self, stylizer: Stylizer, style: Style, strength: float, temporal: Temporal
    ) -> None:
        self._stylizer, self._pace = stylizer, 1.0 if temporal == "frame" else PACE
        self._transferring = _Following(style, stylizer.checkpoint.transfer, strength, self._pace)
        self._network = stylizer.network
        self._match: ColorMatch | None = None
        self._held = False

    def hold(self, frames: Tensor) -> None:
        """Take the moments of all of ``frames`` (K, 3, h, w) and keep to them."""
        self._transferring.pace = 1.0
        result = self._composed(frames)
        if self._stylizer.device.type == "cuda":
            self._choose_precision(frames, result)
        if self._stylizer.checkpoint.transfer.refine:
            self._match = self._matched(local_maps.project_to_maps(frames, result, EPSILON), frames)
        self._held = True

    def __call__(self, small: Tensor) -> Tensor:
        """What becomes of a small frame (1, 3, h, w)."""
        if self._held:
            return self._stylizer.replayed(self, (), self._restyled, small)
        self._transferring.next_frame()
        return self._restyled(small)

    def _restyled(self, small: Tensor) -> Tensor:
        result = self._composed(small)
        if not self._stylizer.checkpoint.transfer.refine:
            return result
        result = local_maps.project_to_maps(small, result, EPSILON)
        if not self._held:
            now = self._matched(result, small)
            self._match = now if self._match is None else self._match.lerp(now, self._pace)
        assert self._match
        return self._match(result)

    def _choose_precision(self, frames: Tensor, result: Tensor) -> None:
        """Half, if that makes the same of the frames of the shot, under the same maps."""
        self._network = self._stylizer.half
        if not (self._composed(frames) - result).abs().max() < HALF_ERROR:
            self._network = self._stylizer.network

    def _composed(self, frames: Tensor) -> Tensor:
        on_device = frames.to(self._stylizer.device, memory_format=torch.channels_last)
        with full_precision():
            return compose(self._network, on_device, self._transferring)

    def _matched(self, result: Tensor, content: Tensor) -> ColorMatch:
        return self._transferring.match(_joined(sampled(result)), _joined(sampled(content)))


class _Following(Transferring):
    """Takes the frames of a batch for one photo; its moments follow those of the frames.

    pace: the share of the frame at hand.
    """

    def __init__(
        self, style: Style, settings: TransferSettings, strength: float, pace: float
    ) -> None:
        super().__init__(style, settings, strength)
        self.pace = pace
        self._before: dict[str, Moments] = {}

    def moments(self, layer: str, features: Tensor) -> Moments:  # noqa: ARG002
        return Moments.of(_joined(features))

    def of_content(self, layer: str, features: Tensor) -> Moments | None:
        if layer not in self.content:
            now, before = self.moments(layer, features), self._before.get(layer)
            self.content[layer] = before.lerp(now, self.pace) if before else now
        return self.content[layer]

    def next_frame(self) -> None:
        """What has been taken so far is the past."""
        self._before, self.content, self._maps = self.content, {}, {}


class _Sample:
    """Up to POOLED frames, evenly spread over those that were added."""

    def __init__(self) -> None:
        self._kept: list[Tensor] = []
        self._step, self._seen = 1, 0

    def __len__(self) -> int:
        return self._seen

    def add(self, small: Tensor) -> None:
        if self._seen % self._step == 0:
            self._kept.append((small * 255).round().byte())
        self._seen += 1
        if len(self._kept) > POOLED:
            self._kept, self._step = self._kept[::2], 2 * self._step

    def frames(self) -> Tensor:
        """(K, 3, h, w), 0..1."""
        return torch.cat(self._kept).float() / 255


class _CutWatch:
    """Tells where one shot ends and the next begins.

    A cut changes the picture and its colours at once; motion changes one more than the other.
    """

    def __init__(self) -> None:
        self._before: tuple[Tensor, npt.NDArray[np.float64]] | None = None

    def is_cut(self, small: Tensor) -> bool:
        """Whether the frame (1, 3, h, w) is the first one of another shot than the one before."""
        now = F.adaptive_avg_pool2d(small, (9, 16)), _histogram(small)
        before, self._before = self._before, now
        if before is None or before[0].shape != now[0].shape:
            return False
        change = float((now[0] - before[0]).abs().mean())
        colours = float(np.sqrt(max(0.0, 1 - np.sqrt(now[1] * before[1]).sum())))
        return change > CUT_CHANGE and colours > CUT_COLOURS


def _histogram(small: Tensor) -> npt.NDArray[np.float64]:
    """Of RGB in 6 x 6 x 6 bins, of sum 1."""
    steps = (small[0] * 5.999).long().clamp_(0, 5)
    counts = torch.bincount((36 * steps[0] + 6 * steps[1] + steps[2]).flatten(), minlength=216)
    return counts.double().cpu().numpy() / small[0, 0].numel()


def _joined(batch: Tensor) -> Tensor:
    """Photos (K, C, H, W) below each other: (1, C, K H, W)."""
    return batch.transpose(0, 1).flatten(1, 2)[None]

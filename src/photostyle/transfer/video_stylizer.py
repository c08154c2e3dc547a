"""Frames in, frames out: `VideoStylizer`, which keeps the content's statistics steady."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from photostyle.errors import PhotostyleError
from photostyle.model.matcher import Blocks
from photostyle.threads import in_background
from photostyle.transfer.bars import Bars, both_masks, box_mask, find_bars
from photostyle.transfer.canvas import Canvas
from photostyle.transfer.content_moments import ContentMoments, RunningMoments, ShotMoments
from photostyle.transfer.cuts import CutDetector, with_cuts
from photostyle.transfer.dissolves import Dissolves
from photostyle.transfer.light import Light, dimmed, in_full_light
from photostyle.transfer.local_maps import LocalAffineMaps, apply_maps, contrast, fit_ratio
from photostyle.transfer.options import (
    ACROSS,
    TEMPORALS,
    VIDEO_WORKING_SIZE,
    Across,
    Keep,
    Match,
    Temporal,
)
from photostyle.transfer.pipeline import (
    StyleTransfer,
    compose,
    maps_of_each,
    match_style,
    style_maps,
)
from photostyle.transfer.regions import Box
from photostyle.transfer.steady_maps import Anchors, Keyframe, between, key_of, mixed
from photostyle.transfer.style import AnyStyle, Style
from photostyle.transfer.stylizer import (
    Labels,
    Mask,
    Stylizer,
    check_keep,
    check_match,
    check_strength,
    check_working_size,
    checked_labels,
    reduced_mask,
)

VIDEO_EPSILON = 0.1
"""As `local_maps.EPSILON`, but larger: most windows follow the frame as a whole: steadily."""

POOLED = 12
"""Number of frames, at most, whose pooled statistics are those of a shot."""

STEP = 6
"""In a shot the network sees every STEPth frame; maps of those between are interpolated."""

SAMPLE = 1 << 12
"""Number of pixels of a frame, roughly, by which its contrast is measured."""

PACE = 0.1
"""Fraction of each frame in the running statistics of "smooth"."""

CHANGE = 0.08
"""Mean change of a frame since the last that the network saw, in 0..1, after which it looks."""


class Frame(Protocol):
    """A frame of a clip: its number from 0, pixels (H, W, 3), uint8, writable, and seconds."""

    @property
    def number(self) -> int: ...
    @property
    def pixels(self) -> npt.NDArray[Any]: ...
    @property
    def time(self) -> float: ...


AnyFrame = TypeVar("AnyFrame", bound=Frame)


@dataclass(frozen=True)
class FrameMasks:
    """Masks of the frames of a clip, all (H, W).

    opacity: the weight of each pixel of each frame in the statistics, as for `Stylizer.learn`; None
    if all pixels of a frame count; empty for the alpha of frames that have it. labels, only: as for
    `Stylizer.apply`, the same for all frames.
    """

    opacity: Sequence[Mask | None] = ()
    labels: Labels | None = None
    only: Mask | None = None

    def of(self, frame: Frame) -> Mask | None:
        """The weight of each pixel of a frame."""
        if self.opacity:
            return self.opacity[frame.number]
        alpha = getattr(frame, "alpha", None)
        return alpha if alpha is None or alpha.dtype == np.uint8 else (alpha >> 8).astype(np.uint8)


@dataclass(frozen=True)
class StyleCue:
    """Switches to ``style`` at ``time``, in seconds."""

    time: float
    style: AnyStyle


class StyleTimeline:
    """Which style is shown when; each one takes ``fade`` seconds to replace what is shown.

    Raises PhotostyleError without any cue, for times that are NaN or infinite and for a negative
    fade.
    """

    def __init__(self, cues: Sequence[StyleCue], fade: float = 0.0) -> None:
        if not cues:
            raise PhotostyleError("A timeline needs at least one style.")
        if not 0 <= fade < math.inf:
            raise PhotostyleError(f"The fade must take 0 or more seconds, not {fade}.")
        for cue in cues:
            if not math.isfinite(cue.time):
                raise PhotostyleError(f"A style must start at a finite time, not {cue.time}.")
        self.cues = sorted(cues, key=lambda cue: cue.time)
        self.fade = fade

    def at(self, time: float) -> list[tuple[int, float]]:
        """Indices and weights of the cues at a time; the weights add up to 1."""
        shown = [(0, 1.0)]
        for cue in range(1, self._current(time) + 1):
            weight = (time - self.cues[cue].time) / self.fade if self.fade else 1.0
            if weight >= 1:
                shown = [(cue, 1.0)]
            else:
                shown = [(before, (1 - weight) * part) for before, part in shown]
                shown.append((cue, weight))
        return shown

    def between(self, start: float, end: float) -> range:
        """Indices of the cues that are shown at some time from start to end."""
        return range(self.at(start)[0][0], self._current(end) + 1)

    def _current(self, time: float) -> int:
        return max(0, sum(cue.time <= time for cue in self.cues) - 1)


class VideoStylizer:
    """Gives the styles of a timeline to the frames of a clip, one after the other.

    match: see `Match`. keep: see `Keep`. temporal: see `Temporal`; "shot" needs `analyze_shots`
    before `run`. across: see `Across`; "clip" needs the temporal mode "shot".
    working_size: long side of the copy of a frame that the network sees, in pixels. step: in a
    shot the network sees every so many frames. masks: for "shot", of all frames. canvas: what
    makes the `Canvas` of a frame, from its arguments; it may be set. first: number of frames that
    were analyzed before the first that is stylized; it may be set. Raises PhotostyleError for
    invalid settings and for styles that were learned with other weights.
    """

    def __init__(
        self,
        stylizer: Stylizer,
        timeline: StyleTimeline,
        *,
        temporal: Temporal = "shot",
        across: Across = "shots",
        match: Match = "auto",
        strength: float = 1.0,
        working_size: int = VIDEO_WORKING_SIZE,
        step: int = STEP,
        masks: FrameMasks | None = None,
        keep: Keep = "none",
    ) -> None:
        if temporal not in TEMPORALS:
            raise PhotostyleError(f"Unknown temporal mode {temporal!r}; use shot, smooth or frame.")
        if across not in ACROSS:
            raise PhotostyleError(f"Unknown grade across cuts {across!r}; use shots or clip.")
        if across == "clip" and temporal != "shot":
            raise PhotostyleError('One grade across cuts needs the temporal mode "shot".')
        check_match(match)
        check_keep(keep)
        check_strength(strength)
        check_working_size(working_size)
        for cue in timeline.cues:
            stylizer.check_style(cue.style)
        self.stylizer, self.timeline, self.temporal = stylizer, timeline, temporal
        self.canvas: Callable[..., Canvas] = Canvas
        self.first = 0
        self.match, self.strength, self.working_size = match, strength, working_size
        self.across, self.keep = across, keep
        self.step, self.masks = step if temporal == "shot" else 1, masks or FrameMasks()
        self.cuts: list[int] = []
        self._styles = [stylizer.parts(cue.style, match) for cue in timeline.cues]
        self._transfers: dict[tuple[int, int, int], StyleTransfer] = {}
        self._pictures: defaultdict[int, _Picture] = defaultdict(_Picture)
        self._cut_detector, self._light = CutDetector(), Light()
        self._shot_anchors: dict[tuple[int, int, int], Anchors] = {}
        self._dissolves = Dissolves()
        self._ends: tuple[tuple[int, int], _End, _End] | None = None
        self._labels: Tensor | None = None
        self._shot = 0

    @torch.inference_mode()
    def analyze_shots(self, frames: Iterable[AnyFrame]) -> Iterator[AnyFrame]:
        """First pass of "shot": finds the shots and takes statistics of each.

        frames: all frames of the clip, and perhaps more around them, see ``first``; they may be
        smaller than those of `run`. Yields them back.
        """
        sample, first, last = _Sample(), 0.0, 0.0
        for frame, small, ratio, is_cut in with_cuts(map(self._reduced, frames)):
            self._dissolves.add(frame.number, small, is_cut)
            if is_cut:
                if self.across == "shots":
                    self._pool(sample, first, last)
                    sample = _Sample()
                self.cuts.append(frame.number)
            self._pictures[self._group(frame.number)].add(small)
            self._light.add(small, len(self.cuts))
            if not len(sample):
                first = frame.time
            last = frame.time
            sample.add(frame.number, small, reduced_mask(self.masks.of(frame), small, ratio))
            if self._labels is None and self.masks.labels is not None:
                self._labels = checked_labels(self.masks.labels, self._canvas(frame))
            yield frame
        self._dissolves.finish()
        if len(sample):
            self._pool(sample, first, last)

    def run(self, frames: Iterable[AnyFrame]) -> Iterator[AnyFrame]:
        """Stylizes all frames in their order, in place, and yields them.

        For "shot" the network sees every ``step``-th frame, and every frame of a fade; the maps of
        the frames between are interpolated. Raises PhotostyleError for a shot that was not
        analyzed.
        """
        if self.strength == 0:
            yield from frames
            return
        drawings = self._drawings(frames)
        if torch.get_num_threads() == 1 or self.stylizer.device.type != "cpu":
            for drawing in drawings:
                drawing.draw()
                yield drawing.frame
            return
        with _half_of_the_threads():
            for drawing in in_background(_Drawing.draw, drawings, self.step + 2):
                yield drawing.frame

    def __call__(self, frame: Frame) -> None:
        """Stylize a single frame, in place."""
        for drawing in self._drawings([frame]) if self.strength else ():
            drawing.draw()

    def _drawings(self, frames: Iterable[AnyFrame]) -> Iterator[_Drawing[AnyFrame]]:
        """What is to be drawn on each frame."""
        waiting: list[tuple[AnyFrame, Tensor]] = []
        before: Keyframe | None = None
        last: AnyFrame | None = None
        for frame in frames:
            if last and self._starts_shot_or_style(last, frame):
                if waiting:
                    yield from self._interpolate(waiting, before)
                waiting, before = [], None
            key = self._key(frame)
            if mixture := self._mixture(frame):
                if waiting:
                    yield from self._interpolate(waiting, before, mixture[0].keyframe)
                yield self._drawing(frame, self._mixed(frame, *mixture))
                waiting, before, last = [], mixture[1].keyframe, frame
                continue
            waiting.append((frame, key))
            if (
                before is None
                or len(waiting) == self.step
                or self._fades(last or frame, frame)
                or bool((key - before.key).abs().mean() > CHANGE)
            ):
                keyframe = Keyframe(key, self._maps(frame))
                yield from self._interpolate(waiting, before, keyframe)
                before, waiting = keyframe, []
            last = frame
        if waiting:
            yield from self._interpolate(waiting, before)

    def _starts_shot_or_style(self, before: Frame, frame: Frame) -> bool:
        """Whether a shot or a style starts with ``frame``."""
        cues = (self.timeline.at(one.time)[-1][0] for one in (before, frame))
        return self.first + frame.number in self.cuts or len(set(cues)) > 1

    def _group(self, number: int) -> int:
        """The number of the shot of a frame; 0 for all if they share their statistics."""
        return 0 if self.across == "clip" else sum(cut <= number for cut in self.cuts)

    def _light_of(self, frame: Frame) -> tuple[float, float]:
        """See `Light.of`."""
        return self._light.of(self.first + frame.number)

    def _fades(self, *frames: Frame) -> bool:
        """Whether two styles are blended in one of the frames."""
        return any(len(self.timeline.at(frame.time)) > 1 for frame in frames)

    @torch.inference_mode()
    def _interpolate(
        self,
        frames: list[tuple[AnyFrame, Tensor]],
        before: Keyframe | None,
        after: Keyframe | None = None,
    ) -> Iterator[_Drawing[AnyFrame]]:
        """Maps from those ``before`` (of the frame before) to ``after`` (of the last of frames).

        frames: with their keys, see `key_of`.
        """
        after = after or Keyframe(frames[-1][1], self._maps(frames[-1][0]))
        for number, (frame, key) in enumerate(frames, 1):
            maps = after.maps
            if before is not None and number < len(frames):
                maps = between(before, after, number / len(frames), key)
            maps = self._steadied(frame, maps, key)
            yield self._drawing(frame, maps.blend(self._contrast(frame)))

    def _steadied(self, frame: Frame, maps: LocalAffineMaps, key: Tensor) -> LocalAffineMaps:
        """See `Anchors.steadied`; by those of the shot and the styles of a frame."""
        anchors = self._anchors(frame)
        return anchors.steadied(maps, key, self.across == "clip") if anchors else maps

    def _drawing(self, frame: AnyFrame, maps: LocalAffineMaps) -> _Drawing[AnyFrame]:
        """What is to be drawn on a frame."""
        if not frame.pixels.flags.writeable:
            raise PhotostyleError("Frames are stylized in place; their pixels are read-only.")
        canvas = self._canvas(frame)
        _, shown = self._pictures[self._shot].within(canvas)
        maps, soft = dimmed(maps, self._light_of(frame)), self.stylizer.checkpoint.transfer.refine
        return _Drawing(frame, canvas, maps, soft, both_masks(shown, self.masks.only), self.keep)

    @torch.inference_mode()
    def _mixture(self, frame: Frame) -> tuple[_End, _End, float] | None:
        """Both ends of the dissolve that a frame is within, and the weight of the last.

        None without a dissolve, and while one style fades into another.
        """
        number = self.first + frame.number
        dissolve = self._dissolves.at(number)
        if dissolve is None or self._fades(frame):
            return None
        known = dissolve.start, self.timeline.at(frame.time)[0][0]
        if self._ends is None or self._ends[0] != known:
            first = self._end(dissolve.first, dissolve.start, frame)
            self._ends = known, first, self._end(dissolve.last, dissolve.end, frame)
        return *self._ends[1:], dissolve.weights[number - dissolve.start]

    def _end(self, small: Tensor, number: int, frame: Frame) -> _End:
        """An end of the dissolve of a frame: a frame of a number, (1, 3, h, w), uint8."""
        ratio = self._canvas(frame).ratio(self.working_size)
        size = [math.ceil(side / ratio) for side in frame.pixels.shape[:2]]
        pixels = self.stylizer.on_device(small.float() / 255)
        pixels = F.interpolate(pixels, size, mode="bilinear", antialias=True)
        maps = self._maps_of(pixels, number, frame.time).enlarged(ratio)
        whole = in_full_light(pixels, self._light.of(number))
        box = self._pictures[self._shot].bars.picture(size[0], size[1], fit_ratio(*size))
        return _End(Keyframe(key_of(whole)[0], maps), float(contrast(box.of(whole))))

    def _mixed(self, frame: AnyFrame, first: _End, last: _End, weight: float) -> LocalAffineMaps:
        """The maps of a frame within a dissolve, see `_mixture`."""
        ends = []
        for end in (first, last):
            key = end.keyframe.key
            maps = self._steadied(frame, end.keyframe.maps, key).blend(end.contrast)
            ends.append(Keyframe(key, maps))
        return mixed(ends[0], ends[1], weight)

    def _anchors(self, frame: Frame) -> Anchors | None:
        """Those of the shot and the styles of a frame; None if it was not analyzed."""
        found = [
            (self._shot_anchors.get((self._shot, cue, part)), weight * share)
            for cue, weight in self.timeline.at(frame.time)
            for part, (_, share) in enumerate(self._styles[cue])
        ]
        known = [(anchors, weight) for anchors, weight in found if anchors]
        if len(known) < 2:
            return known[0][0] if known else None
        maps = torch.stack([weight * anchors.maps.float() for anchors, weight in known]).sum(0)
        return Anchors(known[0][0].keys, maps)

    def _key(self, frame: Frame) -> Tensor:
        """See `key_of`; by a sample of the pixels of a frame."""
        step = max(1, max(frame.pixels.shape[:2]) // self.working_size)
        pixels = self.canvas(frame.pixels[::step, ::step], device=self.stylizer.device)
        whole = in_full_light(pixels.rows(0, pixels.height), self._light_of(frame))
        return key_of(whole[None])[0]

    def _reduced(self, frame: AnyFrame) -> tuple[AnyFrame, Tensor, int]:
        """A frame with the copy that the network sees, and its ratio."""
        return (frame, *self._canvas(frame).reduced(self.working_size))

    @torch.inference_mode()
    def _maps(self, frame: Frame) -> LocalAffineMaps:
        """The maps from a frame to its stylized self."""
        small, ratio = self._canvas(frame).reduced(self.working_size)
        return self._maps_of(small, self.first + frame.number, frame.time).enlarged(ratio)

    def _maps_of(self, small: Tensor, number: int, time: float) -> LocalAffineMaps:
        """The maps of a small copy (1, 3, h, w) of a frame."""
        if self.temporal == "shot":
            self._shot = self._group(number)
        else:
            if self._cut_detector.is_cut(small):
                self._shot += 1
                self._transfers.clear()
            self._pictures[self._shot].add(small)
        small = in_full_light(small, self._light.of(number))
        size = small.shape[2:]
        box = self._pictures[self._shot].bars.picture(size[0], size[1], fit_ratio(*size))
        small = box.of(small)
        blocks = None if self.match in ("global", "none") else self.stylizer.blocks(small)
        transfers = [
            (self._transfer(cue, part, small), weight * share)
            for cue, weight in self.timeline.at(time)
            for part, (_, share) in enumerate(self._styles[cue])
        ]
        for transfer, _ in transfers:
            transfer.content.next_frame(small)
            regions = transfer.content.regions
            if blocks is not None and transfer.correspondence.clusters is not None:
                regions = transfer.correspondence.regions(blocks, small, *small.shape[2:])
            elif regions is not None:  # the same for all frames
                regions = replace(regions, masks=regions.masks[:1])
            transfer.content.regions = regions
        maps = style_maps(self._compose, small, transfers, VIDEO_EPSILON, fit_ratio(*size))
        maps = self._finding_skin(maps, small, blocks)
        return maps.padded(*box.margins(*size))

    def _finding_skin(
        self, maps: LocalAffineMaps, picture: Tensor, blocks: Blocks | None = None
    ) -> LocalAffineMaps:
        """The maps of a picture (1, 3, h, w), which know where its skin is if that is kept.

        blocks: of the picture, if they are known.
        """
        if self.keep != "skin":
            return maps
        return self.stylizer.skin_finder.added(maps, picture, blocks)

    def _compose(self, pixels: Tensor, transfer: StyleTransfer) -> Tensor:
        return compose(self.stylizer.network, self.stylizer.on_device(pixels), transfer)

    def _transfer(self, cue: int, part: int, small: Tensor) -> StyleTransfer:
        """The transfer of a part of a cue in the current shot, of which ``small`` is a frame."""
        key = (self._shot, cue, part)
        if key not in self._transfers:
            if self.temporal == "shot":
                raise PhotostyleError(
                    "This shot was not analyzed: give all frames of the clip to analyze_shots "
                    'before run, or use temporal "smooth" or "frame".'
                )
            pace = 1.0 if self.temporal == "frame" else PACE
            style, _ = self._styles[cue][part]
            self._transfers[key] = self._new_transfer(style, RunningMoments(pace), small)
        return self._transfers[key]

    def _pool(self, sample: _Sample, first: float, last: float) -> None:
        """Take the statistics of a shot, from first to last second, for each style in it."""
        frames = sample.frames(self._light)
        size = frames.shape[2:]
        group = 0 if self.across == "clip" else len(self.cuts)
        bars = self._pictures[group].bars
        ratio = fit_ratio(*size)
        box = bars.picture(size[0], size[1], ratio)
        whole, weights = frames, sample.weights()
        frames = self.stylizer.on_device(box.of(frames))
        weights = None if weights is None else box.of(weights)
        for cue in self.timeline.between(first, last):
            for part, (style, _) in enumerate(self._styles[cue]):
                transfer = self._new_transfer(style, ShotMoments(weights), frames, bars)
                pairs = match_style(self._compose, frames, transfer, VIDEO_EPSILON, ratio)
                each = maps_of_each(*pairs, transfer, VIDEO_EPSILON, ratio)
                maps = [
                    self._finding_skin(one, frame).padded(*box.margins(*size))
                    for one, frame in zip(each, frames.split(1), strict=True)
                ]
                key = group, cue, part
                self._transfers[key] = transfer
                pure = [n for n, of in enumerate(sample.numbers()) if not self._dissolves.at(of)]
                if pure:
                    pictures = self.stylizer.on_device(whole[pure])
                    self._shot_anchors[key] = Anchors.of(pictures, [maps[n] for n in pure])

    def _new_transfer(
        self, style: Style, content: ContentMoments, frames: Tensor, bars: Bars | None = None
    ) -> StyleTransfer:
        """The transfer of a style in a shot with frames (K, 3, h, w) within ``bars``."""
        settings = self.stylizer.checkpoint.transfer
        labels = None if self._labels is None else (bars or Bars()).crop(self._labels)
        found, regions = self.stylizer.correspond(frames, style, self.match, labels, content.mask)
        if regions is not None and len(regions.masks) == 1:
            regions = replace(regions, masks=regions.masks.expand(len(frames), -1, -1, -1))
        content.regions = regions
        return StyleTransfer(style, settings, self.strength, content, found)

    def _canvas(self, frame: Frame) -> Canvas:
        return self.canvas(frame.pixels, in_place=True, device=self.stylizer.device)

    def _contrast(self, frame: Frame) -> float:
        """The contrast of the picture of a frame in full light, by a sample of its pixels."""
        box, _ = self._pictures[self._shot].within(self._canvas(frame))
        step = max(1, math.isqrt((box.bottom - box.top) * (box.right - box.left) // SAMPLE))
        part = slice(box.top, box.bottom, step), slice(box.left, box.right, step)
        mask = self.masks.of(frame)
        pixels = self.canvas(frame.pixels[part]).rows(0, len(frame.pixels[part]))[None]
        mask = None if mask is None else mask[part]
        weights = reduced_mask(mask, pixels, 1)
        return float(contrast(in_full_light(pixels, self._light_of(frame)), weights))


@dataclass(frozen=True)
class _End:
    """An end of a dissolve, and the contrast of its picture."""

    keyframe: Keyframe
    contrast: float


@dataclass(frozen=True)
class _Drawing(Generic[AnyFrame]):
    """The local maps of a frame, to be drawn on its canvas; see `apply_maps`."""

    frame: AnyFrame
    canvas: Canvas
    maps: LocalAffineMaps
    soft: bool
    only: npt.NDArray[Any] | None
    keep: Keep

    @torch.inference_mode()
    def draw(self) -> None:
        apply_maps(self.canvas, self.maps, self.soft, self.only, keep=self.keep)


@contextmanager
def _half_of_the_threads() -> Iterator[None]:
    """Torch computes with half of its threads, so that two things can be computed at once."""
    threads = torch.get_num_threads()
    torch.set_num_threads((threads + 1) // 2)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Sample:
    """Up to POOLED frames, evenly spread over those that were added."""

    def __init__(self) -> None:
        self._kept: list[tuple[int, Tensor, Tensor | None]] = []
        self._step, self._added = 1, 0

    def __len__(self) -> int:
        return self._added

    def add(self, number: int, small: Tensor, weights: Tensor | None) -> None:
        """A frame (1, 3, h, w) of a number, and the weights of its pixels (1, 1, h, w)."""
        if self._added % self._step == 0:
            self._kept.append((number, (small * 255).round().byte(), weights))
        self._added += 1
        if len(self._kept) > POOLED:
            self._kept, self._step = self._kept[::2], 2 * self._step

    def numbers(self) -> list[int]:
        """Those of the frames."""
        return [number for number, _, _ in self._kept]

    def frames(self, light: Light) -> Tensor:
        """In full light: (K, 3, h, w), 0..1."""
        kept = (
            in_full_light(small.float() / 255, light.of(number)) for number, small, _ in self._kept
        )
        return torch.cat(list(kept))

    def weights(self) -> Tensor | None:
        """(K, 1, h, w), 0..1; None if all pixels count."""
        if all(weights is None for _, _, weights in self._kept):
            return None
        whole = torch.ones_like(self._kept[0][1][:, :1], dtype=torch.float32)
        return torch.cat([whole if weights is None else weights for _, _, weights in self._kept])


class _Picture:
    """What a shot shows within black bars.

    bars: those of all frames so far.
    """

    def __init__(self) -> None:
        self.bars = Bars()
        self._brightest: Tensor | None = None
        self._box: Box | None = None
        self._mask: npt.NDArray[np.uint8] | None = None

    def add(self, small: Tensor) -> None:
        """Learn of a frame (1, 3, h, w)."""
        if self._brightest is not None:
            small = torch.maximum(small, self._brightest)
        self._brightest, self.bars = small, find_bars(small)

    def within(self, canvas: Canvas) -> tuple[Box, npt.NDArray[np.uint8] | None]:
        """What is known of the picture of a frame, and its mask, 255 inside; None for all of it."""
        whole = Box(0, canvas.height, 0, canvas.width)
        if not any(self.bars):
            return whole, None
        assert self._brightest is not None
        box = self.bars.exact_picture(canvas, canvas.ratio(max(self._brightest.shape[2:])))
        box = box if self._box is None else box.joined(self._box)
        if box != self._box:
            self._box, self._mask = box, box_mask(box, canvas.height, canvas.width)
        return box, self._mask

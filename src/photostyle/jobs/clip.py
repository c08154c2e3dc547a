"""Stylizes a clip like one or more photos, from file to file."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from photostyle.errors import PhotostyleError
from photostyle.files import as_path, check_target, output_path
from photostyle.jobs import input_space as input_spaces
from photostyle.jobs.clip_lut import evenly, file_of, fitted
from photostyle.jobs.models import load_stylizer
from photostyle.jobs.progress import Progress, Stopwatch, silent
from photostyle.jobs.styles import StyleInputs
from photostyle.transfer.options import VIDEO_WORKING_SIZE, Across, Keep, Match, Temporal

if TYPE_CHECKING:
    import numpy.typing as npt

    from photostyle.jobs.models import Model
    from photostyle.jobs.styles import Styles, StyleSource
    from photostyle.lut import Lut
    from photostyle.transfer.canvas import Canvas
    from photostyle.transfer.video_stylizer import VideoStylizer
    from photostyle.video import Clip, Source, VideoFrame

    File = str | os.PathLike[str]
    Cues = Sequence[tuple[float, StyleSource]]
    Pixels = npt.NDArray[Any]

AROUND = 60.0
"""Seconds before and after a part of a clip in which its shots are looked at."""

PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
)
"""Presets of h264 and h265: slower ones make smaller files."""


Depth = Literal["auto", "8", "10"]
"""Bits per channel of a result: those of the clip as far as the codec holds them, 8 or 10."""


InputRange = Literal["auto", "legal", "full"]
"""The range of the values of log footage: as the tag of the clip says, or one of both."""

Hdr = Literal["sdr", "keep"]
"""What becomes of HDR: SDR in BT.709, or HDR of 10 bits with the tags and metadata of the clip."""


_BELOW_BLACK, _DARK_PIXELS = 0.02, 0.02
"""What makes a frame of log footage too dark: how much less than black, on which share of it."""


@dataclass(frozen=True)
class ClipReport:
    """A report on what `stylize_clip` or `preview_clip` did.

    output: the video or the preview; None if only frames were written. frames_dir: the folder of
    frames, if any. size: width and height of the clip in pixels. frames: number of frames written,
    or shown in a preview. seconds: wall-clock time of the phases read, load, learn, analyze,
    stylize and write. notes: sentences on parts of the clip that were not read or kept.
    interrupted: whether a KeyboardInterrupt ended the output early. psnr: how close the LUT of
    ``via_lut`` comes to the full transfer, in dB; None without.
    """

    output: Path | None
    frames_dir: Path | None
    size: tuple[int, int]
    frames: int
    device: str
    seconds: dict[str, float]
    notes: tuple[str, ...]
    interrupted: bool = False
    psnr: float | None = None


def stylize_clip(
    clip: File,
    style: Styles | StyleInputs,
    output: File | None = None,
    *,
    cues: Cues = (),
    fade: float = 1.0,
    temporal: Temporal = "shot",
    across: Across = "shots",
    model: Model = "photonas",
    device: str = "auto",
    strength: float = 1.0,
    match: Match = "auto",
    keep: Keep = "none",
    input_space: str | None = None,
    input_range: InputRange = "auto",
    working_size: int = VIDEO_WORKING_SIZE,
    codec: str | None = None,
    crf: int = 18,
    preset: str = "medium",
    depth: Depth = "auto",
    hdr: Hdr = "sdr",
    via_lut: bool = False,
    start: float | None = None,
    end: float | None = None,
    fps: Fraction | float | None = None,
    frames_dir: File | None = None,
    strict: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ClipReport:
    """Write the video ``clip`` with the colours and tones of the photo ``style``.

    The result has the size of the clip and keeps its frames, their times, the sound, subtitles
    and chapters as far as the container can hold them. An output file appears complete or not at
    all. A KeyboardInterrupt (Ctrl-C) ends it after the frames that are done; a second one, or one
    before the first frame, is raised and leaves no file.

    clip: a video file, a folder of frames, or a pattern such as frames/%04d.png or frames/*.jpg.
    output: mp4, mov, mkv, webm or gif; None for CLIP-STYLE.mp4 in the current folder, or for no
    video if ``frames_dir`` is given. style: as in `stylize_photo`, a mix or a style file as well.
    cues: further styles as (start in seconds of the clip, style); each fades in over ``fade``
    seconds. temporal: see `Temporal`. across: see `Across`. model, device: as in `stylize_photo`.
    strength: 0 to 1.5. match: see `Match`. keep: see `Keep`. input_space: what the
    values of the clip mean, see `stylize_photo`; the result is SDR in BT.709. input_range: see
    `InputRange`. working_size: long side in pixels of the reduced copy of a frame that the network
    sees. codec: a key of `photostyle.video.CODECS`; None for the container's default. crf: constant
    quality, 0 to 63, lower is better. preset: one of PRESETS. depth: see `Depth`. hdr: see `Hdr`.
    via_lut: fit one LUT to the results of frames of all shots that are shown, and render all frames
    with it by ffmpeg; for one style, or a mix. start, end: limits of the part to stylize, in
    seconds. fps: frame rate of an image sequence; None is 24. frames_dir: a folder for PNG files
    000001.png, 000002.png and so on. strict: fail if the clip is damaged instead of ending where it
    cannot be decoded. overwrite: replace existing files, but never an input. progress: a
    `Progress`, called with the phases of `ClipReport`.

    Raises PhotostyleError if the clip or a photo cannot be read, the model or the device cannot
    be used, an option is invalid, or the result cannot be written.
    """
    from photostyle import video
    from photostyle.jobs import image_sequence

    _check_encoding(crf, preset)
    cues, watch = _checked(cues), Stopwatch(progress)
    if via_lut and cues:
        raise PhotostyleError("One LUT has one style; leave out --via-lut or --style.")
    if via_lut and hdr == "keep":
        raise PhotostyleError("A LUT is for SDR; leave out --via-lut or --hdr keep.")
    with watch("read"):
        found = image_sequence.probe(_source(clip, fps, start, end, input_space, input_range))
        styles = [StyleInputs.of(one) for one in (style, *(later for _, later in cues))]
        inputs = _inputs(found, styles)
        target = folder = None
        keep_hdr = hdr == "keep" and found.is_hdr
        if frames_dir is not None and keep_hdr:
            raise PhotostyleError(
                "PNG frames cannot hold HDR; leave out --frames-dir or --hdr keep."
            )
        if output is not None or frames_dir is None:
            target = _target(output, found, styles[0], ".mp4")
            video.choose_codec(target, codec)  # raises for what no clip can be written as
            check_target(target, overwrite=overwrite, inputs=inputs)
        if frames_dir is not None:
            folder = _FrameFolder.check(as_path(frames_dir), inputs, overwrite)
        # May decode the whole clip, so it comes after what can be refused at once.
        transparent = image_sequence.has_transparency(found)
        bits, alpha = _depth(found, codec, depth, keep_hdr), transparent
        if target:
            codec, bits, alpha = _codec(target, codec, found, depth, transparent, keep_hdr)
    stylizer = _load_and_learn(
        *(styles, cues, fade, model, device, start, watch),
        temporal=temporal,
        across=across,
        strength=strength,
        match=match,
        keep=keep,
        working_size=working_size,
    )
    if via_lut:
        lut, psnr, total = _fit_lut(stylizer, found, watch, progress, alpha=transparent)
    else:
        lut, psnr = None, None
        total = _analyze(stylizer, found, watch, progress, alpha=transparent)
    if keep_hdr:
        stylizer.canvas = _hdr_canvas(found)
    encoding = video.Encoding(codec, crf, preset, bits, alpha, keep_hdr)
    depth_read = 16 if bits > 8 else 8
    with ExitStack() as outputs:
        reader = image_sequence.reader(
            found,
            depth=depth_read,
            alpha=transparent,
            keep_hdr=keep_hdr,
            lut=file_of(lut, outputs) if lut else None,
        )
        sinks: list[Callable[[VideoFrame], None]] = []
        writer = None
        if target:
            to_target = video.open_writer(target, found, encoding, overwrite=overwrite)
            writer = outputs.enter_context(to_target)
            sinks.append(writer.add)
        if folder:
            folder.create()
            sinks.append(folder.add)
        with watch("stylize"):
            shown = reader if via_lut else stylizer.run(reader)
            frames = _counted(shown, progress, "stylize", total)
            count, interrupted = _write_frames(frames, sinks)
        if not count:
            raise PhotostyleError(f"{os.fspath(clip)!r} has no frame that can be decoded.")
        if reader.damage and strict and not interrupted:
            raise PhotostyleError(f"{os.fspath(clip)!r} is damaged: {reader.damage[0]}.")
        with watch("write"):
            if writer:
                writer.cut_short = interrupted or bool(reader.damage)
                writer.shifts = reader.shifts
            outputs.close()
    count = writer.count if writer else count
    notes = [*_notes(found, bits, codec, keep_hdr), *_range_notes(found), *_of_styles(styles)]
    notes += writer.notes if writer else []
    if alpha and codec == "gif":
        notes.append(
            "In a GIF a pixel is opaque or transparent; what is between became one of both."
        )
    if transparent and not alpha:
        notes.append(
            f"{codec} in {target.suffix if target else ''} has no transparency; it was left out. "
            "Use webm, or mov with prores."
        )
    notes += reader.notes
    if reader.damage and not interrupted:
        notes.append(f"The clip is damaged; only {count} frames could be decoded.")
    return ClipReport(
        output=target,
        frames_dir=folder.path if folder else None,
        size=found.size,
        frames=count,
        device=str(stylizer.stylizer.device),
        seconds=watch.seconds,
        notes=tuple(notes),
        interrupted=interrupted,
        psnr=psnr,
    )


def preview_clip(
    clip: File,
    style: Styles,
    output: File | None = None,
    *,
    moments: int = 8,
    cues: Cues = (),
    fade: float = 1.0,
    temporal: Temporal = "shot",
    across: Across = "shots",
    model: Model = "photonas",
    device: str = "auto",
    strength: float = 1.0,
    match: Match = "auto",
    keep: Keep = "none",
    input_space: str | None = None,
    input_range: InputRange = "auto",
    working_size: int = VIDEO_WORKING_SIZE,
    start: float | None = None,
    end: float | None = None,
    fps: Fraction | float | None = None,
    overwrite: bool = False,
    progress: Progress = silent,
) -> ClipReport:
    """Write a sheet of ``moments`` frames of a clip, each above its stylized result.

    output: a photo file; None for CLIP-STYLE-preview.png in the current folder. Everything else is
    as in `stylize_clip`, including errors; a KeyboardInterrupt leaves no file.
    """
    from photostyle.jobs import image_sequence
    from photostyle.photo import format_of
    from photostyle.photo.contact_sheet import save_columns

    if moments < 1:
        raise PhotostyleError(f"A preview must have at least 1 frame, not {moments}.")
    cues, watch = _checked(cues), Stopwatch(progress)
    with watch("read"):
        found = image_sequence.probe(_source(clip, fps, start, end, input_space, input_range))
        styles = [StyleInputs(one) for one in (style, *(later for _, later in cues))]
        target = _target(output, found, styles[0], "-preview.png")
        format_of(target)
        inputs = _inputs(found, styles)
        check_target(target, overwrite=overwrite, inputs=inputs)
    stylizer = _load_and_learn(
        *(styles, cues, fade, model, device, start, watch),
        temporal=temporal,
        across=across,
        strength=strength,
        match=match,
        keep=keep,
        working_size=working_size,
    )
    total = _analyze(stylizer, found, watch, progress) or moments
    with watch("stylize"):
        frames = _counted(image_sequence.reader(found), progress, "stylize", total)
        columns = list(_columns(frames, stylizer, _moments(moments, total)))
    if not columns:
        raise PhotostyleError(f"{os.fspath(clip)!r} has no frame that can be decoded.")
    with watch("write"):
        check_target(target, overwrite=overwrite, inputs=inputs)
        save_columns(columns, target)
    return ClipReport(
        output=target,
        frames_dir=None,
        size=found.size,
        frames=len(columns),
        device=str(stylizer.stylizer.device),
        seconds=watch.seconds,
        notes=(*_notes(found, found.depth), *_of_styles(styles)),
    )


def _source(
    clip: File,
    fps: Fraction | float | None,
    start: float | None,
    end: float | None,
    input_space: str | None,
    input_range: InputRange,
) -> Source:
    from photostyle.video import Source

    if input_range not in get_args(InputRange):
        raise PhotostyleError(f"Unknown input range {input_range!r}; use auto, legal or full.")
    if input_range != "auto" and input_space is None:
        raise PhotostyleError("An input range is for log footage; name its --input-space as well.")

    for name, seconds in (("start", start), ("end", end)):
        if seconds is not None and not 0 <= seconds < math.inf:
            raise PhotostyleError(
                f"The {name} must be finite and at least 0 seconds, not {seconds}."
            )
    if end is not None and end <= (start or 0):
        raise PhotostyleError(f"The end, {end:g} s, must come after the start, {start or 0:g} s.")
    if fps is not None and not 0 < fps <= 1000:
        raise PhotostyleError(f"The frame rate must be above 0 and at most 1000, not {fps}.")
    # Via its decimal digits: 23.976 as a binary fraction is too long for ffmpeg.
    rate = None if fps is None else Fraction(str(fps))
    values = {"auto": None, "legal": "tv", "full": "pc"}[input_range]
    return Source(as_path(clip), rate, start, end, input_spaces.named(input_space), values)


def _check_encoding(crf: int, preset: str) -> None:
    if not 0 <= crf <= 63:
        raise PhotostyleError(f"The CRF must be between 0 and 63, not {crf}.")
    if preset not in PRESETS:
        raise PhotostyleError(f"Unknown preset {preset!r}; use {', '.join(PRESETS)}.")


def _checked(cues: Cues) -> Cues:
    """The cues as a list; raises PhotostyleError if one starts before the clip."""
    cues = list(cues)
    for time, _ in cues:
        if not 0 <= time < math.inf:
            raise PhotostyleError(
                f"A style must start at a finite time of at least 0 seconds, not {time}."
            )
    return cues


def _target(output: File | None, clip: Clip, style: StyleInputs, suffix: str) -> Path:
    default = Path(f"{clip.source.stem}-{style.name}{suffix}")
    return default if output is None else output_path(output, default)


def _inputs(clip: Clip, styles: Sequence[StyleInputs]) -> list[Path]:
    """The input files, which must not be overwritten."""
    return [*clip.source.files, *(path for one in styles for path in one.paths)]


def _of_styles(styles: Sequence[StyleInputs]) -> Iterator[str]:
    """The notes of all styles."""
    for one in styles:
        yield from one.notes


def _load_and_learn(
    styles: Sequence[StyleInputs],
    cues: Cues,
    fade: float,
    model: Model,
    device: str,
    start: float | None,
    watch: Stopwatch,
    **settings: Any,
) -> VideoStylizer:
    """A video stylizer that has learned all styles; its time 0 is ``start`` of the clip.

    settings: of `VideoStylizer`.
    """
    with watch("load"):
        from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer

        stylizer = load_stylizer(model, device)
    with watch("learn"):
        learned = [one.learn(stylizer) for one in styles]
        times = [0.0, *(time for time, _ in cues)]
        timeline = StyleTimeline(
            [
                StyleCue(time - (start or 0), style)
                for time, style in zip(times, learned, strict=True)
            ],
            fade,
        )
    return VideoStylizer(stylizer, timeline, **settings)


def _analyze(
    stylizer: VideoStylizer,
    clip: Clip,
    watch: Stopwatch,
    progress: Progress,
    *,
    alpha: bool = False,
) -> int | None:
    """Analyze the shots if the temporal mode needs it; return the approximate number of frames.

    So that parts of a clip join, the shots around a part count as well.
    """
    from photostyle.video.clip import TOLERANCE

    if stylizer.temporal != "shot" or not stylizer.strength:
        return clip.frame_count
    with watch("analyze"):
        count, frames = _frames_around(stylizer, clip, alpha)
        analyzed = _counted(stylizer.analyze_shots(frames), progress, "analyze", count)
        times = [frame.time for frame in analyzed]
    stylizer.first = sum(time < -TOLERANCE for time in times)
    end = math.inf if clip.source.length is None else clip.source.length - TOLERANCE
    return sum(time < end for time in times) - stylizer.first


def _frames_around(
    stylizer: VideoStylizer, clip: Clip, alpha: bool
) -> tuple[int | None, Iterator[VideoFrame]]:
    """Reduced frames of `_surroundings`, whose time 0 is the start of the part; their number."""
    from photostyle.jobs import image_sequence

    whole = _surroundings(clip, stylizer.across)
    lead = (clip.source.start or 0) - (whole.source.start or 0)
    frames = image_sequence.reader(whole, stylizer.working_size, alpha=alpha)
    moved = (replace(frame, tick=frame.tick - round(lead / frame.time_base)) for frame in frames)
    return whole.frame_count, moved


def _surroundings(clip: Clip, across: Across) -> Clip:
    """A part of a clip with AROUND seconds on either side, or with all of the clip."""
    from photostyle.jobs import image_sequence

    source = clip.source
    if source.start is None and source.end is None:
        return clip
    if across == "clip":
        return image_sequence.probe(replace(source, start=None, end=None))
    start, end = (source.start or 0) - AROUND, source.end and source.end + AROUND
    if source.is_image_sequence:  # from frame to frame
        start = float(math.floor(start * source.frame_rate) / source.frame_rate)
    return image_sequence.probe(replace(source, start=start if start > 0 else None, end=end))


def _fit_lut(
    stylizer: VideoStylizer,
    clip: Clip,
    watch: Stopwatch,
    progress: Progress,
    *,
    alpha: bool,
) -> tuple[Lut | None, float | None, int | None]:
    """The LUT of a clip, its PSNR, and the approximate number of frames; strength 0 needs none.

    So that parts of a clip join, all of the shots that a part shows count.
    """
    from photostyle.jobs import image_sequence
    from photostyle.video.clip import TOLERANCE

    if stylizer.strength == 0:
        return None, None, clip.frame_count
    length = clip.source.length
    end = math.inf if length is None else length - TOLERANCE

    def starts_shot(frame: VideoFrame) -> bool:
        return stylizer.across == "shots" and frame.number in stylizer.cuts

    def until_last_shot(frames: Iterator[VideoFrame]) -> Iterator[VideoFrame]:
        for frame in frames:
            if frame.time >= end and starts_shot(frame):
                break
            yield frame
        for _ in frames:  # to be analyzed
            pass

    with watch("analyze"):
        count = clip.frame_count
        frames: Iterator[VideoFrame]
        if stylizer.temporal == "shot":
            count, frames = _frames_around(stylizer, clip, alpha)
            frames = stylizer.analyze_shots(frames)
        else:
            frames = iter(image_sequence.reader(clip, stylizer.working_size, alpha=alpha))
        kept = evenly(
            until_last_shot(_counted(frames, progress, "analyze", count)),
            anew=lambda frame: frame.time < TOLERANCE and starts_shot(frame),
        )
    if not kept:
        raise PhotostyleError(f"{str(clip.source.path)!r} has no frame that can be decoded.")
    with watch("fit"):
        return *fitted(stylizer, kept), clip.frame_count


def _counted(
    frames: Iterable[VideoFrame], progress: Progress, phase: str, total: int | None
) -> Iterator[VideoFrame]:
    for number, frame in enumerate(frames, 1):
        yield frame
        progress(phase, number, total)


def _write_frames(
    frames: Iterable[VideoFrame], sinks: Sequence[Callable[[VideoFrame], None]]
) -> tuple[int, bool]:
    """Pass frames to all sinks; return their number and whether an interrupt ended it."""
    count = 0
    try:
        for frame in frames:
            for sink in sinks:
                sink(frame)
            count += 1
    except KeyboardInterrupt:
        if not count:
            raise
        return count, True
    return count, False


class _FrameFolder:
    """A folder of frames as PNG files, numbered from 1."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def check(cls, path: Path, inputs: Iterable[Path], overwrite: bool) -> _FrameFolder:
        """Raise PhotostyleError, before the work, if frames cannot be written there."""
        if path.exists() and not path.is_dir():
            raise PhotostyleError(f"{str(path)!r} is not a folder.")
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            raise PhotostyleError(f"The folder {str(path)!r} is not empty; --force writes into it.")
        if not path.parent.is_dir():
            raise PhotostyleError(f"The folder {str(path.parent)!r} does not exist.")
        taken = {_identity(file) for file in inputs} - {None}
        for file in path.glob("*.png"):
            if file.stem.isdigit() and _identity(file) in taken:
                raise PhotostyleError(f"{str(file)!r} is an input file; choose another folder.")
        return cls(path)

    def create(self) -> None:
        try:
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise PhotostyleError(
                f"The folder {str(self.path)!r} cannot be created: {error.strerror}."
            ) from error

    def add(self, frame: VideoFrame) -> None:
        import numpy as np

        from photostyle import photo
        from photostyle.files import new_file

        path = self.path / f"{frame.number + 1:06}.png"
        with new_file(path, overwrite=True, durable=False) as stream:
            pixels = np.ascontiguousarray(frame.pixels)
            photo.encode(photo.Photo(pixels, frame.alpha), "PNG", stream)


def _identity(file: Path) -> tuple[int, int] | None:
    """Device and inode, which are equal for all names of a file; None if it does not exist."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _moments(count: int, total: int) -> list[int]:
    """Indices of ``count`` frames, evenly spaced over ``total``."""
    return sorted({round((i + 0.5) * total / count - 0.5) for i in range(count)})


def _columns(
    frames: Iterable[VideoFrame], stylizer: VideoStylizer, chosen: list[int]
) -> Iterator[tuple[Pixels, Pixels, str]]:
    """Thumbnails of each chosen frame before and after stylizing, and its time."""
    from photostyle.photo.contact_sheet import thumbnail

    for frame in frames:
        if frame.number > chosen[-1]:
            return
        # In "smooth" mode every frame contributes to the running statistics.
        if frame.number in chosen or stylizer.temporal == "smooth":
            before = thumbnail(frame.pixels)
            stylizer(frame)
            if frame.number in chosen:
                yield before, thumbnail(frame.pixels), f"{frame.time:.1f} s"


def _depth(clip: Clip, codec: str | None, depth: Depth, keep_hdr: bool) -> int:
    """Bits per channel that a result has, if its codec holds them."""
    if depth != "auto":
        return int(depth)
    if keep_hdr:
        return 10
    if clip.is_hdr and codec != "prores":
        return 8
    return min(clip.depth, 10)


def _codec(
    target: Path, name: str | None, clip: Clip, depth: Depth, alpha: bool, keep_hdr: bool
) -> tuple[str, int, bool]:
    """The codec for a result, its bits per channel, and whether it keeps alpha."""
    from photostyle import video

    chosen = video.choose_codec(target, name, _depth(clip, name, depth, keep_hdr), alpha=alpha)
    if depth == "10" and chosen.depth < 10:
        raise PhotostyleError(f"{chosen.codec} cannot hold 10 bits per channel; use --depth 8.")
    if keep_hdr and (chosen.depth < 10 or chosen.codec == "h264"):
        raise PhotostyleError(
            f"{target.name!r} cannot hold HDR as {chosen.codec} of {chosen.depth} bits; use --hdr "
            "sdr, or mp4, mov or mkv with --codec h265 or av1."
        )
    return chosen


def _hdr_canvas(clip: Clip) -> Callable[..., Canvas]:
    """What makes the canvases of the frames of a clip whose HDR is kept."""
    from photostyle.transfer.hdr import HdrCanvas, HdrSpace

    space = HdrSpace(clip.transfer == "arib-std-b67", clip.hdr.peak)
    return partial(HdrCanvas, space=space)


def _range_notes(clip: Clip) -> Iterator[str]:
    """A note if log footage of legal range is darker than black, as if it had the full range."""
    from photostyle.video import Reader

    source, space = clip.source, clip.source.input_space
    if not (space and space.curve) or source.range or source.is_image_sequence:
        return
    if clip.range == "pc" or clip.matrix == "gbr":
        return
    as_stored = replace(clip, source=replace(source, input_space=None))
    frames = iter(Reader(as_stored, VIDEO_WORKING_SIZE, depth=16))
    for frame in islice(frames, 1):
        dark = frame.pixels.max(-1) < 65535 * (space.black - _BELOW_BLACK)
        if dark.mean() > _DARK_PIXELS:
            yield (
                f"{dark.mean():.0%} of the first frame is darker than black of {space.name}; if "
                "blacks are crushed, its values have the full range: say --input-range full."
            )


def _notes(
    clip: Clip, bits: int, codec: str | None = None, keep_hdr: bool = False
) -> Iterator[str]:
    """Notes on a result of so many bits per channel."""
    if clip.videos > 1:
        yield f"Of {clip.videos} tracks of video only the first was kept."
    if clip.depth > bits and (bits > 8 or not clip.is_hdr) and (codec or bits == 8):
        yield f"The clip has {clip.depth} bits per channel; the result has {bits}."
    if bits > 8 and codec == "h264":
        yield "Few players play h264 of 10 bits; --codec h265 or --depth 8 plays in most."
    if clip.is_hdr and not keep_hdr:
        yield "The clip is HDR; it was mapped to SDR in BT.709. --hdr keep keeps HDR."
    space = clip.source.input_space
    if space and not clip.source.is_image_sequence:  # of which the reader tells
        mapped = ", and mapped to SDR in BT.709" if space.curve else ""
        yield f"The clip was read as {space.name}{mapped}."
    kept = "HLG" if clip.transfer == "arib-std-b67" else "HDR10"
    if keep_hdr and clip.hdr.dolby_vision:
        yield f"Dolby Vision's metadata was left out; the result is {kept}."

"""`photostyle video`: a clip with the look of a photo."""

from __future__ import annotations

import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import click

from photostyle import cli
from photostyle.cli import _options

if TYPE_CHECKING:
    from photostyle.transfer.options import Temporal
    from photostyle.transfer.video_stylizer import StyleTimeline, VideoStylizer
    from photostyle.video import Clip, VideoFrame


class Timecode(click.ParamType):  # type: ignore[type-arg]
    """Seconds, minutes:seconds or hours:minutes:seconds, with decimals."""

    name = "timecode"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", value)
        if not found:
            self.fail(f"{value!r} is no time; write 90, 1:30 or 0:01:30.5.", parameter, context)
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds


class Rate(click.ParamType):  # type: ignore[type-arg]
    """Frames per second, as 24, 23.976 or 24000/1001."""

    name = "rate"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Fraction:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            self.fail(f"{value!r} is no frame rate; write 24 or 24000/1001.", parameter, context)
        return rate


TIMECODE = Timecode()


@click.command()
@click.argument("clip", type=click.Path(readable=False, path_type=Path))
@click.argument("look", metavar="STYLE", type=click.Path(readable=False, path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(readable=False, path_type=Path),
    help="File to write: mp4, mov, mkv, webm or gif.  [default: CLIP-STYLE.mp4 in the current "
    "folder]",
)
@click.option(
    "--style",
    "styles",
    multiple=True,
    type=click.Path(readable=False, path_type=Path),
    help="Another style photo, to change over to at the time of its --at; may be repeated.",
)
@click.option("--at", "times", multiple=True, type=TIMECODE, help="When its --style begins.")
@click.option("--fade", type=click.FloatRange(0), default=1.0, show_default=True, metavar="SECONDS")
@click.option(
    "--temporal",
    type=click.Choice(["shot", "smooth", "frame"]),
    default="shot",
    show_default=True,
    help="Statistics of the content: of the whole shot, of each frame and those before it, or of "
    "each frame on its own.",
)
@click.option(
    "--model", default="photonas", show_default=True, help="photonas, photonet or a file."
)
@click.option(
    "--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.", metavar="NAME"
)
@click.option("--strength", type=click.FloatRange(0, 1), default=1.0, show_default=True)
@click.option(
    "--working-size",
    type=click.IntRange(32),
    metavar="PIXELS",
    help="Long side of what the network sees of a frame.  [default: 288]",
)
@click.option("--codec", help="h264, h265, vp9, av1, prores, gif.  [default: the container's own]")
@click.option(
    "--crf", type=click.IntRange(0, 63), default=18, show_default=True, help="Lower is better."
)
@click.option(
    "--preset",
    type=click.Choice(
        [
            "ultrafast",
            "superfast",
            "veryfast",
            "faster",
            "fast",
            "medium",
            "slow",
            "slower",
            "veryslow",
        ]
    ),
    default="medium",
    show_default=True,
    help="Of h264 and h265: slower makes smaller files.",
)
@click.option("--start", type=TIMECODE, help="Where to begin.")
@click.option("--end", type=TIMECODE, help="Where to end.")
@click.option("--fps", type=Rate(), help="Of a folder or pattern of frames.  [default: 24]")
@click.option(
    "--frames-dir",
    type=click.Path(readable=False, path_type=Path),
    help="Write PNGs into this folder; no video unless -o is given.",
)
@click.option(
    "--preview",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Instead of a video write a sheet of N moments: the clip above, the result below.",
)
@click.option("--strict", is_flag=True, help="Fail if the clip is damaged.")
@click.option("--force", is_flag=True, help="Overwrite existing files.")
@_options.threads
def video(
    clip: Path,
    look: Path,
    output: Path | None,
    styles: tuple[Path, ...],
    times: tuple[float, ...],
    fade: float,
    temporal: Temporal,
    model: str,
    device: str,
    strength: float,
    working_size: int | None,
    codec: str | None,
    crf: int,
    preset: str,
    start: float | None,
    end: float | None,
    fps: Fraction | None,
    frames_dir: Path | None,
    preview: int | None,
    strict: bool,
    force: bool,
) -> None:
    """Give the video CLIP the look of the photo STYLE.

    CLIP is a video file, a folder of frames, or a pattern such as frames/%04d.png. The result keeps
    its frames, their times, the sound, subtitles and chapters.
    """
    if len(styles) != len(times):
        raise click.UsageError("Give each --style its --at, as in --style dusk.jpg --at 0:30.")
    if start is not None and end is not None and end <= start:
        raise click.UsageError("--end must come after --start.")
    if preview and frames_dir:
        raise click.UsageError("Give either --preview or --frames-dir.")

    # Read by OpenMP when torch is imported: threads that wait are to leave the cores to ffmpeg.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from photostyle import video as clips
    from photostyle.allocator import keep_freed_memory
    from photostyle.errors import PhotostyleError
    from photostyle.files import check_target

    source = clips.Source(clip, fps, start, end)
    found = clips.probe(source)
    suffix = "-preview.png" if preview else ".mp4"
    target = output or Path(f"{source.stem}-{look.stem}{suffix}")
    inputs = {look, *styles, *([] if source.is_frames else [clip])}
    wanted = bool(output) or not frames_dir
    if wanted:
        if not preview:
            clips.check_encoding(target, codec)
        check_target(target, overwrite=force, inputs=inputs)
    if frames_dir:
        _check_folder(frames_dir, force)

    keep_freed_memory()
    restyling = _restyling(
        (look, *styles), (0.0, *times), fade, temporal, model, device, strength, working_size, start
    )
    total = found.frames
    if temporal == "shot" and strength > 0:
        survey = restyling.analyze_shots(clips.Reader(found, restyling.working_size))
        total = sum(1 for _ in _shown("looking", survey, total))
    if preview:
        _write_preview(target, found, restyling, preview, total or preview, force)
        click.echo(os.fsencode(target))
        return

    encoding = clips.Encoding(codec, crf, preset)
    reader = clips.Reader(found)
    done, writer = 0, None
    with ExitStack() as outputs:
        sinks: list[Sink] = []
        if wanted:
            writer = outputs.enter_context(
                clips.Writer.to(target, found, encoding, overwrite=force)
            )
            sinks.append(writer)
        if frames_dir:
            sinks.append(_Folder(frames_dir))
        try:
            for frame in _shown("stylizing", restyling.run(reader), total):
                for sink in sinks:
                    sink.add(frame)
                done += 1
        except KeyboardInterrupt:
            if not done or cli.received() != signal.SIGINT:
                raise
        interrupted = cli.received() == signal.SIGINT
        if not done:
            raise PhotostyleError(f"{str(clip)!r} holds no frame that can be decoded.")
        if reader.damage and strict and not interrupted:
            raise PhotostyleError(f"{str(clip)!r} is damaged: {reader.damage[0]}.")
        if writer:
            writer.cut_short = interrupted or bool(reader.damage)

    done = writer.count if writer else done
    for note in (*_notes(found), *(writer.notes if writer else [])):
        click.echo(f"Note: {note}", err=True)
    if reader.damage and not interrupted:
        click.echo(f"Note: The clip is damaged: {done} frames could be decoded.", err=True)
    if interrupted:
        click.echo(f"Interrupted: the file ends after {done} frames.", err=True)
    if wanted:
        click.echo(os.fsencode(target))
    if interrupted:
        sys.exit(128 + signal.SIGINT)


class Sink(Protocol):
    def add(self, frame: VideoFrame) -> None: ...


class _Folder:
    """Frames as PNG files, numbered from 1."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def add(self, frame: VideoFrame) -> None:
        from photostyle import photo

        path = self._folder / f"{frame.number + 1:06}.png"
        photo.write(photo.Photo(frame.pixels), path, overwrite=True)


def _check_folder(folder: Path, force: bool) -> None:
    from photostyle.errors import PhotostyleError

    if folder.exists() and not folder.is_dir():
        raise PhotostyleError(f"{str(folder)!r} is not a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not force:
        raise PhotostyleError(f"The folder {str(folder)!r} is not empty; --force writes into it.")
    if not folder.parent.is_dir():
        raise PhotostyleError(f"The folder {str(folder.parent)!r} does not exist.")


def _restyling(
    paths: tuple[Path, ...],
    times: tuple[float, ...],
    fade: float,
    temporal: Temporal,
    model: str,
    device: str,
    strength: float,
    working_size: int | None,
    start: float | None,
) -> VideoStylizer:
    """Styles are learned; times are those of the clip, of which ``start`` becomes 0."""
    import photostyle
    from photostyle import photo
    from photostyle.transfer.video_stylizer import StyleCue, StyleTimeline, VideoStylizer

    photos = [photo.read(path, still=True) for path in paths]
    stylizer = photostyle.load(model, device=device)
    learned = [stylizer.learn(*p.in_profile(None).with_depth(8).visible()) for p in photos]
    cues = [
        StyleCue(time - (start or 0), style) for time, style in zip(times, learned, strict=True)
    ]
    programme: StyleTimeline = StyleTimeline(cues, fade)
    return VideoStylizer(
        stylizer,
        programme,
        temporal=temporal,
        strength=strength,
        **_options.given(working_size=working_size),
    )


def _write_preview(
    target: Path, clip: Clip, restyling: VideoStylizer, count: int, total: int, overwrite: bool
) -> None:
    """A sheet of ``count`` of ``total`` frames: the clip above, the result below."""
    from photostyle import video as clips
    from photostyle.errors import PhotostyleError
    from photostyle.files import check_target
    from photostyle.photo.contact_sheet import save_columns, thumbnail

    chosen = {round((i + 0.5) * total / count - 0.5) for i in range(count)}
    columns = []
    for frame in _shown("stylizing", clips.Reader(clip), total):
        if frame.number in chosen or (restyling.temporal == "smooth" and frame.number < total):
            before = thumbnail(frame.pixels)
            restyling(frame)
            if frame.number in chosen:
                columns.append((before, thumbnail(frame.pixels), f"{frame.time:.1f} s"))
    if not columns:
        raise PhotostyleError("The clip holds no frame that can be decoded.")
    check_target(target, overwrite=overwrite)
    save_columns(columns, target)


def _notes(clip: Clip) -> Iterator[str]:
    if clip.depth > 8:
        yield f"The {clip.depth} bits per channel of the clip became 8."
    if clip.transfer in ("smpte2084", "arib-std-b67"):
        yield "The clip is HDR; its values were stylized as they are."


@contextmanager
def _progress(text: str, total: int | None) -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[fps]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(text, total=total, fps="")

        def advance() -> None:
            bar.advance(task)
            speed = bar.tasks[0].speed
            bar.update(task, fps=f"{speed:.1f} fps" if speed else "")

        yield advance


def _shown(text: str, frames: Any, total: int | None) -> Iterator[VideoFrame]:
    """The frames, with their progress on a terminal."""
    with _progress(text, total) as advance:
        for frame in frames:
            yield frame
            advance()

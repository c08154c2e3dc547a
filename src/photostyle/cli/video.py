"""`photostyle video`: stylize a clip like one or more photos."""

from __future__ import annotations

import os
import re
import signal
import sys
from fractions import Fraction
from typing import Any, get_args

import click

from photostyle.allocator import keep_freed_memory
from photostyle.cli import _options, _progress
from photostyle.jobs.clip import PRESETS, Depth, Hdr, InputRange, preview_clip, stylize_clip
from photostyle.openmp import limit_spinning
from photostyle.transfer.options import ACROSS, TEMPORALS

option = _options.of(stylize_clip)


class Timecode(click.ParamType):  # type: ignore[type-arg]
    """A time as seconds, minutes:seconds or hours:minutes:seconds, with or without decimals."""

    name = "time"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> float:
        if isinstance(value, float):
            return value
        found = re.fullmatch(r"(?:(?:(\d+):)?(\d+):)?(\d+(?:\.\d+)?)", value)
        if not found:
            self.fail(f"{value!r} is not a time; write 90, 1:30 or 0:01:30.5.", parameter, context)
        hours, minutes, seconds = (float(part or 0) for part in found.groups())
        return 3600 * hours + 60 * minutes + seconds


class Rate(click.ParamType):  # type: ignore[type-arg]
    """A frame rate such as 24, 23.976 or 24000/1001."""

    name = "rate"

    def convert(
        self, value: Any, parameter: click.Parameter | None, context: click.Context | None
    ) -> Fraction:
        try:
            rate = Fraction(value)
        except (ValueError, ZeroDivisionError):
            rate = Fraction(0)
        if not 0 < rate <= 1000:
            self.fail(f"{value!r} is not a frame rate; write 24 or 24000/1001.", parameter, context)
        return rate


TIMECODE = Timecode()


@click.command()
@click.argument("clip", type=_options.FILE)
@_options.styles
@option(
    "-o",
    "--output",
    type=_options.FILE,
    help="File to write: mp4, mov, mkv, webm or gif.  [default: CLIP-STYLE.mp4 in the current "
    "folder]",
)
@click.option(
    "--style",
    "styles",
    multiple=True,
    type=_options.FILE,
    help="A further style photo, used from the time of its --at on; may be repeated.",
)
@click.option("--at", "times", multiple=True, type=TIMECODE, help="Start time of a --style.")
@option(
    "--fade",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Time that each further style takes to fade in.",
)
@option(
    "--temporal",
    type=click.Choice(TEMPORALS),
    help="Compute the clip's statistics over each whole shot (shot), as a running mean over "
    "frames (smooth), or for each frame separately (frame).",
)
@option(
    "--across",
    type=click.Choice(ACROSS),
    help="Grade each shot by its own statistics (shots), or all shots by those of the clip (clip).",
)
@_options.model
@_options.device
@_options.strength
@_options.match
@_options.keep
@_options.input_space
@option(
    "--input-range",
    type=click.Choice(get_args(InputRange)),
    help="Range of the values of log footage: as CLIP is tagged (auto), or one of both.",
)
@option(
    "--working-size",
    type=click.IntRange(32),
    metavar="PIXELS",
    help="Long side of the reduced copy of a frame that the network sees.",
)
@option(
    "--codec", help="h264, h265, vp9, av1, prores or gif.  [default: by the extension of OUTPUT]"
)
@option("--crf", type=click.IntRange(0, 63), help="Constant quality of the video; lower is better.")
@option(
    "--preset",
    type=click.Choice(PRESETS),
    metavar="NAME",
    help="Speed of h264 and h265, from ultrafast to veryslow; slower makes smaller files.",
)
@option(
    "--depth",
    type=click.Choice(get_args(Depth)),
    help="Bits per channel; auto keeps 10 bits if the codec holds them.",
)
@option(
    "--hdr",
    type=click.Choice(get_args(Hdr)),
    help="Write HDR as SDR, or keep it in 10 bits.",
)
@option(
    "--via-lut",
    is_flag=True,
    help="Fit one LUT to the whole clip and render it with that: fast, without regions.",
)
@option("--start", type=TIMECODE, help="Start of the part to stylize.")
@option("--end", type=TIMECODE, help="End of the part to stylize.")
@option("--fps", type=Rate(), help="Frame rate of an image sequence.  [default: 24]")
@option(
    "--frames-dir",
    type=_options.FILE,
    help="Write the frames as PNG files to this folder, and a video only if -o is given.",
)
@click.option(
    "--preview",
    type=click.IntRange(1, 100),
    metavar="N",
    help="Write a sheet of N frames, each above its result, instead of a video.",
)
@option("--strict", is_flag=True, help="Fail if the clip is damaged.")
@_options.force
@_options.threads
def video(
    styles: tuple[str, ...],
    times: tuple[float, ...],
    preview: int | None,
    **options: Any,
) -> None:
    """Give the video CLIP the colours and tones of the photo STYLE.

    STYLE is a photo, a folder of photos that count as one style, or a file made by `photostyle
    style`. Several styles are mixed, evenly or by weight: dusk.jpg:0.7 fog.jpg:0.3.

    CLIP is a video file, a folder of frames, or a pattern such as frames/%04d.png. The result keeps
    its frames, their times, the sound, subtitles and chapters. Ctrl-C stops early and keeps the
    frames that are done.
    """
    if len(styles) != len(times):
        raise click.UsageError("Give each --style an --at, as in --style dusk.jpg --at 0:30.")
    if None not in (options["start"], options["end"]) and options["end"] <= options["start"]:
        raise click.UsageError("--end must come after --start.")
    if preview and options["frames_dir"]:
        raise click.UsageError("Give either --preview or --frames-dir.")
    if preview and options["via_lut"]:
        raise click.UsageError("Give either --preview or --via-lut.")
    if options["via_lut"] and styles:
        raise click.UsageError("One LUT has one style; give either --via-lut or --style.")

    limit_spinning(beside_others=True)  # ffmpeg
    keep_freed_memory()
    options["cues"] = list(zip(times, styles, strict=True))
    with _progress.bar(unit="fps") as progress:
        if preview:
            for name in (
                "codec",
                "crf",
                "preset",
                "depth",
                "hdr",
                "via_lut",
                "frames_dir",
                "strict",
            ):
                del options[name]
            report = preview_clip(moments=preview, progress=progress, **options)
        else:
            report = stylize_clip(progress=progress, **options)
    if report.psnr is not None:
        click.echo(f"PSNR of the LUT against the full transfer: {report.psnr:.1f} dB.", err=True)
    for note in report.notes:
        click.echo(f"Note: {note}", err=True)
    if report.interrupted:
        click.echo(f"Interrupted after {report.frames} frames.", err=True)
    if report.output:
        click.echo(os.fsencode(report.output))
    if report.interrupted:
        sys.exit(128 + signal.SIGINT)

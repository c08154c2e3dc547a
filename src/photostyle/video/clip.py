"""What a clip is: its size, timing, colours and other streams, as ffmpeg sees it."""

from __future__ import annotations

import glob
import re
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

from photostyle.errors import PhotostyleError
from photostyle.video.process import Process, address

FRAMES = {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".exr", ".dpx"}
"""Extensions of single frames."""

_PHOTO_FORMATS = re.compile(r"(image2|\w+_pipe)\b")
_NONE = {"unknown", "unspecified", "reserved", ""}


@dataclass(frozen=True)
class Source:
    """Where frames come from.

    path: a file, a folder of frames, or a pattern such as frames/%04d.png; rate: frames per second
    of a folder or a pattern. start, end: seconds of the part that is wanted.
    """

    path: Path
    rate: Fraction | None = None
    start: float | None = None
    end: float | None = None

    @property
    def is_frames(self) -> bool:
        return self.path.is_dir() or (not self.path.exists() and "%" in self.path.name)

    @property
    def stem(self) -> str:
        """A name for what is made of it."""
        return self.path.parent.resolve().name if self._is_pattern else self.path.resolve().stem

    @property
    def arguments(self) -> list[str]:
        """The input as ffmpeg's arguments; raises PhotostyleError where there is none."""
        part = [*self.span, "-i"]
        if not self.is_frames:
            return [*part, address(self.path)]
        rate = ["-f", "image2", "-framerate", str(self.rate or 24)]
        if self._is_pattern:
            return [*rate, *part, str(self.path.absolute())]
        suffixes = Counter(
            file.suffix for file in self.path.iterdir() if file.suffix.lower() in FRAMES
        )
        if not suffixes:
            raise PhotostyleError(f"The folder {str(self.path)!r} holds no frames.")
        suffix = min(suffixes, key=lambda name: (-suffixes[name], name))
        pattern = f"{glob.escape(str(self.path.absolute()))}/*{suffix}"
        return [*rate, "-pattern_type", "glob", *part, pattern]

    @property
    def span(self) -> list[str]:
        """Start and end as ffmpeg's arguments for an input."""
        start = [] if self.start is None else ["-ss", f"{self.start:.6f}"]
        return start + ([] if self.end is None else ["-to", f"{self.end:.6f}"])

    @property
    def _is_pattern(self) -> bool:
        return self.is_frames and not self.path.is_dir()


@dataclass(frozen=True)
class Clip:
    """What a source holds.

    size: width and height, upright. time_base: seconds of one tick of its clock. rate: frames per
    second, nominally. duration: seconds, None if unknown. aspect: of a pixel, None if unknown.
    matrix, primaries, transfer, range: colours as they are tagged, None where they are not.
    audio, subtitles: the codec of each such stream.
    """

    source: Source
    size: tuple[int, int]
    time_base: Fraction
    rate: Fraction | None
    duration: float | None
    pixel_format: str
    aspect: Fraction | None = None
    matrix: str | None = None
    primaries: str | None = None
    transfer: str | None = None
    range: str | None = None
    audio: tuple[str, ...] = ()
    subtitles: tuple[str, ...] = ()

    @property
    def frames(self) -> int | None:
        """About as many, if that is known."""
        return round(self.duration * self.rate) if self.duration and self.rate else None

    @property
    def working_matrix(self) -> str:
        """The matrix by which it is converted to RGB and back: the tagged one or the usual one."""
        if self.matrix and self.matrix != "gbr":
            return {"bt2020nc": "bt2020", "bt2020c": "bt2020", "bt470bg": "bt470"}.get(
                self.matrix, self.matrix
            )
        width, height = self.size
        return "bt709" if max(width, height) >= 1280 or min(width, height) >= 720 else "smpte170m"

    @property
    def depth(self) -> int:
        """Bits per channel."""
        found = re.search(
            r"(?:p|gray|gbrp|x2rgb|x2bgr)(9|10|12|14|16)(?:le|be)?$", self.pixel_format
        )
        return int(found[1]) if found else 8


@dataclass
class _Heard:
    """What ffmpeg says of its input and of the first frame."""

    format: str = ""
    duration: float | None = None
    video: bool = False
    audio: list[str] = field(default_factory=list)
    subtitles: list[str] = field(default_factory=list)
    frame: dict[str, str] = field(default_factory=dict)

    def hear(self, line: str) -> None:
        if found := re.search(r"Input #0, (.+), from '", line):
            self.format = found[1]
        elif found := re.search(r"Duration: (\d+):(\d+):([\d.]+)", line):
            hours, minutes, seconds = found.groups()
            self.duration = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        elif not self.frame and (
            found := re.search(r"Stream #0:\d+\S*: (Video|Audio|Subtitle): (\w+)", line)
        ):
            if found[1] == "Video":
                self.video |= "(attached pic)" not in line
            else:
                (self.audio if found[1] == "Audio" else self.subtitles).append(found[2])
        elif "showinfo" in line:
            for name, value in re.findall(r"(\w+):\s*([^\s,]+)", line.split("[info]")[-1]):
                self.frame.setdefault(name, value)


def probe(source: Source) -> Clip:
    """Look at a source; raises PhotostyleError where there is no clip to be read."""
    path = source.path
    if not source.is_frames:
        _check_file(path)
    heard = _Heard()
    process = Process(
        [
            *source.arguments,
            *("-map", "0:V:0", "-vf", "showinfo=checksum=0", "-fps_mode", "passthrough"),
            *("-frames:v", "1", "-f", "null", "-"),
        ],
        hear=heard.hear,
    )
    try:
        process.wait()
    except BaseException:
        process.stop()
        raise
    if not source.is_frames and _PHOTO_FORMATS.match(heard.format):
        raise PhotostyleError(f"{str(path)!r} is a photo: `photostyle image` gives it a look.")
    if heard.format and not heard.video:
        raise PhotostyleError(f"{str(path)!r} holds no video stream.")
    frame = heard.frame
    if "s" not in frame:
        if heard.format and source.start is not None:
            raise PhotostyleError(f"{str(path)!r} holds no frame after {source.start:g} seconds.")
        reason = process.errors[-1] if process.errors else "it holds no frames"
        raise PhotostyleError(f"{str(path)!r} is not a video that can be read: {reason}.")
    width, _, height = frame["s"].partition("x")
    duration = heard.duration
    if duration is not None:
        duration = max(0.0, min(duration, source.end or duration) - (source.start or 0))
    tags = {name: value for name, value in frame.items() if value not in _NONE}
    return Clip(
        source,
        size=(int(width), int(height)),
        time_base=Fraction(frame["time_base"]),
        rate=_fraction(frame.get("frame_rate", "")),
        duration=duration,
        pixel_format=frame.get("fmt", ""),
        aspect=_fraction(frame.get("sar", "")),
        matrix=tags.get("color_space"),
        primaries=tags.get("color_primaries"),
        transfer=tags.get("color_trc"),
        range=tags.get("color_range"),
        audio=tuple(heard.audio),
        subtitles=tuple(heard.subtitles),
    )


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise PhotostyleError(f"{str(path)!r} is empty.")
    except OSError as error:
        raise PhotostyleError(f"{str(path)!r} cannot be read: {error.strerror}.") from error


def _fraction(text: str) -> Fraction | None:
    """Of "30000/1001"; None for "0/1", "1/0" and other words."""
    try:
        return Fraction(text) or None
    except (ValueError, ZeroDivisionError):
        return None

"""Sources of frames, and their properties: size, timing, colours and streams."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from photostyle.errors import PhotostyleError
from photostyle.video import sequence
from photostyle.video.ffmpeg import FFmpeg, Log, file_url
from photostyle.video.mastering import HdrMetadata

CLIP_SUFFIXES = {
    *(".3gp", ".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts"),
    *(".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv"),
}
"""Extensions that files of clips usually have."""

_PHOTO_FORMATS = re.compile(r"(image2|\w+_pipe)\b")
_MATRICES = {
    *("bt709", "fcc", "bt470bg", "smpte170m", "smpte240m", "ycgco", "bt2020nc", "bt2020c"),
    *("chroma-derived-nc", "chroma-derived-c", "ictcp"),
}
_ALPHA = re.compile(r"yuva|gbrap|rgba|bgra|argb|abgr|ya\d|ayuv|vuya|uyva|pal8")
_ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
_INEXACT = {"mpegts", "mpeg"}
"""Formats in which ffmpeg seeks to about a time, perhaps behind the key frame that it needs."""

_NO_TAG = {"unknown", "unspecified", "reserved", ""}


@dataclass(frozen=True)
class Source:
    """A video file or an image sequence.

    path: a file, a folder of images, or a pattern; see `sequence.frames`. rate: frames per second
    of an image sequence; None is 24. start, end: limits of the part to read, in seconds.
    """

    path: Path
    rate: Fraction | None = None
    start: float | None = None
    end: float | None = None

    @property
    def is_image_sequence(self) -> bool:
        """Whether the path is a folder or a pattern."""
        return sequence.is_sequence(self.path)

    @property
    def stem(self) -> str:
        """The name of the file or folder without extension, for naming results."""
        is_pattern = self.is_image_sequence and not self.path.is_dir()
        return self.path.parent.resolve().name if is_pattern else self.path.resolve().stem

    @property
    def arguments(self) -> list[str]:
        """ffmpeg's arguments for this input, a file."""
        return [*self._range, "-i", file_url(self.path)]

    @property
    def whole(self) -> Source:
        """All of the source."""
        return replace(self, start=None, end=None)

    @property
    def files(self) -> list[Path]:
        """The video file, or the frames of an image sequence; raises as `sequence.frames` does."""
        return sequence.frames(self.path) if self.is_image_sequence else [self.path]

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second of an image sequence."""
        return self.rate or Fraction(24)

    @property
    def _range(self) -> list[str]:
        """ffmpeg's arguments for start and end."""
        start = [] if self.start is None else ["-ss", f"{self.start:.6f}"]
        return start + ([] if self.end is None else ["-to", f"{self.end:.6f}"])


def all_streams(number: int) -> list[str]:
    """ffmpeg's arguments that use, but do not write, all pictures and sounds of an input.

    In some formats ffmpeg's time 0 is the start of the first stream that it uses. So that it is the
    same for pictures and sounds, each process that reads them has to use all of them.
    """
    streams = (f"{number}:V:0", f"{number}:a?", f"{number}:s?")
    maps = [word for stream in streams for word in ("-map", stream)]
    return [*maps, "-c", "copy", "-frames", "0", "-f", "null", "-"]


@dataclass(frozen=True)
class Clip:
    """The properties of a source.

    size: width and height in pixels, after rotation. time_base: seconds per tick. rate: nominal
    frames per second. duration: seconds. aspect: width of a pixel divided by its height. matrix,
    primaries, transfer, range: colour tags in ffmpeg's names. Unknown values are None. audio,
    subtitles: the codec of each stream. decoder: ffmpeg's name of the decoder that reads alpha, if
    it is not the default one. hdr: what is said of the light of HDR. inexact: whether a start can
    only be reached by decoding all frames before it. has_keys: whether there is metadata under
    names of Apple or Android. attachments: number of attached files, without cover art.
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
    decoder: str | None = None
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    inexact: bool = False
    has_keys: bool = False
    attachments: int = 0

    @property
    def is_hdr(self) -> bool:
        """Whether values are those of PQ or HLG."""
        return self.transfer in ("smpte2084", "arib-std-b67")

    @property
    def sdr(self) -> Clip:
        """The clip after HDR became SDR: with the tags of BT.709."""
        if not self.is_hdr:
            return self
        tags = {"matrix": "bt709", "primaries": "bt709", "transfer": "bt709", "range": "tv"}
        return replace(self, **tags, hdr=HdrMetadata())  # type: ignore[arg-type]

    @property
    def has_alpha(self) -> bool:
        """Whether frames have an alpha channel, which may be opaque."""
        return bool(self.decoder or _ALPHA.match(self.pixel_format))

    @property
    def frame_count(self) -> int | None:
        """Number of frames, estimated from duration and rate; None if unknown."""
        return round(self.duration * self.rate) if self.duration and self.rate else None

    @property
    def rgb_matrix(self) -> str:
        """The matrix for conversion to RGB and back.

        It is the tagged matrix; without a tag, or for a matrix that ffmpeg cannot convert, BT.2020
        for HDR, BT.709 for HD and BT.601 for smaller clips.
        """
        if self.matrix in _MATRICES:
            return self.matrix
        if self.is_hdr:
            return "bt2020nc"
        width, height = self.size
        return "bt709" if max(width, height) >= 1280 or min(width, height) >= 720 else "smpte170m"

    @property
    def depth(self) -> int:
        """Bits per channel."""
        # Formats of 8 bits have no byte order. Some names give the bits of a whole pixel.
        found = re.search(r"(\d+)x?(?:le|be)$", self.pixel_format)
        bits = int(found[1]) % 100 if found else 8
        bits = {20: 10, 28: 32, 30: 10, 36: 12, 48: 16, 64: 16, 96: 32}.get(bits, bits)
        return bits if bits <= 32 else 8


@dataclass
class _StreamInfo:
    """Facts about the input and its first frame, parsed from ffmpeg's log."""

    format: str = ""
    duration: float | None = None
    has_video: bool = False
    video: str = ""
    decoder: str | None = None
    audio: list[str] = field(default_factory=list)
    subtitles: list[str] = field(default_factory=list)
    frame: dict[str, str] = field(default_factory=dict)
    light: list[str] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    has_keys: bool = False
    attachments: int = 0

    def parse(self, line: str) -> None:
        if "side data - " in line or "DOVI conf" in line:
            self.light.append(line)
        elif re.match(r" {4}com\.[\w.-]+ *: ", line):
            self.has_keys = True
        elif not self.frame and re.match(r" +Stream #0:\d+\S*: Attachment: ", line):
            self.attachments += 1
        elif found := re.search(r"Input #0, (.+), from '", line):
            self.format = found[1]
        elif found := re.search(r"Duration: (\d+):(\d+):([\d.]+)", line):
            hours, minutes, seconds = found.groups()
            self.duration = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        elif not self.frame and (
            found := re.search(r"^ +Stream #0:(\d+)\S*: (Video|Audio|Subtitle): (\w+)", line)
        ):
            self._add_stream(int(found[1]), found[2], found[3], line)
        elif not self.frame and re.search(r"^\s+alpha_mode\s*: 1$", line, re.IGNORECASE):
            self.decoder = _ALPHA_DECODERS.get(self.video)
        elif found := re.search(r"config in (.+)|showinfo.*?\] (?!config out)(.+)", line):
            for name, value in re.findall(r"(\w+):\s*([^\s,]+)", found[1] or found[2]):
                self.frame.setdefault(name, value)

    def _add_stream(self, number: int, kind: str, codec: str, line: str) -> None:
        """Add a stream, which is listed once for each programme that it is part of."""
        if number in self.numbers:
            return
        self.numbers.add(number)
        if kind == "Video":
            if "(attached pic)" not in line:
                self.has_video, self.video = True, self.video or codec
        else:
            (self.audio if kind == "Audio" else self.subtitles).append(codec)


def probe(source: Source) -> Clip:
    """Decode the first frame of a video file to find its properties.

    Raises PhotostyleError if no frame can be decoded, or if its colours cannot.
    """
    _check_file(source.path)
    info, errors = _first_frame(source)
    if info.format in _INEXACT and source.start is not None:
        info, errors = _first_frame(source.whole)
    _check_info(source, info, errors)
    return _clip(source, info)


def _first_frame(source: Source) -> tuple[_StreamInfo, list[str]]:
    """Facts about a source and its first frame, and ffmpeg's error messages."""
    info, log = _StreamInfo(), Log()
    arguments = [
        *source.arguments,
        *("-map", "0:V:0", "-vf", "showinfo=checksum=0", "-fps_mode", "passthrough"),
        *("-frames:v", "1", "-f", "null", "-"),
    ]
    with FFmpeg(arguments, log=log) as process:
        for line in iter(log.get, None):
            info.parse(line)
        process.wait()
    return info, process.errors


def _check_info(source: Source, info: _StreamInfo, errors: list[str]) -> None:
    name = repr(str(source.path))
    if _PHOTO_FORMATS.match(info.format):
        raise PhotostyleError(
            f"{name} is a photo; use `photostyle image` for photos. An image sequence is a folder, "
            "or a pattern in quotes such as 'frames/*.png'."
        )
    if info.format and not info.has_video:
        raise PhotostyleError(f"{name} has no video stream.")
    if "s" in info.frame and HdrMetadata.of(info.light).needs_dolby_vision:
        raise PhotostyleError(
            f"{name} is Dolby Vision without a base of HDR10, HLG or SDR, which only its own "
            "decoders show; convert it to HDR10 or SDR first."
        )
    if "s" in info.frame:
        return
    if info.format and source.start is not None:
        raise PhotostyleError(f"{name} has no frame after {source.start:g} seconds.")
    reason = errors[-1] if errors else "it has no frames"
    if "Cannot allocate memory" in reason:  # for sizes that only a damaged file can have
        reason = "it is damaged"
    raise PhotostyleError(f"{name} cannot be read as a video: {reason}.")


def _clip(source: Source, info: _StreamInfo) -> Clip:
    frame = info.frame
    width, _, height = frame["s"].partition("x")
    duration = info.duration
    if duration is not None:
        duration = max(0.0, min(duration, source.end or duration) - (source.start or 0))
    tags = {name: value for name, value in frame.items() if value not in _NO_TAG}
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
        audio=tuple(info.audio),
        subtitles=tuple(info.subtitles),
        decoder=info.decoder,
        hdr=HdrMetadata.of(info.light),
        inexact=info.format in _INEXACT and source.start is not None,
        has_keys=info.has_keys,
        attachments=info.attachments,
    )


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            if not file.read(1):
                raise PhotostyleError(f"{str(path)!r} is empty.")
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> PhotostyleError:
    return PhotostyleError(f"{str(path)!r} cannot be read: {error.strerror}.")


def _fraction(text: str) -> Fraction | None:
    """Parse a fraction such as "30000/1001"; None for zero, "1/0" and text."""
    try:
        return Fraction(text) or None
    except (ValueError, ZeroDivisionError):
        return None

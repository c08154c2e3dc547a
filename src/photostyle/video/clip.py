"""Sources of frames, and their properties: size, timing, colours and streams."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from photostyle.errors import PhotostyleError
from photostyle.input_space import InputSpace
from photostyle.video import quicktime, sequence
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
_SEEK_BACK = (0.0, 10.0, 60.0)
"""Seconds before the start of a part to which to seek, until its first frame can be decoded."""

_FINE = 10_000
"""Ticks per second that hold any start of a part within a tenth of a millisecond."""

TOLERANCE = 0.0005
"""Seconds: a frame that begins this much before a limit of the part counts as beginning there."""

BACK = 1
"""Seconds: where times jump back by more, a file was joined of several, each with its own times."""

_NO_TAG = {"unknown", "unspecified", "reserved", ""}


@dataclass(frozen=True)
class Source:
    """A video file or an image sequence.

    path: a file, a folder of images, or a pattern; see `sequence.frames`. rate: frames per second
    of an image sequence; None is 24. start, end: limits of the part to read, in seconds.
    input_space: what its values mean; None if its tags say it. range: "tv" or "pc", the range of
    its values, whatever its tag says.
    """

    path: Path
    rate: Fraction | None = None
    start: float | None = None
    end: float | None = None
    input_space: InputSpace | None = None
    range: str | None = None

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
        return ["-i", file_url(self.path)]

    @property
    def files(self) -> list[Path]:
        """The video file, or the frames of an image sequence; raises as `sequence.frames` does."""
        return sequence.frames(self.path) if self.is_image_sequence else [self.path]

    @property
    def frame_rate(self) -> Fraction:
        """Frames per second of an image sequence."""
        return self.rate or Fraction(24)

    @property
    def length(self) -> float | None:
        """Seconds from the start of the part to its end; None if it has no end."""
        return None if self.end is None else self.end - (self.start or 0)


@dataclass(frozen=True)
class Clip:
    """The properties of a source.

    size: width and height in pixels, after rotation. time_base: seconds per tick. rate: nominal
    frames per second. duration: seconds. aspect: width of a pixel divided by its height. matrix,
    primaries, transfer, range: colour tags in ffmpeg's names. Unknown values are None. audio,
    subtitles: the codec of each stream. videos: number of streams of video, of which only the
    first is read. decoder: ffmpeg's name of the decoder that reads alpha, if
    it is not the default one. hdr: what is said of the light of HDR. has_keys: whether there is
    metadata under names of Apple or Android. attachments: number of attached files, without cover
    art. origin: the time in the file that becomes 0, in seconds: the start of the file or of the
    part. delay: seconds to add to the times that ffmpeg gives to frames. sound_bases: ffmpeg moves
    each track of sound by multiples of so many seconds, if they are long. is_cut: whether an
    edit list plays several pieces of a track. seek: where ffmpeg has to
    begin to reach the part, in seconds from the start of the file; None is the beginning. data: the
    type of each track of data.
    languages: by "Video", "Audio", "Subtitle" and "Data", the code of each track's language, empty
    if unknown. created: date and time of the file, in ISO 8601.
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
    videos: int = 1
    decoder: str | None = None
    hdr: HdrMetadata = field(default_factory=HdrMetadata)
    has_keys: bool = False
    attachments: int = 0
    data: tuple[str, ...] = ()
    languages: dict[str, tuple[str, ...]] = field(default_factory=dict)
    created: str = ""
    origin: Fraction = Fraction(0)
    delay: Fraction = Fraction(0)
    sound_bases: tuple[Fraction, ...] = ()
    is_cut: bool = False
    seek: float | None = None

    @property
    def arguments(self) -> list[str]:
        """ffmpeg's arguments to decode the frames, with the times of the file; see `timing`."""
        seek = [] if self.seek is None else ["-noaccurate_seek", "-ss", f"{self.seek:.6f}"]
        return ["-copyts", *seek, *self.source.arguments]

    @property
    def timing(self) -> str:
        """ffmpeg's filters that take the part from decoded frames, in ticks from 0."""
        ticks = round((self.delay - self.origin) / self.time_base)
        base = f"settb={self.time_base.numerator}/{self.time_base.denominator}"
        return f"{base},setpts=PTS{ticks:+d}{self._trim}"

    @property
    def _trim(self) -> str:
        if self.source.start is None and self.source.end is None:
            return ""
        start = "" if self.source.start is None else f"start={-TOLERANCE}:"
        end = "" if self.source.length is None else f"end={self.source.length - TOLERANCE:.6f}"
        return f",trim={start}{end}".removesuffix(":")

    @property
    def is_hdr(self) -> bool:
        """Whether values are those of PQ or HLG."""
        return self.transfer in ("smpte2084", "arib-std-b67")

    @property
    def sdr(self) -> Clip:
        """The clip after HDR or log footage became SDR: with the tags of BT.709."""
        if not (self.is_hdr or self.source.input_space):
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
    start: Fraction = Fraction(0)
    duration: float | None = None
    videos: int = 0
    video: str = ""
    decoder: str | None = None
    audio: list[str] = field(default_factory=list)
    subtitles: list[str] = field(default_factory=list)
    frame: dict[str, str] = field(default_factory=dict)
    light: list[str] = field(default_factory=list)
    numbers: set[int] = field(default_factory=set)
    has_keys: bool = False
    attachments: int = 0
    data: list[str] = field(default_factory=list)
    languages: dict[str, list[str]] = field(default_factory=dict)
    created: str = ""

    def parse(self, line: str) -> None:
        if "side data - " in line or "DOVI conf" in line:
            self.light.append(line)
        elif re.match(r" {4}com\.[\w.-]+ *: ", line):
            self.has_keys = True
        elif not self.frame and re.match(r" +Stream #0:\d+\S*: Attachment: ", line):
            self.attachments += 1
        elif found := re.match(r" {4}creation_time *: ([^;]+)", line):
            self.created = self.created or found[1]
        elif found := re.search(r"Input #0, (.+), from '", line):
            self.format = found[1]
        elif found := re.search(r"Duration: (\d+):(\d+):([\d.]+)", line):
            hours, minutes, seconds = found.groups()
            self.duration = int(hours) * 3600 + int(minutes) * 60 + float(seconds)
            self._parse_start(line)
        elif not self.frame and (
            found := re.search(
                r"^ +Stream #0:(\d+)(?:\[\w+\])?(?:\((\w+)\))?: (Video|Audio|Subtitle|Data): (\w+)",
                line,
            )
        ):
            number, language, kind, codec = found.groups()
            self._add_stream(int(number), kind, codec, language or "", line)
        elif not self.frame and re.search(r"^\s+alpha_mode\s*: 1$", line, re.IGNORECASE):
            self.decoder = _ALPHA_DECODERS.get(self.video)
        elif found := re.search(r"config in (.+)|showinfo.*?\] (?!config out)(.+)", line):
            for name, value in re.findall(r"(\w+):\s*([^\s,]+)", found[1] or found[2]):
                self.frame.setdefault(name, value)

    def _parse_start(self, line: str) -> None:
        if found := re.search(r"start: (-?[\d.]+)", line):
            self.start = Fraction(found[1])

    def _add_stream(self, number: int, kind: str, codec: str, language: str, line: str) -> None:
        """Add a stream, which is listed once for each programme that it is part of."""
        if number in self.numbers:
            return
        self.numbers.add(number)
        if kind == "Video" and "(attached pic)" in line:
            return
        self.languages.setdefault(kind, []).append(language)
        if kind == "Data":
            found = re.search(r" \((\S{4}) / 0x", line)
            self.data.append(found[1] if found else codec)
        elif kind == "Video":
            self.videos, self.video = self.videos + 1, self.video or codec
        else:
            (self.audio if kind == "Audio" else self.subtitles).append(codec)


def probe(source: Source) -> Clip:
    """Decode the first frame of a video file to find its properties.

    Raises PhotostyleError if no frame can be decoded, or if its colours cannot, and for an input
    space if it is HDR.
    """
    _check_file(source.path)
    info = _StreamInfo()
    errors = _show_frames(["-copyts", *source.arguments], "null", info.parse)
    _check_info(source, info, errors)
    clip = _clip(source, info)
    if source.input_space and clip.is_hdr:
        raise PhotostyleError(
            f"{str(source.path)!r} is HDR, not log footage; leave out --input-space."
        )
    if info.format == "avi":
        delay, bases = _times_of_avi(source, info)
        clip = replace(clip, delay=delay, sound_bases=bases)
    elif info.format.startswith("mov,"):
        clip = replace(clip, is_cut=quicktime.is_cut(source.path))
    return clip if source.start is None else _reached(clip)


def _show_frames(arguments: list[str], filters: str, read: Callable[[str], None]) -> list[str]:
    """Decode until a frame passes the filters; return ffmpeg's error messages.

    read: takes the lines of the log, which describes frames before and after the filters.
    """
    log, show = Log(), "showinfo=checksum=0"
    output = ["-fps_mode", "passthrough", "-frames:v", "1", "-f", "null", "-"]
    filters = f"{show},{filters},{show}"
    with FFmpeg([*arguments, "-map", "0:V:0", "-vf", filters, *output], log=log) as process:
        for line in iter(log.get, None):
            read(line)
        process.wait()
    return process.errors


def _reached(clip: Clip) -> Clip:
    """The clip with the place to seek to for its part.

    ffmpeg seeks to about a time, in some files behind the key frame that the part needs. Raises
    PhotostyleError if the part has no frame.
    """
    start = clip.source.start or 0.0
    for back in _SEEK_BACK:
        if start > back:
            sought = replace(clip, seek=start - back)
            if all(_frames_at(sought)):
                return sought
    if not _frames_at(clip)[1]:
        name, end = repr(str(clip.source.path)), clip.source.end
        until = "" if end is None else f" and before {end:g} seconds"
        raise PhotostyleError(f"{name} has no frame after {start:g} seconds{until}.")
    return clip


def _frames_at(clip: Clip) -> tuple[bool, bool]:
    """Whether the first decoded frame comes no later than the part, and whether that has frames."""
    times: dict[str, float] = {}

    def read(line: str) -> None:
        if found := re.search(r"Parsed_(showinfo_\d+) .*\bn: .* pts_time:(-?[\d.]+)", line):
            times.setdefault(found[1], float(found[2]))

    _show_frames(clip.arguments, clip.timing, read)
    first = times.pop("showinfo_0", math.inf) + float(clip.delay - clip.origin)
    return first <= TOLERANCE, bool(times)


def _times_of_avi(source: Source, info: _StreamInfo) -> tuple[Fraction, tuple[Fraction, ...]]:
    """Seconds to add to the times that ffmpeg gives to the frames of an AVI file; its sound_bases.

    AVI has times of decoding only. If frames are not decoded in the order in which they are shown,
    each is shown one frame after its time; ffmpeg is late by all frames that the decoder holds.
    """
    listed = ["-map", "0:V:0", "-map", "0:a?", "-c", "copy", "-frames:v", "30"]
    arguments = ["-copyts", "-fflags", "+genpts", *source.arguments, *listed, "-f", "framecrc", "-"]
    with FFmpeg(arguments, stdout=True) as process:
        assert process.stdout
        lines = [line.decode("ascii", "replace") for line in process.stdout]
        process.wait()
    found = [re.match(r"#tb [1-9]\d*: (\d+/\d+)", line) for line in lines]
    bases = tuple(Fraction(base[1]) for base in found if base)
    rows = [line.split(",") for line in lines if line.startswith("0,")]
    shown = [int(row[2]) for row in rows if abs(int(row[2])) < 1 << 62]  # others are unknown
    decoded = info.frame.get("pts", "")
    if not shown or not decoded.lstrip("-").isdigit():
        return Fraction(0), bases
    return (min(shown) - int(decoded)) * Fraction(info.frame["time_base"]), bases


def _check_info(source: Source, info: _StreamInfo, errors: list[str]) -> None:
    name = repr(str(source.path))
    if _PHOTO_FORMATS.match(info.format):
        raise PhotostyleError(
            f"{name} is a photo; use `photostyle image` for photos. An image sequence is a folder, "
            "or a pattern in quotes such as 'frames/*.png'."
        )
    if info.format and not info.videos:
        raise PhotostyleError(f"{name} has no video stream.")
    if "s" in info.frame and HdrMetadata.of(info.light).needs_dolby_vision:
        raise PhotostyleError(
            f"{name} is Dolby Vision without a base of HDR10, HLG or SDR, which only its own "
            "decoders show; convert it to HDR10 or SDR first."
        )
    if "s" in info.frame:
        return
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
    time_base, origin = Fraction(frame["time_base"]), info.start + Fraction(source.start or 0)
    if origin % time_base:
        time_base /= math.ceil(time_base * _FINE)
    return Clip(
        source,
        size=(int(width), int(height)),
        time_base=time_base,
        rate=_fraction(frame.get("frame_rate", "")),
        duration=duration,
        pixel_format=frame.get("fmt", ""),
        aspect=_fraction(frame.get("sar", "")),
        matrix=tags.get("color_space"),
        primaries=tags.get("color_primaries"),
        transfer=tags.get("color_trc"),
        range=source.range or tags.get("color_range"),
        audio=tuple(info.audio),
        subtitles=tuple(info.subtitles),
        videos=info.videos,
        decoder=info.decoder,
        hdr=HdrMetadata.of(info.light),
        has_keys=info.has_keys,
        attachments=info.attachments,
        data=tuple(info.data),
        languages={kind: tuple(codes) for kind, codes in info.languages.items()},
        created=info.created,
        origin=round(origin / time_base) * time_base,
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

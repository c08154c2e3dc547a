"""The containers and codecs that can be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from photostyle.errors import PhotostyleError


@dataclass(frozen=True)
class Codec:
    """How ffmpeg encodes a video codec.

    pixel_format: for 8 bits per channel; deep_format: for 10, None if there is none. crf: the
    option for constant quality, None if there is none. presets: whether the encoder takes x264's
    presets. even: whether it needs even widths and heights. options: further arguments.
    plays_deep: whether most of its players play 10 bits. alpha_format: for frames with alpha, None
    if it holds none, encoded with alpha_options if there are any.
    """

    encoder: str
    pixel_format: str = "yuv420p"
    deep_format: str | None = "yuv420p10le"
    crf: str | None = "-crf"
    presets: bool = True
    even: bool = True
    options: tuple[str, ...] = ()
    plays_deep: bool = True
    alpha_format: str | None = None
    alpha_options: tuple[str, ...] = ()

    def format(self, depth: int, alpha: bool = False) -> str:
        """ffmpeg's pixel format for 8 or 10 bits per channel."""
        if alpha and self.alpha_format:
            return self.alpha_format
        return self.deep_format if depth > 8 and self.deep_format else self.pixel_format


CODECS = {
    "h264": Codec("libx264", plays_deep=False),
    "h265": Codec("libx265", options=("-tag:v", "hvc1", "-x265-params", "log-level=error")),
    "vp9": Codec(
        "libvpx-vp9",
        presets=False,
        even=False,
        options=("-b:v", "0", "-row-mt", "1", "-cpu-used", "3"),
        alpha_format="yuva420p",
    ),
    "av1": Codec("libsvtav1", presets=False, options=("-preset", "8")),
    "prores": Codec(
        "prores_ks",
        *("yuv422p10le", "yuv422p10le", None),
        presets=False,
        options=("-profile:v", "3"),
        alpha_format="yuva444p10le",
        alpha_options=("-profile:v", "4"),
    ),
    "gif": Codec("gif", "pal8", None, None, presets=False, even=False, alpha_format="pal8"),
}
"""Video codecs by the names that --codec takes."""


@dataclass(frozen=True)
class Container:
    """A file format: ffmpeg's muxer and the streams that it can hold.

    codecs: keys of CODECS, the default first. audio: audio codecs to copy, None for all;
    audio_encoder: re-encodes the others, None leaves them out. subtitles: the encoder of text
    subtitles, None leaves them out. options: further arguments. alpha: whether it can hold it.
    """

    muxer: str
    codecs: tuple[str, ...]
    audio: frozenset[str] | None = frozenset()
    audio_encoder: str | None = None
    subtitles: str | None = None
    options: tuple[str, ...] = ()
    alpha: bool = True


_AAC = ("aac", "mp3", "ac3", "eac3", "alac")

CONTAINERS = {
    ".mp4": Container(
        "mp4",
        ("h264", "h265", "av1", "vp9"),
        frozenset((*_AAC, "opus", "flac", "mp2")),
        "aac",
        "mov_text",
        ("-movflags", "+faststart"),
        alpha=False,
    ),
    ".mov": Container(
        "mov",
        ("h264", "h265", "prores"),
        frozenset((*_AAC, "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_f32le")),
        "aac",
        "mov_text",
        ("-movflags", "+faststart"),
    ),
    ".mkv": Container("matroska", ("h264", "h265", "vp9", "av1", "prores"), None, "aac", "srt"),
    ".webm": Container("webm", ("vp9", "av1"), frozenset(("opus", "vorbis")), "libopus", "webvtt"),
    ".gif": Container("gif", ("gif",)),
}
CONTAINERS[".m4v"] = CONTAINERS[".mp4"]
"""Containers by the suffix of the file."""


def container_of(path: Path) -> Container:
    """The container for a file's suffix; raises PhotostyleError if there is none."""
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        raise PhotostyleError(
            f"Videos cannot be written as {path.name!r}; use one of the extensions "
            f"{', '.join(CONTAINERS)}."
        ) from None


def codec_of(container: Container, name: str | None) -> Codec:
    """The named or default codec; raises PhotostyleError if the container cannot hold it."""
    name = name or container.codecs[0]
    if name not in CODECS:
        raise PhotostyleError(f"Unknown codec {name!r}; use {', '.join(CODECS)}.")
    if name not in container.codecs:
        raise PhotostyleError(
            f"A {container.muxer} file cannot hold {name}; use {', '.join(container.codecs)}, or "
            "another extension."
        )
    return CODECS[name]


class Choice(NamedTuple):
    """The key of a codec, the bits per channel that it encodes, and whether it keeps alpha."""

    codec: str
    depth: int
    alpha: bool


def choose_codec(target: Path, name: str | None, depth: int = 8, *, alpha: bool = False) -> Choice:
    """The codec for a file, which keeps over 8 bits per channel and alpha as far as it can.

    A name is kept. Without one it is the container's first codec that holds all of this and whose
    players play it, if there is any, or the first one that holds alpha. Raises PhotostyleError if a
    file of that name cannot hold the codec.
    """
    container = container_of(target)
    codec_of(container, name)
    alpha &= container.alpha

    def lost(codec: str) -> tuple[bool, bool]:
        kind = CODECS[codec]
        too_shallow = "10" not in kind.format(10, alpha) or not kind.plays_deep
        return alpha and not kind.alpha_format, depth > 8 and too_shallow

    name = name or min(container.codecs, key=lost)
    alpha = alpha and bool(CODECS[name].alpha_format)
    return Choice(name, 10 if depth > 8 and "10" in CODECS[name].format(10, alpha) else 8, alpha)

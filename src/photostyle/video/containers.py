"""The containers and codecs that can be written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photostyle.errors import PhotostyleError


@dataclass(frozen=True)
class Codec:
    """How ffmpeg encodes a video codec.

    crf: the option for constant quality, None if there is none. presets: whether the encoder takes
    x264's presets. even: whether it needs even widths and heights. options: further arguments.
    """

    encoder: str
    pixel_format: str = "yuv420p"
    crf: str | None = "-crf"
    presets: bool = True
    even: bool = True
    options: tuple[str, ...] = ()


CODECS = {
    "h264": Codec("libx264"),
    "h265": Codec("libx265", options=("-tag:v", "hvc1", "-x265-params", "log-level=error")),
    "vp9": Codec(
        "libvpx-vp9",
        presets=False,
        even=False,
        options=("-b:v", "0", "-row-mt", "1", "-cpu-used", "3"),
    ),
    "av1": Codec("libsvtav1", presets=False, options=("-preset", "8")),
    "prores": Codec("prores_ks", "yuv422p10le", None, presets=False, options=("-profile:v", "3")),
    "gif": Codec("gif", "pal8", None, presets=False, even=False),
}
"""Video codecs by the names that --codec takes."""


@dataclass(frozen=True)
class Container:
    """A file format: ffmpeg's muxer and the streams that it can hold.

    codecs: keys of CODECS, the default first. audio: audio codecs to copy, None for all;
    audio_encoder: re-encodes the others, None leaves them out. subtitles: the encoder of text
    subtitles, None leaves them out. options: further arguments.
    """

    muxer: str
    codecs: tuple[str, ...]
    audio: frozenset[str] | None = frozenset()
    audio_encoder: str | None = None
    subtitles: str | None = None
    options: tuple[str, ...] = ()


_AAC = ("aac", "mp3", "ac3", "eac3", "alac")

CONTAINERS = {
    ".mp4": Container(
        "mp4",
        ("h264", "h265", "av1", "vp9"),
        frozenset((*_AAC, "opus", "flac", "mp2")),
        "aac",
        "mov_text",
        ("-movflags", "+faststart"),
    ),
    ".mov": Container(
        "mov",
        ("h264", "h265", "prores"),
        frozenset((*_AAC, "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s24be", "pcm_f32le")),
        "aac",
        "mov_text",
        ("-movflags", "+faststart"),
    ),
    ".mkv": Container("matroska", ("h264", "h265", "vp9", "av1", "prores"), None, None, "srt"),
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


def check_encoding(target: Path, codec: str | None) -> None:
    """Raise PhotostyleError if a file of that name cannot hold the codec."""
    codec_of(container_of(target), codec)

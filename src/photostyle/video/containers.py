"""What the containers hold, as far as photostyle writes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from photostyle.errors import PhotostyleError


@dataclass(frozen=True)
class Codec:
    """A video codec: ffmpeg's encoder and pixel format; crf: its option for a constant quality."""

    encoder: str
    pixel_format: str = "yuv420p"
    crf: str | None = "-crf"
    presets: bool = True
    # 4:2:0 with an even number of rows and columns only.
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
"""Video codecs by the names that --codec takes; the first of a container is its default."""


@dataclass(frozen=True)
class Container:
    """A file format: ffmpeg's muxer, and what it holds.

    audio: codecs that are kept as they are, None for all; spare: what others become (None: left
    out). subtitles: the codec that text subtitles take, None where there are none.
    """

    muxer: str
    codecs: tuple[str, ...]
    audio: frozenset[str] | None = frozenset()
    spare: str | None = None
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
"""Containers by the extension of a file."""


def container_of(path: Path) -> Container:
    """By the extension; raises PhotostyleError for an unknown one."""
    try:
        return CONTAINERS[path.suffix.lower()]
    except KeyError:
        raise PhotostyleError(
            f"{str(path)!r} needs an extension of a video: {', '.join(CONTAINERS)}."
        ) from None


def codec_of(container: Container, name: str | None) -> Codec:
    """The codec of a name, or the container's own; raises PhotostyleError where it has no place."""
    name = name or container.codecs[0]
    if name not in CODECS:
        raise PhotostyleError(f"Unknown codec {name!r}; use {', '.join(CODECS)}.")
    if name not in container.codecs:
        raise PhotostyleError(
            f"A {container.muxer} file holds no {name}; use {', '.join(container.codecs)} or "
            "another extension."
        )
    return CODECS[name]


def check_encoding(target: Path, codec: str | None) -> None:
    """Raises PhotostyleError, before the work, where a file of that name could not be encoded."""
    codec_of(container_of(target), codec)

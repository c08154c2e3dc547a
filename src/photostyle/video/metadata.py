"""What a file keeps of a clip beside picture and sound: texts, dates, timecodes, cover art."""

from __future__ import annotations

from collections.abc import Sequence

from photostyle.video.clip import Clip
from photostyle.video.containers import Container
from photostyle.video.tracks import Encoded

_OF_ENCODING = ("encoder", "BPS", "DURATION", "NUMBER_OF_FRAMES", "NUMBER_OF_BYTES")
"""Tags that say how the clip's picture was encoded, which is no longer true."""

_OF_FILE = ("major_brand", "minor_version", "compatible_brands")
"""Tags that say what kind of file the clip was."""


def arguments(
    clip: Clip, container: Container, kept: Sequence[Encoded], *, alpha: bool
) -> list[str]:
    """ffmpeg's arguments for texts and dates of the file and its tracks.

    Input 0 is the picture, input 1 the clip. alpha: whether the picture has it.
    """
    words = ["-map_metadata", "1", "-map_metadata:s:v:0", "1:s:V:0"]
    for name in _OF_FILE:
        words += ["-metadata", f"{name}="]
    places = {"a": 0, "s": 0, "d": 0}
    for track, _ in kept:
        kind = track.kind
        words += [f"-map_metadata:s:{kind}:{places[kind]}", f"1:s:{kind}:{track.number}"]
        places[kind] += 1
    untrue = [*_OF_ENCODING, *(f"{name}-eng" for name in _OF_ENCODING), "alpha_mode"]
    if clip.source.start:
        untrue.append("timecode")
        words += ["-metadata", "timecode="]
    for name in untrue:
        words += ["-metadata:s:v:0", f"{name}="]
    if alpha:
        words += ["-metadata:s:v:0", "alpha_mode=1"]
    if clip.has_keys and container.muxer in ("mp4", "mov"):
        # As a key it would be there twice: `quicktime.complete` sets the date of the header.
        words += ["-movflags", "+use_metadata_tags", "-metadata", "creation_time="]
    return words


def files(clip: Clip, container: Container) -> list[str]:
    """ffmpeg's arguments that add cover art and attached files; input 1 is the clip."""
    words: list[str] = []
    if container.muxer in ("mp4", "mov", "matroska"):
        words += ["-map", "1:v?", "-map", "-1:V"]
    if container.muxer == "matroska":
        words += ["-map", "1:t?", "-c:t", "copy"]
        for number in range(clip.attachments):
            words += [f"-map_metadata:s:t:{number}", f"1:s:t:{number}"]
    return words

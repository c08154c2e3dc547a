"""The tracks of sound and subtitles that a file gets from a clip, and how they are encoded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from photostyle.video.clip import BACK, Clip
from photostyle.video.containers import Container
from photostyle.video.ffmpeg import file_url, run

TRIED = 10
"""Seconds of each track that are written to find out whether a container takes it."""

_WRITTEN_ELSEWHERE = ("tmcd", "text")
"""Tracks of data with the timecode and the chapters, which are written from what they say."""

_TEXT_SUBTITLES = {"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"}


class Track(NamedTuple):
    """A track of sound ("a"), subtitles ("s") or data ("d"): its number among those, its codec."""

    kind: str
    number: int
    codec: str


class Encoded(NamedTuple):
    """A track and ffmpeg's options and values for it, without hyphens."""

    track: Track
    options: tuple[str, ...]


COPY = ("c", "copy")

_AHEAD = 10
"""Seconds by which tracks may lie behind the pictures of the same time in a file."""

_FINE = 90_000
"""Ticks per second of sound whose own are too long to move it into place."""

_PRIMING = 0.15
"""Maximum seconds of a track before time 0 that a decoder needs but does not play."""


def input_arguments(clip: Clip) -> list[str]:
    """ffmpeg's arguments that read the tracks of a clip, with times from the clip's origin."""
    ahead = (clip.seek or 0) - _AHEAD
    seek = ["-noaccurate_seek", "-ss", f"{ahead:.6f}"] if ahead > 0 else []
    return ["-itsoffset", f"{-float(clip.origin):.6f}", *seek, *clip.source.arguments]


def arguments(
    clip: Clip,
    container: Container,
    tracks: Sequence[Encoded],
    number: int,
    shifts: Sequence[Fraction] = (),
) -> list[str]:
    """ffmpeg's arguments that write tracks of the input of a number, from the clip's time 0 on.

    shifts: see `Reader`.
    """
    words: list[str] = []
    kept = {"a": 0, "s": 0, "d": 0}
    for track, options in tracks:
        words += ["-map", f"{number}:{track.kind}:{track.number}"]
        dropped = []
        if first := _first(clip, container):
            dropped.append(rf"lt(pts*tb\,{first})")
        if options[:2] == ("c", "aac"):
            # It only primes the decoder, and not all players skip it.
            dropped.append(r"eq(n\,0)")
        filters = [f"noise=drop={'+'.join(dropped)}"] if dropped else []
        remainder = _remainder(clip, track)
        if remainder and options[:2] == COPY:
            ticks = round(remainder * _FINE)
            filters.insert(0, f"setts=time_base=1/{_FINE}:prescale=1:ts=TS{ticks:+d}")
        joined = _joined(shifts)
        if joined and options[:2] == COPY:
            filters.insert(0, f"setts=ts='{joined}'")
        if filters:
            options += ("bsf", ",".join(filters))
        if track.kind == "a" and options[:2] != COPY:
            options += ("filter", ",".join(_filters(clip, remainder, joined)))
        for name, value in zip(options[::2], options[1::2], strict=True):
            words += [f"-{name}:{track.kind}:{kept[track.kind]}", value]
        kept[track.kind] += 1
    return words


def _remainder(clip: Clip, track: Track) -> Fraction:
    """Seconds to add to the times of a track, which ffmpeg moved by whole ticks only."""
    if track.kind != "a" or track.number >= len(clip.sound_bases):
        return Fraction(0)
    base = clip.sound_bases[track.number]
    return round(clip.origin / base) * base - clip.origin


def _joined(shifts: Sequence[Fraction]) -> str:
    """ffmpeg's expression for the times of a track that jump back, as those of the picture do."""
    if not shifts:
        return ""
    now = "if(isnan(PREV_INPTS),0,PREV_OUTPTS-PREV_INPTS)*TB"
    following = f"{float(shifts[-1]):.6f}"
    for before, after in reversed(list(pairwise([Fraction(0), *shifts]))):
        following = f"if(lt(abs({now}-{float(before):.6f}),0.001),{float(after):.6f},{following})"
    back = f"lt(PTS,PREV_INPTS-{BACK}/TB)"
    return f"PTS+round(if({back},{following},{now})/TB)"


def _filters(clip: Clip, remainder: Fraction, joined: str) -> Iterator[str]:
    """ffmpeg's filters of sound that is encoded again: gaps become silence.

    joined: see `_joined`.
    """
    if joined:
        yield f"asetpts='{joined}'"
    if remainder:
        yield f"asetpts=PTS{float(remainder):+.6f}/TB"
    yield "aresample=async=1:min_hard_comp=0.004"
    yield "aformat=sample_rates=32000|44100|48000|88200|96000"
    if clip.source.start is not None:
        yield "atrim=start=0"  # else ffmpeg counts the length from where it seeks to


def _first(clip: Clip, container: Container) -> float | None:
    """Time in seconds before which packets are left out; None for no limit."""
    if clip.source.start is not None:
        return -0.0005
    # What comes before time 0 is there for the decoder; edit lists of mp4 and mov hide it.
    return None if container.muxer in ("mp4", "mov") else -_PRIMING


def choose(clip: Clip, container: Container, scratch: Path) -> tuple[list[Encoded], list[str]]:
    """The tracks that a container gets, and notes on those that are re-encoded or left out.

    Tries it out, so that nothing fails after the last frame. scratch: a file to overwrite.
    """
    tracks = [Track("a", number, codec) for number, codec in enumerate(clip.audio)]
    tracks += [Track("s", number, codec) for number, codec in enumerate(clip.subtitles)]
    tracks += [Track("d", number, kind) for number, kind in enumerate(clip.data)]
    if clip.source.is_image_sequence or not tracks:
        return [], []
    if container.muxer == "gif":
        return [], ["A GIF has no sound."] if clip.audio else []
    preferred = [Encoded(track, next(_candidates(clip, track, container), ())) for track in tracks]
    chosen = [one for one in preferred if one.options]
    if chosen and not _works(clip, container, chosen, scratch):
        chosen = []
        for track in tracks:
            for options in _candidates(clip, track, container):
                if _works(clip, container, [Encoded(track, options)], scratch):
                    chosen.append(Encoded(track, options))
                    break
    options_of = dict(chosen)
    notes = [_note(clip, track, options_of.get(track), container) for track in tracks]
    return chosen, list(dict.fromkeys(note for note in notes if note))


def languages(clip: Clip, kept: Sequence[Encoded]) -> list[str]:
    """The languages of the tracks of a file: the picture, then those kept."""
    names = {"a": "Audio", "s": "Subtitle", "d": "Data"}
    places = [("Video", 0), *((names[track.kind], track.number) for track, _ in kept)]
    return [
        clip.languages[kind][number] if kind in clip.languages else "" for kind, number in places
    ]


def _works(clip: Clip, container: Container, tracks: Sequence[Encoded], scratch: Path) -> bool:
    """Whether the beginning of tracks can be written."""
    output = ["-t", str(TRIED), "-f", container.muxer, file_url(scratch)]
    source = ["-y", "-copyts", *input_arguments(clip)]
    return not run([*source, *arguments(clip, container, tracks, 0), *output])


def _candidates(clip: Clip, track: Track, container: Container) -> Iterator[tuple[str, ...]]:
    """Options for a track, the best ones first."""
    if track.kind == "d":
        if track.codec == "gpmd" and container.muxer in ("mp4", "mov"):
            yield (*COPY, "tag", track.codec)
        return
    if track.kind == "s":
        if container.muxer == "matroska" and track.codec != "mov_text":
            yield COPY
        if track.codec in _TEXT_SUBTITLES and container.subtitles:
            yield ("c", container.subtitles)
        return
    if container.audio is None or track.codec in container.audio:
        # What an edit list leaves out of a packet would be heard again.
        if not clip.is_cut:
            yield COPY
        elif track.codec in ("flac", "alac") or track.codec.startswith("pcm_"):
            yield ("c", track.codec)
    if container.audio_encoder:
        yield ("c", container.audio_encoder)
        yield ("c", container.audio_encoder, "ac", "2", "ar", "48000")


def _note(clip: Clip, track: Track, options: tuple[str, ...] | None, container: Container) -> str:
    """A note on a track; empty if it is copied, or is subtitles that stay text."""
    if options == COPY or (track.kind != "a" and options):
        return ""
    if track.kind == "d":
        if track.codec in _WRITTEN_ELSEWHERE:
            return ""
        return f"Data ({track.codec}) was left out: it cannot be copied to {container.muxer} files."
    name = f"{track.codec} {'audio' if track.kind == 'a' else 'subtitles'}"
    change = "left out" if not options else "re-encoded" if "ac" not in options else "mixed down"
    reason = f"{container.muxer} files cannot hold it"
    if clip.is_cut and options:
        if options == ("c", track.codec):
            return ""
        reason = "its packets cannot follow the edit list of the clip"
    return f"A track of {name} was {change}: {reason}."

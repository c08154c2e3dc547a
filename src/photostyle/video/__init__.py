"""Reads and writes clips frame by frame, with their timing, sound and tags.

The ffmpeg program of imageio-ffmpeg does the work. `ffmpeg` runs it, `clip` finds out what a file
holds, `reader` decodes frames, `encoder` encodes them, `conversion` has the filters of both,
`matroska` writes the stream that takes frames and their times to the encoder, `writer` adds sound,
subtitles and chapters, `containers` lists formats and codecs, and `photostyle.threads` runs all
this in the background.
"""

from __future__ import annotations

from photostyle.video.clip import CLIP_SUFFIXES, Clip, Source, probe
from photostyle.video.containers import CODECS, CONTAINERS, choose_codec
from photostyle.video.encoder import Encoding, VideoEncoder
from photostyle.video.reader import Reader, VideoFrame
from photostyle.video.writer import Writer, open_writer

__all__ = [
    "CLIP_SUFFIXES",
    "CODECS",
    "CONTAINERS",
    "Clip",
    "Encoding",
    "Reader",
    "Source",
    "VideoEncoder",
    "VideoFrame",
    "Writer",
    "choose_codec",
    "open_writer",
    "probe",
]

"""Clips in and out, frame by frame, with their timing, sound and tags.

All is done by the ffmpeg program that imageio-ffmpeg brings. `process` starts it and listens to it,
`clip` asks what a file holds, `reader` decodes, `matroska` hands frames with their times back,
`writer` encodes them and adds sound, subtitles and chapters, `containers` is what the formats hold.
"""

from __future__ import annotations

from photostyle.video.clip import Clip, Source, probe
from photostyle.video.containers import CODECS, CONTAINERS, check_encoding
from photostyle.video.reader import Reader, VideoFrame
from photostyle.video.writer import Encoding, Writer

__all__ = [
    "CODECS",
    "CONTAINERS",
    "Clip",
    "Encoding",
    "Reader",
    "Source",
    "VideoFrame",
    "Writer",
    "check_encoding",
    "probe",
]

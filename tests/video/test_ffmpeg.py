"""Processes of ffmpeg that nobody stops."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ABANDONED = """
import sys
from photostyle.video.ffmpeg import FFmpeg, file_url
raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "8x8", "-i", "-"]
print(FFmpeg([*raw, "-f", "mp4", file_url(sys.argv[1])], stdin=True)._process.pid)
"""


def test_a_process_that_nobody_stops_writes_no_file(tmp_path: Path) -> None:
    """As after a signal just after its start: the file has been removed, and must stay away."""
    command = [sys.executable, "-c", ABANDONED, str(tmp_path / "removed.mp4")]
    printed = subprocess.run(command, check=True, capture_output=True).stdout
    with suppress(ProcessLookupError):
        for _ in range(300):
            os.kill(int(printed), 0)
            time.sleep(0.1)
    assert list(tmp_path.iterdir()) == []

"""The ffmpeg program: started apart from our signals, and listened to."""

from __future__ import annotations

import re
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import imageio_ffmpeg

from photostyle.errors import PhotostyleError

PIPE = 1 << 20
"""Bytes that a pipe is asked to hold: with the usual 64 KiB frames go over in a hundred pieces."""

_KEPT = 40
"""As many complaints are remembered: the first ones say what is wrong."""


def executable() -> str:
    """The path of ffmpeg; raises PhotostyleError if there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise PhotostyleError(
            "There is no ffmpeg for this system; install it, or name it in IMAGEIO_FFMPEG_EXE."
        ) from error


def address(path: Path) -> str:
    """A file as ffmpeg takes it whatever its name is."""
    return f"file:{path}"


# A clip with a chapter track that ffmpeg itself has written is none the worse for it.
_HARMLESS = "Referenced QT chapter track not found"
_COMPLAINT = re.compile(r"\[(?:error|fatal|panic)\] (.*?)\.?$")


class Process:
    """A running ffmpeg.

    hear: is given each line that it says. errors: what it complained of. It does not get the
    signals of the terminal, so that Ctrl-C lets it finish its file.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        hear: Callable[[str], None] = lambda _: None,
        stdin: bool = False,
        stdout: bool = False,
    ) -> None:
        command = [executable(), "-hide_banner", "-loglevel", "level+info", *arguments]
        self.errors: list[str] = []
        self._hear = hear
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pipesize=PIPE,
            start_new_session=True,
        )
        self.stdin, self.stdout = self._process.stdin, self._process.stdout
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def wait(self) -> int:
        """Until it has ended and all is heard; its exit code."""
        if self.stdin and not self.stdin.closed:
            with suppress(OSError):  # it may have gone before it took all
                self.stdin.close()
        code = self._process.wait()
        self._listener.join()
        return code

    def stop(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        for stream in (self.stdout, self.stdin):
            if stream:
                with suppress(OSError):
                    stream.close()
        self._process.wait()
        self._listener.join()

    def _listen(self) -> None:
        assert self._process.stderr
        for raw in self._process.stderr:
            line = raw.decode(errors="replace").rstrip()
            found = _COMPLAINT.search(line)
            if found and found[1] != _HARMLESS and len(self.errors) < _KEPT:
                self.errors.append(found[1])
            self._hear(line)


def run(arguments: Sequence[str], hear: Callable[[str], None] = lambda _: None) -> list[str]:
    """Run ffmpeg to its end; gives what it complained of if it failed, else nothing."""
    process = Process(arguments, hear=hear)
    try:
        code = process.wait()
    except BaseException:
        process.stop()
        raise
    return (process.errors or [f"ffmpeg failed with code {code}"]) if code else []

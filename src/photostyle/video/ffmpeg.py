"""Runs the ffmpeg program of imageio-ffmpeg and reads its log."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType

import imageio_ffmpeg

from photostyle.errors import PhotostyleError
from photostyle.threads import Worker

Log = SimpleQueue[str | None]
"""Lines of a log, then None."""

PIPE_SIZE = 1 << 20
"""Size of a pipe in bytes: through the default of 64 KiB a frame takes about a hundred writes."""

MAX_ERRORS = 40
"""Maximum number of error messages to keep; the first ones say what is wrong."""

# ffmpeg prints this about chapter tracks that it has written itself.
_HARMLESS = "Referenced QT chapter track not found"

# Terminal colours: errors are red, warnings yellow, other messages have no colour.
_ERROR = re.compile(r"\x1b\[\d;31m([^\x1b]*)")
_ERROR_OR_WARNING_OR_COLOR = re.compile(r"\x1b\[\d;3[13]m[^\x1b]*|\x1b\[[\d;]*m")


def executable() -> str:
    """The path of ffmpeg; raises PhotostyleError if there is none."""
    try:
        return imageio_ffmpeg.get_ffmpeg_exe()
    except RuntimeError as error:
        raise PhotostyleError(
            "No ffmpeg was found; install it, or set IMAGEIO_FFMPEG_EXE to its path."
        ) from error


def file_url(path: Path) -> str:
    """A file name for ffmpeg's command line, which may contain any characters."""
    return f"file:{path}"


class FFmpeg:
    """A running ffmpeg process; as a context manager it stops the process at the end.

    log: receives every line of the log at level "info" except errors and warnings, then None.
    errors: the first error messages. The terminal's signals do not reach the process, so that it
    can complete its file after Ctrl-C.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        log: Log | None = None,
        stdin: bool = False,
        stdout: bool = False,
    ) -> None:
        level = "error" if log is None else "info"
        self.errors: list[str] = []
        self._log = log
        # Else a process could go on that nobody knows, and write a file that was removed.
        with _signals_afterwards(self):
            self._process = subprocess.Popen(
                [executable(), "-hide_banner", "-loglevel", level, *arguments],
                stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pipesize=PIPE_SIZE,
                env=_environment(),
                start_new_session=True,
            )
            # Also at exit, if a signal arrives before anybody stops it.
            weakref.finalize(self, _kill, self._process)
            self.stdin, self.stdout = self._process.stdin, self._process.stdout
            self._listener = Worker(self._listen)

    def __enter__(self) -> FFmpeg:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def wait(self) -> int:
        """Wait until the process has ended and its log is read; return its exit code."""
        if self.stdin and not self.stdin.closed:
            with suppress(OSError):  # it may have ended before it read everything
                self.stdin.close()
        code = self._process.wait()
        self._listener.result()
        return code

    def stop(self) -> None:
        """Kill the process."""
        self._process.kill()
        for stream in (self.stdout, self.stdin):
            if stream:
                with suppress(OSError):
                    stream.close()
        self._process.wait()
        self._listener.result()

    def _listen(self) -> None:
        assert self._process.stderr
        try:
            for line in self._process.stderr:
                self._read(line.decode(errors="replace").rstrip())
        except BaseException:
            self._process.kill()  # it would block once the pipe of its log is full
            raise
        finally:
            if self._log is not None:
                self._log.put(None)

    def _read(self, line: str) -> None:
        error = "".join(_ERROR.findall(line)).removesuffix(".")
        if error and error != _HARMLESS and len(self.errors) < MAX_ERRORS:
            self.errors.append(error)
        if self._log is not None:
            self._log.put(_ERROR_OR_WARNING_OR_COLOR.sub("", line))


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a process, so that it opens no file after this."""
    process.kill()
    process.wait()


@contextmanager
def _signals_afterwards(started: FFmpeg) -> Iterator[None]:
    """Signals that arrive in the block take effect after it; then the process that it starts ends.

    Only the main thread runs Python's handlers of signals.
    """
    received: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            if callable(signal.getsignal(number)):
                handlers[number] = signal.signal(number, lambda n, _: received.append(n))
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if received:
            _kill(started._process)
            signal.raise_signal(received[0])


def run(arguments: Sequence[str]) -> list[str]:
    """Run ffmpeg to its end; return its error messages if it failed, else an empty list."""
    with FFmpeg(arguments) as process:
        code = process.wait()
    return (process.errors or [f"ffmpeg failed with code {code}"]) if code else []


def _environment() -> dict[str, str]:
    """An environment in which ffmpeg colours its log.

    Its threads write into each other's lines, so a message can lose its prefix such as "[error]",
    but every piece has its own colour.
    """
    inherited = {n: v for n, v in os.environ.items() if not n.startswith("AV_LOG_FORCE_")}
    return inherited | {"AV_LOG_FORCE_COLOR": "1", "TERM": "dumb"}

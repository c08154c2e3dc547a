"""Errors in the threads of the reader and the writer reach the caller."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.clips import make

from photostyle.errors import PhotostyleError
from photostyle.threads import Channel, Worker, in_background
from photostyle.video import Clip, Reader, Source, ffmpeg, open_writer, probe


class BugError(RuntimeError):
    """Stands for a programming error in a thread."""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def clip(folder: Path) -> Clip:
    return probe(Source(make(str(folder / "in.mp4"), size="64x36", frames=12)))


def raise_in_threads(call: Any, after: int) -> Any:
    """The same function, but call number ``after`` outside the main thread raises a bug."""
    calls = 0

    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        if threading.current_thread() is not threading.main_thread():
            calls += 1
            if calls > after:
                raise BugError
        return call(*arguments, **options)

    return wrapped


def names(error: BaseException) -> list[str]:
    """The functions in the traceback."""
    found, entry = [], error.__traceback__
    while entry:
        found.append(entry.tb_frame.f_code.co_name)
        entry = entry.tb_next
    return found


@pytest.mark.parametrize("after", [0, 5])
def test_a_bug_in_the_decoding_thread(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    monkeypatch.setattr(np, "empty", raise_in_threads(np.empty, after))
    frames = iter(Reader(clip))
    with pytest.raises(BugError) as caught:
        for _ in range(after + 1):
            next(frames)
    assert {"wrapped", "_decode"} <= set(names(caught.value))


@pytest.mark.parametrize("after", [0, 5])
def test_a_bug_in_the_encoding_thread(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, folder: Path, after: int
) -> None:
    monkeypatch.setattr(np, "ascontiguousarray", raise_in_threads(np.ascontiguousarray, after))
    with pytest.raises(BugError) as caught, open_writer(Path("out.mp4"), clip) as writer:
        for frame in Reader(clip):
            writer.add(frame)
    assert {"wrapped", "_write"} <= set(names(caught.value))
    assert [path.name for path in folder.iterdir()] == ["in.mp4"]


def test_a_bug_in_the_thread_that_reads_the_log(
    clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ffmpeg.FFmpeg, "_read", raise_in_threads(ffmpeg.FFmpeg._read, 0))
    with pytest.raises(BugError):
        list(Reader(clip))
    with pytest.raises(BugError):
        probe(clip.source)
    with pytest.raises(BugError):
        ffmpeg.run(["-i", "missing.mp4"])


def test_an_encoder_that_fails_while_frames_come(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr("photostyle.video.encoder._filters", lambda *_: "no_such_filter")
    frame = next(iter(Reader(clip)))
    with (
        pytest.raises(PhotostyleError, match=r"cannot be encoded: .*no_such_filter"),
        open_writer(Path("out.mp4"), clip) as writer,
    ):
        while True:
            writer.add(frame)
    assert [path.name for path in folder.iterdir()] == ["in.mp4"]


def test_a_reader_that_is_left_early_ends_its_threads(clip: Clip) -> None:
    before = threading.active_count()
    frames = iter(Reader(clip))
    next(frames)
    assert threading.active_count() > before
    frames.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_a_reader_that_is_left_to_the_end_of_the_program(clip: Clip) -> None:
    code = (
        "from pathlib import Path; from photostyle.video import *;"
        f"frames = iter(Reader(probe(Source(Path({str(clip.source.path)!r}))))); next(frames);"
        "cycle = [frames]; cycle.append(cycle); del frames, cycle"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_errors_are_found_where_threads_write_into_each_others_lines() -> None:
    """As ffmpeg writes it when its demuxer reports an error amid a line of another thread."""
    process = ffmpeg.FFmpeg.__new__(ffmpeg.FFmpeg)
    process.errors, process._log = [], ffmpeg.Log()
    lines = [
        "\x1b[0;35m[in#0 @ 0x1] \x1b[0m\x1b[0;33mdetected with a low score\n",
        "\x1b[0m\x1b[1;32m[Parsed_showinfo_0 @ 0x1] \x1b[0mn: 1 \x1b[1;31mFile ended early.\n",
        "\x1b[0m\x1b[1;32m[Parsed_showinfo_0 @ 0x1] \x1b[0mcolor_range:pc\n",
        "\x1b[4;31mError opening \x1b[0m\x1b[4;31minput\n",
    ]
    for line in lines:
        process._read(line.rstrip())
    assert process.errors == ["File ended early", "Error opening input"]
    assert [process._log.get() for _ in lines] == [
        "[in#0 @ 0x1] ",
        "[Parsed_showinfo_0 @ 0x1] n: 1 ",
        "[Parsed_showinfo_0 @ 0x1] color_range:pc",
        "",
    ]


def test_a_channel_passes_items_until_it_is_closed() -> None:
    channel: Channel[int] = Channel(2)
    taken: list[int] = []
    consumer = Worker(lambda: taken.extend(channel))
    assert all(channel.put(number) for number in range(100))
    channel.close()
    consumer.result()
    assert taken == list(range(100))
    assert not channel.put(100)


def test_closing_a_channel_frees_a_waiting_producer() -> None:
    channel: Channel[int] = Channel(1)
    accepted: list[bool] = []
    producer = Worker(lambda: accepted.extend(channel.put(number) for number in range(3)))
    next(iter(channel))
    channel.close()
    producer.result()
    assert accepted[0]
    assert not accepted[-1]


class SignalError(Exception):
    """What a signal raises."""


def test_a_signal_at_any_moment_leaves_no_thread_waiting() -> None:
    """A lock that the interrupted thread would keep has stopped others forever."""

    def interrupt(_number: int, _frame: object) -> None:
        raise SignalError

    rng = random.Random(1)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        for _ in range(400):
            channel: Channel[int] = Channel(3)

            def produce(channel: Channel[int] = channel) -> None:
                while channel.put(0):
                    pass

            worker = Worker(produce)
            with suppress(SignalError):
                signal.setitimer(signal.ITIMER_REAL, rng.uniform(2e-5, 4e-4))
                for _ in channel:
                    pass
            channel.close()
            worker._thread.join(10)
            assert not worker._thread.is_alive()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_work_in_the_background_keeps_the_order() -> None:
    threads, made = set(), []

    def prepared() -> Iterator[list[int]]:
        for number in range(20):
            made.append(number)
            yield [number]

    def work(item: list[int]) -> None:
        threads.add(threading.get_ident())
        item.append(item[0] ** 2)

    results = in_background(work, prepared(), 3)
    assert next(results) == [0, 0]
    assert len(made) <= 4  # no more than 3 wait
    assert list(results) == [[n, n * n] for n in range(1, 20)]
    assert len(threads) == 1
    assert threading.get_ident() not in threads
    assert list(in_background(work, [], 3)) == []


def test_work_in_the_background_passes_on_exceptions() -> None:
    def fail(item: int) -> None:
        if item == 5:
            raise BugError

    done = []
    with pytest.raises(BugError):
        for item in in_background(fail, range(100), 2):
            done.append(item)
    assert done == list(range(5))

    def broken() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(in_background(fail, broken(), 2))
    before = threading.active_count()
    results = in_background(fail, range(5), 2)
    assert next(results) == 0
    results.close()
    assert threading.active_count() == before

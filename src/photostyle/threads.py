"""Threads that pass on their exceptions, and bounded channels between threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

T = TypeVar("T")


class Worker:
    """A thread that runs a function and keeps its exception, if any."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._error: BaseException | None = None
        # Not an executor, whose threads keep the program from exiting while they wait for ffmpeg.
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def exception(self) -> BaseException | None:
        """Wait for the thread; its exception, if any."""
        # Looking again and again: a signal can make a thread miss that it was notified.
        while self._thread.is_alive():
            self._thread.join(timeout=0.1)
        return self._error

    def result(self) -> None:
        """Wait for the thread and raise its exception, if any."""
        if error := self.exception():
            raise error

    def _run(self) -> None:
        try:
            self._function()
        except BaseException as error:
            self._error = error


class Channel(Generic[T]):
    """A bounded queue between two threads, either of which may close it.

    It holds no lock in Python code, where a signal could raise an exception that leaves it locked.
    """

    def __init__(self, size: int) -> None:
        self._items: SimpleQueue[tuple[T] | None] = SimpleQueue()
        self._free: SimpleQueue[None] = SimpleQueue()
        self._closed = False
        for _ in range(size):
            self._free.put(None)

    def put(self, item: T) -> bool:
        """Wait until fewer than ``size`` items are queued, then add one; False if closed."""
        while not self._closed:
            with suppress(Empty):
                self._free.get(timeout=0.1)
                break
        if not self._closed:
            self._items.put((item,))
        return not self._closed

    def close(self) -> None:
        """Refuse further items; queued ones can still be read."""
        self._closed = True
        self._free.put(None)
        self._items.put(None)

    def __iter__(self) -> Iterator[T]:
        """Yield items as they arrive, until the channel is closed and empty."""
        while True:
            try:
                # A signal can make this thread miss the end.
                item = self._items.get(timeout=0.1)
            except Empty:
                if self._closed:
                    return
                continue
            if item is None:
                return
            self._free.put(None)
            yield item[0]


def in_background(
    work: Callable[[T], None], items: Iterable[T], size: int
) -> Generator[T, None, None]:
    """Items in their order, after ``work`` on each in another thread.

    Up to ``size`` items are there while further ones are prepared in this thread.
    """
    waiting: Channel[T] = Channel(size)
    done: Channel[T] = Channel(size)

    def work_on_all() -> None:
        try:
            for item in waiting:
                work(item)
                if not done.put(item):
                    return
        finally:
            waiting.close()
            done.close()

    worker, results, count = Worker(work_on_all), iter(done), 0
    try:
        for item in items:
            if count == size:
                for result in results:
                    yield result
                    break
            else:
                count += 1
            if not waiting.put(item):
                break
        waiting.close()
        yield from results
    except BaseException:
        done.close()
        raise
    finally:
        waiting.close()
        error = worker.exception()
    if error:
        raise error

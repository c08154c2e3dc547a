"""Threads that pass on their exceptions, and bounded channels between threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
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
    """A bounded queue between two threads, either of which may close it."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque()
        self._size = size
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Wait until fewer than ``size`` items are queued, then add one; False if closed."""
        with self._changed:
            self._wait_until(lambda: len(self._items) < self._size)
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return not self._closed

    def close(self) -> None:
        """Refuse further items; queued ones can still be read."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Yield items as they arrive, until the channel is closed and empty."""
        while True:
            with self._changed:
                self._wait_until(lambda: bool(self._items))
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            yield item

    def _wait_until(self, ready: Callable[[], bool]) -> None:
        while not (self._closed or ready()):
            # Ctrl-C can interrupt the other thread just before it notifies this one.
            self._changed.wait(timeout=0.1)

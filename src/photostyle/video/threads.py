"""Threads that pass on their exceptions, and bounded channels between threads."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], None]) -> Future[None]:
    """Run a function in a thread; the future waits for it and raises its exception, if any."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    # Not an executor, whose threads keep the program from exiting while they wait for ffmpeg.
    threading.Thread(target=run, daemon=True).start()
    return future


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

"""Threads whose exceptions are not lost, and bounded channels between them."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


def in_thread(function: Callable[[], None]) -> Future[None]:
    """Run a function in a thread; the future waits for it and raises what it raised."""
    future: Future[None] = Future()

    def run() -> None:
        try:
            function()
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(None)

    # Not an executor: its threads keep the program from exiting while they wait for ffmpeg.
    threading.Thread(target=run, daemon=True).start()
    return future


class Channel(Generic[T]):
    """Passes items from one thread to another, at most ``size`` ahead; either may close it."""

    def __init__(self, size: int) -> None:
        self._items: deque[T] = deque()
        self._size = size
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: T) -> bool:
        """Wait for room and pass an item; False if the channel is closed."""
        with self._changed:
            self._wait_until(lambda: len(self._items) < self._size)
            if not self._closed:
                self._items.append(item)
                self._changed.notify_all()
            return not self._closed

    def close(self) -> None:
        """Refuse further items; those inside can still be taken out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """The items as they come, until the channel is closed and empty."""
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

"""Where the time of the engine goes, measured from the outside."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType
from typing import Any

from torch import Tensor

from photostyle.model.moments import Moments
from photostyle.model.network import PhotoNet
from photostyle.transfer import local_maps, style
from photostyle.transfer.replay import Function, Replays

OTHER = "other"
"""The phase of all that belongs to no other."""

PHASES = ("encoding", "moments", "decoding", "upsampling", OTHER)


class Stopwatch:
    """Adds up the seconds of each phase; one that runs inside another counts for itself alone.

    synchronise: waits for the device; called where a phase begins or ends.
    """

    def __init__(self, synchronise: Callable[[], None] = lambda: None) -> None:
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self._synchronise = synchronise
        self._running = [OTHER]
        self._since = time.perf_counter()

    @property
    def total(self) -> float:
        return sum(self.seconds.values())

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        self._charge()
        self._running.append(name)
        try:
            yield
        finally:
            self._charge()
            self._running.pop()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Measure what happens in the block: the functions of the engine tell when they run."""
        watched: list[tuple[Any, str, Any]] = [
            (owner, name, self._watched(phase, owner, name)) for phase, owner, name in _places()
        ]
        watched += [(Replays, "__call__", _unrecorded)]
        kept = [(owner, name, vars(owner)[name]) for owner, name, _ in watched]
        for owner, name, value in watched:
            setattr(owner, name, value)
        self._synchronise()
        self._since = time.perf_counter()
        try:
            yield
        finally:
            self._charge()
            for owner, name, value in kept:
                setattr(owner, name, value)

    def _watched(self, phase: str, owner: Any, name: str) -> Any:
        value = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            with self.phase(phase):
                return value(*arguments, **named)

        bound = isinstance(vars(owner)[name], classmethod | staticmethod)
        return staticmethod(watched) if bound else watched

    def _charge(self) -> None:
        self._synchronise()
        now = time.perf_counter()
        self.seconds[self._running[-1]] += now - self._since
        self._since = now


def _unrecorded(
    _: Replays, __: object, ___: object, function: Function, argument: Tensor
) -> Tensor:
    """Instead of a recording, which cannot be looked into."""
    return function(argument)


def _places() -> Iterator[tuple[str, Any, str]]:
    """Phase, owner and name of every function that is the work of a phase."""
    yield "encoding", PhotoNet, "encode"
    yield "decoding", PhotoNet, "decode"
    yield "moments", Moments, "of"
    yield "moments", Moments, "merge"
    yield "moments", style, "transfer_map"
    for name, value in vars(local_maps).items():
        if getattr(value, "__module__", "") != local_maps.__name__ or name.startswith("_"):
            continue
        if isinstance(value, FunctionType):
            yield "upsampling", local_maps, name
        elif isinstance(value, type):
            for method, function in vars(value).items():
                if isinstance(function, FunctionType) and (
                    method == "__call__" or not method.startswith("_")
                ):
                    yield "upsampling", value, method

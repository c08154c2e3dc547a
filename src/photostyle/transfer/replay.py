"""CUDA graphs: the kernels of a function, recorded once and from then on started all together.

A network on a small photo is hundreds of short kernels, which a GPU runs faster than Python starts
them one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock

import torch
from torch import Tensor

from photostyle.errors import PhotostyleError

KEPT = 4
"""As many functions are remembered; a recording keeps the memory it works in."""

CALLS = 8
"""As many calls go before a recording, which takes as long as several of them."""

Function = Callable[[Tensor], Tensor]


class Replays:
    """Calls functions, and on a GPU records those that are called often for the same shape."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, tuple[int, object, Function | None]] = OrderedDict()
        self._lock = Lock()  # all work in the memory of a recording

    def __call__(
        self, owner: object, key: tuple[Hashable, ...], function: Function, argument: Tensor
    ) -> Tensor:
        """``function`` of a tensor.

        owner, key: what the result depends on besides the tensor; the owner is told by its
        identity, and kept. The function may not wait for the GPU.
        """
        if argument.device.type != "cuda":
            return function(argument)
        layer = (id(owner), *key, argument.shape, argument.dtype, argument.device)
        with self._lock:
            calls, _, recording = self._known.pop(layer, (0, owner, None))
            if calls == CALLS:
                recording = _recorded(function, argument)
            self._known[layer] = calls + 1, owner, recording
            if len(self._known) > KEPT:
                self._known.popitem(last=False)
            return (recording or function)(argument)

    def forget(self) -> bool:
        """Free the memory of recordings; gives whether there were any."""
        found = any(recording for _, _, recording in self._known.values())
        self._known.clear()
        return found


def _recorded(function: Function, argument: Tensor) -> Function | None:
    """The function as a CUDA graph; None where that cannot be had."""
    with torch.cuda.device(argument.device):
        current, apart = torch.cuda.current_stream(), torch.cuda.Stream()
        graph, source = torch.cuda.CUDAGraph(), argument.clone()
        try:
            # Other threads, which read and write video, go on meanwhile.
            with torch.cuda.graph(graph, stream=apart, capture_error_mode="thread_local"):
                result = function(source)
        except (RuntimeError, PhotostyleError):
            torch.cuda.set_stream(current)
            return None

    def replay(argument: Tensor) -> Tensor:
        source.copy_(argument)
        graph.replay()
        return result.clone()

    return replay

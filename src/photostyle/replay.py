"""CUDA graphs: the kernels of a function, recorded once and from then on started all together.

A network on a small photo is hundreds of short kernels, which a GPU runs faster than Python starts
them one by one.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable

import torch
from torch import Tensor

KEPT = 4
"""As many functions are remembered; a recorded one keeps the memory it works in."""

CALLS = 8
"""As many calls go before a recording, which takes as long as several of them."""

Function = Callable[[Tensor], Tensor]


class Replays:
    """Calls functions, and on a GPU records those that are called often for the same shape."""

    def __init__(self) -> None:
        self._calls: OrderedDict[Hashable, tuple[int, Function]] = OrderedDict()

    def __call__(self, key: tuple[Hashable, ...], function: Function, argument: Tensor) -> Tensor:
        """``function`` of a tensor.

        key: all that the result depends on besides the tensor; what an id in it belongs to must be
        held by the function. The function may not wait for the GPU.
        """
        if argument.device.type != "cuda":
            return function(argument)
        place = (*key, argument.shape, argument.dtype, argument.device)
        calls, known = self._calls.pop(place, (0, function))
        if calls == CALLS:
            known = _recorded(known, argument)
        self._calls[place] = calls + 1, known
        if len(self._calls) > KEPT:
            self._calls.popitem(last=False)
        return known(argument)


def _recorded(function: Function, argument: Tensor) -> Function:
    """The function as a CUDA graph; the function itself where that cannot be had."""
    device = argument.device
    current, apart = torch.cuda.current_stream(device), torch.cuda.Stream(device)
    graph, source = torch.cuda.CUDAGraph(), argument.clone()
    try:
        # Other threads, which read and write video, go on meanwhile.
        recording = torch.cuda.graph(graph, stream=apart, capture_error_mode="thread_local")
        with torch.cuda.device(device), recording:
            result = function(source)
    except RuntimeError:
        torch.cuda.set_stream(current)
        return function

    def replay(argument: Tensor) -> Tensor:
        source.copy_(argument)
        graph.replay()
        return result.clone()

    return replay

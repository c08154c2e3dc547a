"""Times the phases of the engine, which it labels for `torch.profiler`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

OTHER = "other"
"""The phase for all time outside the engine's labels."""

PHASES = ("encoding", "moments", "decoding", "local maps", OTHER)
"""The engine's labels and `OTHER`."""


class ProfiledCall(NamedTuple):
    """One call under the profiler.

    phases: seconds of each of PHASES; 0 for a phase that never ran. elapsed: seconds of the call.
    """

    phases: dict[str, float]
    elapsed: float


def profile_call(call: Callable[[], object], device: torch.device) -> ProfiledCall:
    """Profile a call; time in a nested phase does not count for the outer one.

    On the CPU the phases are wall time and add up to ``elapsed``. On a GPU they are the running
    time of the kernels launched in them, which excludes the time when the GPU is idle.
    """
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler would log to stderr
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *[ProfilerActivity.CUDA] * on_gpu]
    with profile(activities=activities) as profiler, record_function(OTHER):
        start = time.perf_counter()
        call()
        if on_gpu:
            torch.cuda.synchronize(device)
        elapsed = time.perf_counter() - start
    return ProfiledCall(phase_seconds(profiler.events() or [], on_gpu), elapsed)


def phase_seconds(events: Iterable[FunctionEvent], on_gpu: bool) -> dict[str, float]:
    """Seconds of each phase: the self times of the events, summed by their innermost label."""
    seconds = dict.fromkeys(PHASES, 0.0)
    for event in events:
        phase = _innermost_label(event)
        if phase is not None:
            seconds[phase] += (_kernel_time(event) if on_gpu else event.self_cpu_time_total) / 1e6
    return seconds


def _innermost_label(event: FunctionEvent) -> str | None:
    ancestor: FunctionEvent | None = event
    while ancestor is not None and ancestor.name not in PHASES:
        ancestor = ancestor.cpu_parent
    return None if ancestor is None else ancestor.name


def _kernel_time(event: FunctionEvent) -> float:
    """Microseconds of the kernels of an operator; 0 for labels, which repeat their operators'."""
    return 0.0 if event.is_user_annotation else sum(kernel.duration for kernel in event.kernels)

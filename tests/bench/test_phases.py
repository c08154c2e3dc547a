"""The phases of the engine, measured by the labels that it sets for the profiler."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch.autograd.profiler_util import FunctionEvent, Kernel
from torch.profiler import record_function

from photostyle import Stylizer
from photostyle.bench.phases import PHASES, phase_seconds, profile_call
from photostyle.bench.scene import scene

CPU = torch.device("cpu")


def test_a_phase_inside_another_counts_for_itself_alone() -> None:
    outer, inner = [], []

    def call() -> None:
        with record_function("decoding"):
            start = time.perf_counter()
            time.sleep(0.02)
            middle = time.perf_counter()
            with record_function("moments"):
                time.sleep(0.1)
            inner.append(time.perf_counter() - middle)
            time.sleep(0.02)
            outer.append(time.perf_counter() - start)

    profile_call(lambda: None, CPU)  # a warm-up
    phases, elapsed = profile_call(call, CPU)
    assert phases["moments"] == pytest.approx(inner[0], rel=0.2)
    assert phases["decoding"] == pytest.approx(outer[0] - inner[0], rel=0.2, abs=0.02)
    assert phases["encoding"] == phases["local maps"] == 0
    assert sum(phases.values()) == pytest.approx(elapsed, rel=0.15)


def test_time_outside_the_labels_is_other() -> None:
    phases, elapsed = profile_call(lambda: time.sleep(0.05), CPU)
    assert phases.pop("other") == pytest.approx(elapsed, rel=0.15)
    assert set(phases.values()) == {0}


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_the_phases_of_the_engine_add_up_to_its_time(photonas: Stylizer, mode: str) -> None:
    photo = scene(300, 200)
    style = photonas.learn(scene(120, 80, evening=True))
    expected = photonas.apply(photo, style, mode=mode, working_size=150)  # type: ignore[arg-type]
    results = []

    def call() -> None:
        results.append(photonas.apply(photo, style, mode=mode, working_size=150))  # type: ignore[arg-type]

    phases, elapsed = profile_call(call, CPU)
    np.testing.assert_array_equal(results[0], expected)
    assert list(phases) == list(PHASES)
    assert all(seconds > 0 for seconds in phases.values()), phases
    assert phases["other"] < 0.8 * elapsed
    assert sum(phases.values()) == pytest.approx(elapsed, rel=0.15)


def test_on_a_gpu_kernels_count_for_the_label_around_their_operator() -> None:
    """Made-up events, because CI has no GPU: a label, two operators, and the label's own kernel."""
    label = FunctionEvent(1, "encoding", 0, 0, 90, is_user_annotation=True)
    operator = FunctionEvent(2, "aten::conv2d", 0, 10, 20)
    unlabelled = FunctionEvent(3, "aten::add", 0, 95, 99)
    operator.set_cpu_parent(label)
    operator.append_kernel("conv", 0, 3e6)
    label.kernels.append(Kernel("encoding", 0, 3e6))
    unlabelled.append_kernel("add", 0, 5e6)
    seconds = phase_seconds([label, operator, unlabelled], on_gpu=True)
    assert seconds == {**dict.fromkeys(PHASES, 0.0), "encoding": 3.0}

"""The engine on a GPU: without one, on tensors that have a device and a shape but no values."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import photostyle
from photostyle.bench.scene import scene
from photostyle.transfer import regions
from photostyle.transfer.canvas import CPU
from photostyle.transfer.cuts import CutDetector, Step
from photostyle.transfer.light import Light
from photostyle.transfer.pipeline import StyleTransfer
from photostyle.transfer.stylizer import Stylizer
from photostyle.transfer.video_stylizer import (
    StyleCue,
    StyleTimeline,
    VideoStylizer,
)
from photostyle.video import VideoFrame


@contextmanager
def on_gpu(model: str = "photonas") -> Iterator[Stylizer]:
    """A stylizer on a GPU; within the block no tensor has values, on either device."""
    stylizer = photostyle.load(model, device="cpu")
    digest = stylizer.checkpoint.digest
    with FakeTensorMode(allow_non_fake_inputs=True):
        assert stylizer.matcher is not None
        for module in (*stylizer.network.modules(), *stylizer.matcher.modules()):
            for name, weight in module.named_parameters(recurse=False):
                there = torch.empty(weight.shape, device="cuda")
                setattr(module, name, torch.nn.Parameter(there, requires_grad=False))
        stylizer.device = torch.device("cuda")
        assert stylizer.checkpoint.digest == digest
        yield stylizer


@pytest.fixture(autouse=True)
def without_values(monkeypatch: pytest.MonkeyPatch) -> None:
    """What reads values: k-means, which runs on the CPU, the windows of the last maps, contrast."""
    if not torch.cuda.is_available():
        monkeypatch.setattr(regions, "_kmeans", lambda points, count, _: (1.0, points[:count]))
        monkeypatch.setattr(StyleTransfer, "windows", lambda _, epsilon, *__: (epsilon, 0.05))
        monkeypatch.setattr(Tensor, "__float__", lambda _: 1.0)


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize("tile", [1024, 176])
def test_every_tensor_is_on_the_right_device(
    mode: Any, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under masks, for photos of every type, in tiles, some of it in the CPU's memory."""
    monkeypatch.setattr(Tensor, "__bool__", lambda _: True)
    mask = np.ones((170, 360), np.uint8)
    array = np.zeros((170, 360, 3), np.uint8)
    with on_gpu() as stylizer:
        style = stylizer.learn(np.zeros((170, 200, 3)), mask[:, :200])
        for photo in (torch.empty(3, 170, 360), torch.empty(3, 170, 360, device="cuda")):
            result = stylizer.apply(photo, style, mode=mode, mask=mask, tile=tile)
            assert result.device == photo.device
        assert stylizer.apply(array, style, mode=mode, tile=tile).shape == array.shape


@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_a_style_learned_on_the_cpu_works_on_a_gpu(
    mode: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tensor, "__bool__", lambda _: True)
    with on_gpu() as stylizer:
        style = stylizer.learn(torch.empty(3, 40, 60, device="cuda")).to(CPU)
        photo = np.zeros((40, 60, 3), np.uint8)
        assert stylizer.apply(photo, style, mode=mode).shape == photo.shape


def frames(count: int) -> Iterator[VideoFrame]:
    for number in range(count):
        yield VideoFrame(number, np.zeros((120, 200, 3), np.uint8), number, 1, Fraction(1, 25))


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
def test_every_tensor_of_a_clip_is_on_the_right_device(
    temporal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(CutDetector, "step", lambda _, small: Step(0, small.device.type != "cuda"))
    monkeypatch.setattr(Light, "add", lambda *_: None)
    monkeypatch.setattr(Tensor, "__bool__", lambda _: True)
    with on_gpu() as stylizer:
        style = stylizer.learn(torch.empty(3, 200, 170, device="cuda"))
        timeline = StyleTimeline([StyleCue(0.0, style), StyleCue(0.04, style)], 0.06)
        clip = VideoStylizer(stylizer, timeline, temporal=temporal)
        if temporal == "shot":
            assert len(list(clip.analyze_shots(frames(4)))) == 4
        assert len(list(clip.run(frames(4)))) == 4


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("model", ["photonas", "photonet"])
@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_cpu_and_gpu_agree(model: str, mode: Any) -> None:
    content, evening = scene(500, 330) / 255, scene(300, 200, evening=True) / 255
    results = []
    for device in ("cpu", "cuda"):
        stylizer = photostyle.load(model, device=device)
        results.append(stylizer.apply(content, stylizer.learn(evening), mode=mode))
    assert np.abs(results[0] - results[1]).max() < 2 / 255

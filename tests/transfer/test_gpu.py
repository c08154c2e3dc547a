"""What a GPU asks of the engine, as far as it can be seen without one, and with one where it is.

Without one the engine runs on tensors that have a device and a shape but no values.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import photostyle
from photostyle.bench.scene import scene
from photostyle.model import moments
from photostyle.transfer import replay
from photostyle.transfer.local_maps import LocalAffineMaps
from photostyle.transfer.stylizer import Stylizer
from photostyle.transfer.video_stylizer import (
    StyleCue,
    StyleTimeline,
    VideoStylizer,
    _CutWatch,
    _Look,
)
from photostyle.video import VideoFrame

WAITING = re.compile(
    r"aten::(_?linalg_(?!cross)|_local_scalar_dense|item|is_nonzero|equal$|nonzero|masked_select"
    r"|bincount|unique)"
)
"""Names of operators that end when the GPU has told the CPU something."""


class NoWaiting(TorchDispatchMode):
    """Raises where the CPU would have to wait for the GPU, or copies from one to the other."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert not WAITING.match(func.name()), f"{func} waits for the GPU"
        result = func(*args, **(kwargs or {}))
        devices = {
            tensor.device.type
            for tensor in tree_leaves((args, kwargs, result))
            if isinstance(tensor, Tensor) and tensor.dim()
        }
        assert len(devices) < 2, f"{func} copies between CPU and GPU"
        return result


@contextmanager
def on_gpu(model: str = "photonas") -> Iterator[Stylizer]:
    """A stylizer on a GPU; in the block tensors have no values, neither here nor there."""
    stylizer = photostyle.load(model, device="cpu")
    networks = ((stylizer.network, torch.float32), (stylizer.half, torch.float16))
    with FakeTensorMode(allow_non_fake_inputs=True):
        for network, kind in networks:
            for module in network.modules():
                for name, weight in module.named_parameters(recurse=False):
                    there = torch.empty(weight.shape, dtype=kind, device="cuda")
                    setattr(module, name, torch.nn.Parameter(there, requires_grad=False))
        stylizer.device = torch.device("cuda")
        yield stylizer


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize(("model", "strength"), [("photonas", 1.0), ("photonet", 0.5)])
def test_a_photo_in_the_gpus_memory_is_not_waited_for(
    mode: Any, model: str, strength: float
) -> None:
    with on_gpu(model) as stylizer:
        photo = torch.empty(3, 300, 500, device="cuda")
        with NoWaiting():
            style = stylizer.learn(torch.empty(3, 200, 170, device="cuda"))
            result = stylizer.apply(photo, style, strength, mode=mode, working_size=200)
        assert result.shape == photo.shape
        assert result.device == photo.device
        assert result.dtype == torch.float32


@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize("tile", [1024, 176])
def test_all_is_on_the_device_that_it_is_needed_on(
    mode: Any, tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under masks, for photos of every kind, in tiles: some of it in the CPU's memory."""
    monkeypatch.setattr(Tensor, "__bool__", lambda _: True)
    monkeypatch.setattr(LocalAffineMaps, "_interpolated", LocalAffineMaps._interpolated_at_once)
    monkeypatch.setattr(replay, "_recorded", lambda *_: None)
    mask = np.ones((170, 540), np.uint8)
    array = np.zeros((170, 540, 3), np.uint8)
    with on_gpu() as stylizer:
        style = stylizer.learn(np.zeros((170, 200, 3)), mask[:, :200])
        for photo in (torch.empty(3, 170, 540), torch.empty(3, 170, 540, device="cuda")):
            result = stylizer.apply(photo, style, mode=mode, mask=mask, tile=tile)
            assert result.device == photo.device
        assert stylizer.apply(array, style, mode=mode, tile=tile).shape == array.shape


def frames(count: int) -> Iterator[VideoFrame]:
    for number in range(count):
        yield VideoFrame(number, np.zeros((120, 200, 3), np.uint8), number, 1, Fraction(1, 25))


@pytest.mark.parametrize("temporal", ["shot", "smooth", "frame"])
def test_a_clip_is_on_the_device_that_it_is_needed_on(
    temporal: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_CutWatch, "is_cut", lambda _, small: small.device.type != "cuda")
    monkeypatch.setattr(Tensor, "__bool__", lambda _: True)
    monkeypatch.setattr(replay, "_recorded", lambda *_: None)
    with on_gpu() as stylizer:
        style = stylizer.learn(torch.empty(3, 200, 170, device="cuda"))
        programme = StyleTimeline([StyleCue(0.0, style), StyleCue(0.2, style)], 0.1)
        clip = VideoStylizer(stylizer, programme, temporal=temporal)
        if temporal == "shot":
            for _ in clip.analyze_shots(frames(8)):
                pass
        assert len(list(clip.run(frames(8)))) == 8


@pytest.fixture(scope="module")
def photos() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two photos of one size, and a style."""
    day, other = scene(500, 330), scene(500, 330, evening=True)[:, ::-1]
    return day / 255, other / 255, scene(300, 200, evening=True) / 255


@pytest.mark.parametrize(
    ("kind", "half"), [("scene", True), ("flat", False), ("dark", False), ("ramp", False)]
)
def test_a_shot_is_in_half_precision_where_that_does_not_show(
    kind: str, half: bool, photos: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    frames = {
        "scene": np.stack(photos[:2]),
        "flat": np.full((2, 60, 90, 3), 0.5),
        "dark": 0.01 * np.random.default_rng(0).random((2, 60, 90, 3)),
        "ramp": np.tile(np.linspace(0.45, 0.55, 90)[:, None], (2, 60, 1, 3)),
    }[kind]
    shot = torch.from_numpy(frames).float().permute(0, 3, 1, 2)
    stylizer = photostyle.load("photonas", device="cpu")
    look = _Look(stylizer, stylizer.learn(photos[2]), 1.0, "shot")
    with torch.inference_mode():
        look.hold(shot)
        full = look(shot[:1])
        look._choose_precision(shot, look._composed(shot))
        chosen = look(shot[:1])
    assert (look._network is stylizer.half) == half
    assert next(look._network.parameters()).dtype == (torch.float16 if half else torch.float32)
    assert (chosen - full).abs().max() < 2 / 255


@pytest.mark.parametrize("model", ["photonas", "photonet"])
@pytest.mark.parametrize("contrast", [1.0, 0.1, 0.0])
def test_roots_without_eigenvalues_do_not_show(
    model: str,
    contrast: float,
    photos: tuple[np.ndarray, np.ndarray, np.ndarray],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content, _, evening = photos
    content = 0.5 + contrast * (content - 0.5)
    stylizer = photostyle.load(model, device="cpu")
    expected = stylizer.apply(content, stylizer.learn(evening))
    monkeypatch.setattr(moments, "matrix_roots", moments._iterated_roots)
    found = stylizer.apply(content, stylizer.learn(evening))
    assert np.abs(found - expected).max() < 0.2 / 255


class Recording(TorchDispatchMode):
    """Stands in for a CUDA graph: keeps the operators that run, to run them in the same memory."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, Any, Any, Any]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, result))
        return result

    def replay(self) -> None:
        for func, args, kwargs, result in self.calls:
            again = func(*args, **kwargs)
            for old, new in zip(tree_leaves(result), tree_leaves(again), strict=True):
                if isinstance(old, Tensor):
                    old.copy_(new)


def test_what_is_recorded_is_replayed_for_other_photos(
    photos: tuple[np.ndarray, np.ndarray, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of the first photo is left in the recording, and nothing is decided anew."""
    for name in ("current_stream", "Stream"):
        monkeypatch.setattr(torch.cuda, name, lambda: None)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Recording)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: graph)
    *contents, evening = photos
    stylizer = photostyle.load("photonas", device="cpu")
    style = stylizer.learn(evening)
    options: dict[str, Any] = {"mode": "fast", "working_size": 250}
    expected = [stylizer.apply(content, style, **options) for content in contents]
    recorded: list[Any] = []

    def replayed(_: Any, __: Any, function: Any, argument: Tensor) -> Tensor:
        if not recorded:
            recorded.append(replay._recorded(function, argument))
        result: Tensor = recorded[0](argument)
        return result

    monkeypatch.setattr(stylizer, "replayed", replayed)
    for content, result in zip(contents, expected, strict=True):
        found = stylizer.apply(content, style, **options)
        np.testing.assert_allclose(found, result, atol=1e-4)
    assert np.abs(expected[0] - expected[1]).max() > 0.1


def test_what_cannot_be_recorded_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    streams: list[Any] = []
    for name in ("current_stream", "Stream"):
        monkeypatch.setattr(torch.cuda, name, lambda name=name: name)
    monkeypatch.setattr(torch.cuda, "device", lambda _: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", lambda: None)
    monkeypatch.setattr(torch.cuda, "graph", lambda *_, **__: nullcontext())
    monkeypatch.setattr(torch.cuda, "set_stream", streams.append)

    def unfit(_: Tensor) -> Tensor:
        raise RuntimeError("operation not permitted when stream is capturing")

    assert replay._recorded(unfit, torch.empty(1)) is None
    assert streams == ["current_stream"]


def test_what_is_called_often_is_recorded_and_few_recordings_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def recorded(function: Any, argument: Tensor) -> Any:
        made.append(tuple(argument.shape))
        return function

    monkeypatch.setattr(replay, "_recorded", recorded)
    replays = replay.Replays()
    with FakeTensorMode():
        small, large = torch.empty(2, device="cuda"), torch.empty(3, device="cuda")

        look = torch.empty(1)

        def call(argument: Tensor, times: int, owner: object = look) -> None:
            for _ in range(times):
                assert replays(owner, (), torch.neg, argument).shape == argument.shape

        call(torch.empty(2), 2 * replay.CALLS)
        call(small, replay.CALLS)
        call(large, replay.CALLS)
        assert made == []
        call(small, 3)
        assert made == [(2,)]
        call(large, 3)
        assert made == [(2,), (3,)]
        call(large, 1, object())
        for _ in range(replay.KEPT):
            call(small, 1, object())
        call(small, replay.CALLS)
        assert made == [(2,), (3,)]
        call(small, 1)
        assert made == [(2,), (3,), (2,)]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@pytest.mark.parametrize("model", ["photonas", "photonet"])
@pytest.mark.parametrize("mode", ["fast", "exact"])
def test_cpu_and_gpu_agree(
    model: str, mode: Any, photos: tuple[np.ndarray, np.ndarray, np.ndarray]
) -> None:
    """One after the other and, in the fast way, from a recording."""
    content, other, evening = photos
    results = []
    for device in ("cpu", "cuda"):
        stylizer = photostyle.load(model, device=device)
        style = stylizer.learn(evening)
        for _ in range(replay.CALLS if device == "cuda" else 0):
            stylizer.apply(other, style, mode=mode)
        results.append([stylizer.apply(photo, style, mode=mode) for photo in (content, other)])
    for found, expected in zip(*results, strict=True):
        assert np.abs(found - expected).max() < 2 / 255

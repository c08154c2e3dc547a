"""Our PhotoNAS against the reference forward pass, written from its specification alone."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner
from torch import Tensor

import photostyle
from photostyle.cli import cli
from photostyle.model.architecture import PHOTONAS

State = dict[str, Tensor]

# conv1 is the 1x1 colour conversion, conv2 to conv14 are conv1_1 to conv5_1.
CHANNELS = [3, 3, 64, 64, 128, 128, 256, 256, 256, 256, 512, 512, 512, 512, 512]


def random_layers(shapes: dict[str, tuple[int, int, int]], seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, (out, inputs, size) in shapes.items():
        scale = (2 / (inputs * size * size)) ** 0.5
        kernel = torch.randn(out, inputs, size, size, generator=generator)
        state[f"{name}.weight"] = kernel * scale
        state[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator)
    return state


@pytest.fixture(scope="module")
def encoder() -> State:
    shapes = {f"conv{i}": (CHANNELS[i], CHANNELS[i - 1], 1 if i == 1 else 3) for i in range(1, 15)}
    return random_layers(shapes, 0)


@pytest.fixture(scope="module")
def decoder() -> State:
    """The layers that PhotoNAS uses, and some unused ones."""
    return random_layers(
        {
            "conv_pyramid213": (512, 512 + 512 + 128, 1),
            "conv_pyramid4": (512, 1472, 1),
            "conv17": (512, 1024, 3),
            "conv17_2": (512, 512, 3),
            "conv19_2": (256, 512, 1),
            "conv21_2": (256, 256, 3),
            "conv23_2": (128, 256, 1),
            "conv25_2": (64, 128, 3),
            "conv27": (3, 128, 3),
            "conv27_2": (3, 64, 3),
        },
        1,
    )


def conv(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"]
    border = weight.shape[-1] // 2
    return F.conv2d(F.pad(x, [border] * 4, mode="reflect"), weight, state[f"{name}.bias"])


def encode(state: State, x: Tensor) -> dict[int, Tensor]:
    levels, level = {}, 0
    x = conv(state, "conv1", x)
    for i in range(2, 15):
        if i in (4, 6, 10, 14):
            x = F.max_pool2d(x, 2)
        x = conv(state, f"conv{i}", x).relu()
        if i in (2, 4, 6, 10, 14):
            level += 1
            levels[level] = x
    return levels


def wct(content: Tensor, style: Tensor) -> Tensor:
    """As the reference demo: float64, unbiased, the content's covariance damped, values cut."""
    c, s = (x[0].flatten(1).double() for x in (content, style))
    mean_c, mean_s = c.mean(1, keepdim=True), s.mean(1, keepdim=True)
    cov_c, cov_s = torch.cov(c), torch.cov(s)
    off, on = 1.5 * cov_c, 2.5 * cov_c.diagonal()
    cov_c = off - torch.diag(off.diagonal()) + torch.diag(on)
    e_c, d_c, _ = torch.linalg.svd(cov_c)
    e_s, d_s, _ = torch.linalg.svd(cov_s)
    e_c, d_c = e_c[:, d_c >= 1e-6], d_c[d_c >= 1e-6]
    e_s, d_s = e_s[:, d_s >= 1e-6], d_s[d_s >= 1e-6]
    whitened = e_c @ torch.diag(d_c**-0.5) @ e_c.T @ (c - mean_c)
    coloured = e_s @ torch.diag(d_s**0.5) @ e_s.T @ whitened + mean_s
    return coloured.float().view_as(content)


def reference_forward(encoder: State, decoder: State, content: Tensor, style: Tensor) -> Tensor:
    """PhotoNAS: levels 4 and 2 aggregated, a plain skip of level 4, WCT and IN on that of level 1,
    WCT on entering the last stage."""

    def until_last_stage(levels: dict[int, Tensor]) -> Tensor:
        four = F.max_pool2d(F.instance_norm(levels[4]), 2)
        two = F.max_pool2d(F.instance_norm(levels[2]), 8)
        x = conv(decoder, "conv_pyramid213", torch.cat([levels[5], four, two], 1))
        x = F.interpolate(x, scale_factor=2)
        x = conv(decoder, "conv17", torch.cat([x, levels[4]], 1)).relu()
        x = conv(decoder, "conv19_2", x).relu()
        x = F.interpolate(x, scale_factor=2)
        x = conv(decoder, "conv21_2", x).relu()
        x = conv(decoder, "conv23_2", x).relu()
        x = F.interpolate(x, scale_factor=2)
        x = conv(decoder, "conv25_2", x).relu()
        return F.interpolate(x, scale_factor=2)

    c, s = encode(encoder, content), encode(encoder, style)
    x = wct(until_last_stage(c), until_last_stage(s))
    skip = F.instance_norm(wct(c[1], s[1]))
    return conv(decoder, "conv27", torch.cat([x, skip], 1))


class LuaFile:
    """Writes Lua Torch's binary format: a type number before each value, an index at objects."""

    NUMBER, STRING, TABLE, OBJECT = 1, 2, 3, 4

    def __init__(self, path: Path):
        self.file = path.open("wb")
        self.indices = itertools.count(1)

    def integers(self, layout: str, *values: int) -> None:
        self.file.write(struct.pack(f"<{layout}", *values))

    def string(self, text: str) -> None:
        self.integers("i", len(text))
        self.file.write(text.encode())

    def table(self, values: dict[Any, Any]) -> None:
        self.integers("iii", self.TABLE, next(self.indices), len(values))
        for key, value in values.items():
            self.value(key)
            self.value(value)

    def object(self, name: str) -> None:
        self.integers("ii", self.OBJECT, next(self.indices))
        self.string("V 1")
        self.string(name)

    def value(self, value: Any) -> None:
        if isinstance(value, int):
            self.file.write(struct.pack("<id", self.NUMBER, value))
        elif isinstance(value, str):
            self.integers("i", self.STRING)
            self.string(value)
        elif isinstance(value, Tensor):
            self.object("torch.FloatTensor")
            self.integers("i", value.ndim)
            self.integers(f"{2 * value.ndim}q", *value.shape, *value.stride())
            self.integers("q", 1)
            self.object("torch.FloatStorage")
            self.integers("q", value.numel())
            self.file.write(value.numpy().tobytes())
        else:
            name, fields = value
            if name:
                self.object(name)
            self.table(fields)


def save_lua(encoder: State, path: Path) -> None:
    """The encoder at the positions of the authors' file, with padding and poolings between."""
    positions = (0, 2, 5, 9, 12, 16, 19, 22, 25, 29, 32, 35, 38, 42)
    modules: dict[int, Any] = {i: ("nn.Other", {"train": 0}) for i in range(1, 45)}
    for number, position in enumerate(positions, 1):
        weight = encoder[f"conv{number}.weight"].contiguous()
        layer = {"weight": weight, "bias": encoder[f"conv{number}.bias"]}
        modules[position + 1] = ("nn.SpatialConvolution", layer)
    lua = LuaFile(path)
    lua.value(("nn.Sequential", {"modules": ("", modules)}))
    lua.file.close()


@pytest.mark.parametrize("encoder_kind", ["reference", "torchvision", "lua"])
def test_an_imported_checkpoint_gives_the_reference_result(
    encoder: State, decoder: State, encoder_kind: str, tmp_path: Path
) -> None:
    if encoder_kind == "torchvision":
        mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        conversion = {
            "conv1.weight": torch.diag(1 / std)[..., None, None],
            "conv1.bias": -mean / std,
        }
        encoder = encoder | conversion
        indices = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28)
        file = {
            f"features.{index}.{kind}": encoder[f"conv{i}.{kind}"]
            for i, index in enumerate(indices, 2)
            for kind in ("weight", "bias")
        } | {"classifier.0.bias": torch.zeros(3)}
    else:
        file = encoder
    encoder_file = tmp_path / ("vgg.t7" if encoder_kind == "lua" else "vgg.pth")
    if encoder_kind == "lua":
        save_lua(encoder, encoder_file)
    else:
        torch.save(file, encoder_file)
    torch.save(decoder, tmp_path / "decoder.pth.tar")
    arguments = ["weights", "import", f"{tmp_path}/decoder.pth.tar"]
    arguments += ["--encoder", str(encoder_file), "--arch", str(PHOTONAS)]
    arguments += ["-o", f"{tmp_path}/out.safetensors", "--float32"]
    outcome = CliRunner().invoke(cli, arguments)
    assert outcome.exit_code == 0, outcome.output

    generator = torch.Generator().manual_seed(2)
    content = torch.rand(3, 64, 96, generator=generator)
    style = torch.rand(3, 80, 64, generator=generator) ** 2
    stylizer = photostyle.load(tmp_path / "out.safetensors", "cpu")
    with torch.no_grad():
        expected = reference_forward(encoder, decoder, content[None], style[None])[0]
    # Random weights know nothing of pixels: bring what they make into 0..1, where results live.
    low, high = expected.min(), expected.max()
    last = stylizer.network.conv27.state_dict()
    last["weight"] /= high - low
    last["bias"].sub_(low).div_(high - low)
    result = stylizer.apply(content, stylizer.learn(style))
    assert (result - (expected - low) / (high - low)).abs().max() < 1e-3

"""Radiance HDR, OpenEXR and PFM files."""

from __future__ import annotations

import struct
import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from imagecodecs import rgbe_encode
from support.photos import PRIMARIES, profile, scene, to_linear

from photostyle import PhotostyleError, photo

LIGHT = to_linear(scene() / 255).astype(np.float32)


def pfm(light: npt.NDArray[Any], *, scale: float = -1.0) -> bytes:
    height, width = light.shape[:2]
    kind = "PF" if light.ndim == 3 else "Pf"
    values = light[::-1].astype("<f4" if scale < 0 else ">f4")
    return f"{kind}\n{width} {height}\n{scale}\n".encode() + values.tobytes()


def radiance(light: npt.NDArray[Any]) -> bytes:
    return bytes(rgbe_encode(np.ascontiguousarray(light), header=True))


def exr(path: Path, channels: dict[str, npt.NDArray[Any]], **header: Any) -> BytesIO:
    openexr = pytest.importorskip("OpenEXR")
    fields = {"compression": openexr.ZIP_COMPRESSION, "type": openexr.scanlineimage, **header}
    planes = {name: np.ascontiguousarray(values) for name, values in channels.items()}
    openexr.File(fields, planes).write(str(path / "photo.exr"))
    return BytesIO((path / "photo.exr").read_bytes())


@pytest.mark.parametrize("scale", [-1.0, 1.0])
def test_pfm(scale: float) -> None:
    read = photo.read(BytesIO(pfm(LIGHT, scale=scale)))
    assert (read.depth, read.format, read.notes) == (16, "PFM", ())
    assert np.abs(read.pixels / 257 - scene()).max() < 0.01
    gray = photo.read(BytesIO(pfm(LIGHT[..., 0], scale=scale)))
    assert np.abs(gray.pixels / 257 - scene()[..., :1]).max() < 0.01


@pytest.mark.parametrize("rows", [b"-Y", b"+Y", b"-X", b"+X"])
@pytest.mark.parametrize("sign", [b"+", b"-"])
def test_radiance_of_every_order(rows: bytes, sign: bytes) -> None:
    stored = LIGHT if rows[1:] == b"Y" else LIGHT.swapaxes(0, 1)
    first = -1 if rows in (b"+Y", b"-X") else 1
    usual = b"+" if rows[1:] == b"Y" else b"-"
    stored = stored[::first, :: 1 if sign == usual else -1]
    data = radiance(stored)
    columns = sign + (b"X" if rows[1:] == b"Y" else b"Y")
    data = data.replace(b"\n\n-Y ", b"\nEXPOSURE=1\n\n" + rows + b" ").replace(
        b" +X ", b" " + columns + b" ", 1
    )
    read = photo.read(BytesIO(data))
    assert (read.depth, read.format, read.size) == (16, "HDR", (60, 40))
    error = np.abs(read.pixels / 257 - scene())
    assert np.quantile(error, 0.99) < 2  # 8 bits for the brightest of three channels
    assert error.max() < 8


def test_bright_light_is_clipped_by_a_robust_white() -> None:
    hot = LIGHT.copy()
    hot[0, 0] = 1000
    read = photo.read(BytesIO(pfm(hot)))
    assert np.abs(read.pixels[1:] / 257 - scene()[1:]).max() < 0.01
    assert read.pixels[0, 0].tolist() == [65535] * 3
    assert any("clipped to white" in note for note in read.notes)
    bright = LIGHT * 8
    white = np.quantile(bright.max(axis=-1), 0.99, method="inverted_cdf")
    shown = photo.read(BytesIO(pfm(bright))).pixels / 65535
    assert np.abs(to_linear(shown) - (bright / white).clip(0, 1)).max() < 1e-4


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_openexr(tmp_path: Path, dtype: type) -> None:
    planes: dict[str, npt.NDArray[Any]]
    planes = {name: LIGHT[..., at].astype(dtype) for at, name in enumerate("RGB")}
    read = photo.read(exr(tmp_path, planes))
    assert (read.depth, read.format, read.alpha, read.notes) == (16, "EXR", None, ())
    assert np.abs(read.pixels / 257 - scene()).max() < 0.2
    gray = photo.read(exr(tmp_path, {"Y": planes["R"]}))
    assert np.abs(gray.pixels / 257 - scene()[..., :1]).max() < 0.2


def test_openexr_with_alpha_layers_and_primaries(tmp_path: Path) -> None:
    alpha = np.tile(np.linspace(0, 1, 60, dtype=np.float32), (40, 1))
    planes = {name: LIGHT[..., at] * alpha for at, name in enumerate("RGB")} | {"A": alpha}
    read = photo.read(exr(tmp_path, planes))
    assert read.alpha is not None
    assert np.abs(read.alpha / 65535 - alpha).max() < 1e-4
    assert np.abs(read.pixels[:, 1:] / 257 - scene()[:, 1:]).max() < 0.1
    layers = {f"beauty.{name}": LIGHT[..., at] for at, name in enumerate("RGB")}
    read = photo.read(exr(tmp_path, layers | {"depth.Z": alpha}))
    assert np.abs(read.pixels / 257 - scene()).max() < 0.1
    assert any("several images" in note for note in read.notes)
    corners, white = PRIMARIES["Display P3"]
    read = photo.read(exr(tmp_path, layers, chromaticities=(*corners, *white)))
    assert photo.color.are_equivalent(read.original, profile("Display P3"))
    for others in ({"Z": alpha}, {"Y": alpha, "RY": alpha, "BY": alpha}):
        with pytest.raises(PhotostyleError, match="convert it to RGB"):
            photo.read(exr(tmp_path, others))


def test_the_display_window_of_openexr_is_shown(tmp_path: Path) -> None:
    planes = {name: LIGHT[..., at] for at, name in enumerate("RGB")}
    windows = {
        "dataWindow": (np.array([-5, 3], np.int32), np.array([54, 42], np.int32)),
        "displayWindow": (np.array([0, 0], np.int32), np.array([49, 29], np.int32)),
    }
    read = photo.read(exr(tmp_path, planes, **windows))
    assert read.size == (50, 30)
    assert np.abs(read.pixels[3:] / 257 - scene()[:27, 5:55]).max() < 0.1
    assert not read.pixels[:3].any()


def test_openexr_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = exr(tmp_path, {"Y": LIGHT[..., 0]})
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    with pytest.raises(PhotostyleError, match=r"photostyle\[formats\]"):
        photo.read(stream)


def test_damaged_and_huge_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [pfm(LIGHT), radiance(LIGHT)]
    files += [exr(tmp_path, dict.fromkeys("RGB", LIGHT[..., 0])).getvalue()]
    for data in files:
        for length in range(8, len(data) - 1, len(data) // 17):
            with pytest.raises(PhotostyleError):
                photo.read(BytesIO(data[:length]))
    assert capsys.readouterr().out == ""
    huge = files[1].replace(b"-Y 40 +X 60", b"-Y 100000 +X 100000")
    for data in (b"PF\n100000 100000\n-1\n", huge):
        with pytest.raises(PhotostyleError, match="too large"):
            photo.read(BytesIO(data))
    window = files[2].replace(
        struct.pack("<4i", 0, 0, 59, 39), struct.pack("<4i", 0, 0, 99999, 99999)
    )
    with pytest.raises(PhotostyleError, match="too large"):
        photo.read(BytesIO(window))

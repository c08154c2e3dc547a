"""Fixtures that the tests of several packages share."""

# ruff: noqa: E402
from __future__ import annotations

from photostyle.openmp import limit_spinning

# OpenMP reads it when torch is imported, here and in the commands under test.
limit_spinning()

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from PIL import Image
from support.models import save_tiny_model, save_tiny_teacher
from support.photos import scene

import photostyle

# A shell starts background jobs with SIGINT ignored; commands under test would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

# On a busy machine any example can take long.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A weights file of a tiny network with random weights."""
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save_tiny_model(path)
    return str(path)


@pytest.fixture(scope="session")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights file of a tiny VGG-19 with random weights."""
    path = tmp_path_factory.mktemp("teacher") / "vgg.safetensors"
    save_tiny_teacher(path)
    return path


@pytest.fixture(scope="session")
def photonas() -> photostyle.Stylizer:
    """The bundled PhotoNAS on the CPU."""
    return photostyle.load("photonas", device="cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: a content `day.jpg`, 90 x 61, and a style `dusk.png`, 40 x 70."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(scene(90, 61)).save("day.jpg", quality=95)
    Image.fromarray(scene(40, 70)[..., ::-1]).save("dusk.png")
    return tmp_path


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """A fork has none of its parent's other threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)

"""Parts of Torch 7 files (.t7)."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import numpy.typing as npt


def integer(value: int) -> bytes:
    return struct.pack("<i", value)


def long(*values: int) -> bytes:
    return struct.pack(f"<{len(values)}q", *values)


def string(text: bytes) -> bytes:
    return integer(len(text)) + text


def thing(index: int, name: bytes, content: bytes) -> bytes:
    return integer(4) + integer(index) + string(b"V 1") + string(name) + content


def storage(values: npt.NDArray[Any], index: int = 2) -> bytes:
    return thing(index, b"torch.FloatStorage", long(values.size) + values.tobytes())


def tensor(shape: list[int], strides: list[int], start: int, stored: bytes) -> bytes:
    content = integer(len(shape)) + long(*shape) + long(*strides) + long(start + 1) + stored
    return thing(1, b"torch.FloatTensor", content)


VALUES = np.arange(24, dtype="<f4")

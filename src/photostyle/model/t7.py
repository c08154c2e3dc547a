"""Files of Torch 7 (``.t7``): read as data, with every size checked against the size of the file.

The format is that of torch7's File.lua and generic/Tensor.c on 64-bit machines: little-endian, int
4 bytes, long 8 bytes. Functions are skipped.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

_NIL, _NUMBER, _STRING, _TABLE, _OBJECT, _BOOLEAN, _FUNCTION = range(7)
_FUNCTIONS = (_FUNCTION, 7, 8)  # and two kinds with upvalues
_TYPES = {
    "Byte": np.uint8,
    "Char": np.int8,
    "Short": np.int16,
    "Int": np.int32,
    "Long": np.int64,
    "Float": np.float32,
    "Double": np.float64,
    "Cuda": np.float32,
    "CudaDouble": np.float64,
}
_DEEPEST = 100
_DIMENSIONS = 8


@dataclass
class Object:
    """A Lua object: the name of its class and its fields by name (bytes) or position (int)."""

    name: str
    fields: dict[Any, Any] = field(default_factory=dict)


def parse(data: bytes) -> Any:
    """The contents of a file: None, numbers, bytes, bool, dicts (tables), arrays, `Object`s.

    A table or object that is referred to twice is one dict or `Object`. Raises ValueError if the
    data are damaged.
    """
    return _Parser(data).value(0)


class _Parser:
    def __init__(self, data: bytes):
        self.data, self.at = memoryview(data), 0
        self.known: dict[int, Any] = {}

    def value(self, depth: int) -> Any:
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        kind = self.integer()
        if kind == _NIL:
            return None
        if kind == _NUMBER:
            return self.unpack("<d")
        if kind == _STRING:
            return self.string()
        if kind == _BOOLEAN:
            return self.integer() == 1
        if kind not in (_TABLE, _OBJECT, *_FUNCTIONS):
            raise ValueError(f"it contains the unknown type {kind}")
        index = self.integer()
        if index in self.known:
            return self.known[index]
        if kind == _TABLE:
            table: dict[Any, Any] = {}
            self.known[index] = table
            self.fill(table, depth)
            return table
        if kind == _OBJECT:
            return self.object(index, depth)
        self.string()
        self.known[index] = None
        self.value(depth + 1)
        return None

    def object(self, index: int, depth: int) -> Any:
        name = self.string()
        if name.startswith(b"V "):
            name = self.string()
        module, _, kind = name.decode("ascii", "replace").partition(".")
        if module == "torch" and kind.endswith("Storage"):
            self.known[index] = None
            self.known[index] = self.storage(kind.removesuffix("Storage"))
        elif module == "torch" and kind.endswith("Tensor"):
            self.known[index] = None
            self.known[index] = self.tensor(kind.removesuffix("Tensor"), depth)
        else:
            self.known[index] = made = Object(f"{module}.{kind}")
            fields = self.value(depth + 1)
            made.fields = fields if isinstance(fields, dict) else {}
        return self.known[index]

    def fill(self, table: dict[Any, Any], depth: int) -> None:
        for _ in range(self.integer()):
            key, value = self.value(depth + 1), self.value(depth + 1)
            if isinstance(key, float) and key.is_integer():
                key = int(key)
            if isinstance(key, (bytes, int)):
                table[key] = value

    def storage(self, kind: str) -> npt.NDArray[Any]:
        type = np.dtype(self.type(kind))
        size = self.unpack("<q")
        return np.frombuffer(self.take(size * type.itemsize), type)

    def tensor(self, kind: str, depth: int) -> npt.NDArray[Any]:
        empty: npt.NDArray[Any] = np.empty(0, self.type(kind))
        dimensions = self.integer()
        if not 0 <= dimensions <= _DIMENSIONS:
            raise ValueError(f"it contains a tensor of {dimensions} dimensions")
        shape = [self.unpack("<q") for _ in range(dimensions)]
        strides = [self.unpack("<q") for _ in range(dimensions)]
        start = self.unpack("<q") - 1  # Lua counts from one
        storage = self.value(depth + 1)
        if storage is None or not dimensions or 0 in shape:
            return empty
        if not isinstance(storage, np.ndarray) or storage.ndim != 1:
            raise ValueError("it contains a tensor without storage")
        if min(shape) < 1 or min(strides) < 0 or start < 0:
            raise ValueError("it contains a tensor of negative size")
        last = start + sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        # The product as well: strides of zero would turn a small storage into a huge tensor.
        if last >= storage.size or np.prod(shape, dtype=float) > storage.size:
            raise ValueError("it contains a tensor larger than its storage")
        bytes_apart = [stride * storage.itemsize for stride in strides]
        return np.ndarray(shape, storage.dtype, storage, start * storage.itemsize, bytes_apart)

    def type(self, kind: str) -> Any:
        if kind not in _TYPES:
            raise ValueError(f"it contains numbers of the unknown type {kind!r}")
        return _TYPES[kind]

    def string(self) -> bytes:
        return bytes(self.take(self.integer()))

    def integer(self) -> int:
        return int(self.unpack("<i"))

    def unpack(self, format: str) -> Any:
        return struct.unpack(format, self.take(struct.calcsize(format)))[0]

    def take(self, size: int) -> memoryview:
        if not 0 <= size <= len(self.data) - self.at:
            raise ValueError("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

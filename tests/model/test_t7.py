"""Torch 7 files: their contents, and that hostile ones do no harm."""

from __future__ import annotations

import struct
import tracemalloc
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.t7 import VALUES, integer, long, storage, string, tensor, thing

from photostyle.model import t7


def test_tensors_with_strides_and_offset() -> None:
    whole = t7.parse(tensor([2, 3, 4], [12, 4, 1], 0, storage(VALUES)))
    assert np.array_equal(whole, VALUES.reshape(2, 3, 4))
    part = t7.parse(tensor([3, 2], [1, 8], 5, storage(VALUES)))
    assert np.array_equal(part, [[5, 13], [6, 14], [7, 15]])
    assert t7.parse(tensor([], [], 0, integer(0))).size == 0


def test_tables_objects_and_shared_references() -> None:
    number = integer(1) + struct.pack("<d", 7)
    items = integer(2) + string(b"n") + number + number + integer(5) + integer(1)
    table = integer(3) + integer(1) + integer(2) + items
    assert t7.parse(table) == {b"n": 7, 7: True}
    shared = integer(3) + integer(5) + integer(0)
    entries = number + shared + integer(2) + string(b"again") + integer(3) + integer(5)
    found = t7.parse(thing(1, b"nn.Any", integer(3) + integer(2) + integer(2) + entries))
    assert found.name == "nn.Any"
    assert found.fields[7] is found.fields[b"again"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        integer(99),
        integer(2) + integer(2**31 - 1) + b"short",
        integer(2) + integer(-1),
        tensor([2**40], [1], 0, storage(VALUES)),
        tensor([25], [1], 0, storage(VALUES)),
        tensor([2], [2**60], 0, storage(VALUES)),
        tensor([24], [-1], 23, storage(VALUES)),
        tensor([24], [1], -5, storage(VALUES)),
        tensor([24], [1], 1, storage(VALUES)),
        tensor([100_000, 100_000], [0, 0], 0, storage(VALUES)),
        tensor([-2, -3], [1, 1], 0, storage(VALUES)),
        tensor([2], [1], 0, integer(2) + string(b"no storage")),
        thing(1, b"torch.FloatTensor", integer(2**30)),
        thing(1, b"torch.FloatTensor", integer(-1)),
        thing(1, b"torch.FloatStorage", long(2**62)),
        thing(1, b"torch.FloatStorage", long(-1)),
        thing(1, b"torch.HalfTensor", integer(0)),
        integer(3) + integer(1) + integer(2**31 - 1),
        b"".join(integer(3) + integer(i) + integer(1) for i in range(10_000)),
        b"".join(integer(4) + integer(i) + string(b"nn.A") for i in range(10_000)),
    ],
)
def test_hostile_files_are_refused_and_cost_nothing(data: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"it (ends|contains|is nested)"):
            t7.parse(data)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    with suppress(ValueError):
        t7.parse(data)

"""PNM of more than 8 bits, and PAM."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest

from photostyle import PhotostyleError, photo

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("top", [256, 1023, 65535])
@pytest.mark.parametrize("kind", [2, 3, 5, 6])
def test_all_bits_are_kept(kind: int, top: int) -> None:
    values = RNG.integers(0, top, (5, 7, 1 if kind in (2, 5) else 3), endpoint=True)
    header = b"P%d\n# a comment\n7 5\n%d\n" % (kind, top)
    text = b" ".join(b"%d" % value for value in values.ravel())
    read = photo.read(BytesIO(header + (text if kind < 4 else values.astype(">u2").tobytes())))
    assert np.abs(read.pixels - values * (65535 / top)).max() <= 0.5
    assert read.depth == 16


@pytest.mark.parametrize("top", [1, 15, 255, 65535])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_pam(channels: int, top: int) -> None:
    values = RNG.integers(0, top, (5, 7, channels), endpoint=True)
    header = b"P7\nWIDTH 7\nHEIGHT 5\nDEPTH %d\nMAXVAL %d\n# c\nTUPLTYPE X\nENDHDR\n"
    data = header % (channels, top) + values.astype(">u2" if top > 255 else "u1").tobytes()
    read = photo.read(BytesIO(data))
    expected = values * (np.iinfo(read.pixels.dtype).max / top)
    colors = expected[..., : 1 if channels < 3 else 3]
    assert np.abs(read.pixels - colors).max() <= 0.5
    assert (read.alpha is not None) == (channels in (2, 4))
    if read.alpha is not None:
        assert np.abs(read.alpha - expected[..., -1]).max() <= 0.5
    with pytest.raises(PhotostyleError, match="damaged"):
        photo.read(BytesIO(data[:-1]))

"""Stored values of every type become the right pixels: floats, packed integers, transparency."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile

from photostyle import PhotostyleError, photo


def tiff(values: npt.NDArray[Any], **options: Any) -> BytesIO:
    stream = BytesIO()
    tifffile.imwrite(stream, values, metadata=None, **options)
    return stream


def random(*shape: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(0).random(shape)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("predictor", [None, 3])
@pytest.mark.parametrize("compression", ["lzw", "zlib"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack", "miniswhite"])
def test_floats_of_every_size(
    dtype: str, predictor: int | None, compression: str, photometric: str
) -> None:
    values = random(40, 60, 3 if photometric == "rgb" else 1).astype(dtype)
    stored = values if photometric == "rgb" else values[..., 0]
    read = photo.read(
        tiff(stored, photometric=photometric, compression=compression, predictor=predictor)
    )
    expected = 1 - values.astype(float) if photometric == "miniswhite" else values.astype(float)
    assert read.depth == 16
    assert np.abs(read.pixels - expected * 65535).max() <= 0.51


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_floats_with_the_predictor_of_integers(bits: int) -> None:
    """Which tifffile reads but does not write."""
    values = random(9, 13).astype(f"<f{bits // 8}")
    stored = values.view(f"<u{bits // 8}")
    data = zlib.compress(np.diff(stored, axis=1, prepend=stored[:, :1] * 0).tobytes())
    more = {259: 8, 317: 2, 339: 3}  # Deflate, horizontal differences, floats
    read = photo.read(BytesIO(raw_tiff(data, values.shape, bits, "<", more)))
    assert np.abs(read.pixels[..., 0] - values.astype(float) * 65535).max() <= 0.51


def test_the_white_of_floats_is_robust() -> None:
    """1.0, or what 99 % of the pixels do not exceed if more than 1 % are brighter than 1.0."""
    values = random(40, 60, 3).astype(np.float32)
    values[0, 0] = 5000
    read = photo.read(tiff(values, photometric="rgb"))
    assert np.abs(read.pixels - values.clip(0, 1) * 65535).max() <= 0.51
    values[:, :20] = 4
    read = photo.read(tiff(values, photometric="rgb"))
    assert np.abs(read.pixels - values.clip(0, 4) * 65535 / 4).max() <= 0.51


def test_opaque_alpha_of_bright_floats_is_opaque() -> None:
    values = np.concatenate([random(40, 60, 3) * 5, np.ones((40, 60, 1))], -1).astype(np.float32)
    values[3, 4, 3] = 0.25
    read = photo.read(tiff(values, photometric="rgb", extrasamples=["unassalpha"]))
    assert read.alpha is not None
    assert [read.alpha[3, 4], np.median(read.alpha)] == [16384, 65535]
    white = np.sort(values[..., :3].max(-1), axis=None)[int(0.99 * 2400) - 1]
    assert np.abs(read.pixels - (values[..., :3] / white).clip(0, 1) * 65535).max() <= 0.51


def raw_tiff(
    data: bytes, shape: tuple[int, ...], bits: int, order: str, more: dict[int, int]
) -> bytes:
    """A TIFF 6.0 file of one strip of grey."""
    tags = {256: shape[1], 257: shape[0], 258: bits, 259: 1, 262: 1, 273: 0, 277: 1}
    tags |= {278: shape[0], 279: len(data)} | more
    tags[273] = 14 + 12 * len(tags)
    start = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    entries = [struct.pack(f"{order}HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags)]
    return start + b"".join(entries) + bytes(4) + data


def packed(values: npt.NDArray[np.int64], bits: int, order: str) -> bytes:
    """Integers as bits of bytes, or as bytes in the file's order."""
    if bits % 8 == 0:
        name: Any = {"<": "little", ">": "big"}[order]
        return b"".join(int(v).to_bytes(bits // 8, name) for v in values.flat)
    lines = ["".join(f"{v:0{bits}b}" for v in row) for row in values.tolist()]
    lines = [line + "0" * (-len(line) % 8) for line in lines]
    return b"".join(int(line, 2).to_bytes(len(line) // 8, "big") for line in lines)


@pytest.mark.parametrize("bits", [9, 10, 12, 14, 15, 16, 20, 24, 32])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white_is_zero", [False, True])
def test_integers_of_9_to_32_bits(bits: int, order: str, white_is_zero: bool) -> None:
    top = 2**bits - 1
    values = np.random.default_rng(bits).integers(0, top + 1, (9, 13))
    values[0, :2] = 0, top
    data = packed(values, bits, order)
    stream = BytesIO(raw_tiff(data, values.shape, bits, order, {262: 0 if white_is_zero else 1}))
    expected = (top - values if white_is_zero else values) / top * 65535
    assert np.abs(photo.read(stream).pixels[..., 0] - expected).max() <= 0.51


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_a_transparent_gray_of_png(bits: int) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        sum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + sum

    top = 2**bits - 1
    values = np.arange(64).reshape(8, 8) * 997 % (top + 1)
    data = b"".join(b"\0" + packed(row[None], bits, ">") for row in values)
    for clear in (0, 1, top):
        file = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 8, 8, bits, 0, 0, 0, 0))
        file += chunk(b"tRNS", struct.pack(">H", clear)) + chunk(b"IDAT", zlib.compress(data))
        read = photo.read(BytesIO(file + chunk(b"IEND", b"")))
        white = np.iinfo(read.pixels.dtype).max
        assert read.alpha is not None
        assert np.array_equal(read.alpha, np.where(values == clear, 0, white))
        assert np.array_equal(read.pixels[..., 1], values * (white // top))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite", "rgb"])
def test_alpha_of_tiff_in_every_layout(dtype: Any, planar: str, photometric: str) -> None:
    top, colors = np.iinfo(dtype).max, 3 if photometric == "rgb" else 1
    values = (random(colors + 1, 20, 30) * top).astype(dtype)
    stored = values if planar == "separate" else np.ascontiguousarray(np.moveaxis(values, 0, -1))
    options = {"photometric": photometric, "extrasamples": ["unassalpha"]}
    read = photo.read(tiff(stored, planarconfig=planar, **options))
    expected = top - values[0] if photometric == "miniswhite" else values[0]
    assert np.array_equal(read.pixels[..., 0], expected)
    assert read.alpha is not None
    assert np.array_equal(read.alpha, values[-1])


@pytest.mark.parametrize("run_lengths", [False, True])
def test_a_1_bit_psd_is_no_negative(run_lengths: bool) -> None:
    """Adobe Photoshop File Formats: in bitmap mode 1 is black."""
    bits = np.random.default_rng(0).integers(0, 2, (9, 13), np.uint8)
    rows = [row.tobytes() for row in np.packbits(bits, axis=1)]
    data = b"8BPS" + struct.pack(">H6xHIIHH", 1, 1, 9, 13, 1, 0) + bytes(12)
    if run_lengths:  # one run of two literal bytes in each row
        data += struct.pack(">H", 1) + struct.pack(">9H", *[3] * 9)
        rows = [b"\1" + row for row in rows]
    else:
        data += struct.pack(">H", 0)
    read = photo.read(BytesIO(data + b"".join(rows)))
    assert np.array_equal(read.pixels[..., 0], 255 * (1 - bits))


def test_a_transparent_style_is_refused() -> None:
    clear = photo.Photo(np.full((4, 5, 3), 200, np.uint8), np.zeros((4, 5), np.uint8))
    stream = BytesIO()
    photo.encode(clear, "PNG", stream)
    stream.seek(0)
    with pytest.raises(PhotostyleError, match="fully transparent"):
        photo.read_style(stream)
    assert clear.alpha is not None
    clear.alpha[1, 1] = 1
    stream = BytesIO()
    photo.encode(clear, "PNG", stream)
    stream.seek(0)
    assert photo.read_style(stream).size == (5, 4)


def test_an_x_bitmap_is_black_where_it_is_1() -> None:
    data = b"#define a_width 8\n#define a_height 1\nstatic char a_bits[] = {\n0x03};\n"
    pixels = photo.read(BytesIO(data)).pixels
    assert pixels[0, :, 1].tolist() == [0, 0, *[255] * 6]  # the lowest bit is the leftmost

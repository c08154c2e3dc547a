"""PNG files that other programs open although a part is damaged or unusually long."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from support.photos import profile, saved, scene

from photostyle import PhotostyleError, photo

HEADER = 33  # bytes up to the end of IHDR


def chunk(kind: bytes, data: bytes, *, damage: int = 0) -> bytes:
    crc = zlib.crc32(kind + data) ^ damage
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


def png(*chunks: bytes) -> BytesIO:
    plain = saved(Image.fromarray(scene()), "PNG").getvalue()
    return BytesIO(plain[:HEADER] + b"".join(chunks) + plain[HEADER:])


@pytest.mark.parametrize("kind", [b"pHYs", b"tEXt", b"gAMA", b"prVt"])
def test_a_damaged_chunk_without_pixels_is_left_out_with_a_note(kind: bytes) -> None:
    read = photo.read(png(chunk(kind, b"\0\0\0\1" * 2 + b"\1", damage=1)))
    assert np.array_equal(read.pixels, scene())
    (note,) = read.notes
    assert "A damaged part of the PNG file" in note
    assert photo.read(png(chunk(b"prVt", b"private"))).notes == ()


@pytest.mark.parametrize(
    ("kind", "data"),
    [(b"sRGB", b""), (b"cHRM", bytes(12)), (b"iCCP", b"x\0\1zip"), (b"zTXt", b"Author\0\1x")],
)
def test_an_invalid_chunk_without_pixels_is_left_out_with_a_note(kind: bytes, data: bytes) -> None:
    read = photo.read(png(chunk(kind, data)))
    assert np.array_equal(read.pixels, scene())
    assert any("A damaged part of the PNG file" in note for note in read.notes)


def test_damaged_pixels_are_refused() -> None:
    whole = saved(Image.fromarray(scene()), "PNG").getvalue()
    damaged = bytearray(whole)
    damaged[HEADER + 8] ^= 8  # the compression method of IDAT
    with pytest.raises(PhotostyleError, match="damaged"):
        photo.read(BytesIO(damaged))


def test_more_than_a_megabyte_of_compressed_metadata() -> None:
    words = b"<rdf:li>layer</rdf:li>" * 100_000
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/'
    packet += b'22-rdf-syntax-ns#"><rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    packet += b'xmp:Rating="4"><xmp:Label><rdf:Bag>' + words + b"</rdf:Bag></xmp:Label>"
    packet += b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    text = b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(packet)
    table = np.random.default_rng(0).bytes(9)
    read = photo.read(png(chunk(b"iTXt", text), chunk(b"prVt", table)))
    assert np.array_equal(read.pixels, scene())
    assert b'xmp:Rating="4"' in read.metadata.xmp
    assert len(read.metadata.xmp) > 1_000_000


def test_a_profile_of_more_than_a_megabyte() -> None:
    p3 = bytearray(profile("Display P3"))
    p3 += bytes(1_200_000)
    struct.pack_into(">I", p3, 0, len(p3))
    read = photo.read(png(chunk(b"iCCP", b"P3\0\0" + zlib.compress(bytes(p3)))))
    assert read.original == bytes(p3)


def test_texts_that_expand_without_end_take_little_memory() -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(60_000_000))
    read = photo.read(png(*[chunk(b"zTXt", bomb)] * 20))
    assert np.array_equal(read.pixels, scene())
    assert sum(len(text) for _, text in read.metadata.texts) < 130_000_000
    assert any("damaged text" in note for note in read.notes)


def test_a_chunk_that_claims_more_than_the_file_has_is_refused() -> None:
    cut = png(chunk(b"prVt", b"private")).getvalue()
    for length in (HEADER + 4, HEADER + 10, HEADER + 20):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(cut[:length]))

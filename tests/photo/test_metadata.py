"""Metadata come through byte for byte where they are still true, in every format."""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any, Literal
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from PIL import Image
from support.photos import encoded, profile, saved, scene, with_chunks

from photostyle import photo
from photostyle.photo import Photo
from photostyle.photo.formats import FORMATS
from photostyle.photo.metadata import Metadata

Tags = dict[tuple[str, int], tuple[int, int, bytes]]
Chunk = tuple[bytes, bytes]

SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 10: 8}
AUTHOR, COPYRIGHT = "Jürgen Müller", "© 2026 Jürgen Müller"
THUMBNAIL = b"\xff\xd8 the photo as it was \xff\xd9"
MAKER_NOTE = b"Maker\0 with offsets \x01\x02\x03"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
NOTE = 'xmlns:xmpNote="http://ns.adobe.com/xmp/note/"'
EXIF_FORMATS = [n for n in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "JXL") if n in FORMATS]


def camera_block(order: str) -> bytes:
    """An EXIF block with all that cameras write, and a thumbnail before the maker's note."""
    data = bytearray((b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8))
    numbers = {3: "H", 4: "I", 5: "II", 10: "ii"}

    def directory(entries: list[tuple[int, int, object]], following: bool = False) -> int:
        """Append a directory; returns where the offset of the next one is."""
        start = len(data)
        table = bytearray(struct.pack(order + "H", len(entries)))
        data.extend(bytes(2 + 12 * len(entries) + 4))
        for tag, kind, value in entries:
            raw = value if isinstance(value, bytes) else b""
            if not isinstance(value, bytes):
                values = value if isinstance(value, tuple) else (value,)
                raw = struct.pack(
                    order + numbers[kind] * (len(values) // len(numbers[kind])), *values
                )
            count = len(raw) // SIZES[kind]
            if len(raw) > 4:
                data.extend(bytes(len(data) % 2))
                at = struct.pack(order + "I", len(data))
                data.extend(raw)
                raw = at
            table += struct.pack(order + "HHI", tag, kind, count) + raw.ljust(4, b"\0")
        data[start : start + len(table)] = table
        return start + len(table) if not following else len(data)

    main = [
        (0x010F, 2, b"Maker\0"),
        (0x0112, 3, 6),
        (0x011A, 5, (300, 1)),
        (0x011B, 5, (300, 1)),
        (0x0128, 3, 2),
        (0x013B, 2, AUTHOR.encode() + b"\0"),
        (0x8298, 2, COPYRIGHT.encode() + b"\0"),
        (0x8769, 4, 0),
        (0x8825, 4, 0),
    ]
    next_of_main = directory(main)
    first = len(data)
    directory([(0x0201, 4, first + 30), (0x0202, 4, len(THUMBNAIL))])
    data.extend(THUMBNAIL)
    exif_at = len(data)
    directory(
        [
            (0x9000, 7, b"0232"),
            (0x9204, 10, (-1, 3)),
            (0x927C, 7, MAKER_NOTE),
            (0x9286, 7, b"UNICODE\0G\0r\0\xfc\0"),
            (0xA001, 3, 0xFFFF),
            (0xA002, 4, 60),
            (0xA003, 3, 40),
            (0xA005, 4, 0),
            (0xA434, 2, "Objektiv ä".encode("latin-1") + b"\0"),
        ]
    )
    interop_at = len(data)
    directory([(0x0001, 2, b"R98\0")])
    gps_at = len(data)
    directory(
        [(0x0001, 2, b"N\0"), (0x0002, 5, (47, 1, 30, 1, 0, 1)), (0x001C, 7, b"ASCII\0\0\0here")]
    )
    for at, value in (
        (next_of_main, first),
        (8 + 2 + 12 * 7 + 8, exif_at),
        (8 + 2 + 12 * 8 + 8, gps_at),
        (exif_at + 2 + 12 * 7 + 8, interop_at),
    ):
        struct.pack_into(order + "I", data, at, value)
    return bytes(data)


def tags_of(block: bytes) -> Tags:
    """Type, count and bytes of the entries of a block, by directory and tag."""
    order = "<" if block[:2] == b"II" else ">"
    found: Tags = {}

    def walk(name: str, at: int) -> None:
        (count,) = struct.unpack_from(order + "H", block, at)
        for start in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind, number, value = struct.unpack_from(order + "HHII", block, start)
            size = SIZES.get(kind, 1) * number
            raw = block[value : value + size] if size > 4 else block[start + 8 : start + 8 + size]
            child = {0x8769: "exif", 0x8825: "gps", 0xA005: "interop"}.get(tag)
            if child:
                walk(child, value)
            else:
                found[name, tag] = (kind, number, raw)
        if name == "main":
            (following,) = struct.unpack_from(order + "I", block, at + 2 + 12 * count)
            if following:
                walk("thumbnail", following)

    walk("main", *struct.unpack_from(order + "I", block, 4))
    return found


def block_in(data: bytes, format: str, order: str) -> bytes:
    """The EXIF block of a file, from its TIFF header on."""
    if format in ("JXL", "HEIF"):
        return data[data.index(b"Exif") :][
            data[data.index(b"Exif") :].index(b"II*\0" if order == "<" else b"MM\0*") :
        ]
    if format == "TIFF":
        return data
    with Image.open(BytesIO(data)) as image:
        return bytes(image.info["exif"]).removeprefix(b"Exif\0\0")


def png(*chunks: Chunk) -> BytesIO:
    """A PNG file with chunks after its header."""
    return with_chunks(saved(Image.fromarray(scene()), "PNG").getvalue(), *chunks)


def jpeg(*segments: tuple[int, bytes], end: bytes = b"") -> BytesIO:
    """A JPEG file with segments after its start."""
    data = saved(Image.fromarray(scene()), "JPEG", dpi=(240, 200)).getvalue()
    middle = b"".join(
        struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content
        for marker, content in segments
    )
    return BytesIO(data[:20] + middle + data[20:] + end)


def segments_of(data: bytes) -> Iterable[tuple[int, bytes]]:
    """Marker and content of the segments of a JPEG file before its pixels."""
    at = 2
    while data[at + 1] != 0xDA:
        (length,) = struct.unpack_from(">H", data, at + 2)
        yield data[at + 1], data[at + 4 : at + 2 + length]
        at += 2 + length


def packet(properties: str, elements: str = "", namespaces: str = "") -> bytes:
    return (
        f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
        f'<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/" {namespaces} '
        f"{properties}>{elements}</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def xmp_segment(content: bytes) -> tuple[int, bytes]:
    return 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + content


def dataset(number: int, text: str) -> bytes:
    data = text.encode()
    return struct.pack(">BBBH", 0x1C, 2, number, len(data)) + data


def resource(number: int, data: bytes) -> bytes:
    head = b"8BIM" + struct.pack(">H", number) + b"\0\0" + struct.pack(">I", len(data))
    return head + data + bytes(len(data) % 2)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("format", EXIF_FORMATS)
def test_exif_is_copied_byte_for_byte(format: str, order: str) -> None:
    """Only orientation, size and thumbnail change; the maker's note keeps its offset."""
    block = camera_block(order)
    before = tags_of(block)
    assert before["thumbnail", 0x0202][1] == 1
    read = photo.read(jpeg((0xE1, b"Exif\0\0" + block)))
    assert read.notes == ()
    assert read.size == (40, 60)
    data = encoded(read.stamped("settings"), format)
    written = block_in(data, format, order)
    after = tags_of(written)
    assert THUMBNAIL not in data
    assert after.pop(("main", 0x0131)) == (2, 9, b"settings\0")
    short = struct.Struct(order + "H")
    assert after.pop(("exif", 0xA002))[2][:4] in (short.pack(40), struct.pack(order + "I", 40))
    assert after.pop(("exif", 0xA003)) == (3, 1, short.pack(60))
    assert after.pop(("main", 0x0112), (3, 1, short.pack(1))) == (3, 1, short.pack(1))
    for changed in (("main", 0x0112), ("exif", 0xA002), ("exif", 0xA003)):
        before.pop(changed)
    kept = {key: value for key, value in before.items() if key[0] != "thumbnail"}
    if format == "TIFF":  # JFIF has another resolution
        kept = {k: v for k, v in kept.items() if k not in (("main", 0x011A), ("main", 0x011B))}
    assert {key: after.get(key) for key in kept} == kept
    assert written.index(MAKER_NOTE) == block.index(MAKER_NOTE)
    assert photo.read(BytesIO(data)).size == (40, 60)


def test_exif_is_copied_from_tiff_with_types_and_byte_order() -> None:
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        stream = BytesIO()
        with tifffile.TiffWriter(stream, byteorder=order) as writer:
            text = COPYRIGHT.encode() + b"\0"
            extra: list[Any] = [
                (0x8298, 2, len(text), text, True),
                (0x9C9D, 1, 4, b"J\0\0\0", True),
            ]
            extra += [(65000, 10, 1, (-1, 3), True), (37724, 7, 10, b"old layers", True)]
            writer.write(scene(), photometric="rgb", extratags=extra, metadata=None)
        found = tags_of(photo.read(stream).metadata.exif.removeprefix(b"Exif\0\0"))
        assert found["main", 0x8298] == (2, len(text), text)
        assert found["main", 0x9C9D] == (1, 4, b"J\0\0\0")
        assert found["main", 65000] == (10, 1, struct.pack(order + "ii", -1, 3))
        assert ("main", 37724) not in found
        assert ("main", 0x0111) not in found


def tiff_with_maker_note(note: bytes, place: int) -> BytesIO:
    """A photo of 2 x 2 grey pixels."""
    data = bytes(place - 8) + note + bytes(len(note) % 2)
    exif, main = 8 + len(data), 8 + len(data) + 18
    data += struct.pack("<HHHIIi", 1, 0x927C, 7, len(note), place, 0)
    fields = [(256, 2), (257, 2), (258, 8), (262, 1), (273, main), (279, 4), (0x8769, exif)]
    data += struct.pack("<H", 7)
    data += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in fields)
    return BytesIO(b"II*\0" + struct.pack("<I", main) + data + bytes(4))


@pytest.mark.parametrize(
    ("note", "place", "moved"),
    [
        (b"offsets of the file", 8, False),
        (b"offsets of the file", 30_001, False),
        (b"offsets of the file", 40_000, True),
        (b"Nikon\0\2, with offsets of its own", 40_000, False),
    ],
)
def test_maker_notes_of_tiff_stay_in_their_place_or_a_note_says_so(
    note: bytes, place: int, moved: bool
) -> None:
    stream = tiff_with_maker_note(note, place)
    read = photo.read(stream)
    assert any("maker notes" in text for text in read.notes) == moved
    for format in ("JPEG", "TIFF", "PNG"):
        written = block_in(encoded(read, format), format, "<")
        assert tags_of(written)["exif", 0x927C] == (7, len(note), note)
        assert (written.index(note) == place) == (place < 40_000)


def test_16_bit_tiff_in_the_byte_order_of_its_exif() -> None:
    pixels = np.arange(40 * 60 * 3, dtype=np.uint16).reshape(40, 60, 3) * 9
    for order in "<>":
        content = Photo(pixels, metadata=Metadata(b"Exif\0\0" + camera_block(order)))
        data = BytesIO(encoded(content, "TIFF"))
        with tifffile.TiffFile(data) as tiff:
            assert tiff.byteorder == order
            assert np.array_equal(tiff.asarray(), pixels)


def test_odd_exif_is_not_called_damaged() -> None:
    block = bytearray(camera_block("<"))
    struct.pack_into("<I", block, 8 + 2 + 12 * 0 + 8, 1 << 30)  # data beyond the end
    struct.pack_into("<H", block, 8 + 2 + 12 * 2 + 2, 99)  # an unknown type
    for content in (bytes(block), camera_block(">")[:500]):
        read = photo.read(jpeg((0xE1, b"Exif\0\0" + content)))
        assert read.notes == ()
        assert read.size == (40, 60)
        assert AUTHOR.encode() in read.stamped("settings").metadata.exif
    read = photo.read(jpeg((0xE1, b"Exif\0\0nonsense")))
    assert "EXIF metadata is damaged" in read.notes[0]


def test_exif_follows_the_colour_space_of_the_file() -> None:
    block = camera_block("<").replace(b"R98\0", b"R03\0")
    read = photo.read(jpeg((0xE1, b"Exif\0\0" + block)))
    kept = tags_of(block_in(encoded(read, "JPEG"), "JPEG", "<"))
    assert kept["interop", 1][2] == b"R03\0"
    converted = tags_of(block_in(encoded(read.written_in_srgb(), "JPEG"), "JPEG", "<"))
    assert converted["interop", 1][2] == b"R98\0"
    assert converted["exif", 0xA001][2] == b"\1\0"
    p3 = profile("Display P3")
    exif = b"Exif\0\0" + block.replace(b"R03\0", b"R98\0").replace(b"\xff\xff\0\0", b"\1\0\0\0")
    wide = Photo(scene(), profile=p3, original=p3, metadata=Metadata(exif))
    assert tags_of(block_in(encoded(wide, "JPEG"), "JPEG", "<"))["exif", 0xA001][2] == b"\xff\xff"


def test_maker_notes_make_room_for_the_rest_in_jpeg() -> None:
    block = camera_block("<")
    read = photo.read(jpeg((0xE1, b"Exif\0\0" + block)))
    tail = tags_of(block)
    long = bytearray(block) + bytes(70_000)
    at = block.index(struct.pack("<HHI", 0x927C, 7, len(MAKER_NOTE)))
    struct.pack_into("<II", long, at + 4, 70_000, len(block))
    content = Photo(scene(), metadata=Metadata(b"Exif\0\0" + bytes(long)))
    (note,) = photo.unsupported_features(content, "JPEG")
    assert "maker notes were left out" in note
    written = tags_of(block_in(encoded(content, "JPEG"), "JPEG", "<"))
    assert written["main", 0x013B] == tail["main", 0x013B]
    assert ("exif", 0x927C) not in written
    assert photo.unsupported_features(read, "JPEG") == []


GAIN_MAP = (
    'hdrgm:Version="1.0" xmp:Rating="4"',
    '<Container:Directory><rdf:Seq><rdf:li rdf:parseType="Resource"><Container:Item '
    'Item:Semantic="GainMap" Item:Length="677"/></rdf:li></rdf:Seq></Container:Directory>'
    "<hdrgm:GainMapMax><rdf:Seq><rdf:li>1</rdf:li></rdf:Seq></hdrgm:GainMapMax>",
    'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" '
    'xmlns:Container="http://ns.google.com/photos/1.0/container/" '
    'xmlns:Item="http://ns.google.com/photos/1.0/container/item/"',
)
MOTION = (
    'cam:MotionPhoto="1" cam:MotionPhotoVersion="1" cam:MicroVideoOffset="99" xmp:Rating="4" '
    'cam:BurstID="7"',
    "<cam:MicroVideo>1</cam:MicroVideo>",
    'xmlns:cam="http://ns.google.com/photos/1.0/camera/"',
)
APPLE = (
    'g:HDRGainMapVersion="1" xmp:Rating="4"',
    "",
    'xmlns:g="http://ns.apple.com/HDRGainMap/1.0/"',
)
APPLE_TONE_MAP = (
    'g:AlternateHeadroom="3" xmp:Rating="4"',
    "",
    'xmlns:g="http://ns.apple.com/HDRToneMap/1.0/"',
)


@pytest.mark.parametrize(
    ("given", "gone", "note"),
    [
        (GAIN_MAP, (b"hdrgm:V", b"hdrgm:G", b"Directory", b"Item:S"), "gain map"),
        (MOTION, (b"MotionPhoto", b"MicroVideo"), "motion clip"),
        (APPLE, (b"g:HDR",), "gain map"),
        (APPLE_TONE_MAP, (b"g:Alt",), "gain map"),
    ],
)
def test_xmp_does_not_claim_what_is_dropped(
    given: tuple[str, str, str], gone: tuple[bytes, ...], note: str
) -> None:
    read = photo.read(jpeg(xmp_segment(packet(*given))))
    assert len(read.notes) == 1
    assert note in read.notes[0]
    for format in ("JPEG", "PNG"):
        data = encoded(read, format)
        assert not any(word in data for word in gone)
        assert b'xmp:Rating="4"' in data
    assert (b'cam:BurstID="7"' in read.metadata.xmp) == (given is MOTION)
    ElementTree.fromstring(read.metadata.xmp)


def test_gain_map_and_motion_clip_without_xmp_are_named() -> None:
    read = photo.read(jpeg((0xE2, b"urn:iso:std:iso:ts:21496:-1\0\0\0\0\0")))
    assert "gain map" in read.notes[0]
    directory = b"SEFH" + struct.pack("<II", 107, 1) + struct.pack("<HHII", 0, 0x0A30, 40, 30)
    read = photo.read(jpeg(end=b"clip" + directory + struct.pack("<I", len(directory)) + b"SEFT"))
    assert "motion clip" in read.notes[0]


def test_content_credentials_are_named() -> None:
    box = b"JP\0\1\0\0\0\1\0\0\0\x30jumb\0\0\0\x28jumdc2pa"
    for file in (jpeg((0xEB, box)), png((b"caBX", box[8:]))):
        assert "content credentials" in photo.read(file).notes[0]


def test_xmp_that_is_still_true_is_not_changed_by_a_byte() -> None:
    given = packet("xmp:Label='a &gt; b'", "<xmp:Nickname>\n  Käse &amp; Brot</xmp:Nickname>")
    for format in EXIF_FORMATS:
        read = photo.read(jpeg(xmp_segment(given)))
        assert read.metadata.xmp == given
        assert photo.read(BytesIO(encoded(read, format))).metadata.xmp == given


def test_xmp_that_is_not_well_formed() -> None:
    odd = packet('xmp:Rating="4"', "<open>")
    assert photo.read(jpeg(xmp_segment(odd))).metadata.xmp == odd
    read = photo.read(jpeg(xmp_segment(odd.replace(b"xmp:Rating", b"hdrgm:Version"))))
    assert read.metadata.xmp == b""
    assert "XMP metadata is damaged" in read.notes[0]


def test_xmp_in_utf_16_and_its_sizes() -> None:
    given = packet(
        'tiff:Orientation="6" exif:PixelXDimension="60"',
        "<exif:PixelYDimension>40</exif:PixelYDimension>",
        'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"',
    )
    read = photo.read(jpeg(xmp_segment(given.decode().encode("utf-16"))))
    assert read.size == (40, 60)
    data = encoded(read, "JPEG")
    assert b'tiff:Orientation="1"' in data
    assert b'exif:PixelXDimension="40"' in data
    assert b"<exif:PixelYDimension>60</exif:PixelYDimension>" in data


def test_extended_xmp_is_read() -> None:
    extension = packet('p:Author="PhilToo"', "<p:Title>Käse</p:Title>", 'xmlns:p="ns:p"')
    digest = hashlib.md5(extension).hexdigest().upper().encode()
    short = packet(f'xmp:Rating="4" xmpNote:HasExtendedXMP="{digest.decode()}"', "", NOTE)

    def part(start: int, end: int, name: bytes = digest) -> tuple[int, bytes]:
        head = name + struct.pack(">II", len(extension), start)
        return 0xE1, b"http://ns.adobe.com/xmp/extension/\0" + head + extension[start:end]

    read = photo.read(
        jpeg(xmp_segment(short), part(100, 9999), part(0, 100), part(0, 50, b"0" * 32))
    )
    assert read.notes == ()
    (root,) = ElementTree.fromstring(read.metadata.xmp)
    first, second = root
    assert first.get("{http://ns.adobe.com/xap/1.0/}Rating") == "4"
    assert not any("Extended" in name for name in first.attrib)
    assert second.get("{ns:p}Author") == "PhilToo"
    assert second[0].text == "Käse"


def test_extended_xmp_that_is_cut_off_is_named() -> None:
    short = packet(f'xmp:Rating="4" xmpNote:HasExtendedXMP="{"A" * 32}"', "", NOTE)
    head = b"http://ns.adobe.com/xmp/extension/\0" + b"A" * 32 + struct.pack(">II", 999, 0)
    for segments in ([], [(0xE1, head + packet("")[:90])]):
        read = photo.read(jpeg(xmp_segment(short), *segments))
        assert "A part of the XMP metadata is damaged or missing" in read.notes[0]
        assert b'xmp:Rating="4"' in read.metadata.xmp
        assert b"HasExtendedXMP" not in read.metadata.xmp


def test_long_xmp_is_split_over_segments_of_jpeg() -> None:
    depth, title = "A" * 150_000, "Ü" * 50_000
    given = packet(
        f'g:Data="{depth}" xmp:Rating="4"', f"<g:Title>{title}</g:Title>", 'xmlns:g="ns:g"'
    )
    content = Photo(scene(), metadata=Metadata(xmp=given))
    assert photo.unsupported_features(content, "JPEG") == []
    data = encoded(content, "JPEG")
    extended = [
        c[35:] for _, c in segments_of(data) if c.startswith(b"http://ns.adobe.com/xmp/ext")
    ]
    assert len(extended) > 3
    assert [struct.unpack_from(">I", part, 36)[0] for part in extended] == list(
        np.cumsum([0, *(len(part) - 40 for part in extended[:-1])])
    )
    whole = b"".join(part[40:] for part in extended)
    digest = hashlib.md5(whole).hexdigest().upper()
    assert {part[:32].decode() for part in extended} == {digest}
    assert {struct.unpack_from(">I", part, 32)[0] for part in extended} == {len(whole)}
    (main,) = (c[29:] for _, c in segments_of(data) if c.startswith(b"http://ns.adobe.com/xap"))
    root = ElementTree.fromstring(main)[0]
    assert root[0].get("{http://ns.adobe.com/xap/1.0/}Rating") == "4"
    assert root[1].get("{http://ns.adobe.com/xmp/note/}HasExtendedXMP") == digest
    again = ElementTree.fromstring(photo.read(BytesIO(data)).metadata.xmp)[0]
    values = {name: value for item in again for name, value in item.attrib.items()}
    assert values["{ns:g}Data"] == depth
    assert [e.text for e in again.iter("{ns:g}Title")] == [title]


def raw_profile(kind: bytes, data: bytes) -> bytes:
    lines = data.hex().encode()
    wrapped = b"\n".join(lines[at : at + 72] for at in range(0, len(lines), 72))
    return b"\n" + kind + b"\n%8d\n" % len(data) + wrapped + b"\n"


def test_xmp_exif_and_iptc_as_other_programs_write_them_into_png() -> None:
    given = packet('xmp:Rating="4"')
    name = b"XML:com.adobe.xmp\0"
    prefixed = b"http://ns.adobe.com/xap/1.0/\0" + given
    for chunk in (
        (b"iTXt", name + b"\0\0\0\0" + given),
        (b"iTXt", name + b"\1\0en\0\0" + zlib.compress(given)),
        (b"tEXt", name + given),
        (b"zTXt", name + b"\0" + zlib.compress(given)),
        (b"zTXt", b"Raw profile type xmp\0\0" + zlib.compress(raw_profile(b"xmp", given))),
        (b"tEXt", b"Raw profile type APP1\0" + raw_profile(b"generic", prefixed)),
    ):
        assert photo.read(png(chunk)).metadata.xmp == given
    block = camera_block(">")
    for kind in (b"exif", b"APP1"):
        text = raw_profile(kind, b"Exif\0\0" + block)
        read = photo.read(png((b"tEXt", b"Raw profile type " + kind + b"\0" + text)))
        assert read.size == (40, 60)
        assert AUTHOR.encode() in read.metadata.exif
    iptc = dataset(25, "Käse")
    for kind, data in ((b"iptc", iptc), (b"8bim", resource(0x0404, iptc))):
        read = photo.read(
            png((b"tEXt", b"Raw profile type " + kind + b"\0" + raw_profile(kind, data)))
        )
        assert read.metadata.resources == resource(0x0404, iptc)
    text = raw_profile(b"IPTC profile", resource(0x0404, iptc))  # as ExifTool
    read = photo.read(png((b"tEXt", b"Raw profile type iptc\0" + text)))
    assert read.metadata.resources == resource(0x0404, iptc)
    (note,) = photo.read(png((b"tEXt", b"Raw profile type iptc\0nothing"))).notes
    assert "damaged text" in note


def test_texts_of_png_are_kept_in_png_and_move_to_exif_and_xmp_elsewhere() -> None:
    texts = [
        (b"tEXt", b"Author\0J\xfcrgen"),
        (b"zTXt", b"Copyright\0\0" + zlib.compress(b"\xa9 2026")),
        (b"iTXt", b"Title\0\0\0\0\0" + "湖 & Café".encode()),
        (b"tEXt", b"Comment\0seen"),
        (b"tEXt", b"Source\0a camera"),
        (b"tEXt", b"description\0bell \x07"),
        (b"tEXt", b"date:create\0today"),
    ]
    read = photo.read(png(*texts)).stamped("settings")
    with Image.open(BytesIO(encoded(read, "PNG"))) as image:
        kept = dict(image.text)  # type: ignore[attr-defined]
    assert kept == {
        "Author": "Jürgen",
        "Copyright": "© 2026",
        "Title": "湖 & Café",
        "Comment": "seen",
        "Source": "a camera",
        "Description": "bell \x07",
        "date:create": "today",
    }
    assert photo.unsupported_features(read, "PNG") == []
    for format in ("JPEG", "WEBP", "TIFF"):
        assert photo.unsupported_features(read, format) == [
            f'{format} has no place for the texts "Source"; they were left out.'
        ]
        data = encoded(read, format)
        found = tags_of(block_in(data, format, "<"))
        assert found["main", 0x013B][2] == "Jürgen\0".encode()
        assert found["main", 0x8298][2] == "© 2026\0".encode()
        tree = ElementTree.fromstring(photo.read(BytesIO(data)).metadata.xmp)
        assert [e.text for e in tree.iter(f"{{{RDF}}}li")][:1] == ["Jürgen"]
        assert "湖 & Café" in [e.text for e in tree.iter(f"{{{RDF}}}li")]
    assert (0xFE, b"seen") in list(segments_of(encoded(read, "JPEG")))
    assert photo.read(BytesIO(encoded(read, "GIF"))).metadata.texts == (("Comment", "seen"),)


def test_a_damaged_text_of_png_is_named() -> None:
    read = photo.read(png((b"zTXt", b"Author\0\0" + zlib.compress(b"x" * 99)[:-9])))
    assert "damaged text" in read.notes[0]


def test_iptc_of_jpeg_and_tiff() -> None:
    iptc = dataset(25, "Käse") + dataset(25, "two") + dataset(55, "20260102") + dataset(90, "Bern")
    block = resource(0x0404, iptc) + resource(0x040C, b"old thumbnail") + resource(0x0BB7, b"\3abc")
    read = photo.read(jpeg((0xED, b"Photoshop 3.0\0" + block)))
    kept = resource(0x0404, iptc) + resource(0x0BB7, b"\3abc")
    assert read.metadata.resources == kept
    assert (0xED, b"Photoshop 3.0\0" + kept) in list(segments_of(encoded(read, "JPEG")))
    with tifffile.TiffFile(BytesIO(encoded(read, "TIFF"))) as tiff:
        assert bytes(tiff.pages.first.tags.valueof(33723)) == iptc
        assert bytes(tiff.pages.first.tags.valueof(34377)) == resource(0x0BB7, b"\3abc")
    for format in ("PNG", "TIFF"):
        again = photo.read(BytesIO(encoded(read, format))).metadata.resources
        assert resource(0x0404, iptc) in again
        assert photo.unsupported_features(read, format) == []
    assert photo.unsupported_features(read, "WEBP") == []
    tree = ElementTree.fromstring(photo.read(BytesIO(encoded(read, "WEBP"))).metadata.xmp)
    assert [e.text for e in tree.iter(f"{{{RDF}}}li")] == ["Käse", "two"]
    values = {e.tag.partition("}")[2]: e.text for e in tree.iter()}
    assert (values["City"], values["DateCreated"]) == ("Bern", "2026-01-02")
    odd = Photo(scene(), metadata=Metadata(resources=resource(0x0404, dataset(7, "Status"))))
    assert "IPTC" in photo.unsupported_features(odd, "WEBP")[0]


def test_iptc_of_tiff_in_swapped_numbers() -> None:
    iptc = dataset(25, "abcdefg")
    swapped = np.frombuffer(iptc, ">u4").astype("<u4").tobytes()
    for stored in (iptc, swapped):
        stream = BytesIO()
        tags = [(33723, 4, len(stored) // 4, stored, True)]
        tifffile.imwrite(stream, scene(), photometric="rgb", extratags=tags, metadata=None)
        assert photo.read(stream).metadata.resources == resource(0x0404, iptc)


@pytest.mark.parametrize("source", ["PNG", "WEBP", "HEIF", "TIFF", "JPEG"])
def test_the_resolution_crosses_formats(source: str) -> None:
    if source not in FORMATS:
        pytest.skip("no plugin")
    content = Photo(scene(), metadata=Metadata(dpi=(300.0, 240.0))).stamped("settings")
    read = photo.read(BytesIO(encoded(content, source)))
    assert read.metadata.dpi == (300.0, 240.0)
    (jfif,) = (c for m, c in segments_of(encoded(read, "JPEG")) if m == 0xE0)
    assert struct.unpack_from(">BHH", jfif, 7) == (1, 300, 240)
    with Image.open(BytesIO(encoded(read, "PNG"))) as image:
        assert image.info["dpi"] == pytest.approx((300, 240), abs=0.02)
    found = tags_of(block_in(encoded(read, "WEBP"), "WEBP", "<"))
    assert found["main", 0x011A][2] == struct.pack("<II", 300, 1)
    assert found["main", 0x011B][2] == struct.pack("<II", 240, 1)


def test_animated_png_keeps_its_metadata(tmp_path: Path) -> None:
    frames = [Image.fromarray(scene(seed=seed)) for seed in (0, 1)]
    frames[1] = Image.eval(frames[1], lambda value: value // 2)
    given = packet('xmp:Rating="4"')
    moving = saved(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=40)
    data = moving.getvalue()
    content = png((b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + given), (b"tEXt", b"Author\0me"))
    chunks = content.getvalue()[33:]
    chunks = chunks[: chunks.index(b"IDAT") - 4]
    read = photo.read(BytesIO(data[:33] + chunks + data[33:]))
    assert read.animation
    photo.write(read, tmp_path / "a.png")
    again = photo.read(tmp_path / "a.png")
    assert again.animation
    assert again.metadata.xmp == given
    assert again.metadata.texts == (("Author", "me"),)


def jp2_box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def test_profile_and_metadata_of_jpeg_2000() -> None:
    data = saved(Image.fromarray(scene()), "JPEG2000", irreversible=False).getvalue()
    p3 = profile("Display P3")
    at = data.index(b"colr") - 4
    (length,) = struct.unpack_from(">I", data, at)
    color = jp2_box(b"colr", b"\2\0\0" + p3)
    header = data.index(b"jp2h") - 4
    (whole,) = struct.unpack_from(">I", data, header)
    grown = struct.pack(">I", whole + len(color) - length)
    data = data[:header] + grown + data[header + 4 : at] + color + data[at + length :]
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    data += jp2_box(b"uuid", bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC") + packet)
    data += jp2_box(b"uuid", b"JpgTiffExif->JP2" + camera_block("<"))
    iptc = b"\x1c\2\x69\0\5Title"
    data += jp2_box(b"uuid", bytes.fromhex("33C7A4D2B81D4723A0BAF1A3E097AD38") + iptc)
    data += jp2_box(b"xml ", b"<scan/>")
    read = photo.read(BytesIO(data))
    assert read.original == p3
    assert np.array_equal(read.pixels, np.rot90(scene(), -1))  # the orientation of the block is 6
    assert read.metadata.xmp == packet
    assert MAKER_NOTE in read.metadata.exif
    assert iptc in read.metadata.resources
    assert [note for note in read.notes if "XML" in note]


def test_xmp_of_gif() -> None:
    packet = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"/>'
    data = saved(Image.fromarray(scene()).quantize(), "GIF").getvalue()
    trailer = b"\1" + bytes(range(255, -1, -1)) + b"\0"  # XMP specification part 3, 1.1.2
    extension = b"\x21\xff\x0bXMP DataXMP" + packet + trailer
    with_xmp = data[:-1] + extension + data[-1:]
    with Image.open(BytesIO(with_xmp)) as image:  # as Pillow finds it
        image.load()
    read = photo.read(BytesIO(with_xmp))
    assert read.metadata.xmp == packet
    assert photo.read(BytesIO(data)).metadata.xmp == b""


def test_what_is_dropped_of_jpeg_is_named_except_of_the_style() -> None:
    def segment(number: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, 0xE0 + number, len(content) + 2) + content

    data = saved(Image.fromarray(scene()), "JPEG").getvalue()
    plain = segment(12, b"Ducky\0\1") + segment(0, b"JFXX\0\x10")
    assert photo.read(BytesIO(data[:2] + plain + data[2:])).notes == ()
    others = (
        segment(1, b"FLIR\0\1\0\0") + segment(0, b"II\x1a\0\0\0HEAPJPGM") + segment(9, b"\0\1\2")
    )
    lost = data[:2] + others + data[2:] + b"AXS!" + bytes(8)
    (note,) = photo.read(BytesIO(lost)).notes
    assert "AFCP, FLIR, CIFF, APP9" in note
    assert photo.read_style(BytesIO(lost)).notes == ()

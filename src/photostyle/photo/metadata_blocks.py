"""Finds the metadata in the containers of each file format, as they are stored.

Sources: EXIF 2.32, section 4.7; XMP specification part 3 (Adobe, 2020); PNG, third edition; PNG
text of ImageMagick ("Raw profile type"); ISO/IEC 18181-2 (boxes of JPEG XL).
"""

from __future__ import annotations

import re
import struct
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from PIL import Image

from photostyle.photo import exif, image_resources, isobmff, jpeg2000, png, xmp
from photostyle.photo.decoder_errors import TAG_ERRORS

JPEG_SEGMENT = 65_533
"""Maximum bytes of a segment of a JPEG file."""
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
EXTENDED_XMP_NAME = b"http://ns.adobe.com/xmp/extension/\0"
RESOURCES_NAME = b"Photoshop 3.0\0"
PNG_XMP = b"XML:com.adobe.xmp"
PNG_PROFILE = b"Raw profile type "
EXIF_PREFIX = b"Exif\0\0"

MAX_JPEG_XMP = JPEG_SEGMENT - len(XMP_NAME)

_CREDENTIALS_NOTE = "The content credentials (C2PA) hold only for the original and were dropped."
_MOVED_NOTE = "The maker notes lie in another place now, where programs may not read all of them."
_ICC_NAME = b"ICC_PROFILE\0"
_GAIN_MAP_NAME = b"urn:iso:std:iso:ts:21496:-1\0"
_SAMSUNG_MOTION = 0x0A30
# A line with a name, which may have several words; a number of bytes; these.
_PROFILE_TEXT = re.compile(rb"\s*[^\n]+\n\s*(\d+)\s+([0-9a-fA-F\s]*)")
_KEYWORDS = ("Title", "Author", "Description", "Copyright", "Comment")  # also written small
_MAX_TEXT = 1 << 26  # bytes of all texts of a PNG file, after decompression
_GIF_XMP = b"\x21\xff\x0bXMP DataXMP"
_GIF_XMP_END = b"\x01\xff\xfe\xfd"
# Segments of JPEG files without metadata: structure, colours, the quality, the second image.
_NO_METADATA = re.compile(rb"JFIF|JFXX|Adobe|Ducky|ICC_PROFILE|MPF|urn:iso:std:iso:ts:21496")
_METRE = 1
_CENTIMETRE = 2


@dataclass
class Blocks:
    """Metadata as stored in a file.

    exif       an EXIF block, which may begin with "Exif"
    xmp        an XMP packet
    extension  what a JPEG file holds of the packet in other segments
    resources  Photoshop image resources
    texts      keyword and text, as in PNG files
    dpi        horizontal and vertical resolution in pixels per inch, unless only EXIF has it
    notes      sentences on what was not read
    """

    exif: bytes = b""
    xmp: bytes = b""
    extension: bytes = b""
    resources: bytes = b""
    texts: list[tuple[str, str]] = field(default_factory=list)
    dpi: tuple[float, float] | None = None
    notes: list[str] = field(default_factory=list)


def find_blocks(image: Image.Image, stream: BinaryIO) -> Blocks:
    """The metadata of a file that Pillow has opened from a stream.

    Raises one of TAG_ERRORS if they are damaged.
    """
    format = image.format
    if format in ("JPEG", "MPO"):
        return _in_jpeg(image, stream)
    if format == "PNG":
        return _in_png(stream)
    if format == "TIFF":
        return find_tiff_blocks(stream)
    info = image.info
    found = Blocks(_bytes(info.get("exif")), _bytes(info.get("xmp")), dpi=info.get("dpi"))
    if format == "JXL" and stream.seek(0) == 0 and stream.read(2) != b"\xff\x0a":
        _add_jxl_boxes(found, stream)
    if format == "JPEG2000":
        _add_jp2_boxes(found, stream)
    if format == "GIF":
        found.xmp = _xmp_of_gif(stream)
    if format == "AVIF":  # Pillow encodes the block anew if the file has turned the photo
        with suppress(*TAG_ERRORS):
            found.exif = image._decoder.get_info()[4] or b""  # type: ignore[attr-defined]
    if comment := info.get("comment"):
        found.texts.append(("Comment", _text(comment)))
    if format in ("AVIF", "HEIF"):
        with suppress(ValueError, struct.error, IndexError):
            found.notes += _notes_on_other_images(isobmff.item_kinds(stream))
            if any(kind == b"mpvd" for kind, *_ in isobmff.outer_boxes(stream)):
                found.notes.append(xmp.MOTION_NOTE)
    return found


def _notes_on_other_images(kinds: set[bytes]) -> list[str]:
    """Notes on the images of an AVIF or HEIC file that belong to the photo, by their types."""
    gain_maps = {kind for kind in kinds if kind == b"tmap" or b"gainmap" in kind}
    alpha = {kind for kind in kinds if kind.endswith((b":alpha", b":auxid:1"))}
    others = {kind for kind in kinds if kind.startswith(b"urn:")} - gain_maps - alpha
    return [xmp.GAIN_MAP_NOTE] * bool(gain_maps) + [xmp.PARTS_NOTE] * bool(others)


def find_tiff_blocks(stream: BinaryIO) -> Blocks:
    """The metadata of a TIFF or raw file; ValueError if it has no TIFF structure."""
    block, others, moved = exif.read_tiff(stream)
    resources, iptc = others.get(exif.RESOURCES, b""), others.get(exif.IPTC, b"")
    if iptc[3:4] == b"\x1c" != iptc[:1]:  # stored as 32-bit numbers
        iptc = struct.pack(f"<{len(iptc) // 4}I", *struct.unpack(f">{len(iptc) // 4}I", iptc))
    if not image_resources.find(resources, image_resources.IPTC):
        resources += image_resources.of_iptc(iptc)
    notes = [_MOVED_NOTE] * moved
    return Blocks(block.tobytes(), others.get(exif.XMP, b""), resources=resources, notes=notes)


def _in_jpeg(image: Image.Image, stream: BinaryIO) -> Blocks:
    found, info = Blocks(), image.info
    parts: dict[bytes, dict[int, bytes]] = {}
    others = _trailers(stream)
    segments: list[tuple[str, bytes]] = image.applist  # type: ignore[attr-defined]
    for marker, data in segments:
        if marker == "APP1" and data.startswith(EXIF_PREFIX[:5]):
            found.exif += data[6:]
        elif marker == "APP1" and data.startswith(XMP_NAME):
            found.xmp = data[len(XMP_NAME) :]
        elif marker == "APP1" and data.startswith(EXTENDED_XMP_NAME) and len(data) > 75:
            digest, rest = data[35:67], data[67:]
            (offset,) = struct.unpack_from(">I", rest, 4)
            parts.setdefault(digest, {})[offset] = rest[8:]
        elif marker == "APP13" and data.startswith(RESOURCES_NAME):
            found.resources += data[len(RESOURCES_NAME) :]
        elif marker == "APP2" and data.startswith(_GAIN_MAP_NAME):
            found.notes.append(xmp.GAIN_MAP_NOTE)
        elif marker == "APP11" and b"jumb" in data[:32] and b"c2pa" in data:
            found.notes.append(_CREDENTIALS_NOTE)
        elif marker == "COM":
            found.texts.append(("Comment", _text(data)))
        elif data and not _NO_METADATA.match(data):
            others.append(_segment_name(marker, data))
    if others:
        names = ", ".join(dict.fromkeys(others))
        found.notes.append(f"Data of other programs in the JPEG file ({names}) was dropped.")
    for digest, pieces in parts.items():
        if digest in found.xmp:
            found.extension = b"".join(pieces[offset] for offset in sorted(pieces))
    if any(d.startswith(_ICC_NAME) for _, d in segments) and not info.get("icc_profile"):
        found.notes.append("The colour profile is damaged and was dropped.")
    if info.get("jfif_unit"):
        scale = 2.54 if info["jfif_unit"] == _CENTIMETRE else 1
        x, y = info["jfif_density"]
        found.dpi = x * scale, y * scale
    if _has_samsung_motion(stream):
        found.notes.append(xmp.MOTION_NOTE)
    return found


def _segment_name(marker: str, data: bytes) -> str:
    """What a segment calls itself; of CIFF (Canon) that follows the byte order and a length."""
    if data[6:14] == b"HEAPJPGM":
        return "CIFF"
    name = re.match(rb"[ -~]{3,32}", data)
    return name[0].decode().strip() if name else marker


def _trailers(stream: BinaryIO) -> list[str]:
    """Names of metadata after the end of a JPEG file."""
    length = stream.seek(0, 2)
    stream.seek(max(0, length - 12))
    end = stream.read(12)
    names = {b"AXS!": "AFCP", b"AXS*": "AFCP"}, {b"cbipcbbl": "PhotoMechanic"}
    found = [names[0].get(end[:4]), names[1].get(end[-8:])]
    return [name for name in found if name]


def _has_samsung_motion(stream: BinaryIO) -> bool:
    """Whether a JPEG file ends with a directory of Samsung that names a motion clip."""
    length = stream.seek(0, 2)
    stream.seek(max(0, length - 8))
    size, mark = struct.unpack("<I4s", stream.read(8).rjust(8, b"\0"))
    if mark != b"SEFT" or not 12 <= size <= length - 8:
        return False
    stream.seek(length - 8 - size)
    directory = stream.read(size)
    kinds = [kind for _, kind, _, _ in struct.iter_unpack("<HHII", directory[12 : size // 12 * 12])]
    return directory.startswith(b"SEFH") and _SAMSUNG_MOTION in kinds


def _in_png(stream: BinaryIO) -> Blocks:
    found, room = Blocks(), _MAX_TEXT
    for kind, data in png.chunks(stream, pixels=False):
        if kind == b"eXIf":
            found.exif = data
        elif kind == b"pHYs" and len(data) == 9 and data[8] == _METRE:
            x, y = struct.unpack_from(">II", data)
            found.dpi = _per_inch(x), _per_inch(y)
        elif kind == b"caBX":
            found.notes.append(_CREDENTIALS_NOTE)
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            try:
                keyword, text = _png_text(kind, data, room)
                room -= len(text)
                _add_png_text(found, keyword, text, kind == b"iTXt")
            except (zlib.error, ValueError):
                found.notes.append("A damaged text of the PNG file was dropped.")
    return found


def _per_inch(per_metre: int) -> float:
    """Pixels per inch; the whole number that was meant, if there is one."""
    dpi = per_metre * 0.0254
    return float(round(dpi)) if round(round(dpi) / 0.0254) == per_metre else dpi


def _png_text(kind: bytes, data: bytes, room: int) -> tuple[bytes, bytes]:
    """Keyword and text; ValueError if the text has more than ``room`` bytes."""
    keyword, _, text = data.partition(b"\0")
    compressed = kind == b"zTXt"
    if kind == b"iTXt":
        compressed = text[:1] == b"\1"
        text = text[2:].split(b"\0", 2)[-1]
    elif compressed:
        text = text[1:]
    if compressed:
        inflate = zlib.decompressobj()
        text = inflate.decompress(text, max(1, room))
        if not inflate.eof:
            raise ValueError("a text that is too long or cut off")
    return keyword, text


def _add_png_text(found: Blocks, keyword: bytes, text: bytes, utf8: bool) -> None:
    kind = keyword.removeprefix(PNG_PROFILE).lower()
    if keyword == PNG_XMP:
        found.xmp = text
    elif kind == keyword.lower():
        decoded = text.decode("utf-8" if utf8 else "latin-1", "replace")
        name = keyword.decode("latin-1")
        found.texts.append((name.title() if name.title() in _KEYWORDS else name, decoded))
    elif match := _PROFILE_TEXT.match(text):
        profile = bytes.fromhex(match[2].decode())[: int(match[1])]
        if kind in (b"exif", b"app1") and not profile.startswith(XMP_NAME):
            found.exif = found.exif or profile
        elif kind in (b"xmp", b"app1"):
            found.xmp = found.xmp or profile.removeprefix(XMP_NAME)
        elif kind in (b"iptc", b"8bim"):
            profile = profile.removeprefix(RESOURCES_NAME)
            is_block = profile.startswith(b"8BIM")
            found.resources += profile if is_block else image_resources.of_iptc(profile)
    elif kind in (b"exif", b"app1", b"xmp", b"iptc", b"8bim"):
        raise ValueError("a profile that is damaged")


def in_resources(resources: bytes) -> Blocks:
    """The metadata of a Photoshop file."""
    found = Blocks(
        image_resources.find(resources, image_resources.EXIF),
        image_resources.find(resources, image_resources.XMP),
        resources=resources,
    )
    resolution = image_resources.find(resources, image_resources.RESOLUTION)
    if len(resolution) >= 12:  # 16.16 fixed point; always per inch, the units are for display
        x, y = struct.unpack(">I4xI", resolution[:12])
        found.dpi = x / 65536, y / 65536
    return found


def _add_jxl_boxes(found: Blocks, stream: BinaryIO) -> None:
    """Add EXIF and XMP of JPEG XL, whose boxes may be compressed with Brotli."""
    for kind, _, length in isobmff.outer_boxes(stream):
        if kind == b"jhgm":
            found.notes.append(xmp.GAIN_MAP_NOTE)
        if kind not in (b"Exif", b"xml ", b"brob"):
            continue
        data = stream.read(length)
        if kind == b"brob":
            from imagecodecs import brotli_decode

            kind = data[:4]
            data = bytes(brotli_decode(data[4:])) if kind in (b"Exif", b"xml ") else b""
        if kind == b"Exif":
            found.exif = data
        elif kind == b"xml ":
            found.xmp = data


def _add_jp2_boxes(found: Blocks, stream: BinaryIO) -> None:
    """Add EXIF, XMP and IPTC of JPEG 2000."""
    boxes = jpeg2000.metadata(stream)
    found.exif, found.xmp = boxes.get("exif", b""), boxes.get("xmp", b"")
    found.resources = image_resources.of_iptc(boxes.get("iptc", b""))
    if "xml" in boxes:
        found.notes.append("XML of the JPEG 2000 file that is not XMP was dropped.")


def _xmp_of_gif(stream: BinaryIO) -> bytes:
    """The packet itself forms the sub-blocks, with the help of what follows it."""
    stream.seek(0)
    data = stream.read()
    start = data.find(_GIF_XMP) + len(_GIF_XMP)
    end = data.find(_GIF_XMP_END, start)
    return data[start:end] if start >= len(_GIF_XMP) and end >= 0 else b""


def _bytes(value: Any) -> bytes:
    return value.encode() if isinstance(value, str) else bytes(value or b"")


def _text(data: Any) -> str:
    if isinstance(data, str):
        return data
    try:
        return bytes(data).rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return bytes(data).decode("latin-1")

"""XMP packets, edited in place: what is not changed stays byte for byte.

Sources: ISO 16684-1 (XMP); XMP specification part 3 (Adobe, 2020), section 1.1.3.1, for packets
that are longer than a segment of a JPEG file.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import NamedTuple
from xml.parsers import expat
from xml.sax.saxutils import escape

ORIENTATION = "tiff:Orientation"
GAIN_MAP_NOTE = "The HDR gain map does not fit the new colours and was dropped."
MOTION_NOTE = "The motion clip in the file was dropped."
_EXTENSION_NOTE = "A part of the XMP metadata is damaged or missing and was dropped."
PARTS_NOTE = "Other pictures in the file, such as a depth map, were dropped."

_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_NAMESPACES = {
    "rdf": _RDF,
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpNote": "http://ns.adobe.com/xmp/note/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "hdrgm": "http://ns.adobe.com/hdr-gain-map/1.0/",
    "HDRGainMap": "http://ns.apple.com/HDRGainMap/1.0/",
    "HDRToneMap": "http://ns.apple.com/HDRToneMap/1.0/",
    "apdi": "http://ns.apple.com/pixeldatainfo/1.0/",
    "Container": "http://ns.google.com/photos/1.0/container/",
    "Item": "http://ns.google.com/photos/1.0/container/item/",
    "GCamera": "http://ns.google.com/photos/1.0/camera/",
    "GImage": "http://ns.google.com/photos/1.0/image/",
    "MiCamera": "http://ns.xiaomi.com/photos/1.0/camera/",
    "OpCamera": "http://ns.oplus.com/photos/1.0/camera/",
}
_USUAL_PREFIXES = {uri: prefix for prefix, uri in _NAMESPACES.items()}

_START_TAG = re.compile(
    rb"<([^\s/<>]+)((?:\s+[^\s=<>]+\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*/?>", re.DOTALL
)
_ATTRIBUTE = re.compile(rb"\s+([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", re.DOTALL)
_START_OF_RDF = re.compile(rb"<[^\s<>:/]+:RDF\b")
_END_OF_RDF = re.compile(rb"</[^\s<>:]+:RDF\s*>")
_DESCRIPTION = re.compile(rb"<[^\s<>:/]+:Description\b")
_NOT_IN_XML = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_END_OF_PACKET = b"<?xpacket end"

# What these name is not in the written file, or shows the photo as it was.
_OLD_PICTURE = "xmp:Thumbnails|GImage:.*"
_GAIN_MAP = "hdrgm:.*|HDRGainMap:.*|HDRToneMap:.*|apdi:.*"
_MOTION = r"\w+:MotionPhoto\w*|\w+:MicroVideo\w*|OpCamera:OLivePhotoVersion|OpCamera:VideoLength"
_PARTS = "Container:.*|Item:.*|MiCamera:XMPMeta"
_EXTENDED = "xmpNote:HasExtendedXMP"  # `merged` removes it
_STALE = re.compile("|".join((ORIENTATION, _EXTENDED, _OLD_PICTURE, _GAIN_MAP, _MOTION, _PARTS)))
_NOTES = {
    _EXTENDED: _EXTENSION_NOTE,
    _GAIN_MAP: GAIN_MAP_NOTE,
    _MOTION: MOTION_NOTE,
    _PARTS: PARTS_NOTE,
}

_PACKET = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{}">{}</rdf:RDF></x:xmpmeta>'
    '<?xpacket end="w"?>'
)


class Property(NamedTuple):
    """A property in a packet, stored as an attribute or an element.

    name   with the usual prefix of its namespace, like "dc:creator"
    value  its text; empty for structures
    top    whether it is a property of the photo, not a field of another property
    span   where it begins and ends
    raw    its name in the packet
    """

    name: str
    value: str
    top: bool
    span: tuple[int, int]
    raw: str


def utf8(packet: bytes) -> bytes:
    """A packet in UTF-8 without zeros at its end; packets may be in UTF-16."""
    if packet.startswith((b"\xfe\xff", b"\xff\xfe")):
        return packet.decode("utf-16", "replace").encode()
    if b"\0" in packet[:2]:
        order = "be" if packet.startswith(b"\0") else "le"
        return packet.decode(f"utf-16-{order}", "replace").encode()
    return packet.removeprefix(b"\xef\xbb\xbf").rstrip(b"\0")


def properties(packet: bytes) -> dict[str, str]:
    """The texts of the photo's properties by name, like "tiff:Orientation"; empty for structures.

    A packet that is not well-formed has none.
    """
    with suppress(ValueError):
        return {found.name: found.value for found in _parsed(packet) if found.top}
    return {}


def edited(packet: bytes, change: Callable[[Property], str | None]) -> bytes:
    """A packet with changed properties: "" removes one, None keeps it, other texts replace it.

    Raises ValueError if the packet is not well-formed.
    """
    changes = [(p, new) for p in _parsed(packet) if (new := change(p)) is not None]
    position = len(packet)
    # Elements from the end; what is inside of a changed element goes with it.
    for found, new in sorted(changes, key=lambda pair: (-pair[0].span[1], pair[0].span[0])):
        start, end = found.span
        if end > position:
            continue
        position = start
        text = ""
        if new and packet[start : start + 1] == b"<":
            text = f"<{found.raw}>{escape(new)}</{found.raw}>"
        elif new:
            text = f' {found.raw}="{escape(new)}"'
        packet = packet[:start] + text.encode() + packet[end:]
    return packet


def still_true(packet: bytes) -> tuple[bytes, list[str]]:
    """A packet without what is only in the file that was read, upright, and notes on what is gone.

    Thumbnails, gain maps, motion clips and other pictures are only in the file that was read.

    Raises ValueError if a packet that names such things is not well-formed.
    """
    try:
        found = [p for p in _parsed(packet) if _STALE.fullmatch(p.name)]
    except ValueError:
        if re.search(_STALE.pattern.replace(":.*", ":"), packet.decode("latin-1")):
            raise
        return packet, []
    notes = [_NOTES[kind] for kind in _NOTES if any(re.fullmatch(kind, p.name) for p in found)]
    if {GAIN_MAP_NOTE, MOTION_NOTE} & set(notes) and PARTS_NOTE in notes:
        notes.remove(PARTS_NOTE)  # the parts are what the other note says
    changes = {p: "1" if p.name == ORIENTATION and p.value else "" for p in found}
    return edited(packet, changes.get), notes


def with_properties(packet: bytes, added: Mapping[str, str | list[str]]) -> bytes:
    """A packet with more properties by name, like "dc:creator"; a new one if it is empty.

    Raises ValueError if there is no place for them.
    """
    if not added:
        return packet
    prefixes = sorted({name.partition(":")[0] for name in added} | {"rdf"})
    declared = " ".join(f'xmlns:{prefix}="{_NAMESPACES[prefix]}"' for prefix in prefixes)
    body = "".join(_element(name, value) for name, value in added.items())
    description = f'<rdf:Description rdf:about="" {declared}>{body}</rdf:Description>'
    if not packet:
        return _PACKET.format(_RDF, description).encode()
    return _inserted(packet, description.encode())


def merged(packet: bytes, extension: bytes) -> bytes:
    """A packet together with its extension, which is in other segments of a JPEG file.

    Raises ValueError if the extension holds no properties.
    """
    extension = utf8(extension)
    start, ends = _START_OF_RDF.search(extension), list(_END_OF_RDF.finditer(extension))
    tag = start and _START_TAG.match(extension, start.start())
    if not tag or not ends:
        raise ValueError("an XMP extension without properties")
    outer = _declarations(extension[: tag.end()])
    inner = extension[tag.end() : ends[-1].start()]

    def declare(found: re.Match[bytes]) -> bytes:
        whole = _START_TAG.match(inner, found.start())
        own = _declarations(whole[0]) if whole else {}
        return found[0] + _attributes({k: v for k, v in outer.items() if k not in own})

    packet = edited(packet, lambda p: "" if p.name == _EXTENDED else None)
    return _inserted(packet, _DESCRIPTION.sub(declare, inner))


def split(packet: bytes, limit: int) -> tuple[bytes, bytes, bytes]:
    """A packet of at most ``limit`` bytes, the rest as its extension, and the extension's digest.

    The last two are empty if the packet is short enough. Raises ValueError if it cannot be split.
    """
    if len(packet) > limit:
        used, end, rest = packet.rpartition(_END_OF_PACKET)
        packet = used.rstrip(b"\0 \t\r\n") + end + rest
    if len(packet) <= limit:
        return packet, b"", b""
    moved: set[Property] = set()
    size = len(packet) + 300  # with the reference to the extension
    for item in sorted((p for p in _parsed(packet) if p.top), key=lambda p: p.span[0] - p.span[1]):
        if size > limit:
            moved.add(item)
            size -= item.span[1] - item.span[0]
    if size > limit:
        raise ValueError("XMP that cannot be split")
    texts = [packet[slice(*p.span)] for p in sorted(moved, key=lambda p: p.span)]
    extension = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="'
        + _RDF.encode()
        + b'"><rdf:Description rdf:about=""'
        + _attributes({k: v for k, v in _declarations(packet).items() if k not in (b"x", b"rdf")})
        + b"".join(text for text in texts if not text.startswith(b"<"))
        + b">"
        + b"".join(text for text in texts if text.startswith(b"<"))
        + b"</rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    digest = hashlib.md5(extension, usedforsecurity=False).hexdigest().upper().encode()
    reference = (
        f'<rdf:Description rdf:about="" xmlns:rdf="{_RDF}" xmlns:xmpNote='
        f'"{_NAMESPACES["xmpNote"]}" {_EXTENDED}="{digest.decode()}"/>'
    )
    short = edited(packet, lambda p: "" if p in moved else None)
    return _inserted(short, reference.encode()), extension, digest


def _parsed(packet: bytes) -> list[Property]:
    """The properties of a packet; ValueError if it is not well-formed."""
    prefixes: dict[str, str] = {}
    found: list[Property] = []
    open_elements: list[tuple[str, str, int, list[str]]] = []

    def usual(name: str) -> str:
        prefix, colon, local = name.partition(":")
        prefix = _USUAL_PREFIXES.get(prefixes.get(prefix, ""), prefix)
        return f"{prefix}{colon}{local}"

    def parents() -> list[str]:
        return [name for name, *_ in open_elements[-2:]]

    def start(name: str, attributes: dict[str, str]) -> None:
        at = parser.CurrentByteIndex
        tag = _START_TAG.match(packet, at)
        if not tag:
            raise ValueError("XMP with an invalid tag")
        prefixes.update({k[6:]: v for k, v in attributes.items() if k.startswith("xmlns:")})
        top = parents()[-1:] == ["rdf:RDF"]
        for match in _ATTRIBUTE.finditer(packet, tag.start(2), tag.end(2)):
            raw = match[1].decode()
            if not usual(raw).startswith(("xmlns", "xml:", "rdf:", "x:")):
                found.append(Property(usual(raw), attributes[raw], top, match.span(), raw))
        open_elements.append((usual(name), name, at, []))

    def end(_: str) -> None:
        at = parser.CurrentByteIndex
        name, raw, start, texts = open_elements.pop()
        tag = _START_TAG.match(packet, start)
        stop = packet.index(b">", at) + 1 if packet.startswith(b"</", at) else 0
        if tag and not name.startswith(("rdf:", "x:")):
            span = start, stop or tag.end()
            top = parents()[:1] == ["rdf:RDF"] and len(open_elements) > 1
            found.append(Property(name, "".join(texts).strip(), top, span, raw))

    if b"<!DOCTYPE" in packet:
        raise ValueError("XMP with a document type")
    parser = expat.ParserCreate("UTF-8")
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = lambda text: open_elements[-1][3].append(text)
    try:
        parser.Parse(packet, True)
    except (expat.ExpatError, UnicodeError) as error:
        raise ValueError(f"XMP that is not well-formed: {error}") from error
    return found


def _element(name: str, value: str | list[str]) -> str:
    if isinstance(value, list):
        kind = "Seq" if name == "dc:creator" else "Bag"
        items = "".join(f"<rdf:li>{_escaped(item)}</rdf:li>" for item in value)
        return f"<{name}><rdf:{kind}>{items}</rdf:{kind}></{name}>"
    text = _escaped(value)
    if name.startswith("dc:") or name == "exif:UserComment":
        text = f'<rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt>'
    return f"<{name}>{text}</{name}>"


def _escaped(text: str) -> str:
    return escape(_NOT_IN_XML.sub("", text))


def _inserted(packet: bytes, descriptions: bytes) -> bytes:
    """A packet with more descriptions of the photo."""
    ends = list(_END_OF_RDF.finditer(packet))
    if not ends:
        raise ValueError("XMP without a place for more properties")
    return packet[: ends[-1].start()] + descriptions + packet[ends[-1].start() :]


def _declarations(text: bytes) -> dict[bytes, bytes]:
    """The namespaces by prefix that a text declares."""
    found = re.findall(rb"\sxmlns:([^\s=]+)\s*=\s*(?:\"([^\"]*)\"|'([^']*)')", text)
    return {prefix: double or single for prefix, double, single in found}


def _attributes(declarations: Mapping[bytes, bytes]) -> bytes:
    return b"".join(b' xmlns:%s="%s"' % pair for pair in declarations.items())

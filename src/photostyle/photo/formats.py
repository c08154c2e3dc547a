"""The formats that photos are read and written in, and what each of them can hold."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from photostyle.errors import PhotostyleError
from photostyle.photo.photo import Photo

# Plugins that make themselves known to Pillow, of the extra photostyle[formats].
with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
with suppress(ImportError):
    import pillow_jxl  # noqa: F401

Image.init()

# Opening an EPS file would run Ghostscript on it.
READABLE = [name for name in Image.OPEN if name != "EPS"]
"""The formats that Pillow may read."""


class Format(NamedTuple):
    """What a format can hold, and how it is written.

    quality: the default on the scale 1 to 100, None for formats that lose nothing or have none.
    options: of the encoder of Pillow.
    """

    suffix: str
    alpha: bool = False
    depth: int = 8
    profile: bool = True
    metadata: bool = True
    animation: bool = False
    quality: int | None = None
    options: Mapping[str, Any] = {}


FORMATS = {
    name: format
    for name, format in {
        "JPEG": Format(".jpg", quality=95),
        "PNG": Format(".png", alpha=True, depth=16, animation=True),
        "WEBP": Format(
            ".webp",
            alpha=True,
            animation=True,
            quality=95,
            options={"use_sharp_yuv": True, "exact": True},
        ),
        "TIFF": Format(".tif", alpha=True, depth=16),
        "AVIF": Format(
            ".avif", alpha=True, animation=True, quality=90, options={"subsampling": "4:4:4"}
        ),
        "HEIF": Format(".heic", alpha=True, quality=90, options={"chroma": 444}),
        "JXL": Format(".jxl", alpha=True, profile=False, quality=95),
        "GIF": Format(".gif", alpha=True, profile=False, metadata=False, animation=True),
        "BMP": Format(".bmp", profile=False, metadata=False),
    }.items()
    if name in Image.SAVE
}
"""By the names that Pillow has for them."""


JPEG_SEGMENT = 65_533
"""Bytes that one segment of a JPEG file holds: all of EXIF, and all of XMP with its name."""
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"


def format_of(target: Path) -> str:
    """The format that the extension of a file name stands for.

    Raises PhotostyleError if photos cannot be written in it.
    """
    format = Image.EXTENSION.get(target.suffix.lower(), "")
    if format not in FORMATS:
        known = ", ".join(format.suffix for format in FORMATS.values())
        raise PhotostyleError(
            f"{str(target)!r} does not end in an extension that can be written: {known}."
        )
    return format


def check_depth(format: str, depth: str) -> None:
    """Raises PhotostyleError if a format cannot hold a depth: "8", "16" or "auto"."""
    if depth == "16" and FORMATS[format].depth < 16:
        deep = " and ".join(name for name, holds in FORMATS.items() if holds.depth == 16)
        raise PhotostyleError(f"{format} holds 8 bits per channel; {deep} hold 16.")


def suffix_for(photo: Photo, wanted: str = "") -> str:
    """An extension whose format keeps what the photo has.

    The wanted one if it can be written, else that of the format the photo came in, else .jpg
    or, with transparency, .png. GIF, with its 256 colours, is for animations alone.
    """
    own = FORMATS[photo.format].suffix if photo.format in FORMATS else ""
    for suffix in (wanted, own, ".jpg"):
        name = Image.EXTENSION.get(suffix.lower(), "")
        format = FORMATS.get(name)
        if (
            format
            and (format.alpha or photo.alpha is None)
            and (format.animation if photo.animation else name != "GIF")
        ):
            return suffix
    return ".png"


def unsupported_features(photo: Photo, format: str) -> list[str]:
    """Sentences on what a format cannot hold of a photo."""
    holds, found = FORMATS[format], []
    if photo.animation and not holds.animation:
        found.append(f"{format} holds no animation: the first frame is written.")
    if photo.alpha is not None and not holds.alpha:
        found.append(f"{format} holds no transparency: the photo is laid on white.")
    if (photo.metadata.exif or photo.metadata.xmp) and not holds.metadata:
        found.append(f"{format} holds no metadata: they are left out.")
    long = max(len(photo.metadata.exif), len(XMP_NAME) + len(photo.metadata.xmp)) > JPEG_SEGMENT
    if format == "JPEG" and long:
        found.append("JPEG holds 64 kB of metadata: what is longer is left out.")
    return found

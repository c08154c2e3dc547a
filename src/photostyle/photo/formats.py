"""The formats that can be read and written, and what each of them can store."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import PurePath
from typing import Any, NamedTuple

from PIL import Image

from photostyle.errors import PhotostyleError
from photostyle.photo import color
from photostyle.photo.photo import Photo

# Plugins for Pillow, installed by the extra photostyle[formats].
with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()
with suppress(ImportError):
    import pillow_jxl  # noqa: F401

Image.init()

# Pillow runs Ghostscript on EPS files.
READABLE = [name for name in Image.OPEN if name != "EPS"]
"""The formats that Pillow reads."""


class Format(NamedTuple):
    """What a format can store, and how it is written.

    suffix     extension of new files
    alpha      whether it stores transparency
    depth      maximum bits per channel; it also stores 8
    profile    whether it stores an ICC profile
    metadata   whether it stores EXIF or XMP
    animation  whether it stores several frames
    quality    default on a scale of 1 to 100; None for lossless formats
    options    arguments of Pillow's encoder
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
            ".avif",
            alpha=True,
            depth=10,
            animation=True,
            quality=90,
            options={"subsampling": "4:4:4"},
        ),
        "HEIF": Format(".heic", alpha=True, depth=10, quality=90, options={"chroma": 444}),
        "JXL": Format(".jxl", alpha=True, depth=16, profile=False, quality=95),
        "GIF": Format(".gif", alpha=True, profile=False, metadata=False, animation=True),
        "BMP": Format(".bmp", profile=False, metadata=False),
    }.items()
    if name in Image.SAVE
}
"""The formats that can be written, by Pillow's name for them."""


def format_of(target: PurePath) -> str:
    """The format of a file name's extension: a key of FORMATS.

    Raises PhotostyleError if photos cannot be written in that format.
    """
    format = Image.EXTENSION.get(target.suffix.lower(), "")
    if format not in FORMATS:
        known = ", ".join(format.suffix for format in FORMATS.values())
        raise PhotostyleError(
            f"Photos cannot be written as {target.name!r}; use one of the extensions {known}."
        )
    return format


def check_depth(format: str, depth: str) -> None:
    """Raise PhotostyleError if a format cannot store a depth: "8", "10", "16" or "auto"."""
    if depth in ("8", "auto") or FORMATS[format].depth == int(depth):
        return
    most = FORMATS[format].depth
    known = "only 8" if most == 8 else f"8 or {most}"
    others = " or ".join(name for name, other in FORMATS.items() if other.depth == int(depth))
    raise PhotostyleError(
        f"{format} stores {known} bits per channel"
        + (f"; use {others} for {depth}." if others else ".")
    )


def suffix_for(photo: Photo, wanted: str = "") -> str:
    """An extension whose format can store the transparency and animation of a photo.

    It is the first suitable one of ``wanted``, the extension of the format in which the photo was
    read, .jpg and .png. GIF, with its 256 colours, is chosen for animations only.
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
    """One sentence for each feature of a photo that a format cannot store."""
    target, sentences = FORMATS[format], []
    if photo.animation and not target.animation:
        sentences.append(f"{format} stores no animation; only the first frame was written.")
    if not target.profile and not color.are_equivalent(photo.original, None):
        sentences.append(f"{format} stores no colour profile; colours were converted to sRGB.")
    if photo.animation and target.animation and photo.depth > 8:
        sentences.append("Animations are written with 8 bits per channel; the photo has more.")
    if photo.alpha is not None and not target.alpha:
        sentences.append(f"{format} stores no transparency; the background became white.")
    metadata = photo.metadata
    if not target.metadata:
        texts = [text for text in metadata.texts if format != "GIF" or text[0] != "Comment"]
        if metadata.exif or metadata.xmp or metadata.resources or texts:
            sentences.append(f"{format} stores no metadata; it was left out.")
    else:
        sentences += metadata.left_out(format)
    if format == "JPEG":
        sentences += metadata.for_file(format, photo.size, True).for_jpeg()[1]
    return sentences

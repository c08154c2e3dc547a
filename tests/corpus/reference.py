"""Photos as other programs display them: libvips and ImageMagick."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np
import numpy.typing as npt
import pyvips
from PIL import ImageCms

Values = npt.NDArray[np.uint16]

_PHOTOS_OF_VIPS = {"gifload", "heifload", "jpegload", "pngload", "tiffload", "webpload"}
# ImageMagick also renders documents, text and drawings, which are no photos.
_PHOTOS_OF_MAGICK = {
    *("AVIF", "BMP", "BMP2", "BMP3", "CUR", "DDS", "EXR", "FITS", "GIF", "HDR", "HEIC", "ICO"),
    *("J2K", "JP2", "JPC", "JPEG", "JXL", "PAM", "PBM", "PCX", "PFM", "PGM", "PNG", "PNM", "PPM"),
    *("PSB", "PSD", "QOI", "SGI", "SUN", "TGA", "TIFF", "WEBP", "XBM", "XCF", "XPM"),
}
_ANIMATED = {"gifload", "webpload"}


@dataclass(frozen=True)
class Display:
    """What a program shows of a photo.

    values  upright sRGB and alpha, (H, W, 4), colours not multiplied; of several images, the first
    frames  number of frames of an animation; None if the program does not say
    kind    the format, and how the file stores its values
    exact   whether programs agree on the values; they enlarge the colours of HEIF in different ways
    """

    values: Values
    frames: int | None
    kind: str
    exact: bool


def by_vips(path: Path, *, lenient: bool = False) -> Display | None:
    """The photo as libvips shows it; None if it cannot, or without ``lenient`` finds a fault."""
    try:
        loader = pyvips.Image.new_from_file(str(path)).get("vips-loader")
        if loader not in _PHOTOS_OF_VIPS:
            return None
        # A TIFF file with an unknown compression is black with a warning.
        strict = "warning" if loader == "tiffload" else "error"
        image = pyvips.Image.new_from_file(str(path), fail_on="none" if lenient else strict)
        values = _srgb_of_vips(image.autorot())
    except (pyvips.Error, ValueError):
        return None
    frames = _field(image, "n-pages", 1) if loader in _ANIMATED else None
    profile = " with profile" if _field(image, "icc-profile-data", b"") else ""
    kind = f"{loader.removesuffix('load')} {image.interpretation} {image.bands} x {image.format}"
    return Display(values, frames, kind + profile, exact=loader != "heifload")


def _srgb_of_vips(image: pyvips.Image) -> Values:
    """Raises ValueError for what libvips shows otherwise than as a photo: integers with a sign and
    the mosaics of raw files."""
    if image.format not in ("uchar", "ushort", "float") and image.interpretation != "labs":
        raise ValueError(image.format)
    if image.interpretation == "multiband":
        raise ValueError("a raw photo")
    colors, alpha = image, None
    if image.hasalpha():
        colors, alpha = image[: image.bands - 1], image[image.bands - 1].numpy()
    if _field(image, "icc-profile-data", b""):
        # Compensates for the black point, as programs that display photos do.
        colors = colors.icc_transform(
            "srgb", embedded=True, intent="relative", black_point_compensation=True, depth=16
        )
    elif image.interpretation == "cmyk":  # PDF 32000-1, 10.3.4
        light = 1 - colors.numpy().astype(np.float32) / _white(colors.numpy())
        return _with_alpha(light[..., :3] * light[..., 3:], alpha)
    elif image.interpretation not in ("b-w", "grey16", "srgb", "rgb16"):
        colors = colors.colourspace("rgb16")
    values = colors.numpy()
    return _with_alpha(values.astype(np.float32) / _white(values), alpha)


def by_magick(path: Path, *, lenient: bool = False) -> Display | None:
    """The same with ImageMagick, if it is installed."""
    command = _magick()
    if not command:
        return None
    warnings = [] if lenient else ["-regard-warnings"]
    try:
        listed = _output([*command("identify"), "-ping", "-format", _LISTED, str(path)])
        images = [line.split(maxsplit=5) for line in listed.decode(errors="replace").splitlines()]
        if not images or images[0][0] not in _PHOTOS_OF_MAGICK:
            return None
        # An icon is shown by its largest image.
        sizes = [int(words[1]) * int(words[2]) for words in images]
        number = sizes.index(max(sizes)) if images[0][0] in ("ICO", "CUR") else 0
        has_profile = len(images[0]) == 6
        shown = [f"{path}[{number}]", "-coalesce", "-auto-orient", "+repage"]
        shown += [*_FROM_PROFILE, _srgb_file()] if has_profile else ["-colorspace", "sRGB"]
        data = _output([*command("convert"), *warnings, *shown, *_AS_VALUES])
        size, _, pixels = data.partition(b"\n")
        width, height = (int(side) for side in size.split())
        values = np.frombuffer(pixels, "<u2").reshape(height, width, 4)
    except (subprocess.CalledProcessError, ValueError):
        return None
    kind = " ".join([images[0][0].lower(), *images[0][3:5]]) + " with profile" * has_profile
    return Display(values, None, kind, exact=images[0][0] not in ("AVIF", "HEIC"))


_LISTED = "%m %w %h %[channels] %z-bit %[profile:icc]\n"
_FROM_PROFILE = ["-intent", "relative", "-black-point-compensation", "-profile"]
_AS_VALUES = [
    *("-format", "%w %h\n", "-write", "info:-"),
    *("-depth", "16", "-endian", "LSB", "rgba:-"),
]

READERS: tuple[Callable[..., Display | None], ...] = (by_vips, by_magick)


@cache
def _magick() -> Callable[[str], list[str]] | None:
    """The words of a command of ImageMagick 7 or 6; None if it is not installed."""
    if shutil.which("magick"):
        return lambda name: ["magick"] if name == "convert" else ["magick", name]
    return (lambda name: [name]) if shutil.which("identify") else None


@cache
def _srgb_file() -> str:
    path = Path(gettempdir(), "photostyle-srgb.icc")
    path.write_bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    return str(path)


def _output(command: list[str]) -> bytes:
    return subprocess.run(command, check=True, capture_output=True).stdout


def _white(values: npt.NDArray[Any]) -> float:
    return float(np.iinfo(values.dtype).max) if values.dtype.kind == "u" else 1.0


def _with_alpha(colors: npt.NDArray[np.float32], alpha: npt.NDArray[Any] | None) -> Values:
    """sRGB in 0..1, (H, W), (H, W, 1) or (H, W, 3), and alpha (H, W), as 16-bit RGBA."""
    height, width = colors.shape[:2]
    result = np.full((height, width, 4), 65535, np.uint16)
    result[..., :3] = (np.atleast_3d(colors).clip(0, 1) * 65535).round()
    if alpha is not None:
        opacity = alpha.reshape(height, width).astype(np.float32) / _white(alpha)
        result[..., 3] = (opacity.clip(0, 1) * 65535).round()
    return result


def _field(image: pyvips.Image, name: str, default: Any) -> Any:
    return image.get(name) if image.get_typeof(name) else default

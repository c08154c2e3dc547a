"""Photos in files and in memory: upright, colour-managed, complete, never half written."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageCms, ImageOps, UnidentifiedImageError

from photostyle.errors import PhotostyleError
from photostyle.files import new_file

with suppress(ImportError):
    import pillow_heif

    pillow_heif.register_heif_opener()

Image.init()

# Pillow's own limit of 179 megapixels is below what stitched photos have.
MAX_PIXELS = 500_000_000
Image.MAX_IMAGE_PIXELS = MAX_PIXELS

# Opening an EPS file would run Ghostscript on it.
_READABLE = [name for name in Image.OPEN if name != "EPS"]


class _Format(NamedTuple):
    suffix: str
    alpha: bool
    options: dict[str, Any]


_FORMATS = {
    name: format
    for name, format in {
        "JPEG": _Format(".jpg", False, {"quality": 95, "subsampling": 0}),
        "PNG": _Format(".png", True, {}),
        "WEBP": _Format(".webp", True, {"quality": 95, "use_sharp_yuv": True}),
        "TIFF": _Format(".tif", True, {}),
        "AVIF": _Format(".avif", True, {"quality": 90, "subsampling": "4:4:4"}),
        "HEIF": _Format(".heic", True, {"quality": 90, "chroma": 444}),
        "BMP": _Format(".bmp", False, {}),
    }.items()
    if name in Image.SAVE
}

_KEPT_TAGS = (
    ExifTags.Base.ImageDescription,
    ExifTags.Base.Make,
    ExifTags.Base.Model,
    ExifTags.Base.DateTime,
    ExifTags.Base.Artist,
    ExifTags.Base.Copyright,
)
# Sizes are those before the rotation; the other two hold offsets into the original file.
_STALE_TAGS = (
    ExifTags.Base.ExifImageWidth,
    ExifTags.Base.ExifImageHeight,
    ExifTags.Base.ExifInteroperabilityOffset,
    ExifTags.Base.MakerNote,
)
_LONGEST_EXIF = 65_533  # what one JPEG segment holds

_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
_LAB = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
_INTENT = ImageCms.Intent.RELATIVE_COLORIMETRIC
_PROFILE_SPACES = {"L": "GRAY", "RGB": "RGB ", "CMYK": "CMYK", "LAB": "Lab "}


@dataclass(frozen=True)
class Photo:
    """A photo in memory, the right way up.

    pixels   H x W x 3, uint8, sRGB
    alpha    H x W, uint8, 255 is opaque; None where the file has no transparency
    profile  the RGB profile (ICC) in which the photo is written again; None if it had none
    exif     what the camera and the photographer noted, without orientation and thumbnail
    format   the name that Pillow has for the file's format, "JPEG" for instance
    """

    pixels: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None = None
    profile: bytes | None = None
    exif: bytes = b""
    format: str = "PNG"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width, _ = self.pixels.shape
        return width, height


def read(source: str | Path | BinaryIO) -> Photo:
    """The photo in a file or a binary stream, of any format that Pillow reads; the first frame.

    The orientation in the metadata is applied and the colours are converted to sRGB from the
    profile that the file carries. Fully transparent pixels get the mean colour of the others, so
    that what nobody sees does not count.

    Raises PhotostyleError if there is no readable photo of at most MAX_PIXELS pixels.
    """
    name = repr(str(getattr(source, "name", source)))
    try:
        with _without_warnings(), Image.open(source, "r", _READABLE) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            image.load()
            upright, exif = _upright(image)
            alpha = _alpha(upright)
            srgb, profile = _to_srgb(upright)
            pixels = np.array(srgb)
    except Image.DecompressionBombError as error:
        limit = MAX_PIXELS // 1_000_000
        raise PhotostyleError(f"{name} is too large: the limit is {limit} megapixels.") from error
    except UnidentifiedImageError as error:
        raise PhotostyleError(f"{name} is not a photo of a format that can be read.") from error
    except MemoryError:
        raise
    except Exception as error:  # a broken file makes decoders raise anything
        reason = getattr(error, "strerror", None)
        raise PhotostyleError(
            f"{name} cannot be read: {reason}."
            if reason
            else f"{name} is damaged or incomplete and cannot be read."
        ) from error
    if alpha is not None and alpha.any():
        pixels[alpha == 0] = pixels[alpha > 0].mean(axis=0).round()
    return Photo(pixels, alpha, profile, exif, image.format or "PNG")


def write(photo: Photo, target: Path, *, overwrite: bool = False) -> None:
    """Writes a photo into a file of the format that its extension names.

    Raises PhotostyleError as `new_file` and `encode` do.
    """
    with new_file(target, overwrite=overwrite) as stream:
        stream.write(encode(photo, format_of(target)))


def encode(photo: Photo, format: str) -> bytes:
    """The contents of a file with the photo, in a format that `format_of` returns.

    The colours are converted to the photo's profile, which is embedded. Where the format has no
    transparency the photo is laid on white.

    Raises PhotostyleError if the format cannot hold the photo.
    """
    _, has_alpha, options = _FORMATS[format]
    image = Image.fromarray(photo.pixels if has_alpha else _on_white(photo))
    if photo.profile:
        profile = ImageCms.getOpenProfile(BytesIO(photo.profile))
        image = image if _is_srgb(profile) else _convert(image, _SRGB, profile)
    if has_alpha and photo.alpha is not None:
        image.putalpha(Image.fromarray(photo.alpha))
    metadata = {"icc_profile": photo.profile, "exif": photo.exif}
    given = {key: value for key, value in metadata.items() if value}
    # In memory, because Pillow takes no notice when a disk is full.
    stream = BytesIO()
    try:
        image.save(stream, format, **options, **given)
    except MemoryError:
        raise
    except Exception as error:  # each encoder has its own way to say no
        width, height = photo.size
        raise PhotostyleError(
            f"A photo of {width} x {height} pixels cannot be written as {format}: {error}."
        ) from error
    return stream.getvalue()


def format_of(target: Path) -> str:
    """The format that the extension of a file name stands for.

    Raises PhotostyleError if photos cannot be written in it.
    """
    format = Image.EXTENSION.get(target.suffix.lower(), "")
    if format not in _FORMATS:
        known = ", ".join(format.suffix for format in _FORMATS.values())
        raise PhotostyleError(
            f"{str(target)!r} does not end in an extension that can be written: {known}."
        )
    return format


def suffix_for(photo: Photo, wanted: str = "") -> str:
    """An extension whose format keeps what the photo has.

    The wanted one if it can be written, else that of the format the photo came in, else .jpg
    or, with transparency, .png.
    """
    own = _FORMATS[photo.format].suffix if photo.format in _FORMATS else ""
    for suffix in (wanted, own, ".jpg"):
        format = _FORMATS.get(Image.EXTENSION.get(suffix.lower(), ""))
        if format and (format.alpha or photo.alpha is None):
            return suffix
    return ".png"


def side_by_side(*photos: Photo) -> Photo:
    """Photos in a row on white, each as large as fits into the size of the first."""
    box = photos[0].size
    images = [ImageOps.contain(Image.fromarray(_on_white(photo)), box) for photo in photos]
    row = Image.new("RGB", (sum(image.width for image in images), box[1]), "white")
    left = 0
    for image in images:
        row.paste(image, (left, (box[1] - image.height) // 2))
        left += image.width
    return replace(photos[0], pixels=np.array(row), alpha=None, exif=b"")


@contextmanager
def _without_warnings() -> Iterator[None]:
    """Without what Pillow has to say of odd files that it can read all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _upright(image: Image.Image) -> tuple[Image.Image, bytes]:
    """The image with its orientation applied, and the metadata that stays true of it."""
    try:
        upright = ImageOps.exif_transpose(image)
        found, kept = upright.getexif(), Image.Exif()
        kept.update({tag: found[tag] for tag in _KEPT_TAGS if tag in found})
        for ifd in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo):
            if values := {t: v for t, v in found.get_ifd(ifd).items() if t not in _STALE_TAGS}:
                kept[ifd] = values
        exif = kept.tobytes() if kept else b""
    except Exception:  # broken metadata does not make a photo unreadable
        return image, b""
    return upright, exif if len(exif) <= _LONGEST_EXIF else b""


def _alpha(image: Image.Image) -> npt.NDArray[np.uint8] | None:
    if not image.has_transparency_data or image.mode.startswith("I"):
        return None
    return np.array(image.convert("RGBA").getchannel("A"))


def _to_srgb(image: Image.Image) -> tuple[Image.Image, bytes | None]:
    """The image in sRGB, and the RGB profile to embed when it is written again."""
    data = image.info.get("icc_profile")
    if image.mode.startswith(("I", "F")):
        image = _grey(image)
    elif image.mode in ("1", "LA"):
        image = image.convert("L")
    elif image.mode == "RGBa":
        image = image.convert("RGBA")
    if image.mode not in _PROFILE_SPACES:
        image = image.convert("RGB")

    with suppress(ImageCms.PyCMSError):  # an unusable profile is as good as none
        if image.mode == "LAB":
            return _convert(image, _LAB, _SRGB), None
        if data:
            profile = ImageCms.getOpenProfile(BytesIO(data))
            if profile.profile.xcolor_space == _PROFILE_SPACES[image.mode]:
                srgb = image if _is_srgb(profile) else _convert(image, profile, _SRGB)
                writable = image.mode == "RGB" and ImageCms.isIntentSupported(
                    profile, _INTENT, ImageCms.Direction.OUTPUT
                )
                return srgb, data if writable else _SRGB.tobytes()
    return image.convert("RGB"), None


def _convert(
    image: Image.Image, source: ImageCms.ImageCmsProfile, target: ImageCms.ImageCmsProfile
) -> Image.Image:
    converted = ImageCms.profileToProfile(
        image, source, target, _INTENT, "RGB", flags=ImageCms.Flags.BLACKPOINTCOMPENSATION
    )
    assert converted is not None
    return converted


def _is_srgb(profile: ImageCms.ImageCmsProfile) -> bool:
    """Whether an RGB profile is one of the many that mean sRGB, so that nothing need be rounded."""
    if profile.profile.xcolor_space != "RGB ":
        return False
    levels = np.linspace(0, 255, 18).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), -1).reshape(levels.size, -1, 3)
    converted = np.asarray(_convert(Image.fromarray(colours), profile, _SRGB))
    return bool(np.abs(converted.astype(int) - colours).max() <= 1)


def _grey(image: Image.Image) -> Image.Image:
    """Integers of more than 8 bits, white at 65535, or floats, white at 1, in 8 bits.

    What is brighter than white makes the brightest value white.
    """
    values = np.asarray(image, np.float64)
    finite = values[np.isfinite(values)]
    white = finite.max(initial=1.0 if image.mode.startswith("F") else 65535.0)
    values = np.nan_to_num(values, nan=0, posinf=white, neginf=0)
    return Image.fromarray((values / white * 255).clip(0, 255).round().astype(np.uint8))


def _on_white(photo: Photo) -> npt.NDArray[np.uint8]:
    if photo.alpha is None:
        return photo.pixels
    alpha = photo.alpha[..., None] / np.float32(255)
    white = photo.pixels * alpha + 255 * (1 - alpha)
    return white.round().astype(np.uint8)

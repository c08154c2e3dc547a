"""Synthetic photos for the tests: pixels, colour profiles and files of every format."""

from __future__ import annotations

import struct
import zlib
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tifffile
import torch
from imagecodecs import cms_profile, rgbe_encode
from PIL import ExifTags, Image
from scipy import ndimage
from torch import Tensor

from photostyle import photo
from photostyle.photo import Photo

D65, D50 = [0.3127, 0.3290], [0.3457, 0.3585]
PRIMARIES = {
    "sRGB": ([0.64, 0.33, 0.30, 0.60, 0.15, 0.06], D65),
    "Display P3": ([0.68, 0.32, 0.265, 0.69, 0.15, 0.06], D65),
    "Adobe RGB": ([0.64, 0.33, 0.21, 0.71, 0.15, 0.06], D65),
    "ProPhoto": ([0.7347, 0.2653, 0.1596, 0.8404, 0.0366, 0.0001], D50),
}
GAMMA = {"Adobe RGB": 563 / 256, "ProPhoto": 1.8}

# A JPEG file of 24 x 16 pixels with arithmetic coding, which none of our libraries writes.
ARITHMETIC = (
    "|JeWF01!$>Nk#wx0RR9200961|JwjV00RO70|EjA0|NsD0|NvF2n7WM1O*BQ2L=cX3JeSj3JVJj4iXRz4iOFu3lJ6%"
    "5fc;@6%`B*7Z?^47!ni}6#v@*LjeN>1O)^I2?YfS6b%av6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`6ciK`"
    "6ciK`6ciK`6ciK`6cqo-01*fP5C9kh0U`hb5di}c0sqVZ3IGrg1pyEd1^?Or3<CiG0ucid06zf!8!AA&i@RdLB~vT3"
    "GF*5vOf>H1Y$CW!m`lm`haWLu+as9HIecS&EskcBkH$@(xh=}$JjI<+&U`ig|Je"
)


def scene(
    width: int = 60,
    height: int = 40,
    seed: int = 0,
    *,
    evening: bool = False,
    grain: float = 0.01,
) -> npt.NDArray[np.uint8]:
    """Smooth colours with a little grain, (H, W, 3). The seed changes only the grain."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    colours = np.stack([0.2 + 0.6 * x, 0.7 - 0.4 * y, 0.3 + 0.3 * x * y], -1)
    if evening:
        colours = np.stack([0.95 - 0.3 * y, 0.5 - 0.3 * y + 0.1 * x, 0.2 + 0.1 * x], -1)
    noise = np.random.default_rng(seed).normal(0, grain, (height, width, 3))
    return ((colours + noise).clip(0, 1) * 255).round().astype(np.uint8)


def deep_scene(width: int = 60, height: int = 40) -> npt.NDArray[np.uint16]:
    """The same scene in 16 bits whose low bytes are random, (H, W, 3)."""
    low = np.random.default_rng(1).integers(0, 257, (height, width, 3))
    return (scene(width, height).astype(int) * 256 + low).clip(0, 65535).astype(np.uint16)


def clouds(width: int = 150, height: int = 110, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth coloured noise, (H, W, 3). Each seed is another photo."""
    small = np.random.default_rng(seed).integers(0, 256, (7, 9, 3), np.uint8)
    image = Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)
    return np.array(image)


def landscape(width: int = 160, height: int = 128, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A smooth sky above a dark, textured wood, with a little grain, (H, W, 3)."""
    rng = np.random.default_rng(seed)
    sky = np.linspace(150, 190, width)[None, :, None] + np.array([-20, 0, 30])
    pixels = np.repeat(sky, height, axis=0)
    leaves = ndimage.gaussian_filter(rng.normal(size=(height, width)), 1) * 60
    pixels[height // 2 :] = (np.array([50, 70, 40]) + leaves[..., None])[height // 2 :]
    pixels += rng.normal(scale=2, size=(height, width, 1))
    return pixels.clip(20, 235).round().astype(np.uint8)


def as_tensor(pixels: npt.NDArray[np.uint8]) -> Tensor:
    """Pixels as a batch of one photo, (1, 3, H, W), float32 in 0..1."""
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


@cache  # a profile contains the time of its creation
def profile(name: str) -> bytes:
    """An ICC profile by its name in `PRIMARIES`."""
    primaries, white = PRIMARIES[name]
    table = (to_linear(np.linspace(0, 1, 4096)) * 65535).round().astype(np.uint16)
    curve: dict[str, Any] = {"gamma": GAMMA[name]} if name in GAMMA else {"transferfunction": table}
    made: bytes = cms_profile("rgb", whitepoint=white, primaries=primaries, **curve)
    return made


def to_linear(values: npt.NDArray[np.float64], name: str = "sRGB") -> npt.NDArray[np.float64]:
    """Linear light of encoded values in 0..1, by the tone curve of a profile."""
    if name in GAMMA:
        return np.asarray(values ** GAMMA[name])
    return np.where(values > 0.04045, ((values + 0.055) / 1.055) ** 2.4, values / 12.92)


def cmyk_profile() -> bytes:
    """A printer's ICC profile (lut8) in which each ink only absorbs its complement."""
    corners = np.stack(np.meshgrid(*[[0.0, 1.0]] * 4, indexing="ij"), -1).reshape(-1, 4)
    linear = (1 - corners[:, :3]) * (1 - corners[:, 3:])
    to_xyz = np.array(
        [[0.43607, 0.38515, 0.14307], [0.22249, 0.71687, 0.06061], [0.01392, 0.09708, 0.7141]]
    )
    ratio = linear @ to_xyz.T / [0.9642, 1.0, 0.8249]
    f = np.where(ratio > 216 / 24389, np.cbrt(ratio), (24389 / 27 * ratio + 16) / 116)
    lab = np.stack(
        [116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=-1
    )
    stored = np.stack([lab[:, 0] * 2.55, lab[:, 1] + 128, lab[:, 2] + 128], -1).clip(0, 255)
    identity = bytes(range(256))
    table = b"mft1\0\0\0\0" + struct.pack(">4B9i", 4, 3, 2, 0, *(65536 * np.eye(3, dtype=int)).flat)
    table += identity * 4 + stored.round().astype(np.uint8).tobytes() + identity * 3
    text = b"desc\0\0\0\0\0\0\0\5ink\0\0" + bytes(90)
    white = b"XYZ \0\0\0\0" + struct.pack(">3i", 63190, 65536, 54061)
    tags, offset, body = b"", 128 + 4 + 3 * 12, b""
    for name, data in ((b"A2B0", table), (b"desc", text), (b"wtpt", white)):
        data += bytes(-len(data) % 4)
        tags += name + struct.pack(">2I", offset + len(body), len(data))
        body += data
    header = struct.pack(">I4xI4s4s4s", offset + len(body), 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + struct.pack(">I", 3) + tags + body


def saved(image: Image.Image, format: str, **options: object) -> BytesIO:
    """A file that Pillow writes."""
    stream = BytesIO()
    image.save(stream, format, **options)
    stream.seek(0)
    return stream


def encoded(picture: Photo, format: str) -> bytes:
    """A file that photostyle writes."""
    stream = BytesIO()
    photo.encode(picture, format, stream)
    return stream.getvalue()


def raw_file(orientation: int = 1) -> bytes:
    """A DNG file of 96 x 64 photosites in an RGGB pattern, in warm light."""
    y, x = np.mgrid[0 : 1 : 64 * 1j, 0 : 1 : 96 * 1j]
    red, green, blue = 0.5 + 0.3 * x, 0.3 + 0.1 * y, 0.1 + 0.1 * x
    mosaic = green.copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = red[::2, ::2], blue[1::2, 1::2]
    matrix = [3.240970, -1.537383, -0.498531, -0.969244, 1.875968, 0.041556]
    matrix += [0.055630, -0.203977, 1.056972]
    tags = [
        (50706, "B", 4, (1, 4, 0, 0), True),  # DNGVersion
        (50708, "s", 0, "Test Camera", True),  # UniqueCameraModel
        (33421, "H", 2, (2, 2), True),  # CFARepeatPatternDim
        (33422, "B", 4, (0, 1, 1, 2), True),  # CFAPattern
        (50717, "I", 1, 65535, True),  # WhiteLevel
        (50721, "2i", 9, tuple(n for v in matrix for n in (round(v * 10**6), 10**6)), True),
        (50728, "2I", 3, (1, 1, 1, 1, 1, 1), True),  # AsShotNeutral
        (50778, "H", 1, 21, True),  # CalibrationIlluminant1: D65
        (271, "s", 0, "Maker", True),
        (274, "H", 1, orientation, True),
    ]
    stream = BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        values = (mosaic * 65535).astype(np.uint16)
        writer.write(values, photometric=32803, extratags=tags, metadata=None)
    return stream.getvalue()


def camera_exif(orientation: int = 1) -> bytes:
    """EXIF as cameras write it, with a maker's note and a position."""
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = orientation
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.FNumber: 2.8,
        ExifTags.Base.ExifImageWidth: 60,
        ExifTags.Base.MakerNote: b"offsets",
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    return exif.tobytes()


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description xmp:Rating="4" tiff:Orientation="6"/>'
    b"<xmp:Thumbnails>old picture</xmp:Thumbnails></x:xmpmeta>"
)


def example_files() -> dict[str, bytes]:
    """One small file of every format, by file name."""
    picture = Image.fromarray(scene())
    options: dict[str, dict[str, object]] = {
        "plain.jpg": {},
        "progressive.jpg": {"progressive": True, "exif": camera_exif(6), "xmp": XMP},
        "plain.png": {"icc_profile": profile("Display P3"), "exif": camera_exif()},
        "plain.webp": {"exif": camera_exif(), "xmp": XMP},
        "plain.tif": {"compression": "tiff_lzw"},
        "plain.avif": {},
        "plain.heic": {},
        "plain.jxl": {},
        "plain.bmp": {},
        "plain.gif": {},
        "plain.jp2": {},
        "plain.ppm": {},
        "plain.tga": {},
        "plain.ico": {"sizes": [(60, 40)]},
    }
    files = {}
    for name, given in options.items():
        format = Image.registered_extensions().get(Path(name).suffix)
        if format in Image.SAVE:
            files[name] = saved(picture, format, **given).getvalue()
    deep = Photo(deep_scene(), deep_scene()[..., 0], profile("Adobe RGB"), profile("Adobe RGB"))
    files["deep.png"] = encoded(deep, "PNG")
    files["deep.tif"] = encoded(deep, "TIFF")
    files["cmyk.jpg"] = saved(picture.convert("CMYK"), "JPEG").getvalue()
    files["palette.png"] = saved(picture.quantize(16), "PNG").getvalue()
    frames = [Image.fromarray(scene(seed=seed)) for seed in range(3)]
    for name, format in (("moving.gif", "GIF"), ("moving.png", "PNG"), ("moving.webp", "WEBP")):
        moves = {"save_all": True, "append_images": frames[1:], "duration": 40}
        files[name] = saved(frames[0], format, **moves).getvalue()
    files["raw.dng"] = raw_file()
    files["linear.hdr"] = bytes(rgbe_encode(scene() / np.float32(255), header=True))
    light = (scene()[::-1] / np.float32(255)).astype("<f4")
    files["linear.pfm"] = b"PF\n60 40\n-1\n" + light.tobytes()
    header = b"8BPS" + struct.pack(">H6xH2I2H", 1, 3, 40, 60, 8, 3) + bytes(12) + b"\0\0"
    files["plain.psd"] = header + np.moveaxis(scene(), -1, 0).tobytes()
    return files


def with_chunks(png: bytes, *chunks: tuple[bytes, bytes]) -> BytesIO:
    """A PNG file with chunks (kind, content) after its header."""
    added = b"".join(
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )
    return BytesIO(png[:33] + added + png[33:])

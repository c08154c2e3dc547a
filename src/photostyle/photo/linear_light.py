"""Reads Radiance HDR, OpenEXR and PFM files, which hold linear light without an upper limit.

Sources: G. Ward, "Real Pixels" and the Radiance file formats; the OpenEXR technical introduction;
P. Debevec, PFM.
"""

from __future__ import annotations

import re
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from photostyle.display import encoded
from photostyle.errors import PhotostyleError, needs_extra
from photostyle.photo import limits, named_color, raster
from photostyle.photo.color import Pixels
from photostyle.photo.photo import strips
from photostyle.photo.raster import Raster

Floats = npt.NDArray[np.floating[Any]]

_RADIANCE = (b"#?RADIANCE", b"#?RGBE")
_EXR = b"\x76\x2f\x31\x01"
_PFM = re.compile(rb"(PF|Pf)\s+(\d{1,9})\s+(\d{1,9})\s+(\S{1,20})\s")
_RESOLUTION = re.compile(rb"([-+])([XY]) (\d{1,9}) ([-+])([XY]) (\d{1,9})\n")
_MAX_HEADER = 1 << 16  # bytes

_MAPPED_NOTE = "The brightest light was clipped to white."


class LinearPhoto(NamedTuple):
    """The photo encoded for display, in 16 bits; the name of the format; notes."""

    values: Raster
    format: str
    notes: list[str]


def is_linear_light(start: bytes) -> bool:
    """Whether a file, by its first 32 bytes, is Radiance HDR, OpenEXR or PFM."""
    return start.startswith((*_RADIANCE, _EXR)) or bool(re.match(rb"(PF|Pf)\s+\d", start))


def read(stream: BinaryIO, white: float | None = None) -> LinearPhoto:
    """Read a file. Curve and profile are those of sRGB, None for white that of `raster.to_uint16`.

    Other primaries than those of sRGB become a profile with the curve of sRGB. Raises ValueError or
    RuntimeError if the file is damaged, PhotostyleError if OpenEXR is not installed or the file
    holds no colours, TooLargeError as `photostyle.photo.limits.check_size` does.
    """
    stream.seek(0)
    start = stream.read(_MAX_HEADER)
    notes: list[str] = []
    if start.startswith(_EXR):
        format, (light, alpha, primaries, notes) = "EXR", _read_exr(stream)
    elif start.startswith(_RADIANCE):
        format, alpha = "HDR", False
        light, primaries = _read_radiance(stream, start)
    else:
        format, alpha, primaries = "PFM", False, None
        light = _read_pfm(stream, start)
    if white is None:
        white = raster.white_of(light[..., :-1] if alpha else light)
    pixels = _displayed(light, white, alpha)
    if (light[..., :-1] if alpha else light).max(initial=0) > white:
        notes.append(_MAPPED_NOTE)
    space = named_color.ColorSpace(primaries, None) if primaries else None
    profile = space.profile() if space else None
    gray = light.shape[2] - alpha == 1
    values = raster.from_array(pixels, profile, "GRAY" if gray else "RGB ", alpha)
    return LinearPhoto(values, format, notes)


def _displayed(light: Floats, white: float, alpha: bool) -> Pixels:
    """Linear light (H, W, channels) encoded by the curve of sRGB; alpha is not."""
    result: Pixels = np.empty(light.shape, np.uint16)
    for rows in strips(light):
        strip = np.nan_to_num(light[rows].astype(np.float64), nan=0, posinf=np.inf, neginf=0)
        shown = encoded((strip / white).clip(0, 1))
        if alpha:
            shown[..., -1] = strip[..., -1].clip(0, 1)
        result[rows] = (shown * 65535).round()
    return result


def _read_radiance(stream: BinaryIO, start: bytes) -> tuple[Floats, tuple[float, ...] | None]:
    from imagecodecs import rgbe_decode

    header, _, rest = start.partition(b"\n\n")
    match = _RESOLUTION.match(rest)
    if not match or b"xyze" in header:
        raise ValueError("a Radiance file of an unknown kind")
    first_sign, first, rows, second_sign, second, columns = match.groups()
    if first == second:
        raise ValueError("a Radiance file of an unknown kind")
    limits.check_size(int(rows), int(columns))
    stream.seek(len(header) + 2 + match.end())
    # The decoder knows only the usual order of rows and columns.
    usual = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y %d +X %d\n" % (int(rows), int(columns))
    light = np.asarray(rgbe_decode(usual + stream.read(), header=True))
    if first == b"X":
        light = light.swapaxes(0, 1)
        first_sign, second_sign = second_sign, first_sign
    light = light[:: 1 if first_sign == b"-" else -1, :: 1 if second_sign == b"+" else -1]
    named = re.search(rb"^PRIMARIES=([-\d. ]+)$", header, re.MULTILINE)
    numbers = tuple(float(number) for number in named[1].split()) if named else ()
    return light, numbers if len(numbers) == 8 and all(numbers[1::2]) else None


def _read_pfm(stream: BinaryIO, start: bytes) -> Floats:
    match = _PFM.match(start)
    if not match:
        raise ValueError("a PFM file with a damaged header")
    width, height, channels = int(match[2]), int(match[3]), 3 if match[1] == b"PF" else 1
    limits.check_size(width, height)
    order = "<" if float(match[4]) < 0 else ">"
    stream.seek(match.end())
    values = np.frombuffer(stream.read(width * height * channels * 4), f"{order}f4")
    return values.reshape(height, width, channels)[::-1]


def _read_exr(stream: BinaryIO) -> tuple[Floats, bool, tuple[float, ...] | None, list[str]]:
    """Light (H, W, channels) of the display window, whether it has alpha, primaries, and notes."""
    with needs_extra("formats"):
        import OpenEXR

    stream.seek(0)
    parts = OpenEXR.File(stream, header_only=True).parts
    header = parts[0].header
    (left, top), (right, bottom) = _corners(header["displayWindow"])
    width, height = right - left + 1, bottom - top + 1
    limits.check_size(max(0, width), max(0, height))
    data_corners = _corners(header["dataWindow"])
    limits.check_size(*(max(0, high - low + 1) for low, high in zip(*data_corners, strict=True)))
    stream.seek(0)
    # Not File, which prints that a file is damaged and goes on.
    file = OpenEXR.InputFile(stream)
    channels = file.header()["channels"]
    names, notes = _chosen(list(channels)), []
    if not names:
        raise PhotostyleError(
            "The OpenEXR file has neither channels R, G and B nor only Y; convert it to RGB."
        )
    if len(parts) > 1 or any("." in name for name in channels if name not in names):
        notes.append("The file contains several images; only the first was read.")
    data_left, data_top = data_corners[0]
    light: Floats = np.zeros((height, width, len(names)), np.float32)
    for number, name in enumerate(names):
        values = _values(file.channel(name), str(channels[name]), data_corners)
        target = light[max(0, data_top - top) :, max(0, data_left - left) :, number]
        values = values[max(0, top - data_top) :, max(0, left - data_left) :]
        rows, columns = (min(a, b) for a, b in zip(target.shape, values.shape, strict=True))
        target[:rows, :columns] = values[:rows, :columns]
    alpha = len(names) in (2, 4)
    if alpha:  # colours are multiplied with it; light of its own has none
        opacity = light[..., -1:]
        light[..., :-1] /= np.where(opacity > 0, opacity, 1)
    return light, alpha, _chromaticities(header), notes


def _values(
    data: bytes, kind: str, corners: tuple[tuple[int, int], tuple[int, int]]
) -> npt.NDArray[np.float32]:
    """A channel of the data window; kind: such as "HALF (1, 1)"."""
    (left, top), (right, bottom) = corners
    dtype = {"HALF": "<f2", "FLOAT": "<f4", "UINT": "<u4"}[kind.split()[0]]
    values = np.frombuffer(data, dtype).reshape(bottom - top + 1, right - left + 1)
    return values.astype(np.float32)


def _corners(window: Any) -> tuple[tuple[int, int], tuple[int, int]]:
    (left, top), (right, bottom) = window
    return (int(left), int(top)), (int(right), int(bottom))


def _chosen(names: list[str]) -> list[str]:
    """The channels of red, green, blue and alpha, or of grey and alpha, of the first layer."""
    layers = dict.fromkeys(["", *(name.rpartition(".")[0] for name in names)])
    for layer in layers:
        prefix = f"{layer}." if layer else ""
        for colors in ("RGB", "Y"):
            wanted = [prefix + color for color in colors]
            if prefix + "RY" in names:  # of a fraction of the size, beside Y
                continue
            if all(name in names for name in wanted):
                alpha = prefix + "A"
                return [*wanted, alpha] if alpha in names else wanted
    return []


def _chromaticities(header: dict[str, Any]) -> tuple[float, ...] | None:
    found = header.get("chromaticities")
    numbers = tuple(float(number) for number in found) if found is not None else ()
    return numbers if len(numbers) == 8 and all(numbers[1::2]) else None

"""Each file format, and every cell of the README's table of formats."""

from __future__ import annotations

import base64
import struct
import sys
import zlib
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import ExifTags, Image
from support.photos import (
    ARITHMETIC,
    XMP,
    camera_exif,
    deep_scene,
    encoded,
    example_files,
    profile,
    raw_file,
    saved,
    scene,
)

from photostyle import PhotostyleError, photo
from photostyle.photo import Animation, AnimationFrame, Photo
from photostyle.photo.formats import FORMATS
from photostyle.photo.metadata import Metadata

README = Path(__file__).parents[2] / "README.md"


def table() -> dict[str, list[str]]:
    """The README's table of formats: cells by the name of the format."""
    lines = README.read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| format "))
    rows = {}
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        rows[name] = cells
    return rows


NAMES = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "TIFF": "TIFF",
    "WebP": "WEBP",
    "AVIF": "AVIF",
    "HEIC": "HEIF",
    "JPEG XL": "JXL",
    "GIF": "GIF",
    "BMP": "BMP",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_readme_table_of_formats_is_true(name: str) -> None:
    """Reading and writing a format preserves what the README says."""
    format = NAMES[name]
    if format not in FORMATS:
        pytest.skip(f"no plugin for {name}")
    exif = Metadata(camera_exif()).stamped("settings").exif
    p3 = profile("Display P3")
    alpha = np.where(np.arange(60) < 30, 0, 65535).astype(np.uint16)[None].repeat(40, 0)
    original = Photo(
        deep_scene(), None, p3, p3, Metadata(exif, XMP.replace(b'"6"', b'"1"'), (300.0, 300.0))
    )
    frames = tuple(AnimationFrame(deep_scene() // n, None, 100.0) for n in (2, 3))

    def back(picture: Photo) -> Photo:
        return photo.read(BytesIO(encoded(picture, format)))

    plain = back(original)
    clear = back(replace(original, alpha=alpha)).alpha
    kept = {"EXIF": b"Maker" in plain.metadata.exif, "XMP": b"Rating" in plain.metadata.xmp}
    moving = back(replace(original, animation=Animation(frames, 100.0, 0))).animation
    mean = np.abs(plain.pixels.astype(float) * (257 if plain.depth == 8 else 1) - original.pixels)
    assert plain.original == p3 or mean.mean() > 257  # colours moved where the profile is not kept
    observed = {
        "depth": str(plain.depth) if plain.depth == 8 else f"8, {FORMATS[format].depth}",
        "alpha": "yes" if clear is not None and np.ptp(clear) > 0 else "-",
        "profile": "yes" if plain.original == p3 else "-",
        "metadata": ", ".join(block for block in kept if kept[block]) or "-",
        "animation": "yes" if moving and len(moving.frames) == 2 else "-",
    }
    read, written, *held = table()[name]
    assert written == observed["depth"]
    assert held == [observed[key] for key in ("alpha", "profile", "metadata", "animation")]
    depths = {file: photo.read(BytesIO(data)) for file, data in example_files().items()}
    found = {str(picture.depth) for picture in depths.values() if picture.format in (format, "MPO")}
    if format == "TIFF":
        found.add("32")  # test_floats_in_three_channels
    deep = {"AVIF": "8, 10, 12", "HEIF": "8, 10, 12", "JXL": "8 to 32"}  # test_deep_color.py
    assert read == deep.get(format, read)
    assert format in deep or set(read.split(", ")) == found


def test_the_readme_table_of_formats_that_are_only_read() -> None:
    rows = table()
    assert set(rows) == {
        *NAMES,
        "PSD, PSB",
        "Radiance HDR, PFM",
        "OpenEXR",
        "raw",
        "JPEG 2000",
        "others that Pillow reads",
    }
    assert rows["PSD, PSB"] == ["8, 16", "-", "yes", "yes", "EXIF, XMP", "-"]  # test_psd.py
    assert rows["Radiance HDR, PFM"] == ["16", *"-----"]  # test_linear_light.py
    assert rows["OpenEXR"] == ["16", "-", "yes", *"---"]
    # test_deep_color.py, test_metadata.py
    assert rows["JPEG 2000"] == ["8 to 16", "-", "yes", "yes", "EXIF, XMP", "-"]
    assert rows["raw"] == ["16", "-", "-", "-", "EXIF", "-"]  # tested below
    assert rows["others that Pillow reads"] == ["8", "-", "yes", "-", "-", "-"]
    pixels = np.dstack([scene(), scene()[..., 0]])
    for format in ("TGA", "ICO", "JPEG2000"):
        lossless = {"irreversible": False} if format == "JPEG2000" else {"sizes": [(60, 40)]}
        read = photo.read(saved(Image.fromarray(pixels), format, **lossless))
        assert read.depth == 8
        assert np.array_equal(read.pixels, pixels[..., :3])
        assert read.alpha is not None
        assert np.array_equal(read.alpha, pixels[..., 3])
        with pytest.raises(PhotostyleError, match="cannot be written as"):
            photo.format_of(Path(f"a.{format.lower()}"))


@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (96, 64)), (3, (96, 64)), (6, (64, 96)), (8, (64, 96))]
)
def test_a_raw_photo_is_developed_in_16_bits_and_upright(
    orientation: int, size: tuple[int, int]
) -> None:
    pytest.importorskip("rawpy")
    read = photo.read(BytesIO(raw_file(orientation)))
    assert (read.size, read.depth, read.format) == (size, 16, "RAW")
    assert photo.color.are_equivalent(read.original, None)
    assert b"Maker" in read.metadata.exif
    assert photo.suffix_for(read, ".dng") == ".jpg"
    # The light is warm, and red grows from left to right of the sensor.
    red, green, blue = read.pixels.reshape(-1, 3).mean(0)
    assert red > green > blue
    upright = np.rot90(read.pixels, {1: 0, 3: 2, 6: 1, 8: -1}[orientation])
    assert upright[:, -30:, 0].mean() > upright[:, :30, 0].mean() + 1000


def test_raw_without_the_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rawpy", None)
    (tmp_path / "a.nef").write_bytes(raw_file())
    with pytest.raises(PhotostyleError, match=r"photostyle\[raw\]"):
        photo.read(tmp_path / "a.nef")


def test_a_raw_photo_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rawpy")
    monkeypatch.setattr("imageio.v3.imread", None)
    monkeypatch.setattr(photo.limits, "MAX_PIXELS", 6000)
    with pytest.raises(PhotostyleError, match="too large"):
        photo.read(BytesIO(raw_file()))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF"])
def test_a_photo_named_as_a_raw_photo_is_read_as_what_it_is(tmp_path: Path, format: str) -> None:
    if format not in Image.SAVE:
        pytest.skip("an extra is missing")
    data = saved(Image.fromarray(scene()), format)
    (tmp_path / "a.dng").write_bytes(data.getvalue())
    read = photo.read(tmp_path / "a.dng")
    assert read.format == format
    assert np.array_equal(read.pixels, photo.read(data).pixels)


def test_a_damaged_raw_photo_is_refused() -> None:
    pytest.importorskip("rawpy")
    data = raw_file()
    for cut in (len(data) // 2, len(data) - 9000):
        with pytest.raises(PhotostyleError, match="damaged or incomplete"):
            photo.read(BytesIO(data[:cut]))


def test_arithmetic_and_progressive_jpeg() -> None:
    read = photo.read(BytesIO(base64.b85decode(ARITHMETIC)))
    y, x = np.mgrid[0:1:16j, 0:1:24j]
    expected = np.stack([0.2 + 0.6 * x, 0.7 - 0.4 * y, 0.3 + 0.3 * x * y], -1) * 255
    assert np.abs(read.pixels - expected).mean() < 3
    image = Image.fromarray(scene())
    plain, progressive = (
        photo.read(saved(image, "JPEG", progressive=value)).pixels for value in (False, True)
    )
    assert np.array_equal(plain, progressive)


def test_inverted_cmyk_jpeg_is_not_read_as_a_negative() -> None:
    """Adobe's programs store CMYK inverted and mark this in an Adobe segment."""
    image = Image.fromarray(scene())
    data = saved(image.convert("CMYK"), "JPEG", quality=95).getvalue()
    assert b"Adobe" in data
    assert np.abs(photo.read(BytesIO(data)).pixels.astype(int) - scene()).mean() < 4


def test_interlaced_png() -> None:
    """Adam7: seven small images in one stream, which no library here writes."""
    for pixels in (scene(23, 17), deep_scene(23, 17)):
        stream = b""
        for y0, x0, dy, dx in (
            (0, 0, 8, 8),
            (0, 4, 8, 8),
            (4, 0, 8, 4),
            (0, 2, 4, 4),
            (2, 0, 4, 2),
            (0, 1, 2, 2),
            (1, 0, 2, 1),
        ):
            part = pixels[y0::dy, x0::dx]
            stored = part.astype(part.dtype.newbyteorder(">"))
            stream += b"".join(b"\0" + row.tobytes() for row in stored)

        def chunk(kind: bytes, content: bytes) -> bytes:
            sum = struct.pack(">I", zlib.crc32(kind + content))
            return struct.pack(">I", len(content)) + kind + content + sum

        header = struct.pack(">2I5B", 23, 17, pixels.itemsize * 8, 2, 0, 0, 1)
        data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
        data += chunk(b"IDAT", zlib.compress(stream)) + chunk(b"IEND", b"")
        assert np.array_equal(photo.read(BytesIO(data)).pixels, pixels)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_16_bits_with_and_without_alpha_are_exact(channels: int, suffix: str) -> None:
    rng = np.random.default_rng(channels)
    values = rng.integers(1, 65536, (9, 13, channels), np.uint16)
    if suffix == ".png":
        stream = BytesIO(png_encode(values[..., 0] if channels == 1 else values))
    else:
        gray = values[..., 0] if channels == 1 else values
        stream = tiff(gray, extrasamples=["unassalpha"] * (channels in (2, 4)))
    read = photo.read(stream)
    colors = values[..., : channels - (channels in (2, 4))]
    assert read.depth == 16
    assert np.array_equal(read.pixels, np.broadcast_to(colors, (9, 13, 3)))
    assert (read.alpha is not None) == (channels in (2, 4))
    if read.alpha is not None:
        assert np.array_equal(read.alpha, values[..., -1])
    for format in ("PNG", "TIFF"):
        again = photo.read(BytesIO(encoded(read, format)))
        assert np.array_equal(again.pixels, read.pixels)
        assert again.alpha is None or np.array_equal(again.alpha, values[..., -1])


def tiff(values: npt.NDArray[np.generic], **options: Any) -> BytesIO:
    stream = BytesIO()
    rgb = values.ndim == 3 and (values.shape[-1] > 2 or values.shape[0] == 3)
    chosen = {"photometric": "rgb" if rgb else "minisblack", "metadata": None} | options
    with tifffile.TiffWriter(stream) as writer:
        writer.write(values, **chosen)
    return stream


@pytest.mark.parametrize("compression", [None, "lzw", "zlib", "zstd", "packbits"])
@pytest.mark.parametrize("layout", ["strips", "tiles", "planes"])
def test_16_bit_tiff_of_every_layout(compression: str | None, layout: str) -> None:
    values = deep_scene(50, 70)
    layouts: dict[str, dict[str, Any]] = {
        "strips": {"rowsperstrip": 7},
        "tiles": {"tile": (32, 16)},
        "planes": {"planarconfig": "separate"},
    }
    stored = np.moveaxis(values, -1, 0) if layout == "planes" else values
    read = photo.read(tiff(stored, compression=compression, **layouts[layout]))
    assert np.array_equal(read.pixels, values)


def test_floats_in_three_channels() -> None:
    values = np.zeros((2, 4, 3), np.float32)
    values[0, :, 1] = 0, 0.25, 1, np.nan
    values[1, :, 2] = -1, np.inf, -np.inf, 0.5
    read = photo.read(tiff(values))
    assert read.pixels[0, :, 1].tolist() == [0, 16384, 65535, 0]
    assert read.pixels[1, :, 2].tolist() == [0, 65535, 0, 32768]
    brightest = photo.read(tiff(values * 2))
    assert brightest.pixels[0, :, 1].tolist() == [0, 16384, 65535, 0]


def test_white_is_zero_and_premultiplied_alpha() -> None:
    gray = np.arange(0, 65535, 999, dtype=np.uint16)[None]
    read = photo.read(tiff(gray, photometric="miniswhite"))
    assert np.array_equal(read.pixels[0, :, 0], 65535 - gray[0])

    colors, alpha = deep_scene(20, 10) // 2, np.full((10, 20, 1), 32768, np.uint16)
    stored = np.concatenate([(colors * 0.5).astype(np.uint16), alpha], -1)
    read = photo.read(tiff(stored, extrasamples=["assocalpha"]))
    assert np.abs(read.pixels.astype(int) - colors).max() <= 3
    stored = np.concatenate([colors, alpha], -1)
    assert photo.read(tiff(stored, extrasamples=["unspecified"])).alpha is None


def test_only_the_first_of_several_pages_is_read_with_a_note() -> None:
    pages = [scene(), 255 - scene()]
    for first, second in (pages, [page.astype(np.uint16) * 257 for page in pages]):
        stream = BytesIO()
        with tifffile.TiffWriter(stream) as writer:
            writer.write(first, photometric="rgb", metadata=None)
            writer.write(second, photometric="rgb", metadata=None)
        read = photo.read(stream)
        assert np.array_equal(read.pixels, first)
        (note,) = read.notes
        assert "several images; only the first was read" in note
    assert photo.read(tiff(scene())).notes == ()


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
def test_animations_keep_every_frame_and_its_timing(format: str) -> None:
    frames = [scene(seed=seed) for seed in range(4)]
    frames[2] = 255 - frames[2]
    alphas = [np.full((40, 60), 255, np.uint8) for _ in frames]
    for number, alpha in enumerate(alphas):
        alpha[:, : 10 * number + 5] = 0
    later = zip(frames[1:], alphas[1:], (50.0, 60.0, 70.0), strict=True)
    given = Photo(
        frames[0], alphas[0], animation=Animation(tuple(AnimationFrame(*f) for f in later), 90.0, 3)
    )
    stream = BytesIO(encoded(given, format))
    read = photo.read(stream)
    assert read.animation is not None
    assert read.animation.duration == 90
    assert [frame.duration for frame in read.animation.frames] == [50, 60, 70]
    if format != "AVIF":  # Pillow neither reads nor writes how often
        assert read.animation.loop == 3
    shown = [(read.pixels, read.alpha), *((f.pixels, f.alpha) for f in read.animation.frames)]
    for (pixels, visible), frame, opaque in zip(shown, frames, alphas, strict=True):
        assert np.abs(pixels.astype(int) - frame)[opaque > 0].mean() < (
            16 if format == "GIF" else 4
        )
        assert visible is not None
        assert np.array_equal(visible > 127, opaque > 0)
    still = photo.read(stream, still=True)
    assert still.animation is None
    assert np.array_equal(still.pixels, read.pixels)
    assert (
        photo.suffix_for(read, Path("a" + FORMATS[format].suffix).suffix) == FORMATS[format].suffix
    )


def test_an_animation_with_too_many_pixels_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photo.limits, "MAX_PIXELS", 5000)
    images = [Image.fromarray(scene(seed=seed)) for seed in range(3)]
    stream = saved(images[0], "GIF", save_all=True, append_images=images[1:])
    with pytest.raises(PhotostyleError, match="--still"):
        photo.read(stream)
    assert photo.read(stream, still=True).size == (60, 40)


def test_a_gif_frame_that_enlarges_the_image_is_refused() -> None:
    data = bytearray(saved(Image.fromarray(scene()).quantize(4), "GIF").getvalue())
    descriptor = data.index(b",\0\0\0\0" + struct.pack("<2H", 60, 40))
    struct.pack_into("<2H", data, descriptor + 5, 30_000, 20_000)
    with pytest.raises(PhotostyleError, match="too large"):
        photo.read(BytesIO(data))


def test_the_default_image_of_an_animated_png_is_not_a_frame() -> None:
    images = [Image.fromarray(scene(seed=seed)) for seed in range(3)]
    stream = saved(
        images[0], "PNG", save_all=True, append_images=images[1:], default_image=True, duration=30
    )
    read = photo.read(stream)
    assert np.array_equal(read.pixels, scene(seed=1))
    assert read.animation is not None
    assert len(read.animation.frames) == 1


def jxl_header(width: int, height: int) -> bytes:
    bits, at = 0, 0

    def put(value: int, count: int) -> None:
        nonlocal bits, at
        bits |= value << at
        at += count

    put(0, 1)
    put(3, 2)
    put(height - 1, 30)
    put(0, 3)
    put(3, 2)
    put(width - 1, 30)
    return b"\xff\x0a" + bits.to_bytes(10, "little")


@pytest.mark.parametrize("boxed", [False, True])
def test_a_jpeg_xl_bomb_is_refused_before_it_is_decoded(boxed: bool) -> None:
    pytest.importorskip("pillow_jxl")
    header = jxl_header(100_000, 100_000)
    if boxed:
        first, kind = b"\0\0\0\x0cJXL \r\n\x87\n", b"\0\0\0\x14ftypjxl \0\0\0\0jxl "
        header = first + kind + b"\0\0\0\0jxlc" + header
    with pytest.raises(PhotostyleError, match="megapixels"):
        photo.read(BytesIO(header))
    for size in ((60, 40), (64, 64), (8, 8), (256, 144), (300, 200), (123, 457)):
        data = saved(Image.fromarray(scene(*size)), "JXL").getvalue()
        assert photo.read(BytesIO(data)).size == size
        assert photo.jxl.read_header(BytesIO(data)) == photo.jxl.Header(*size)


def test_the_orientation_of_jpeg_xl_is_that_of_its_codestream() -> None:
    pytest.importorskip("pillow_jxl")
    data = saved(Image.fromarray(scene()), "JXL", exif=camera_exif(6))
    assert photo.read(data).size == (60, 40)


def test_heic_is_rotated_once() -> None:
    pytest.importorskip("pillow_heif")
    data = saved(Image.fromarray(scene()), "HEIF", exif=camera_exif(6))
    assert photo.read(data).size == (40, 60)


def test_unsupported_features_are_named() -> None:
    frame = AnimationFrame(scene(), None, 40.0)
    full = Photo(
        scene(),
        np.full((40, 60), 9, np.uint8),
        metadata=Metadata(camera_exif()),
        animation=Animation((frame,), 40.0, 0),
    )
    assert [
        len(photo.unsupported_features(full, format)) for format in ("JPEG", "PNG", "TIFF", "BMP")
    ] == [
        2,
        0,
        1,
        3,
    ]
    with Image.open(BytesIO(encoded(full, "TIFF"))) as written:
        assert written.mode == "RGBA"
        assert written.getexif()[ExifTags.Base.Make] == "Maker"


def test_depth_changes_round_to_the_nearest() -> None:
    values = np.arange(65536, dtype=np.uint16).reshape(256, 256, 1).repeat(3, 2)
    down = Photo(values).with_depth(8).pixels
    assert np.array_equal(down, np.round(values / 257))
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    up = Photo(levels, levels[..., 0]).with_depth(16)
    assert np.array_equal(up.pixels, levels.astype(int) * 257)
    again = up.with_depth(8)
    assert np.array_equal(again.pixels, levels)
    assert again.alpha is not None
    assert np.array_equal(again.alpha, levels[..., 0])


def test_equal_photos_make_equal_files() -> None:
    given = photo.read(saved(Image.new("CMYK", (9, 9), (9, 99, 9, 9)), "TIFF")).written_in_srgb()
    for format in FORMATS:
        assert encoded(given, format) == encoded(given, format)
    for made in (photo.color.SRGB, photo.color.adobe_rgb()):
        assert struct.unpack(">6H", made[24:36]) == (2000, 1, 1, 0, 0, 0)  # not the time of the run
        assert made[84:100] == bytes(16)


@pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("transparent", [False, True])
def test_equal_frames_of_an_animation_stay_apart(format: str, transparent: bool) -> None:
    day, night = scene(), 255 - scene()
    alpha = np.full((40, 60), 255, np.uint8) if transparent else None
    if alpha is not None:
        alpha[:20] = 0
    durations = [40.0, 50.0, 60.0, 70.0, 80.0, 90.0]
    shown = [day, day, day, night, night, day]
    later = zip(shown[1:], [alpha] * 5, durations[1:], strict=True)
    animation = Animation(tuple(AnimationFrame(*frame) for frame in later), durations[0], 0)
    read = photo.read(BytesIO(encoded(Photo(day, alpha, animation=animation), format)))
    assert read.animation is not None
    assert [read.animation.duration, *(f.duration for f in read.animation.frames)] == durations
    for still, pixels in zip(read.stills(), shown, strict=True):
        visible = slice(0 if alpha is None else 20, None)
        error = np.abs(still.pixels.astype(int) - pixels)[visible]
        assert error.mean() < (16 if format == "GIF" else 4)
        assert (still.alpha is not None) == transparent


def test_a_frame_holds_what_changes() -> None:
    """So that an animation in which little moves stays small; also with odd edges."""
    start = scene(160, 120)
    shown = [start.copy() for _ in range(8)]
    for number, frame in enumerate(shown):
        frame[31 + number : 38 + number, 51:57] = 255 - 20 * number
    animation = Animation(tuple(AnimationFrame(f, None, 100.0) for f in shown[1:]), 100.0, 2)
    for format, tolerance in (("PNG", 0), ("WEBP", 60)):
        data = encoded(Photo(shown[0], animation=animation), format)
        assert len(data) < 1.5 * len(encoded(Photo(shown[0]), format))
        for still, pixels in zip(photo.read(BytesIO(data)).stills(), shown, strict=True):
            error = np.abs(still.pixels.astype(int) - pixels)
            assert error.max() <= tolerance
            assert error.mean() < 4

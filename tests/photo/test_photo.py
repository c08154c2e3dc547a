"""Photo files read and written: kept, converted and refused."""

from __future__ import annotations

import os
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from imagecodecs import cms_profile
from PIL import ExifTags, Image, ImageCms, ImageColor, features
from PIL.JpegImagePlugin import JpegImageFile, get_sampling
from support.photos import (
    D50,
    D65,
    PRIMARIES,
    XMP,
    camera_exif,
    cmyk_profile,
    deep_scene,
    encoded,
    profile,
    saved,
    scene,
    to_linear,
)

from photostyle import PhotostyleError, photo
from photostyle.photo import Photo
from photostyle.photo.metadata import Metadata

SUFFIXES = [".jpg", ".png", ".webp", ".tif", ".bmp", ".avif"]
LOSSLESS = [".png", ".tif", ".bmp"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_written_and_read_back(tmp_path: Path, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    pixels = scene()
    photo.write(Photo(pixels), tmp_path / f"photo{suffix}")
    back = photo.read(tmp_path / f"photo{suffix}")
    error = np.abs(back.pixels.astype(int) - pixels)
    assert back.pixels.shape == pixels.shape
    assert back.alpha is None
    assert error.max() == 0 if suffix in LOSSLESS else error.mean() < 3
    assert [path.name for path in tmp_path.iterdir()] == [f"photo{suffix}"]


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(1, 70),
    height=st.integers(1, 70),
    mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA"]),
    suffix=st.sampled_from([".png", ".tif"]),
    seed=st.integers(0, 9),
)
def test_any_size_and_mode_is_read_and_written_exactly(
    width: int, height: int, mode: str, suffix: str, seed: int
) -> None:
    image = Image.fromarray(scene(width, height, seed)).convert(mode)
    if "A" in mode:
        alpha = np.random.default_rng(seed).integers(1, 256, (height, width), np.uint8)
        image.putalpha(Image.fromarray(alpha))
    read = photo.read(saved(image, photo.format_of(Path(f"photo{suffix}"))))
    assert read.size == (width, height)
    assert np.array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert (read.alpha is not None) == ("A" in mode)
    if read.alpha is not None:
        assert np.array_equal(read.alpha, alpha)
    again = photo.read(BytesIO(encoded(read, "PNG")))
    assert np.array_equal(again.pixels, read.pixels)
    assert (again.alpha is None) == (read.alpha is None)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(format: str, orientation: int) -> None:
    # Red, green, blue and white quarters: every orientation looks different.
    quarters = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    upright = quarters.repeat(16, 0).repeat(24, 1)
    undo = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    image = Image.fromarray(np.ascontiguousarray(undo[orientation]))
    read = photo.read(saved(image, format, exif=exif.tobytes(), quality=95))
    assert read.size == (48, 32)
    assert np.abs(read.pixels[8::16, 12::24].astype(int) - quarters).max() < 30
    stream = BytesIO(encoded(read, format))
    with Image.open(stream) as written:
        assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert photo.read(stream).size == (48, 32)


def test_camera_and_gps_are_kept_but_no_thumbnail_and_no_stale_size() -> None:
    image = Image.fromarray(scene())
    content = photo.read(
        saved(image, "JPEG", exif=camera_exif(6), xmp=XMP, dpi=(240, 200))
    ).stamped("photostyle 0.1 (strength 1)")
    for format in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"):
        if format not in Image.SAVE:
            continue
        stream = BytesIO(encoded(content, format))
        with Image.open(stream) as written:
            kept = written.getexif()
            assert kept[ExifTags.Base.Make] == "Maker"
            assert kept[ExifTags.Base.Software].startswith("photostyle 0")
            assert kept[ExifTags.Base.Software].endswith("(strength 1)")
            assert kept.get(ExifTags.Base.Orientation, 1) == 1
            assert dict(kept.get_ifd(ExifTags.IFD.Exif)) == {
                ExifTags.Base.FNumber: 2.8,
                ExifTags.Base.MakerNote: b"offsets",
                ExifTags.Base.ExifImageWidth: 40,
            }
            assert kept.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
            assert not kept.get_ifd(ExifTags.IFD.IFD1)
            if format in ("JPEG", "PNG", "TIFF"):
                assert written.info["dpi"] == pytest.approx((240, 200), abs=0.1)
        again = photo.read(stream)
        assert b'Rating="4"' in again.metadata.xmp
        assert b'tiff:Orientation="1"' in again.metadata.xmp
        assert b"old picture" not in again.metadata.xmp
        assert again.size == (40, 60)


def test_stripped_removes_all_metadata() -> None:
    image = Image.fromarray(scene())
    content = photo.read(saved(image, "JPEG", exif=camera_exif(), xmp=XMP, dpi=(240, 240)))
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        data = encoded(content.stripped(), format)
        for word in (b"Maker", b"Rating", b"photostyle", b"Exif\0", b"GPS"):
            assert word not in data


def test_metadata_too_long_for_jpeg_is_left_out() -> None:
    content = Photo(scene(), metadata=Metadata(b"Exif\0\0" + bytes(70_000), bytes(70_000)))
    assert len(photo.unsupported_features(content, "JPEG")) == 1
    assert photo.unsupported_features(content, "PNG") == []
    assert photo.read(BytesIO(encoded(content, "JPEG"))).size == (60, 40)


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_photo_with_damaged_metadata_is_read() -> None:
    for ifd in (b"\xff\xff" + bytes(range(250)), b"\1\0\x69\x87\2\0\1\0\0\0abc\0\0\0\0\0"):
        exif = b"Exif\0\0II*\0\x08\0\0\0" + ifd
        read = photo.read(saved(Image.fromarray(scene()), "JPEG", exif=exif))
        assert read.size == (60, 40)
        encoded(read, "JPEG")


def test_jpeg_is_written_at_quality_95_without_chroma_subsampling() -> None:
    stream = BytesIO(encoded(Photo(scene()), "JPEG"))
    reference = saved(Image.fromarray(scene()), "JPEG", quality=95)
    with Image.open(stream) as written, Image.open(reference) as same:
        assert isinstance(written, JpegImageFile)
        assert isinstance(same, JpegImageFile)
        assert get_sampling(written) == 0
        assert written.quantization == same.quantization


def test_formats_without_alpha_get_a_white_background() -> None:
    alpha = np.array([[0, 51, 255]], np.uint8)
    stream = BytesIO(encoded(Photo(np.full((1, 3, 3), 100, np.uint8), alpha), "BMP"))
    assert photo.read(stream).pixels[0, :, 0].tolist() == [255, 224, 100]


@pytest.mark.parametrize("depth", [8, 16])
def test_hidden_pixels_influence_nothing_and_do_not_change(depth: int) -> None:
    pixels = scene() if depth == 8 else deep_scene()
    alpha = np.full((40, 60), np.iinfo(pixels.dtype).max, pixels.dtype)
    alpha[:10], alpha[10:20] = 0, alpha[10:20] // 2
    read = photo.read(BytesIO(encoded(Photo(pixels, alpha), "PNG")))
    assert np.array_equal(read.pixels, pixels)
    seen, mask = read.visible()
    assert mask is not None
    assert [mask[row, 0] for row in (0, 15, 30)] == [0, 127, 255]
    assert np.array_equal(seen[10:], pixels[10:])
    assert np.abs(seen[:10] - pixels[10:].mean((0, 1))).max() <= 0.5
    dark = read.map_visible(lambda pixels, _: pixels // 2)
    assert np.array_equal(dark.pixels[10:], pixels[10:] // 2)
    assert np.array_equal(dark.pixels[:10], pixels[:10])
    assert dark.alpha is not None
    assert np.array_equal(dark.alpha, alpha)
    assert Photo(pixels, np.full_like(alpha, alpha.max())).visible()[1] is None
    assert Photo(pixels, np.zeros_like(alpha)).visible()[1] is None


def test_a_fully_transparent_photo_is_read() -> None:
    read = photo.read(saved(Image.new("RGBA", (3, 2)), "PNG"))
    assert read.alpha is not None
    assert not read.alpha.any()


def test_palette_transparency_becomes_alpha() -> None:
    image = Image.fromarray(scene()).quantize(8)
    image.info["transparency"] = 3
    read = photo.read(saved(image, "GIF"))
    assert read.alpha is not None
    assert np.array_equal(read.alpha == 0, np.asarray(image) == 3)


@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_and_not_clipped(format: str) -> None:
    values = np.linspace(0, 65535, 700).round().astype(np.uint16)[None]
    read = photo.read(saved(Image.fromarray(values), format))
    assert read.depth == 16
    assert np.array_equal(read.pixels[0, :, 1], values[0])


def test_float_gray_with_nan_and_infinite_values() -> None:
    values = np.array([[0, 0.5, 1, -3, np.nan, np.inf, -np.inf]], np.float32)
    read = photo.read(saved(Image.fromarray(values), "TIFF"))
    assert read.pixels[0, :, 0].tolist() == [0, 32768, 65535, 0, 0, 65535, 0]


def test_cmyk_and_lab_become_the_colors_they_stand_for() -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = photo.read(saved(ink, "TIFF")).pixels[4, 4].astype(int)
    assert red > 180
    assert max(green, blue) < 90
    lab = Image.new("LAB", (8, 8), (128, 128, 128))
    assert np.ptp(photo.read(saved(lab, "TIFF")).pixels[4, 4].astype(int)) <= 2


@pytest.mark.parametrize("name", ["Display P3", "Adobe RGB", "ProPhoto"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_rgb_stays_in_its_profile(name: str, format: str) -> None:
    if format not in Image.SAVE:
        pytest.skip(f"no plugin for {format}")
    pixels = scene()
    read = photo.read(saved(Image.fromarray(pixels), "PNG", icc_profile=profile(name)))
    assert read.profile == read.original == profile(name)
    assert np.array_equal(read.pixels, pixels)
    again = photo.read(BytesIO(encoded(read, format)))
    assert again.original == profile(name)
    if format in ("PNG", "TIFF"):
        assert np.array_equal(again.pixels, pixels)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("Display P3", "sRGB"),
        ("Adobe RGB", "sRGB"),
        ("ProPhoto", "sRGB"),
        ("sRGB", "Display P3"),
        ("sRGB", "ProPhoto"),
    ],
)
def test_colors_are_converted_as_the_standards_say(source: str, target: str, depth: int) -> None:
    # Greyish enough to lie within each of the spaces.
    pixels = scene() // 4 + 96 if depth == 8 else deep_scene() // 4 + 24000
    top = 2**depth - 1
    read = Photo(pixels, profile=profile(source))
    converted = read.in_profile(profile(target)).pixels
    linear = to_linear(pixels / top, source) @ to_d50(source).T @ np.linalg.inv(to_d50(target)).T
    assert linear.min() > 0
    assert linear.max() < 1
    # The curve of the target, backwards.
    grid = np.linspace(0, 1, 65536)
    expected = np.interp(linear, to_linear(grid, target), grid) * top
    error = np.abs(converted - expected) * 255 / top
    assert np.abs(converted - pixels.astype(float)).max() * 255 / top > 5
    assert error.max() < (1.0 if depth == 8 else 0.02)


def to_d50(name: str) -> npt.NDArray[np.float64]:
    """Linear RGB to XYZ under D50: primaries, white, Bradford's adaptation."""

    def xyz(x: float, y: float) -> npt.NDArray[np.float64]:
        return np.array([x / y, 1, (1 - x - y) / y])

    primaries, white = PRIMARIES[name]
    columns = np.stack([xyz(*primaries[i : i + 2]) for i in (0, 2, 4)], -1)
    matrix = columns * np.linalg.solve(columns, xyz(*white))
    bradford = np.array(
        [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
    )
    gain = bradford @ np.array([0.9642, 1, 0.8249]) / (bradford @ xyz(*white))
    adapted: npt.NDArray[np.float64] = np.linalg.inv(bradford) @ np.diag(gain) @ bradford @ matrix
    return adapted


def test_gray_with_a_profile_is_converted() -> None:
    gray = np.arange(256, dtype=np.uint8)[None]
    for values in (gray, gray.astype(np.uint16) * 257):
        top = np.iinfo(values.dtype).max
        made = cms_profile("gray", whitepoint=D50, gamma=1.5)
        read = photo.read(saved(Image.fromarray(values), "TIFF", icc_profile=made))
        grid = np.linspace(0, 1, 65536)
        expected = np.interp((values[0] / top) ** 1.5, to_linear(grid), grid) * top
        assert np.abs(read.pixels[0, :, 1] - expected).max() * 255 / top < 1.1
        assert np.ptp(read.pixels.astype(int), axis=2).max() * 255 / top <= 1
        assert photo.color.are_equivalent(read.original, None)


def test_cmyk_with_a_profile_is_converted() -> None:
    inks = np.zeros((1, 6, 4), np.uint8)
    inks[0, 1:5] = 255 * np.eye(4)
    inks[0, 5, 1:3] = 255
    image = Image.fromarray(inks, "CMYK")
    read = photo.read(saved(image, "TIFF", icc_profile=cmyk_profile()))
    names = ["white", "cyan", "magenta", "yellow", "black", "red"]
    expected = [ImageColor.getrgb(name) for name in names]
    assert np.abs(read.pixels[0].astype(int) - expected).max() <= 8
    assert read.original == photo.color.SRGB


def test_linear_light_is_processed_in_srgb_and_written_as_linear_light() -> None:
    linear = cms_profile("rgb", whitepoint=D65, primaries=PRIMARIES["sRGB"][0], gamma=1.0)
    pixels = deep_scene() // 2 + 8000
    read = photo.read(BytesIO(encoded(Photo(pixels, None, linear, linear), "PNG")))
    assert photo.color.are_equivalent(read.profile, None)
    assert read.original == linear
    again = Image.open(BytesIO(encoded(read, "TIFF")))
    assert again.info["icc_profile"] == linear
    stored = photo.high_bit_depth.read_tiff(BytesIO(encoded(read, "TIFF")))
    assert stored is not None
    assert np.abs(stored[0].rows(slice(0, 40)).astype(int) - pixels).max() <= 3


def test_a_camera_that_only_names_adobe_rgb() -> None:
    exif = Image.Exif()
    exif[ExifTags.IFD.Exif] = {ExifTags.Base.FNumber: 2.8, 40965: {1: "R03"}}
    read = photo.read(saved(Image.fromarray(scene()), "JPEG", exif=exif.tobytes()))
    assert read.original is not None
    assert photo.color.are_equivalent(read.original, profile("Adobe RGB"))


def test_long_profiles_are_split_over_segments() -> None:
    table = (to_linear(np.linspace(0, 1, 40_000)) * 65535).round().astype(np.uint16)
    long = cms_profile(
        "rgb", whitepoint=D65, primaries=PRIMARIES["sRGB"][0], transferfunction=table
    )
    assert len(long) > 3 * 65536
    with Image.open(BytesIO(encoded(Photo(scene(), None, long, long), "JPEG"))) as written:
        assert written.info["icc_profile"] == long


def test_an_srgb_photo_is_not_touched_and_stays_tagged() -> None:
    pixels = scene()
    read = photo.read(saved(Image.fromarray(pixels), "PNG", icc_profile=SRGB))
    assert np.array_equal(read.pixels, pixels)
    stream = BytesIO(encoded(read, "PNG"))
    with Image.open(stream) as written:
        assert written.info["icc_profile"] == SRGB
        assert np.array_equal(np.asarray(written), pixels)


@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:200], SRGB[:130] + b"\xff" * 400])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_an_invalid_profile_is_ignored(profile: bytes, mode: str) -> None:
    image = Image.fromarray(scene()).convert(mode)
    read = photo.read(saved(image, "TIFF", icc_profile=profile))
    assert np.array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert read.profile is None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data", "ignore:Truncated File Read")
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_file_cut_off_anywhere_is_refused_or_read_whole(format: str) -> None:
    whole = saved(Image.fromarray(scene()), format).getvalue()
    for length in [*range(0, 64, 3), *range(64, len(whole), max(1, len(whole) // 40))]:
        with suppress(PhotostyleError):
            assert photo.read(BytesIO(whole[:length])).size == (60, 40)


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.png").write_text("not a photo\n" * 100)
    (tmp_path / "page.eps").write_text("%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    for path, expected in {
        tmp_path / "missing\nname.jpg": "No such file",
        tmp_path: "Is a directory",
        tmp_path / "empty.jpg": "not a photo",
        tmp_path / "text.png": "not a photo",
        tmp_path / "page.eps": "not a photo",
    }.items():
        with pytest.raises(PhotostyleError, match=expected) as raised:
            photo.read(path)
        assert "\n" not in str(raised.value)


def test_the_format_is_recognised_by_content(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "photo.jpg", "PNG")
    read = photo.read(tmp_path / "photo.jpg")
    assert read.format == "PNG"
    assert np.array_equal(read.pixels, scene())


def test_too_many_pixels_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photo.limits, "MAX_PIXELS", 2_000_000)
    small = saved(Image.new("1", (1000, 2000)), "PNG")
    large = saved(Image.new("1", (1001, 2000)), "PNG")
    assert photo.read(small).size == (1000, 2000)
    with pytest.raises(PhotostyleError, match="the limit is 2 megapixels"):
        photo.read(large)


def test_a_lower_limit_holds_within_its_block() -> None:
    large = saved(Image.new("1", (1001, 1000)), "PNG")
    with photo.limits.at_most(1_000_000), pytest.raises(PhotostyleError, match="is 1 megapixels"):
        photo.read(large)
    assert photo.read(large).size == (1001, 1000)


@pytest.mark.parametrize("error", [AttributeError, NameError, TypeError])
def test_a_bug_is_not_called_a_damaged_file(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    stream = saved(Image.fromarray(scene()), "PNG")
    with monkeypatch.context() as patch, pytest.raises(error):
        patch.setattr(photo.raster, "to_upright_rgb", fail)
        photo.read(stream)
    monkeypatch.setattr("imagecodecs.png_encode", fail)
    with pytest.raises(error):
        encoded(Photo(scene()), "PNG")


def test_a_photo_too_large_for_its_format_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wide = Photo(np.zeros((1, 70_000, 3), np.uint8))
    for name in ("wide.jpg", "wide.webp"):
        with pytest.raises(PhotostyleError, match="70000 x 1 pixels cannot be written"):
            photo.write(wide, tmp_path / name)
    with pytest.raises(PhotostyleError, match="cannot be written as"):
        photo.write(wide, tmp_path / "wide.pdf")
    assert list(tmp_path.iterdir()) == []
    photo.write(wide, tmp_path / "wide.png")
    assert photo.read(tmp_path / "wide.png").size == (70_000, 1)


def test_overwriting_follows_links_and_refuses_folders(tmp_path: Path) -> None:
    target, link = tmp_path / "photo.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with pytest.raises(PhotostyleError, match="already exists"):
        photo.write(Photo(scene()), link)
    photo.write(Photo(scene()), link, overwrite=True)
    assert link.is_symlink()
    assert np.array_equal(photo.read(target).pixels, scene())
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(PhotostyleError, match="not a file"):
        photo.write(Photo(scene()), tmp_path / "folder.png", overwrite=True)
    with pytest.raises(PhotostyleError, match="does not exist"):
        photo.write(Photo(scene()), tmp_path / "nowhere" / "photo.png")
    with pytest.raises(PhotostyleError, match="too long"):
        photo.write(Photo(scene()), tmp_path / f"{'a' * 300}.png")


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    mask = os.umask(0o027)
    try:
        photo.write(Photo(scene()), tmp_path / "photo.png")
    finally:
        os.umask(mask)
    assert (tmp_path / "photo.png").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize(
    ("wanted", "format", "alpha", "suffix"),
    [
        (".JPG", "JPEG", False, ".JPG"),
        (".jpg", "PNG", True, ".png"),
        (".heic", "UNKNOWN", False, ".jpg"),
        (".gif", "GIF", True, ".png"),
        ("", "WEBP", True, ".webp"),
        ("", "MPO", False, ".jpg"),
    ],
)
def test_default_extension(wanted: str, format: str, alpha: bool, suffix: str) -> None:
    opaque = np.full((1, 1), 255, np.uint8)
    picture = Photo(scene(1, 1), opaque if alpha else None, format=format)
    if wanted == ".heic" and "HEIF" in Image.SAVE:
        suffix = wanted
    assert photo.suffix_for(picture, wanted) == suffix


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.tuples(st.integers(1, 90), st.integers(1, 90)), min_size=1, max_size=3))
def test_side_by_side_keeps_shapes_and_the_height_of_the_first(
    sizes: list[tuple[int, int]],
) -> None:
    photos = [Photo(scene(*size)) for size in sizes]
    row = photo.side_by_side([("a photo", one) for one in photos])
    width, height = sizes[0]
    assert height < row.size[1] < height + 20
    assert width <= row.size[0] <= width * len(sizes)
    assert np.array_equal(row.pixels[-height:, :width], photos[0].pixels)

"""Photo files in and out: what is kept, what is converted, what is refused."""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, features
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from photostyle import PhotostyleError, files, photo
from photostyle.photo import Photo

SUFFIXES = [".jpg", ".png", ".webp", ".tif", ".bmp", ".avif"]
LOSSLESS = [".png", ".tif", ".bmp"]
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
# The primaries of Display P3, adapted to D50.
P3 = [(0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407)]


def scene(width: int = 60, height: int = 40, seed: int = 0) -> npt.NDArray[np.uint8]:
    """Smooth colours with a little texture, as photos have."""
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    noise = np.random.default_rng(seed).normal(0, 0.01, (height, width, 3))
    colours = np.stack([0.2 + 0.6 * x, 0.7 - 0.4 * y, 0.3 + 0.3 * x * y], -1)
    return ((colours + noise).clip(0, 1) * 255).round().astype(np.uint8)


def saved(image: Image.Image, format: str, **options: object) -> BytesIO:
    stream = BytesIO()
    image.save(stream, format, **options)
    stream.seek(0)
    return stream


def display_p3() -> bytes:
    """The sRGB profile with other primaries: Display P3 has the same tone curve."""
    profile = bytearray(SRGB)
    for tag, colour in zip((b"rXYZ", b"gXYZ", b"bXYZ"), P3, strict=True):
        entry = profile.index(tag, 128)
        (offset,) = struct.unpack_from(">I", profile, entry + 4)
        struct.pack_into(">3i", profile, offset + 8, *(round(v * 65536) for v in colour))
    return bytes(profile)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_comes_back(tmp_path: Path, suffix: str) -> None:
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
    again = photo.read(BytesIO(photo.encode(read, "PNG")))
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
    stream = BytesIO(photo.encode(read, format))
    with Image.open(stream) as written:
        assert written.getexif().get(ExifTags.Base.Orientation, 1) == 1
    assert photo.read(stream).size == (48, 32)


def test_camera_and_place_are_kept_but_no_thumbnail_and_no_stale_size() -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.IFD.Exif] = {
        ExifTags.Base.FNumber: 2.8,
        ExifTags.Base.ExifImageWidth: 60,
        ExifTags.Base.MakerNote: b"offsets",
    }
    exif[ExifTags.IFD.GPSInfo] = {ExifTags.GPS.GPSLatitudeRef: "N"}
    content = photo.read(saved(Image.fromarray(scene()), "JPEG", exif=exif.tobytes()))
    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        stream = BytesIO(photo.encode(content, format))
        with Image.open(stream) as written:
            kept = written.getexif()
            assert kept[ExifTags.Base.Make] == "Maker"
            assert dict(kept.get_ifd(ExifTags.IFD.Exif)) == {ExifTags.Base.FNumber: 2.8}
            assert kept.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
            assert not kept.get_ifd(ExifTags.IFD.IFD1)


def test_broken_metadata_does_not_make_a_photo_unreadable() -> None:
    broken = b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + bytes(range(250))
    read = photo.read(saved(Image.fromarray(scene()), "JPEG", exif=broken))
    assert read.size == (60, 40)
    photo.encode(read, "JPEG")


def test_jpeg_is_written_at_quality_95_without_chroma_subsampling() -> None:
    stream = BytesIO(photo.encode(Photo(scene()), "JPEG"))
    reference = saved(Image.fromarray(scene()), "JPEG", quality=95)
    with Image.open(stream) as written, Image.open(reference) as same:
        assert isinstance(written, JpegImageFile)
        assert isinstance(same, JpegImageFile)
        assert get_sampling(written) == 0
        assert written.quantization == same.quantization


def test_transparency_is_laid_on_white_where_the_format_has_none() -> None:
    alpha = np.array([[0, 51, 255]], np.uint8)
    stream = BytesIO(photo.encode(Photo(np.full((1, 3, 3), 100, np.uint8), alpha), "BMP"))
    assert photo.read(stream).pixels[0, :, 0].tolist() == [255, 224, 100]


def test_what_nobody_sees_does_not_count() -> None:
    pixels = np.dstack([scene(), np.full((40, 60), 255, np.uint8)])
    pixels[:10] = (255, 0, 255, 0)
    read = photo.read(saved(Image.fromarray(pixels), "PNG"))
    assert np.array_equal(read.pixels[10:], pixels[10:, :, :3])
    assert np.abs(read.pixels[0, 0] - pixels[10:, :, :3].mean((0, 1))).max() <= 0.5
    assert read.alpha is not None
    assert np.array_equal(read.alpha, pixels[..., 3])


def test_a_wholly_transparent_photo_is_read() -> None:
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
def test_16_bit_grey_is_scaled_and_not_clipped(format: str) -> None:
    values = np.linspace(0, 65535, 256).round().astype(np.uint16)[None]
    read = photo.read(saved(Image.fromarray(values), format))
    assert np.array_equal(read.pixels[0, :, 1], np.arange(256))


def test_float_grey_with_infinities_and_no_numbers() -> None:
    values = np.array([[0, 0.5, 1, -3, np.nan, np.inf, -np.inf]], np.float32)
    read = photo.read(saved(Image.fromarray(values), "TIFF"))
    assert read.pixels[0, :, 0].tolist() == [0, 128, 255, 0, 0, 255, 0]


def test_cmyk_and_lab_are_read_as_the_colours_they_mean() -> None:
    ink = Image.new("CMYK", (8, 8), (0, 255, 255, 0))
    red, green, blue = photo.read(saved(ink, "TIFF")).pixels[4, 4].astype(int)
    assert red > 180
    assert max(green, blue) < 90
    lab = Image.new("LAB", (8, 8), (128, 128, 128))
    assert np.ptp(photo.read(saved(lab, "TIFF")).pixels[4, 4].astype(int)) <= 2


def test_colours_are_converted_from_the_profile_and_back() -> None:
    pixels = scene() // 2 + 64
    profile = display_p3()
    read = photo.read(saved(Image.fromarray(pixels), "PNG", icc_profile=profile))

    def to_linear(v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        return np.where(v > 0.04045, ((v + 0.055) / 1.055) ** 2.4, v / 12.92)

    # ICC adapts to D50; these are the primaries of sRGB there.
    srgb = [(0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141)]
    linear = to_linear(pixels / 255) @ np.array(P3) @ np.linalg.inv(srgb)
    assert linear.min() > 0, "the scene should lie within sRGB"
    expected = 255 * np.where(
        linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear
    )
    assert np.abs(read.pixels - pixels.astype(int)).max() > 5
    assert np.abs(read.pixels - expected).max() < 1.5

    for format in ("JPEG", "PNG", "WEBP", "TIFF"):
        stream = BytesIO(photo.encode(read, format))
        with Image.open(stream) as written:
            assert written.info["icc_profile"] == profile
            if format in ("PNG", "TIFF"):
                assert np.abs(np.asarray(written).astype(int) - pixels).max() <= 2


def test_an_srgb_photo_is_not_touched_and_stays_tagged() -> None:
    pixels = scene()
    read = photo.read(saved(Image.fromarray(pixels), "PNG", icc_profile=SRGB))
    assert np.array_equal(read.pixels, pixels)
    stream = BytesIO(photo.encode(read, "PNG"))
    with Image.open(stream) as written:
        assert written.info["icc_profile"] == SRGB
        assert np.array_equal(np.asarray(written), pixels)


@pytest.mark.parametrize("profile", [b"nonsense", SRGB[:200], SRGB[:130] + b"\xff" * 400])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_an_unusable_profile_is_as_good_as_none(profile: bytes, mode: str) -> None:
    image = Image.fromarray(scene()).convert(mode)
    read = photo.read(saved(image, "TIFF", icc_profile=profile))
    assert np.array_equal(read.pixels, np.asarray(image.convert("RGB")))
    assert read.profile is None


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "BMP"])
def test_a_file_cut_off_anywhere_is_refused_or_read_whole(format: str) -> None:
    whole = saved(Image.fromarray(scene()), format).getvalue()
    for length in [*range(0, 64, 3), *range(64, len(whole), max(1, len(whole) // 40))]:
        with suppress(PhotostyleError):
            assert photo.read(BytesIO(whole[:length])).size == (60, 40)


def test_what_is_no_photo_is_refused_in_one_sentence(tmp_path: Path) -> None:
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


def test_the_content_decides_and_not_the_extension(tmp_path: Path) -> None:
    Image.fromarray(scene()).save(tmp_path / "photo.jpg", "PNG")
    read = photo.read(tmp_path / "photo.jpg")
    assert read.format == "PNG"
    assert np.array_equal(read.pixels, scene())


def test_too_many_pixels_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(photo, "MAX_PIXELS", 2_000_000)
    small = saved(Image.new("1", (1000, 2000)), "PNG")
    large = saved(Image.new("1", (1001, 2000)), "PNG")
    assert photo.read(small).size == (1000, 2000)
    with pytest.raises(PhotostyleError, match="the limit is 2 megapixels"):
        photo.read(large)


def test_what_a_format_cannot_hold_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    wide = Photo(np.zeros((1, 70_000, 3), np.uint8))
    for name in ("wide.jpg", "wide.webp"):
        with pytest.raises(PhotostyleError, match="70000 x 1 pixels cannot be written"):
            photo.write(wide, tmp_path / name)
    with pytest.raises(PhotostyleError, match="extension that can be written"):
        photo.write(wide, tmp_path / "wide.pdf")
    assert list(tmp_path.iterdir()) == []
    photo.write(wide, tmp_path / "wide.png")
    assert photo.read(tmp_path / "wide.png").size == (70_000, 1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_a_block_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), files.new_file(tmp_path / "new.jpg") as stream:
        stream.write(b"half")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_block_that_fails_leaves_an_existing_file_as_it_was(tmp_path: Path) -> None:
    target = tmp_path / "old.jpg"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), files.new_file(target, overwrite=True) as stream:
        stream.write(b"half")
        raise KeyboardInterrupt
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_meanwhile_is_not_overwritten(
    tmp_path: Path, links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not links:  # as on a memory card

        def refuse(*_: Path) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    target = tmp_path / "new.jpg"
    with (
        pytest.raises(PhotostyleError, match="exists already"),
        files.new_file(target) as stream,
    ):
        stream.write(b"mine")
        target.write_bytes(b"theirs")
    assert target.read_bytes() == b"theirs"
    other = tmp_path / "other.jpg"
    with files.new_file(other) as stream:
        stream.write(b"mine")
    assert other.read_bytes() == b"mine"
    assert sorted(tmp_path.iterdir()) == [target, other]


def test_overwriting_follows_links_and_spares_what_is_no_file(tmp_path: Path) -> None:
    target, link = tmp_path / "photo.png", tmp_path / "link.png"
    target.write_bytes(b"old")
    link.symlink_to(target)
    with pytest.raises(PhotostyleError, match="exists already"):
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
    row = photo.side_by_side(*photos)
    width, height = sizes[0]
    assert row.size[1] == height
    assert width <= row.size[0] <= width * len(sizes)
    assert np.array_equal(row.pixels[:, :width], photos[0].pixels)

"""Which of the images of a file is the photo, which part of it, and which way up."""

from __future__ import annotations

import struct
import subprocess
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image
from support.photos import camera_exif, saved, scene

from photostyle import PhotostyleError, photo
from photostyle.photo.jxl import with_srgb_curve
from photostyle.video.ffmpeg import executable

TURNED = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'


@pytest.mark.parametrize("orientation", range(1, 9))
def test_jpeg_xl_made_from_a_jpeg_is_as_upright_as_the_jpeg(
    tmp_path: Path, orientation: int
) -> None:
    pytest.importorskip("pillow_jxl")
    jpeg = tmp_path / "photo.jpg"
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(scene(64, 40)).save(jpeg, exif=exif.tobytes(), quality=95)
    with Image.open(jpeg) as image, pytest.warns(UserWarning, match="JPEG reconstruction"):
        image.save(tmp_path / "photo.jxl")
    expected = photo.read(jpeg)
    read = photo.read(tmp_path / "photo.jxl")
    assert read.size == expected.size
    assert np.abs(read.pixels.astype(int) - expected.pixels).max() <= 2


@pytest.mark.parametrize("deep", [False, True])
def test_frames_of_jpeg_xl(deep: bool) -> None:
    pytest.importorskip("pillow_jxl")
    from imagecodecs import jpegxl_encode

    frames = np.stack([scene(), 255 - scene(), scene() // 2])
    values = frames.astype(np.uint16) * 257 if deep else frames
    data = bytes(jpegxl_encode(values, lossless=True, usecontainer=True))
    stream = BytesIO(with_srgb_curve(data) if deep else data)
    read = photo.read(stream)
    assert read.animation is not None
    assert read.animation.duration == 100  # one of ten ticks per second
    assert [frame.duration for frame in read.animation.frames] == [100, 100]
    assert read.animation.loop == 0
    shown = [read.pixels, *(frame.pixels for frame in read.animation.frames)]
    assert np.array_equal(np.stack(shown), values)
    still = photo.read(stream, still=True)
    assert np.array_equal(still.pixels, values[0])
    assert (still.animation, still.notes) == (None, ())


def test_times_of_lossy_frames_of_jpeg_xl() -> None:
    pytest.importorskip("pillow_jxl")
    source = ["-f", "lavfi", "-i", "testsrc2=size=300x200:rate=25", "-vf", "settb=1/1000"]
    timing = ["-frames:v", "3", "-fps_mode", "passthrough", "-enc_time_base", "1/1000"]
    target = ["-c:v", "libjxl_anim", "-f", "image2pipe", "-"]
    command = [executable(), "-loglevel", "error", *source, *timing, *target]
    data = subprocess.run(command, capture_output=True, check=False).stdout
    if not data:
        pytest.skip("this ffmpeg does not write JPEG XL")
    read = photo.read(BytesIO(data))
    assert read.animation is not None
    assert [read.animation.duration, *(f.duration for f in read.animation.frames)] == [40] * 3


def test_without_known_times_the_first_frame_of_jpeg_xl_is_read_with_a_note(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("pillow_jxl")
    from imagecodecs import jpegxl_encode

    def unknown(_: object) -> None:
        raise ValueError

    monkeypatch.setattr("photostyle.photo.jxl_frames.durations", unknown)
    frames = np.stack([scene(), 255 - scene(), scene() // 2])
    read = photo.read(BytesIO(jpegxl_encode(frames, lossless=True)))
    assert np.array_equal(read.pixels, frames[0])
    assert read.animation is None
    (note,) = read.notes
    assert note.endswith("The file is an animation; only its first frame was read.")


def test_a_heic_file_with_several_images_is_a_photo() -> None:
    pytest.importorskip("pillow_heif")
    images = [Image.fromarray(pixels) for pixels in (scene(), 255 - scene(), scene(64, 64))]
    for primary, expected in enumerate((scene(), 255 - scene())):
        stream = saved(
            images[0], "HEIF", save_all=True, append_images=images[1:], primary_index=primary
        )
        read = photo.read(stream)
        assert read.animation is None
        assert read.size == (60, 40)
        assert np.abs(read.pixels.astype(int) - expected).mean() < 4
        (note,) = read.notes
        assert note.endswith("The file contains several images; only the primary was read.")


def test_the_second_image_of_an_mpo_is_left_out_with_a_note() -> None:
    images = [Image.fromarray(pixels) for pixels in (scene(), 255 - scene())]
    read = photo.read(saved(images[0], "MPO", save_all=True, append_images=images[1:]))
    assert np.abs(read.pixels.astype(int) - scene()).mean() < 4
    assert read.animation is None
    assert any("several images; only the first was read" in note for note in read.notes)
    assert photo.read(saved(images[0], "JPEG")).notes == ()


def test_xmp_does_not_turn_an_avif() -> None:
    image = Image.fromarray(scene())
    assert photo.read(saved(image, "AVIF", xmp=TURNED)).size == (60, 40)
    both = saved(image, "AVIF", exif=camera_exif(6), xmp=TURNED)
    assert photo.read(both).size == (40, 60)  # once, by a property of the image


def with_clean_aperture(avif: bytes, *clap: int) -> bytes:
    """An AVIF file of libavif with one more property of its first item."""
    property = struct.pack(">I4s8i", 40, b"clap", *clap)
    ipco, ipma, iloc = (avif.index(name) - 4 for name in (b"ipco", b"ipma", b"iloc"))
    (length,) = struct.unpack_from(">I", avif, ipco)
    number = 0  # of the new property
    at = ipco + 8
    while at < ipco + length:
        at, number = at + struct.unpack_from(">I", avif, at)[0], number + 1
    entry = ipma + 8 + 4 + 4 + 2  # count of the properties of the first item
    result = bytearray(avif)
    items = struct.unpack_from(">H", avif, iloc + 14)[0]
    for offset in range(iloc + 22, iloc + 22 + 14 * items, 14):  # of version 0, with 4-byte offsets
        (value,) = struct.unpack_from(">I", avif, offset)
        struct.pack_into(">I", result, offset, value + len(property) + 1)
    for name, more in ((b"meta", 41), (b"iprp", 41), (b"ipco", 40), (b"ipma", 1)):
        (size,) = struct.unpack_from(">I", avif, avif.index(name) - 4)
        struct.pack_into(">I", result, avif.index(name) - 4, size + more)
    result[entry] += 1
    result[entry + 1 : entry + 1] = bytes([0x80 | (number + 1)])
    result[ipco + length : ipco + length] = property
    return bytes(result)


@pytest.mark.parametrize("orientation", [1, 6])
def test_the_clean_aperture_of_an_avif_is_cut_out(orientation: int) -> None:
    data = saved(
        Image.fromarray(scene()), "AVIF", quality=100, exif=camera_exif(orientation)
    ).getvalue()
    whole = photo.read(BytesIO(data)).pixels
    stored = whole if orientation == 1 else np.rot90(whole, 1)
    # 20 x 10 pixels, whose centre is 5 to the right of the centre of the image and 4 above it.
    read = photo.read(BytesIO(with_clean_aperture(data, 20, 1, 10, 1, 5, 1, -4, 1)))
    expected = stored[11:21, 25:45]
    assert np.array_equal(read.pixels, expected if orientation == 1 else np.rot90(expected, -1))
    # Half a pixel is rounded down, as libheif does.
    read = photo.read(BytesIO(with_clean_aperture(data, 21, 1, 10, 1, 5, 1, -4, 1)))
    assert read.size in ((21, 10), (10, 21))
    for invalid in (
        (61, 1, 40, 1, 0, 1, 0, 1),
        (20, 1, 10, 1, 40, 1, 0, 1),
        (0, 0, 9, 1, 0, 1, 0, 1),
    ):
        same = photo.read(BytesIO(with_clean_aperture(data, *invalid))).pixels
        assert np.array_equal(same, whole)


def test_a_file_of_boxes_that_never_end_is_refused() -> None:
    endless = struct.pack(">I4s", 0, b"meta") + struct.pack(">I4s", 4, b"free") * 99
    for start in (b"\0\0\0\x14ftypavif\0\0\0\0avif", b"\0\0\0\x0cJXL \r\n\x87\n"):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(start + endless))

"""Image sequences: which files are frames, in which order, and what is read of them."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import OpenEXR
import pytest
import tifffile
from imagecodecs import png_encode
from PIL import Image, ImageCms
from support.clips import Probed, ffmpeg

from photostyle import PhotostyleError
from photostyle.jobs.clip import preview_clip, stylize_clip
from photostyle.jobs.image_sequence import has_transparency, probe, reader
from photostyle.video import Source

Array = npt.NDArray[Any]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def grey(level: int, size: tuple[int, int] = (32, 16), mode: str = "RGB") -> Image.Image:
    return Image.new("L", size, level).convert(mode)


def save(*names: str) -> None:
    """Grey frames of 10, 20, 30 and so on, in the order of the names."""
    for number, name in enumerate(names, 1):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        grey(10 * number).save(name)


def levels(path: str, **options: Any) -> list[int]:
    """The brightness of each frame that is read."""
    return [round(f.pixels.mean()) for f in reader(probe(Source(Path(path), **options)))]


@pytest.mark.parametrize(
    ("names", "path"),
    [
        (("1.png", "2.png", "9.png", "10.png", "11.png"), "f"),
        (("a1.png", "a2.png", "a10.png"), "f/a%d.png"),
        (("1001.png", "1002.png", "1003.png"), "f/%04d.png"),
        (("998.png", "999.png", "1000.png"), "f/%03d.png"),
        (("shot 2.v3.0999.png", "shot 2.v3.1000.png"), "f/shot 2.v3.####.png"),
        (("7.jpg", "8.jpg", "10.jpg"), "f/*.jpg"),
        (("1.png", "2.jpg", "3.bmp", "4.PNG", "5.tif"), "f"),
        (("50%.1.png", "50%.2.png"), "f/50%%.%d.png"),
    ],
)
def test_frames_come_in_the_order_of_their_numbers(names: tuple[str, ...], path: str) -> None:
    save(*(f"f/{name}" for name in names))
    save("f/._1.png")
    Path("f/notes.txt").write_text("no image")
    assert levels(path) == [10 * number for number in range(1, len(names) + 1)]


@pytest.mark.parametrize("name", ["a b", "100%", "%04d", "[a]*", "*", "-y", "\u00e9:x"])
def test_folders_may_have_any_name(name: str) -> None:
    names = [f"{name}/{number}.jpg" for number in (9, 10, 11)]
    save(*names)
    for path in (name, f"{name}/%d.jpg", f"{name}/*.jpg"):
        assert levels(path) == [10, 20, 30]


def test_a_file_with_the_name_of_a_pattern_is_a_file() -> None:
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:d=0.2:r=10", "%d [*].mp4")
    assert probe(Source(Path("%d [*].mp4"))).size == (64, 48)


@pytest.mark.parametrize(
    ("numbers", "note"),
    [
        ((1, 2, 3), None),
        ((10, 20, 30), None),
        ((1, 2, 5, 6), "Frames are missing between '2.png' and '5.png'; the next"),
        ((1, 3, 4, 8), "Frames are missing between '1.png' and '3.png' and in 1 more places;"),
    ],
)
def test_gaps_are_noted(numbers: tuple[int, ...], note: str | None) -> None:
    save(*(f"f/{number}.png" for number in numbers))
    frames = reader(probe(Source(Path("f"))))
    assert [frame.tick for frame in frames] == list(range(len(numbers)))
    assert frames.notes == [] if note is None else frames.notes[0].startswith(note)


def test_frames_that_cannot_be_used_are_named(model: str) -> None:
    grey(90).save("style.png")
    save("size/1.png", "size/2.png", "size/3.png", "twice/1.png", "twice/1.jpg", "bad/1.png")
    grey(0, (16, 16)).save("size/2.png")
    data = Path("bad/1.png").read_bytes()
    Path("bad/2.png").write_bytes(data[:-30])
    Path("empty").mkdir()
    Path("folders/sub.png").mkdir(parents=True)
    wrong = {
        "size": "'size/2.png' has 16x16 pixels, but the first one, '1.png', has 32x16",
        "twice": "'twice/1.jpg' and '1.png' are the same frame",
        "bad": "'bad/2.png' is damaged",
        "empty": "The folder 'empty' has no frames",
        "folders": "The folder 'folders' has no frames",
        "size/%d.jpg": "No image has a name like 'size/%d.jpg'",
        "none/*.jpg": "'none/\\*.jpg' cannot be read: No such file",
        "size/1.png": "is a photo; .* or a pattern in quotes",
    }
    for path, message in wrong.items():
        with pytest.raises(PhotostyleError, match=message):
            stylize_clip(path, "style.png", "out.mp4", model=model, temporal="frame", strength=0)
        assert not Path("out.mp4").exists()


def test_a_part_at_a_rate() -> None:
    save(*(f"f/{number}.png" for number in range(1, 13)))
    rate = Fraction(10)
    assert levels("f", rate=rate, start=0.3, end=0.6) == [40, 50, 60]
    clip = probe(Source(Path("f"), rate, 0.3, 0.6))
    assert (clip.rate, clip.frame_count, clip.time_base) == (rate, 3, 1 / rate)
    with pytest.raises(PhotostyleError, match=r"no frame after 1.2 seconds"):
        probe(Source(Path("f"), rate, 1.2))


def test_every_frame_becomes_one_of_the_clip(model: str) -> None:
    """From folder to file; the sizes of both passes, and of the preview."""
    grey(90).save("style.png")
    Path("f").mkdir()
    for number in range(1, 12):
        grey(20 * number, (320, 180)).save(f"f/{number}.png")
    options: Any = {"model": model, "device": "cpu", "strength": 0}
    report = stylize_clip("f", "style.png", "out.mp4", fps=Fraction(24000, 1001), **options)
    after = Probed("out.mp4")
    assert (report.frames, report.notes, after.rate) == (11, (), Fraction(24000, 1001))
    means = [pixels.mean() for pixels in after.pixels]
    assert np.abs(np.array(means) - 20 * np.arange(1, 12)).max() < 1.5
    assert after.tags == (1, 1, 1, 13)  # limited range, BT.709, the curve of sRGB (H.273)
    small = list(reader(probe(Source(Path("f"))), 64))
    assert small[0].pixels.shape == (36, 64, 3)
    assert [round(frame.pixels.mean()) for frame in small] == [20 * n for n in range(1, 12)]
    assert preview_clip("f/%d.png", "style.png", "p.png", moments=3, **options).frames == 3


def test_16_bits_of_png() -> None:
    ramp = np.arange(64 * 3 * 16, dtype=np.uint16).reshape(16, 64, 3) * 21
    Path("f").mkdir()
    for number in (1, 2):
        Path(f"f/{number}.png").write_bytes(png_encode(ramp + number))
    clip = probe(Source(Path("f")))
    assert (clip.depth, clip.has_alpha) == (16, False)
    for number, frame in enumerate(reader(clip, depth=16), 1):
        assert np.array_equal(frame.pixels, ramp + number)


def srgb(light: Array) -> Array:
    """IEC 61966-2-1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def test_openexr_has_one_white_in_all_frames() -> None:
    light = np.full((16, 32, 3), 0.18, np.float32)
    light[:, 16:] = [0.5, 0.02, 0.9]
    Path("f").mkdir()
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    for number in (1, 2):
        light[: 8 * number - 8, :16] = 7  # a lamp in the second frame
        with OpenEXR.File(header, {"RGB": light.copy()}) as file:
            file.write(f"f/render.{number}.exr")
        tifffile.imwrite(f"f/float.{number}.tif", light, photometric="rgb")
    clip = probe(Source(Path("f/*.exr")))
    frames = reader(clip, depth=16)
    shown = [frame.pixels for frame in frames]
    assert clip.depth == 16
    assert np.abs(shown[0] - 65535 * srgb(light)).max(where=light < 1, initial=0) < 2
    assert np.array_equal(shown[0][8:], shown[1][8:])
    assert shown[1][:8, :16].min() == 65535
    assert "'render.2.exr', and perhaps later frames: The brightest light" in frames.notes[0]
    floats = [f.pixels for f in reader(probe(Source(Path("f/float.%d.tif"))), depth=16)]
    assert np.array_equal(floats[0][8:], floats[1][8:])


def test_dpx() -> None:
    pattern = "color=0x4080c0:s=32x16:d=0.1:r=20"
    ffmpeg("-f", "lavfi", "-i", pattern, "-pix_fmt", "gbrp10le", "f%d.dpx")
    frames = list(reader(probe(Source(Path("f%d.dpx")))))
    assert len(frames) == 2
    assert np.abs(frames[1].pixels - np.array([0x40, 0x80, 0xC0], int)).max() <= 1


def test_transparency_profiles_and_orientation() -> None:
    Path("f").mkdir()
    grey(200, mode="RGB").save("f/1.png")
    shown = grey(200, mode="RGBA")
    shown.putalpha(128)
    shown.save("f/2.png")
    clip = probe(Source(Path("f")))
    assert clip.has_alpha
    assert has_transparency(clip)
    alpha = [frame.alpha for frame in reader(clip, alpha=True)]
    assert alpha[0] is None
    assert alpha[1] is not None
    assert (alpha[1] == 128).all()

    Path("turned").mkdir()
    exif = Image.Exif()
    exif[0x112] = 6
    red = np.zeros((16, 32, 3), np.uint8)
    red[:8] = [0, 200, 0]
    Image.fromarray(red).save("turned/1.png", exif=exif)
    frame = next(iter(reader(probe(Source(Path("turned"))))))
    assert frame.pixels.shape == (32, 16, 3)
    assert frame.pixels[0, -1].tolist() == [0, 200, 0]

    Path("lab").mkdir()
    lab = ImageCms.createProfile("LAB")
    to_lab = ImageCms.buildTransform(ImageCms.createProfile("sRGB"), lab, "RGB", "LAB")
    converted = ImageCms.applyTransform(grey(120), to_lab)
    assert converted is not None
    converted.save("lab/1.tif")
    frame = next(iter(reader(probe(Source(Path("lab"))))))
    assert np.abs(frame.pixels.astype(int) - 120).max() <= 1

"""HDR clips, made and checked by the formulas of BT.2100."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from typing import Any

import av
import imageio_ffmpeg
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from support.clips import Probed

from photostyle import PhotostyleError
from photostyle.jobs.clip import ClipReport, stylize_clip
from photostyle.transfer.hdr import HdrCanvas, HdrSpace
from photostyle.video import Reader, Source, probe

Array = npt.NDArray[np.float64]

TAGS = {"pq": (9, 9, 16), "hlg": (9, 9, 18)}
"""Matrix, primaries and transfer function (ITU-T H.273)."""

MASTERING = (
    "master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    ":max-cll=800,200"
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(40, 220, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save("style.png")


def pq(light: Array) -> Array:
    """SMPTE ST 2084, equation 5.2; light in cd/m2."""
    y = (np.asarray(light) / 10_000) ** 0.1593017578125
    return np.asarray(((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375)


def hlg(light: Array) -> Array:
    """ARIB STD-B67 of the light of grey on a display of 1,000 cd/m2."""
    scene = (np.asarray(light) / 1000) ** (1 / 1.2)
    bright = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), bright)


def make(name: str, kind: str, rgb: Array, *x265: str) -> Path:
    """A clip of three equal frames of R, G and B (H, W, 3), in 0..1, as HEVC of 10 bits."""
    weights = np.array([0.2627, 0.6780, 0.0593])
    y = rgb @ weights
    u, v = (rgb[..., 2] - y) / 1.8814, (rgb[..., 0] - y) / 1.4746
    planes = 64 + 876 * y, 512 + 896 * u, 512 + 896 * v
    raw = b"".join(plane.round().astype("<u2").tobytes() for plane in planes) * 3
    height, width = y.shape
    transfer = {"pq": "smpte2084", "hlg": "arib-std-b67"}[kind]
    tags = f"colorspace=bt2020nc:color_primaries=bt2020:color_trc={transfer}:range=tv"
    read = f"-f rawvideo -pix_fmt yuv444p10le -s {width}x{height} -r 25 -i -".split()
    codec = ["-c:v", "libx265", "-x265-params", ":".join(["log-level=error", "lossless=1", *x265])]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *read]
    command += ["-vf", f"setparams={tags}", *codec, "-tag:v", "hvc1", name]
    subprocess.run(command, input=raw, check=True)
    return Path(name)


def greys(kind: str) -> tuple[Array, Array]:
    """Light in cd/m2 (W,), and a picture (32, W, 3) of it."""
    light = np.geomspace(0.05, 1000, 640)
    values = (pq if kind == "pq" else hlg)(light)
    return light, np.broadcast_to(values[None, :, None], (32, 640, 3))


def in_sdr(light: Array, peak: float = 1000.0) -> Array:
    """Grey of SDR, 0..1: half of 203 cd/m2 stays, a Moebius curve follows, then sRGB's curve."""
    x, p, j = light / 203, peak / 203, 0.5
    a = -j * j * (p - 1) / (j * j - 2 * j + p)
    b = (j * j - 2 * j * p + p) / (p - 1)
    x = np.where(x <= j, x, (b * b + 2 * b * j + j * j) / (b - a) * (x + a) / (x + b)).clip(0, 1)
    return np.where(x <= 0.0031308, 12.92 * x, 1.055 * x ** (1 / 2.4) - 0.055)


def stylize(clip: Path, target: str, **options: Any) -> ClipReport:
    return stylize_clip(clip, "style.png", target, model="none", preset="veryfast", **options)


def decoded(path: str) -> Array:
    """R, G and B of the first frame of 10 bits, 0..1, by the matrix of BT.2020."""
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        planes = [
            np.frombuffer(memoryview(plane), "<u2").reshape(plane.height, -1)[:, : plane.width]
            for plane in frame.planes
        ]
    y = (planes[0].astype(float) - 64) / 876
    u, v = ((c.astype(float).repeat(2, 0).repeat(2, 1) - 512) / 896 for c in planes[1:])
    r, b = y + 1.4746 * v, y + 1.8814 * u
    return np.stack([r, (y - 0.2627 * r - 0.0593 * b) / 0.6780, b], -1)


def side_data(path: str) -> dict[str, bytes]:
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        found: list[Any] = list(frame.side_data)
        return {str(one.type): bytes(one) for one in found if "SEI" not in str(one.type)}


@pytest.mark.parametrize("kind", TAGS)
def test_greys_become_sdr(kind: str) -> None:
    light, picture = greys(kind)
    clip = probe(Source(make("in.mp4", kind, picture)))
    frame = next(iter(Reader(clip, depth=16)))
    error = np.abs(frame.pixels[16] / 65535 - in_sdr(light)[:, None])
    assert error.max() < 3 / 1023  # the source has only 10 bits


def test_white_of_sdr() -> None:
    clip = make("in.mp4", "pq", np.full((32, 64, 3), pq(np.array(203.0))))
    report = stylize(clip, "out.mp4", strength=0)
    assert "BT.709" in report.notes[0]
    after = Probed("out.mp4")
    assert after.tags[1:] == (1, 1, 1)
    assert (after.codec, after.format) == ("h264", "yuv420p")
    assert after.pixels[0].mean() / 255 == pytest.approx(in_sdr(np.array(203.0)), abs=0.005)
    assert not side_data("out.mp4")


def test_the_peak_of_the_clip_is_white() -> None:
    light, picture = greys("pq")
    clip = probe(Source(make("in.mp4", "pq", picture, MASTERING)))
    assert clip.hdr.peak == 800
    frame = next(iter(Reader(clip, depth=16)))
    assert np.abs(frame.pixels[16] / 65535 - in_sdr(light, 800)[:, None]).max() < 3 / 1023


def test_colors_become_those_of_bt709() -> None:
    """BT.709's primaries of 100 cd/m2, converted to BT.2020 by ITU-R BT.2087, table 2."""
    to_2020 = np.array(
        [[0.6274, 0.3293, 0.0433], [0.0691, 0.9195, 0.0114], [0.0164, 0.0880, 0.8956]]
    )
    picture = np.repeat(pq(100 * np.eye(3) @ to_2020.T)[None], 16, 0).repeat(16, 1)
    frame = next(iter(Reader(probe(Source(make("in.mp4", "pq", picture))))))
    expected = 255 * in_sdr(np.array(100.0)) * np.eye(3)
    assert np.abs(frame.pixels[8, 8::16] - expected).max() < 12  # the source has 10 bits


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("codec", ["h265", "av1"])
def test_hdr_is_kept(kind: str, codec: str) -> None:
    _, picture = greys(kind)
    clip = make("in.mp4", kind, picture, *([MASTERING] if kind == "pq" else []))
    report = stylize(clip, "out.mp4", strength=0, hdr="keep", codec=codec, crf=4)
    assert not report.notes
    after = Probed("out.mp4")
    assert after.tags == (1, *TAGS[kind])
    assert after.format == "yuv420p10le"
    assert np.abs(decoded("out.mp4") - picture).mean() < 2 / 1023
    if codec == "h265":
        assert side_data("out.mp4") == side_data("in.mp4")
    assert probe(Source(Path("out.mp4"))).hdr.light == probe(Source(clip)).hdr.light
    assert bool(side_data("out.mp4")) == (kind == "pq")


@pytest.mark.parametrize("kind", TAGS)
def test_a_look_on_hdr(kind: str) -> None:
    _, picture = greys(kind)
    clip = make("in.mp4", kind, picture)
    assert not stylize(clip, "out.mp4", hdr="keep").notes
    after = decoded("out.mp4")
    assert np.abs(after - picture).mean() > 0.02
    levels = np.unique((after[..., 1] * 1023).round())
    assert len(levels) > 0.7 * (levels[-1] - levels[0])  # of 8 bits a quarter
    # What SDR shows of both is the look of SDR.
    stylize(clip, "sdr.mp4")
    shown = next(iter(Reader(probe(Source(Path("out.mp4")))))).pixels.astype(float)
    assert np.abs(shown - next(iter(Reader(probe(Source(Path("sdr.mp4")))))).pixels).mean() < 4


@pytest.mark.parametrize("hlg", [False, True])
def test_a_canvas_of_hdr_changes_nothing_by_itself(hlg: bool) -> None:
    colors = np.random.default_rng(2).random((40, 50, 3))
    values = (65535 * (0.2 + 0.6 * colors)).round().astype(np.uint16)
    space = HdrSpace(hlg, 600.0)
    canvas = HdrCanvas(values.copy(), space, in_place=True)
    strip = canvas.rows(0, 40)
    assert strip.min() >= 0
    assert strip.max() <= 1
    canvas.put(0, strip.clone())
    assert (
        np.abs(np.asarray(canvas.result()).astype(float) - values).max() < 16
    )  # a quarter of 1023
    # Half of what SDR shows, where it shows all.
    inside = (strip.amin(0) > 0.01) & (strip.amax(0) < 0.999)
    assert inside.float().mean() > 0.1
    canvas.put(0, strip * 0.5)
    assert (canvas.rows(0, 40) - strip / 2).abs()[:, inside].max() < 0.02


def test_colors_beyond_sdr_follow_the_look() -> None:
    """Grey instead of a green outside BT.709, and half of the light of 5,000 cd/m2."""
    light = np.array([[0.0, 100, 0], [5000, 5000, 5000]])
    values = (pq(light)[None] * 65535).round().astype(np.uint16)
    canvas = HdrCanvas(values, HdrSpace(False, 1000.0), in_place=True)
    shown = canvas.rows(0, 1)
    shown[:, 0, 0] = 0.5
    shown[:, 0, 1] = 0.7
    canvas.put(0, shown)
    result = np.asarray(canvas.result())[0] / 65535
    assert np.ptp(result, axis=1).max() < 0.002
    assert result[0, 0] == pytest.approx(
        pq(np.array(203 * ((0.5 + 0.055) / 1.055) ** 2.4)), abs=0.002
    )
    assert result[1, 0] < pq(np.array(600.0))


def with_dolby_vision(path: Path, profile: int, compatible: int) -> Path:
    """The clip with Dolby Vision's configuration box (Dolby Vision in ISOBMFF, 3.2)."""
    data = path.read_bytes()
    flags = profile << 9 | 4 << 3 | 0b101
    body = struct.pack(">2BHB19x", 1, 0, flags, compatible << 4)
    box = struct.pack(">I4s", 8 + len(body), b"dvcC" if profile < 8 else b"dvvC") + body
    start, grown = 0, bytearray(data)
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"hvc1"):
        while data[start + 4 : start + 8] != name:
            start += int.from_bytes(data[start : start + 4])
        size = int.from_bytes(data[start : start + 4])
        grown[start : start + 4] = (size + len(box)).to_bytes(4)
        end = start + size
        start += {b"stsd": 16, b"hvc1": 86}.get(name, 8)
    grown[end:end] = box
    path.write_bytes(grown)
    return path


def hdr10_plus() -> bytes:
    """SMPTE ST 2094-40 in a message of Rec. ITU-T T.35: one window, and no optional part."""
    fields = [(1, 2), (400, 27), (0, 1), *[(50_000, 17)] * 3, (20_000, 17), (0, 4), (0, 10)]
    bits = "".join(f"{value:0{width}b}" for value, width in [*fields, (0, 1), (0, 1), (0, 1)])
    bits += "0" * (-len(bits) % 8)
    header = bytes.fromhex("b5 003c 0001 04 01")
    return header + int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_hdr10_plus_is_noted() -> None:
    """Also if only a later frame has it."""
    plain = make("plain.hevc", "pq", greys("pq")[1], "bframes=0")
    stream, payload = plain.read_bytes(), hdr10_plus()
    # Bytes 0 0 0..3 are escaped; a prefix SEI message (39 << 1) of user data (4).
    message = bytes([4, len(payload), *payload, 0x80]).replace(b"\0\0", b"\0\0\3")
    place = stream.rindex(b"\x00\x00\x01\x02\x01")  # the last frame
    Path("plus.hevc").write_bytes(
        stream[:place] + b"\x00\x00\x01\x4e\x01" + message + stream[place:]
    )
    note = "The metadata of HDR10+ was left out; the result is HDR10."
    options: dict[str, Any] = {"strength": 0, "hdr": "keep"}
    assert note in stylize(Path("plus.hevc"), "out.mp4", **options).notes
    assert note not in stylize(plain, "out2.mp4", **options).notes
    assert note not in stylize(Path("plus.hevc"), "sdr.mp4", strength=0).notes


@pytest.mark.parametrize(("kind", "compatible", "base"), [("pq", 1, "HDR10"), ("hlg", 4, "HLG")])
def test_the_base_of_dolby_vision(kind: str, compatible: int, base: str) -> None:
    clip = with_dolby_vision(make("in.mp4", kind, greys(kind)[1]), 8, compatible)
    assert probe(Source(clip)).hdr.dolby_vision == (8, compatible)
    report = stylize(clip, "out.mp4", strength=0, hdr="keep")
    assert report.notes == (f"Dolby Vision's metadata was left out; the result is {base}.",)
    assert Probed("out.mp4").tags[1:] == TAGS[kind]


def test_dolby_vision_without_a_base_is_refused() -> None:
    clip = with_dolby_vision(make("in.mp4", "pq", greys("pq")[1]), 5, 0)
    with pytest.raises(PhotostyleError, match="Dolby Vision without a base"):
        stylize(clip, "out.mp4")


def test_hdr_of_8_bits_is_kept_in_10() -> None:
    deep = make("deep.mkv", "pq", greys("pq")[1])
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-i", str(deep)]
    subprocess.run([*command, "-pix_fmt", "yuv420p", "-c:v", "libx264", "in.mkv"], check=True)
    assert probe(Source(Path("in.mkv"))).depth == 8
    stylize(Path("in.mkv"), "out.mp4", strength=0, hdr="keep")
    found = Probed("out.mp4")
    assert (found.format, found.tags[1:]) == ("yuv420p10le", TAGS["pq"])


def test_what_cannot_hold_hdr_is_refused() -> None:
    clip = make("in.mp4", "pq", greys("pq")[1])
    for options in ({"codec": "h264"}, {"depth": "8"}):
        with pytest.raises(PhotostyleError, match="cannot hold HDR"):
            stylize(clip, "out.mp4", hdr="keep", **options)
    with pytest.raises(PhotostyleError, match="cannot hold HDR"):
        stylize(clip, "out.gif", hdr="keep")
    with pytest.raises(PhotostyleError, match="PNG frames"):
        stylize(clip, "out.mp4", hdr="keep", frames_dir="frames")
    assert not Path("out.mp4").exists()

"""What `keep` leaves of a photo, by the matrix of YCbCr and through the command."""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from photostyle.bench.scene import scene
from photostyle.cli import cli
from photostyle.transfer.canvas import STRIP
from photostyle.transfer.kept import keeping
from photostyle.transfer.options import Keep, Mode
from photostyle.transfer.stylizer import Stylizer

Floats = npt.NDArray[np.float32]


def ycbcr(rgb: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """BT.709, equations 3.2 and 3.3, of (H, W, 3)."""
    luma = rgb @ [0.2126, 0.7152, 0.0722]
    blue, red = (rgb[..., 2] - luma) / 1.8556, (rgb[..., 0] - luma) / 1.5748
    return np.stack([luma, blue, red], -1)


@pytest.mark.parametrize(("keep", "kept"), [("luminance", [0]), ("color", [1, 2])])
@pytest.mark.parametrize("mode", ["fast", "exact"])
@pytest.mark.parametrize("strength", [0.5, 1.0])
def test_a_photo_keeps_its_part_and_takes_the_other(
    photonas: Stylizer,
    monkeypatch: pytest.MonkeyPatch,
    keep: Keep,
    kept: list[int],
    mode: Mode,
    strength: float,
) -> None:
    size = (128, 96)
    monkeypatch.setitem(STRIP, "cpu", 40 * 96)  # four strips
    # Between 0.4 and 0.6 all combinations are in range.
    content = (0.4 + 0.2 * scene(*size) / 255).astype(np.float32)
    style = photonas.learn((scene(96, 128) * [0.9, 0.6, 0.4]).astype(np.uint8))
    plain, result = (
        ycbcr(photonas.apply(content, style, strength, mode=mode, working_size=96, keep=one))
        for one in ("none", keep)
    )
    photo, taken = ycbcr(content), [part for part in range(3) if part not in kept]
    assert np.abs(plain - photo)[..., taken].max() > 0.01
    np.testing.assert_allclose(result[..., kept], photo[..., kept], atol=1e-4)
    np.testing.assert_allclose(result[..., taken], plain[..., taken], atol=1e-4)


def test_chroma_without_room_is_reduced_and_keeps_hue_and_luma() -> None:
    content, result = torch.full((3, 1, 1), 0.95), torch.tensor([0.9, 0.3, 0.1])[:, None, None]
    made = keeping(result, content, "luminance")[:, 0, 0].numpy()
    assert made.max() == pytest.approx(1)
    assert ycbcr(made)[0] == pytest.approx(0.95, abs=1e-6)
    hue, saturation, _ = colorsys.rgb_to_hsv(*made)
    assert saturation > 0.05
    assert hue == pytest.approx(colorsys.rgb_to_hsv(0.9, 0.3, 0.1)[0], abs=1e-5)


def test_black_and_white_stay_in_range() -> None:
    ends = torch.tensor([0.0, 1.0]).expand(3, 1, 2)
    color = torch.tensor([1.0, 0.0, 0.5])[:, None, None].expand(3, 1, 2)
    assert torch.equal(keeping(color, ends, "luminance"), ends)
    assert torch.equal(keeping(ends, color, "color"), ends)


def test_the_commands_keep_luma(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    photo = scene(64, 96) // 2 + 64
    Image.fromarray(photo).save(tmp_path / "in" / "photo.png")
    Image.fromarray(scene(64, 96)[::-1, :, ::-1] // 3 + 60).save(tmp_path / "style.png")
    common = ["--model", "none", "--match", "global", "--keep", "luminance"]
    style, out = str(tmp_path / "style.png"), tmp_path / "out"
    for arguments in (
        ["image", str(tmp_path / "in" / "photo.png"), style, "-o", str(out / "photo.png")],
        ["batch", str(tmp_path / "in"), style, "-o", str(out), "--jobs", "1", "--force"],
    ):
        out.mkdir(exist_ok=True)
        done = CliRunner().invoke(cli, [*arguments, *common])
        assert done.exit_code == 0, done.output
        result = np.asarray(Image.open(out / "photo.png").convert("RGB"))
        assert np.abs(result.astype(int) - photo).max() > 8
        assert np.abs((ycbcr(result / 1.0) - ycbcr(photo / 1.0))[..., 0]).max() <= 0.51
        (out / "photo.png").unlink()


def test_a_clip_keeps_luma(tmp_path: Path) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    photo = scene(64, 96) // 2 + 64
    for number in range(3):
        Image.fromarray(photo).save(frames / f"{number:04}.png")
    Image.fromarray(scene(64, 96)[::-1, :, ::-1] // 3 + 60).save(tmp_path / "style.png")
    command = ["video", str(frames), str(tmp_path / "style.png"), "--model", "none"]
    command += ["--frames-dir", str(tmp_path / "out"), "--keep", "luminance"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    written = sorted((tmp_path / "out").iterdir())
    assert len(written) == 3
    for path in written:
        result = np.asarray(Image.open(path).convert("RGB"))
        assert np.abs(result.astype(int) - photo).max() > 8
        assert np.abs((ycbcr(result / 1.0) - ycbcr(photo / 1.0))[..., 0]).max() <= 0.51

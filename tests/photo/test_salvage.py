"""JPEG files that are cut off."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.photos import camera_exif, saved, scene

from photostyle import PhotostyleError, photo
from photostyle.cli import cli


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_is_cut_off_is_read_as_far_as_it_goes(progressive: bool) -> None:
    image = Image.fromarray(scene(320, 240))
    exif = camera_exif()
    whole = saved(image, "JPEG", quality=95, exif=exif, progressive=progressive).getvalue()
    cut = whole[: len(whole) * 3 // 5]
    with pytest.raises(PhotostyleError, match="damaged or incomplete"):
        photo.read(BytesIO(cut))
    read, expected = photo.read(BytesIO(cut), salvage=True), photo.read(BytesIO(whole))
    assert read.size == (320, 240)
    assert b"Maker" in read.metadata.exif
    error = np.abs(read.pixels.astype(int) - expected.pixels)
    assert error[:100].mean() < (8 if progressive else 0.01)
    (note,) = read.notes
    assert note.endswith("The file is cut off; what is missing of the photo is grey or coarse.")
    assert photo.read(BytesIO(whole), salvage=True).notes == ()


def test_a_progressive_jpeg_may_be_cut_off_anywhere_after_its_first_scan() -> None:
    """Also within the tables between two scans."""
    whole = saved(Image.fromarray(scene()), "JPEG", progressive=True).getvalue()
    second = whole.index(b"\xff\xda", whole.index(b"\xff\xda") + 2)
    complete = photo.read(BytesIO(whole)).pixels.astype(int)
    for length in range(second, len(whole) - 2):
        read = photo.read(BytesIO(whole[:length]), salvage=True)
        assert np.abs(read.pixels - complete).mean() < 10  # grey is further off
    assert np.abs(128 - complete).mean() > 30


def test_what_holds_no_photo_is_refused_all_the_same() -> None:
    whole = saved(Image.fromarray(scene()), "JPEG").getvalue()
    for data in (whole[:3], whole[:100], b"text", saved(Image.new("L", (9, 9)), "PNG").read(40)):
        with pytest.raises(PhotostyleError):
            photo.read(BytesIO(data), salvage=True)


def test_the_command(tmp_path: Path) -> None:
    whole = saved(Image.fromarray(scene(320, 240)), "JPEG").getvalue()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(scene()).save(tmp_path / "style.png")
    names = [str(tmp_path / name) for name in ("cut.jpg", "style.png", "out.png")]
    arguments = ["image", names[0], names[1], "-o", names[2], "--model", "none"]
    assert CliRunner().invoke(cli, arguments).exit_code == 1
    result = CliRunner().invoke(cli, [*arguments, "--salvage"])
    assert result.exit_code == 0
    assert "The file is cut off" in result.stderr
    assert photo.read(tmp_path / "out.png").size == (320, 240)

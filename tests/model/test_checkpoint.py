from __future__ import annotations

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from support.t7 import integer, thing

import photostyle
from photostyle import PhotostyleError
from photostyle.bundled import MATCHER, SKIN, bundled_file, networks
from photostyle.cli import cli
from photostyle.model import checkpoint as checkpoints
from photostyle.model.architecture import PHOTONET, Architecture
from photostyle.model.checkpoint import Checkpoint
from photostyle.model.network import PhotoNet
from photostyle.model.reference import read_state, read_vgg, reference_name
from photostyle.model.transfer_settings import REFERENCE, TransferSettings
from photostyle.transfer import style_file

WIDTHS = (2, 3, 4, 5, 6)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    torch.manual_seed(0)
    checkpoint = Checkpoint(
        PhotoNet(PHOTONET, WIDTHS), TransferSettings("classic", 0.5), {"photos": 7}
    )
    checkpoints.save(checkpoint, path, torch.float16)
    return path


def test_a_checkpoint_comes_back(file: Path) -> None:
    torch.manual_seed(0)
    network = PhotoNet(PHOTONET, WIDTHS)
    loaded = checkpoints.load(file)
    assert loaded.network.architecture == PHOTONET
    assert loaded.network.widths == WIDTHS
    assert (loaded.transfer, loaded.provenance) == (TransferSettings("classic", 0.5), {"photos": 7})
    for name, tensor in loaded.network.state_dict().items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, network.state_dict()[name].half().float()), name


def test_bundled_weights() -> None:
    """PHOTONET, and the faster network that the search found."""
    photonet, photonas = (checkpoints.load(name) for name in ("photonet", "photonas"))
    assert photonet.network.architecture == PHOTONET
    assert photonas.network.architecture.wct_layers
    assert str(photonas.network.architecture).count("1") < 16
    for checkpoint in (photonet, photonas):
        assert checkpoint.provenance["recipe"]["start"]
        assert checkpoint.provenance["steps done"] == checkpoint.provenance["recipe"]["steps"]


def test_bundled_weights_are_small_and_half_precision() -> None:
    files = networks().values()
    assert sum(path.stat().st_size for path in files) <= 12_000_000
    for path in files:
        assert {t.dtype for t in checkpoints.read_tensors(path).values()} == {torch.float16}


def test_list_and_info(file: Path) -> None:
    listed = CliRunner().invoke(cli, ["weights", "list"]).output
    assert "photonas" in listed
    assert str(checkpoints.load("photonas").network.architecture)[:12] in listed
    info = CliRunner().invoke(cli, ["weights", "info", str(file)]).output
    assert "architecture: " + "1" * 32 in info
    assert "widths: 2,3,4,5,6" in info
    assert "photos: 7" in info


@pytest.mark.parametrize("cut", [0, 1, 7, 8, 9, 100, 3000, -1])
def test_truncated_files_are_refused(file: Path, cut: int) -> None:
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(PhotostyleError, match="tiny"):
        checkpoints.load(file)


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PhotostyleError, match="does not exist; bundled"):
        checkpoints.load(tmp_path / "missing")
    with pytest.raises(PhotostyleError, match="does not exist; bundled"):
        checkpoints.load(tmp_path)
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(2)}, other)
    with pytest.raises(PhotostyleError, match="not a photostyle checkpoint"):
        checkpoints.load(other)
    other.write_text("not weights at all")
    with pytest.raises(PhotostyleError, match="not a readable"):
        checkpoints.load(other)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("architecture", "01", "32 characters"),
        ("widths", "2,3,4,5", "five numbers"),
        ("widths", "2,3,4,5,7", "instead of"),
        ("widths", "4096,4096,4096,4096,4096", "instead of"),
        ("transfer", '{"method": "magic"}', "unknown method magic"),
        ("transfer", '{"magic": 1}', "unexpected keyword"),
        ("transfer", "[]", "damaged metadata"),
        ("transfer", '{"damping": "much"}', "damping 'much'"),
        ("transfer", '{"damping": NaN}', "damping nan"),
        ("transfer", '{"refine": 3}', "refine 3"),
        ("transfer", "[" * 100_000, "recursion"),
        ("provenance", "{", "damaged metadata"),
        ("provenance", "[" * 100_000, "recursion"),
    ],
)
def test_damaged_metadata_are_refused(file: Path, key: str, value: str, words: str) -> None:
    tensors, metadata = checkpoints.read_tensors(file), checkpoints.read_metadata(file)
    save_file(tensors, file, metadata | {key: value})
    with pytest.raises(PhotostyleError, match=words):
        checkpoints.load(file)


def test_wrong_tensors_are_refused(file: Path) -> None:
    tensors, metadata = checkpoints.read_tensors(file), checkpoints.read_metadata(file)
    name = "conv27.bias"
    for words, change in {
        "lacks the weights conv27.bias": {k: v for k, v in tensors.items() if k != name},
        "unexpected weights: extra": tensors | {"extra": torch.zeros(1)},
        r"conv27.bias of shape \(4,\) instead of \(3,\)": tensors | {name: torch.zeros(4)},
        "NaN or infinite values in conv27": tensors | {name: torch.full((3,), torch.nan)},
    }.items():
        save_file(change, file, metadata)
        with pytest.raises(PhotostyleError, match=words):
            checkpoints.load(file)


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("hostile-was-here"),))


def test_pickles_are_never_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"conv15.weight": Hostile()}, "a.pth")
    Path("b.pth").write_bytes(pickle.dumps(Hostile()))
    Path("c.pth").write_bytes(b"")
    Path("d.pth").write_bytes(b"text")
    for name in "abcd":
        with pytest.raises(PhotostyleError, match=f"{name}.pth"):
            read_state(Path(f"{name}.pth"))
    assert not Path("hostile-was-here").exists()


def test_import_says_what_is_wrong(tmp_path: Path, file: Path) -> None:
    torch.save({"conv_pyramid4.bias": torch.zeros(512)}, tmp_path / "decoder.pth")
    torch.save({f"conv{i}.weight": torch.zeros(1, 1, 1, 1) for i in (1, 14)}, tmp_path / "vgg.pth")
    start = ["weights", "import", f"{tmp_path}/decoder.pth", "--encoder"]

    def outcome(*arguments: str) -> tuple[int, str]:
        result = CliRunner().invoke(cli, [*start, *arguments])
        return result.exit_code, result.stderr

    out = f"{tmp_path}/out.safetensors"
    assert outcome("missing", "--arch", "photonas", "-o", out) == (
        1,
        "Error: There is no file missing.\n",
    )
    code, message = outcome(f"{tmp_path}/vgg.pth", "--arch", "photonas", "-o", out)
    assert code == 1
    assert message.endswith("vgg.pth ends before conv5_1, which the network needs.\n")
    code, message = outcome(f"{tmp_path}/decoder.pth", "--arch", "photonas", "-o", out)
    assert code == 1
    assert "not a known VGG-19" in message
    code, message = outcome(f"{tmp_path}/vgg.pth", "--arch", "0101", "-o", out)
    assert code == 1
    assert "32 characters" in message
    code, message = outcome(f"{tmp_path}/vgg.pth", "--arch", "photonas", "-o", str(file))
    assert code == 1
    assert "--force" in message
    assert not Path(out).exists()


@settings(max_examples=50)
@given(st.text("01", min_size=32, max_size=32))
def test_names_in_reference_checkpoints(string: str) -> None:
    """The checkpoints have a separate 1x1 convolution for every choice of aggregated levels."""
    architecture = Architecture.parse(string)
    known = {"0", "11", "12", "13", "14", "212", "213", "214", "223", "224", "234"}
    known |= {"3123", "3124", "3134", "3234", "4"}
    assert reference_name("aggregate", architecture).removeprefix("conv_pyramid") in known
    assert reference_name("conv17", architecture) == ("conv17" if string[11] == "1" else "conv17_2")
    assert reference_name("conv23", architecture) == ("conv23" if string[20] == "1" else "conv23_2")


def test_provenance_is_json(file: Path) -> None:
    assert json.loads(checkpoints.read_metadata(file)["provenance"]) == {"photos": 7}


def test_an_archive_that_promises_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"conv15.weight": torch.zeros(4_000_000)}, tmp_path / "plain.pth")
    assert read_state(tmp_path / "plain.pth")["conv15.weight"].numel() == 4_000_000
    with (
        zipfile.ZipFile(tmp_path / "plain.pth") as plain,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in plain.namelist():
            bomb.writestr(name, plain.read(name))
    assert (tmp_path / "bomb.pth").stat().st_size < 100_000
    with pytest.raises(PhotostyleError, match="compressed"):
        read_state(tmp_path / "bomb.pth")


def test_info_of_damaged_provenance(file: Path) -> None:
    tensors, metadata = checkpoints.read_tensors(file), checkpoints.read_metadata(file)
    for provenance in ("[1]", "{", "[" * 100_000, '{"a": {"b": [1]}}'):
        save_file(tensors, file, metadata | {"provenance": provenance})
        result = CliRunner().invoke(cli, ["weights", "info", str(file)])
        assert result.exit_code == (0 if "a" in provenance else 1)
        assert isinstance(result.exception, SystemExit | None)


def test_settings_of_the_first_release_are_read(file: Path) -> None:
    tensors, metadata = checkpoints.read_tensors(file), checkpoints.read_metadata(file)
    settings = '{"method": "published", "damping": 0.0, "refine": false}'
    save_file(tensors, file, metadata | {"transfer": settings})
    assert checkpoints.load(file).transfer == REFERENCE


def test_the_digest_is_that_of_the_weights(file: Path) -> None:
    one, same = checkpoints.load(file), checkpoints.load(file)
    assert one.digest == same.digest
    tensors, metadata = checkpoints.read_tensors(file), checkpoints.read_metadata(file)
    tensors["conv27.bias"][0] += 1e-2
    save_file(tensors, file, metadata)
    assert checkpoints.load(file).digest != one.digest


@pytest.mark.parametrize("name", ["encoder.t7", "encoder.pth", "encoder"])
def test_torch_7_files_are_recognised_by_their_content(tmp_path: Path, name: str) -> None:
    content = thing(1, b"nn.Sequential", integer(3) + integer(2) + integer(0))
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PhotostyleError, match="not the Lua file of the reference encoder"):
        read_vgg(tmp_path / name)


def test_a_matcher_is_described_and_is_no_network() -> None:
    info = CliRunner().invoke(cli, ["weights", "info", "matcher"]).output
    assert "format: photostyle-matcher/1" in info
    assert "widths: 32,48,64,96,128" in info
    with pytest.raises(PhotostyleError, match="is a matcher, not a network"):
        checkpoints.load(bundled_file(MATCHER))


def test_what_finds_skin_and_a_style_are_no_networks(
    tmp_path: Path, photonas: photostyle.Stylizer
) -> None:
    with pytest.raises(PhotostyleError, match="is what finds skin for --keep skin, not a network"):
        checkpoints.load(bundled_file(SKIN))
    style = photonas.learn(np.zeros((32, 32, 3), np.uint8))
    style_file.write(style, tmp_path / "black.style")
    with pytest.raises(PhotostyleError, match=r"black\.style is a style, not a network"):
        checkpoints.load(tmp_path / "black.style")

"""Coverage-guided fuzzing (atheris) of our own Python code that parses untrusted bytes.

    PYTHONPATH=tests python tests/fuzz/fuzz_readers.py corpus/ -max_total_time=600

The first byte of an input chooses the reader: weights (safetensors, torch, t7), EXIF and XMP, the
size of a JPEG XL, and photos. Any exception besides PhotostyleError (and ValueError, where callers
expect it) is a finding.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["photostyle", "tifffile", "PIL"]):
    from photostyle import PhotostyleError, photo
    from photostyle.model import checkpoint, reference, t7
    from photostyle.photo import jxl, metadata
    from photostyle.photo.metadata_blocks import Blocks

FILE = Path(tempfile.gettempdir()) / f"fuzz-{os.getpid()}"


def in_file(read: Callable[[Path], object], data: bytes) -> None:
    FILE.write_bytes(data)
    with suppress(PhotostyleError):
        read(FILE)


def read_weights(data: bytes) -> None:
    in_file(checkpoint.load, data)


def describe_weights(data: bytes) -> None:
    in_file(checkpoint.describe, data)


def read_checkpoint(data: bytes) -> None:
    in_file(reference.read_state, data)


def read_t7(data: bytes) -> None:
    with suppress(ValueError):
        t7.parse(data)


def read_metadata(data: bytes) -> None:
    blocks = Blocks(data, data, data, data, [("Title", "A title")], (float(len(data)), 1.0))
    found, orientation = metadata.still_true(blocks)
    assert 1 <= orientation <= 8
    stamped = found.stamped("settings")
    for format in ("JPEG", "WEBP"):
        stamped.for_file(format, (60, 40), srgb=True).for_jpeg()
        stamped.left_out(format)
    metadata.names_adobe_rgb(found)


def read_jxl_size(data: bytes) -> None:
    with suppress(ValueError):
        jxl.read_header(BytesIO(data))


def read_photo(data: bytes) -> None:
    with suppress(PhotostyleError):
        photo.read(BytesIO(data))


READERS = (
    read_weights,
    describe_weights,
    read_checkpoint,
    read_t7,
    read_metadata,
    read_jxl_size,
    read_photo,
)


def one_input(data: bytes) -> None:
    if data:
        READERS[data[0] % len(READERS)](data[1:])


def write_seeds(folder: Path) -> None:
    """One small file of every kind, where the fuzzer begins."""
    import torch
    from fuzz import corruption
    from support.models import save_tiny_model
    from support.photos import XMP, camera_exif, example_files

    folder.mkdir(parents=True, exist_ok=True)
    save_tiny_model(FILE)
    tiny = FILE.read_bytes()
    stream = BytesIO()
    torch.save({"conv15.weight": torch.zeros(3, 3)}, stream)
    files = example_files()
    seeds = [
        (0, tiny),
        (1, tiny),
        (2, stream.getvalue()),
        (3, corruption.lua_encoder()),
        (4, camera_exif(6).removeprefix(b"Exif\0\0")),
        (4, XMP),
        (5, files["plain.jxl"]),
        *((6, files[name]) for name in ("deep.png", "deep.tif", "plain.png", "plain.tif")),
    ]
    for number, (reader, data) in enumerate(seeds):
        (folder / f"seed-{number}").write_bytes(bytes((reader,)) + data)


if __name__ == "__main__":
    folders = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    if folders and not any(folders[0].glob("*")):
        write_seeds(folders[0])
    warnings.simplefilter("ignore")
    atheris.Setup(sys.argv, one_input)
    atheris.Fuzz()

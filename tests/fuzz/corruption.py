"""Damaged photos, clips and weights through the command: one sentence and exit code 1, or a whole
result.

`make fuzz` runs thousands of them, the tests a part. The command runs in this process. With --keep,
a file that crashes the process is left in that folder.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import av
import torch
from click.testing import CliRunner
from PIL import Image
from support import heif
from support.clips import make
from support.models import save_tiny_model
from support.photos import example_files, saved, scene
from support.t7 import VALUES, integer, storage, string, tensor, thing

from photostyle import photo
from photostyle.cli import cli

SECONDS = 60
"""A file that takes longer counts as a hang."""

EXTREMES = [
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\x80",
    b"\0\1",
    b"\xff\xff",
]

OTHER_PHOTOS = {
    **dict.fromkeys(("dds", "icns", "ico", "pcx", "qoi", "sgi"), "RGB"),
    **{"blp": "P", "msp": "1", "spider": "F", "xbm": "1"},
}
"""Formats that are only read, and a mode of Pillow that they can store."""

CLIPS = {
    ".mp4": ["-c:a", "aac"],
    ".mov": ["-c:v", "prores_ks", "-c:a", "pcm_s16le"],
    ".mkv": ["-c:v", "ffv1", "-c:a", "flac"],
    ".webm": ["-c:v", "libvpx-vp9", "-cpu-used", "8", "-c:a", "libopus"],
    ".avi": ["-c:v", "mpeg4", "-c:a", "libmp3lame"],
}
"""Suffixes of clips and options of ffmpeg."""


def mutate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The data, damaged one to three times."""
    damaged = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        # Half of the damage is where headers are.
        reach = min(len(damaged), 256) if rng.random() < 0.5 else len(damaged)
        at = rng.randrange(max(1, reach))
        length = rng.choice((1, 2, 4, 16, 256))
        kind = rng.randrange(9)
        if kind == 0:
            del damaged[at:]
        elif kind == 1 and damaged:
            for _ in range(rng.choice((1, 1, 8))):
                damaged[rng.randrange(reach)] ^= 1 << rng.randrange(8)
        elif kind == 2 and damaged:
            damaged[at % len(damaged)] = rng.randrange(256)
        elif kind == 3:
            extreme = rng.choice(EXTREMES)
            damaged[at : at + len(extreme)] = extreme
        elif kind == 4:
            damaged[at : at + length] = bytes(length)
        elif kind == 5:
            del damaged[at : at + length]
        elif kind == 6:
            damaged[at:at] = rng.randbytes(length)
        elif kind == 7:
            damaged[at:at] = damaged[at : at + length]
        else:
            other = rng.choice(others)
            from_ = rng.randrange(len(other))
            damaged[at : at + length] = other[from_ : from_ + length]
    return bytes(damaged)


class Trial:
    """Runs the command on damaged files, in a folder that becomes the current one."""

    def __init__(self, folder: Path):
        os.chdir(folder)
        self.folder = folder
        save_tiny_model(Path("model.safetensors"))
        files = example_files()
        Path("good.png").write_bytes(files["plain.png"])
        self.files = dict(sorted((files | other_photos() | clips()).items()))
        self.files["model.safetensors"] = Path("model.safetensors").read_bytes()
        self.files["encoder.pth"] = reference_checkpoint()
        self.files["encoder.t7"] = lua_encoder()

    def mutated(self, count: int, seed: int) -> Iterator[tuple[str, bytes]]:
        """Names and contents of damaged files, of every kind in turn."""
        rng = random.Random(seed)
        names, contents = list(self.files), list(self.files.values())
        for number in range(count):
            name = names[number % len(names)]
            yield f"bad-{name}", mutate(self.files[name], contents, rng)

    def run(self, name: str, data: bytes) -> str:
        """Whether the command has "read" or "refused" the file; AssertionError if it misbehaves."""
        bad = self.folder / name
        bad.write_bytes(data)
        before = {path.name for path in self.folder.iterdir()}
        start = time.monotonic()
        with at_most(SECONDS), stderr_of_libraries() as printed:
            result = CliRunner().invoke(cli, self.arguments(name))
        assert printed == [""], printed
        after = {path.name for path in self.folder.iterdir()} - before
        lines = result.stderr.splitlines()
        assert bad.read_bytes() == data, "the input was changed"
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        if result.exit_code == 0:
            assert all(line.startswith(("Mode: ", "Note: ")) for line in lines), lines
            assert after, "no output"
            for made in after:
                self.check_whole(self.folder / made)
                (self.folder / made).unlink()
        else:
            assert result.exit_code == 1, result.output
            assert len(lines) == 1, lines
            assert lines[0].startswith("Error: "), lines
            assert "memory" not in lines[0], lines
            assert result.stdout == ""
            assert not after, after
        bad.unlink()
        assert time.monotonic() - start < SECONDS
        return "refused" if result.exit_code else "read"

    @staticmethod
    def check_whole(made: Path) -> None:
        if made.suffix in CLIPS:
            # Damaged text of the clip is copied.
            with av.open(str(made), metadata_errors="replace") as container:
                assert list(container.decode(video=0))
        elif made.suffix != ".safetensors":
            assert photo.read(made).size[0] > 0

    @staticmethod
    def arguments(name: str) -> list[str]:
        if name.endswith(("pth", "t7")):
            encoder = ["weights", "import", "encoder.pth", "--encoder", name, "--arch", "photonas"]
            return [*encoder, "-o", "out.safetensors"]
        if name.endswith(tuple(CLIPS)):
            options = ["--device", "cpu", "--model", "model.safetensors", "--preset", "fast"]
            return ["video", *options, name, "good.png", "-o", "out.mp4"]
        common = ["image", "--device", "cpu", "--still", "--model"]
        if name.endswith("safetensors"):
            return [*common, name, "good.png", "good.png", "-o", "out.png"]
        # Content and style are read alike: half of the names are given as one, half as the other.
        pair = [name, "good.png"] if len(name) % 2 else ["good.png", name]
        arguments = [*common, "model.safetensors", *pair, "-o", "out.png"]
        return [word for word in arguments if word != "--still" or "moving" not in name]


def other_photos() -> dict[str, bytes]:
    picture = Image.fromarray(scene(32, 32))
    files = {
        f"plain.{name}": saved(picture.convert(mode), name.upper()).getvalue()
        for name, mode in OTHER_PHOTOS.items()
    }
    for name, format in (("tiles.heic", "HEIF"), ("tiles.avif", "AVIF")):
        if format in Image.SAVE:
            files[name] = heif.file(heif.tiled(scene(80, 64), format, ()), format).getvalue()
    return files


def clips() -> dict[str, bytes]:
    """Four frames with sound in each container."""
    sound = ["-f", "lavfi", "-i", "sine=440:duration=0.2"]
    files = {}
    for suffix, options in CLIPS.items():
        path = make(f"clip{suffix}", *options, size="64x48", frames=4, inputs=sound)
        files[path.name] = path.read_bytes()
        path.unlink()
    return files


def reference_checkpoint() -> bytes:
    stream = BytesIO()
    torch.save({"conv15.weight": torch.zeros(3, 3), "a": torch.ones(2).half()}, stream)
    return stream.getvalue()


def lua_encoder() -> bytes:
    weight = integer(2) + string(b"weight") + tensor([2, 3, 4], [12, 4, 1], 0, storage(VALUES))
    layer = thing(9, b"nn.SpatialConvolution", integer(3) + integer(8) + integer(1) + weight)
    number = integer(1) + struct.pack("<d", 1)
    modules = integer(3) + integer(7) + integer(1) + number + layer
    fields = integer(3) + integer(6) + integer(1) + integer(2) + string(b"modules") + modules
    return thing(5, b"nn.Sequential", fields)


@contextmanager
def stderr_of_libraries() -> Iterator[list[str]]:
    """A list that holds, after the block, what native code has printed on stderr."""
    printed: list[str] = []
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield printed
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        printed.append(file.read().decode(errors="replace"))


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    def stop(*_: object) -> None:
        raise AssertionError(f"longer than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def main(count: int, seed: int, keep: Path | None) -> int:
    found: Counter[tuple[str, str]] = Counter()
    failures = slowest = 0.0
    if keep:
        keep.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        trial = Trial(Path(name))
        for number, (file, data) in enumerate(trial.mutated(count, seed)):
            if keep:
                (keep / file).write_bytes(data)
            start = time.monotonic()
            try:
                outcome = trial.run(file, data)
            except Exception as error:
                outcome, failures = "FAILED", failures + 1
                print(f"{number} {file}: {error!r}", flush=True)
                if keep:
                    (keep / f"{number}-{file}").write_bytes(data)
            slowest = max(slowest, time.monotonic() - start)
            found[file.removeprefix("bad-"), outcome] += 1
        os.chdir("/")
    for kind in sorted({kind for kind, _ in found}):
        parts = (f"{found[kind, o]:4} {o}" for o in ("read", "refused", "FAILED") if found[kind, o])
        print(f"{kind:20} {', '.join(parts)}")
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{count} files, seed {seed}: {failures:.0f} failures, slowest {slowest:.1f} s, {memory} MB"
    )
    return int(failures > 0)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that fail")
    given = parser.parse_args()
    torch.set_num_threads(1)
    sys.exit(main(given.count, given.seed, given.keep and given.keep.resolve()))

"""The command under kills, full disks and competition: never a broken file, nothing left behind.

`make fault` runs everything; the tests run a part of it. The command runs in forks of this process,
so that a kill costs no start of an interpreter.
"""

from __future__ import annotations

import argparse
import atexit
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import av
import torch
from PIL import Image
from support.models import save_tiny_model
from support.photos import scene

from photostyle import photo
from photostyle.__main__ import main
from photostyle.transfer import stylizer, video_stylizer
from photostyle.video.process import executable

HEAVY = stylizer, video_stylizer, photo
"""Imported before the forks."""

DONE = "Mode: exact.\n"
"""What the command says on stderr when all is well."""

SIGNALS = signal.SIGKILL, signal.SIGINT, signal.SIGTERM

OLD = b"what was there before"


class Bench:
    """A folder with a content, a style, a model, and forks of the command that work in it."""

    command, content, suffix, done = "image", "day.png", ".png", DONE

    def __init__(self, folder: Path):
        self.folder = folder
        save_tiny_model(folder / "tiny.safetensors")
        self.make_content()
        Image.fromarray(scene(40, 70, seed=1)).save(folder / "dusk.png")
        self.given = {path.name: path.read_bytes() for path in folder.iterdir()}
        start = time.perf_counter()
        whole = f"whole{self.suffix}"
        assert self.wait(self.start("-o", whole)) == (0, self.done)
        self.seconds = time.perf_counter() - start
        self.whole = (folder / whole).read_bytes()
        (folder / whole).unlink()

    def make_content(self) -> None:
        Image.fromarray(scene(300, 200)).save(self.folder / self.content)

    def start(self, *options: str, before: Callable[[], object] = lambda: None) -> tuple[int, int]:
        """The process number of a fork of the command, and the pipe that its stderr comes from."""
        reader, writer = os.pipe()
        process = os.fork()
        if process:
            os.close(writer)
            return process, reader
        code = 1
        try:
            atexit._clear()  # the parent's
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.dup2(writer, 2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.stdout, sys.stderr = open(1, "w"), open(2, "w", buffering=1)  # noqa: SIM115
            os.chdir(self.folder)
            before()
            model = ["--model", "tiny.safetensors", "--device", "cpu"]
            sys.argv = ["photostyle", self.command, self.content, "dusk.png", *model, *options]
            main()
        except SystemExit as exit:
            code = exit.code if isinstance(exit.code, int) else int(exit.code is not None)
        except KeyboardInterrupt:  # before or after the command
            code = 128 + signal.SIGINT
        except BaseException:
            traceback.print_exc()
        finally:
            atexit._run_exitfuncs()
            os._exit(code)

    @staticmethod
    def wait(started: tuple[int, int]) -> tuple[int, str]:
        """The exit code, negative for a signal, and what was said on stderr."""
        process, reader = started
        with open(reader) as error:  # noqa: PTH123
            text = error.read()
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), text

    def check(self, target: str, old: bytes | None) -> str:
        """What is under the final name: "nothing", "old" or "whole"; fails for all else."""
        for name, data in self.given.items():
            assert (self.folder / name).read_bytes() == data, f"{name} was changed"
        path = self.folder / target
        if not path.exists():
            assert old is None, "the old file is gone"
            return "nothing"
        data = path.read_bytes()
        if data == old:
            return "old"
        if data == self.whole:
            return "whole"
        return self.part(path)

    def part(self, path: Path) -> str:  # noqa: ARG002
        """What else may be under the final name."""
        raise AssertionError("a broken file under the final name")

    def others(self, target: str) -> list[str]:
        """What lies in the folder besides the given files and the target."""
        return sorted({path.name for path in self.folder.iterdir()} - {*self.given, target})


class VideoBench(Bench):
    """The same for `photostyle video`, which Ctrl-C makes end its file before its time."""

    command, content, suffix, done = "video", "day.mp4", ".mp4", ""

    def make_content(self) -> None:
        pattern = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25"]
        sound = ["-f", "lavfi", "-i", "sine=440:duration=2", "-c:a", "aac"]
        words = [*pattern, *sound, "-frames:v", "50", str(self.folder / self.content)]
        subprocess.run([executable(), "-loglevel", "error", *words], check=True)

    def part(self, path: Path) -> str:
        with av.open(str(path)) as container:
            count = sum(1 for _ in container.decode(container.streams.video[0]))
        assert 0 < count <= 50
        return "shorter, playable"


def kill(bench: Bench, count: int, number: int, seed: int = 0) -> Counter[str]:
    """Signals at random moments; what they left, by kind."""
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    for round in range(count):
        before, target = (
            (OLD, f"old{bench.suffix}") if round % 2 else (None, f"new-{round}{bench.suffix}")
        )
        if before:
            (bench.folder / target).write_bytes(before)
        known = bench.others(target)
        started = bench.start("-o", target, *["--force"] * bool(before))
        if round % 4 < 2:
            time.sleep(rng.uniform(0, 1.1 * bench.seconds))
        else:  # when it writes
            end = time.monotonic() + 60
            while time.monotonic() < end and bench.others(target) == known:
                if os.waitid(os.P_PID, started[0], os.WEXITED | os.WNOHANG | os.WNOWAIT):
                    break
            time.sleep(rng.uniform(0, 0.05 * bench.seconds))
        os.kill(started[0], number)
        code, said = bench.wait(started)
        kind = bench.check(target, before)
        assert number == signal.SIGINT or kind != "shorter, playable"
        found[kind] += 1
        assert code in (0, -number, 128 + number), (code, said)
        assert "Traceback" not in said, said
        left = [name for name in bench.others(target) if name.startswith(".photostyle-")]
        if number != signal.SIGKILL:
            assert not left, left
        found["temporary"] += bool(left)
        if not before:
            (bench.folder / target).unlink(missing_ok=True)
    # The next start, even one that comes to nothing, removes what was left.
    old, following = f"old{bench.suffix}", f"next{bench.suffix}"
    (bench.folder / old).write_bytes(OLD)
    code, said = bench.wait(bench.start("-o", old, "--model", "missing"))
    assert code == 1
    assert "exists already" in said
    (bench.folder / old).unlink()
    code, said = bench.wait(bench.start("-o", following))
    assert (code, said) == (0, bench.done)
    assert bench.others(following) == []
    (bench.folder / following).unlink()
    return found


def limit_size(bench: Bench, sizes: list[int]) -> None:
    """Files that may not grow beyond a size, as on a disk with so much left."""
    for size in sizes:
        for old in (None, OLD):
            if old:
                (bench.folder / "out.png").write_bytes(old)
            code, said = bench.wait(
                bench.start(
                    *("-o", "out.png", *["--force"] * bool(old)),
                    before=lambda size=size: resource.setrlimit(  # type: ignore[misc]
                        resource.RLIMIT_FSIZE, (size, size)
                    ),
                )
            )
            whole = size >= len(bench.whole)
            sentence = "Error: 'out.png' cannot be written: File too large.\n"
            assert (code, said) == ((0, DONE) if whole else (1, sentence)), (size, code, said)
            left = "old" if old else "nothing"
            assert bench.check("out.png", old) == ("whole" if whole else left)
            assert bench.others("out.png") == []
            (bench.folder / "out.png").unlink(missing_ok=True)


def fill_disk(bench: Bench) -> bool:
    """A file system of 64 kB that is full; False where none may be mounted."""
    with tempfile.TemporaryDirectory() as mount:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        try:
            code, said = bench.wait(bench.start("-o", f"{mount}/out.png"))
            assert code == 1
            assert said.endswith("cannot be written: No space left on device.\n")
            assert os.listdir(mount) == []  # noqa: PTH208
        finally:
            subprocess.run(["umount", mount], check=True)
    return True


def compete(bench: Bench, rounds: int, processes: int = 4) -> None:
    """Several processes that write the same target at the same time."""
    for round in range(rounds):
        force = ["--force"] * (round % 2)
        started = [bench.start("-o", "same.png", *force) for _ in range(processes)]
        ends = [bench.wait(one) for one in started]
        assert bench.check("same.png", None) == "whole"
        assert bench.others("same.png") == []
        codes = Counter(code for code, _ in ends)
        assert codes[0] == (processes if force else 1), ends
        assert all(code == 0 or "exists already" in said for code, said in ends), ends
        (bench.folder / "same.png").unlink()


def forbid(bench: Bench) -> None:
    """A photo that may not be read and a folder that may not be written to."""
    nobody = 65534
    (bench.folder / "shut").mkdir(mode=0o555)
    (bench.folder / "day.png").chmod(0)

    def drop() -> None:
        if os.geteuid() == 0:
            os.setuid(nobody)

    code, said = bench.wait(bench.start("-o", "out.png", before=drop))
    assert (code, said) == (1, "Error: 'day.png' cannot be read: Permission denied.\n")
    (bench.folder / "day.png").chmod(0o644)
    code, said = bench.wait(bench.start("-o", "shut/out.png", before=drop))
    assert (code, said) == (1, "Error: The folder 'shut' may not be written to.\n")
    (bench.folder / "shut").rmdir()


def _kill(bench: Bench, kills: int, number: signal.Signals) -> None:
    found = kill(bench, kills, number)
    parts = ", ".join(f"{count} {kind}" for kind, count in sorted(found.items()))
    print(f"{bench.command}, {kills} x {number.name}: under the final name or beside it: {parts}")


def run(kills: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        video = VideoBench(Path(name))
        for number in SIGNALS:
            _kill(video, kills, number)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        bench = Bench(Path(name))
        print(f"one undisturbed run: {bench.seconds * 1000:.0f} ms")
        for number in SIGNALS:
            _kill(bench, kills, number)
        sizes = [0, 1, 100, 4096, len(bench.whole) - 1, len(bench.whole)]
        limit_size(bench, sizes)
        print(f"file size limits of {sizes} bytes: nothing partial")
        print("full tmpfs:", "one sentence, nothing left" if fill_disk(bench) else "not permitted")
        compete(bench, 10)
        print("4 processes with one target, 10 times: whole each time")
        forbid(bench)
        print("unreadable photo, unwritable folder: one sentence each")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="of each signal")
    torch.set_num_threads(1)
    run(parser.parse_args().kills)

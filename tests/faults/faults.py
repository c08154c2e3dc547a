"""The command under signals, full disks and competing processes.

Whatever happens, no file is broken and nothing is left behind. `make fault` runs everything, the
tests run a part. The command runs in forks of this process, which saves starting an interpreter
for each signal.
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
from photostyle.video.ffmpeg import executable

PRELOADED = stylizer, video_stylizer, photo
"""Heavy modules, imported before the forks."""

SIGNALS = signal.SIGKILL, signal.SIGINT, signal.SIGTERM

OLD = b"what was there before"


class Workspace:
    """A folder with a content, a style and a model, where forks of `photostyle image` run."""

    command, content, suffix = "image", "day.png", ".png"
    stderr = "Mode: exact.\n"
    """What a successful run prints there."""

    def __init__(self, folder: Path):
        self.folder = folder
        save_tiny_model(folder / "tiny.safetensors")
        self.make_content()
        Image.fromarray(scene(40, 70, seed=1)).save(folder / "dusk.png")
        self.inputs = {path.name: path.read_bytes() for path in folder.iterdir()}
        start = time.perf_counter()
        output = f"whole{self.suffix}"
        assert self.wait(self.start("-o", output)) == (0, self.stderr)
        self.seconds = time.perf_counter() - start
        self.whole = (folder / output).read_bytes()
        (folder / output).unlink()

    def make_content(self) -> None:
        Image.fromarray(scene(300, 200)).save(self.folder / self.content)

    def start(self, *options: str, before: Callable[[], object] = lambda: None) -> tuple[int, int]:
        """Fork the command; returns its process number and the reading end of its stderr."""
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
        """The exit code, negative for a signal, and all of stderr."""
        process, reader = started
        with open(reader) as stream:  # noqa: PTH123
            stderr = stream.read()
        return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]), stderr

    def check_output(self, name: str, old: bytes | None) -> str:
        """What lies under the name of the output: "nothing", "old", "whole" or "shorter".

        Fails for a broken file, and where an input has changed or the old file is gone.
        """
        for given, data in self.inputs.items():
            assert (self.folder / given).read_bytes() == data, f"{given} was changed"
        path = self.folder / name
        if not path.exists():
            assert old is None, "the old file is gone"
            return "nothing"
        data = path.read_bytes()
        if data == old:
            return "old"
        if data == self.whole:
            return "whole"
        self.check_shorter(path)
        return "shorter"

    def check_shorter(self, path: Path) -> None:  # noqa: ARG002
        raise AssertionError("a broken file under the final name")

    def other_files(self, output: str) -> list[str]:
        """Names in the folder, without those of the inputs and the output."""
        return sorted({path.name for path in self.folder.iterdir()} - {*self.inputs, output})


class VideoWorkspace(Workspace):
    """The same for `photostyle video`, where Ctrl-C ends the output early but playable."""

    command, content, suffix = "video", "day.mp4", ".mp4"
    stderr = ""

    def make_content(self) -> None:
        pattern = ["-f", "lavfi", "-i", "testsrc2=size=160x90:rate=25"]
        sound = ["-f", "lavfi", "-i", "sine=440:duration=2", "-c:a", "aac"]
        options = [*pattern, *sound, "-frames:v", "50", str(self.folder / self.content)]
        subprocess.run([executable(), "-loglevel", "error", *options], check=True)

    def check_shorter(self, path: Path) -> None:
        with av.open(str(path)) as container:
            count = sum(1 for _ in container.decode(container.streams.video[0]))
        assert 0 < count <= 50


def send_signals(
    workspace: Workspace, count: int, number: signal.Signals, seed: int = 0
) -> Counter[str]:
    """Interrupt `count` runs at random moments; returns how often each kind of output was left.

    "temporary" counts the runs that left an unfinished file beside the output.
    """
    rng = random.Random(seed)
    found: Counter[str] = Counter()
    for round in range(count):
        old = OLD if round % 2 else None
        output = f"old{workspace.suffix}" if old else f"new-{round}{workspace.suffix}"
        if old:
            (workspace.folder / output).write_bytes(old)
        known = workspace.other_files(output)
        started = workspace.start("-o", output, *["--force"] * bool(old))
        if round % 4 < 2:
            time.sleep(rng.uniform(0, 1.1 * workspace.seconds))
        else:
            wait_for_change(workspace, started[0], output, known)
            time.sleep(rng.uniform(0, 0.05 * workspace.seconds))
        os.kill(started[0], number)
        code, stderr = workspace.wait(started)
        kind = workspace.check_output(output, old)
        assert number == signal.SIGINT or kind != "shorter"
        found[kind] += 1
        assert code in (0, -number, 128 + number), (code, stderr)
        assert "Traceback" not in stderr, stderr
        left = [name for name in workspace.other_files(output) if name.startswith(".photostyle-")]
        if number != signal.SIGKILL:
            assert not left, left
        found["temporary"] += bool(left)
        if not old:
            (workspace.folder / output).unlink(missing_ok=True)
    check_next_runs(workspace)
    return found


def wait_for_change(workspace: Workspace, process: int, output: str, known: list[str]) -> None:
    """Until the command begins to write, or ends."""
    end = time.monotonic() + 60
    while time.monotonic() < end and workspace.other_files(output) == known:
        if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            break


def check_next_runs(workspace: Workspace) -> None:
    """The next run, even one that fails, removes what interrupted runs have left."""
    old, output = f"old{workspace.suffix}", f"next{workspace.suffix}"
    (workspace.folder / old).write_bytes(OLD)
    code, stderr = workspace.wait(workspace.start("-o", old, "--model", "missing"))
    assert code == 1
    assert "already exists" in stderr
    (workspace.folder / old).unlink()
    assert workspace.wait(workspace.start("-o", output)) == (0, workspace.stderr)
    assert workspace.other_files(output) == []
    (workspace.folder / output).unlink()


def limit_file_size(workspace: Workspace, sizes: list[int]) -> None:
    """Files that may not grow beyond a size, as on a disk that is nearly full."""
    for size in sizes:
        for old in (None, OLD):
            if old:
                (workspace.folder / "out.png").write_bytes(old)
            code, stderr = workspace.wait(
                workspace.start(
                    *("-o", "out.png", *["--force"] * bool(old)),
                    before=lambda size=size: resource.setrlimit(  # type: ignore[misc]
                        resource.RLIMIT_FSIZE, (size, size)
                    ),
                )
            )
            fits = size >= len(workspace.whole)
            sentence = "Error: 'out.png' cannot be written: File too large.\n"
            expected = (0, workspace.stderr) if fits else (1, sentence)
            assert (code, stderr) == expected, (size, code, stderr)
            left = "old" if old else "nothing"
            assert workspace.check_output("out.png", old) == ("whole" if fits else left)
            assert workspace.other_files("out.png") == []
            (workspace.folder / "out.png").unlink(missing_ok=True)


def fill_disk(workspace: Workspace) -> bool:
    """Write to a full file system of 64 kB. False where it may not be mounted."""
    with tempfile.TemporaryDirectory() as mount:
        command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", mount]
        if subprocess.run(command, capture_output=True, check=False).returncode:
            return False
        try:
            code, stderr = workspace.wait(workspace.start("-o", f"{mount}/out.png"))
            assert code == 1
            assert stderr.endswith("cannot be written: No space left on device.\n")
            assert os.listdir(mount) == []  # noqa: PTH208
        finally:
            subprocess.run(["umount", mount], check=True)
    return True


def compete(workspace: Workspace, rounds: int, processes: int = 4) -> None:
    """Several processes that write the same output at the same time."""
    for round in range(rounds):
        force = ["--force"] * (round % 2)
        started = [workspace.start("-o", "same.png", *force) for _ in range(processes)]
        ends = [workspace.wait(one) for one in started]
        assert workspace.check_output("same.png", None) == "whole"
        assert workspace.other_files("same.png") == []
        codes = Counter(code for code, _ in ends)
        assert codes[0] == (processes if force else 1), ends
        assert all(code == 0 or "already exists" in stderr for code, stderr in ends), ends
        (workspace.folder / "same.png").unlink()


def deny_permissions(workspace: Workspace) -> None:
    """A photo that is not readable, and a folder that is not writable."""
    nobody = 65534
    (workspace.folder / "shut").mkdir(mode=0o555)
    (workspace.folder / "day.png").chmod(0)

    def drop_root() -> None:
        if os.geteuid() == 0:
            os.setuid(nobody)

    end = workspace.wait(workspace.start("-o", "out.png", before=drop_root))
    assert end == (1, "Error: 'day.png' cannot be read: Permission denied.\n")
    (workspace.folder / "day.png").chmod(0o644)
    end = workspace.wait(workspace.start("-o", "shut/out.png", before=drop_root))
    assert end == (1, "Error: The folder 'shut' is not writable.\n")
    (workspace.folder / "shut").rmdir()


def report_signals(workspace: Workspace, count: int) -> None:
    for number in SIGNALS:
        found = send_signals(workspace, count, number)
        kinds = ", ".join(f"{times} {kind}" for kind, times in sorted(found.items()))
        print(f"{workspace.command}, {count} x {number.name}, files left: {kinds}")


def run(count: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        report_signals(VideoWorkspace(Path(name)), count)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        workspace = Workspace(Path(name))
        print(f"one undisturbed run: {workspace.seconds * 1000:.0f} ms")
        report_signals(workspace, count)
        sizes = [0, 1, 100, 4096, len(workspace.whole) - 1, len(workspace.whole)]
        limit_file_size(workspace, sizes)
        print(f"file size limits of {sizes} bytes: nothing partial")
        filled = fill_disk(workspace)
        print("full tmpfs:", "one sentence, nothing left" if filled else "may not be mounted here")
        compete(workspace, 10)
        print("4 processes with one output, 10 times: whole each time")
        deny_permissions(workspace)
        print("unreadable photo, unwritable folder: one sentence each")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--signals", type=int, default=500, help="number of runs for each signal")
    torch.set_num_threads(1)
    run(parser.parse_args().signals)

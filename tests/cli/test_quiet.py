"""Nothing but the command's own messages reaches stderr."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from support.photos import saved, scene

from photostyle.cli import cli

SCRIPT = """
import logging, os, sys, threading, warnings
from photostyle.cli._quiet import quiet_libraries

def speak():
    os.write(2, b"from C|")
    logging.getLogger("library").error("from a logger|")
    warnings.warn("a warning|")
    print("ours|", end="", file=sys.stderr, flush=True)

with quiet_libraries():
    speak()
    thread = threading.Thread(target=speak)
    thread.start()
    thread.join()
os.write(2, b"from C afterwards|")
logging.getLogger("library").error("from a logger afterwards|")
"""


def test_libraries_are_silent_and_the_command_is_not() -> None:
    process = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    assert process.stderr == "ours|ours|from C afterwards|from a logger afterwards|\n"


def test_what_libtiff_prints_is_shown_for_debugging_only(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(saved(Image.fromarray(scene()), "TIFF", compression="tiff_lzw").getvalue())
    data[200:260] = bytes(60)
    (folder / "bad.tif").write_bytes(data)
    sentence = "Error: 'bad.tif' is damaged or incomplete and cannot be read.\n"
    for debug in ("", "1"):
        monkeypatch.setenv("PHOTOSTYLE_DEBUG", debug)
        result = CliRunner().invoke(cli, ["image", "bad.tif", "dusk.png"])
        assert result.stderr.endswith(sentence)
        assert (result.stderr == sentence) != bool(debug)
        assert ("LZWDecode" in capfd.readouterr().err) == bool(debug)

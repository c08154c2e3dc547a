"""Reading a photo changes nothing that other threads of the program use."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable
from contextlib import suppress
from io import BytesIO
from threading import Thread

import pytest
from PIL import Image
from support.photos import example_files, saved, scene

from photostyle import PhotostyleError, photo


class WatchedStream(BytesIO):
    """A stream that runs a function in another thread whenever a decoder reads from it."""

    def __init__(self, data: bytes, function: Callable[[], None]) -> None:
        super().__init__(data)
        self.function = function

    def read(self, size: int | None = -1) -> bytes:
        thread = Thread(target=self.function)
        thread.start()
        thread.join()
        return super().read(size)


def damaged_tiff() -> bytes:
    """A file that libtiff complains about on stderr."""
    data = bytearray(saved(Image.fromarray(scene()), "TIFF", compression="tiff_lzw").getvalue())
    data[200:260] = bytes(60)
    return bytes(data)


FILES = {**example_files(), "damaged.tif": damaged_tiff()}


@pytest.mark.parametrize(
    "name", ["plain.jpg", "plain.png", "plain.tif", "deep.tif", "damaged.tif", "raw.dng"]
)
def test_stderr_logging_and_warnings_of_another_thread_arrive(
    name: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    recwarn: pytest.WarningsRecorder,
) -> None:
    if name == "raw.dng":
        pytest.importorskip("rawpy")
    warnings.simplefilter("always")
    calls = 0

    def speak() -> None:
        nonlocal calls
        calls += 1
        os.write(2, b"from another thread\n")
        logging.getLogger("PIL").warning("from another thread")
        warnings.warn("from another thread", stacklevel=1)

    with suppress(PhotostyleError):
        photo.read(WatchedStream(FILES[name], speak))
    assert calls > 1
    os.write(2, b"afterwards")
    printed = capfd.readouterr().err
    assert printed.count("from another thread") == calls
    assert printed.endswith("afterwards")
    assert caplog.text.count("from another thread") == calls
    assert [str(w.message) for w in recwarn].count("from another thread") == calls


@pytest.mark.parametrize("name", ["plain.png", "plain.tif", "plain.webp", "moving.gif"])
def test_the_pixel_limit_of_pillow_holds_for_everybody_else(
    name: str, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    refused = []

    def open_with_pillow() -> None:
        try:
            Image.open(BytesIO(FILES["plain.png"]))
        except Image.DecompressionBombError:
            refused.append(True)
        else:
            refused.append(False)

    assert photo.read(WatchedStream(FILES[name], open_with_pillow)).size == (60, 40)
    open_with_pillow()
    assert len(refused) > 2
    assert all(refused)
    assert not [w for w in recwarn if w.category is Image.DecompressionBombWarning]


def test_two_threads_read_at_once() -> None:
    """One thread finishes while the other reads; each keeps its own pixel limit."""
    sizes = []

    def read_another() -> None:
        sizes.append(photo.read(BytesIO(FILES["plain.jpg"])).size)

    assert photo.read(WatchedStream(FILES["plain.tif"], read_another)).size == (60, 40)
    assert set(sizes) == {(60, 40)}

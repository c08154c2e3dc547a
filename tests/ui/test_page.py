"""The page of `photostyle ui`, served by the command and used in a browser."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from support.browser import chromium, pixels
from support.photos import XMP, camera_exif, scene

import photostyle
from photostyle import lut, photo
from photostyle.cli import cli
from photostyle.transfer import style_file

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytest.importorskip("gradio", reason="install photostyle[ui]")

SERVER = """
import socket
import sys

# All addresses that the process connects to, or looks up.
def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        with open("asked.txt", "a") as log:
            print(arguments[1] if event == "socket.connect" else arguments[0], file=log)

sys.addaudithook(watch)
socket.getaddrinfo("localhost", 80)

from photostyle.ui import server

server.MAX_UPLOAD = 300_000

from photostyle.cli import main

main()
"""


@dataclass(frozen=True)
class Server:
    """The command while it runs. folder: its current one; temporary: that of its files."""

    address: str
    port: int
    folder: Path
    temporary: Path
    process: subprocess.Popen[str]

    def get(self, path: str, **headers: str) -> tuple[int, bytes]:
        return self.ask("GET", path, None, headers)

    def ask(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, response.read()


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    temporary = folder / "temporary"
    temporary.mkdir()
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, "ui", "--port", "0", "--model", "none", "--device", "cpu"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=folder,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONUNBUFFERED": "1"},
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        port = int(address.rpartition(":")[2])
        yield Server(address, port, folder, temporary, process)
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The command without a network; a photo and a style lie in its current folder."""
    content = Image.fromarray(scene(240, 160))
    content.save(tmp_path / "day.jpg", quality=95, exif=camera_exif(), xmp=XMP)
    Image.fromarray(scene(80, 60)[..., ::-1]).save(tmp_path / "dusk.png")
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def page(server: Server) -> Iterator[Page]:
    """The page, which must ask for nothing from elsewhere."""
    with chromium() as browser:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(server.address)
        yield page
        own = (server.address, "data:", "blob:")
        assert [url for url in asked if not url.startswith(own)] == []


def drop(page: Page, place: str, *files: Path) -> None:
    page.locator(f"#{place} input[type=file]").set_input_files(files)


def clear(page: Page, place: str) -> None:
    page.locator(f"#{place} button[aria-label=Clear]").click()
    page.locator(f"#{place} input[type=file]").wait_for(state="attached")
    page.wait_for_function("!document.querySelector('#slider img')")


def after_change(page: Page, change: Callable[[], object]) -> None:
    """Wait until both pictures of the slider are new, and quiet, after a change."""
    script = """(old) => {
        const images = [...document.querySelectorAll('#slider img')];
        return images.length == 2 && images[1].src != old && images.every((one) => one.complete);
    }"""
    last = page.locator("#slider img").last
    old = last.get_attribute("src") if page.locator("#slider img").count() else None
    change()
    page.wait_for_function(script, arg=old, timeout=60_000)


def set_strength(page: Page, strength: float) -> None:
    number = page.locator("#strength input[type=number]")
    number.fill(str(strength))
    number.press("Enter")


def try_and_take_home(server: Server, page: Page) -> None:
    drop(page, "photo", server.folder / "day.jpg")
    after_change(page, lambda: drop(page, "style", server.folder / "dusk.png"))
    picture = page.locator("#slider .slider-wrap img").first
    box = page.locator("#slider .slider-wrap")

    def shown() -> np.ndarray[Any, Any]:
        page.wait_for_timeout(150)  # for the slider's animation
        return pixels(box).astype(int)

    assert picture.evaluate("image => image.naturalWidth") == 240
    handle = page.locator("#slider [data-testid=slider]")
    start = shown()
    drag_slider(page, handle, box, 0.98)
    before = shown()
    drag_slider(page, handle, box, 0.02)
    after = shown()
    width = start.shape[1]
    left, right = np.s_[:, 40 : width // 2 - 40], np.s_[:, width // 2 + 40 : -40]
    assert np.abs(start[left] - before[left]).mean() < 1
    assert np.abs(start[right] - after[right]).mean() < 1
    assert np.abs(before - after)[left].mean() > 10
    assert np.abs(before - after)[right].mean() > 10

    after_change(page, lambda: set_strength(page, 0))
    assert np.abs(shown() - before)[left].mean() < 1
    after_change(page, lambda: set_strength(page, 0.5))
    half = shown()
    assert np.abs(half - before)[left].mean() > 2
    assert np.abs(half - after)[left].mean() > 2
    after_change(page, lambda: page.locator("#match label", has_text="none").click())
    assert np.abs(shown() - half)[left].mean() > 1

    files = {}
    for name in ("photo", "style", "cube"):
        with page.expect_download(timeout=60_000) as download:
            page.locator(f"#save-{name}").click()
        files[name] = server.folder / download.value.suggested_filename
        download.value.save_as(files[name])
    assert {path.name for path in files.values()} == {
        "day-dusk.jpg",
        "dusk.style",
        "day-dusk.cube",
    }
    # Exactly what the command writes, with its metadata.
    expected = server.folder / "expected.jpg"
    photostyle.stylize_photo(
        server.folder / "day.jpg",
        server.folder / "dusk.png",
        expected,
        model="none",
        device="cpu",
        strength=0.5,
        match="none",
        mode="fast",
    )
    taken, made = (photo.read(path) for path in (files["photo"], expected))
    assert np.array_equal(taken.pixels, made.pixels)
    assert taken.metadata.xmp == made.metadata.xmp
    with Image.open(files["photo"]) as image:
        assert image.getexif()[271] == "Maker"
        assert "strength 0.5, match none" in image.getexif()[305]
    photostyle.load("none", device="cpu").check_style(style_file.read(files["style"]))
    assert lut.read(files["cube"]).table.shape == (33, 33, 33, 3)

    # The style file is a style, too.
    clear(page, "style")
    after_change(page, lambda: drop(page, "style", files["style"]))


def drag_slider(page: Page, handle: Any, box: Any, to: float) -> None:
    """Drag the handle of the slider to a fraction of its width."""
    place, area = handle.bounding_box(), box.bounding_box()
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(area["x"] + 0.5 * area["width"], y, steps=3)
    page.mouse.move(area["x"] + to * area["width"], y, steps=5)
    page.mouse.up()


def make_mistakes(server: Server, page: Page) -> None:
    (server.folder / "it's not.jpg").write_text("no photo")
    (server.folder / "large.bin").write_bytes(bytes(400_000))
    drop(page, "photo", server.folder / "day.jpg")
    drop(page, "style", server.folder / "it's not.jpg")
    shown = page.locator(".toast-body")
    shown.wait_for(timeout=60_000)
    assert 'not.jpg" is not a photo in a supported format' in shown.inner_text()
    assert "/" not in shown.inner_text()
    page.locator("#save-photo").click()
    page.locator(".toast-body", has_text="Drop a photo and a style first").wait_for(timeout=60_000)
    clear(page, "style")
    drop(page, "style", server.folder / "large.bin")
    page.locator(".toast-body", has_text=re.compile("size|large", re.I)).wait_for(timeout=60_000)


def read_files_of_the_machine(server: Server) -> None:
    secret = server.folder / "secret.txt"
    secret.write_text("the secret")
    inside = next(server.temporary.glob("photostyle-*"))
    (inside / "link").symlink_to(secret)
    names = [
        str(secret),
        "secret.txt",
        "./secret.txt",
        f"{inside}/../../secret.txt",
        f"{inside}/link",
        f"{server.temporary}/../secret.txt",
        f"file://{secret}",
        "/etc/passwd",
        "http://127.0.0.1/",
    ]
    for name in names:
        for route in ("/gradio_api/file=", "/gradio_api/file/", "/file=", "/static/", "/assets/"):
            for spelled in (quote(name), quote(name, safe=""), quote(quote(name, safe=""))):
                status, body = server.get(route + spelled)
                assert status in (403, 404), (route, name)
                assert b"the secret" not in body
    # As the argument of a handler, a photo would be shown.
    for path in (
        str(server.folder / "day.jpg"),
        "day.jpg",
        f"{inside}/../../day.jpg",
        "http://a/b",
    ):
        file = {"path": path, "meta": {"_type": "gradio.FileData"}}
        call = {"data": [file, file, "auto", 1, None], "fn_index": 0, "session_hash": "abc"}
        assert post(server, "/gradio_api/queue/join", call) == 403
    assert post(server, "/gradio_api/queue/join", {"data": []} | {"x": "y" * (2 << 20)}) == 403


def post(server: Server, path: str, value: object, **headers: str) -> int:
    body = json.dumps(value).encode()
    return server.ask("POST", path, body, {"Content-Type": "application/json", **headers})[0]


def ask_from_elsewhere(server: Server) -> None:
    assert server.get("/")[0] == 200
    own = f"127.0.0.1:{server.port}"
    for headers, status in (
        ({"Host": own, "Origin": f"http://{own}"}, 200),
        ({"Host": f"localhost:{server.port}"}, 200),
        ({"Host": "example.com"}, 403),
        ({"Host": f"example.com:{server.port}"}, 403),
        ({"Host": own, "Origin": "http://example.com"}, 403),
        ({"Host": own, "Origin": "null"}, 403),
        ({"Host": own, "Sec-Fetch-Site": "cross-site"}, 403),
    ):
        assert server.get("/", **headers)[0] == status, headers
    with socket.socket() as other:  # also a loopback address, but not the one that it listens on
        assert other.connect_ex(("127.0.0.2", server.port)) != 0
    for route in ("info", "openapi.json", "proxy=http://example.com/", "vibe-code", "run/answer"):
        assert server.get(f"/gradio_api/{route}")[0] == 403
    for route in ("/docs", "/openapi.json", "/monitoring", "/gradio_api/call/answer"):
        assert server.get(route)[0] == 403
    for route in ("/", "/config"):
        text = server.get(route)[1].decode()
        assert "https://fonts" not in text
        assert not [path for path in (server.folder, Path.home(), sys.prefix) if str(path) in text]


def stop(server: Server) -> None:
    """Ctrl-C: the files are removed, and nothing has been sent anywhere."""
    assert list(server.temporary.glob("photostyle-*"))
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=60) == 128 + signal.SIGINT
    assert list(server.temporary.glob("photostyle-*")) == []
    asked = (server.folder / "asked.txt").read_text().splitlines()
    assert "localhost" in asked  # by the script itself
    assert [one for one in asked if "127.0.0.1" not in one and one != "localhost"] == []


@pytest.mark.slow
def test_the_page_in_a_browser(server: Server, page: Page) -> None:
    try_and_take_home(server, page)
    page.reload()
    make_mistakes(server, page)
    stop(server)


def test_the_page_is_for_this_machine_and_reads_only_uploads(server: Server) -> None:
    read_files_of_the_machine(server)
    ask_from_elsewhere(server)
    stop(server)


def test_a_port_that_is_taken_is_refused() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = CliRunner().invoke(cli, ["ui", "--port", str(port)])
    assert result.exit_code == 1
    assert f"The port {port} cannot be used" in result.stderr

"""A headless Chromium for tests of pages."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

OPTIONS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; skips the test where there is none."""
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed; `apt-get install chromium`, or see the Makefile.")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


def pixels(element: Locator) -> npt.NDArray[np.uint8]:
    """What an element looks like now: (H, W, 3)."""
    with Image.open(BytesIO(element.screenshot())) as image:
        return np.asarray(image.convert("RGB"))


def drag(element: Locator, start: float, end: float) -> None:
    """Drag the mouse across an element, at half its height; start, end: fractions of its width."""
    box = element.bounding_box()
    assert box is not None
    mouse = element.page.mouse
    y = box["y"] + box["height"] / 2
    mouse.move(box["x"] + start * box["width"], y)
    mouse.down()
    for step in range(1, 6):
        mouse.move(box["x"] + (start + (end - start) * step / 5) * box["width"], y)
    mouse.up()

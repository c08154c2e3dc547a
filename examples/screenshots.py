"""Makes the pictures of docs/looking.md, with a headless Chromium.

    python examples/screenshots.py FOLDER        writes compare.jpg, report.jpg and ui.jpg

The photos are those of `examples/render.py`. Needs photostyle[dev] and Chromium.
"""

from __future__ import annotations

import subprocess
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import render
from PIL import Image
from playwright.sync_api import Page, sync_playwright

OPTIONS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync")
COMMAND = (sys.executable, "-m", "photostyle")


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as name, sync_playwright() as playwright:
        work = Path(name)
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=OPTIONS)
        page = browser.new_page(viewport={"width": 1240, "height": 840})
        content, style, result = (work / f"{name}.jpg" for name in ("content", "style", "result"))

        render.lake().save(content, quality=93)
        render.seashore().save(style, quality=93)
        report = work / "report.html"
        photostyle("image", content, style, "-o", result, "--report", report)
        photos = (content, style, result)
        sheet = folder / "compare.jpg"
        photostyle("compare", *photos, "-o", sheet, "--size", "420", "--quality", "85", "--force")
        page.goto(report.as_uri())
        page.set_viewport_size({"width": 1240, "height": 1140})
        save(page, folder / "report.jpg")

        with subprocess.Popen([*COMMAND, "ui", "--port", "0"], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            page.goto(server.stdout.readline().decode().strip())
            page.set_viewport_size({"width": 1240, "height": 840})
            page.locator("#photo input[type=file]").set_input_files(content)
            page.locator("#style input[type=file]").set_input_files(style)
            page.locator("#slider img").first.wait_for(timeout=60_000)
            page.wait_for_timeout(5000)
            save(page, folder / "ui.jpg")
            server.terminate()
        browser.close()


def photostyle(*arguments: str | Path) -> None:
    subprocess.run([*COMMAND, *map(str, arguments)], check=True)


def save(page: Page, path: Path) -> None:
    """A picture of what the window shows."""
    with Image.open(BytesIO(page.screenshot())) as image:
        image.convert("RGB").resize((1000, 1000 * image.height // image.width)).save(
            path, quality=85
        )


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))

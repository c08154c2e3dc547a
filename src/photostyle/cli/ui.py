"""`photostyle ui`: a local page to try styles on a photo."""

from __future__ import annotations

from typing import Any

import click

from photostyle.allocator import keep_freed_memory
from photostyle.cli import _options
from photostyle.ui.server import serve

option = _options.of(serve)


@click.command()
@option(
    "--port", type=click.IntRange(0, 65535), help="Port of 127.0.0.1; 0 takes any that is free."
)
@click.option("--open", "open_", is_flag=True, help="Open the page in the browser.")
@_options.model
@_options.device
@_options.threads
def ui(open_: bool, **options: Any) -> None:
    """Serve a page on this machine to try styles on a photo, until Ctrl-C.

    Drop a photo and a style; move the strength; compare before and after; download the photo, the
    style as a .style file, or the look as a .cube LUT. Only this machine can reach the page, and
    nothing is sent anywhere.
    """

    def ready(address: str) -> None:
        click.echo(address)
        if open_:
            click.launch(address)

    keep_freed_memory()
    serve(ready=ready, **options)

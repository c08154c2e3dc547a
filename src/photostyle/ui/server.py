"""Serves the page to this machine alone.

Gradio brings many routes and settings that the page does not need. Here only those remain that it
does, only for requests that come from the page itself; and of files, only uploads and results.
"""

from __future__ import annotations

import json
import os
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import unquote, urlsplit

from photostyle.errors import PhotostyleError, needs_extra
from photostyle.jobs.models import load_stylizer

HOST = "127.0.0.1"

MAX_UPLOAD = 256 << 20
"""Largest file that can be uploaded, in bytes."""

_ROUTES = re.compile(
    r"/|/(assets|static|svelte)/.*|/(config|theme\.css|favicon\.ico|manifest\.json|robots\.txt)/?"
    r"|/gradio_api/(upload|upload_progress|queue/join|queue/data|heartbeat/.*|reset|cancel"
    r"|startup-events|theme\.css)/?"
)

_FILES, _JOIN = "/gradio_api/file=", "/gradio_api/queue/join"

_MAX_BODY = 1 << 20
"""Largest call of a handler, in bytes."""

_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
    "frame-ancestors 'none'"
)

_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
]

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


def serve(
    *,
    port: int = 7860,
    model: str = "photonas",
    device: str = "auto",
    ready: Callable[[str], None] = lambda _: None,
) -> None:
    """Serve the page until the process is interrupted.

    port: of 127.0.0.1; 0 for any that is free. model, device: as in `stylize_photo`. ready: called
    with the address when the page can be opened. Uploads and results lie in a temporary folder,
    which is removed at the end.

    Raises PhotostyleError if Gradio is not installed, the model or the device cannot be used, or
    the port is taken.
    """
    with _listening(port) as listener, TemporaryDirectory(prefix="photostyle-") as name:
        folder = Path(name).resolve()
        # Gradio reads these when it is imported.
        os.environ["GRADIO_TEMP_DIR"] = str(folder)
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        os.environ["HF_HUB_OFFLINE"] = "1"
        with needs_extra("ui"):
            import gradio
            import uvicorn
            from fastapi import FastAPI

        from photostyle.ui import page

        blocks = page.build(load_stylizer(model, device), folder)
        address = f"http://{HOST}:{listener.getsockname()[1]}"
        app = gradio.mount_gradio_app(
            FastAPI(docs_url=None, redoc_url=None, openapi_url=None),
            blocks,
            "/",
            server_name=HOST,
            server_port=listener.getsockname()[1],
            app_kwargs={"docs_url": None, "redoc_url": None, "openapi_url": None},
            footer_links=[],
            run_history=False,
            show_error=False,
            max_file_size=MAX_UPLOAD,
            ssr_mode=False,
            enable_monitoring=False,
            pwa=False,
            mcp_server=False,
            theme=page.theme(),
            css=page.CSS,
        )
        blocks.has_launched = True  # else Gradio does not check what files are asked for
        guarded = Guard(app, urlsplit(address).netloc, folder)
        config = uvicorn.Config(
            guarded, log_level="critical", access_log=False, timeout_graceful_shutdown=1
        )
        ready(address)
        uvicorn.Server(config).run(sockets=[listener])


def _listening(port: int) -> socket.socket:
    listener = socket.socket()
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        listener.listen()
    except OSError as error:
        listener.close()
        raise PhotostyleError(
            f"The port {port} cannot be used: {error.strerror}; choose another with --port."
        ) from error
    return listener


class Guard:
    """An ASGI application in front of another, which sees only what the page itself asks for."""

    def __init__(self, app: Any, address: str, folder: Path) -> None:
        port = address.rpartition(":")[2]
        self._app, self._folder = app, folder
        self._hosts = {address, f"localhost:{port}"}

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            allowed = self._allows(scope)
            if allowed and scope["path"].rstrip("/") == _JOIN:
                body = await _body(receive)
                allowed, receive = self._names_own_files(body), _replayed(body, receive)
            if allowed:
                await self._app(scope, receive, _with_headers(send))
            else:
                await send({"type": "http.response.start", "status": 403, "headers": []})
                await send({"type": "http.response.body", "body": b"Forbidden"})

    def _allows(self, scope: dict[str, Any]) -> bool:
        """Whether a request comes from the page, and is for something that it needs."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        origin = headers.get(b"origin")
        if headers.get(b"host") not in self._hosts:  # a name of another site for this machine
            return False
        if origin is not None and urlsplit(origin).netloc not in self._hosts:
            return False
        if headers.get(b"sec-fetch-site", "none") not in ("none", "same-origin"):
            return False
        path = scope["path"]
        if path.startswith(_FILES):
            return self._is_own(path.removeprefix(_FILES))
        return ".." not in path and _ROUTES.fullmatch(path) is not None

    def _is_own(self, file: str) -> bool:
        """Whether a file lies in the folder of uploads and results, also if it is decoded again."""
        paths = [Path(file), Path(unquote(file))]
        return all(
            path.is_absolute() and path.resolve().is_relative_to(self._folder) for path in paths
        )

    def _names_own_files(self, body: bytes) -> bool:
        """Whether all files that the arguments of a handler name are own files."""
        try:
            return all(self._is_own(file) for file in _files(json.loads(body)))
        except (TypeError, ValueError, RecursionError):
            return False


def _files(arguments: Any) -> Iterator[str]:
    """The files that JSON names, as Gradio writes them."""
    if isinstance(arguments, dict):
        if "path" in arguments:
            yield arguments["path"]
        arguments = list(arguments.values())
    if isinstance(arguments, list):
        for part in arguments:
            yield from _files(part)


async def _body(receive: Receive) -> bytes:
    """The body of a request, or as much as it needs to be refused."""
    parts, more = [b""], True
    while more and sum(map(len, parts)) <= _MAX_BODY:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"" if more else b"".join(parts)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """``receive`` once more from the start, for a body that was taken."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> dict[str, Any]:
        return messages.pop() if messages else await receive()

    return again


def _with_headers(send: Send) -> Send:
    async def with_headers(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message.get("headers", []), *_HEADERS]}
        await send(message)

    return with_headers

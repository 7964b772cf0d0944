"""One application for each interface, which says what it saw: for the clients of HTTP/2.

``/large`` answers with a MiB; anything else with version, method, path, host and the size of
the body, in one line of text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from granian_asgi import Receive, Scope, Send
from granian_rsgi import HTTPProtocol, HTTPScope

LARGE = b"x" * 1_048_576


def line(version: str, method: str, path: str, host: str, size: int) -> bytes:
    """Return what was seen."""
    return f"{version} {method} {path} {host} {size}".encode()


async def asgi(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer over ASGI."""
    assert scope["type"] == "http", "only http here"
    size = 0
    more = True
    while more:
        message: Any = await receive()
        size += len(message["body"])
        more = message.get("more_body", False)
    host = dict(scope["headers"])[b"host"].decode()
    body = line(scope["http_version"], scope["method"], scope["path"], host, size)
    await send({"type": "http.response.start", "status": 200})
    content = LARGE if scope["path"] == "/large" else body
    await send({"type": "http.response.body", "body": content})


async def rsgi(scope: HTTPScope, protocol: HTTPProtocol) -> None:
    """Answer over RSGI."""
    size = len(await protocol())
    host = scope.authority or scope.headers.get("host") or ""
    body = line(scope.http_version, scope.method, scope.path, host, size)
    protocol.response_bytes(200, [], LARGE if scope.path == "/large" else body)


def wsgi(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """Answer over WSGI."""
    size = len(environ["wsgi.input"].read())
    version = environ["SERVER_PROTOCOL"].removeprefix("HTTP/")
    path = environ["PATH_INFO"]
    body = line(version, environ["REQUEST_METHOD"], path, environ["HTTP_HOST"], size)
    start("200 OK", [("content-type", "text/plain")])
    return [LARGE if path == "/large" else body]

"""Applications that wait, as one for a database does: 50 ms for each request."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

SECONDS = 0.05
_BODY = b"x" * 1024
_LENGTH = str(len(_BODY))


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> list[bytes]:
    """Answer after a while; the thread waits."""
    time.sleep(SECONDS)
    start_response("200 OK", [("content-type", "text/plain"), ("content-length", _LENGTH)])
    return [_BODY]


async def asgi(
    scope: dict[str, Any],
    receive: Callable[[], Awaitable[dict[str, Any]]],
    send: Callable[[dict[str, Any]], Awaitable[None]],
) -> None:
    """Answer after a while; only the task waits."""
    assert scope["type"] == "http"
    await asyncio.sleep(SECONDS)
    headers = [(b"content-type", b"text/plain"), (b"content-length", _LENGTH.encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": _BODY})

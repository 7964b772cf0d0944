"""What the tests of this package share: a server in memory around an application."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from granian_asgi import ASGIFactory, Message, Receive, Scope, Send, asgi, asginl
from granian_core import InterfaceOptions, ServerConfig
from granian_core.testing import MemoryClient, MemoryResponse, MemoryServer

T = TypeVar("T")

ERROR = (500, b"Internal server error")
"""Status and body that answer an application's failure."""


@contextlib.asynccontextmanager
async def serve(
    app: object,
    options: InterfaceOptions | None = None,
    *,
    factory: ASGIFactory = asginl,
    config: ServerConfig | None = None,
) -> AsyncIterator[MemoryServer]:
    """Serve *app* in memory."""
    interface = factory(app, options or InterfaceOptions())
    async with MemoryServer(interface, config) as server:
        yield server


def request(app: object, *args: Any, **kwargs: Any) -> MemoryResponse:
    """Serve *app*, make one request, return the response; arguments as `MemoryClient.request`."""

    async def main() -> MemoryResponse:
        async with serve(app) as server:
            return await server.connect().request(*args, **kwargs)

    return asyncio.run(main())


def with_client(app: object, scenario: Callable[[MemoryClient], Awaitable[T]]) -> T:
    """Serve *app*, run *scenario* with one connection, return its result."""

    async def main() -> T:
        async with serve(app) as server:
            return await scenario(server.connect())

    return asyncio.run(main())


def start(
    status: object = 200, headers: Sequence[object] = (), **more: object
) -> dict[str, object]:
    """Return an ``http.response.start`` message."""
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def body(content: object = b"", *, more: bool = False) -> dict[str, object]:
    """Return an ``http.response.body`` message."""
    return {"type": "http.response.body", "body": content, "more_body": more}


async def respond(send: Send, content: bytes = b"", status: int = 200) -> None:
    """Send a whole response."""
    await send(start(status))
    await send(body(content))


async def read_body(receive: Receive) -> bytes:
    """Return the whole request body."""
    parts = []
    while True:
        message = await receive()
        assert message["type"] == "http.request", message
        parts.append(message["body"])
        if not message["more_body"]:
            return b"".join(parts)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the request's body."""
    await respond(send, await read_body(receive))


__all__ = [
    "ERROR",
    "Message",
    "asgi",
    "asginl",
    "body",
    "echo",
    "read_body",
    "request",
    "respond",
    "serve",
    "start",
    "with_client",
]

"""Run an RSGI application in a real server without sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from granian_core import InterfaceOptions
from granian_core.testing import MemoryClient, MemoryResponse, MemoryServer
from granian_rsgi import rsgi

T = TypeVar("T")

SERVER_ERROR = b"Internal server error"


def serve(
    application: object,
    scenario: Callable[[MemoryServer], Awaitable[T]],
    options: InterfaceOptions | None = None,
) -> T:
    """Run *scenario* against *application* on a loop of its own; return its result."""

    async def main() -> T:
        async with MemoryServer(rsgi(application, options or InterfaceOptions())) as server:
            return await scenario(server)

    return asyncio.run(main())


def fetch(
    application: object,
    method: str = "GET",
    target: str = "/",
    headers: list[tuple[bytes, bytes]] | None = None,
    body: bytes = b"",
) -> MemoryResponse:
    """Send one request to *application*; return the response."""

    async def scenario(server: MemoryServer) -> MemoryResponse:
        return await server.connect().request(method, target, headers or (), body)

    return serve(application, scenario)


def exchange(application: object, request: bytes) -> bytes:
    """Send raw bytes to *application*; return all that comes until the server closes."""

    async def scenario(server: MemoryServer) -> bytes:
        client: MemoryClient = server.connect()
        client.send(request)
        return await client.read_until_close()

    return serve(application, scenario)

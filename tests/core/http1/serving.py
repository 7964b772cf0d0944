"""A server in memory whose clock stands still until a test moves it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeAlias

import pytest

from granian_core import BaseInterface, HTTP1Settings, HTTPStream, Limits, ServerConfig
from granian_core.settings import EngineChoice
from granian_core.testing import MemoryClient, MemoryServer

Handler: TypeAlias = Callable[[HTTPStream], Awaitable[None] | None]

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
both_engines = pytest.mark.parametrize("engine", ["fast", "reference"])


def post(length: int, more: bytes = b"") -> bytes:
    """Return the head of a POST with a Content-Length."""
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (length, more)


CHUNKED = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"


class FromFunction(BaseInterface):
    """An interface made of one function."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle_http(self, stream: HTTPStream) -> Awaitable[None] | None:
        return self._handler(stream)


class Serving:
    """A running server and its clock."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self.now = 1000.0
        context = server.server.context
        context.clock = lambda: self.now
        server.server.sweep(self.now)

    def connect(self) -> MemoryClient:
        return self.server.connect()

    async def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in steps, with a sweep after each, as the server would."""
        while seconds > 1e-9:
            await turns()
            self.now += min(step, seconds)
            seconds -= step
            self.server.server.sweep(self.now)
        await turns()


async def turns(count: int = 6) -> None:
    """Let the loop run whatever is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(
    handler: Handler,
    engine: EngineChoice = "fast",
    *,
    http1: HTTP1Settings | None = None,
    limits: Limits | None = None,
    config: ServerConfig | None = None,
) -> AsyncIterator[Serving]:
    """Serve *handler*; afterwards every connection is dropped."""
    if config is None:
        config = ServerConfig(
            http1=http1 or HTTP1Settings(engine=engine), limits=limits or Limits()
        )
    async with MemoryServer(FromFunction(handler), config) as server:
        yield Serving(server)
        for client in server.clients:
            client.abort()
        await turns()


async def echo(stream: HTTPStream) -> None:
    """Answer with the request's body."""
    stream.respond(200, [], await stream.read_all())


async def ignore_body(stream: HTTPStream) -> None:
    """Answer without reading."""
    stream.respond(200, [], b"done")

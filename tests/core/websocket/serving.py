"""A WebSocket in memory: an interface made of one function, and a client that writes frames."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from granian_core import (
    BaseInterface,
    HTTPStream,
    ServerConfig,
    WebSocketClosed,
    WebSocketSettings,
    WebSocketStream,
)
from granian_core.testing import MemoryClient, MemoryServer
from tests.core.http1.serving import Serving, turns
from tests.core.websocket.wire import handshake, server_frames

ENGINE = "auto"
"""What `serving` uses; the fixture ``each_engine`` sets it."""

Handler: TypeAlias = Callable[[WebSocketStream], Awaitable[None] | None]


class FromFunction(BaseInterface):
    """Serves every WebSocket with one function; requests get ``plain``."""

    websockets = True

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[HTTPStream] = []

    async def handle_http(self, stream: HTTPStream) -> None:
        self.requests.append(stream)
        await stream.read_all()
        stream.respond(200, (), b"plain")

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None] | None:
        return self._handler(stream)


class Echo:
    """Accepts, echoes, and notes how it ended."""

    def __init__(self) -> None:
        self.received: list[str | bytes] = []
        self.closed: WebSocketClosed | None = None
        self.stream: WebSocketStream | None = None

    async def __call__(self, stream: WebSocketStream) -> None:
        self.stream = stream
        stream.accept()
        try:
            while True:
                message = await stream.receive()
                self.received.append(message)
                stream.send(message)
                await stream.drain()
        except WebSocketClosed as exc:
            self.closed = exc


@contextlib.asynccontextmanager
async def serving(handler: Handler, **settings: Any) -> AsyncIterator[Serving]:
    """Serve with *settings* (of `WebSocketSettings`) on a clock that a test moves."""
    config = ServerConfig(websocket=WebSocketSettings(**{"engine": ENGINE, **settings}))
    async with MemoryServer(FromFunction(handler), config) as server:
        yield Serving(server)
        for client in server.clients:
            client.abort()  # a stop would wait for answers to its close frames
        for websocket in server.server.context.websockets:
            if websocket.task is not None:
                websocket.task.cancel()
        await turns()


def ended(client: MemoryClient) -> bytes:
    """Return what follows the 101 so far."""
    _, _, rest = client.output.partition(b"\r\n\r\n")
    return rest


def frames(client: MemoryClient) -> list[tuple[int, bytes]]:
    """Return the frames that the server has sent so far."""
    return server_frames(ended(client))


async def opened(subject: Serving, *more: bytes) -> MemoryClient:
    """Return a client whose handshake is complete."""
    client = subject.connect()
    client.send(handshake(*more))
    await turns()
    assert client.output.startswith(b"HTTP/1.1 101 "), client.output
    return client


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario."""

    async def bounded() -> None:
        await asyncio.wait_for(main(), 30)

    asyncio.run(bounded())

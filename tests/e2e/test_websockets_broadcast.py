"""Messages for many WebSockets, one of which does not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from tests.e2e.apps.websocket_broadcast import COUNT, message
from tests.e2e.serving import IO_TIMEOUT, ServerProcess, serving
from tests.e2e.websocket_http2 import connect

websockets = pytest.importorskip("websockets")

APP = "tests.e2e.apps.websocket_broadcast:asgi"
MOST_MEMORY = 16 * 1024 * 1024
"""Bytes by which the server may grow: half a MiB for each of 32 clients, which need far less."""
Read = Callable[[], Awaitable[object]]


async def over_http1(server: ServerProcess, stack: AsyncExitStack, name: str) -> Read:
    """Open a WebSocket; return what reads its next message."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    sock.connect((server.host, server.port))
    client = await stack.enter_async_context(
        websockets.connect(
            f"ws://localhost/?{name}",
            sock=sock,
            max_queue=4,
            compression=None,
            ping_interval=None,
            close_timeout=0.1,
        )
    )
    return client.recv  # type: ignore[no-any-return]


async def over_http2(server: ServerProcess, stack: AsyncExitStack, name: str) -> Read:
    """The same, by extended CONNECT."""
    connection = await stack.enter_async_context(connect(server.host, server.port))
    client = await connection.open(f"/?{name}")
    assert client.status == 200
    return client.receive


@pytest.mark.parametrize(("open_one", "clients"), [(over_http1, 32), (over_http2, 12)])
def test_one_that_does_not_read_holds_nobody_up(
    open_one: Callable[[ServerProcess, AsyncExitStack, str], Awaitable[Read]], clients: int
) -> None:
    async def read_all(read: Read) -> None:
        for number in range(COUNT):
            assert await read() == message(number)

    async def scenario() -> dict[str, int]:
        async with AsyncExitStack() as stack:
            await open_one(server, stack, "stalled")
            readers = [await open_one(server, stack, str(n)) for n in range(clients - 1)]
            before = server.peak_memory()
            await asyncio.to_thread(get, "/go")
            await asyncio.wait_for(asyncio.gather(*map(read_all, readers)), 10 * IO_TIMEOUT)
            sent = await asyncio.to_thread(get, "/sent")
            # A few messages for each of them; without a bound the stalled one alone has 125 MiB.
            assert server.peak_memory() - before < MOST_MEMORY
            return sent

    def get(path: str) -> dict[str, int]:
        with server.client() as client:
            return client.get(path).json()  # type: ignore[no-any-return]

    with serving(APP, "--ws-ping-interval", "0") as server:
        sent = asyncio.run(scenario())

    assert sent.pop("stalled") < COUNT
    assert set(sent.values()) == {COUNT}

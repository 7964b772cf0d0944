"""WebSockets as an RSGI application sees them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from granian_core import InterfaceOptions, ServerConfig, WebSocketSettings
from granian_core.testing import MemoryClient, MemoryServer
from granian_rsgi import ProtocolClosed, ProtocolError, WebsocketProtocol, WebsocketScope, rsgi
from tests.wires import over_cleartext_http1

pytestmark = pytest.mark.usefixtures("wire")

HANDSHAKE = [
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
]
App = Callable[[WebsocketScope, WebsocketProtocol], Awaitable[None]]
TEXT, BINARY, CLOSE = 0x81, 0x82, 0x88

ENGINE = "auto"
"""What `run` serves with; a fixture sets it."""


@pytest.fixture(autouse=True, params=["fast", "reference"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve with each of the engines in turn."""
    monkeypatch.setattr(sys.modules[__name__], "ENGINE", request.param)


def frame(head: int, payload: bytes) -> bytes:
    """Return a frame masked with zeros."""
    return bytes([head, 0x80 | len(payload)]) + bytes(4) + payload


def run(app: App, scenario: Callable[[MemoryClient], Awaitable[None]]) -> None:
    """Serve *app*; run *scenario* with a client that has asked for a WebSocket."""

    async def main() -> None:
        config = ServerConfig(websocket=WebSocketSettings(engine=ENGINE))  # type: ignore[arg-type]
        async with MemoryServer(rsgi(app, InterfaceOptions()), config) as server:
            client = server.connect()
            client.send_request("GET", "/chat?a=b", HANDSHAKE)
            await scenario(client)
            client.abort()

    asyncio.run(asyncio.wait_for(main(), 30))


async def expect(client: MemoryClient, data: bytes) -> None:
    await client.wait_for(lambda: client.output.endswith(data))


@over_cleartext_http1
def test_messages_of_each_kind() -> None:
    seen: list[Any] = []

    async def app(scope: WebsocketScope, protocol: WebsocketProtocol) -> None:
        seen.append((scope.proto, scope.scheme, scope.method, scope.path, scope.query_string))
        transport = await protocol.accept()
        with pytest.raises(ProtocolError):
            await protocol.accept()
        for _ in range(2):
            message = await transport.receive()
            seen.append((message.kind, message.data))  # type: ignore[union-attr]
        await transport.send_str("text")
        await transport.send_bytes(b"bytes")
        message = await transport.receive()
        seen.append((message.kind, hasattr(message, "data")))
        with pytest.raises(ProtocolClosed):
            await transport.receive()
        with pytest.raises(ProtocolClosed):
            await transport.send_str("late")
        with pytest.raises(TypeError, match="must be str"):
            await transport.send_str(b"a")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="must be bytes"):
            await transport.send_bytes("a")  # type: ignore[arg-type]
        seen.append("end")

    async def scenario(client: MemoryClient) -> None:
        client.send(frame(TEXT, b"hi") + frame(BINARY, b"\xff"))
        await expect(client, b"\x81\x04text\x82\x05bytes")
        client.send(frame(CLOSE, b"\x03\xe8"))
        await client.wait_ended()

    run(app, scenario)
    assert seen[0] == ("ws", "http", "GET", "/chat", "a=b")
    assert seen[1:] == [(2, "hi"), (1, b"\xff"), (0, False), "end"]


@pytest.mark.parametrize(("status", "answer"), [(None, 403), (401, 401)])
def test_closing_before_accepting_refuses(status: int | None, answer: int) -> None:
    async def app(scope: WebsocketScope, protocol: WebsocketProtocol) -> None:
        protocol.close(status)
        protocol.close(500)
        with pytest.raises(ProtocolError):
            await protocol.accept()

    async def scenario(client: MemoryClient) -> None:
        response = await client.receive_response()
        assert (response.status, response.body) == (answer, b"")

    run(app, scenario)


def test_closing_after_accepting_sends_an_empty_frame() -> None:
    async def app(scope: WebsocketScope, protocol: WebsocketProtocol) -> None:
        transport = await protocol.accept()
        protocol.close(1000)
        protocol.close()
        with pytest.raises(ProtocolError):
            await transport.send_str("late")

    async def scenario(client: MemoryClient) -> None:
        await expect(client, b"\r\n\r\n\x88\x00")

    run(app, scenario)


@pytest.mark.parametrize("way", ["vanish", "fault"])
def test_an_end_without_a_close_frame_raises(way: str) -> None:
    async def app(scope: WebsocketScope, protocol: WebsocketProtocol) -> None:
        transport = await protocol.accept()
        with pytest.raises(ProtocolClosed, match="RSGI transport is closed"):
            await transport.receive()
        ended.set()

    async def scenario(client: MemoryClient) -> None:
        await client.wait_for(lambda: b" 101 " in client.output)
        if way == "vanish":
            client.abort()
        else:
            client.send(frame(0x83, b""))
        await ended.wait()

    ended = asyncio.Event()
    run(app, scenario)


def test_a_second_receive_raises_and_a_cancelled_one_loses_nothing() -> None:
    async def app(scope: WebsocketScope, protocol: WebsocketProtocol) -> None:
        transport = await protocol.accept()
        first = asyncio.ensure_future(transport.receive())
        await asyncio.sleep(0)
        with pytest.raises(ProtocolError):
            await transport.receive()
        first.cancel()
        await asyncio.sleep(0)
        message = await transport.receive()
        await transport.send_str(message.data)  # type: ignore[union-attr, arg-type]

    async def scenario(client: MemoryClient) -> None:
        await client.wait_for(lambda: b" 101 " in client.output)
        for _ in range(5):
            await asyncio.sleep(0)
        client.send(frame(TEXT, b"kept"))
        await expect(client, b"\x81\x04kept\x88\x00")

    run(app, scenario)


def test_returning_without_an_answer_is_403() -> None:
    async def app(scope: WebsocketScope, protocol: WebsocketProtocol) -> None:
        return

    async def scenario(client: MemoryClient) -> None:
        assert (await client.receive_response()).status == 403

    run(app, scenario)

"""WebSockets as an ASGI application sees them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from wsproto.frame_protocol import FrameProtocol, Opcode

from granian_asgi import Receive, Scope, Send, asgi
from granian_core import (
    InterfaceOptions,
    LocalProtocolError,
    ServerConfig,
    WebSocketSettings,
)
from granian_core.testing import MemoryClient, MemoryServer
from tests.wires import over_cleartext_http1

pytestmark = pytest.mark.usefixtures("wire")

HANDSHAKE = [
    (b"Connection", b"Upgrade"),
    (b"Upgrade", b"websocket"),
    (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"Sec-WebSocket-Version", b"13"),
    (b"Sec-WebSocket-Protocol", b"one, two"),
]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
ACCEPT = {"type": "websocket.accept"}

ENGINE = "auto"
"""What `run` serves with; a fixture sets it."""


@pytest.fixture(autouse=True, params=["fast", "reference"])
def each_engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Serve with each of the engines in turn."""
    monkeypatch.setattr(sys.modules[__name__], "ENGINE", request.param)


class Client:
    """wsproto's client on an in-memory connection."""

    def __init__(self, client: MemoryClient) -> None:
        self.memory = client
        self.frames = FrameProtocol(client=True, extensions=[])
        client.send_request("GET", "/chat%20room?a=b", HANDSHAKE)

    async def accepted(self) -> bytes:
        """Wait for the 101; return its head."""
        await self.memory.wait_for(lambda: b"\r\n\r\n" in self.memory.unread)
        head, _, rest = self.memory.unread.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head
        self.memory._position += len(head) + 4
        del rest
        return head

    def send(self, data: str | bytes) -> None:
        self.memory.send(bytes(self.frames.send_data(data)))

    def close(self, code: int | None = None, reason: str = "") -> None:
        self.memory.send(bytes(self.frames.close(code, reason or None)))

    async def receive(self) -> Any:
        """Return the payload of the next frame; a close frame's is (code, reason)."""
        while True:
            for frame in self.frames.received_frames():
                assert frame.opcode is not Opcode.PING
                return frame.payload
            await self.memory.wait_for(lambda: bool(self.memory.unread))
            data = self.memory.unread
            self.memory._position += len(data)
            self.frames.receive_bytes(data)


def run(app: App, scenario: Callable[[Client], Awaitable[None]]) -> None:
    """Serve *app* without lifespan; run *scenario* with one client."""

    async def main() -> None:
        interface = asgi(app, InterfaceOptions())
        interface._lifespan = None
        config = ServerConfig(websocket=WebSocketSettings(engine=ENGINE))  # type: ignore[arg-type]
        async with MemoryServer(interface, config) as server:
            client = Client(server.connect())
            await scenario(client)
            client.memory.abort()

    asyncio.run(asyncio.wait_for(main(), 30))


@over_cleartext_http1
def test_scope_and_events_of_a_whole_life() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope)
        seen.append(await receive())
        await send({**ACCEPT, "subprotocol": "two", "headers": [(b"x-a", b"1")]})
        while True:
            message = await receive()
            seen.append(message)
            if message["type"] == "websocket.disconnect":
                seen.append(await receive())
                await send({"type": "websocket.send", "text": "dropped"})
                return
            await send({**message, "type": "websocket.send"})

    async def scenario(client: Client) -> None:
        head = await client.accepted()
        assert b"\r\nsec-websocket-protocol: two\r\n" in head
        assert b"\r\nx-a: 1\r\n" in head
        client.send("text")
        assert await client.receive() == "text"
        client.send(b"bytes")
        assert await client.receive() == b"bytes"
        client.close(4000, "bye")
        assert (await client.receive())[0] == 4000
        await client.memory.wait_ended()

    run(app, scenario)
    scope, connect, text, data, gone, again = seen
    assert scope["type"] == "websocket"
    assert scope["scheme"] == "ws"
    assert scope["subprotocols"] == ["one", "two"]
    assert (scope["path"], scope["raw_path"]) == ("/chat room", b"/chat%20room")
    assert scope["query_string"] == b"a=b"
    assert scope["extensions"] == {"websocket.http.response": {}}
    assert "method" not in scope
    assert scope["headers"][0][0] == b"host"
    assert scope["state"] == {}
    assert connect == {"type": "websocket.connect"}
    assert text == {"type": "websocket.receive", "text": "text"}
    assert data == {"type": "websocket.receive", "bytes": b"bytes"}
    assert gone == {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}
    assert again == gone


def test_a_client_that_vanishes_is_1005() -> None:
    seen: list[Any] = []
    done = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)  # before the first receive is fine
        seen.append(await receive())
        seen.append(await receive())
        done.set()

    async def scenario(client: Client) -> None:
        await client.accepted()
        client.memory.abort()
        await done.wait()

    run(app, scenario)
    assert seen[0] == {"type": "websocket.connect"}
    assert seen[1] == {"type": "websocket.disconnect", "code": 1005, "reason": ""}


@pytest.mark.parametrize("last", [False, True], ids=["message", "close"])
def test_what_comes_between_receive_and_its_first_step_is_not_missed(last: bool) -> None:
    """As when the application makes a task of it."""
    seen: list[Any] = []
    asked, come, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send(ACCEPT)
        waiting = receive()
        asked.set()
        await come.wait()
        seen.append(await asyncio.wait_for(waiting, 5))
        done.set()

    async def scenario(client: Client) -> None:
        await client.accepted()
        await asked.wait()
        if last:
            client.close(4000, "bye")
        else:
            client.send("late")
        for _ in range(20):
            await asyncio.sleep(0)
        come.set()
        await done.wait()

    run(app, scenario)
    expected: dict[str, Any] = {"type": "websocket.receive", "text": "late"}
    if last:
        expected = {"type": "websocket.disconnect", "code": 4000, "reason": "bye"}
    assert seen == [expected]


def test_closing_before_accepting_is_403() -> None:
    seen: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "websocket.close"})
        seen.append(await receive())

    async def scenario(client: Client) -> None:
        response = await client.memory.receive_response()
        assert (response.status, response.body) == (403, b"")

    run(app, scenario)
    assert seen == [{"type": "websocket.disconnect", "code": 1005, "reason": ""}]


@pytest.mark.parametrize("prefix", ["websocket.http.response", "http.response"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_denial(prefix: str, pieces: int) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        headers = [(b"content-type", b"text/plain")]
        await send({"type": f"{prefix}.start", "status": 418, "headers": headers})
        with pytest.raises(LocalProtocolError, match="already started"):
            await send(ACCEPT)
        for index in range(pieces):
            more = index + 1 < pieces
            await send({"type": f"{prefix}.body", "body": b"no", "more_body": more})
        with pytest.raises(LocalProtocolError, match="already finished"):
            await send({"type": f"{prefix}.body"})

    async def scenario(client: Client) -> None:
        response = await client.memory.receive_response()
        assert (response.status, response.body) == (418, b"no" * pieces)
        assert response.header(b"upgrade") is None

    run(app, scenario)


@pytest.mark.parametrize(
    ("message", "fault"),
    [
        ({"type": "websocket.send"}, "Unsupported"),
        ({"type": "websocket.send", "text": "a", "bytes": b"b"}, "Unsupported"),
        ({"type": "websocket.send", "text": b"a"}, "Unsupported"),
        ({"type": "websocket.send", "bytes": "a"}, "Unsupported"),
        ({"type": "nothing"}, "Unsupported"),
        ({}, "Unsupported"),
        (ACCEPT, "already upgraded"),
        ({"type": "http.response.start", "status": 200}, "already upgraded"),
        ({"type": "http.response.body"}, "already upgraded"),
        ({"type": "websocket.close", "code": 1005.5}, "Unsupported"),
        ({"type": "websocket.close", "code": 999}, "not a close code"),
    ],
)
def test_faults_raise_in_the_application(message: dict[str, Any], fault: str) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        with pytest.raises(LocalProtocolError, match=fault):
            await send(message)
        await send({"type": "websocket.send", "text": "still here"})

    async def scenario(client: Client) -> None:
        await client.accepted()
        assert await client.receive() == "still here"

    run(app, scenario)


def test_returning_closes_with_an_empty_frame() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)

    async def scenario(client: Client) -> None:
        await client.accepted()
        assert (await client.receive())[0] == 1005

    run(app, scenario)


def test_closing_with_a_code_and_a_reason() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send(ACCEPT)
        await send({"type": "websocket.close", "code": 4001, "reason": "why"})
        await send({"type": "websocket.send", "text": "dropped"})
        await receive()
        assert (await receive())["type"] == "websocket.disconnect"

    async def scenario(client: Client) -> None:
        await client.accepted()
        assert await client.receive() == (4001, "why")

    run(app, scenario)

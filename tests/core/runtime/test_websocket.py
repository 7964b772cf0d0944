"""WebSockets whose application is on another thread than their connection."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from granian_core import (
    HTTPStream,
    LocalProtocolError,
    ServerConfig,
    WebSocketClosed,
    WebSocketStream,
)
from granian_core.runtime.carrier import SEND_WINDOW
from granian_core.runtime.websocket import RECEIVE_WINDOW
from tests.core.loopback import PATIENCE, Client, both_loops, get, no_errors, run, until
from tests.core.runtime.serving import FromFunctions, Threads, serving

HANDSHAKE = get(
    "/ws",
    "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
)

TEXT, BINARY, CLOSE = 1, 2, 8


def frame(opcode: int, payload: bytes) -> bytes:
    """Return a client's frame, masked with zeros."""
    size = len(payload)
    if size < 126:
        length = bytes([0x80 | size])
    elif size < 65_536:
        length = b"\xfe" + size.to_bytes(2, "big")
    else:
        length = b"\xff" + size.to_bytes(8, "big")
    return bytes([0x80 | opcode]) + length + bytes(4) + payload


async def read_frame(client: Client) -> tuple[int, bytes]:
    """Return the opcode and the payload of the server's next frame."""

    async def read() -> tuple[int, bytes]:
        first, second = await client.reader.readexactly(2)
        size = second
        if size == 126:
            size = int.from_bytes(await client.reader.readexactly(2), "big")
        elif size == 127:
            size = int.from_bytes(await client.reader.readexactly(8), "big")
        return first & 0x0F, await client.reader.readexactly(size)

    return await asyncio.wait_for(read(), PATIENCE)


async def no_http(stream: HTTPStream) -> None:
    raise AssertionError("no plain request is sent")


@contextlib.asynccontextmanager
async def opened(
    handler: Callable[[WebSocketStream], Awaitable[None]], loop_name: str = "asyncio"
) -> AsyncIterator[tuple[Threads, Client]]:
    """Serve *handler*; give the server, and a client that has sent its handshake."""
    interface = FromFunctions(no_http, handler)
    async with serving(interface, ServerConfig(), loop_name=loop_name) as subject:
        client = await subject.connect()
        client.send(HANDSHAKE)
        yield subject, client


async def accepted(client: Client) -> bytes:
    head, _ = await client.response(head=True)
    assert head.startswith(b"HTTP/1.1 101 "), head
    return head


async def echo(stream: WebSocketStream) -> None:
    stream.accept("chat", [(b"x-field", b"value")])
    with contextlib.suppress(WebSocketClosed):
        while True:
            stream.send(await stream.receive())
            await stream.drain()


@both_loops
def test_messages_go_both_ways(loop_name: str, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with opened(echo, loop_name) as (subject, client):
            head = await accepted(client)
            assert b"\r\nx-field: value\r\n" in head
            assert b"\r\nsec-websocket-protocol: chat\r\n" in head
            # The permit was given back; the WebSocket counts as a connection.
            await until(lambda: not any(one.streams for one in subject.server.contexts))
            for size in (0, 1, 1000, 200_000):
                client.send(frame(TEXT, b"a" * size) + frame(BINARY, b"\xff" * size))
                assert await read_frame(client) == (TEXT, b"a" * size)
                assert await read_frame(client) == (BINARY, b"\xff" * size)
            many = [b"%d" % number for number in range(3000)]

            async def read_all() -> list[bytes]:
                return [(await read_frame(client))[1] for _ in many]

            reading = asyncio.ensure_future(read_all())
            for message in many:
                client.send(frame(TEXT, message))
            assert await reading == many
            client.send(frame(CLOSE, b"\x0f\xa1bye"))
            assert await read_frame(client) == (CLOSE, b"\x0f\xa1")
            assert await client.rest() == b""
            await until(lambda: not subject.server.context.websockets)
            await until(lambda: not any(one.websockets for one in subject.server.contexts))

    with no_errors(caplog):
        run(loop_name, main)


def test_the_application_learns_how_the_peer_has_closed() -> None:
    async def main() -> None:
        closed: asyncio.Future[WebSocketClosed] = asyncio.get_running_loop().create_future()

        async def listens(stream: WebSocketStream) -> None:
            stream.accept()
            try:
                await stream.receive()
            except WebSocketClosed as exc:
                assert stream.closed
                assert not stream.closed_here
                assert stream.close_code == 4001
                closed.set_result(exc)

        async with opened(listens) as (_, client):
            await accepted(client)
            client.send(frame(CLOSE, b"\x0f\xa1bye"))
            exc = await closed
            assert (exc.code, exc.reason, exc.clean) == (4001, "bye", True)

    run("asyncio", main)


@pytest.mark.parametrize("leaves", ["abort", "close"])
def test_the_application_learns_that_the_peer_is_gone(leaves: str) -> None:
    async def main() -> None:
        closed: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def listens(stream: WebSocketStream) -> None:
            stream.accept()
            try:
                await stream.receive()
            except WebSocketClosed as exc:
                closed.set_result(exc.code)

        async with opened(listens) as (_, client):
            await accepted(client)
            getattr(client, leaves)()
            assert await closed == 1006

    run("asyncio", main)


def test_a_client_that_leaves_before_the_answer() -> None:
    async def main() -> None:
        left = asyncio.Event()

        async def waits(stream: WebSocketStream) -> None:
            await stream.wait_answer()
            stream.accept()
            left.set()

        async with opened(waits) as (subject, client):
            await until(lambda: bool(subject.server.context.websockets))
            client.abort()
            await left.wait()
            await until(lambda: not subject.server.context.websockets)

    run("asyncio", main)


def test_the_applications_close_and_its_end() -> None:
    async def closes(stream: WebSocketStream) -> None:
        stream.accept()
        stream.send("last")
        stream.close(4000, "enough")
        with pytest.raises(LocalProtocolError):
            stream.send("after")
        with pytest.raises(WebSocketClosed):
            await stream.receive()

    async def main() -> None:
        async with opened(closes) as (_, client):
            await accepted(client)
            assert await read_frame(client) == (TEXT, b"last")
            assert await read_frame(client) == (CLOSE, b"\x0f\xa0enough")
            client.send(frame(CLOSE, b"\x0f\xa0"))
            assert await client.rest() == b""

    run("asyncio", main)


def test_after_its_own_close_the_application_learns_how_the_peer_answered() -> None:
    async def main() -> None:
        codes: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def closes(stream: WebSocketStream) -> None:
            stream.accept()
            stream.close(4000)
            with pytest.raises(WebSocketClosed):
                await stream.receive()
            await until(lambda: stream.close_code != 1006)
            codes.set_result(stream.close_code)

        async with opened(closes) as (_, client):
            await accepted(client)
            assert await read_frame(client) == (CLOSE, b"\x0f\xa0")
            client.send(frame(CLOSE, b"\x0f\xa1bye"))
            assert await codes == 4001

    run("asyncio", main)


def test_an_application_that_only_sends_learns_of_the_drain_at_once() -> None:
    async def main() -> None:
        learned = asyncio.Event()

        async def waits(stream: WebSocketStream) -> None:
            stream.accept()
            await until(lambda: stream.closed)
            assert not stream.closed_here
            learned.set()

        async with opened(waits) as (subject, client):
            await accepted(client)
            stopping = asyncio.ensure_future(subject.server.stop(2 * PATIENCE))
            assert await read_frame(client) == (CLOSE, b"\x03\xf4")
            await asyncio.wait_for(learned.wait(), PATIENCE)  # before the client has answered
            client.send(frame(CLOSE, b"\x03\xf4"))
            await stopping

    run("asyncio", main)


def test_an_application_that_does_not_receive_learns_of_the_end_at_once() -> None:
    """What it has not received still comes first."""

    async def main() -> None:
        received: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def ignores(stream: WebSocketStream) -> None:
            stream.accept()
            await until(lambda: stream.closed)
            count = 0
            with contextlib.suppress(WebSocketClosed):
                while True:
                    count += len(await stream.receive())
            received.set_result(count)
            assert stream.close_code == 4001

        async with opened(ignores) as (_, client):
            await accepted(client)
            client.send(frame(BINARY, bytes(RECEIVE_WINDOW)) + frame(TEXT, b"last"))
            client.send(frame(CLOSE, b"\x0f\xa1bye"))
            assert await received == RECEIVE_WINDOW + 4

    run("asyncio", main)


def test_mistakes_raise_where_they_are_made() -> None:
    async def mistakes(stream: WebSocketStream) -> None:
        with pytest.raises(LocalProtocolError):
            stream.send("too early")
        with pytest.raises(LocalProtocolError):
            stream.accept("not offered")
        with pytest.raises(LocalProtocolError):
            stream.accept(None, [(b"x", b"a\r\nb")])
        stream.accept()
        with pytest.raises(LocalProtocolError):
            stream.accept()
        with pytest.raises(LocalProtocolError):
            stream.close(1005 + 1)
        stream.send("fine")

    async def main() -> None:
        async with opened(mistakes) as (_, client):
            await accepted(client)
            assert await read_frame(client) == (TEXT, b"fine")

    run("asyncio", main)


@pytest.mark.parametrize("answers", ["reject", "return", "raise"])
def test_refusals(answers: str, caplog: pytest.LogCaptureFixture) -> None:
    async def refuses(stream: WebSocketStream) -> None:
        if answers == "reject":
            stream.reject(404, [], b"nothing here")
        elif answers == "raise":
            raise ValueError("the application's own")

    async def main() -> None:
        async with opened(refuses) as (_, client):
            head, _ = await client.response()
            expected = {"reject": b"404", "return": b"403", "raise": b"500"}
            assert head.split()[1] == expected[answers]

    with caplog.at_level(logging.CRITICAL, "_granian"):
        run("asyncio", main)


def test_an_exception_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(stream: WebSocketStream) -> None:
        stream.accept()
        raise ValueError("the application's own")

    async def main() -> None:
        async with opened(fails) as (_, client):
            await accepted(client)
            assert await read_frame(client) == (CLOSE, b"\x03\xf3")

    with caplog.at_level(logging.ERROR, "_granian"):
        run("asyncio", main)
    assert "the application's own" in caplog.text


def test_who_does_not_receive_stops_the_peer() -> None:
    async def main() -> None:
        release = asyncio.Event()
        streams: list[WebSocketStream] = []
        size, count = 8192, 4000

        async def slow(stream: WebSocketStream) -> None:
            streams.append(stream)
            stream.accept()
            await release.wait()
            for _ in range(count):
                assert len(await stream.receive()) == size
            stream.close()

        async with opened(slow) as (_, client):
            await accepted(client)

            async def upload() -> None:
                for _ in range(count):
                    client.send(frame(BINARY, bytes(size)))
                    await client.writer.drain()

            uploading = asyncio.ensure_future(upload())
            await until(lambda: bool(streams))
            await until(lambda: streams[0]._queued >= RECEIVE_WINDOW)
            assert streams[0]._queued < 4 * RECEIVE_WINDOW
            assert not uploading.done()
            release.set()
            await uploading
            assert (await read_frame(client))[0] == CLOSE

    run("asyncio", main)


@both_loops
def test_who_does_not_read_stops_the_application(loop_name: str) -> None:
    async def main() -> None:
        sent = 0

        async def endless(stream: WebSocketStream) -> None:
            nonlocal sent
            stream.accept()
            while not stream.closed:
                stream.send(bytes(16_384))
                sent += 16_384
                await stream.drain()

        async with opened(endless, loop_name) as (subject, client):
            await accepted(client)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            (stream,) = subject.server.context.websockets
            await until(lambda: stream.write_blocked and bool(stream._writers))
            before = -1
            while before != sent:
                before = sent
                await asyncio.sleep(0.1)
            assert stream._remote.in_flight < SEND_WINDOW + 16_384  # type: ignore[attr-defined]
            client.abort()
            await until(lambda: not subject.server.context.websockets)

    run(loop_name, main)


def test_a_drain_closes_with_1012_and_lets_the_application_end() -> None:
    async def main() -> None:
        async with opened(echo) as (subject, client):
            await accepted(client)
            stopping = asyncio.ensure_future(subject.server.stop(20))
            assert await read_frame(client) == (CLOSE, b"\x03\xf4")
            client.send(frame(TEXT, b"late") + frame(CLOSE, b"\x03\xf4"))
            assert await client.rest() == b""
            await stopping

    run("asyncio", main)


def test_the_drain_deadline_cancels_the_application() -> None:
    async def main() -> None:
        cancelled = asyncio.Event()

        async def stuck(stream: WebSocketStream) -> None:
            stream.accept()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        async with opened(stuck) as (subject, client):
            await accepted(client)
            await subject.server.stop(0.0)
            assert cancelled.is_set()
            assert not subject.server.context.websockets

    run("asyncio", main)

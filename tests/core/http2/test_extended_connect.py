"""WebSockets over HTTP/2 (RFC 8441): what a stream does that a socket did."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from granian_core import (
    HTTP2Settings,
    Limits,
    LocalProtocolError,
    ServerConfig,
    WebSocketSettings,
    WebSocketStream,
)
from granian_core.http2.contract import CANCEL, NO_ERROR
from granian_core.testing import MemoryServer
from tests.core.http2 import serving as http2_serving
from tests.core.http2.serving import Client, Serving, turns
from tests.core.websocket.serving import Echo, FromFunction, Handler
from tests.core.websocket.test_session import FAULTS
from tests.core.websocket.wire import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    close,
    deflated,
    frame,
    server_frames,
)

VERSION = (b"sec-websocket-version", b"13")
ENABLE_CONNECT_PROTOCOL = 8


@contextlib.asynccontextmanager
async def serving(
    handler: Handler,
    *,
    limits: Limits | None = None,
    backpressure: int = 1024,
    websocket: WebSocketSettings | None = None,
    access_log_format: str | None = None,
    **http2: Any,
) -> AsyncIterator[Serving]:
    """Serve WebSockets by *handler* on a clock that a test moves."""
    config = ServerConfig(
        http2=HTTP2Settings(engine=http2_serving.ENGINE, **http2),
        limits=limits or Limits(),
        # The reference engines together, and the fast ones.
        websocket=websocket or WebSocketSettings(engine=http2_serving.ENGINE),
        backpressure=backpressure,
        access_log_format=access_log_format,
    )
    async with MemoryServer(FromFunction(handler), config) as server:
        yield Serving(server)
        for client in server.clients:
            client.abort()
        await turns()
        for stream in server.server.context.websockets:
            if stream.task is not None:  # some run on whatever happens
                stream.task.cancel()
        await turns()


def ask(client: Client, stream: int = 1, *more: tuple[bytes, bytes], end: bool = False) -> None:
    """Send an extended CONNECT."""
    protocol = (b":protocol", b"websocket")
    client.request(stream, protocol, VERSION, *more, method=b"CONNECT", path=b"/ws?a=b", end=end)


async def opened(client: Client, stream: int = 1, *more: tuple[bytes, bytes]) -> None:
    """Open a WebSocket."""
    ask(client, stream, *more)
    await client.turn()
    assert client.status(stream) == 200


def frames(client: Client, stream: int = 1) -> list[tuple[int, bytes]]:
    """Return what the server has sent on a WebSocket."""
    return server_frames(client.bodies.get(stream, b""))


def code(payload: bytes) -> int:
    """Return the code of a close frame."""
    return int.from_bytes(payload[:2], "big")


def run(main: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario."""

    async def bounded() -> None:
        await asyncio.wait_for(main(), 30)

    asyncio.run(bounded())


async def forever(stream: WebSocketStream) -> None:
    """Accept, and do nothing."""
    stream.accept()
    await asyncio.Event().wait()


def test_a_whole_life() -> None:
    echo = Echo()

    async def main() -> None:
        async with serving(echo) as subject:
            client = subject.connect()
            await client.turn()
            assert client.sent_settings[0][ENABLE_CONNECT_PROTOCOL] == 1
            await opened(client, 1, (b"sec-websocket-protocol", b"a, b"))
            fields = dict(client.fields[1][0])
            assert not {b"content-length", b"sec-websocket-accept", b"upgrade"} & fields.keys()
            assert b"date" in fields
            assert echo.stream is not None
            assert (echo.stream.http_version, echo.stream.method) == ("2", "GET")
            assert (echo.stream.path, echo.stream.query_string) == ("/ws", b"a=b")
            assert (echo.stream.scheme, echo.stream.authority) == ("http", b"a")
            assert echo.stream.subprotocols == ["a", "b"]
            client.data(frame(TEXT, b"hello") + frame(PING, b"?"))
            await client.turn()
            assert sorted(frames(client)) == [(TEXT, b"hello"), (PONG, b"?")]
            client.data(close(4000, b"bye"))
            await client.turn()
            assert frames(client)[-1] == (CLOSE, b"\x0f\xa0")
            assert client.ended == [1]
            client.data(b"", end=True)
            await client.turn()
            assert not client.resets
            assert client.is_open
            assert not client.connection.streams

    run(main)
    assert echo.closed is not None
    assert (echo.closed.code, echo.closed.reason, echo.closed.clean) == (4000, "bye", True)


def test_other_streams_of_the_connection_are_served_beside_it() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = subject.connect()
            await opened(client)
            client.request(3)
            await opened(client, 5)
            client.data(frame(TEXT, b"one"), 1)
            client.data(frame(TEXT, b"five"), 5)
            await client.turn()
            assert client.bodies[3] == b"plain"
            assert frames(client, 1) == [(TEXT, b"one")]
            assert frames(client, 5) == [(TEXT, b"five")]

    run(main)


def test_frames_may_be_cut_anywhere() -> None:
    echo = Echo()

    async def main() -> None:
        async with serving(echo) as subject:
            client = subject.connect()
            await opened(client)
            for byte in frame(TEXT, b"cut") + frame(TEXT, b"again"):
                client.data(bytes([byte]))
            await client.turn()
            assert frames(client) == [(TEXT, b"cut"), (TEXT, b"again")]

    run(main)


def test_what_comes_before_the_answer_waits_within_the_window() -> None:
    gate = asyncio.Event()
    received: list[object] = []

    async def late(stream: WebSocketStream) -> None:
        await gate.wait()
        stream.accept()
        received.append(await stream.receive())
        await asyncio.Event().wait()

    async def main() -> None:
        async with serving(late, initial_stream_window_size=65_535) as subject:
            client = subject.connect()
            ask(client)
            early = frame(2, b"x" * 60_000)
            for at in range(0, len(early), 10_000):
                client.data(early[at : at + 10_000])
            await client.turn()
            assert client.status(1) == 0
            assert 1 not in client.credits
            gate.set()
            await client.turn()
            assert client.status(1) == 200
            assert received == [b"x" * 60_000]
            assert client.credits[1] == len(early)

    run(main)


def test_denial_is_an_ordinary_response() -> None:
    async def deny(stream: WebSocketStream) -> None:
        stream.reject(401, [(b"x-why", b"because")], b"no")

    async def main() -> None:
        async with serving(deny) as subject:
            client = subject.connect()
            ask(client)
            await client.turn()
            fields = dict(client.fields[1][0])
            assert (fields[b":status"], fields[b"content-length"]) == (b"401", b"2")
            assert fields[b"x-why"] == b"because"
            assert (client.bodies[1], client.ended) == (b"no", [1])
            assert not client.connection.admission._running
            # The client's side may stay open for a moment, and not for long.
            await subject.advance(2)
            assert client.resets == {1: NO_ERROR}

    run(main)


def test_denial_with_2xx_would_accept_and_is_refused(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[str] = []

    async def deny(stream: WebSocketStream) -> None:
        try:
            stream.reject(204)
        except LocalProtocolError as exc:
            errors.append(str(exc))

    async def main() -> None:
        async with serving(deny) as subject:
            client = subject.connect()
            ask(client)
            await client.turn()
            assert client.status(1) == 403

    run(main)
    assert "would accept" in errors[0]


@pytest.mark.parametrize("outcome", ["returns", "raises", "raises-later"])
def test_application_that_does_not_answer(outcome: str, caplog: pytest.LogCaptureFixture) -> None:
    async def app(stream: WebSocketStream) -> None:
        if outcome == "raises":
            raise ValueError("as told")
        if outcome == "raises-later":
            stream.accept()
            raise ValueError("as told")

    async def main() -> None:
        async with serving(app) as subject:
            client = subject.connect()
            ask(client)
            await client.turn()
            if outcome == "raises-later":
                assert client.status(1) == 200
                assert [code(payload) for _, payload in frames(client)] == [1011]
            else:
                assert client.status(1) == {"returns": 403, "raises": 500}[outcome]
            assert not subject.context.streams
            assert not client.connection.admission._running

    with caplog.at_level(logging.CRITICAL, "_granian.websocket"):
        run(main)


def test_invalid_accept_sends_nothing() -> None:
    async def app(stream: WebSocketStream) -> None:
        with pytest.raises(LocalProtocolError):
            stream.accept(headers=[(b"bad name", b"x")])
        stream.accept(headers=[(b"content-length", b"7"), (b"x-a", b"1")])
        await asyncio.Event().wait()

    async def main() -> None:
        async with serving(app) as subject:
            client = subject.connect()
            await opened(client)
            assert len(client.fields[1]) == 1
            assert dict(client.fields[1][0])[b"x-a"] == b"1"
            assert b"content-length" not in dict(client.fields[1][0])

    run(main)


def test_compression_is_agreed_on() -> None:
    echo = Echo()

    async def main() -> None:
        async with serving(echo) as subject:
            client = subject.connect()
            await opened(client, 1, (b"sec-websocket-extensions", b"permessage-deflate"))
            fields = dict(client.fields[1][0])
            assert fields[b"sec-websocket-extensions"].startswith(b"permessage-deflate")
            client.data(frame(TEXT, deflated(b"again and " * 100), rsv=4))
            await client.turn()
            assert echo.received == ["again and " * 100]

    run(main)


@pytest.mark.parametrize(("origin", "status"), [(b"https://good", 200), (b"https://evil", 403)])
def test_origins(origin: bytes, status: int) -> None:
    async def main() -> None:
        settings = WebSocketSettings(origins=("https://good",))
        async with serving(Echo(), websocket=settings) as subject:
            client = subject.connect()
            ask(client, 1, (b"origin", origin))
            await client.turn()
            assert client.status(1) == status

    run(main)


# -- ends -------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["end-of-stream", "trailers", "reset", "fin", "lost"])
def test_a_peer_that_leaves_without_a_close_frame_is_1006(how: str) -> None:
    echo = Echo()

    async def main() -> None:
        async with serving(echo) as subject:
            client = subject.connect()
            await opened(client)
            if how == "end-of-stream":
                client.data(b"", end=True)
            elif how == "trailers":
                client.send(_trailers(client))
            elif how == "reset":
                client.reset(1, CANCEL)
            elif how == "fin":
                client.memory.send_eof()
            else:
                client.memory.abort()
            await client.turn()
            assert echo.closed is not None
            assert (echo.closed.code, echo.closed.clean) == (1006, False)
            assert not client.connection.streams
            assert not subject.context.websockets
            assert not client.connection.admission._running
            if how in ("end-of-stream", "trailers"):
                assert client.ended == [1]

    run(main)


def _trailers(client: Client) -> bytes:
    from granian_core.http2.frames import END_HEADERS, END_STREAM, HEADERS
    from granian_core.http2.frames import frame as http2_frame

    block = client.encoder.encode([(b"x", b"1")], huffman=False)
    return http2_frame(HEADERS, END_HEADERS | END_STREAM, 1, block)


@pytest.mark.parametrize("how", ["end-of-stream", "reset"])
def test_a_peer_that_leaves_before_the_answer(how: str) -> None:
    left: list[str] = []

    async def slow(stream: WebSocketStream) -> None:
        await stream.wait_answer()
        left.append("left")

    async def main() -> None:
        async with serving(slow) as subject:
            client = subject.connect()
            ask(client)
            await client.turn()
            if how == "reset":
                client.reset(1, CANCEL)
            else:
                client.data(b"", end=True)
            await client.turn()
            assert left == ["left"]
            assert not client.connection.streams
            assert not subject.context.streams

    run(main)


def test_a_peer_that_ends_before_the_answer_gets_its_frames_served() -> None:
    gate = asyncio.Event()
    received: list[object] = []

    async def late(stream: WebSocketStream) -> None:
        await gate.wait()
        stream.accept()
        received.append(await stream.receive())

    async def main() -> None:
        async with serving(late) as subject:
            client = subject.connect()
            ask(client)
            client.data(frame(TEXT, b"first"), end=True)
            await client.turn()
            gate.set()
            await client.turn()
            assert received == ["first"]
            assert client.ended == [1]

    run(main)


def test_a_peers_fault_ends_its_stream_alone() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = subject.connect()
            await opened(client)
            await opened(client, 3)
            client.data(frame(TEXT, b"\xff"))
            await client.turn()
            assert [code(payload) for _, payload in frames(client)] == [1007]
            assert client.ended == [1]
            # What it still sends is dropped; after a moment the stream is reset.
            client.data(b"x" * 1000)
            await subject.advance(2)
            assert client.resets == {1: NO_ERROR}
            client.data(frame(TEXT, b"well"), 3)
            await client.turn()
            assert frames(client, 3) == [(TEXT, b"well")]
            assert not client.goaways

    run(main)


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS.keys())
def test_each_fault_has_its_code(case: tuple[bytes, int], caplog: pytest.LogCaptureFixture) -> None:
    data, expected = case
    caplog.set_level(logging.INFO)
    echo = Echo()

    async def main() -> None:
        async with serving(echo, websocket=WebSocketSettings(max_fragments=10)) as subject:
            client = subject.connect()
            await opened(client)
            client.data(data)
            client.data(frame(TEXT, b"never read") * 100)
            await client.turn()
            ((opcode, payload),) = frames(client)
            assert (opcode, code(payload)) == (CLOSE, expected)
            assert client.ended == [1]
            await subject.advance(2)
            assert client.resets == {1: NO_ERROR}
            assert not client.connection.streams
            assert client.is_open

    run(main)
    assert echo.received == []
    assert echo.closed is not None
    assert (echo.closed.code, echo.closed.clean) == (expected, False)
    assert caplog.records == []


def test_a_decompression_bomb_is_1009() -> None:
    async def main() -> None:
        settings = WebSocketSettings(max_message_size=2_000_000)
        async with serving(Echo(), websocket=settings) as subject:
            client = subject.connect()
            await opened(client, 1, (b"sec-websocket-extensions", b"permessage-deflate"))
            client.data(frame(TEXT, deflated(b"x" * 10**7), rsv=4))
            await client.turn()
            assert [code(payload) for _, payload in frames(client)] == [1009]

    run(main)


def test_a_peer_that_never_answers_close_is_reset() -> None:
    async def leave(stream: WebSocketStream) -> None:
        stream.accept()
        stream.close(4001, "enough")

    async def main() -> None:
        async with serving(leave) as subject:
            client = subject.connect()
            await opened(client)
            assert frames(client) == [(CLOSE, b"\x0f\xa1enough")]
            assert not client.ended
            await subject.advance(12)
            assert client.resets == {1: CANCEL}
            assert client.is_open

    run(main)


def test_silence_is_pinged_and_closed() -> None:
    async def main() -> None:
        settings = WebSocketSettings(ping_interval=5, ping_timeout=5)
        async with serving(forever, websocket=settings) as subject:
            client = subject.connect()
            await opened(client)
            await subject.advance(6)
            assert frames(client) == [(PING, b"")]
            await subject.advance(6)
            assert code(frames(client)[-1][1]) == 1011

    run(main)


def test_a_ping_that_waits_for_a_window_is_not_waited_for() -> None:
    """Nobody can answer it yet; a stream that makes no progress is the write timeout's."""

    async def fill(stream: WebSocketStream) -> None:
        stream.accept()
        await asyncio.sleep(0)
        stream.send(b"x" * 65_535)
        await asyncio.Event().wait()

    async def main() -> None:
        settings = WebSocketSettings(ping_interval=5, ping_timeout=5)
        async with serving(fill, websocket=settings) as subject:
            client = subject.connect()
            await opened(client)
            await subject.advance(30)
            assert len(client.bodies[1]) == 65_535
            client.window(1_000, 0)
            client.window(1_000, 1)
            await client.turn()
            assert [opcode for opcode, _ in frames(client)] == [BINARY, PING]
            client.data(frame(PONG))
            await subject.advance(4)
            assert not client.ended
            await subject.advance(12)
            assert code(frames(client)[-1][1]) == 1011

    run(main)


def test_drain_closes_with_1012_and_waits() -> None:
    echo = Echo()

    async def main() -> None:
        async with serving(echo) as subject:
            client = subject.connect()
            await opened(client)
            stopping = asyncio.ensure_future(subject.server.server.stop())
            await client.turn()
            assert [code(payload) for _, payload in frames(client)] == [1012]
            assert client.goaways[0][1] == NO_ERROR
            assert not stopping.done()
            client.data(frame(TEXT, b"still here") + close(1012))
            client.data(b"", end=True)
            client.ping(b"granianD", ack=True)
            await asyncio.wait_for(stopping, 10)
            assert not client.is_open

    run(main)
    assert echo.received == ["still here"]
    assert echo.closed is not None
    assert echo.closed.code == 1012


# -- flow control -----------------------------------------------------------------------


def test_a_peer_that_gives_no_window_makes_the_application_wait() -> None:
    sent: list[int] = []

    async def shout(stream: WebSocketStream) -> None:
        stream.accept()
        while not stream.closed:
            stream.send(b"x" * 10_000)
            sent.append(1)
            await stream.drain()

    async def main() -> None:
        async with serving(shout, max_send_buffer_size=50_000) as subject:
            client = subject.connect()
            await opened(client)
            await client.turn(50)
            assert len(client.bodies[1]) == 65_535
            assert client.connection.output.queued < 65_000
            before = len(sent)
            client.window(1_000_000)
            client.window(100_000, 1)
            await client.turn(50)
            assert len(client.bodies[1]) == 165_535
            assert before < len(sent) < before + 15
            # It gives no more: as nothing else goes on there, the connection is ended.
            await subject.advance(70)
            assert client.goaways
            assert not client.is_open

    run(main)


def test_an_application_that_does_not_receive_takes_no_more_than_its_window() -> None:
    async def main() -> None:
        async with serving(forever, initial_stream_window_size=100_000) as subject:
            client = subject.connect()
            await opened(client)
            message = frame(2, b"x" * 15_000)
            sent = 0
            while sent + len(message) <= 100_000 + client.credits.get(1, 0) and sent < 10**6:
                client.data(message)
                sent += len(message)
                await client.turn()
            assert sent < 300_000
            # Other streams of the connection go on.
            client.request(3, method=b"POST", end=False)
            client.data(b"y" * 1000, 3, end=True)
            await client.turn()
            assert client.bodies[3] == b"plain"

    run(main)


def test_receiving_gives_credit_again() -> None:
    echo = Echo()

    async def main() -> None:
        async with serving(
            echo, initial_stream_window_size=65_535, max_send_buffer_size=10**6
        ) as subject:
            client = subject.connect()
            client.window(10**8)
            client.settings((4, 10**7))
            await opened(client)
            for _ in range(100):
                client.data(frame(2, b"x" * 15_000))
                await client.turn()
            assert len(echo.received) == 100
            assert client.credits[1] > 1_400_000

    run(main)


def test_a_ping_flood_of_a_peer_that_reads_nothing_is_bounded() -> None:
    async def shout(stream: WebSocketStream) -> None:
        stream.accept()
        stream.send(b"x" * 400_000)
        await asyncio.Event().wait()

    async def main() -> None:
        async with serving(shout, initial_stream_window_size=65_535) as subject:
            client = subject.connect()
            await opened(client)
            flood = frame(PING, b"p" * 100) * 100
            sent = 0
            while sent + len(flood) <= 65_535 + client.credits.get(1, 0) and sent < 10**6:
                client.data(flood)
                sent += len(flood)
                await client.turn()
            assert sent < 600_000
            assert client.connection.output.queued < 500_000
            client.window(10**7)
            client.window(10**7, 1)
            await client.turn(50)
            assert frames(client)[-1] == (PONG, b"p" * 100)
            # Then it is read again.
            before = len(frames(client))
            client.data(frame(PING, b"after"))
            await client.turn()
            assert frames(client)[before:] == [(PONG, b"after")]

    run(main)


def test_a_peer_may_give_credit_for_every_small_message() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = subject.connect()
            await opened(client)
            for _ in range(1000):
                client.data(frame(TEXT, b"x"))
                await client.turn(5)
                client.window(3)
                client.window(3, 1)
            assert len(frames(client)) == 1000
            assert not client.goaways

    run(main)


def test_websockets_hold_no_permit_and_count_as_streams() -> None:
    async def main() -> None:
        async with serving(forever, backpressure=2, max_concurrent_streams=10) as subject:
            client = subject.connect()
            for number in range(10):
                await opened(client, 2 * number + 1)
            assert not subject.context.streams
            ask(client, 21)
            await client.turn()
            assert client.resets == {21: 7}  # REFUSED_STREAM

    run(main)


def test_reset_websockets_whose_applications_run_on_are_bounded() -> None:
    async def main() -> None:
        async with serving(forever, max_concurrent_streams=10) as subject:
            client = subject.connect()
            for number in range(30):
                ask(client, 2 * number + 1)
                await client.turn(2)
                client.reset(2 * number + 1, CANCEL)
                await client.turn(2)
            assert len(subject.context.websockets) == 10

    run(main)


def test_access_log_has_the_line_of_the_handshake(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with serving(
            Echo(), access_log_format="%(method)s %(path)s %(protocol)s %(status)d"
        ) as subject:
            client = subject.connect()
            await opened(client)
            client.data(close(1000), end=True)
            await client.turn()

    with caplog.at_level(logging.INFO, "granian.access"):
        run(main)
    (line,) = [r.getMessage() for r in caplog.records if r.name == "granian.access"]
    assert line == "CONNECT /ws HTTP/2 200"

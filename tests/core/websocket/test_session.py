"""Open WebSockets: closing, pings, back-pressure, attacks, draining."""

from __future__ import annotations

import asyncio
import logging

import pytest

from granian_core import LocalProtocolError, WebSocketClosed, WebSocketStream
from granian_core.websocket.stream import RECEIVE_HIGH_WATER, RECEIVE_MOST
from tests.core.http1.serving import turns
from tests.core.websocket.serving import Echo, ended, frames, opened, run, serving
from tests.core.websocket.wire import (
    BINARY,
    CLOSE,
    CONT,
    PING,
    PONG,
    TEXT,
    close,
    deflated,
    frame,
    handshake,
)

pytestmark = pytest.mark.usefixtures("each_engine")


def code(payload: bytes) -> int:
    return int.from_bytes(payload[:2], "big")


@pytest.mark.parametrize(
    ("sent", "answer", "seen"),
    [
        (close(1000, b"bye"), b"\x03\xe8", (1000, "bye", True)),
        (close(4321), b"\x10\xe1", (4321, "", True)),
        (close(), b"", (1005, "", True)),
    ],
)
def test_the_peers_close_is_answered_and_told(
    sent: bytes, answer: bytes, seen: tuple[int, str, bool]
) -> None:
    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject)
            client.send(frame(TEXT, b"last") + sent)
            await client.wait_ended()
            assert frames(client) in ([(CLOSE, answer)], [(TEXT, b"last"), (CLOSE, answer)])
            await turns()
            assert echo.received == ["last"]
            assert echo.closed is not None
            assert (echo.closed.code, echo.closed.reason, echo.closed.clean) == seen

    run(main)


FAULTS = {
    "reserved-bit": (frame(TEXT, b"a", rsv=4), 1002),
    "unknown-opcode": (frame(3), 1002),
    "unmasked": (frame(TEXT, b"a", masked=False), 1002),
    "long-ping": (frame(PING, b"x" * 126), 1002),
    "fragmented-ping": (frame(PING, fin=False), 1002),
    "utf-8": (frame(TEXT, b"\xff"), 1007),
    "utf-8-split": (frame(TEXT, b"\xe2\x82", fin=False) + frame(CONT, b"a"), 1007),
    "close-code": (close(1005), 1002),
    "close-reason": (close(1000, b"\xff"), 1007),
    "too-big": (frame(BINARY, length=b"\x7f\0\0\0\0\x10\0\0\0"), 1009),
    "fragments": (frame(TEXT, b"", fin=False) + frame(CONT, b"", fin=False) * 20, 1008),
}


@pytest.mark.parametrize("case", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_is_closed_with_its_code_and_nothing_is_read_after(
    case: tuple[bytes, int], caplog: pytest.LogCaptureFixture
) -> None:
    data, expected = case
    caplog.set_level(logging.INFO)

    async def main() -> None:
        echo = Echo()
        async with serving(echo, max_fragments=10) as subject:
            client = await opened(subject)
            client.send(data)
            client.send(frame(TEXT, b"never read") * 1000)
            await turns()
            ((opcode, payload),) = frames(client)
            assert (opcode, code(payload)) == (CLOSE, expected)
            assert client.closed
            await subject.advance(2)
            await client.wait_ended()
            assert echo.received == []
            assert echo.closed is not None
            assert (echo.closed.code, echo.closed.clean) == (expected, False)

    run(main)
    assert caplog.records == []


def test_a_decompression_bomb_is_1009() -> None:
    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject, b"Sec-WebSocket-Extensions: permessage-deflate")
            client.send(frame(BINARY, deflated(b"\0" * 30_000_000), rsv=4))
            await turns()
            assert code(frames(client)[0][1]) == 1009
            assert echo.received == []

    run(main)


def test_of_many_pings_only_the_latest_are_answered() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = await opened(subject)
            client.send(b"".join(frame(PING, b"%d" % index) for index in range(1000)))
            await turns()
            assert frames(client) == [(PONG, b"%d" % index) for index in range(968, 1000)]


def test_pings_are_answered_one_by_one() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            client = await opened(subject)
            client.send(b"".join(frame(PING, b"%d" % index) for index in range(10)))
            await turns()
            assert frames(client) == [(PONG, b"%d" % index) for index in range(10)]

    run(main)


def test_a_ping_flood_of_a_peer_that_reads_nothing_stops_the_reading() -> None:
    async def main() -> None:
        async def shout(stream: WebSocketStream) -> None:
            stream.accept()
            stream.send(b"x" * 300_000)
            await asyncio.Event().wait()

        async with serving(shout) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(handshake())
            await turns()
            for _ in range(50):
                client.send(frame(PING, b"p" * 125) * 10)
            await turns()
            assert client.transport.reading_paused
            assert client.transport.get_write_buffer_size() < 302_000
            client.transport.stalled = False
            await turns()
            assert not client.transport.reading_paused
            assert frames(client)[-1] == (PONG, b"p" * 125)
            client.abort()
            await client.wait_ended()

    run(main)


def test_a_slow_application_holds_its_peer_back_and_gets_everything() -> None:
    async def main() -> None:
        go = asyncio.Event()
        received: list[str | bytes] = []

        async def slow(stream: WebSocketStream) -> None:
            stream.accept()
            await go.wait()
            while len(received) < 1000:
                received.append(await stream.receive())

        async with serving(slow) as subject:
            client = await opened(subject)
            client.send(frame(TEXT, b"m" * 100) * 500)
            (websocket,) = subject.server.server.context.websockets
            assert len(websocket._messages) == RECEIVE_MOST
            assert client.transport.reading_paused
            client.send(frame(TEXT, b"m" * 100) * 500)
            go.set()
            await turns()
            assert received == ["m" * 100] * 1000

    run(main)


def test_large_messages_wait_one_at_a_time() -> None:
    async def main() -> None:
        go = asyncio.Event()

        async def slow(stream: WebSocketStream) -> None:
            stream.accept()
            await go.wait()
            for _ in range(5):
                await stream.receive()

        async with serving(slow) as subject:
            client = await opened(subject)
            client.send(frame(BINARY, b"m" * RECEIVE_HIGH_WATER) * 5)
            (websocket,) = subject.server.server.context.websockets
            assert len(websocket._messages) == 1
            go.set()
            await turns()
            assert not websocket._messages

    run(main)


def test_drain_waits_for_a_slow_reader_who_is_dropped_in_the_end() -> None:
    steps: list[str] = []

    async def main() -> None:
        async def send(stream: WebSocketStream) -> None:
            stream.accept()
            stream.send(b"x" * 200_000)
            steps.append(f"blocked {stream.write_blocked}")
            await stream.drain()
            steps.append("drained")
            with pytest.raises(WebSocketClosed):
                await stream.receive()

        async with serving(send, ping_interval=0) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(handshake())
            await turns()
            assert steps == ["blocked True"]
            await subject.advance(70)
            assert client.transport.ended
            assert steps == ["blocked True", "drained"]

    run(main)


def test_silence_is_pinged_and_then_closed_with_1011() -> None:
    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject)
            await subject.advance(21)
            assert frames(client) == [(PING, b"")]
            client.send(frame(PONG))
            await subject.advance(21)
            assert frames(client) == [(PING, b"")] * 2
            await subject.advance(15)
            assert len(frames(client)) == 2
            await subject.advance(10)
            assert code(frames(client)[-1][1]) == 1011
            await client.wait_ended()
            assert echo.closed is not None
            assert echo.closed.code == 1011

    run(main)


def test_whatever_arrives_shows_that_the_peer_is_there() -> None:
    """In the middle of a long frame it can not send a pong."""

    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject)
            data = frame(BINARY, b"x" * 200)
            for index in range(100):
                client.send(data[index : index + 1])
                await subject.advance(1)
            client.send(data[100:])
            await turns()
            assert echo.received == [b"x" * 200]

    run(main)


def test_a_peer_that_is_held_back_is_not_taken_for_dead() -> None:
    async def main() -> None:
        async def busy(stream: WebSocketStream) -> None:
            stream.accept()
            await stream.wait_answer()
            await asyncio.Event().wait()

        async with serving(busy) as subject:
            client = await opened(subject)
            client.send(frame(BINARY, b"x" * RECEIVE_HIGH_WATER))
            await subject.advance(500)
            assert not client.closed
            assert CLOSE not in [opcode for opcode, _ in frames(client)]
            client.abort()
            await client.wait_ended()

    run(main)


def test_a_ping_that_has_not_left_is_not_waited_for() -> None:
    """Nobody can answer it; a peer that takes nothing is dropped by the write timeout."""

    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject)
            client.transport.stalled = True
            await subject.advance(50)
            client.transport.stalled = False
            assert frames(client) == [(PING, b"")]
            client.send(frame(PONG))
            await subject.advance(5)
            assert not client.closed
            client.transport.stalled = True
            await subject.advance(85)
            assert client.transport.ended
            assert echo.closed is not None
            assert echo.closed.code == 1006

    run(main)


def test_a_message_that_never_ends_is_1008() -> None:
    async def main() -> None:
        async with serving(Echo(), message_timeout=30) as subject:
            client = await opened(subject)
            client.send(frame(TEXT, b"a", fin=False))
            for _ in range(40):
                client.send(frame(CONT, b"a", fin=False))
                await subject.advance(1)
            assert [code(data) for opcode, data in frames(client) if opcode == CLOSE] == [1008]

    run(main)


def test_a_peer_that_never_answers_our_close_is_dropped() -> None:
    async def main() -> None:
        async def leave(stream: WebSocketStream) -> None:
            stream.accept()
            stream.close(4000, "enough")
            with pytest.raises(LocalProtocolError, match="was closed"):
                stream.send("late")
            with pytest.raises(WebSocketClosed):
                await stream.receive()

        async with serving(leave) as subject:
            client = await opened(subject)
            assert frames(client) == [(CLOSE, b"\x0f\xa0enough")]
            client.send(frame(TEXT, b"dropped") * 3)
            await subject.advance(9)
            assert not client.closed
            await subject.advance(3)
            assert client.transport.ended

    run(main)


def test_a_peer_that_answers_our_close_ends_it() -> None:
    async def main() -> None:
        async def leave(stream: WebSocketStream) -> None:
            stream.accept()
            stream.close()

        async with serving(leave) as subject:
            client = await opened(subject)
            client.send(frame(TEXT, b"on its way") + close(1000))
            await client.wait_ended()
            assert frames(client) == [(CLOSE, b"\x03\xe8")]

    run(main)


@pytest.mark.parametrize("way", ["fin", "reset"])
def test_a_peer_that_leaves_without_a_word_is_1006(way: str) -> None:
    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject)
            if way == "fin":
                client.send_eof()
            else:
                client.abort()
            await client.wait_ended()
            await turns()
            assert ended(client) == b""
            assert echo.closed is not None
            assert (echo.closed.code, echo.closed.clean) == (1006, False)
            assert not subject.server.server.context.connections

    run(main)


@pytest.mark.parametrize("bad", [0, 999, 1004, 1006, 1015, 1100, 2999, 5000])
def test_codes_that_must_not_be_sent_raise(bad: int) -> None:
    async def main() -> None:
        async def leave(stream: WebSocketStream) -> None:
            stream.accept()
            with pytest.raises(LocalProtocolError, match="not a close code"):
                stream.close(bad)

        async with serving(leave) as subject:
            client = await opened(subject)
            await turns()
            assert frames(client) == [(CLOSE, b"")]

    run(main)


def test_an_application_that_raises_closes_with_1011(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async def fail(stream: WebSocketStream) -> None:
            stream.accept()
            raise ValueError("told to")

        async with serving(fail) as subject:
            client = await opened(subject)
            await turns()
            assert code(frames(client)[0][1]) == 1011

    run(main)
    assert [record.exc_info is not None for record in caplog.records] == [True]


def test_a_second_receive_raises_and_a_cancelled_one_loses_nothing() -> None:
    async def main() -> None:
        got: list[str | bytes] = []

        async def twice(stream: WebSocketStream) -> None:
            stream.accept()
            first = asyncio.ensure_future(stream.receive())
            await asyncio.sleep(0)
            with pytest.raises(LocalProtocolError, match="already being waited for"):
                await stream.receive()
            first.cancel()
            await asyncio.sleep(0)
            got.append(await stream.receive())

        async with serving(twice) as subject:
            client = await opened(subject)
            client.send(frame(TEXT, b"kept"))
            await turns()
            assert got == ["kept"]

    run(main)


def test_an_open_websocket_holds_no_permit_and_counts_as_a_connection() -> None:
    async def main() -> None:
        async with serving(Echo()) as subject:
            context = subject.server.server.context
            await opened(subject)
            assert not context.streams
            assert len(context.connections) == 1
            assert len(context.websockets) == 1

    run(main)


def test_a_stop_says_1012_delivers_what_is_on_its_way_and_waits() -> None:
    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject)
            stopping = asyncio.ensure_future(subject.server.server.stop())
            await client.wait_for(lambda: bool(frames(client)))
            assert code(frames(client)[0][1]) == 1012
            assert not stopping.done()
            client.send(frame(TEXT, b"crossed") + close(1012))
            await stopping
            assert echo.received == ["crossed"]
            assert echo.closed is not None
            assert echo.closed.code == 1012

    run(main)


def test_a_stop_does_not_wait_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        echo = Echo()
        async with serving(echo) as subject:
            client = await opened(subject)
            await subject.server.server.stop(0.1)
            assert client.transport.ended
            assert echo.closed is not None

    run(main)
    assert "unfinished at the drain deadline" in caplog.text


def test_one_that_stops_reading_does_not_hold_up_a_broadcast() -> None:
    async def main() -> None:
        everybody: list[WebSocketStream] = []

        async def join(stream: WebSocketStream) -> None:
            stream.accept()
            everybody.append(stream)
            try:
                while True:
                    await stream.receive()
            except WebSocketClosed:
                everybody.remove(stream)

        async with serving(join, ping_interval=0) as subject:
            clients = [await opened(subject) for _ in range(32)]
            clients[0].transport.stalled = True
            for _ in range(200):
                for stream in everybody:
                    if not stream.write_blocked:
                        stream.send(b"x" * 10_000)
                await asyncio.sleep(0)
            assert all(len(frames(client)) == 200 for client in clients[1:])
            assert clients[0].transport.get_write_buffer_size() < 100_000
            await subject.advance(65)
            assert clients[0].transport.ended
            assert len(everybody) == 31

    run(main)

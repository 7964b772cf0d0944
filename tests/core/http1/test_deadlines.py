"""One deadline per phase: the sweep is called with a clock that the test moves."""

from __future__ import annotations

import asyncio

import pytest

from granian_core import ClientDisconnected, HTTPStream, Limits, ServerConfig
from granian_core.settings import EngineChoice, HTTP1Settings
from tests.core.http1.serving import (
    CHUNKED,
    GET,
    both_engines,
    echo,
    ignore_body,
    post,
    serving,
    turns,
)


@both_engines
def test_connection_that_never_speaks_is_closed_silently(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            await subject.advance(29.5)
            assert not client.closed
            await subject.advance(1)
            assert client.closed
            assert client.output == b""

    asyncio.run(main())


@both_engines
def test_head_that_dribbles_is_answered_408_when_its_time_is_over(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            for byte in b"GET / HTTP/1.1\r\nX: aaaaaaaaaaa":
                client.send(bytes([byte]))
                await subject.advance(0.9)
            assert not client.closed
            await subject.advance(5)
            response = await client.receive_response()
            assert response.status == 408
            assert response.header(b"connection") == b"close"
            assert client.closed

    asyncio.run(main())


@both_engines
def test_head_clock_includes_the_wait_for_the_first_byte(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            await subject.advance(25)
            client.send(b"GET")
            await subject.advance(6)
            assert (await client.receive_response()).status == 408

    asyncio.run(main())


@both_engines
def test_second_head_has_its_own_clock(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(GET)
            assert (await client.receive_response()).status == 200
            await subject.advance(60)
            client.send(GET[:5])
            await subject.advance(29)
            assert not client.closed
            await subject.advance(2)
            assert (await client.receive_response()).status == 408
            assert client.closed

    asyncio.run(main())


@both_engines
def test_half_of_a_pipelined_head_runs_on_its_own_clock(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(GET + GET[:9])
            assert (await client.receive_response()).status == 200
            await subject.advance(29)
            assert not client.closed
            await subject.advance(2)
            assert (await client.receive_response()).status == 408

    asyncio.run(main())


@both_engines
def test_idle_connection_is_closed_silently_after_the_keep_alive_time(
    engine: EngineChoice,
) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(GET)
            await client.receive_response()
            await subject.advance(74)
            assert not client.closed
            await subject.advance(2)
            assert client.closed
            assert client.unread == b""

    asyncio.run(main())


@both_engines
def test_every_request_starts_the_keep_alive_time_anew(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            for _ in range(5):
                client.send(GET)
                assert (await client.receive_response()).status == 200
                await subject.advance(70)
            assert not client.closed

    asyncio.run(main())


@both_engines
def test_body_that_pauses_is_answered_408_and_the_application_sees_a_disconnect(
    engine: EngineChoice,
) -> None:
    seen: list[str] = []

    async def handler(stream: HTTPStream) -> None:
        try:
            await stream.read_all()
        except ClientDisconnected:
            seen.append("disconnect")

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(10_000) + b"x" * 9000)  # above the minimum rate
            await subject.advance(29)
            assert not client.closed
            assert not seen
            await subject.advance(2)
            response = await client.receive_response()
            assert response.status == 408
            assert response.header(b"connection") == b"close"
            assert client.closed
            assert seen == ["disconnect"]

    asyncio.run(main())


@both_engines
def test_body_that_pauses_cuts_a_response_that_has_started(engine: EngineChoice) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.write(b"begin")
        try:
            await stream.read_all()
        except ClientDisconnected:
            return

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(CHUNKED + b"5\r\nhe")
            await subject.advance(31)
            await client.wait_ended()
            assert client.output.count(b"HTTP/1.1") == 1
            assert b"begin" in client.output
            assert not client.output.endswith(b"0\r\n\r\n")

    asyncio.run(main())


@both_engines
def test_body_below_the_minimum_rate_is_answered_408(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(post(100_000))
            for _ in range(19):
                client.send(b"x" * 100)
                await subject.advance(1)
            assert not client.closed
            for _ in range(4):
                client.send(b"x" * 100)
                await subject.advance(1)
            assert (await client.receive_response()).status == 408
            assert client.closed

    asyncio.run(main())


@both_engines
def test_body_above_the_minimum_rate_takes_its_time(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(post(300 * 250))
            for _ in range(300):
                client.send(b"x" * 250)
                await subject.advance(1)
            response = await client.receive_response()
            assert response.status == 200
            assert len(response.body) == 75_000

    asyncio.run(main())


@both_engines
def test_minimum_rate_can_be_switched_off(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(
            echo, http1=HTTP1Settings(engine=engine), limits=Limits(body_min_rate=0)
        ) as subject:
            client = subject.connect()
            client.send(post(10))
            for _ in range(10):
                await subject.advance(25)
                client.send(b"x")
            assert (await client.receive_response()).body == b"x" * 10

    asyncio.run(main())


@both_engines
def test_body_clock_stands_still_while_the_application_does_not_read(
    engine: EngineChoice,
) -> None:
    """A handler that sleeps before it reads an upload gets it whole."""
    size = 1 << 20
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await go.wait()
        body = await stream.read_all()
        stream.respond(200, [], b"%d" % len(body))

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(size))
            for _ in range(size // 65536):
                client.send(b"x" * 65536)
            assert client.transport.reading_paused
            await subject.advance(600, step=5)
            assert not client.closed
            go.set()
            response = await client.receive_response()
            assert response.body == b"%d" % size

    asyncio.run(main())


@both_engines
def test_body_clock_waits_for_100_continue(engine: EngineChoice) -> None:
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await go.wait()
        await echo(stream)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(5, b"Expect: 100-continue\r\n"))
            await subject.advance(300, step=5)
            assert client.output == b""
            go.set()
            await turns()
            assert client.output == b"HTTP/1.1 100 Continue\r\n\r\n"
            await subject.advance(15)
            client.send(b"hello")
            response = await client.receive_response()
            assert response.status == 200
            assert response.body == b"hello"

    asyncio.run(main())


@both_engines
def test_body_clock_runs_once_100_continue_was_sent(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(post(5, b"Expect: 100-continue\r\n"))
            await subject.advance(32)
            response = await client.receive_response()
            assert [one.status for one in response.informational] == [100]
            assert response.status == 408

    asyncio.run(main())


@both_engines
def test_no_clock_runs_while_the_application_works_on_a_whole_request(
    engine: EngineChoice,
) -> None:
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await stream.read_all()
        await go.wait()
        stream.respond(200, [], b"late")

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(5) + b"hello")
            await subject.advance(3600, step=30)
            assert not client.closed
            go.set()
            assert (await client.receive_response()).body == b"late"

    asyncio.run(main())


async def _big(stream: HTTPStream) -> None:
    stream.respond(200, [], b"x" * 1_000_000)


@both_engines
def test_client_that_takes_nothing_is_dropped(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(_big, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(GET)
            await subject.advance(59)
            assert not client.transport.ended
            await subject.advance(3)
            assert client.transport.ended

    asyncio.run(main())


@both_engines
def test_client_that_takes_a_little_is_kept(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(_big, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(GET)
            for _ in range(10):
                await subject.advance(50)
                assert client.transport.take(1000)
            assert not client.transport.ended
            client.transport.stalled = False
            assert len((await client.receive_response()).body) == 1_000_000

    asyncio.run(main())


@both_engines
def test_write_stall_wakes_an_application_that_waits_to_send(engine: EngineChoice) -> None:
    ended: list[bool] = []

    async def handler(stream: HTTPStream) -> None:
        stream.start(200, [])
        for _ in range(20):
            stream.write(b"x" * 65536)
            await stream.drain()
        ended.append(stream.disconnected)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(GET)
            await subject.advance(30)
            assert not ended
            assert client.transport.get_write_buffer_size() < 4 * 65536
            await subject.advance(35)
            assert client.transport.ended
            assert ended == [True]

    asyncio.run(main())


@both_engines
def test_lingering_close_reads_and_drops_for_a_second(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(b"BAD\r\n\r\n")
            assert (await client.receive_response()).status == 400
            assert client.closed
            client.send(GET)
            await subject.advance(0.8, step=0.2)
            assert not client.transport.ended
            client.send(GET * 100)
            await subject.advance(0.6, step=0.2)
            assert client.transport.ended
            assert client.output.count(b"HTTP/1.1") == 1

    asyncio.run(main())


@both_engines
def test_lingering_close_ends_when_the_client_leaves(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(b"BAD\r\n\r\n")
            await turns()
            assert not client.transport.ended
            client.send_eof()
            await client.wait_ended()

    asyncio.run(main())


@both_engines
def test_unread_body_is_drained_and_the_connection_kept(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(ignore_body, engine) as subject:
            client = subject.connect()
            client.send(post(200_000))
            response = await client.receive_response()
            assert response.body == b"done"
            assert response.header(b"connection") is None
            for _ in range(20):
                client.send(b"x" * 10_000)
            client.send(GET)
            assert (await client.receive_response()).status == 200
            assert not client.closed

    asyncio.run(main())


@both_engines
def test_unread_body_is_drained_for_at_most_a_second(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(ignore_body, engine) as subject:
            client = subject.connect()
            client.send(post(200_000))
            assert (await client.receive_response()).body == b"done"
            await subject.advance(0.8, step=0.2)
            client.send(b"x" * 10_000)
            assert not client.closed
            await subject.advance(0.4, step=0.2)
            assert client.closed

    asyncio.run(main())


@both_engines
def test_body_whose_reader_gave_up_is_drained_up_to_its_bound(engine: EngineChoice) -> None:
    async def reads_once(stream: HTTPStream) -> None:
        await stream.read()
        stream.start(200, [])
        stream.write(b"done")
        stream.finish()

    async def main() -> None:
        async with serving(reads_once, engine) as subject:
            client = subject.connect()
            client.send(post(1 << 20) + b"x" * 60_000)
            assert (await client.receive_response()).body == b"done"
            for _ in range(4):
                client.send(b"x" * 60_000)
            assert not client.closed
            client.send(b"x" * 60_000)
            assert client.closed

    asyncio.run(main())


@both_engines
def test_longer_unread_body_ends_the_connection(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(ignore_body, engine) as subject:
            client = subject.connect()
            client.send(post(300_000) + b"x" * 30_000)  # 270,000 are to come
            assert (await client.receive_response()).header(b"connection") == b"close"
            assert client.closed

    asyncio.run(main())


@both_engines
def test_unread_body_of_unknown_length_ends_the_connection(engine: EngineChoice) -> None:
    """Not silently: the next request may be on its way when the drain is given up."""

    async def main() -> None:
        async with serving(ignore_body, engine) as subject:
            client = subject.connect()
            client.send(CHUNKED + b"3\r\nabc\r\n")
            assert (await client.receive_response()).header(b"connection") == b"close"
            assert client.closed
            other = subject.connect()
            other.send(CHUNKED + b"3\r\nabc\r\n0\r\n\r\n")  # nothing is to come
            assert (await other.receive_response()).header(b"connection") is None
            assert not other.closed

    asyncio.run(main())


@both_engines
@pytest.mark.parametrize("head", [CHUNKED, post(1 << 20)], ids=["chunked", "length"])
def test_stream_that_begins_before_its_body_is_read_ends_the_connection(
    head: bytes, engine: EngineChoice
) -> None:
    async def starts(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.write(b"done")
        stream.finish()

    async def main() -> None:
        async with serving(starts, engine) as subject:
            client = subject.connect()
            client.send(head)
            response = await client.receive_response()
            assert (response.body, response.header(b"connection")) == (b"done", b"close")
            assert client.closed

    asyncio.run(main())


@both_engines
@pytest.mark.parametrize("framing", ["chunked", "length"])
def test_stream_that_begins_while_its_body_is_read_keeps_the_connection(
    framing: str, engine: EngineChoice
) -> None:
    piece = bytes(60_000)
    wire = b"%x\r\n%b\r\n" % (len(piece), piece) if framing == "chunked" else piece
    head = CHUNKED if framing == "chunked" else post(10 * len(piece))

    async def stream_through(stream: HTTPStream) -> None:
        data = await stream.read()
        stream.start(200, [])
        while data:
            stream.write(data)
            await stream.drain()
            data = await stream.read()
        stream.finish()

    async def main() -> None:
        async with serving(stream_through, engine) as subject:
            client = subject.connect()
            for _ in range(2):
                client.send(head)
                for _ in range(10):
                    client.send(wire)
                    await turns()
                client.send(b"0\r\n\r\n" if framing == "chunked" else b"")
                response = await client.receive_response()
                assert len(response.body) == 10 * len(piece)
                assert response.header(b"connection") is None
            assert not client.closed

    asyncio.run(main())


@both_engines
def test_fault_in_an_unread_body_ends_the_connection_without_an_answer(
    engine: EngineChoice,
) -> None:
    async def main() -> None:
        async with serving(ignore_body, engine) as subject:
            client = subject.connect()
            client.send(CHUNKED)
            assert (await client.receive_response()).body == b"done"
            client.send(b"zz\r\n" + GET)
            await turns()
            assert client.closed
            assert client.unread == b""

    asyncio.run(main())


@both_engines
def test_longest_idle_connection_makes_room_for_a_new_one(engine: EngineChoice) -> None:
    async def main() -> None:
        config = ServerConfig(http1=HTTP1Settings(engine=engine), limits=Limits(max_connections=3))
        async with serving(echo, config=config) as subject:
            clients = []
            for _ in range(3):
                clients.append(subject.connect())
                clients[-1].send(GET)
                await clients[-1].receive_response()
                await subject.advance(1)
            clients[0].send(GET)
            await clients[0].receive_response()
            fourth = subject.connect()
            await turns()
            assert [client.closed for client in clients] == [False, True, False]
            fourth.send(GET)
            assert (await fourth.receive_response()).status == 200

    asyncio.run(main())


@both_engines
def test_busy_connections_are_never_closed_to_make_room(engine: EngineChoice) -> None:
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await go.wait()
        stream.respond(200, [], b"ok")

    async def main() -> None:
        config = ServerConfig(http1=HTTP1Settings(engine=engine), limits=Limits(max_connections=2))
        async with serving(handler, config=config) as subject:
            clients = [subject.connect() for _ in range(2)]
            for client in clients:
                client.send(GET)
            subject.connect()
            await turns()
            go.set()
            for client in clients:
                assert (await client.receive_response()).body == b"ok"

    asyncio.run(main())

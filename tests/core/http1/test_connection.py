"""The state machine of a connection: every pause ends, every clock runs, nothing is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from granian_core import HTTPStream, Limits, ServerConfig
from granian_core.http1.connection import PIPELINE_HIGH_WATER
from granian_core.http1.output import GATHER_HIGH_WATER
from granian_core.settings import EngineChoice, HTTP1Settings
from tests.core.http1.serving import (
    CHUNKED,
    GET,
    Serving,
    both_engines,
    echo,
    post,
    serving,
    turns,
)


def get(path: str) -> bytes:
    return GET.replace(b" / ", b" %b " % path.encode())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until *condition* holds."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0)
    pytest.fail("it does not come")


def one_permit(engine: EngineChoice, **limits: float) -> ServerConfig:
    """Return settings under which one request presses the server."""
    return ServerConfig(
        http1=HTTP1Settings(engine=engine),
        backpressure=1,
        limits=Limits(**limits),  # type: ignore[arg-type]
    )


class Blocker:
    """A request on a connection of its own that holds a permit until it is told to end."""

    def __init__(self) -> None:
        self.go = asyncio.Event()

    async def handler(self, stream: HTTPStream) -> None:
        if stream.path == "/block":
            await self.go.wait()
        await echo(stream)

    async def take(self, subject: Serving) -> None:
        subject.connect().send(get("/block"))
        await turns()
        assert subject.server.server.context.pressed

    async def release(self) -> None:
        self.go.set()
        await turns(12)


# -- held back for a permit ---------------------------------------------------------------


@both_engines
def test_part_of_a_first_head_that_was_held_back_keeps_its_clock(engine: EngineChoice) -> None:
    async def main() -> None:
        blocker = Blocker()
        async with serving(blocker.handler, config=one_permit(engine)) as subject:
            await blocker.take(subject)
            client = subject.connect()
            await subject.advance(20)
            client.send(GET[:9])
            await subject.advance(100, step=5)
            assert not client.closed
            await blocker.release()
            await subject.advance(9)
            assert not client.closed
            await subject.advance(2)
            assert (await client.receive_response()).status == 408

    asyncio.run(main())


@both_engines
def test_holding_back_does_not_extend_a_head_that_dribbles(engine: EngineChoice) -> None:
    async def main() -> None:
        blocker = Blocker()
        async with serving(blocker.handler, config=one_permit(engine)) as subject:
            client = subject.connect()
            client.send(GET)
            await client.receive_response()
            await subject.advance(50)
            client.send(GET[:9])  # the clock of this head starts here
            await subject.advance(20)
            await blocker.take(subject)
            client.send(GET[9:12])
            await subject.advance(100, step=5)
            await blocker.release()
            await subject.advance(9)
            assert not client.closed
            await subject.advance(2)
            assert (await client.receive_response()).status == 408

    asyncio.run(main())


@both_engines
def test_held_head_of_an_idle_connection_has_its_whole_time(engine: EngineChoice) -> None:
    async def main() -> None:
        blocker = Blocker()
        async with serving(blocker.handler, config=one_permit(engine)) as subject:
            client = subject.connect()
            client.send(GET)
            await client.receive_response()
            await subject.advance(74)
            await blocker.take(subject)
            client.send(GET[:9])
            await subject.advance(100, step=5)
            await blocker.release()
            await subject.advance(29)
            assert not client.closed
            client.send(GET[9:])
            assert (await client.receive_response()).status == 200

    asyncio.run(main())


@both_engines
@pytest.mark.parametrize("arrived", [PIPELINE_HIGH_WATER + 1000, 2 * PIPELINE_HIGH_WATER])
def test_long_pipelined_request_that_waits_for_a_permit_is_read_to_its_end(
    engine: EngineChoice, arrived: int
) -> None:
    size = 2 * PIPELINE_HIGH_WATER

    async def main() -> None:
        async with serving(echo, config=one_permit(engine)) as subject:
            client = subject.connect()
            client.send(GET + post(size) + b"x" * arrived)
            client.send(b"x" * (size - arrived) + GET)
            assert (await client.receive_response()).body == b""
            assert len((await client.receive_response()).body) == size
            assert (await client.receive_response()).body == b""
            assert not client.transport.reading_paused

    asyncio.run(main())


@both_engines
def test_client_that_leaves_while_it_is_held_back_costs_no_permit(engine: EngineChoice) -> None:
    async def main() -> None:
        blocker = Blocker()
        async with serving(blocker.handler, config=one_permit(engine)) as subject:
            await blocker.take(subject)
            first, second = subject.connect(), subject.connect()
            first.send(get("/first"))
            second.send(get("/second"))
            first.abort()
            await first.wait_ended()
            await blocker.release()
            assert (await second.receive_response()).status == 200
            context = subject.server.server.context
            await turns()
            assert not context.pressed
            assert not context.streams
            assert not context.waiting

    asyncio.run(main())


@both_engines
def test_bytes_that_come_in_spite_of_the_pause_are_not_lost(engine: EngineChoice) -> None:
    """A transport may deliver what it has read already."""

    async def main() -> None:
        blocker = Blocker()
        async with serving(blocker.handler, config=one_permit(engine)) as subject:
            client, late = subject.connect(), subject.connect()
            await blocker.take(subject)
            client.send(get("/1"))
            protocol = cast("asyncio.Protocol", client.transport.get_protocol())
            protocol.data_received(get("/2") + GET[:7])
            protocol.data_received(GET[7:])
            await blocker.release()
            for _ in range(3):
                assert (await client.receive_response()).status == 200
            late.send(GET)
            assert (await late.receive_response()).status == 200

    asyncio.run(main())


@both_engines
def test_bytes_that_come_behind_a_held_pipelined_request_are_not_lost(
    engine: EngineChoice,
) -> None:
    async def main() -> None:
        async with serving(echo, config=one_permit(engine)) as subject:
            client = subject.connect()
            client.send(get("/1") + get("/2"))
            protocol = cast("asyncio.Protocol", client.transport.get_protocol())
            await until(lambda: client.output != b"")
            protocol.data_received(get("/3"))
            for _ in range(3):
                assert (await client.receive_response()).status == 200

    asyncio.run(main())


# -- the client's FIN ---------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize("last", [GET, post(3) + b"abc", CHUNKED + b"0\r\n\r\n"])
def test_fin_is_told_to_the_request_that_comes_up_after_it(
    engine: EngineChoice, last: bytes
) -> None:
    """Nobody else would wake it: the FIN came while another request was being answered."""
    go = asyncio.Event()
    count = 0

    async def handler(stream: HTTPStream) -> None:
        nonlocal count
        count += 1
        if count == 1:
            await go.wait()
        else:
            await stream.read_all()
            await stream.wait_disconnect()
        stream.respond(200, [], b"%d" % count)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(GET + last)
            client.send_eof()
            await turns()
            go.set()
            assert (await client.receive_response()).body == b"1"
            assert (await client.receive_response()).body == b"2"
            await client.wait_ended()

    asyncio.run(main())


@both_engines
def test_fin_is_told_to_a_request_that_was_held_back(engine: EngineChoice) -> None:
    blocker = Blocker()

    async def handler(stream: HTTPStream) -> None:
        if stream.path == "/wait":
            await stream.wait_disconnect()
        await blocker.handler(stream)

    async def main() -> None:
        async with serving(handler, config=one_permit(engine)) as subject:
            await blocker.take(subject)
            client = subject.connect()
            client.send(get("/wait"))
            protocol = cast("asyncio.Protocol", client.transport.get_protocol())
            assert protocol.eof_received()
            await blocker.release()
            assert (await client.receive_response()).status == 200
            await client.wait_ended()

    asyncio.run(main())


@both_engines
def test_body_that_can_not_come_any_more_is_noticed_when_its_head_is_admitted(
    engine: EngineChoice,
) -> None:
    blocker = Blocker()

    async def main() -> None:
        async with serving(blocker.handler, config=one_permit(engine)) as subject:
            await blocker.take(subject)
            client = subject.connect()
            client.send(post(10))
            protocol = cast("asyncio.Protocol", client.transport.get_protocol())
            assert protocol.eof_received()
            await blocker.release()
            await client.wait_ended()
            assert client.output == b""
            assert not subject.server.server.context.streams

    asyncio.run(main())


@both_engines
@pytest.mark.parametrize("tail", [b"", GET[:9], post(5) + b"ab"])
def test_fin_loses_no_response_that_was_gathered(engine: EngineChoice, tail: bytes) -> None:
    async def respond(stream: HTTPStream) -> None:
        stream.respond(200, [], stream.path.encode())
        await stream.read_all()

    async def main() -> None:
        http1 = HTTP1Settings(engine=engine, pipeline_flush=True)
        async with serving(respond, http1=http1) as subject:
            client = subject.connect()
            client.send(get("/1") + get("/2") + tail)
            streams = subject.server.server.context.streams
            await until(lambda: any(one.path == "/2" for one in streams))
            client.send_eof()
            assert (await client.receive_response()).body == b"/1"
            assert (await client.receive_response()).body == b"/2"
            await client.wait_ended()

    asyncio.run(main())


# -- output that waits ----------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize("size", [100, 20_000, 100_000])
def test_peer_that_takes_nothing_gets_no_further_requests_answered(
    engine: EngineChoice, size: int
) -> None:
    """Requests are small and responses are not: memory must not grow with the pipeline."""
    answered = 0

    async def handler(stream: HTTPStream) -> None:
        nonlocal answered
        stream.respond(200, [], b"x" * size)
        answered += 1

    count = 2000

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            for _ in range(count // 100):
                client.send(GET * 100)
                await turns(300)
            if size > 100:
                high = client.transport.get_write_buffer_limits()[1]
                assert client.transport.get_write_buffer_size() <= high + size + 1000
                assert answered < count
                assert client.transport.reading_paused
            client.transport.stalled = False
            for _ in range(count):
                assert len((await client.receive_response()).body) == size
            client.send(GET)
            assert (await client.receive_response()).status == 200
            assert not client.transport.reading_paused

    asyncio.run(main())


@both_engines
def test_peer_that_takes_nothing_is_dropped_in_the_middle_of_a_pipeline(
    engine: EngineChoice,
) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [], b"x" * 100_000)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(GET * 100)
            await subject.advance(59)
            assert not client.transport.ended
            await subject.advance(3)
            assert client.transport.ended

    asyncio.run(main())


@both_engines
def test_request_that_waited_for_output_also_waits_for_a_permit(engine: EngineChoice) -> None:
    blocker = Blocker()

    async def handler(stream: HTTPStream) -> None:
        if stream.path == "/big":
            stream.respond(200, [], b"x" * 100_000)
        else:
            await blocker.handler(stream)

    async def main() -> None:
        async with serving(handler, config=one_permit(engine)) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(get("/big") + get("/small"))
            await turns(12)
            await blocker.take(subject)
            client.transport.stalled = False
            assert len((await client.receive_response()).body) == 100_000
            await turns(12)
            assert client.unread == b""
            await blocker.release()
            assert (await client.receive_response()).body == b""

    asyncio.run(main())


@both_engines
def test_lingering_close_sends_a_long_answer_to_its_end(engine: EngineChoice) -> None:
    """The second that the peer gets begins when everything is sent."""

    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [(b"connection", b"close")], b"x" * 400_000)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(post(100) + b"not all")
            await turns()
            for _ in range(20):
                await subject.advance(2, step=0.25)
                client.transport.take(20_000)
            assert not client.transport.ended
            client.transport.stalled = False
            assert len((await client.receive_response()).body) == 400_000
            await subject.advance(3, step=0.25)
            assert client.transport.ended

    asyncio.run(main())


@both_engines
def test_lingering_close_drops_a_peer_that_does_not_take_its_answer(engine: EngineChoice) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [(b"connection", b"close")], b"x" * 400_000)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(post(100) + b"not all")
            await subject.advance(59)
            assert not client.transport.ended
            await subject.advance(3)
            assert client.transport.ended

    asyncio.run(main())


# -- faults -----------------------------------------------------------------------------------


@both_engines
def test_two_faults_in_one_read_are_answered_once(engine: EngineChoice) -> None:
    async def main() -> None:
        http1 = HTTP1Settings(engine=engine)
        async with serving(echo, http1=http1, limits=Limits(max_body_size=3)) as subject:
            client = subject.connect()
            client.send(CHUNKED + b"5\r\nabcde\r\nzz\r\n")
            assert (await client.receive_response()).status == 413
            assert client.unread == b""
            assert client.closed

    asyncio.run(main())


def test_what_is_gathered_is_bounded() -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [], b"x" * (GATHER_HIGH_WATER // 4))

    async def main() -> None:
        async with serving(handler, http1=HTTP1Settings(pipeline_flush=True)) as subject:
            client = subject.connect()
            client.send(GET * 20)
            for _ in range(20):
                assert (await client.receive_response()).status == 200
            assert 4 <= len(client.transport.writes) < 20
            assert max(map(len, client.transport.writes)) < 2 * GATHER_HIGH_WATER

    asyncio.run(main())


@both_engines
def test_peer_that_sends_a_body_nobody_reads_may_be_slow_to_take_its_answer(
    engine: EngineChoice,
) -> None:
    """The second for the rest of a body does not bound the sending."""

    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [], b"x" * 200_000)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.transport.stalled = True
            client.send(post(100) + b"x" * 50)
            await turns()
            client.send(b"x" * 50)
            await subject.advance(30)
            client.transport.stalled = False
            assert len((await client.receive_response()).body) == 200_000
            client.send(GET)
            assert (await client.receive_response()).status == 200

    asyncio.run(main())

"""What an exchange looks like from both ends: 100 Continue, FIN, resets, pipelines, logs."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest

from granian_core import ClientDisconnected, HTTPStream, ServerConfig
from granian_core.http1.connection import PIPELINE_HIGH_WATER
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

EXPECT = b"Expect: 100-continue\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


# -- Expect: 100-continue (RFC 9110 10.1.1) ---------------------------------------------


@both_engines
def test_100_is_sent_when_the_application_first_reads_and_only_once(engine: EngineChoice) -> None:
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await go.wait()
        await echo(stream)

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(5, EXPECT))
            await turns()
            assert client.output == b""
            go.set()
            await turns()
            assert client.output == CONTINUE
            client.send(b"he")
            await turns()
            client.send(b"llo")
            response = await client.receive_response()
            assert response.body == b"hello"
            assert client.output.count(CONTINUE) == 1
            client.send(GET)
            assert (await client.receive_response()).status == 200

    asyncio.run(main())


@both_engines
def test_100_is_not_sent_if_the_application_answers_without_reading(engine: EngineChoice) -> None:
    """Nobody knows whether the body follows, so the connection ends."""

    async def main() -> None:
        async with serving(ignore_body, engine) as subject:
            client = subject.connect()
            client.send(post(5, EXPECT))
            response = await client.receive_response()
            assert response.informational == []
            assert response.body == b"done"
            assert response.header(b"connection") == b"close"
            client.send(b"hello" + GET)
            await turns()
            assert client.closed
            assert client.unread == b""

    asyncio.run(main())


@both_engines
def test_100_is_never_sent_behind_the_final_head(engine: EngineChoice) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.start(200, [])
        with contextlib.suppress(ClientDisconnected):
            await stream.read_all()
        stream.finish()

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(5, EXPECT))
            await turns()
            client.send(b"hello")
            response = await client.receive_response()
            assert response.informational == []
            assert CONTINUE not in client.output

    asyncio.run(main())


@both_engines
@pytest.mark.parametrize(
    "head",
    [
        pytest.param(post(0, EXPECT), id="no-body"),
        pytest.param(post(5, EXPECT).replace(b"HTTP/1.1", b"HTTP/1.0") + b"hello", id="http-1.0"),
        pytest.param(post(5, EXPECT) + b"hello", id="body-is-there"),
    ],
)
def test_100_is_not_sent_where_nobody_waits(engine: EngineChoice, head: bytes) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(head)
            response = await client.receive_response()
            assert response.status == 200
            assert response.informational == []

    asyncio.run(main())


@both_engines
def test_client_that_did_not_wait_for_100_keeps_its_connection(engine: EngineChoice) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [], await stream.read())

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(10, EXPECT) + b"hello")
            response = await client.receive_response()
            assert response.informational == []
            assert response.body == b"hello"
            assert response.header(b"connection") is None
            client.send(b"world" + GET)
            assert (await client.receive_response()).status == 200

    asyncio.run(main())


# -- the client leaves ------------------------------------------------------------------


@both_engines
def test_fin_behind_a_request_wakes_but_cancels_nothing(engine: EngineChoice) -> None:
    woken = asyncio.Event()
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await stream.wait_disconnect()
        woken.set()
        await go.wait()
        stream.start(200, [])
        for _ in range(3):
            stream.write(b"part")
            await stream.drain()
        stream.finish()

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(GET)
            await turns()
            assert not woken.is_set()
            client.send_eof()
            await turns()
            assert woken.is_set()
            assert not client.closed
            go.set()
            response = await client.receive_response()
            assert response.body == b"partpartpart"
            await client.wait_ended()

    asyncio.run(main())


@both_engines
def test_fin_behind_pipelined_requests_lets_each_be_answered(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send(GET + post(3) + b"abc" + GET)
            client.send_eof()
            bodies = [(await client.receive_response()).body for _ in range(3)]
            assert bodies == [b"", b"abc", b""]
            await client.wait_ended()

    asyncio.run(main())


@both_engines
@pytest.mark.parametrize("head", [post(10) + b"abc", CHUNKED + b"5\r\nabc", CHUNKED])
def test_fin_inside_a_body_is_a_disconnect(engine: EngineChoice, head: bytes) -> None:
    seen: list[str] = []

    async def handler(stream: HTTPStream) -> None:
        try:
            await stream.read_all()
        except ClientDisconnected:
            seen.append("disconnect")
            stream.respond(200, [], b"dropped")

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(head)
            await turns()
            client.send_eof()
            await client.wait_ended()
            assert seen == ["disconnect"]
            assert client.output == b""

    asyncio.run(main())


@both_engines
@pytest.mark.parametrize("tail", [post(5) + b"hel", CHUNKED + b"5\r\nhe", CHUNKED])
def test_fin_inside_a_pipelined_body_is_noticed_when_its_turn_comes(
    engine: EngineChoice, tail: bytes
) -> None:
    go = asyncio.Event()
    seen: list[str] = []

    async def handler(stream: HTTPStream) -> None:
        if stream.method == "GET":
            await go.wait()
        try:
            stream.respond(200, [], await stream.read_all())
        except ClientDisconnected:
            seen.append("disconnect")

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(GET + tail)
            client.send_eof()
            await turns()
            go.set()
            assert (await client.receive_response()).status == 200
            await client.wait_ended()
            assert client.unread == b""
            assert seen == ["disconnect"]

    asyncio.run(main())


@both_engines
def test_fault_behind_which_the_fin_came_is_answered_when_its_turn_comes(
    engine: EngineChoice,
) -> None:
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        if stream.method == "GET":
            await go.wait()
        try:
            stream.respond(200, [], await stream.read_all())
        except ClientDisconnected:
            return

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(GET + CHUNKED + b"zz\r\n")
            client.send_eof()
            await turns()
            go.set()
            assert (await client.receive_response()).status == 200
            assert (await client.receive_response()).status == 400
            await client.wait_ended()

    asyncio.run(main())


@both_engines
def test_reset_wakes_a_reader_and_drops_what_is_written(engine: EngineChoice) -> None:
    seen: list[str] = []

    async def handler(stream: HTTPStream) -> None:
        try:
            await stream.read_all()
        except ClientDisconnected:
            seen.append("disconnect")
        stream.respond(200, [], b"dropped")
        await stream.drain()
        seen.append("end")

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(10) + b"abc")
            await turns()
            client.abort()
            await client.wait_ended()
            await turns()
            assert seen == ["disconnect", "end"]

    asyncio.run(main())


@both_engines
def test_fault_in_a_body_cuts_a_response_that_has_started(engine: EngineChoice) -> None:
    seen: list[str] = []

    async def handler(stream: HTTPStream) -> None:
        stream.start(200, [])
        stream.write(b"begin")
        try:
            await stream.read_all()
        except ClientDisconnected:
            seen.append("disconnect")
        stream.write(b"never sent")
        stream.finish()

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(CHUNKED + b"3\r\nabc\r\n")
            await turns()
            client.send(b"zz\r\n" + GET)
            await client.wait_ended()
            assert seen == ["disconnect"]
            assert client.output.count(b"HTTP/1.1") == 1
            assert b"never sent" not in client.output
            assert not client.output.endswith(b"0\r\n\r\n")

    asyncio.run(main())


# -- pipelines ----------------------------------------------------------------------------


@both_engines
def test_pipelined_requests_are_answered_in_order_one_at_a_time(engine: EngineChoice) -> None:
    running: list[str] = []
    events = {f"/{i}": asyncio.Event() for i in range(3)}

    async def handler(stream: HTTPStream) -> None:
        running.append(stream.path)
        await events[stream.path].wait()
        stream.respond(200, [], stream.path.encode())

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(b"".join(GET.replace(b" / ", b" /%d " % i) for i in range(3)))
            for index in (2, 1):
                events[f"/{index}"].set()
            await turns()
            assert running == ["/0"]
            assert client.output == b""
            events["/0"].set()
            for index in range(3):
                assert (await client.receive_response()).body == b"/%d" % index

    asyncio.run(main())


@both_engines
def test_peer_that_pipelines_too_much_is_not_read(engine: EngineChoice) -> None:
    go = asyncio.Event()
    count = 3 * PIPELINE_HIGH_WATER // len(GET)
    answered = 0

    async def handler(stream: HTTPStream) -> None:
        nonlocal answered
        await go.wait()
        stream.respond(200, [], b"")
        answered += 1

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(GET)
            client.send(GET * (PIPELINE_HIGH_WATER // len(GET) + 2))
            assert client.transport.reading_paused
            go.set()
            client.send(GET * count)
            expected = 1 + PIPELINE_HIGH_WATER // len(GET) + 2 + count
            await client.wait_for(lambda: answered == expected)
            assert client.output.count(b"HTTP/1.1 200") == expected

    asyncio.run(main())


@both_engines
def test_body_that_is_not_read_stops_the_reading(engine: EngineChoice) -> None:
    go = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await go.wait()
        stream.respond(200, [], b"%d" % len(await stream.read_all()))

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(post(300_000))
            for _ in range(30):
                client.send(b"x" * 10_000)
            assert client.transport.reading_paused
            go.set()
            assert (await client.receive_response()).body == b"300000"
            client.send(GET.replace(b"GET", b"PUT"))
            assert (await client.receive_response()).body == b"0"

    asyncio.run(main())


@both_engines
def test_bytewise_connection_is_answered_like_any_other(engine: EngineChoice) -> None:
    async def main() -> None:
        async with serving(echo, engine) as subject:
            client = subject.connect()
            client.send_bytewise(GET + CHUNKED + b"2\r\nhi\r\n0\r\n\r\n" + post(2) + b"ho")
            bodies = [(await client.receive_response()).body for _ in range(3)]
            assert bodies == [b"", b"hi", b"ho"]

    asyncio.run(main())


# -- logs -----------------------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(
    "wire",
    [
        b"BAD\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        post(5, b"Transfer-Encoding: chunked\r\n"),
        CHUNKED + b"zz\r\n",
        post(5, b"Expect: x\r\n"),
    ],
)
def test_fault_of_the_peer_is_logged_for_debugging_only(
    engine: EngineChoice, wire: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: HTTPStream) -> None:
        await stream.read_all()  # what escapes is the peer's fault, too

    async def main() -> None:
        async with serving(handler, engine) as subject:
            client = subject.connect()
            client.send(wire)
            assert (await client.receive_response()).status >= 400

    with caplog.at_level(logging.DEBUG, "_granian"):
        asyncio.run(main())
    assert {
        record.levelname for record in caplog.records if record.name.startswith("_granian")
    } == {"DEBUG"}


@both_engines
@pytest.mark.parametrize(
    ("atom", "request_bytes"),
    [
        ("%(path)s", GET.replace(b" / ", b" /a%0d%0aX%1b%7f%00%c2%85%e2%80%a8b ")),
        ("%(query_string)s", GET.replace(b" / ", b" /?a%0d%0ab ")),
        ("%(header{X-A})s", GET.replace(b"\r\n\r\n", b"\r\nX-A: a\x85\x9b\tb\r\n\r\n")),
        ("%(method)s", GET),
    ],
)
def test_access_log_line_holds_no_control_character(
    engine: EngineChoice,
    atom: str,
    request_bytes: bytes,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        config = ServerConfig(http1=HTTP1Settings(engine=engine), access_log_format=f"<{atom}>")
        async with serving(echo, config=config) as subject:
            client = subject.connect()
            client.send(request_bytes)
            assert (await client.receive_response()).status == 200

    with caplog.at_level(logging.INFO, "granian.access"):
        asyncio.run(main())
    lines = [record.getMessage() for record in caplog.records if record.name == "granian.access"]
    assert len(lines) == 1
    assert not [c for c in lines[0] if ord(c) < 32 or 127 <= ord(c) < 160 or c in "\u2028\u2029"]

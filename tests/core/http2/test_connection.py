"""The connection: bodies both ways, turns, credit, deadlines, and leaving."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from granian_core import (
    BlockingPool,
    BlockingStream,
    ClientDisconnected,
    HTTPStream,
    Limits,
    LocalProtocolError,
    run_blocking,
)
from granian_core.http2.contract import ENHANCE_YOUR_CALM, MAX_STREAM_ID
from granian_core.http2.frames import DATA, HEADERS, PRIORITY_UPDATE, frame
from tests.core.http2.serving import Client, Serving, echo, hold, serving, turns

MIB = 1024 * 1024


def big(size: int) -> object:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [], b"x" * size)

    return handler


# -- responses ------------------------------------------------------------------


def test_response_has_server_date_and_length() -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [(b"X-Name", b" v "), (b"connection", b"close")], b"hello")

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            fields = client.fields[1][0]
            assert fields[:2] == [(b":status", b"200"), (b"x-name", b"v")]
            assert [name for name, _ in fields[2:]] == [b"server", b"date", b"content-length"]
            assert client.bodies[1] == b"hello"
            assert client.ended == [1]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [(b"HEAD", 200, b"5"), (b"GET", 204, None), (b"GET", 304, None), (b"HEAD", 204, None)],
)
def test_responses_without_content_end_with_their_head(
    method: bytes, status: int, length: bytes | None
) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(status, [], b"hello")

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1, method=method)
            await client.turn()
            assert client.ended == [1]
            assert dict(client.fields[1][0]).get(b"content-length") == length
            assert client.count(DATA) == 0

    asyncio.run(main())


def test_trailers_and_early_hints_are_sent() -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.inform(103, [(b"link", b"</a>; rel=preload")])
        stream.start(200, [(b"content-type", b"application/grpc")])
        stream.write(b"message")
        stream.finish([(b"grpc-status", b"0")])

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            hints, head, trailers = client.fields[1]
            assert hints == [(b":status", b"103"), (b"link", b"</a>; rel=preload")]
            assert head[0] == (b":status", b"200")
            assert trailers == [(b"grpc-status", b"0")]
            assert client.bodies[1] == b"message"
            assert client.ended == [1]

    asyncio.run(main())


def test_expected_continue_is_sent_when_the_application_reads() -> None:
    reading = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await reading.wait()
        stream.respond(200, [], await stream.read_all())

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1, (b"expect", b"100-continue"), method=b"POST", end=False)
            await client.turn()
            assert 1 not in client.fields
            reading.set()
            await client.turn()
            assert client.fields[1] == [[(b":status", b"100")]]
            client.data(b"abc", end=True)
            await client.turn()
            assert client.bodies[1] == b"abc"

    asyncio.run(main())


@pytest.mark.parametrize(
    "headers",
    [[(b"a b", b"c")], [(b"a", b"b\nc")], [(b":status", b"200")], [(b"a", "text")], 5, [(b"a",)]],
    ids=["name", "value", "pseudo", "text", "number", "single"],
)
def test_bad_fields_of_the_application_give_a_500(
    headers: object, caplog: pytest.LogCaptureFixture
) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, headers)  # type: ignore[arg-type]

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            assert client.status(1) == 500
            assert client.bodies[1] == b"Internal server error"

    asyncio.run(main())
    assert "Application callable raised an exception" in caplog.text


def test_body_shorter_than_its_length_resets_the_stream(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(stream: HTTPStream) -> None:
        if stream.path == "/whole":
            stream.respond(200, [(b"content-length", b"9")], b"short")
        else:
            stream.start(200, [(b"content-length", b"9")])
            stream.write(b"short")

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1, path=b"/whole")
            client.request(3)
            await client.turn()
            assert client.resets == {1: 2, 3: 2}
            assert client.ended == []
            assert client.is_open

    asyncio.run(main())
    assert "shorter" in caplog.text


def test_body_longer_than_its_length_is_cut_and_raises() -> None:
    raised: list[str] = []

    async def handler(stream: HTTPStream) -> None:
        try:
            stream.respond(200, [(b"content-length", b"2")], b"long")
        except LocalProtocolError as exc:
            raised.append(str(exc))

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            assert client.bodies[1] == b"lo"
            assert client.ended == [1]

    asyncio.run(main())
    assert raised == ["the response body is longer than its Content-Length"]


def test_application_that_raises_after_its_head_resets_the_stream(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.start(200)
        stream.write(b"part")
        raise RuntimeError("boom")

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            assert client.resets == {1: 2}
            assert client.is_open

    asyncio.run(main())
    assert "boom" in caplog.text


def test_responses_of_one_turn_leave_in_one_write() -> None:
    async def main() -> None:
        async with serving(big(100)) as server:  # type: ignore[arg-type]
            client = server.connect()
            await client.turn()
            before = len(client.transport.writes)
            client.send(b"".join(client.head(stream) for stream in range(1, 41, 2)))
            await client.turn()
            assert len(client.ended) == 20
            assert len(client.transport.writes) == before + 1

    asyncio.run(main())


# -- flow control -----------------------------------------------------------------


def test_data_stops_at_the_window_and_goes_on_with_credit() -> None:
    async def main() -> None:
        async with serving(big(100_000)) as server:  # type: ignore[arg-type]
            client = server.connect()
            client.settings((4, 10))
            client.request(1)
            await client.turn()
            assert len(client.bodies[1]) == 10
            client.window(90, 1)
            await client.turn()
            assert len(client.bodies[1]) == 100
            client.settings((4, 200_000))
            await client.turn()
            assert len(client.bodies[1]) == 65_535
            client.window(100_000)
            await client.turn()
            assert len(client.bodies[1]) == 100_000
            assert client.ended == [1]

    asyncio.run(main())


def test_credit_for_every_frame_does_not_make_frames_smaller() -> None:
    """A client may credit each frame by its size; pieces of the application must not show."""
    total = 4 * MIB

    async def handler(stream: HTTPStream) -> None:
        stream.start(200)
        for _ in range(total // 65_536):
            stream.write(b"x" * 65_536)
            await stream.drain()
        stream.finish()

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            credited = 0
            while not client.ended and client.is_open:
                await client.turn(3)
                sizes = [len(body) for kind, _, _, body in client.frames if kind == DATA]
                for size in sizes[credited:]:
                    client.window(size, 1)
                    client.window(size)
                credited = len(sizes)
            assert len(client.bodies[1]) == total
            assert len(sizes) <= total // 16_384 + 8

    asyncio.run(main())


def test_application_waits_in_drain_until_the_peer_gives_credit() -> None:
    written = 0

    async def handler(stream: HTTPStream) -> None:
        nonlocal written
        stream.start(200)
        for _ in range(100):
            stream.write(b"x" * 10_000)
            written += 10_000
            await stream.drain()
        stream.finish()

    async def main() -> None:
        async with serving(handler, max_send_buffer_size=50_000) as server:
            client = server.connect()
            client.request(1)
            await client.turn(200)
            assert 65_535 < written <= 65_535 + 60_000
            client.window(2 * MIB)
            client.window(2 * MIB, 1)
            await client.turn(300)
            assert len(client.bodies[1]) == 1_000_000
            assert client.ended == [1]

    asyncio.run(main())


def test_upload_is_credited_as_the_application_reads() -> None:
    read = asyncio.Event()
    sizes: list[int] = []

    async def handler(stream: HTTPStream) -> None:
        await read.wait()
        sizes.append(len(await stream.read_all()))
        stream.respond(200)

    async def main() -> None:
        async with serving(handler, initial_stream_window_size=65_535) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            await client.turn()
            granted, sent = 65_535, 0
            while granted - sent >= 16_384:
                client.data(b"x" * 16_384)
                sent += 16_384
                await client.turn(2)
                granted = 65_535 + client.credits.get(1, 0)
            assert sent <= 65_536 + 65_535
            read.set()
            await client.turn()
            assert client.credits[1] > granted - 65_535
            client.data(b"x", end=True)
            await client.turn()
            assert client.status(1) == 200
            assert sizes == [sent + 1]

    asyncio.run(main())


def test_unread_upload_does_not_stop_another_one() -> None:
    async def handler(stream: HTTPStream) -> None:
        if stream.path == "/hold":
            await stream.wait_disconnect()
        else:
            await echo(stream)

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1, method=b"POST", path=b"/hold", end=False)
            for _ in range(64):
                client.data(b"x" * 16_384, 1)
            await client.turn()
            client.request(3, method=b"POST", end=False)
            for _ in range(3):
                client.data(b"y" * 16_000, 3)
            client.data(b"", 3, end=True)
            await client.turn()
            assert client.status(3) == 200

    asyncio.run(main())


def test_body_that_nobody_reads_is_stopped_after_the_answer() -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.respond(200, [], b"no thanks")

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            for stream in (1, 3):
                client.request(stream, method=b"POST", end=False)
            await client.turn()
            assert client.ended == [1, 3]
            for _ in range(20):
                client.data(b"x" * 16_384, 1)
            await client.turn()
            assert client.resets == {1: 0}  # too much
            await server.advance(1.0)
            assert client.resets == {1: 0, 3: 0}  # too long
            assert client.is_open

    asyncio.run(main())


def test_adaptive_window_grows_with_what_arrives() -> None:
    async def main() -> None:
        async with serving(echo, adaptive_window=True) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            await client.turn()
            assert client.sent_settings[0][4] == 65_535
            answered = 0
            for _ in range(40):
                client.data(b"x" * 16_384)
                await client.turn(2)
                if client.count(6) > answered and _ % 4 == 3:
                    answered = client.count(6)
                    client.ping(client.pings()[-1], ack=True)
            await client.turn()
            windows = [one[4] for one in client.sent_settings]
            assert windows[1] == 131_070
            assert windows == sorted(windows)

    asyncio.run(main())


def test_windows_and_sizes_are_announced() -> None:
    async def main() -> None:
        async with serving(
            echo,
            initial_stream_window_size=70_000,
            initial_connection_window_size=100_000,
            max_concurrent_streams=17,
            max_frame_size=20_000,
            max_headers_size=5000,
        ) as server:
            client = server.connect()
            await client.turn()
            assert client.sent_settings == [{3: 17, 4: 70_000, 5: 20_000, 6: 5000}]
            assert client.credits == {0: 100_000 - 65_535}

    asyncio.run(main())


def test_frame_size_below_the_least_is_raised_with_one_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with serving(echo, max_frame_size=1024) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            client.data(b"x" * 16_384, end=True)
            await client.turn()
            assert client.sent_settings[0][5] == 16_384
            assert client.status(1) == 200

    asyncio.run(main())
    warnings = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert warnings == [
        "--http2-max-frame-size 1024 is below the least that HTTP/2 allows, raised to 16384"
    ]


# -- whose turn it is -------------------------------------------------------------


def order_of(client: Client) -> list[int]:
    """Return the streams of DATA frames in order, repeats folded."""
    client.read()
    streams = [stream for kind, _, stream, payload in client.frames if kind == DATA and payload]
    return [
        stream for index, stream in enumerate(streams) if not index or streams[index - 1] != stream
    ]


def test_large_bodies_take_turns() -> None:
    async def main() -> None:
        async with serving(big(100_000)) as server:  # type: ignore[arg-type]
            client = server.connect()
            client.settings((4, MIB))
            client.window(MIB)
            client.send(b"".join(client.head(stream) for stream in (1, 3, 5)))
            await client.turn(40)
            assert sorted(client.ended) == [1, 3, 5]
            assert order_of(client)[:9] == [1, 3, 5] * 3

    asyncio.run(main())


def test_urgent_streams_go_first() -> None:
    async def main() -> None:
        async with serving(big(100_000)) as server:  # type: ignore[arg-type]
            client = server.connect()
            client.settings((4, MIB))
            await client.turn()
            client.send(
                client.head(1, (b"priority", b"u=7"))
                + client.head(3)
                + client.head(5, (b"priority", b"i, u=0"))
            )
            client.window(MIB)
            await client.turn(40)
            assert order_of(client) == [5, 3, 1]

    asyncio.run(main())


def test_priority_update_changes_the_order() -> None:
    async def main() -> None:
        async with serving(big(100_000)) as server:  # type: ignore[arg-type]
            client = server.connect()
            client.settings((4, MIB))
            # Ahead of its stream, and for one that waits.
            client.send(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\5u=0"))
            client.send(client.head(1) + client.head(3) + client.head(5))
            client.send(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\3u=1"))
            client.window(MIB)
            await client.turn(40)
            assert order_of(client) == [5, 3, 1]

    asyncio.run(main())


# -- permits and reset --------------------------------------------------------------


def test_requests_beyond_back_pressure_wait_for_a_permit() -> None:
    release = asyncio.Event()
    running = 0

    async def handler(stream: HTTPStream) -> None:
        nonlocal running
        running += 1
        await release.wait()
        running -= 1
        stream.respond(200)

    async def main() -> None:
        async with serving(handler, backpressure=2) as server:
            first, second = server.connect(), server.connect()
            for stream in (1, 3, 5, 7):
                first.request(stream)
                second.request(stream)
            await first.turn()
            assert running == 2
            first.reset(7)  # one that still waits
            release.set()
            await first.turn(100)
            await second.turn()
            assert sorted(first.ended) == [1, 3, 5]
            assert sorted(second.ended) == [1, 3, 5, 7]

    asyncio.run(main())


def test_reset_disconnects_the_application_and_a_reader() -> None:
    raised: list[type[BaseException]] = []

    async def handler(stream: HTTPStream) -> None:
        try:
            await stream.read_all()
        except ClientDisconnected as exc:
            raised.append(type(exc))
            raise

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            await client.turn()
            client.reset(1)
            await client.turn()
            assert raised == [ClientDisconnected]
            assert not server.context.streams

    asyncio.run(main())


def test_lost_connection_disconnects_every_stream() -> None:
    async def main() -> None:
        async with serving(hold) as server:
            client = server.connect()
            for stream in (1, 3, 5):
                client.request(stream)
            await client.turn()
            assert len(server.context.streams) == 3
            client.memory.abort()
            await turns()
            assert not server.context.streams
            assert not server.context.connections

    asyncio.run(main())


def test_half_close_lets_answers_out() -> None:
    gone: list[str] = []
    go_on = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await stream.wait_disconnect()
        gone.append(stream.path)
        await go_on.wait()
        stream.respond(200, [], b"late")

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1, path=b"/whole")
            client.request(3, path=b"/part", method=b"POST", end=False)
            await client.turn()
            client.transport.feed_eof()
            await client.turn()
            assert sorted(gone) == ["/part", "/whole"]
            go_on.set()
            await client.turn()
            assert client.bodies == {1: b"late"}
            assert not client.is_open

    asyncio.run(main())


# -- threads -------------------------------------------------------------------


def test_blocking_stream_reads_and_writes_with_back_pressure() -> None:
    pool = BlockingPool(2)

    def call(blocking: BlockingStream) -> None:
        size = 0
        while piece := blocking.read():
            size += len(piece)
        blocking.start(200, [])
        for _ in range(40):
            blocking.write(b"x" * 25_000)
        blocking.finish([(b"x-size", b"%d" % size)])

    async def main() -> None:
        async with serving(
            lambda stream: run_blocking(pool, stream, call), max_send_buffer_size=30_000
        ) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            client.data(b"a" * 1000)
            client.data(b"b" * 500, end=True)
            while 1 not in client.ended:
                await asyncio.sleep(0.001)
                before = len(client.bodies.get(1, b""))
                client.read()
                taken = len(client.bodies.get(1, b"")) - before
                # The buffer, as much that was on its way when it was full, and one piece.
                assert client.connection.output.queued <= 30_000 + 30_000 + 25_000
                if taken:
                    client.window(taken)
                    client.window(taken, 1)
            assert len(client.bodies[1]) == 1_000_000
            assert client.fields[1][-1] == [(b"x-size", b"1500")]

    asyncio.run(main())
    pool.shutdown(True, 5)


def test_blocking_stream_is_told_of_a_reset() -> None:
    pool = BlockingPool(1)
    outcome: list[str] = []
    done = threading.Event()

    def call(blocking: BlockingStream) -> None:
        try:
            blocking.read()
        except ClientDisconnected:
            outcome.append("disconnected")
            raise
        finally:
            done.set()

    async def main() -> None:
        async with serving(lambda stream: run_blocking(pool, stream, call)) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            await client.turn()
            client.reset(1)
            while not done.is_set() or server.context.streams:
                await asyncio.sleep(0.001)
            assert outcome == ["disconnected"]

    asyncio.run(main())
    pool.shutdown(True, 5)


# -- deadlines and leaving ----------------------------------------------------------


def test_idle_connection_is_told_goaway_and_closed() -> None:
    async def main() -> None:
        async with serving(echo, idle_timeout=5.0) as server:
            client = server.connect()
            client.request(1)
            await server.advance(4)
            assert client.is_open
            await server.advance(2)
            assert client.goaways == [(1, 0)]
            assert not client.is_open

    asyncio.run(main())


def test_idle_body_is_answered_with_408() -> None:
    async def main() -> None:
        async with serving(echo, limits=Limits(body_idle_timeout=5)) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            await server.advance(4)
            assert client.status(1) == 0
            await server.advance(2)
            assert client.status(1) == 408
            assert client.resets == {1: 0}
            assert client.is_open

    asyncio.run(main())


def test_slow_body_is_answered_with_408() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            client.request(1, method=b"POST", end=False)
            for _ in range(25):
                client.data(b"x" * 100)
                await server.advance(1.0)
            assert client.status(1) == 408

    asyncio.run(main())


def test_body_clock_stands_still_while_the_application_does_not_read() -> None:
    read = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await read.wait()
        await echo(stream)

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.settings((4, MIB))
            client.window(MIB)
            client.request(1, method=b"POST", end=False)
            for _ in range(8):
                client.data(b"x" * 16_384)
            await server.advance(100)
            assert client.status(1) == 0
            read.set()
            client.data(b"", end=True)
            await client.turn(30)
            assert len(client.bodies[1]) == 8 * 16_384

    asyncio.run(main())


def test_keep_alive_pings_and_leaves_a_peer_that_does_not_answer() -> None:
    async def main() -> None:
        async with serving(hold, keep_alive_interval=5000, keep_alive_timeout=3) as server:
            client = server.connect()
            client.request(1)
            await server.advance(6)
            (first,) = client.pings()
            client.ping(first, ack=True)
            await server.advance(4)
            assert client.is_open
            await server.advance(2)
            assert len(client.pings()) == 2
            await server.advance(4)
            assert client.goaways == [(1, 0)]
            assert not client.is_open
            await turns()
            assert not server.context.streams

    asyncio.run(main())


def test_no_pings_by_default() -> None:
    async def main() -> None:
        async with serving(hold) as server:
            client = server.connect()
            client.request(1)
            await server.advance(120)
            assert client.pings() == []
            assert client.is_open

    asyncio.run(main())


@pytest.mark.parametrize("acknowledges", [True, False])
def test_drain_sends_goaway_twice_and_answers_what_came_between(acknowledges: bool) -> None:
    release = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        await release.wait()
        stream.respond(200)

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            stopping = asyncio.ensure_future(server.server.server.stop(20))
            await client.turn()
            assert client.goaways == [(MAX_STREAM_ID, 0)]
            client.request(3)  # was under way
            if acknowledges:
                client.ping(client.pings()[-1], ack=True)
                await client.turn()
            else:
                await server.advance(1.0)
            assert client.goaways == [(MAX_STREAM_ID, 0), (3, 0)]
            client.request(5)  # too late, and named so
            release.set()
            await stopping
            client.read()
            assert sorted(client.ended) == [1, 3]
            assert len(client.goaways) == 2

    asyncio.run(main())


def test_drain_closes_idle_connections() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            server.context.clock = asyncio.get_running_loop().time
            client = server.connect()
            client.request(1)
            await client.turn()
            await server.server.server.stop(10)
            client.read()
            assert [code for _, code in client.goaways] == [0] * len(client.goaways)
            assert client.goaways[-1][0] == 1
            assert not client.is_open

    asyncio.run(main())


def test_event_stream_is_told_of_the_drain() -> None:
    async def handler(stream: HTTPStream) -> None:
        stream.start(200, [(b"content-type", b"text/event-stream")])
        await stream.wait_disconnect()
        stream.write(b"bye")
        stream.finish()

    async def main() -> None:
        async with serving(handler) as server:
            client = server.connect()
            client.request(1)
            await client.turn()
            for connection in list(server.context.connections):
                connection.drain()
            await client.turn()
            assert client.bodies[1] == b"bye"

    asyncio.run(main())


def test_connection_error_lingers_and_then_drops() -> None:
    async def main() -> None:
        async with serving(hold) as server:
            client = server.connect()
            client.request(1)
            client.send(frame(HEADERS, 0, 0))
            await client.turn()
            assert [code for _, code in client.goaways] == [1]
            assert client.transport.eof_written
            assert not server.context.streams
            await server.advance(2.0)
            assert client.transport.ended

    asyncio.run(main())


def test_fault_above_the_engine_is_calmed_too() -> None:
    async def main() -> None:
        async with serving(echo) as server:
            client = server.connect()
            client.connection.engine.fail(ENHANCE_YOUR_CALM, "enough")
            await client.turn()
            assert [code for _, code in client.goaways] == [ENHANCE_YOUR_CALM]

    asyncio.run(main())


def busy(server: Serving) -> int:
    return len(server.context.streams)


def test_background_work_after_the_answer_does_not_refuse_new_requests() -> None:
    release = asyncio.Event()

    async def handler(stream: HTTPStream) -> None:
        stream.respond(200)
        await release.wait()

    async def main() -> None:
        async with serving(handler, max_concurrent_streams=10) as server:
            client = server.connect()
            for stream in range(1, 31, 2):
                client.request(stream)
                await client.turn(4)
            assert len(client.ended) == 10
            assert client.resets == {}
            release.set()
            await client.turn(40)
            assert len(client.ended) == 15
            assert busy(server) == 0

    asyncio.run(main())

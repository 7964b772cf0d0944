"""The blocking view of an exchange over a carrier that knows no threads (one in memory)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from granian_core import BlockingStream, ClientDisconnected, HTTPStream, LocalProtocolError
from granian_core.http1.direct import DirectStream
from granian_core.testing import MemoryClient, MemoryServer
from tests.core.loopback import PATIENCE, Threaded, no_errors, until, wait

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
INTERNAL_ERROR = b"Internal server error"


def post(size: int, more: bytes = b"") -> bytes:
    return b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n%b\r\n" % (size, more)


def serve(
    call: Callable[[BlockingStream], None],
    talk: Callable[[MemoryClient, MemoryServer], Any],
) -> None:
    """Serve *call* on threads, and *talk* to it."""

    async def main() -> None:
        async with MemoryServer(Threaded(call)) as server:
            client = server.connect()
            try:
                await talk(client, server)
            finally:
                client.abort()
                await until(lambda: not server.server.context.streams)

    asyncio.run(asyncio.wait_for(main(), 2 * PATIENCE))


# -- reading -----------------------------------------------------------------------------


@pytest.mark.parametrize("size", [-1, 1, 3, 7, 100])
@pytest.mark.parametrize("pieces", [[b"hello world"], [b"hello", b" ", b"world"]])
def test_read_returns_at_least_a_byte_and_at_most_what_was_asked_for(
    size: int, pieces: list[bytes]
) -> None:
    got: list[bytes] = []
    ready = threading.Semaphore(0)

    def call(stream: BlockingStream) -> None:
        assert type(stream) is BlockingStream
        assert stream.read(0) == b""
        ready.release()
        while data := stream.read(size):
            got.append(data)
            ready.release()
        assert stream.read(size) == b""
        stream.respond(200, [], b"".join(got))

    async def talk(client: MemoryClient, _: MemoryServer) -> None:
        client.send(post(11))
        for piece in pieces:
            await asyncio.get_running_loop().run_in_executor(None, ready.acquire)
            client.send(piece)
        assert (await client.receive_response()).body == b"hello world"

    serve(call, talk)
    assert all(len(data) <= size for data in got if size > 0)


def test_reading_a_whole_body_that_held_the_peer_touches_the_transport_on_the_loop() -> None:
    """Its last piece may have paused the reading: only the loop may let it go on."""
    threads: list[int] = []
    go = threading.Event()

    def call(stream: BlockingStream) -> None:
        wait(go)
        body = b""
        while data := stream.read():
            body += data
        stream.respond(200, [], b"%d" % len(body))

    async def talk(client: MemoryClient, _: MemoryServer) -> None:
        transport = client.transport
        resume = transport.resume_reading

        def watched() -> None:
            threads.append(threading.get_ident())
            resume()

        transport.resume_reading = watched  # type: ignore[method-assign]
        client.send(post(100_000) + b"x" * 100_000)
        assert transport.reading_paused
        go.set()
        assert (await client.receive_response()).body == b"100000"
        assert not transport.reading_paused
        assert threads == [threading.get_ident()]

    serve(call, talk)


@pytest.mark.parametrize("how", ["abort", "send_eof"])
def test_reader_hears_that_the_client_left(how: str, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []
    reading = threading.Event()

    def call(stream: BlockingStream) -> None:
        assert stream.read() == b"part"
        reading.set()
        try:
            stream.read()
        except ClientDisconnected:
            seen.append("disconnected")
            raise

    async def talk(client: MemoryClient, server: MemoryServer) -> None:
        client.send(post(10) + b"part")
        await until(reading.is_set)
        getattr(client, how)()
        await until(lambda: not server.server.context.streams)
        assert client.output == b""

    with no_errors(caplog):
        serve(call, talk)
    assert seen == ["disconnected"]


# -- writing -----------------------------------------------------------------------------


def test_write_waits_for_a_peer_that_takes_too_little() -> None:
    written: list[int] = []

    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        for index in range(20):
            stream.write(b"x" * 65_536)
            written.append(index)
        stream.finish()

    async def talk(client: MemoryClient, _: MemoryServer) -> None:
        client.transport.stalled = True
        client.send(GET)
        await until(lambda: client.transport.writing_paused)
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert len(written) < 5
        client.transport.stalled = False
        assert len((await client.receive_response()).body) == 20 * 65_536

    serve(call, talk)


def test_waiting_writer_hears_that_the_client_left(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        with pytest.raises(ClientDisconnected):
            while True:
                stream.write(b"x" * 65_536)
        seen.append("disconnected")

    async def talk(client: MemoryClient, server: MemoryServer) -> None:
        client.transport.stalled = True
        client.send(GET)
        await until(lambda: client.transport.writing_paused)
        client.abort()
        await until(lambda: not server.server.context.streams)

    with no_errors(caplog):
        serve(call, talk)
    assert seen == ["disconnected"]


@pytest.mark.parametrize(("count", "expected"), [(None, b"3456789"), (4, b"3456"), (0, b"")])
def test_file_is_sent_from_its_position(count: int | None, expected: bytes) -> None:
    def call(stream: BlockingStream) -> None:
        file = io.BytesIO(b"0123456789")
        file.seek(3)
        stream.start(200, [])
        stream.send_file(file, count)
        stream.finish()

    async def talk(client: MemoryClient, _: MemoryServer) -> None:
        client.send(GET)
        assert (await client.receive_response()).body == expected

    serve(call, talk)


def test_operations_leave_in_their_order_with_trailers() -> None:
    def call(stream: BlockingStream) -> None:
        stream.inform(103, [(b"link", b"</a>")])
        stream.start(200, [])
        stream.write(b"one")
        stream.write(memoryview(b"two"))
        stream.finish([(b"x-sum", b"6")])

    async def talk(client: MemoryClient, _: MemoryServer) -> None:
        client.send(GET + GET)
        for _ in range(2):
            response = await client.receive_response()
            assert [one.status for one in response.informational] == [103]
            assert response.body == b"onetwo"
            assert response.trailers == [(b"x-sum", b"6")]

    serve(call, talk)


@pytest.mark.parametrize(
    "misuse",
    [
        pytest.param(lambda one: one.write(b"x"), id="write-before-start"),
        pytest.param(lambda one: one.finish(), id="finish-before-start"),
        pytest.param(lambda one: one.respond(99, [], b""), id="status"),
        pytest.param(lambda one: one.respond(200, [(b"a b", b"")], b""), id="name"),
        pytest.param(lambda one: one.inform(200), id="inform"),
    ],
)
def test_misuse_raises_in_the_thread(misuse: Callable[[BlockingStream], None]) -> None:
    def call(stream: BlockingStream) -> None:
        with pytest.raises(LocalProtocolError) as caught:
            misuse(stream)
        stream.respond(200, [], str(caught.value).encode())

    async def talk(client: MemoryClient, _: MemoryServer) -> None:
        client.send(GET)
        response = await client.receive_response()
        assert response.status == 200
        assert response.body

    serve(call, talk)


# -- the outcome -------------------------------------------------------------------------


def failing(stream: BlockingStream) -> None:
    raise ValueError("the application's own")


def leaving(stream: BlockingStream) -> None:
    raise SystemExit(3)


def returning(stream: BlockingStream) -> None:
    pass


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (failing, "Application callable raised an exception"),
        (leaving, "Application callable raised an exception"),
        (returning, "Application returned without a response"),
    ],
)
def test_application_without_a_response_is_a_500_and_one_line(
    call: Callable[[BlockingStream], None], message: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def talk(client: MemoryClient, server: MemoryServer) -> None:
        client.send(GET)
        response = await client.receive_response()
        assert response.status == 500
        assert response.body == INTERNAL_ERROR
        client.send(GET)
        assert (await client.receive_response()).status == 500
        await until(lambda: not server.server.context.streams)

    with caplog.at_level(logging.WARNING):
        serve(call, talk)
    assert [one.getMessage() for one in caplog.records] == [message] * 2


@pytest.mark.parametrize("raises", [True, False])
def test_response_that_was_begun_and_not_ended_is_cut(
    raises: bool, caplog: pytest.LogCaptureFixture
) -> None:
    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        stream.write(b"begin")
        if raises:
            raise ValueError("in the middle")

    async def talk(client: MemoryClient, _: MemoryServer) -> None:
        client.send(GET)
        await client.wait_ended()
        assert b"begin" in client.output
        assert not client.output.endswith(b"0\r\n\r\n")

    with caplog.at_level(logging.WARNING):
        serve(call, talk)
    assert len(caplog.records) == 1


def test_exit_on_the_loop_reaches_the_thread_that_waits() -> None:
    """Whatever an operation raises, the thread must not wait for ever."""
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        def interrupt() -> None:
            raise KeyboardInterrupt

        try:
            stream._on_loop(interrupt)
        except KeyboardInterrupt:
            seen.append("interrupted")
        stream.respond(200, [], b"after")

    async def main() -> None:
        async with MemoryServer(Threaded(call)) as server:
            client = server.connect()
            client.send(GET)
            assert (await client.receive_response()).body == b"after"
            client.abort()

    loop = asyncio.new_event_loop()
    task = loop.create_task(main())
    while not task.done():
        with contextlib.suppress(KeyboardInterrupt):  # it ends the turn of the loop, not more
            loop.run_until_complete(task)
    task.result()
    loop.close()
    assert seen == ["interrupted"]


def test_loop_that_stops_for_good_ends_every_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """One thread waits for its writes to be taken, one for the client, as it is closed."""
    monkeypatch.setattr("granian_core.blocking.LOOP_CHECK", 0.02)
    waiting, seen = threading.Barrier(3), []
    ended = threading.Semaphore(0)

    def write_for_ever(stream: BlockingStream) -> None:
        stream.start(200, [])
        while True:
            stream.write(b"x" * 10_000)

    def call(stream: BlockingStream) -> None:
        waiting.wait(PATIENCE)
        if stream.stream.path == "/read":
            operation: Callable[[], object] = stream.read
        else:
            operation = lambda: write_for_ever(stream)  # noqa: E731
            wait(blocked)
        try:
            operation()
        except ClientDisconnected as exc:
            seen.append(str(exc))
        ended.release()

    blocked = threading.Event()
    app = Threaded(call)
    loop = asyncio.new_event_loop()

    async def main() -> None:
        server = MemoryServer(app)
        await server.__aenter__()
        for path in (b"/read", b"/write"):
            server.connect().send(post(5).replace(b" / ", b" %b " % path))
        await loop.run_in_executor(None, waiting.wait, PATIENCE)
        # The reader registers on the loop; wait until it does so.
        reader = next(one for one in server.server.context.streams if one.path == "/read")
        await until(lambda: reader._read_waiter is not None)
        assert server.server._sweeper is not None
        server.server._sweeper.cancel()

    loop.run_until_complete(main())
    loop.run_until_complete(loop.shutdown_default_executor())
    blocked.set()  # its writes are queued on a loop that does not turn any more
    loop.close()
    for _ in range(2):
        assert ended.acquire(timeout=PATIENCE)
    assert seen == ["the server has stopped"] * 2
    assert app.pool.shutdown(wait=True, timeout=PATIENCE)


def test_stream_that_nobody_can_send_for_directly_has_a_plain_view() -> None:
    kinds: list[type] = []

    class Looking(Threaded):
        def handle_http(self, stream: HTTPStream) -> None:
            kinds.append(type(stream.blocking()))
            super().handle_http(stream)

    async def main() -> None:
        async with MemoryServer(Looking(lambda one: one.respond(200, [], b"x"))) as server:
            client = server.connect()
            client.send(GET)
            assert (await client.receive_response()).body == b"x"
            client.abort()

    asyncio.run(main())
    assert kinds == [BlockingStream]
    assert issubclass(DirectStream, BlockingStream)

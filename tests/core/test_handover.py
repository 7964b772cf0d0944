"""How a thread's response crosses to the loop: what waits, what does not, and what is bounded.

In memory no connection has a descriptor, so that every wire takes this way. Where a test
holds the loop, whatever needs its answer would never come: what returns did not wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from granian_core import (
    BlockingStream,
    ClientDisconnected,
    LocalProtocolError,
    ServerConfig,
)
from granian_core import blocking as blocking_module
from granian_core.blocking import PIECE_COST, SEND_WINDOW
from granian_core.log import access_logger
from granian_core.settings import HTTP2Settings
from granian_core.stream import BODY_HIGH_WATER
from granian_core.testing import MemoryClient, MemoryServer
from tests.compiled import interpreted
from tests.core.loopback import PATIENCE, Threaded, no_errors, until, wait

pytestmark = pytest.mark.usefixtures("wire")

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
MANY = 8


def serve(
    call: Callable[[BlockingStream], None],
    talk: Callable[[MemoryServer, Threaded], Any],
    config: ServerConfig | None = None,
) -> None:
    """Serve *call* on threads, and *talk* to the server."""

    async def main() -> None:
        app = Threaded(call, MANY)
        async with MemoryServer(app, config) as server:
            await talk(server, app)
            await until(lambda: not server.server.context.streams)

    asyncio.run(asyncio.wait_for(main(), 2 * PATIENCE))


async def ready(server: MemoryServer, path: bytes = b"/ready") -> MemoryClient:
    """Return a client that has had an answer: its connection is set up, and no thread is busy."""
    client = server.connect()
    client.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path)
    assert (await client.receive_response()).body == b"ready"
    app = server.server.interface
    assert isinstance(app, Threaded)
    await until(lambda: app.pool.idle == app.pool.threads)
    return client


class WakeUps:
    """Counts how often the running loop is woken by threads."""

    def __init__(self) -> None:
        self.count = 0
        loop = asyncio.get_running_loop()
        self._wake = loop.call_soon_threadsafe
        loop.call_soon_threadsafe = self  # type: ignore[assignment]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.count += 1
        return self._wake(*args, **kwargs)


# -- one wake-up for many ----------------------------------------------------------------


@pytest.mark.parametrize("how", ["whole", "pieces"])
def test_loop_is_woken_once_for_the_answers_of_many_threads(how: str) -> None:
    go = threading.Event()

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/ready":
            stream.respond(200, [], b"ready")
            return
        wait(go)
        if how == "whole":
            stream.respond(200, [(b"content-length", b"6")], b"answer")
        else:
            stream.inform(103, [(b"link", b"</a>")])
            stream.start(200, [(b"content-length", b"6")])
            stream.write(b"ans")
            stream.write(b"wer")
            stream.finish()

    async def talk(server: MemoryServer, app: Threaded) -> None:
        clients = [await ready(server) for _ in range(MANY)]
        for client in clients:
            client.send(GET)
        await until(lambda: app.pool.threads == MANY and not app.pool.idle)
        wake_ups = WakeUps()
        go.set()
        # The loop stands still until every thread has answered, settled and ended.
        assert app.pool.shutdown(wait=True, timeout=PATIENCE)
        assert wake_ups.count == 1
        assert len(server.server.context.streams) == MANY
        for client in clients:
            response = await client.receive_response()
            assert (response.status, response.body) == (200, b"answer")
            assert [one.status for one in response.informational] == [103] * (how == "pieces")
        assert wake_ups.count == 1

    serve(call, talk)


@pytest.mark.wires("http/2", "http/2+tls")
def test_answers_of_one_turn_leave_in_one_write() -> None:
    go = threading.Event()

    def call(stream: BlockingStream) -> None:
        if stream.stream.path != "/ready":
            wait(go)
        stream.respond(200, [], stream.stream.path[1:].encode())

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = await ready(server)
        for number in range(MANY):
            client.send(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        await until(lambda: app.pool.threads == MANY and not app.pool.idle)
        before = len(client.transport.writes)
        go.set()
        assert app.pool.shutdown(wait=True, timeout=PATIENCE)
        await until(lambda: not server.server.context.streams)
        bodies = [(await client.receive_response()).body for _ in range(MANY)]
        assert bodies == [b"%d" % number for number in range(MANY)]
        assert len(client.transport.writes) == before + 1

    serve(call, talk)


# -- the application's mistakes ------------------------------------------------------------


def begun(stream: BlockingStream) -> None:
    stream.start(200, [(b"content-length", b"4")])
    stream.write(b"ab")


def answered(stream: BlockingStream) -> None:
    stream.respond(200, [], b"x")


LENGTH_1 = (b"content-length", b"1")
LENGTH_2 = (b"content-length", b"2")
MISUSES: list[tuple[str, Callable[[BlockingStream], None], Callable[[BlockingStream], None]]] = [
    ("respond twice", answered, answered),
    ("start after respond", answered, lambda one: one.start(200)),
    ("write after respond", answered, lambda one: one.write(b"x")),
    ("finish after respond", answered, lambda one: one.finish()),
    ("inform after start", begun, lambda one: one.inform(103)),
    ("start twice", begun, lambda one: one.start(200)),
    ("too long a piece", begun, lambda one: one.write(b"cde")),
    ("too short a body", begun, lambda one: one.finish()),
    ("finish before start", lambda one: None, lambda one: one.finish()),
    ("too long a body", lambda one: None, lambda one: one.respond(200, [LENGTH_1], b"ab")),
    ("final status", lambda one: None, lambda one: one.respond(103)),
    ("status", lambda one: None, lambda one: one.start(1000)),
    ("name", lambda one: None, lambda one: one.start(200, [(b"a b", b"")])),
    ("value", lambda one: None, lambda one: one.respond(200, [(b"a", b"b\r\nc: d")])),
    ("no pairs", lambda one: None, lambda one: one.respond(200, [b"abc"])),  # type: ignore[list-item]
    ("lengths", lambda one: None, lambda one: one.start(200, [LENGTH_1, LENGTH_2])),
    ("trailers", begun, lambda one: (one.write(b"cd"), one.finish([(b"a b", b"")]))[0]),  # type: ignore[func-returns-value]
]


@pytest.mark.parametrize(
    ("prepare", "misuse"), [pytest.param(*pair, id=name) for name, *pair in MISUSES]
)
def test_misuse_raises_in_the_frame_that_is_to_blame(
    prepare: Callable[[BlockingStream], None],
    misuse: Callable[[BlockingStream], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised: list[BaseException] = []
    go, done = threading.Event(), threading.Event()

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/ready":
            stream.respond(200, [], b"ready")
            return
        wait(go)
        try:
            prepare(stream)
            misuse(stream)
        except BaseException as exc:
            raised.append(exc)
            raise
        finally:
            done.set()

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = await ready(server)
        client.send(GET)
        await until(lambda: app.pool.threads == app.pool.idle + 1)
        go.set()
        assert done.wait(PATIENCE), "the thread waits for the loop, which stands still"
        await until(lambda: not server.server.context.streams)
        client = await ready(server)  # nobody else is harmed

    with caplog.at_level(logging.ERROR):
        serve(call, talk)
    assert [type(exc) for exc in raised] == [LocalProtocolError]
    assert [one.getMessage() for one in caplog.records] == [
        "Application callable raised an exception"
    ]


def test_fields_may_change_once_they_are_handed_over() -> None:
    go = threading.Event()

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/ready":
            stream.respond(200, [], b"ready")
            return
        wait(go)
        value = bytearray(b"before")
        fields = [[b"x-list", b"before"], (b"x-value", value)]
        stream.respond(200, fields, b"")  # type: ignore[arg-type]
        value[:] = b"after!"
        fields[0][1] = b"after"  # type: ignore[index]
        fields.clear()

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = await ready(server)
        client.send(GET)
        await until(lambda: app.pool.threads == app.pool.idle + 1)
        go.set()
        assert app.pool.shutdown(wait=True, timeout=PATIENCE)
        response = await client.receive_response()
        assert response.header(b"x-list") == b"before"
        assert response.header(b"x-value") == b"before"

    serve(call, talk)


# -- back-pressure ---------------------------------------------------------------------------


@interpreted
@pytest.mark.parametrize("size", [1, 1000, 65_536, 300_000])
def test_what_is_on_its_way_is_bounded(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    stuck, go = threading.Event(), threading.Event()
    written: list[int] = []

    class Watched(blocking_module._Waiter):
        def wait(self, loop: asyncio.AbstractEventLoop) -> None:
            stuck.set()
            super().wait(loop)

    monkeypatch.setattr(blocking_module, "_Waiter", Watched)

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/ready":
            stream.respond(200, [], b"ready")
            return
        wait(go)
        stream.start(200, [])
        while sum(written) < max(size * 4, 1000) or not stuck.is_set():
            written.append(size)
            stream.write(b"x" * size)
        stream.finish()

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = await ready(server)
        client.send(GET)
        await until(lambda: app.pool.threads == app.pool.idle + 1)
        go.set()
        wait(stuck)  # while the loop stands still
        # The window, and the piece that went beyond each half of it.
        assert sum(written) <= SEND_WINDOW + 2 * size
        assert len(written) <= SEND_WINDOW // PIECE_COST + 2
        body = (await client.receive_response()).body
        assert body == b"x" * sum(written)

    serve(call, talk)


# -- a body that comes ---------------------------------------------------------------------


def test_what_has_come_of_a_body_is_read_without_the_loop() -> None:
    """Piece by piece, while the loop stands still and more of the body is to come."""
    go, done = threading.Event(), threading.Event()
    got: list[bytes] = []

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/ready":
            stream.respond(200, [], b"ready")
            return
        wait(go)
        while len(b"".join(got)) < 9:
            got.append(stream.read(2))
        done.set()
        while piece := stream.read():
            got.append(piece)
        stream.respond(200, [], b"".join(got))

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = await ready(server)
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12\r\n\r\n")
        for piece in (b"one", b"two", b"six"):
            client.send(piece)
        await until(lambda: app.pool.threads == app.pool.idle + 1)
        go.set()
        assert done.wait(PATIENCE), "the thread waits for the loop, which stands still"
        client.send(b"ten")
        assert (await client.receive_response()).body == b"onetwosixten"

    serve(call, talk)


@pytest.mark.parametrize("piece", [700, 40_000, 200_000])
def test_peer_is_read_again_however_the_thread_reads(piece: int) -> None:
    """Bytes that the loop was not told of must not keep the peer waiting for ever."""
    size = 1_000_000

    def call(stream: BlockingStream) -> None:
        total = 0
        most = 0
        while data := stream.read(5000 if total % 3 else -1):
            total += len(data)
            most = max(most, stream.stream._buffered)
        stream.respond(200, [], b"%d %d" % (total, most))

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = server.connect()
        client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
        for start in range(0, size, piece):
            client.send(b"x" * min(piece, size - start))
            await asyncio.sleep(0)
        total, most = (await client.receive_response()).body.split()
        assert int(total) == size
        assert int(most) < BODY_HIGH_WATER + max(piece, 65_536)

    # Over HTTP/2 it is the window that bounds what a peer sends before it is held.
    serve(call, talk, ServerConfig(http2=HTTP2Settings(initial_stream_window_size=65_535)))


# -- a client that leaves -----------------------------------------------------------------------


def test_writer_hears_at_its_next_write_that_the_client_has_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handed_over, left = threading.Event(), threading.Event()
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        stream.write(b"one")
        handed_over.set()
        wait(left)
        try:
            stream.write(b"two")
        except ClientDisconnected:
            seen.append("write")
            raise

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = server.connect()
        client.send(GET)
        await until(handed_over.is_set)
        client.abort()
        await until(lambda: all(one.disconnected for one in server.server.context.streams))
        left.set()
        await until(lambda: not server.server.context.streams)

    with no_errors(caplog):
        serve(call, talk)
    assert seen == ["write"]


def test_answer_for_a_client_that_has_left_is_dropped_quietly(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called, left = threading.Event(), threading.Event()

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/ready":
            stream.respond(200, [], b"ready")
            return
        called.set()
        wait(left)
        stream.respond(200, [], b"late")
        stream.finish()  # no misuse where nobody is there

    async def talk(server: MemoryServer, app: Threaded) -> None:
        client = server.connect()
        client.send(GET)
        await until(called.is_set)
        client.abort()
        await until(lambda: all(one.disconnected for one in server.server.context.streams))
        left.set()
        await until(lambda: not server.server.context.streams)
        await ready(server)

    with no_errors(caplog):
        serve(call, talk)


# -- all that is counted -----------------------------------------------------------------------


def test_access_log_and_drain_know_what_was_handed_over() -> None:
    """The server stops while the answers are on their way: it waits for them."""
    lines: list[str] = []
    go = threading.Event()

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/ready":
            stream.respond(200, [], b"ready")
            return
        wait(go)
        if stream.stream.path == "/pieces":
            stream.start(201, [])
            stream.write(b"x" * 1000)
            stream.write(b"x" * 234)
            stream.finish()
        else:
            stream.respond(202, [], b"x" * 4321)

    async def main() -> None:
        app = Threaded(call, MANY)
        config = ServerConfig(access_log_format="%(path)s %(status)d")
        async with MemoryServer(app, config) as server:
            clients = [await ready(server) for _ in range(2)]
            await until(lambda: not server.server.context.streams)
            lines.clear()
            for client, path in zip(clients, (b"/pieces", b"/whole"), strict=True):
                client.send(GET.replace(b" / ", b" %b " % path))
            await until(lambda: app.pool.threads - app.pool.idle == 2)
            go.set()
            assert app.pool.shutdown(wait=True, timeout=PATIENCE)
            stopping = asyncio.ensure_future(server.server.stop(PATIENCE))
            bodies = [(await client.receive_response()).body for client in clients]
            assert [len(body) for body in bodies] == [1234, 4321]
            await stopping

    handler = Lines()
    level, propagate = access_logger.level, access_logger.propagate
    access_logger.addHandler(handler)
    access_logger.setLevel(logging.INFO)
    access_logger.propagate = False
    try:
        asyncio.run(asyncio.wait_for(main(), 2 * PATIENCE))
    finally:
        access_logger.removeHandler(handler)
        access_logger.setLevel(level)
        access_logger.propagate = propagate
    assert sorted(lines) == ["/pieces 201", "/whole 202"]


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(former)


@pytest.mark.usefixtures("frequent_switches")
def test_no_answer_is_lost_or_mixed_up_between_many_threads(
    caplog: pytest.LogCaptureFixture,
) -> None:
    turns = 25

    def call(stream: BlockingStream) -> None:
        path = stream.stream.path.encode()
        received = b""
        while piece := stream.read():
            received += piece
        if len(path) % 2:
            stream.respond(200, [(b"x-path", path)], path + received)
            return
        stream.start(200, [(b"x-path", path)])
        for byte in path + received:
            stream.write(bytes((byte,)))
        stream.finish()

    async def ask(client: MemoryClient, number: int) -> None:
        for turn in range(turns):
            path = b"/%d/%s" % (number, b"x" * (turn % 5))
            body = b"%d" % turn * (turn % 3)
            client.send_request("POST", path.decode(), body=body)
            response = await client.receive_response()
            assert response.header(b"x-path") == path
            assert response.body == path + body

    async def talk(server: MemoryServer, app: Threaded) -> None:
        clients = [server.connect() for _ in range(MANY)]
        await asyncio.gather(*(ask(client, number) for number, client in enumerate(clients)))

    with no_errors(caplog):
        serve(call, talk)

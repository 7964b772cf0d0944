"""Threads that send straight to the socket: what the kernel and the peer may do meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import os
import socket
import threading
from typing import Any

import pytest

from granian_core import BlockingStream, ClientDisconnected, HTTPStream, LocalProtocolError
from granian_core.blocking import BlockingStream as LoopStream
from granian_core.channel import Channel
from granian_core.http1.connection import HTTP1Connection
from tests.compiled import interpreted
from tests.core.http1.kernel import Kernel, answer, carrier
from tests.core.loopback import (
    GET,
    PATIENCE,
    Threaded,
    both_loops,
    get,
    no_errors,
    run,
    serving,
    until,
    wait,
)

BIG = b"0123456789abcdef" * (1 << 18)
"""More than the kernel takes at once for a peer that does not read."""


class WatchedLock:
    """A lock that tells when somebody else comes for it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.owner = 0
        self.wanted = threading.Event()

    def __enter__(self) -> None:
        if self.owner:
            self.wanted.set()
        self.lock.acquire()
        self.owner = threading.get_ident()

    def __exit__(self, *_: object) -> None:
        self.owner = 0
        self.lock.release()

    def locked(self) -> bool:
        return self.lock.locked()


def scripted(app: Threaded, *acts: object) -> list[Kernel]:
    """Put a kernel that behaves so under the first connection of *app*."""
    kernels: list[Kernel] = []

    def prepare(stream: HTTPStream) -> None:
        if not kernels:
            stream.blocking()
            dup = carrier(stream).dup
            assert dup is not None
            kernels.append(Kernel(dup, *acts))
            carrier(stream).dup = kernels[0]  # type: ignore[assignment]

    app.prepare = prepare
    return kernels


# -- what the kernel may do --------------------------------------------------------------


@both_loops
def test_thread_sends_by_itself_and_the_loop_is_not_called(
    loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossings: list[object] = []
    monkeypatch.setattr(Channel, "post", lambda _, call, *args: crossings.append(call))

    async def main() -> None:
        app = Threaded(answer)
        kernels = scripted(app)
        async with serving(app) as subject:
            client = await subject.connect()
            for index in range(4):
                client.send(get(f"/{index}"))
                assert (await client.response())[1] == b"/%d" % index
            assert kernels[0].sends == 4

    run(loop_name, main)
    assert crossings == []


@both_loops
@pytest.mark.parametrize("taken", [0, 1, 100, BlockingIOError(errno.EAGAIN, "full")])
def test_rest_of_a_short_send_leaves_by_the_loop(loop_name: str, taken: object) -> None:
    async def main() -> None:
        app = Threaded(lambda stream: stream.respond(200, [], b"x" * 5000))
        scripted(app, taken, taken)
        async with serving(app) as subject:
            client = await subject.connect()
            for _ in range(4):
                client.send(GET)
                assert (await client.response())[1] == b"x" * 5000

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize("taken", [0, 3, BlockingIOError(errno.EAGAIN, "full")])
@pytest.mark.parametrize("at", [0, 1, 2, 3])
def test_short_send_within_a_stream_keeps_the_order(loop_name: str, at: int, taken: object) -> None:
    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        stream.write(b"first")
        stream.write(b"second")
        stream.finish()

    async def main() -> None:
        app = Threaded(call)
        scripted(app, *([None] * at), taken)
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(GET)
            assert (await client.response())[1] == b"firstsecond"
            client.send(GET)
            assert (await client.response())[1] == b"firstsecond"

    run(loop_name, main)


@both_loops
def test_last_send_that_is_short_while_the_loop_comes_for_the_next_request(
    loop_name: str,
) -> None:
    """The thread marks first and sends then; the loop must wait for what is left."""
    locks: list[WatchedLock] = []
    sending = threading.Event()

    def inside() -> int:
        sending.set()
        locks[0].wanted.wait(2)  # if the loop does not come for the lock, it is past it
        return 100

    async def main() -> None:
        app = Threaded(lambda stream: stream.respond(200, [], stream.stream.path.encode() * 500))
        scripted(app, inside)
        script = app.prepare

        def prepare(stream: HTTPStream) -> None:
            script(stream)
            if not locks:
                locks.append(WatchedLock())
                carrier(stream).lock = locks[0]  # type: ignore[assignment]

        app.prepare = prepare
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(get("/1"))
            await until(sending.is_set)
            client.send(get("/2"))
            assert (await client.response())[1] == b"/1" * 500
            assert (await client.response())[1] == b"/2" * 500

    run(loop_name, main)


@interpreted
@both_loops
def test_request_that_arrives_while_the_thread_ends_is_not_left_lying(loop_name: str) -> None:
    """Between the loop's look at the exchange and its holding back of the bytes."""
    go, done = threading.Event(), threading.Event()

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/1":
            wait(go)
        answer(stream)
        done.set()

    class Late:
        """The engine; lets the thread end the exchange just before it holds bytes back."""

        def __init__(self, engine: Any) -> None:
            self.engine = engine

        def receive_data(self, data: bytes) -> None:
            go.set()
            wait(done)
            self.engine.receive_data(data)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.engine, name)

    async def main() -> None:
        app = Threaded(call)
        async with serving(app) as subject:
            server = subject.server
            client = await subject.connect()
            client.send(get("/1"))
            await until(lambda: bool(server.context.streams))
            connection = next(iter(server.context.connections))
            assert isinstance(connection, HTTP1Connection)
            connection.engine = Late(connection.engine)
            assert server._sweeper is not None
            server._sweeper.cancel()  # the sweep would hide what is left lying
            client.send(get("/2"))
            assert (await client.response())[1] == b"/1"
            assert (await client.response())[1] == b"/2"

    run(loop_name, main)


@both_loops
def test_send_does_not_block_whatever_the_default_timeout_of_sockets(loop_name: str) -> None:
    """An application may call socket.setdefaulttimeout; the lock must not be held for it."""

    async def main() -> None:
        timeouts: list[float | None] = []
        app = Threaded(lambda stream: stream.respond(200, [], BIG))

        def prepare(stream: HTTPStream) -> None:
            stream.blocking()
            dup = carrier(stream).dup
            assert dup is not None
            timeouts.append(dup.gettimeout())

        app.prepare = prepare
        async with serving(app) as subject:
            socket.setdefaulttimeout(PATIENCE)
            try:
                client = await subject.connect(receive_buffer=4096)
                client.send(GET)
                await until(lambda: bool(timeouts))
            finally:
                socket.setdefaulttimeout(None)
            assert (await client.response())[1] == BIG
            assert timeouts == [0.0]

    run(loop_name, main)


@both_loops
def test_connection_without_a_free_descriptor_is_served_by_the_loop(
    loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kinds: list[type] = []

    def call(stream: BlockingStream) -> None:
        kinds.append(type(stream))
        answer(stream)

    def no_descriptor(_: int) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            with monkeypatch.context() as patch:
                patch.setattr(os, "dup", no_descriptor)
                client.send(get("/1"))
                assert (await client.response())[1] == b"/1"
            client.send(get("/2"))
            assert (await client.response())[1] == b"/2"
            assert kinds == [LoopStream] * 2

    run(loop_name, main)


# -- the client leaves -------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ECONNRESET])
@pytest.mark.parametrize("caught", [True, False])
def test_client_that_leaves_during_a_send_is_no_error(
    loop_name: str, number: int, caught: bool, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        try:
            stream.write(b"part")
        except ClientDisconnected:
            seen.append("disconnected")
            if not caught:
                raise

    async def main() -> None:
        app = Threaded(call)
        kernels = scripted(app, None, OSError(number, "gone"))
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(GET)
            assert b"part" not in await client.rest()
            await until(lambda: not subject.server.context.streams)
            await until(lambda: kernels[0].closes == 1)

    with no_errors(caplog):
        run(loop_name, main)
    assert seen == ["disconnected"]


@both_loops
@pytest.mark.parametrize("number", [errno.EPIPE, errno.ENOBUFS])
def test_whole_answer_that_can_not_be_sent_ends_the_connection(
    loop_name: str, number: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody may wait on a kept-alive connection for an answer that is lost."""

    async def main() -> None:
        app = Threaded(answer)
        scripted(app, OSError(number, "not sent"))
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(GET)
            with contextlib.suppress(ConnectionResetError):
                assert await client.rest() == b""
            await until(lambda: not subject.server.context.streams)

    with no_errors(caplog):
        run(loop_name, main)


@both_loops
def test_thread_still_runs_when_the_connection_is_lost(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    lost = threading.Event()
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        wait(lost)
        try:
            stream.write(b"late")
        except ClientDisconnected:
            seen.append("write")
        try:
            stream.read()
        except ClientDisconnected:
            seen.append("read")
        raise ClientDisconnected

    async def main() -> None:
        app = Threaded(call)
        kernels = scripted(app)
        async with serving(app) as subject:
            context = subject.server.context
            client = await subject.connect()
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            await client.reader.readuntil(b"\r\n\r\n")
            client.abort()
            await until(lambda: not context.connections)
            assert kernels[0].closes == 1
            assert len(context.streams) == 1
            lost.set()
            await until(lambda: not context.streams)
            assert kernels[0].closes == 1

    with no_errors(caplog):
        run(loop_name, main)
    assert seen == ["write", "read"]


@both_loops
def test_thread_that_waits_for_a_stalled_client_hears_that_it_left(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        stream.start(200, [])
        try:
            while True:
                stream.write(BIG)
        except ClientDisconnected:
            seen.append("disconnected")

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect(receive_buffer=4096)
            client.send(GET)
            await client.reader.readuntil(b"\r\n\r\n")
            client.abort()
            await until(lambda: not subject.server.context.streams)

    with no_errors(caplog):
        run(loop_name, main)
    assert seen == ["disconnected"]


@both_loops
def test_half_closed_client_gets_its_answer(loop_name: str) -> None:
    go = threading.Event()

    def call(stream: BlockingStream) -> None:
        wait(go)
        stream.respond(200, [], BIG)

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            client.send(GET)
            client.send_eof()
            connections = subject.server.context.connections
            await until(lambda: any(getattr(one, "half_closed", False) for one in connections))
            go.set()
            assert (await client.response())[1] == BIG
            assert await client.rest() == b""

    run(loop_name, main)


@both_loops
def test_late_wish_for_a_thread_takes_nobody_elses_descriptor(loop_name: str) -> None:
    """A loop may remember the number of a closed socket; by now it can be another's."""
    streams: list[HTTPStream] = []

    class Late(Threaded):
        def handle_http(self, stream: HTTPStream) -> None:
            stream.detached = True
            streams.append(stream)

    async def main() -> None:
        async with serving(Late(answer)) as subject:
            client = await subject.connect()
            client.send(GET)
            await until(lambda: bool(streams))
            client.abort()
            await until(lambda: not subject.server.context.connections)
            others = [socket.socket() for _ in range(20)]  # one of them has the number now
            try:
                blocking = streams[0].blocking()
                assert type(blocking) is LoopStream
                assert carrier(streams[0]).dup is None
            finally:
                for other in others:
                    other.close()
            streams[0].application_returned()

    run(loop_name, main)


# -- what is sent ------------------------------------------------------------------------


@both_loops
def test_100_continue_is_sent_before_the_answer_of_the_thread(loop_name: str) -> None:
    async def main() -> None:
        async with serving(Threaded(lambda one: one.respond(200, [], one.read()))) as subject:
            client = await subject.connect()
            for body in (b"hello", b"again"):
                client.send(
                    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                    b"Expect: 100-continue\r\n\r\n"
                )
                assert (await client.response())[0] == b"HTTP/1.1 100 Continue\r\n\r\n"
                client.send(body)
                head, content = await client.response()
                assert head.startswith(b"HTTP/1.1 200")
                assert content == body

    run(loop_name, main)


@both_loops
def test_100_continue_is_not_sent_to_who_is_answered_without_reading(loop_name: str) -> None:
    async def main() -> None:
        async with serving(Threaded(answer)) as subject:
            client = await subject.connect()
            client.send(
                b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n"
            )
            head, body = await client.response()
            assert head.startswith(b"HTTP/1.1 200")
            assert b"connection: close\r\n" in head
            assert body == b"/"
            client.send(b"hello" + GET)
            assert await client.rest() == b""

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize("whole", [True, False])
def test_informational_response_leaves_before_what_the_thread_sends(
    loop_name: str, whole: bool
) -> None:
    """The loop sends it, perhaps later than it says; the thread must not overtake."""

    def call(stream: BlockingStream) -> None:
        stream.inform(103, [(b"link", b"</a.css>")])
        if whole:
            stream.respond(200, [], b"whole")
        else:
            stream.start(200, [])
            stream.write(b"whole")
            stream.finish()

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            for _ in range(50):
                client.send(GET)
                assert (await client.response())[0].startswith(b"HTTP/1.1 103")
                assert (await client.response())[1] == b"whole"

    run(loop_name, main)


@both_loops
def test_pipelined_requests_are_answered_in_order(loop_name: str) -> None:
    async def main() -> None:
        async with serving(Threaded(answer)) as subject:
            client = await subject.connect()
            count = 200
            client.send(b"".join(get(f"/{index}") for index in range(count)))
            for index in range(count):
                assert (await client.response())[1] == b"/%d" % index

    run(loop_name, main)


@both_loops
def test_pipelined_bodies_that_are_not_read_are_passed_over(loop_name: str) -> None:
    async def main() -> None:
        async with serving(Threaded(answer)) as subject:
            client = await subject.connect()
            post = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\n" + b"x" * 70_000
            client.send(b"".join(post % index for index in range(5)))
            for index in range(5):
                assert (await client.response())[1] == b"/%d" % index

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (get("/", "Connection: close\r\n"), b"\r\nconnection: close\r\n"),
        (b"GET / HTTP/1.0\r\n\r\n", b"\r\nconnection: close\r\n"),
    ],
)
def test_last_answer_of_a_connection_closes_it(
    loop_name: str, request_: bytes, field: bytes
) -> None:
    async def main() -> None:
        async with serving(Threaded(answer)) as subject:
            client = await subject.connect()
            client.send(request_)
            head, body = await client.response()
            assert field in head
            assert body == b"/"
            assert await client.rest() == b""

    run(loop_name, main)


@both_loops
def test_http_1_0_keeps_alive_on_request_and_ends_a_stream_by_closing(loop_name: str) -> None:
    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/stream":
            stream.start(200, [])
            stream.write(b"one")
            stream.write(b"two")
            stream.finish()
        else:
            answer(stream)

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, body = await client.response()
            assert head.startswith(b"HTTP/1.0 200")
            assert b"\r\nconnection: keep-alive\r\n" in head
            assert body == b"/"
            client.send(b"GET /stream HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
            head, body = await client.response()
            assert b"transfer-encoding" not in head
            assert body == b"onetwo"

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize("whole", [True, False])
def test_head_gets_the_head_alone(loop_name: str, whole: bool) -> None:
    def call(stream: BlockingStream) -> None:
        if whole:
            stream.respond(200, [], b"content")
        else:
            stream.start(200, [(b"content-length", b"7")])
            stream.write(b"content")
            stream.finish()

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            for _ in range(2):
                client.send(GET.replace(b"GET", b"HEAD"))
                head, _ = await client.response(head=True)
                assert b"\r\ncontent-length: 7\r\n" in head
            client.send(GET)
            assert (await client.response())[1] == b"content"

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize("pieces", [[b"12345678"], [b"1234", b"5678"], [b"12345", b"678"]])
def test_body_longer_than_its_length_is_cut_and_an_error(
    loop_name: str, pieces: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        headers = [(b"content-length", b"5")]
        try:
            if len(pieces) == 1:
                stream.respond(200, headers, pieces[0])
            else:
                stream.start(200, headers)
                for piece in pieces:
                    stream.write(piece)
                stream.finish()
        except LocalProtocolError as exc:
            seen.append(str(exc))

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            client.send(GET + GET)
            assert (await client.response())[1] == b"12345"
            with contextlib.suppress(ConnectionResetError):
                assert await client.rest() == b""

    with no_errors(caplog):
        run(loop_name, main)
    assert seen == ["the response body is longer than its Content-Length"]


@both_loops
@pytest.mark.parametrize("whole", [True, False])
def test_body_shorter_than_its_length_ends_the_connection(loop_name: str, whole: bool) -> None:
    def call(stream: BlockingStream) -> None:
        headers = [(b"content-length", b"9")]
        if whole:
            stream.respond(200, headers, b"short")
        else:
            stream.start(200, headers)
            stream.write(b"short")
            with pytest.raises(LocalProtocolError, match="shorter than its Content-Length"):
                stream.finish()

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            client.send(GET)
            _, _, body = (await client.rest()).partition(b"\r\n\r\n")
            assert body == b"short"

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize("operation", ["respond", "write"])
def test_number_is_no_body(loop_name: str, operation: str) -> None:
    """``bytes(3)`` would be three zeros."""
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        with pytest.raises(TypeError, match="bytes-like"):
            if operation == "respond":
                stream.respond(200, [], 3)  # type: ignore[arg-type]
            else:
                stream.start(200, [])
                stream.write(3)  # type: ignore[arg-type]
        seen.append("refused")
        if operation == "respond":
            stream.respond(200, [], bytearray(b"text"))
        else:
            stream.write(memoryview(b"text"))
            stream.finish()

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            client.send(GET)
            assert (await client.response())[1] == b"text"

    run(loop_name, main)
    assert seen == ["refused"]


@both_loops
def test_fields_that_are_refused_become_a_500(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = Threaded(lambda one: one.respond(200, [(b"x", b"a\r\nb")], b"x"))
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(GET)
            head, body = await client.response()
            assert head.startswith(b"HTTP/1.1 500")
            assert body == b"Internal server error"

    with caplog.at_level(logging.ERROR):
        run(loop_name, main)
    assert [one.getMessage() for one in caplog.records] == [
        "Application callable raised an exception"
    ]


# -- descriptors -------------------------------------------------------------------------


@both_loops
def test_no_descriptor_is_left_behind(loop_name: str) -> None:
    if not os.path.isdir("/proc/self/fd"):
        pytest.skip("needs /proc")

    async def main() -> None:
        async with serving(Threaded(answer)) as subject:
            client = await subject.connect()
            client.send(GET)
            await client.response()
            client.abort()
            await until(lambda: not subject.server.context.connections)
            before = len(os.listdir("/proc/self/fd"))
            for index in range(20):
                client = await subject.connect()
                client.send(GET + GET if index % 2 else GET)
                await client.response()
                if index % 3:
                    client.abort()
                else:
                    client.close()
            await until(lambda: not subject.server.context.connections)
            await until(lambda: len(os.listdir("/proc/self/fd")) <= before)

    run(loop_name, main)


@both_loops
def test_dup_is_made_and_closed_once_for_many_requests(
    loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []
    dup = os.dup

    def counting(fd: int) -> int:
        made.append(fd)
        return dup(fd)

    async def main() -> None:
        app = Threaded(answer)
        kernels = scripted(app)
        async with serving(app) as subject:
            monkeypatch.setattr(os, "dup", counting)
            client = await subject.connect()
            for _ in range(5):
                client.send(GET)
                await client.response()
            client.send(get("/", "Connection: close\r\n"))
            await client.response()
            await client.rest()
            await until(lambda: not subject.server.context.connections)
            assert kernels[0].closes == 1

    run(loop_name, main)
    assert len(made) == 1


# -- the loop goes -----------------------------------------------------------------------


@both_loops
def test_thread_that_outlives_the_loop_ends_quietly(
    loop_name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, ended = threading.Event(), threading.Event()
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        try:
            wait(closed)
            for operation in (
                lambda: stream.respond(200, [], b"late"),
                stream.read,
            ):
                try:
                    operation()
                except ClientDisconnected:
                    seen.append("disconnected")
        finally:
            ended.set()

    app = Threaded(call)

    async def main() -> None:
        from granian_core import Server
        from granian_core.sockets import bind_tcp

        listening = bind_tcp(["127.0.0.1"], 0)[0]
        with listening:
            server = Server(app, sockets=[listening])
            await server.start()
            reader, writer = await asyncio.open_connection(*server.addresses[0])
            writer.write(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            await until(lambda: bool(server.context.streams))
            await server.stop(0)
            assert await reader.read() == b""
            writer.close()

    monkeypatch.setattr("granian_core.blocking.LOOP_CHECK", 0.05)
    with caplog.at_level(logging.DEBUG):
        run(loop_name, main)
        closed.set()
        wait(ended)
        assert app.pool.shutdown(wait=True, timeout=PATIENCE)
    assert seen[-1] == "disconnected"
    assert [one.getMessage() for one in caplog.records if one.levelno > logging.WARNING] == []

"""HTTP exchanges whose application is on another thread than their connection."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from granian_core import (
    BlockingStream,
    ClientDisconnected,
    HTTPStream,
    LocalProtocolError,
    ServerConfig,
    send_file,
)
from granian_core.channel import Channel
from granian_core.runtime.carrier import BODY_WINDOW, SEND_WINDOW
from granian_core.stream import BODY_HIGH_WATER
from tests.core.loopback import (
    GET,
    PATIENCE,
    Threaded,
    both_loops,
    get,
    no_errors,
    run,
    until,
    wait,
)
from tests.core.runtime.serving import FromFunctions, Handler, serving


def post(body: bytes, more: str = "") -> bytes:
    """Return a whole POST."""
    head = f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def exchange(handler: Handler, request: bytes = GET, loop_name: str = "asyncio") -> bytes:
    """Return the body of the one response."""
    bodies: list[bytes] = []

    async def main() -> None:
        async with serving(handler, loop_name=loop_name) as subject:
            client = await subject.connect()
            client.send(request)
            bodies.append((await client.response())[1])

    run(loop_name, main)
    return bodies[0]


# -- bodies ----------------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("size", [1, 1000, BODY_WINDOW, 3_000_000])
def test_a_body_arrives_whole(size: int, loop_name: str) -> None:
    body = bytes(range(256)) * (size // 256 + 1)

    async def echo_size(stream: HTTPStream) -> None:
        assert await stream.read_all() == body[:size]
        stream.respond(200, [], b"whole")

    assert exchange(echo_size, post(body[:size]), loop_name) == b"whole"


def test_what_came_with_the_head_is_there_at_once() -> None:
    async def look(stream: HTTPStream) -> None:
        stream.respond(200, [], stream.read_nowait() or b"nothing")

    assert exchange(look, post(b"at once")) == b"at once"


def test_an_unread_body_stops_the_peer() -> None:
    """What is not read is held in three places, each of which is bounded."""
    release = asyncio.Event()
    size = 64 * 1024 * 1024
    sent = 0

    async def slow(stream: HTTPStream) -> None:
        await release.wait()
        total = 0
        async for piece in stream:
            total += len(piece)
        stream.respond(200, [], b"%d" % total)

    async def main() -> None:
        nonlocal release, sent
        release = asyncio.Event()
        async with serving(slow) as subject:
            client = await subject.connect()
            client.send(post(b"")[:-4].replace(b": 0", b": %d" % size) + b"\r\n\r\n")
            piece = bytes(262_144)

            async def upload() -> None:
                nonlocal sent
                for _ in range(size // len(piece)):
                    client.send(piece)
                    await client.writer.drain()
                    sent += len(piece)

            uploading = asyncio.ensure_future(upload())
            context = subject.server.context
            await until(lambda: bool(context.streams))
            (stream,) = context.streams
            await until(lambda: stream.body_held)
            (connection,) = [
                one for each in subject.server.contexts for one in list(each.connections)
            ]
            near: HTTPStream = connection.stream  # type: ignore[attr-defined]
            await until(lambda: near.body_held)
            assert len(stream.read_nowait() or b"") < BODY_HIGH_WATER + BODY_WINDOW + 262_144
            assert not uploading.done()
            release.set()
            await uploading
            assert int((await client.response())[1]) < size  # the rest: a piece was taken above
            assert sent == size

    run("asyncio", main)


@pytest.mark.parametrize("reads", [False, True])
def test_a_stream_ends_its_connection_where_the_application_has_not_begun_to_read(
    reads: bool,
) -> None:
    """What the relay has taken ahead of the application does not count."""

    async def starts(stream: HTTPStream) -> None:
        data = await stream.read() if reads else b""
        stream.start(200, [])
        stream.write(data or b"-")
        if reads:
            stream.write(await stream.read_all())
        stream.finish()

    async def main() -> None:
        async with serving(starts) as subject:
            client = await subject.connect()
            head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            client.send(head + b"2\r\non\r\n")
            answer = await client.reader.readuntil(b"\r\n\r\n")
            assert (b"connection: close" in answer) is not reads
            client.send(b"1\r\ne\r\n0\r\n\r\n")
            pieces = b"2\r\non\r\n1\r\ne\r\n" if reads else b"1\r\n-\r\n"
            assert await client.reader.readuntil(b"0\r\n\r\n") == pieces + b"0\r\n\r\n"

    run("asyncio", main)


@both_loops
def test_100_continue_is_sent_when_the_application_reads(loop_name: str) -> None:
    read = asyncio.Event()

    async def reads_late(stream: HTTPStream) -> None:
        await read.wait()
        stream.respond(200, [], await stream.read_all())

    async def main() -> None:
        nonlocal read
        read = asyncio.Event()
        async with serving(reads_late, loop_name=loop_name) as subject:
            client = await subject.connect()
            client.send(post(b"body", "Expect: 100-continue\r\n")[:-4])
            await until(lambda: bool(subject.server.context.streams))
            read.set()
            assert (await client.response())[0].startswith(b"HTTP/1.1 100 ")
            client.send(b"body")
            assert (await client.response())[1] == b"body"

    run(loop_name, main)


# -- responses -------------------------------------------------------------------------


@both_loops
def test_a_streamed_response_arrives_whole(loop_name: str) -> None:
    pieces = [bytes([number % 256]) * 50_000 for number in range(100)]

    async def stream_all(stream: HTTPStream) -> None:
        stream.start(200)
        for piece in pieces:
            stream.write(piece)
            await stream.drain()
        stream.finish()

    assert exchange(stream_all, GET, loop_name) == b"".join(pieces)


@both_loops
def test_a_peer_that_does_not_read_stops_the_application(loop_name: str) -> None:
    written = 0

    async def endless(stream: HTTPStream) -> None:
        nonlocal written
        stream.start(200)
        while not stream.disconnected:
            stream.write(bytes(16_384))
            written += 16_384
            await stream.drain()

    async def main() -> None:
        async with serving(endless, loop_name=loop_name) as subject:
            client = await subject.connect(receive_buffer=4096)
            client.send(GET)
            await client.reader.readexactly(1)
            client.writer.transport.pause_reading()  # type: ignore[attr-defined]
            context = subject.server.context
            (stream,) = context.streams
            await until(lambda: stream.write_blocked)
            carrier: Any = stream.carrier
            before = -1
            while before != written or not carrier._writers:
                before = written
                await asyncio.sleep(0.1)
            assert carrier._in_flight < SEND_WINDOW + 16_384
            client.abort()
            await until(lambda: not context.streams)

    run(loop_name, main)


def test_one_turn_of_the_application_wakes_the_connection_once() -> None:
    """However many pieces: the I/O loop, held up, finds them all in one turn."""
    pieces = 500

    async def main() -> None:
        held, release = threading.Event(), threading.Event()
        woken: list[object] = []

        async def many(stream: HTTPStream) -> None:
            loop: Any = stream.carrier._relay.stream.carrier.loop  # type: ignore[attr-defined]
            wake = loop.call_soon_threadsafe

            def hold() -> None:
                held.set()
                release.wait(20)

            wake(hold)
            wait(held)

            def counted(callback: Callable[..., object], *args: Any, **options: Any) -> object:
                woken.append(callback)
                return wake(callback, *args, **options)

            loop.call_soon_threadsafe = counted
            stream.start(200)
            for _ in range(pieces):
                stream.write(b"x")
            stream.finish()
            del loop.call_soon_threadsafe
            release.set()

        async with serving(many) as subject:
            client = await subject.connect()
            client.send(GET)
            assert len((await client.response())[1]) == pieces
        assert len(woken) == 1
        assert isinstance(getattr(woken[0], "__self__", None), Channel)

    run("asyncio", main)


@both_loops
def test_files_are_sent_by_the_kernel(
    loop_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "large.bin"
    content = bytes(range(256)) * 20_000
    path.write_bytes(content)
    offsets: list[int] = []
    from granian_core.http1 import sendfile

    step = sendfile.FileSending._step

    def counted(self: sendfile.FileSending) -> None:
        offsets.append(self._offset)
        step(self)

    monkeypatch.setattr(sendfile.FileSending, "_step", counted)

    async def file(stream: HTTPStream) -> None:
        await send_file(stream, 200, [], str(path))

    assert exchange(file, GET, loop_name) == content
    assert offsets


# -- mistakes --------------------------------------------------------------------------

MISTAKES: dict[str, Callable[[HTTPStream], object]] = {
    "status": lambda stream: stream.respond(99),
    "informational": lambda stream: stream.respond(102),
    "name": lambda stream: stream.respond(200, [(b"bad name", b"x")]),
    "value": lambda stream: stream.respond(200, [(b"x", b"a\r\nb: c")]),
    "no pairs": lambda stream: stream.respond(200, [(b"x",)]),  # type: ignore[list-item]
    "head": lambda stream: stream.start(200, [(b"x", b"\0")]),
    "hint": lambda stream: stream.inform(103, [(b"x", b"\0")]),
    "lengths": lambda stream: stream.start(
        200, [(b"content-length", b"1"), (b"content-length", b"2")]
    ),
    "order": lambda stream: stream.write(b"too early"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes_raise_where_they_are_made(mistake: str) -> None:
    """And leave the response to a handler of errors."""

    async def recovers(stream: HTTPStream) -> None:
        with pytest.raises(LocalProtocolError):
            MISTAKES[mistake](stream)
        stream.respond(200, [], b"recovered")

    assert exchange(recovers) == b"recovered"


def test_fields_can_not_be_changed_after_they_were_checked() -> None:
    async def changes(stream: HTTPStream) -> None:
        value = bytearray(b"good")
        headers = [(b"x-value", value)]
        stream.respond(200, headers, b"ok")  # type: ignore[arg-type]
        value[:] = b"a\r\nb"
        headers.append((b"x-other", bytearray(b"late")))

    async def main() -> None:
        async with serving(changes) as subject:
            client = await subject.connect()
            client.send(GET)
            head, _ = await client.response()
            assert b"\r\nx-value: good\r\n" in head
            assert b"late" not in head

    run("asyncio", main)


def test_too_long_a_body_raises_and_is_cut() -> None:
    async def too_long(stream: HTTPStream) -> None:
        with pytest.raises(LocalProtocolError, match="longer"):
            stream.respond(200, [(b"content-length", b"3")], b"12345")

    async def main() -> None:
        async with serving(too_long) as subject:
            client = await subject.connect()
            client.send(GET)
            head, body = await client.response()
            assert body == b"123"
            assert b"\r\nconnection: close\r\n" in head
            assert await client.rest() == b""

    run("asyncio", main)


def test_an_exception_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(stream: HTTPStream) -> None:
        raise ValueError("the application's own")

    with caplog.at_level(logging.ERROR, "_granian"):
        assert exchange(fails) == b"Internal server error"
    assert "the application's own" in caplog.text
    assert len(caplog.records) == 1


def test_an_exception_after_the_head_cuts_the_response(caplog: pytest.LogCaptureFixture) -> None:
    async def fails(stream: HTTPStream) -> None:
        stream.start(200)
        stream.write(b"begun")
        raise ValueError("the application's own")

    async def main() -> None:
        async with serving(fails) as subject:
            client = await subject.connect()
            client.send(GET)
            received = await client.rest()
            assert received.endswith(b"begun\r\n")  # and no last chunk

    with caplog.at_level(logging.CRITICAL, "_granian"):
        run("asyncio", main)


# -- clients that leave ------------------------------------------------------------------


@both_loops
@pytest.mark.parametrize("leaves", ["abort", "close", "send_eof"])
def test_leaving_wakes_who_waits_for_it(leaves: str, loop_name: str) -> None:
    async def main() -> None:
        woken = asyncio.Event()

        async def waits(stream: HTTPStream) -> None:
            await stream.wait_disconnect()
            woken.set()

        async with serving(waits, loop_name=loop_name) as subject:
            client = await subject.connect()
            client.send(GET)
            await until(lambda: bool(subject.server.context.streams))
            getattr(client, leaves)()
            await woken.wait()

    run(loop_name, main)


def test_a_half_closed_client_gets_its_answer() -> None:
    async def slow(stream: HTTPStream) -> None:
        await stream.wait_disconnect()
        stream.respond(200, [], b"for you")

    async def main() -> None:
        async with serving(slow) as subject:
            client = await subject.connect()
            client.send(GET)
            client.send_eof()
            assert (await client.response())[1] == b"for you"

    run("asyncio", main)


def test_a_truncated_body_raises() -> None:
    async def main() -> None:
        raised = asyncio.Event()

        async def reads(stream: HTTPStream) -> None:
            with pytest.raises(ClientDisconnected):
                await stream.read_all()
            raised.set()

        async with serving(reads) as subject:
            client = await subject.connect()
            client.send(post(b"12345")[:-2])
            await until(lambda: bool(subject.server.context.streams))
            client.abort()
            await raised.wait()

    run("asyncio", main)


def test_a_task_left_behind_still_hears_of_the_end() -> None:
    async def main() -> None:
        heard = asyncio.Event()
        tasks = []

        async def leaves_a_task(stream: HTTPStream) -> None:
            async def behind() -> None:
                await stream.wait_disconnect()
                heard.set()

            tasks.append(asyncio.ensure_future(behind()))
            await asyncio.sleep(0)
            stream.respond(200, [], b"answered")

        async with serving(leaves_a_task) as subject:
            client = await subject.connect()
            client.send(GET)
            assert (await client.response())[1] == b"answered"
            assert not heard.is_set()
            client.abort()
            await heard.wait()

    run("asyncio", main)


# -- the application's surroundings --------------------------------------------------------


def test_exchanges_see_the_context_variables_of_the_start_and_not_each_others() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable")

    class Interface(FromFunctions):
        async def startup(self) -> None:
            variable.set("from the start")

    def handle(stream: HTTPStream) -> None:
        stream.respond(200, [], variable.get("none").encode())
        variable.set("from an exchange")

    async def main() -> None:
        async with serving(Interface(handle)) as subject:
            for _ in range(2):
                client = await subject.connect()
                client.send(GET * 2)
                for _ in range(2):
                    assert (await client.response())[1] == b"from the start"

    run("asyncio", main)


@both_loops
def test_pool_threads_do_without_the_applications_loop(loop_name: str) -> None:
    """A blocking interface: the main thread is asleep all the while."""
    threads: set[str] = set()

    def call(stream: BlockingStream) -> None:
        body = b""
        while piece := stream.read():
            body += piece
        threads.add(threading.current_thread().name)
        stream.start(200)
        stream.write(body)
        stream.finish()

    async def main() -> None:
        async with serving(Threaded(call), blocking=True, loop_name=loop_name) as subject:
            # Nothing runs on this thread's loop while this thread waits for its client.
            port = subject.server.addresses[0][1]
            with socket.create_connection(("127.0.0.1", port or 0), PATIENCE) as sock:
                sock.sendall(post(b"x" * 100))
                received = b""
                while not received.endswith(b"0\r\n\r\n"):
                    received += sock.recv(65_536)
                assert b"x" * 100 in received
        assert threads
        assert not any(name == "MainThread" for name in threads)

    run(loop_name, main)


@pytest.fixture
def frequent_switches() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@both_loops
@pytest.mark.parametrize("mode", ["mt", "st"])
@pytest.mark.usefixtures("frequent_switches")
def test_no_exchange_is_lost_or_mixed_up(
    loop_name: str, mode: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """Many at once, at the limit of permits, with threads that switch all the time."""
    clients, requests = 16, 12

    async def echo(stream: HTTPStream) -> None:
        body = await stream.read_all()
        assert body.startswith(stream.query_string)
        if len(body) % 2:
            stream.respond(200, [(b"x-query", stream.query_string)], body)
            return
        stream.start(200, [(b"x-query", stream.query_string)])
        for start in range(0, len(body), 7000):
            stream.write(body[start : start + 7000])
            await stream.drain()
        stream.finish()

    async def main() -> None:
        config = ServerConfig(backpressure=3)
        async with serving(echo, config, threads=3, mode=mode, loop_name=loop_name) as subject:

            async def talk(name: int) -> None:
                client = await subject.connect()
                for number in range(requests):
                    query = b"%d-%d-" % (name, number)
                    body = query + b"x" * (number * 1500)
                    client.send(
                        b"POST /?%b HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b"
                        % (query, len(body), body)
                    )
                    head, answer = await client.response()
                    assert b"\r\nx-query: %b\r\n" % query in head
                    assert answer == body
                client.close()

            await asyncio.gather(*(talk(name) for name in range(clients)))
            await until(lambda: not any(subject.counts))
            await until(lambda: not any(one.streams for one in subject.server.contexts))
            await until(lambda: not subject.server.context.streams)
            await until(lambda: not any(one.pressed for one in subject.server.contexts))

    with no_errors(caplog):
        run(loop_name, main)


@both_loops
@pytest.mark.usefixtures("frequent_switches")
def test_clients_that_leave_at_any_moment_leave_nothing_behind(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def slow(stream: HTTPStream) -> None:
        await stream.read_all()
        stream.start(200)
        for _ in range(50):
            stream.write(bytes(5000))
            await stream.drain()
        stream.finish()

    async def main() -> None:
        async with serving(slow, loop_name=loop_name) as subject:
            for number in range(60):
                client = await subject.connect()
                client.send(post(bytes(20_000))[: 100 + 400 * number])
                for _ in range(number % 7):
                    await asyncio.sleep(0)
                client.abort()
            await until(lambda: not any(subject.counts))
            await until(lambda: not subject.server.context.streams)
            await until(lambda: not any(one.streams for one in subject.server.contexts))
            client = await subject.connect()
            client.send(get("/"))
            assert len((await client.response())[1]) == 250_000

    with no_errors(caplog):
        run(loop_name, main)

"""Draining: what was accepted is answered, who waits is told, and it ends in time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time

import pytest

from granian_core import (
    BaseInterface,
    BlockingStream,
    ClientDisconnected,
    HTTPStream,
    Server,
    ServerConfig,
)
from granian_core.server import CANCEL_GRACE, IDLE_GRACE
from granian_core.sockets import bind_tcp
from granian_core.testing import MemoryServer
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


class Application(BaseInterface):
    """Answers; ``/wait`` when it is told to, ``/events`` until the client is to leave."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.seen: list[str] = []

    async def handle_http(self, stream: HTTPStream) -> None:
        self.seen.append(stream.path)
        if stream.path == "/wait":
            await self.go.wait()
        if stream.path == "/started":
            stream.start(200, [])
            stream.write(b"begin")
            await self.go.wait()
            stream.write(b"end")
            stream.finish()
        elif stream.path.endswith("/events"):
            if stream.path == "/late/events":
                await self.go.wait()
            stream.start(200, [(b"content-type", b"text/event-stream")])
            stream.write(b"data: 1\n\n")
            await stream.wait_disconnect()
            stream.write(b"data: bye\n\n")
            stream.finish()
        else:
            stream.respond(200, [], stream.path.encode())


@both_loops
def test_idle_connections_are_closed_at_once(loop_name: str) -> None:
    async def main() -> None:
        async with serving(Application()) as subject:
            server = subject.server
            clients = [await subject.connect() for _ in range(5)]
            for client in clients[1:]:
                client.send(GET)
                await client.response()
            await until(lambda: len(server.context.connections) == 5)
            later = server.context.clock() + IDLE_GRACE
            server.context.clock = lambda: later
            started = time.monotonic()
            await server.stop(PATIENCE)
            assert time.monotonic() - started < PATIENCE / 2
            for client in clients:
                assert await client.rest() == b""

    run(loop_name, main)


@both_loops
def test_client_in_a_series_is_told_before_its_connection_closes(loop_name: str) -> None:
    """Who was answered just now sends the next request, and hears that it was the last."""

    async def main() -> None:
        async with serving(Application()) as subject:
            client = await subject.connect()
            client.send(GET)
            await client.response()
            stopping = asyncio.ensure_future(subject.server.stop(PATIENCE))
            await until(lambda: subject.server.context.draining)
            client.send(GET)
            head, _ = await client.response()
            assert b"\r\nconnection: close\r\n" in head
            assert await client.rest() == b""
            await stopping

    run(loop_name, main)


@both_loops
def test_request_that_is_in_the_kernel_already_is_answered(loop_name: str) -> None:
    async def main() -> None:
        async with serving(Application()) as subject:
            server = subject.server
            client = await subject.connect()
            client.send(GET)
            await client.response()
            await server.stop_accepting()
            later = server.context.clock() + 10 * IDLE_GRACE  # idle for long
            server.context.clock = lambda: later
            # The loop has no turn between this and the look at who is idle.
            client.send(get("/last"))
            server._close_idle(IDLE_GRACE)
            head, body = await client.response()
            assert b"\r\nconnection: close\r\n" in head
            assert body == b"/last"
            assert await client.rest() == b""
            await server.stop(PATIENCE)

    run(loop_name, main)


@both_loops
@pytest.mark.parametrize("path", ["/wait", "/started"])
def test_request_in_progress_is_answered_to_its_end(loop_name: str, path: str) -> None:
    async def main() -> None:
        app = Application()
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(get(path))
            await until(lambda: app.seen == [path])
            if path == "/started":
                await client.reader.readuntil(b"begin\r\n")
            stopping = asyncio.ensure_future(subject.server.stop(PATIENCE))
            await until(lambda: subject.server.context.draining)
            app.go.set()
            if path == "/wait":
                head, body = await client.response()
                assert b"\r\nconnection: close\r\n" in head
                assert body == b"/wait"
                assert await client.rest() == b""
            else:  # the head said keep-alive; the connection ends all the same
                assert await client.rest() == b"3\r\nend\r\n0\r\n\r\n"
            await stopping

    run(loop_name, main)


@both_loops
def test_thread_that_answers_while_the_server_drains(loop_name: str) -> None:
    go, running = threading.Event(), threading.Event()

    def call(stream: BlockingStream) -> None:
        running.set()
        wait(go)
        stream.respond(200, [], b"x")

    async def main() -> None:
        async with serving(Threaded(call)) as subject:
            client = await subject.connect()
            client.send(GET)
            await until(running.is_set)
            stopping = asyncio.ensure_future(subject.server.stop(PATIENCE))
            await until(lambda: subject.server.context.draining)
            go.set()
            head, body = await client.response()
            assert b"\r\nconnection: close\r\n" in head
            assert body == b"x"
            assert await client.rest() == b""
            await stopping

    run(loop_name, main)


@both_loops
def test_thread_that_answered_before_the_drain_is_an_idle_connection(loop_name: str) -> None:
    async def main() -> None:
        async with serving(Threaded(lambda one: one.respond(200, [], b"x"))) as subject:
            client = await subject.connect()
            client.send(GET)
            assert (await client.response())[1] == b"x"
            await asyncio.wait_for(subject.server.stop(PATIENCE), PATIENCE / 2)
            assert await client.rest() == b""

    run(loop_name, main)


@both_loops
def test_event_streams_are_told_at_once(loop_name: str) -> None:
    async def main() -> None:
        app = Application()
        async with serving(app) as subject:
            early, late = await subject.connect(), await subject.connect()
            early.send(get("/events"))
            await early.reader.readuntil(b"data: 1\n\n\r\n")
            late.send(get("/late/events"))
            await until(lambda: "/late/events" in app.seen)
            stopping = asyncio.ensure_future(subject.server.stop(PATIENCE))
            assert await early.rest() == b"B\r\ndata: bye\n\n\r\n0\r\n\r\n"
            app.go.set()  # it begins when the others have been told
            head, body = await late.response()
            assert b"\r\nconnection: close\r\n" in head
            assert body == b"data: 1\n\ndata: bye\n\n"
            await asyncio.wait_for(stopping, PATIENCE / 2)

    run(loop_name, main)


@both_loops
def test_accept_queue_is_emptied_and_answered_at_the_final_stop(loop_name: str) -> None:
    async def main() -> None:
        app = Application()
        (listening,) = bind_tcp(["127.0.0.1"], 0)
        with listening, contextlib.ExitStack() as stack:
            server = Server(app, sockets=[listening])
            await server.start()
            assert server._listeners is not None
            server._listeners.set_accepting(False)
            for _ in range(5):
                await asyncio.sleep(0)
            queued = []
            for index in range(20):
                sock = stack.enter_context(socket.create_connection(server.addresses[0]))
                sock.sendall(get(f"/{index}"))
                queued.append(sock)
            await server.stop(PATIENCE)
            for index, sock in enumerate(queued):
                sock.setblocking(False)
                answer = sock.recv(65536)
                assert b"\r\nconnection: close\r\n" in answer
                assert answer.endswith(b"/%d" % index)

    run(loop_name, main)


@both_loops
def test_accept_queue_is_left_to_a_successor(loop_name: str) -> None:
    async def main() -> None:
        first, second = Application(), Application()
        (listening,) = bind_tcp(["127.0.0.1"], 0)
        with listening:
            old = Server(first, sockets=[listening])
            await old.start()
            assert old._listeners is not None
            old._listeners.set_accepting(False)
            for _ in range(5):
                await asyncio.sleep(0)
            with socket.create_connection(old.addresses[0]) as queued:
                queued.sendall(get("/queued"))
                await old.stop(PATIENCE, final=False)
                async with Server(second, sockets=[listening]):
                    await until(lambda: second.seen == ["/queued"])
            assert first.seen == []

    run(loop_name, main)


# -- the deadline --------------------------------------------------------------------------


def test_deadline_disconnects_then_cancels_then_drops(caplog: pytest.LogCaptureFixture) -> None:
    events: list[str] = []

    class Stubborn(BaseInterface):
        async def handle_http(self, stream: HTTPStream) -> None:
            if stream.path == "/polite":
                await stream.wait_disconnect()
                events.append("polite: disconnected")
                return
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                events.append(f"{stream.path}: cancelled")
                if stream.path == "/deaf":
                    with contextlib.suppress(asyncio.CancelledError):
                        await asyncio.sleep(2 * CANCEL_GRACE)
                    return
                raise

    async def main() -> None:
        async with MemoryServer(Stubborn()) as memory:
            clients = [memory.connect() for _ in range(3)]
            for client, path in zip(clients, ["/polite", "/normal", "/deaf"], strict=True):
                client.send(get(path))
            loop = asyncio.get_running_loop()
            started = loop.time()
            await memory.server.stop(0.1)
            assert loop.time() - started < 0.1 + 4 * CANCEL_GRACE
            for client in clients:
                assert client.transport.ended
                assert client.output == b""
            await asyncio.sleep(CANCEL_GRACE)

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert events[0] == "polite: disconnected"
    assert sorted(events[1:]) == ["/deaf: cancelled", "/normal: cancelled"]
    assert [one.getMessage() for one in caplog.records] == [
        "3 requests unfinished at the drain deadline, dropped"
    ]


@both_loops
def test_thread_that_hangs_does_not_hold_the_stop(loop_name: str) -> None:
    go, ended = threading.Event(), threading.Event()

    def call(stream: BlockingStream) -> None:
        wait(go)
        with contextlib.suppress(ClientDisconnected):
            stream.respond(200, [], b"late")
        ended.set()

    async def main() -> None:
        app = Threaded(call)
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(GET + GET)
            await until(lambda: bool(subject.server.context.streams))
            started = time.monotonic()
            await subject.server.stop(0.1)
            assert time.monotonic() - started < 0.1 + 4 * CANCEL_GRACE
            with contextlib.suppress(ConnectionResetError):
                assert await client.rest() == b""
            go.set()
            await until(ended.is_set)

    run(loop_name, main)


@both_loops
def test_thread_that_waits_for_its_client_hears_of_the_deadline(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        try:
            stream.read()
        except ClientDisconnected:
            seen.append("disconnected")

    async def main() -> None:
        app = Threaded(call)
        async with serving(app) as subject:
            client = await subject.connect()
            client.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
            await until(lambda: bool(subject.server.context.streams))
            await subject.server.stop(0)
            assert not subject.server.context.streams
            assert await client.rest() == b""

    with caplog.at_level(logging.ERROR):
        run(loop_name, main)
    assert seen == ["disconnected"]
    assert caplog.records == []


def test_thread_that_was_given_up_on_leaves_its_place_to_nobody() -> None:
    """What is pipelined behind it must not be answered in its stead."""
    go = threading.Event()
    seen: list[str] = []

    def call(stream: BlockingStream) -> None:
        seen.append(stream.stream.path)
        if stream.stream.path == "/1":
            wait(go)
        stream.respond(200, [], stream.stream.path.encode())

    async def main() -> None:
        app = Threaded(call)
        async with MemoryServer(app) as memory:
            client = memory.connect()
            client.send(get("/1") + get("/2"))
            await until(lambda: seen == ["/1"])
            (stream,) = memory.server.context.streams
            stream.feed_disconnect()  # what the deadline does first
            memory.server.sweep(memory.server.context.clock())
            for _ in range(10):
                await asyncio.sleep(0)
            assert client.output == b""
            go.set()
            client.abort()
            await until(lambda: not memory.server.context.streams)

    asyncio.run(main())
    assert seen == ["/1"]


def test_answer_that_is_still_on_its_way_at_the_deadline_is_no_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Big(BaseInterface):
        async def handle_http(self, stream: HTTPStream) -> None:
            stream.respond(200, [], b"x" * 1_000_000)

    async def main() -> None:
        async with MemoryServer(Big()) as memory:
            client = memory.connect()
            client.transport.stalled = True
            client.send(GET)
            for _ in range(5):
                await asyncio.sleep(0)
            await memory.server.stop(0)
            assert client.transport.ended

    with caplog.at_level(logging.WARNING):
        asyncio.run(main())
    assert [one.getMessage() for one in caplog.records] == [
        "1 connections unfinished at the drain deadline, dropped"
    ]


def test_slow_client_gets_its_whole_answer_within_the_deadline(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Big(BaseInterface):
        async def handle_http(self, stream: HTTPStream) -> None:
            stream.respond(200, [], b"x" * 1_000_000)

    async def main() -> None:
        async with MemoryServer(Big()) as memory:
            client = memory.connect()
            client.transport.stalled = True
            client.send(GET)
            for _ in range(5):
                await asyncio.sleep(0)
            stopping = asyncio.ensure_future(memory.server.stop(PATIENCE))
            await until(lambda: memory.server.context.draining)
            client.transport.stalled = False
            assert len((await client.receive_response()).body) == 1_000_000
            await stopping

    with no_errors(caplog):
        asyncio.run(main())


def test_server_is_not_drained_because_it_had_nobody_for_a_moment() -> None:
    """A connection of the accept queue may come after the last of the others has gone."""

    async def main() -> None:
        app = Application()
        async with MemoryServer(app, ServerConfig()) as memory:
            early = memory.connect()
            await memory.server.stop_accepting()
            early.abort()
            await early.wait_ended()
            late = memory.connect()
            late.send(get("/wait"))
            stopping = asyncio.ensure_future(memory.server.stop(PATIENCE))
            for _ in range(20):
                await asyncio.sleep(0)
            assert not stopping.done()
            app.go.set()
            assert (await late.receive_response()).body == b"/wait"
            await stopping

    asyncio.run(main())

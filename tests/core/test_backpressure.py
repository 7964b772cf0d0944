"""Permits, sockets and descriptors: what is full waits, in order, and goes on at once."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from granian_core import Address, BaseInterface, BlockingStream, HTTPStream, Limits, ServerConfig
from granian_core.http1.connection import HELD, HTTP1Connection
from granian_core.listener import ACCEPT_BURST, Listeners, Notice
from granian_core.loops import loops
from granian_core.server import Server
from granian_core.sockets import bind_tcp
from granian_core.testing import MemoryServer
from tests.core.loopback import (
    GET,
    Threaded,
    both_loops,
    get,
    no_errors,
    run,
    serving,
    until,
    wait,
)


class Gate(BaseInterface):
    """Answers a request when its path is let through; others wait."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.events: dict[str, asyncio.Event] = {}

    def open(self, path: str) -> None:
        self.events.setdefault(path, asyncio.Event()).set()

    async def handle_http(self, stream: HTTPStream) -> None:
        self.running.append(stream.path)
        await self.events.setdefault(stream.path, asyncio.Event()).wait()
        stream.respond(200, [], stream.path.encode())


def config(backpressure: int = 1024, max_connections: int | None = None) -> ServerConfig:
    return ServerConfig(backpressure=backpressure, limits=Limits(max_connections=max_connections))


# -- permits -----------------------------------------------------------------------------


@both_loops
def test_permits_are_requests_not_connections(loop_name: str) -> None:
    async def main() -> None:
        gate = Gate()
        gate.open("/")
        async with serving(gate, config(backpressure=2)) as subject:
            clients = [await subject.connect() for _ in range(10)]
            for client in clients:
                client.send(GET)
                assert (await client.response())[1] == b"/"
            context = subject.server.context
            assert len(context.connections) == 10
            assert not context.streams
            assert not context.pressed

    run(loop_name, main)


@both_loops
def test_held_heads_are_admitted_in_the_order_in_which_they_came(loop_name: str) -> None:
    async def main() -> None:
        gate = Gate()
        async with serving(gate, config(backpressure=2)) as subject:
            context = subject.server.context
            clients = [await subject.connect() for _ in range(6)]
            await until(lambda: len(context.connections) == 6)
            for index, client in enumerate(clients):
                client.send(get(f"/{index}"))
                await until(
                    lambda index=index: len(gate.running) + len(context.waiting) == index + 1
                )
            assert gate.running == ["/0", "/1"]
            gate.open("/1")
            assert (await clients[1].response())[1] == b"/1"
            await until(lambda: len(gate.running) == 3)
            assert gate.running == ["/0", "/1", "/2"]
            for index in (0, 2, 3, 4, 5):
                gate.open(f"/{index}")
                assert (await clients[index].response())[1] == b"/%d" % index
            assert gate.running == [f"/{index}" for index in range(6)]
            await until(lambda: not context.pressed)

    run(loop_name, main)


@both_loops
def test_permits_that_threads_give_back_wake_held_heads_at_once(loop_name: str) -> None:
    go = threading.Event()

    def call(stream: BlockingStream) -> None:
        if stream.stream.path == "/block":
            wait(go)
        stream.respond(200, [], stream.stream.path.encode())

    async def main() -> None:
        async with serving(Threaded(call), config(backpressure=1)) as subject:
            server = subject.server
            first, second = await subject.connect(), await subject.connect()
            await until(lambda: len(server.context.connections) == 2)
            first.send(get("/block"))
            await until(lambda: server.context.pressed)
            second.send(GET)
            await until(lambda: bool(server.context.waiting))
            assert server._sweeper is not None
            server._sweeper.cancel()  # not the sweep, but the thread has to wake the loop
            go.set()
            assert (await second.response())[1] == b"/"
            assert (await first.response())[1] == b"/block"
            for _ in range(20):
                second.send(GET)
                assert (await second.response())[1] == b"/"

    run(loop_name, main)


@both_loops
def test_listener_pauses_without_permits_and_resumes(loop_name: str) -> None:
    async def main() -> None:
        gate = Gate()
        async with serving(gate, config(backpressure=1)) as subject:
            server = subject.server
            assert server._listeners is not None
            client = await subject.connect()
            for round_ in range(3):
                client.send(get(f"/{round_}"))
                await until(lambda: server.context.pressed)
                await until(lambda: not server._listeners.accepting)
                late = await subject.connect()  # the kernel takes it; we do not
                late.send(get("/late"))
                for _ in range(20):
                    await asyncio.sleep(0)
                assert len(server.context.connections) == 1
                gate.open(f"/{round_}")
                assert (await client.response())[1] == b"/%d" % round_
                gate.open("/late")
                assert (await late.response())[1] == b"/late"
                late.abort()
                await until(lambda: len(server.context.connections) == 1)

    run(loop_name, main)


@both_loops
def test_clients_that_never_rest_do_not_keep_others_out(loop_name: str) -> None:
    """They take every permit that comes free, so nobody would ever be accepted."""

    class Brief(BaseInterface):
        async def handle_http(self, stream: HTTPStream) -> None:
            await asyncio.sleep(0)
            stream.respond(200, [], b"x")

    async def main() -> None:
        async with serving(Brief(), config(backpressure=1)) as subject:
            stop = asyncio.Event()

            async def ask_again_and_again() -> None:
                client = await subject.connect()
                while not stop.is_set():
                    client.send(GET * 8)  # of which some always wait for a permit
                    for _ in range(8):
                        await client.response()

            busy = [asyncio.ensure_future(ask_again_and_again()) for _ in range(3)]
            server = subject.server
            assert server._listeners is not None
            listeners = server._listeners
            await until(lambda: len(server.context.connections) == 3 and not listeners.accepting)
            newcomer = await subject.connect()
            newcomer.send(GET)
            assert (await newcomer.response())[1] == b"x"
            stop.set()
            await asyncio.gather(*busy)

    run(loop_name, main)


@both_loops
def test_listener_is_not_made_again_for_every_request(
    loop_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("granian_core.server.PAUSE_INTERVAL", 3600.0)
    opened: list[bool] = []
    really_open = Listeners._open

    async def count(self: Listeners) -> None:
        opened.append(True)
        await really_open(self)

    monkeypatch.setattr(Listeners, "_open", count)

    async def main() -> None:
        gate = Gate()
        gate.open("/")
        async with serving(gate, config(backpressure=1)) as subject:
            client = await subject.connect()
            for _ in range(50):
                client.send(GET)
                assert (await client.response())[1] == b"/"
            assert len(opened) <= 2  # at the start, and after the first pause
            # One that comes meanwhile is taken, and waits with its request.
            client.send(get("/long"))
            await until(lambda: gate.running[-1] == "/long")
            late = await subject.connect()
            late.send(GET)
            context = subject.server.context
            await until(lambda: len(context.connections) == 2)
            gate.open("/long")
            assert (await client.response())[1] == b"/long"
            assert (await late.response())[1] == b"/"

    run(loop_name, main)


@both_loops
def test_pause_that_was_put_off_comes(loop_name: str) -> None:
    async def main() -> None:
        gate = Gate()
        gate.open("/")
        async with serving(gate, config(backpressure=1)) as subject:
            server = subject.server
            assert server._listeners is not None
            listeners = server._listeners
            client = await subject.connect()
            for _ in range(2):  # the second comes right after accepting was resumed
                client.send(GET)
                assert (await client.response())[1] == b"/"
            client.send(get("/long"))
            await until(lambda: not listeners.accepting)
            gate.open("/long")
            assert (await client.response())[1] == b"/long"
            await until(lambda: listeners.accepting)

    run(loop_name, main)


@both_loops
def test_pool_that_is_shut_down_means_500_and_the_permit_comes_back(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        app = Threaded(lambda stream: stream.respond(200, [], b"never"))
        app.pool.shutdown(wait=False)
        async with serving(app, config(backpressure=1)) as subject:
            client = await subject.connect()
            for _ in range(3):
                client.send(GET)
                head, body = await client.response()
                assert head.startswith(b"HTTP/1.1 500")
                assert body == b"Internal server error"
            assert not subject.server.context.streams

    with caplog.at_level(logging.ERROR):
        run(loop_name, main)
    assert [one.getMessage() for one in caplog.records] == [
        "Application callable raised an exception"
    ] * 3


# -- connections -------------------------------------------------------------------------


@both_loops
def test_longest_idle_connection_makes_room(loop_name: str) -> None:
    async def main() -> None:
        gate = Gate()
        gate.open("/")
        async with serving(gate, config(max_connections=3)) as subject:
            now = 1000.0
            subject.server.context.clock = lambda: now
            clients = []
            for _ in range(3):
                now += 1
                clients.append(await subject.connect())
                clients[-1].send(GET)
                await clients[-1].response()
            now += 1
            fourth = await subject.connect()  # a list of who is idle is made here
            assert await clients[0].rest() == b""
            fourth.send(GET)
            assert (await fourth.response())[1] == b"/"
            now += 1
            clients[1].send(GET)  # not the longest-idle any more, whatever that list says
            await clients[1].response()
            now += 1
            fifth = await subject.connect()
            assert await clients[2].rest() == b""
            for client in (clients[1], fourth, fifth):
                client.send(GET)
                assert (await client.response())[1] == b"/"

    run(loop_name, main)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_crowd_that_comes_in_one_turn_finds_an_end_of_closing(count: int) -> None:
    """The loop makes several protocols before the first of them is connected."""

    async def main() -> None:
        gate = Gate()
        gate.open("/")
        async with MemoryServer(gate, config(max_connections=3)) as server:
            for _ in range(3):
                client = server.connect()
                client.send(GET)
                await client.receive_response()
            later = server.server.context.clock() + 1
            server.server.context.clock = lambda: later
            for _ in range(count):
                server.server.connection_factory()
            assert sum(client.closed for client in server.clients) == min(count, 3)

    asyncio.run(asyncio.wait_for(main(), 10))


@both_loops
def test_without_an_idle_connection_accepting_pauses_until_one_leaves(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        gate = Gate()
        async with serving(gate, config(max_connections=2)) as subject:
            server = subject.server
            listeners = server._listeners
            assert listeners is not None
            busy = [await subject.connect() for _ in range(2)]
            for client in busy:
                client.send(get("/busy"))
            await until(lambda: len(gate.running) == 2)
            # Those that the loop accepts in one turn are one too many at least.
            late = [knock(subject.server.addresses[0], get("/late")) for _ in range(2)]
            await until(lambda: not listeners.accepting)
            await until(lambda: len(gate.running) > 2)
            accepted = len(server.context.connections)
            late += [knock(subject.server.addresses[0], get("/late")) for _ in range(5)]
            await asyncio.sleep(3 * server._period)
            assert len(server.context.connections) == accepted
            assert not listeners.accepting
            gate.open("/late")
            for client in busy:
                client.abort()
            gate.open("/busy")
            for sock in late:
                answer = await asyncio.get_running_loop().sock_recv(sock, 65536)
                assert answer.endswith(b"/late")
                sock.close()

    with caplog.at_level(logging.WARNING):
        run(loop_name, main)
    (warning,) = caplog.records
    assert "Accepting pauses: all of" in warning.getMessage()


def knock(address: Address, data: bytes) -> socket.socket:
    """Connect and send without a turn of the loop in between."""
    sock = socket.create_connection(address)
    sock.sendall(data)
    sock.setblocking(False)
    return sock


@both_loops
def test_connection_that_becomes_idle_makes_room_for_who_waits(loop_name: str) -> None:
    """Nobody leaves: without a look from time to time, accepting would stay paused."""

    async def main() -> None:
        gate = Gate()
        async with serving(gate, config(max_connections=1)) as subject:
            server = subject.server
            assert server._listeners is not None
            first = await subject.connect()
            first.send(get("/first"))
            await until(lambda: gate.running == ["/first"])
            others = [await subject.connect() for _ in range(2)]
            await until(lambda: not server._listeners.accepting)  # type: ignore[union-attr]
            gate.open("/first")
            assert (await first.response())[1] == b"/first"
            gate.open("/other")
            for other in others:
                other.send(get("/other"))
            for other in others:
                assert (await other.response())[1] == b"/other"

    run(loop_name, main)


def test_same_warning_is_given_once_a_minute(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times = [5.0, 6.0, 64.9, 65.0, 66.0]
    stub = SimpleNamespace(monotonic=lambda: times[0])
    monkeypatch.setattr("granian_core.listener.time", stub)
    notice = Notice()
    while times:
        notice.warn("full at %s", times[0])
        del times[0]
    assert [one.getMessage() for one in caplog.records] == ["full at 5.0", "full at 65.0"]


# -- the listener ------------------------------------------------------------------------


class Hello(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"hello")
        transport.close()


async def hear(address: tuple[str, int]) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    try:
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


@both_loops
def test_pauses_and_resumes_in_any_order_leave_every_socket_as_wished(loop_name: str) -> None:
    async def main() -> None:
        with contextlib.ExitStack() as stack:
            sockets = [stack.enter_context(bind_tcp(["127.0.0.1"], 0)[0]) for _ in range(3)]
            listeners = Listeners(sockets, Hello, 128)
            await listeners.start()
            for turns_between in range(12):
                listeners.set_accepting(False)
                assert not listeners.accepting
                for wish in (True, False, True):
                    listeners.set_accepting(wish)
                    for _ in range(turns_between):
                        await asyncio.sleep(0)
                    assert listeners.accepting is wish
                for sock in sockets:
                    assert await hear(sock.getsockname()) == b"hello"
            await listeners.close(empty_queue=False)
            assert not listeners.accepting

    run(loop_name, main)


@both_loops
def test_listener_that_can_not_be_made_again_is_tried_again(
    loop_name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process had no descriptor left when accepting was to go on."""
    fail = True
    duplicate = Listeners._duplicate

    def exhausted(
        self: Listeners, loop: asyncio.AbstractEventLoop, sock: socket.socket
    ) -> socket.socket:
        if fail:
            raise OSError(24, "Too many open files")
        return duplicate(self, loop, sock)

    async def main() -> None:
        nonlocal fail
        gate = Gate()
        gate.open("/")
        async with serving(gate, config(backpressure=1)) as subject:
            server = subject.server
            listeners = server._listeners
            assert listeners is not None
            monkeypatch.setattr(Listeners, "_duplicate", exhausted)
            listeners.set_accepting(False)
            listeners.set_accepting(True)
            await until(lambda: not listeners.accepting)
            late = await subject.connect()
            late.send(GET)
            await asyncio.sleep(2 * server._period)
            assert not server.context.connections
            fail = False
            assert (await late.response())[1] == b"/"

    with caplog.at_level(logging.WARNING):
        run(loop_name, main)
    assert [one.getMessage() for one in caplog.records] == ["Accepting pauses: Too many open files"]


@both_loops
@pytest.mark.parametrize("protocol", [0, socket.IPPROTO_TCP])
def test_small_writes_do_not_wait_for_acknowledgements(loop_name: str, protocol: int) -> None:
    """The loop asyncio sets TCP_NODELAY only where the listening socket names its protocol."""
    options: list[int] = []

    class Looking(BaseInterface):
        def handle_http(self, stream: HTTPStream) -> None:
            assert isinstance(stream.carrier, HTTP1Connection)
            sock = stream.carrier.transport.get_extra_info("socket")
            options.append(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            stream.respond(200, [], b"x")

    async def main() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol) as listening:
            listening.bind(("127.0.0.1", 0))
            async with Server(Looking(), sockets=[listening]) as server:
                reader, writer = await asyncio.open_connection(*server.addresses[0])
                writer.write(GET)
                await reader.readuntil(b"\r\n\r\n")
                writer.close()

    run(loop_name, main)
    assert options == [1]


# -- descriptors -------------------------------------------------------------------------

EXHAUSTED = """
import asyncio, logging, resource, sys, time
from granian_core import BaseInterface, Server, ServerConfig, Limits
from granian_core.loops import loops
from granian_core.sockets import bind_tcp

logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stdout)

class Hello(BaseInterface):
    async def handle_http(self, stream):
        if stream.path == "/hold":
            await stream.wait_disconnect()
        stream.respond(200, [], b"hello")

async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (MOST, MOST))
    grabbed = []
    if GRAB:  # an application that takes every descriptor that is left
        try:
            while True:
                grabbed.append(open("/dev/null"))
        except OSError:
            for _ in range(GRAB):
                grabbed.pop().close()
    sockets = bind_tcp(["127.0.0.1"], 0)
    server = Server(Hello(), sockets=sockets)
    await server.start()
    print("PORT", server.addresses[0][1], flush=True)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if line == b"free\\n":
            for file in grabbed:
                file.close()
        print("CPU", time.process_time(), len(server.context.connections), flush=True)
    await server.stop(0)

loop = loops.get(sys.argv[1])
loop.run_until_complete(main())
"""


class Exhausted:
    """A server process with few descriptors."""

    def __init__(self, loop_name: str, limit: int, grab: int = 0) -> None:
        if loop_name not in loops:
            pytest.skip(f"{loop_name} is not installed")
        pytest.importorskip("resource")
        program = EXHAUSTED.replace("MOST", str(limit)).replace("GRAB", str(grab))
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, loop_name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=Path(__file__).parent,
        )
        self.log: list[str] = []
        self.port = int(self.line("PORT")[0])
        self.sockets: list[socket.socket] = []

    def line(self, word: str) -> list[str]:
        assert self.process.stdout is not None
        while line := self.process.stdout.readline():
            first, _, rest = line.partition(" ")
            if first == word:
                return rest.split()
            self.log.append(line.rstrip())
        raise AssertionError("\n".join(self.log))

    def ask(self, what: str = "") -> tuple[float, int]:
        assert self.process.stdin is not None
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        cpu, connections = self.line("CPU")
        return float(cpu), int(connections)

    def connect(self, path: str) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.sockets.append(sock)
        sock.sendall(get(path))
        return sock

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        rest = self.process.stdout.read()
        self.process.stdout.close()
        self.log += rest.splitlines()
        assert self.process.wait(30) == 0, "\n".join(self.log)


@both_loops
def test_busy_connections_stay_within_the_limit_of_open_files(loop_name: str) -> None:
    """As many wait in the kernel as it takes; nobody is reset, and nothing spins."""
    server = Exhausted(loop_name, 128)
    try:
        crowd = [server.connect("/hold") for _ in range(150)]
        seen = -1
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            _, connections = server.ask()
            if connections == seen >= 64:
                break
            seen = connections
            time.sleep(0.1)
        assert connections <= 96 + 3 * ACCEPT_BURST
        before, _ = server.ask()
        time.sleep(1)
        after, _ = server.ask()
        assert after - before < 0.2
        for sock in crowd:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
        for sock in crowd:
            sock.close()
        answer = server.connect("/").recv(100)
        assert answer.startswith(b"HTTP/1.1 200")
    finally:
        server.close()
    assert [line for line in server.log if "ERROR" in line or "Traceback" in line] == []
    assert len([line for line in server.log if "Accepting pauses" in line]) == 1


@both_loops
def test_idle_connections_make_room_within_the_limit_of_open_files(loop_name: str) -> None:
    server = Exhausted(loop_name, 128)
    try:
        for _ in range(300):
            assert server.connect("/").recv(100).startswith(b"HTTP/1.1 200")
        _, connections = server.ask()
        assert connections <= 96 + 3 * ACCEPT_BURST
    finally:
        server.close()
    assert [line for line in server.log if "ERROR" in line or "Traceback" in line] == []


def test_application_that_took_every_file_costs_one_line_not_a_spin() -> None:
    """asyncio; libuv has a descriptor in reserve, with which it turns clients away."""
    server = Exhausted("asyncio", 128, grab=12)
    try:
        crowd = [server.connect("/hold") for _ in range(30)]
        time.sleep(0.5)
        before, _ = server.ask()
        time.sleep(1)
        after, _ = server.ask()
        assert after - before < 0.5  # seconds of CPU; a spin takes all there is
        server.ask("free")
        assert server.connect("/").recv(100).startswith(b"HTTP/1.1 200")
        assert len(crowd) == 30
    finally:
        server.close()
    assert [line for line in server.log if "INFO" not in line] == [
        "WARNING Accepting pauses: Too many open files"
    ]


@pytest.mark.parametrize(
    ("asked", "level"), [(None, logging.INFO), (100_000_000, logging.WARNING), (10, None)]
)
def test_limit_of_open_files_is_mentioned_at_the_start(
    asked: int | None,
    level: int | None,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("granian_core.server.usable_descriptors", lambda: 480)

    async def main() -> None:
        async with MemoryServer(Gate(), config(max_connections=asked)):
            pass

    with caplog.at_level(logging.INFO):
        asyncio.run(main())
    records = [one for one in caplog.records if "open files" in one.getMessage()]
    assert [one.levelno for one in records] == ([] if level is None else [level])


@both_loops
def test_threads_descriptors_count_too(loop_name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("granian_core.server.usable_descriptors", lambda: 6)

    async def main() -> None:
        async with serving(Threaded(lambda one: one.respond(200, [], b"x"))) as subject:
            context = subject.server.context
            clients = []
            for index in range(8):
                clients.append(await subject.connect())
                clients[-1].send(GET)
                assert (await clients[-1].response())[1] == b"x"
                await until(lambda: len(context.connections) <= 4)
                assert len(context.connections) + context.duplicates <= 8, index
            assert context.duplicates == len(context.connections)
            for client in clients:
                client.abort()
            await until(lambda: not context.connections)
            assert context.duplicates == 0

    run(loop_name, main)


def test_held_connection_that_is_lost_is_forgotten() -> None:
    async def main() -> None:
        gate = Gate()
        async with MemoryServer(gate, config(backpressure=1)) as server:
            first, second = server.connect(), server.connect()
            first.send(get("/first"))
            second.send(get("/second"))
            connection = second.transport.get_protocol()
            assert isinstance(connection, HTTP1Connection)
            assert connection.phase == HELD
            second.abort()
            await second.wait_ended()
            gate.open("/first")
            assert (await first.receive_response()).body == b"/first"
            for _ in range(5):
                await asyncio.sleep(0)
            assert gate.running == ["/first"]
            assert not server.server.context.pressed
            assert not server.server.context.waiting

    asyncio.run(main())


@both_loops
def test_thousand_resets_before_the_first_read_leave_nothing(
    loop_name: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        gate = Gate()
        gate.open("/")
        async with serving(gate) as subject:
            for _ in range(10):
                for _ in range(100):
                    client = await subject.connect()
                    client.send(get("/never")[:9])
                    client.abort()
                await until(lambda: not subject.server.context.connections)
            client = await subject.connect()
            client.send(GET)
            assert (await client.response())[1] == b"/"
            assert gate.running == ["/"]

    with no_errors(caplog):
        run(loop_name, main)

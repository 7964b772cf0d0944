"""The life of a server: once through, whatever happens, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import warnings
from pathlib import Path

import pytest

from granian_core import BaseInterface, BindError, HTTPStream, Server
from granian_core.server import ServerState
from granian_core.sockets import bind_tcp
from granian_core.testing import MemoryServer
from tests.core.loopback import GET, both_loops, no_errors, run, until


class Steps(BaseInterface):
    """Notes what is called; fails where it is told to."""

    def __init__(self, fail: str = "") -> None:
        self.steps: list[str] = []
        self._fail = fail

    def _note(self, step: str) -> None:
        self.steps.append(step)
        if step == self._fail:
            raise ValueError(f"{step} fails")

    def setup(self, loop: asyncio.AbstractEventLoop) -> None:
        self._note("setup")

    async def startup(self) -> None:
        self._note("startup")

    async def handle_http(self, stream: HTTPStream) -> None:
        self._note("request")
        stream.respond(200, [], b"x")

    async def shutdown(self) -> None:
        await asyncio.sleep(0)
        self._note("shutdown")

    def teardown(self, loop: asyncio.AbstractEventLoop) -> None:
        self._note("teardown")


HAS_PROC = Path("/proc/self/fd").is_dir()
WHOLE = ["setup", "startup", "shutdown", "teardown"]


def test_context_manager_calls_each_step_once() -> None:
    async def main() -> None:
        interface = Steps()
        async with Server(interface) as server:
            assert server.state is ServerState.SERVING
        assert server.state is ServerState.STOPPED
        assert interface.steps == WHOLE

    asyncio.run(main())


def test_worker_may_set_up_before_the_loop_runs_and_tear_down_after() -> None:
    interface = Steps()
    server = Server(interface)

    async def main() -> None:
        await server.start()
        await server.stop()

    loop = asyncio.new_event_loop()
    server.setup(loop)
    loop.run_until_complete(main())
    server.teardown(loop)
    server.teardown(loop)
    loop.close()
    assert interface.steps == WHOLE


def test_server_starts_once() -> None:
    async def main() -> None:
        server = Server(Steps())
        await server.start()
        with pytest.raises(RuntimeError, match="the server is serving; it can start once"):
            await server.start()
        await server.stop()
        with pytest.raises(RuntimeError, match="the server is stopped; it can start once"):
            await server.start()

    asyncio.run(main())


def test_stop_before_start_and_after_stop_does_nothing() -> None:
    async def main() -> None:
        interface = Steps()
        server = Server(interface)
        await server.stop()
        await server.stop_accepting()
        assert interface.steps == []
        await server.start()
        await server.stop()
        await server.stop()
        assert interface.steps == WHOLE[:3]

    asyncio.run(main())


def test_stops_at_the_same_time_shut_down_once() -> None:
    async def main() -> None:
        interface = Steps()
        server = Server(interface)
        await server.start()
        await asyncio.gather(server.stop(), server.stop_accepting(), server.stop(), server.stop())
        assert server.state is ServerState.STOPPED
        assert interface.steps == WHOLE[:3]

    asyncio.run(main())


def test_stop_that_was_cancelled_can_be_taken_up_again() -> None:
    go = asyncio.Event()

    class Slow(Steps):
        async def handle_http(self, stream: HTTPStream) -> None:
            await go.wait()
            await super().handle_http(stream)

    async def main() -> None:
        interface = Slow()
        memory = MemoryServer(interface)
        async with memory:
            client = memory.connect()
            client.send(GET)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(memory.server.stop(), 0.01)
            assert memory.server.state is ServerState.DRAINING
            go.set()
            await memory.server.stop()
            response = await client.receive_response()
            assert response.header(b"connection") == b"close"
        assert interface.steps == ["setup", "startup", "request", "shutdown", "teardown"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("fail", "steps"),
    [
        ("setup", ["setup"]),
        ("startup", ["setup", "startup", "teardown"]),
        ("shutdown", WHOLE),
    ],
)
def test_failure_of_a_step_is_the_callers_and_the_rest_is_undone(
    fail: str, steps: list[str]
) -> None:
    async def main() -> None:
        interface = Steps(fail)
        server = Server(interface)
        with pytest.raises(ValueError, match=f"{fail} fails"):
            async with server:
                pass
        assert interface.steps == steps
        await server.stop()
        assert interface.steps == steps

    asyncio.run(main())


@both_loops
def test_address_that_was_taken_since_is_a_bind_error_and_the_application_is_shut_down(
    loop_name: str,
) -> None:
    async def main() -> None:
        with socket.socket() as taken, socket.socket() as ours, socket.socket() as free:
            for sock in (taken, ours):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            taken.bind(("127.0.0.1", 0))
            ours.bind(taken.getsockname())
            free.bind(("127.0.0.1", 0))
            taken.listen()
            interface = Steps()
            with pytest.raises(BindError, match="the address is in use"):
                async with Server(interface, sockets=[free, ours]):
                    pass
            assert interface.steps == WHOLE

    run(loop_name, main)


@both_loops
def test_port_zero_is_resolved_and_several_addresses_are_served(loop_name: str) -> None:
    async def main() -> None:
        sockets = bind_tcp(["127.0.0.1", "127.0.0.2"], 0)
        async with Server(Steps(), sockets=sockets) as server:
            assert [host for host, _ in server.addresses] == ["127.0.0.1", "127.0.0.2"]
            for host, port in server.addresses:
                assert port
                reader, writer = await asyncio.open_connection(host, port)
                writer.write(GET)
                assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                writer.close()
        for sock in sockets:
            assert sock.fileno() >= 0  # it stays the caller's
            sock.close()

    run(loop_name, main)


@both_loops
def test_unix_socket_is_served_and_its_path_stays(loop_name: str, tmp_path: Path) -> None:
    async def main() -> None:
        path = str(tmp_path / "server.sock")
        with socket.socket(socket.AF_UNIX) as sock:
            sock.bind(path)
            async with Server(Steps(), sockets=[sock]) as server:
                assert server.addresses == [(path, None)]
                listeners = server._listeners
                assert listeners is not None
                for _ in range(2):
                    reader, writer = await asyncio.open_unix_connection(path)
                    writer.write(GET)
                    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
                    writer.close()
                    # A pause must not remove what another process may be serving.
                    listeners.set_accepting(False)
                    listeners.set_accepting(True)
                    for _ in range(5):
                        await asyncio.sleep(0)

    run(loop_name, main)
    assert (tmp_path / "server.sock").exists()


@both_loops
def test_two_servers_in_one_loop_do_not_know_of_each_other(loop_name: str) -> None:
    async def main() -> None:
        first, second = Steps(), Steps()
        one, two = bind_tcp(["127.0.0.1"], 0)[0], bind_tcp(["127.0.0.1"], 0)[0]
        with one, two:
            async with Server(first, sockets=[one]), Server(second, sockets=[two]) as other:
                for sock in (one, two, two):
                    reader, writer = await asyncio.open_connection(*sock.getsockname())
                    writer.write(GET)
                    await reader.readuntil(b"\r\n\r\n")
                    writer.close()
                await other.stop()
                reader, writer = await asyncio.open_connection(*one.getsockname())
                writer.write(GET)
                await reader.readuntil(b"\r\n\r\n")
                writer.close()
        assert first.steps.count("request") == 2
        assert second.steps.count("request") == 2

    run(loop_name, main)


@both_loops
def test_nothing_is_left_behind(loop_name: str, caplog: pytest.LogCaptureFixture) -> None:
    """No task, no socket, no timer, no descriptor; in asyncio's debug mode, too."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.set_debug(True)
        before = asyncio.all_tasks()
        await once(before)  # a loop keeps some descriptors once it has needed them
        if not HAS_PROC:
            return
        descriptors = len(os.listdir("/proc/self/fd"))
        await once(before)
        await until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors)

    async def once(before: set[asyncio.Task[object]]) -> None:
        sock = bind_tcp(["127.0.0.1"], 0)[0]
        with sock:
            async with Server(Steps(), sockets=[sock]) as server:
                context = server.context
                writers = []
                for index in range(5):
                    reader, writer = await asyncio.open_connection(*server.addresses[0])
                    writer.write(GET if index else GET[:10])
                    if index:
                        await reader.readuntil(b"\r\n\r\n")
                    writers.append(writer)
                writers[0].close()
            assert not context.connections
            assert not context.streams
            assert server._sweeper is not None
            assert server._sweeper.cancelled()
            for writer in writers:
                writer.close()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before

    with warnings.catch_warnings(), no_errors(caplog):
        warnings.simplefilter("error")
        caplog.set_level(logging.WARNING, "asyncio")
        run(loop_name, main)
        gc.collect()


def test_loop_that_was_held_up_reads_before_the_sweep_judges() -> None:
    """An application that blocks the loop must not cost clients their deadlines."""

    async def main() -> None:
        async with MemoryServer(Steps()) as memory:
            server = memory.server
            now = server.context.clock()
            server.context.clock = lambda: now
            client, silent = memory.connect(), memory.connect()
            client.send(GET[:9])
            now += 40  # nothing was read and nothing was swept meanwhile
            server._sweep_and_repeat()
            assert not client.closed
            client.send(GET[9:])
            now += 0.05
            server._sweep_and_repeat()
            assert (await client.receive_response()).status == 200
            assert silent.closed
            client.abort()

    asyncio.run(main())

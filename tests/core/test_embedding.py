"""`granian_core.Server` inside a program: binding by itself, and leaving nothing behind."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from granian_core import (
    BaseInterface,
    BindError,
    ConfigurationError,
    HTTPStream,
    Server,
    ServerState,
    StartupError,
)
from granian_core.loops import loops

CYCLES = 200
PATIENCE = 20


class Hello(BaseInterface):
    def handle_http(self, stream: HTTPStream) -> None:
        stream.respond(200, [(b"content-type", b"text/plain")], b"hello")


class Refusing(Hello):
    async def startup(self) -> None:
        raise StartupError("not today")


async def get(address: tuple[str, int] | str) -> bytes:
    if isinstance(address, str):
        reader, writer = await asyncio.open_unix_connection(address)
    else:
        reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), PATIENCE)
    writer.close()
    await writer.wait_closed()
    return answer


def tcp(server: Server) -> tuple[str, int]:
    host, port = server.addresses[0]
    assert port is not None
    return host, port


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Iterator[Callable[..., None]]:
    """Run a coroutine on each loop, in debug mode, where no warning may pass."""
    if request.param not in loops:
        pytest.skip(f"{request.param} is not installed")

    def runner(coroutine: object) -> None:
        loop = loops.get(request.param)
        loop.set_debug(True)
        try:
            loop.run_until_complete(coroutine)  # type: ignore[arg-type]
        finally:
            asyncio.set_event_loop(None)
            loop.close()

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield runner
        gc.collect()


def test_a_server_binds_for_itself_and_says_where(run: Callable[..., None]) -> None:
    async def main() -> None:
        server = Server(Hello(), host="127.0.0.1", port=0)
        assert server.addresses == []
        assert not server.started.is_set()
        async with server:
            assert server.started.is_set()
            host, port = tcp(server)
            assert host == "127.0.0.1"
            assert port > 0
            assert (await get((host, port))).endswith(b"hello")
        assert server.addresses == []
        with pytest.raises(OSError, match="refused|Connect call failed"):
            await get((host, port))

    run(main())


def test_several_servers_in_one_loop(run: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        async with (
            Server(Hello(), host="localhost") as first,
            Server(Hello(), host="127.0.0.1", uds=path) as second,
        ):
            assert (await get(tcp(first))).endswith(b"hello")
            assert (await get(tcp(second))).endswith(b"hello")
            assert second.addresses[-1] == (str(path), None)
            assert (await get(str(path))).endswith(b"hello")
        assert not path.exists()

    run(main())


def test_started_wakes_who_waits(run: Callable[..., None]) -> None:
    async def main() -> None:
        server = Server(Hello(), host="127.0.0.1")
        waiting = asyncio.ensure_future(server.started.wait())
        async with server:
            assert await asyncio.wait_for(waiting, PATIENCE)

    run(main())


def test_a_failed_start_lets_go_of_the_address(run: Callable[..., None], tmp_path: Path) -> None:
    path = tmp_path / "socket"

    async def main() -> None:
        server = Server(Refusing(), host="127.0.0.1", uds=path)
        with pytest.raises(StartupError, match="not today"):
            await server.start()
        assert server.state is ServerState.STOPPED
        assert server.addresses == []
        assert not path.exists()

    run(main())


def test_an_address_in_use_is_one_clear_error(tmp_path: Path) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = Server(Hello(), host="127.0.0.1", port=taken.getsockname()[1])
            with pytest.raises(BindError, match="the address is in use"):
                await server.start()
        half = Server(Hello(), host="127.0.0.1", uds=tmp_path / "absent" / "socket")
        with pytest.raises(BindError, match="its directory does not exist"):
            await half.start()
        assert half.addresses == []
        with pytest.raises(ConfigurationError, match="use 0 to 65535"):
            await Server(Hello(), host="127.0.0.1", port=70_000).start()

    asyncio.run(main())


def test_stop_before_start_and_twice() -> None:
    async def main() -> None:
        server = Server(Hello(), host="127.0.0.1")
        await server.stop()
        await server.start()
        await asyncio.gather(server.stop(), server.stop())
        await server.stop()
        assert server.state is ServerState.STOPPED

    asyncio.run(main())


def test_stop_from_another_thread() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        server = Server(Hello(), host="127.0.0.1")
        await server.start()

        def stop() -> None:
            asyncio.run_coroutine_threadsafe(server.stop(), loop).result(PATIENCE)

        await asyncio.to_thread(stop)
        assert server.state is ServerState.STOPPED

    asyncio.run(main())


@asynccontextmanager
async def a_server() -> AsyncIterator[Server]:
    """What a pytest fixture of an application does."""
    async with Server(Hello(), host="127.0.0.1", port=0) as server:
        yield server


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs /proc")
def test_two_hundred_cycles_leave_nothing(
    run: Callable[..., None], caplog: pytest.LogCaptureFixture
) -> None:
    threads = set(threading.enumerate())

    async def main() -> None:
        tasks = asyncio.all_tasks()
        for cycle in range(CYCLES):
            async with a_server() as server:
                assert (await get(tcp(server))).endswith(b"hello")
            if cycle == 1:  # by now the loop has what it keeps
                await asyncio.sleep(0)
                before = len(os.listdir("/proc/self/fd"))
        await asyncio.sleep(0)
        gc.collect()
        assert asyncio.all_tasks() == tasks
        assert len(os.listdir("/proc/self/fd")) == before

    with caplog.at_level(logging.WARNING):
        run(main())

    assert [r.getMessage() for r in caplog.records if "Executing" not in r.getMessage()] == []
    assert set(threading.enumerate()) <= threads

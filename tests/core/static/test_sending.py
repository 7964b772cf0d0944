"""Long files over real sockets, where the kernel sends them, and in memory, where it can not."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from granian_core import (
    BaseInterface,
    BlockingPool,
    BlockingStream,
    HTTPStream,
    Server,
    ServerConfig,
    run_blocking,
)
from granian_core.http1 import connection as http1_connection
from granian_core.http1 import sendfile
from granian_core.settings import Limits, StaticSettings
from granian_core.testing import MemoryServer
from tests.core.loopback import both_loops, run, until

SIZE = 24 << 20
GET = b"GET /static/large.bin HTTP/1.1\r\nHost: a\r\n\r\n"
LENGTH = b"content-length: %d\r\n" % SIZE

needs_sendfile = pytest.mark.skipif(not hasattr(os, "sendfile"), reason="needs os.sendfile")


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sending") / "large.bin"
    path.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
    return path


class Application(BaseInterface):
    def handle_http(self, stream: HTTPStream) -> None:
        stream.respond(299, [], b"application")


class Running:
    """A server on a loopback socket with one client whose receive buffer is small."""

    def __init__(self, directory: Path, limits: Limits | None = None) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        static = StaticSettings(mount=(directory,))
        config = ServerConfig(static=static, limits=limits or Limits())
        self.server = Server(Application(), sockets=[self._listener], config=config)

    async def __aenter__(self) -> Running:
        await self.server.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.server.stop(2.0)
        self._listener.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(*self._listener.getsockname()[:2], limit=65_536)

    @property
    def connection(self) -> http1_connection.HTTP1Connection:
        (connection,) = self.server.context.connections
        assert isinstance(connection, http1_connection.HTTP1Connection)
        return connection


@needs_sendfile
@both_loops
def test_the_kernel_sends_and_the_connection_goes_on(loop_name: str, large: Path) -> None:
    async def main() -> None:
        async with Running(large.parent) as running:
            reader, writer = await running.connect()
            for _ in range(2):
                writer.write(GET)
                head = await reader.readuntil(b"\r\n\r\n")
                assert LENGTH in head
                await until(lambda: _is_sending(running.server))
                assert await reader.readexactly(SIZE) == _content(large)
                writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                assert b" 299 " in await reader.readuntil(b"\r\n\r\n")
                assert await reader.readexactly(11) == b"application"
            assert running.connection.file_sending is None
            assert running.connection.file_left == 0
            writer.close()

    run(loop_name, main)


@needs_sendfile
@both_loops
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_ends_the_sending(loop_name: str, how: str, large: Path) -> None:
    async def main() -> None:
        before = _descriptors()
        async with Running(large.parent) as running:
            _, writer = await running.connect()
            writer.write(GET)
            await until(lambda: _is_sending(running.server))
            if how == "reset":
                writer.transport.abort()
            else:
                writer.close()
            await until(lambda: not running.server.context.streams)
            await until(lambda: not running.server.context.connections)
        await until(lambda: _descriptors() <= before + 4)

    run(loop_name, main)


@needs_sendfile
@both_loops
def test_a_client_that_takes_nothing_is_dropped(loop_name: str, large: Path) -> None:
    async def main() -> None:
        async with Running(large.parent, Limits(write_timeout=0.3)) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            await until(lambda: len(running.server.context.connections) == 1)
            await until(lambda: not running.server.context.connections)
            assert len(await _all(reader)) < SIZE
            writer.close()

    run(loop_name, main)


@needs_sendfile
@both_loops
def test_where_the_kernel_can_not_the_file_is_read(
    loop_name: str, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def refuse(*args: object) -> int:
        calls.append(1)
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(sendfile.os, "sendfile", refuse)

    async def main() -> None:
        async with Running(large.parent) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(SIZE) == _content(large)
            writer.close()

    run(loop_name, main)
    assert calls


@needs_sendfile
@both_loops
def test_a_read_error_in_the_middle_cuts_the_response(
    loop_name: str, large: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(sendfile.os, "sendfile", fail)

    async def main() -> None:
        async with Running(large.parent) as running:
            reader, writer = await running.connect()
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            assert await _all(reader) == b""
            writer.close()

    run(loop_name, main)
    assert "Cannot send all of" in caplog.text
    assert "Input/output error" in caplog.text


@both_loops
def test_a_file_that_shrinks_cuts_the_response(
    loop_name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "large.bin"

    async def main() -> None:
        async with Running(tmp_path) as running:
            with path.open("wb") as file:
                file.truncate(SIZE)
            reader, writer = await running.connect()
            writer.write(GET)
            assert LENGTH in await reader.readuntil(b"\r\n\r\n")
            os.truncate(path, 1000)
            assert len(await _all(reader)) < SIZE
            writer.close()

    run(loop_name, main)
    assert "Cannot send all of" in caplog.text


@needs_sendfile
@both_loops
def test_a_thread_leaves_a_long_file_to_the_kernel(loop_name: str, large: Path) -> None:
    pool = BlockingPool(2)
    seen: list[int] = []

    def call(stream: BlockingStream) -> None:
        with large.open("rb") as file:
            stream.start(200, [(b"content-length", b"%d" % SIZE)])
            stream.send_file(file, SIZE)
            seen.append(file.tell())
            stream.finish()

    class Threaded(BaseInterface):
        def handle_http(self, stream: HTTPStream) -> None:
            run_blocking(pool, stream, call)

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            async with Server(Threaded(), sockets=[listener]) as server:
                reader, writer = await asyncio.open_connection(*listener.getsockname()[:2])
                for _ in range(2):
                    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                    assert LENGTH in await reader.readuntil(b"\r\n\r\n")
                    await until(lambda: _is_sending(server))
                    assert await reader.readexactly(SIZE) == _content(large)
                writer.close()

    run(loop_name, main)
    pool.shutdown(wait=True, timeout=5)
    assert seen == [SIZE, SIZE]


def test_in_memory_the_file_is_read_with_back_pressure(large: Path) -> None:
    async def main() -> None:
        static = StaticSettings(mount=(large.parent,))
        async with MemoryServer(Application(), ServerConfig(static=static)) as server:
            client = server.connect()
            client.transport.stalled = True
            client.send_request("GET", "/static/large.bin")
            await client.wait_for(lambda: client.transport.writing_paused)
            assert client.transport.get_write_buffer_size() < 1 << 20
            client.transport.stalled = False
            assert (await client.receive_response()).body == _content(large)

    asyncio.run(main())


def _content(path: Path) -> bytes:
    return path.read_bytes()


def _descriptors() -> int:
    """Return how many descriptors this process has open, 0 where nobody tells."""
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _is_sending(server: Server) -> bool:
    return any(
        isinstance(one, http1_connection.HTTP1Connection) and one.file_sending is not None
        for one in server.context.connections
    )


async def _all(reader: asyncio.StreamReader) -> bytes:
    """Return what still comes; a reset ends it as well."""
    data = bytearray()
    try:
        while piece := await reader.read(1 << 20):
            data += piece
    except ConnectionResetError:
        pass
    return bytes(data)

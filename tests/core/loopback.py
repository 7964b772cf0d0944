"""A server on a loopback socket, on each loop, with a client that sees every byte."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from typing import Any

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
from granian_core.loops import loops
from granian_core.sockets import bind_tcp

PATIENCE = 20.0
"""Seconds after which an event that has to come is taken for lost."""

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"

both_loops = pytest.mark.parametrize("loop_name", ["asyncio", "uvloop"])


def get(path: str, more: str = "") -> bytes:
    """Return the head of a GET."""
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()


def run(loop_name: str, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run *main* on a loop of that kind, within the patience of a test."""
    if loop_name not in loops:
        pytest.skip(f"{loop_name} is not installed")
    loop = loops.get(loop_name)
    try:
        loop.run_until_complete(asyncio.wait_for(main(), 2 * PATIENCE))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what other threads or the kernel bring about."""
    async with asyncio.timeout(PATIENCE) if hasattr(asyncio, "timeout") else _untimed():
        while not condition():
            await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def _untimed() -> AsyncIterator[None]:
    yield


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def send_eof(self) -> None:
        self.writer.write_eof()

    async def response(self, *, head: bool = False) -> tuple[bytes, bytes]:
        """Return the next response's head and body; *head* if it answers HEAD."""
        lines = await self._within(self.reader.readuntil(b"\r\n\r\n"))
        low = lines.lower()
        if head or lines[9:10] == b"1" or lines[9:12] in (b"204", b"304"):
            return lines, b""
        if b"\r\ntransfer-encoding: chunked\r\n" in low:
            return lines, await self._within(self._chunks())
        _, field, rest = low.partition(b"\r\ncontent-length: ")
        if not field:
            return lines, await self.rest()
        return lines, await self._within(self.reader.readexactly(int(rest.split(b"\r\n")[0])))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            body += await self.reader.readexactly(size)
            assert await self.reader.readexactly(2) == b"\r\n"
        assert await self.reader.readexactly(2) == b"\r\n"
        return body

    async def rest(self) -> bytes:
        """Return what comes until the server closes."""
        return await self._within(self.reader.read())

    async def _within(self, coro: Coroutine[Any, Any, bytes]) -> bytes:
        return await asyncio.wait_for(coro, PATIENCE)

    def abort(self) -> None:
        """Reset the connection."""
        sock = self.writer.get_extra_info("socket")
        if sock is not None and not self.writer.transport.is_closing():
            # On close: no FIN, but a reset.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def close(self) -> None:
        self.writer.close()


class Loopback:
    """A running server, and clients of it."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.clients: list[Client] = []

    async def connect(self, receive_buffer: int | None = None) -> Client:
        sock = socket.socket()
        if receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        host, port = self.server.addresses[0]
        await loop.sock_connect(sock, (host, port))
        client = Client(*await asyncio.open_connection(sock=sock))
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def serving(
    interface: BaseInterface, config: ServerConfig | None = None
) -> AsyncIterator[Loopback]:
    """Serve *interface*; afterwards drop every client and stop."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in bind_tcp(["127.0.0.1"], 0)]
        async with Server(interface, sockets=sockets, config=config) as server:
            subject = Loopback(server)
            try:
                yield subject
            finally:
                for client in subject.clients:
                    client.abort()
                await until(lambda: not server.context.connections)


class Threaded(BaseInterface):
    """Calls a function on a pool thread for each request.

    Attributes:
        prepare: Called on the loop with the stream, just before the thread gets it.
        ended: One release for each call that has been settled.
    """

    def __init__(self, call: Callable[[BlockingStream], None], threads: int = 4) -> None:
        self.pool = BlockingPool(threads)
        self._call = call
        self.prepare: Callable[[HTTPStream], object] = lambda _: None

    def handle_http(self, stream: HTTPStream) -> None:
        self.prepare(stream)
        run_blocking(self.pool, stream, self._call)

    async def shutdown(self) -> None:
        self.pool.shutdown(wait=False)


def wait(event: threading.Event) -> None:
    """Wait in a thread for what must come."""
    assert event.wait(PATIENCE), "what the thread waits for has not come"


@contextlib.contextmanager
def no_errors(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that nothing above INFO is logged."""
    with caplog.at_level(logging.DEBUG):
        yield
    assert [one.getMessage() for one in caplog.records if one.levelno > logging.INFO] == []

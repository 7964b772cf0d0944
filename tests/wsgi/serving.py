"""An application on the real core, over a real socket or over one in memory.

Over a socket the response leaves from the pool thread; in memory, where there is no
descriptor, every operation crosses to the loop. Both ways have to look the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest

from granian_core import (
    BlockingPool,
    InterfaceOptions,
    RemoteProtocolError,
    Server,
    ServerConfig,
)
from granian_core.testing import MemoryClient, MemoryServer
from granian_core.testing.http2 import MemoryHTTP2Client
from granian_wsgi import wsgi

PATIENCE = 30.0
"""Seconds after which an event that has to come is taken for lost."""


@dataclass
class Reply:
    """A response as the client got it."""

    status: int
    reason: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    complete: bool = False
    """False if the connection ended before the response did."""
    blocks: list[bytes] = field(default_factory=list)
    """The body as it was cut into chunks on the wire."""
    informational: list[int] = field(default_factory=list)
    """The 1xx statuses that came before."""

    def header(self, name: bytes) -> bytes | None:
        """Return the value of a field that is there once, or None."""
        values = [value for key, value in self.headers if key == name]
        assert len(values) <= 1
        return values[0] if values else None


class Client:
    """One connection; replies are read one after the other."""

    def __init__(self) -> None:
        self._rest = b""

    def send(self, data: bytes) -> None:
        """Send bytes, as they are."""
        raise NotImplementedError

    async def read(self) -> bytes:
        """Return bytes that have come, none at the end."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave, without reading what is still to come."""
        raise NotImplementedError

    def end(self) -> None:
        """Send nothing more, but go on reading."""
        raise NotImplementedError

    def get(self, target: str = "/", *fields: str, method: str = "GET", body: bytes = b"") -> None:
        """Send a request; a body is announced by its length."""
        lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    async def receive(self, method: str = "GET") -> Reply:
        """Receive the next reply, whole or cut."""
        parser = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 24)
        parser.send(h11.Request(method=method, target="/", headers=[("host", "test")]))
        parser.send(h11.EndOfMessage())
        parser.receive_data(self._rest) if self._rest else None
        self._rest = b""
        informational: list[int] = []
        reply: Reply | None = None
        while True:
            try:
                event = parser.next_event()
                if event is h11.NEED_DATA:
                    data = await asyncio.wait_for(self.read(), PATIENCE)
                    parser.receive_data(data)
                    continue
            except (h11.RemoteProtocolError, ConnectionError):
                assert reply is not None, "the connection ended without a reply"
                return reply
            if isinstance(event, h11.InformationalResponse):
                informational.append(event.status_code)
            elif isinstance(event, h11.Response):
                headers = [(bytes(name), bytes(value)) for name, value in event.headers]
                reply = Reply(event.status_code, bytes(event.reason), headers)
                reply.informational = informational
            elif isinstance(event, h11.Data):
                assert reply is not None
                reply.body += event.data
                reply.blocks.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                assert reply is not None
                reply.complete = True
                self._rest = parser.trailing_data[0]
                return reply
            else:
                pytest.fail(f"no reply: {event!r}")

    async def request(self, *args: Any, **kwargs: Any) -> Reply:
        """Send a request as `get` does and receive its reply."""
        self.get(*args, **kwargs)
        return await self.receive(kwargs.get("method", "GET"))


class SocketClient(Client):
    """Over a TCP connection to the loopback interface."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__()
        self._reader = reader
        self._writer = writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def read(self) -> bytes:
        return await self._reader.read(65_536)

    def close(self) -> None:
        self._writer.transport.abort()

    def end(self) -> None:
        self._writer.write_eof()


class InMemoryClient(Client):
    """Over a pair of buffers."""

    def __init__(self, client: MemoryClient) -> None:
        super().__init__()
        self._client = client
        self._taken = 0

    def send(self, data: bytes) -> None:
        self._client.send(data)

    async def read(self) -> bytes:
        await self._client.wait_for(
            lambda: len(self._client.output) > self._taken or self._client.closed
        )
        data = self._client.output[self._taken :]
        self._taken += len(data)
        return data

    async def receive(self, method: str = "GET") -> Reply:
        if not isinstance(self._client, MemoryHTTP2Client):
            return await super().receive(method)
        stream = self._client._waiting[0]
        complete = True
        try:
            response = await self._client.receive_response(method)
        except RemoteProtocolError:
            complete = False
            assert stream in self._client._responses, "the stream ended without a reply"
            response = self._client._responses[stream]
        return Reply(
            response.status,
            response.reason,
            response.headers,
            response.body,
            complete,
            informational=[answer.status for answer in response.informational],
        )

    def close(self) -> None:
        self._client.abort()

    def end(self) -> None:
        self._client.send_eof()


class Serving:
    """Serve an application; leaving waits until all its calls have returned.

    Args:
        application: The application.
        transport: ``socket``, or ``memory`` over what `MemoryServer` serves by default.
        threads: Size of the pool.
        config: The server's settings.
        options: Further fields of `InterfaceOptions`.
    """

    def __init__(
        self,
        application: object,
        transport: str = "socket",
        *,
        threads: int = 4,
        config: ServerConfig | None = None,
        **options: Any,
    ) -> None:
        self.pool = BlockingPool(threads)
        interface = wsgi(application, InterfaceOptions(blocking_pool=self.pool, **options))
        self._stack = contextlib.AsyncExitStack()
        self._memory: MemoryServer | None = None
        self._socket: socket.socket | None = None
        if transport == "memory":
            self._memory = MemoryServer(interface, config)
        else:
            self._socket = socket.create_server(("127.0.0.1", 0))
            self._server = Server(
                interface, sockets=[self._socket], config=config or ServerConfig()
            )

    async def __aenter__(self) -> Serving:
        self._stack.push_async_callback(self._end_pool)
        if self._socket is not None:
            self._stack.enter_context(self._socket)
        server: Any = self._memory if self._memory is not None else self._server
        await self._stack.enter_async_context(server)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._stack.aclose()

    async def _end_pool(self) -> None:
        assert await asyncio.to_thread(self.pool.shutdown, True, PATIENCE)

    async def connect(self, *, receive_buffer: int = 0) -> Client:
        """Open a connection.

        Args:
            receive_buffer: Bytes that the kernel may hold for the client; 0 for its default.
        """
        if self._memory is not None:
            return InMemoryClient(self._memory.connect())
        assert self._socket is not None
        connection = socket.socket()
        if receive_buffer:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, self._socket.getsockname())
        reader, writer = await asyncio.open_connection(sock=connection)
        self._stack.callback(_abort, writer)
        return SocketClient(reader, writer)


def _abort(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def fetch(
    application: object,
    transport: str = "socket",
    *request: str,
    method: str = "GET",
    body: bytes = b"",
    **options: Any,
) -> Reply:
    """Serve *application* for one request, and return its reply once the call has ended."""
    async with Serving(application, transport, **options) as server:
        client = await server.connect()
        return await client.request(*request, method=method, body=body)


def blocks(*items: bytes) -> Iterable[bytes]:
    """Return an iterator, whose length nobody can know."""
    return iter(items)

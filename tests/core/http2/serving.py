"""A server in memory, and an HTTP/2 client that writes its frames by hand."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeAlias

from hpack import Decoder, Encoder

from granian_core import BaseInterface, HTTP2Settings, HTTPStream, Limits, ServerConfig
from granian_core.http2.connection import HTTP2Connection
from granian_core.http2.contract import PREFACE
from granian_core.http2.frames import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PING,
    RST_STREAM,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
    ping_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from granian_core.settings import EngineChoice
from granian_core.testing import MemoryServer

Handler: TypeAlias = Callable[[HTTPStream], Awaitable[None] | None]
Pairs: TypeAlias = list[tuple[bytes, bytes]]

HELLO = PREFACE + settings_frame([])

ENGINE: EngineChoice = "auto"
"""The engine of servers that name none; see conftest.py."""


class FromFunction(BaseInterface):
    """An interface made of one function."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler

    def handle_http(self, stream: HTTPStream) -> Awaitable[None] | None:
        return self._handler(stream)


class Client:
    """One connection; reads what the server sent whenever it is asked."""

    def __init__(self, server: MemoryServer, *, hello: bytes = HELLO) -> None:
        self.memory = server.connect()
        self.transport = self.memory.transport
        self.encoder = Encoder()
        self._decoder = Decoder()
        self._position = 0
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.fields: dict[int, list[Pairs]] = {}
        self.bodies: dict[int, bytes] = {}
        self.ended: list[int] = []
        self.resets: dict[int, int] = {}
        self.goaways: list[tuple[int, int]] = []
        self.credits: dict[int, int] = {}
        if hello:
            self.send(hello)

    @property
    def connection(self) -> HTTP2Connection:
        """The server's end."""
        protocol = self.transport.get_protocol()
        assert isinstance(protocol, HTTP2Connection)
        return protocol

    @property
    def is_open(self) -> bool:
        """Whether the server has kept the connection."""
        return not self.transport.is_closing() and not self.transport.eof_written

    def send(self, data: bytes) -> None:
        """Send bytes, if there is still a connection."""
        if not self.transport.is_closing():
            self.memory.send(data)

    def request(
        self,
        stream: int = 1,
        *more: tuple[bytes, bytes],
        method: bytes = b"GET",
        path: bytes = b"/",
        end: bool = True,
    ) -> None:
        """Send a request head."""
        self.send(self.head(stream, *more, method=method, path=path, end=end))

    def head(
        self,
        stream: int,
        *more: tuple[bytes, bytes],
        method: bytes = b"GET",
        path: bytes = b"/",
        end: bool = True,
    ) -> bytes:
        """Return a HEADERS frame."""
        fields = [(b":method", method), (b":scheme", b"http"), (b":path", path),
                  (b":authority", b"a"), *more]  # fmt: skip
        flags = END_HEADERS | (END_STREAM if end else 0)
        return frame(HEADERS, flags, stream, self.encoder.encode(fields, huffman=False))

    def data(self, payload: bytes, stream: int = 1, *, end: bool = False) -> None:
        """Send DATA."""
        self.send(frame(DATA, END_STREAM if end else 0, stream, payload))

    def window(self, size: int, stream: int = 0) -> None:
        """Send WINDOW_UPDATE."""
        self.send(window_frame(stream, size))

    def settings(self, *pairs: tuple[int, int]) -> None:
        """Send SETTINGS."""
        self.send(settings_frame(list(pairs)))

    def reset(self, stream: int, code: int = 8) -> None:
        """Send RST_STREAM."""
        self.send(reset_frame(stream, code))

    def ping(self, data: bytes = b"12345678", *, ack: bool = False) -> None:
        """Send PING."""
        self.send(ping_frame(data, ack=ack))

    async def turn(self, count: int = 10) -> None:
        """Let the loop run what is ready, and read what came of it."""
        await turns(count)
        self.read()

    def read(self) -> None:
        """Take what the server has sent."""
        output = self.transport.output
        while len(output) - self._position >= 9:
            at = self._position
            size = int.from_bytes(output[at : at + 3], "big")
            if len(output) - at < 9 + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", output, at + 3)
            payload = bytes(output[at + 9 : at + 9 + size])
            self._position += 9 + size
            self.frames.append((kind, flags, stream, payload))
            self._take(kind, flags, stream, payload)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            decoded = self._decoder.decode(payload, raw=True)
            self.fields.setdefault(stream, []).append([(bytes(n), bytes(v)) for n, v in decoded])
        elif kind == DATA:
            self.bodies[stream] = self.bodies.get(stream, b"") + payload
        elif kind == RST_STREAM:
            (self.resets[stream],) = struct.unpack(">I", payload)
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack_from(">II", payload))
        elif kind == WINDOW_UPDATE:
            self.credits[stream] = self.credits.get(stream, 0) + struct.unpack(">I", payload)[0]
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.ended.append(stream)

    def status(self, stream: int) -> int:
        """Return the final status on a stream, or 0."""
        for fields in self.fields.get(stream, []):
            if fields[0][0] == b":status" and int(fields[0][1]) >= 200:
                return int(fields[0][1])
        return 0

    def pings(self, *, ack: bool = False) -> list[bytes]:
        """Return what the server's PING frames held."""
        return [p for k, f, _, p in self.frames if k == PING and bool(f & ACK) == ack]

    def count(self, kind: int) -> int:
        """Return how many frames of a type came."""
        return sum(one[0] == kind for one in self.frames)

    @property
    def sent_settings(self) -> list[dict[int, int]]:
        """The server's SETTINGS."""
        return [
            dict(struct.iter_unpack(">HI", payload))
            for kind, flags, _, payload in self.frames
            if kind == SETTINGS and not flags & ACK
        ]


class Serving:
    """A running server and its clock."""

    def __init__(self, server: MemoryServer) -> None:
        self.server = server
        self.context = server.server.context
        self.now = 1000.0
        self.context.clock = lambda: self.now
        server.server.sweep(self.now)
        self.clients: list[Client] = []

    def connect(self, *, hello: bytes = HELLO) -> Client:
        client = Client(self.server, hello=hello)
        self.clients.append(client)
        return client

    async def advance(self, seconds: float, step: float = 1.0) -> None:
        """Let time pass in steps, with a sweep after each, as the server would."""
        while seconds > 1e-9:
            await turns()
            self.now += min(step, seconds)
            seconds -= step
            self.server.server.sweep(self.now)
        await turns()
        for client in self.clients:
            client.read()


async def turns(count: int = 10) -> None:
    """Let the loop run whatever is ready."""
    for _ in range(count):
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(
    handler: Handler,
    *,
    limits: Limits | None = None,
    backpressure: int = 1024,
    **http2: Any,
) -> AsyncIterator[Serving]:
    """Serve *handler*; afterwards every connection is dropped."""
    http2.setdefault("engine", ENGINE)
    config = ServerConfig(
        http2=HTTP2Settings(**http2), limits=limits or Limits(), backpressure=backpressure
    )
    async with MemoryServer(FromFunction(handler), config) as server:
        yield Serving(server)
        for client in server.clients:
            client.abort()
        await turns()
        for stream in list(server.server.context.streams):
            if stream.task is not None:  # some run on whatever happens
                stream.cancelled = True
                stream.task.cancel()
        await turns()


async def echo(stream: HTTPStream) -> None:
    """Answer with the request's body."""
    stream.respond(200, [], await stream.read_all())


async def hold(stream: HTTPStream) -> None:
    """Wait until the client is gone."""
    await stream.wait_disconnect()

"""Clients of every temper against one server, over real sockets; every answer is checked.

What an answer must be follows from the request's path alone (`content_of`), so an answer
that is cut, mixed up with another one or sent to the wrong client is noticed.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable

from granian_core import (
    BaseInterface,
    BlockingPool,
    BlockingStream,
    HTTPStream,
    run_blocking,
)
from granian_core.stream import Address

PIECE = 20_000
"""Bytes that a streaming answer writes at once."""

MODES = ("respond", "stream", "sized", "echo")


def content_of(path: str) -> bytes:
    """Return what ``/MODE/NUMBER/SIZE`` is answered with: SIZE bytes full of NUMBER."""
    _, _, number, size = path.split("/")
    pattern = f"<{number}>".encode()
    return (pattern * (int(size) // len(pattern) + 1))[: int(size)]


def pieces(content: bytes) -> list[bytes]:
    return [content[start : start + PIECE] for start in range(0, len(content), PIECE)]


def length_field(content: bytes) -> list[tuple[bytes, bytes]]:
    return [(b"content-length", b"%d" % len(content))]


class LoopApplication(BaseInterface):
    """Answers on the loop."""

    async def handle_http(self, stream: HTTPStream) -> None:
        content = content_of(stream.path)
        mode = stream.path.split("/")[1]
        if mode == "echo":
            assert await stream.read_all() == content
        if mode in ("respond", "echo"):
            stream.respond(200, (), content)
            return
        stream.start(200, length_field(content) if mode == "sized" else ())
        for piece in pieces(content):
            stream.write(piece)
            await stream.drain()
        stream.finish()


class ThreadApplication(BaseInterface):
    """Answers from the threads of a pool."""

    def __init__(self, pool: BlockingPool) -> None:
        self.pool = pool

    def handle_http(self, stream: HTTPStream) -> None:
        run_blocking(self.pool, stream, self.call)

    def call(self, blocking: BlockingStream) -> None:
        content = content_of(blocking.stream.path)
        mode = blocking.stream.path.split("/")[1]
        if mode == "echo":
            assert b"".join(iter(blocking.read, b"")) == content
        if mode in ("respond", "echo"):
            blocking.respond(200, (), content)
            return
        blocking.start(200, length_field(content) if mode == "sized" else ())
        for piece in pieces(content):
            blocking.write(piece)
        blocking.finish()


class Torture:
    """A crowd of clients.

    Args:
        address: Where the server listens.
        seed: What the crowd does is the same for the same seed.

    Attributes:
        done: How often each kind of client did its work.
    """

    def __init__(self, address: Address, seed: int) -> None:
        self.done: Counter[str] = Counter()
        self._host, self._port = address
        self._random = random.Random(seed)
        self._number = 0
        self._kinds: list[Callable[[], Awaitable[None]]] = [
            self.polite,
            self.pipelining,
            self.half_closing,
            self.quitting,
            self.cutting,
            self.slow,
        ]

    async def run(self, clients: int, at_once: int = 16) -> None:
        """Let *clients* of them visit, some at a time."""
        gate = asyncio.Semaphore(at_once)

        async def visit(kind: Callable[[], Awaitable[None]]) -> None:
            async with gate:
                await kind()

        kinds = [self._kinds[index % len(self._kinds)] for index in range(clients)]
        self._random.shuffle(kinds)
        await asyncio.gather(*(visit(kind) for kind in kinds))

    # -- the tempers -------------------------------------------------------------

    async def polite(self) -> None:
        """One request after the other on one connection."""
        reader, writer = await self._connect()
        for _ in range(self._random.randint(1, 6)):
            path = self._path(50_000)
            writer.write(request(path))
            await check(reader, path)
        await end(writer)
        self.done["polite"] += 1

    async def pipelining(self) -> None:
        """Several requests at once; the answers come in order."""
        reader, writer = await self._connect()
        paths = [self._path(30_000) for _ in range(self._random.randint(2, 8))]
        writer.write(b"".join(map(request, paths)))
        for path in paths:
            await check(reader, path)
        await end(writer)
        self.done["pipelining"] += 1

    async def half_closing(self) -> None:
        """A FIN right behind the request; the answer still comes whole."""
        reader, writer = await self._connect()
        path = self._path(200_000)
        writer.write(request(path))
        writer.write_eof()
        await check(reader, path)
        assert await reader.read() == b""
        await end(writer)
        self.done["half_closing"] += 1

    async def quitting(self) -> None:
        """A reset in the middle of a long answer."""
        reader, writer = await self._connect()
        writer.write(request(self._path(2_000_000, smallest=1_000_000)))
        await reader.read(self._random.randint(1, 5000))
        reset(writer)
        self.done["quitting"] += 1

    async def cutting(self) -> None:
        """Half a request, then a close or a reset."""
        _, writer = await self._connect()
        data = request(f"/echo/{self._next()}/1000")
        writer.write(data[: self._random.randrange(1, len(data))])
        await writer.drain()
        if self._random.random() < 0.5:
            reset(writer)
        else:
            await end(writer)
        self.done["cutting"] += 1

    async def slow(self) -> None:
        """A small window and small reads: the server has to wait for us."""
        reader, writer = await self._connect(window=8192)
        path = self._path(400_000, smallest=200_000)
        writer.write(request(path))
        await check(reader, path, step=3000)
        await end(writer)
        self.done["slow"] += 1

    # -- inside ------------------------------------------------------------------

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _path(self, largest: int, smallest: int = 0) -> str:
        size = self._random.randint(smallest, largest)
        return f"/{self._random.choice(MODES)}/{self._next()}/{size}"

    async def _connect(
        self, window: int | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        sock = socket.socket()
        sock.setblocking(False)
        if window is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        await asyncio.get_running_loop().sock_connect(sock, (self._host, self._port))
        return await asyncio.open_connection(sock=sock, limit=window or 65_536)


def request(path: str) -> bytes:
    """Return the request for *path*, with its content if the path is an echo."""
    content = content_of(path) if path.startswith("/echo/") else b""
    head = f"POST {path} HTTP/1.1\r\nHost: torture\r\nContent-Length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def check(reader: asyncio.StreamReader, path: str, step: int = 65_536) -> None:
    """Read one answer and hold it against what *path* demands."""
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), (path, head)
    fields = head.lower()
    if b"transfer-encoding: chunked" in fields:
        content = await read_chunked(reader)
    else:
        length = int(fields.split(b"content-length: ")[1].split(b"\r\n")[0])
        content = await read_exactly(reader, length, step)
    assert content == content_of(path), (path, len(content), content[:50])


async def read_exactly(reader: asyncio.StreamReader, length: int, step: int) -> bytes:
    parts = []
    while length:
        part = await reader.read(min(step, length))
        assert part, f"the answer was cut {length} bytes before its end"
        parts.append(part)
        length -= len(part)
    return b"".join(parts)


async def read_chunked(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append((await reader.readexactly(size + 2))[:-2])
    assert await reader.readexactly(2) == b"\r\n"
    return b"".join(parts)


async def end(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST (SO_LINGER with no time)."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()

"""Load a WebSocket server: raw frames that are masked once, so that the client costs little.

Every connection of an echo has one message on its way. In a broadcast one client speaks, and
speaks again when every client has heard it; each message *received* counts. Idle connections
are only opened, answer pings, and are held for a while.

Prints one line of JSON, as `benchmarks.load` reads it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable
from typing import cast

from benchmarks.cases import CASES, WebSocketLoad
from benchmarks.open_loop import percentile
from benchmarks.servers import HOST

_KEY = b"\x37\xfa\x21\x3d"
_CONNECT_TIMEOUT_S = 30.0
_OPENED_AT_ONCE = 100
_BINARY, _CLOSE, _PING, _PONG = 2, 8, 9, 10


def masked_frame(opcode: int, payload: bytes, *, compressed: bool = False) -> bytes:
    """Return a frame as a client sends it."""
    size = len(payload)
    first = bytes((0x80 | 0x40 * compressed | opcode,))
    if size < 126:
        head = first + bytes((0x80 | size,))
    elif size < 65_536:
        head = first + b"\xfe" + size.to_bytes(2, "big")
    else:
        head = first + b"\xff" + size.to_bytes(8, "big")
    keys = (_KEY * (size // 4 + 1))[:size]
    value = int.from_bytes(payload, "big") ^ int.from_bytes(keys, "big")
    return head + _KEY + value.to_bytes(size, "big")


def message(size: int) -> bytes:
    """Return a message of *size* octets that compresses about as well as JSON does."""
    items = (b'{"id": %d, "name": "item %d", "on": true}, ' % (n, n * 7919) for n in range(size))
    return b"".join(items)[:size]


def compressed(payload: bytes) -> bytes:
    """Return *payload* as permessage-deflate has it, without a window before it."""
    compressor = zlib.compressobj(6, zlib.DEFLATED, -12)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def handshake(path: str, *, deflate: bool) -> bytes:
    """Return an opening handshake."""
    offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
    return (
        f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\n"
        f"Sec-WebSocket-Version: 13\r\n{offer if deflate else ''}\r\n"
    ).encode()


class Client(asyncio.Protocol):
    """One connection.

    Args:
        request: Its handshake.
        deflate: The server has to agree on compression.
        on_message: Called with each data frame's payload.
        on_lost: Called when the connection ends.
    """

    def __init__(
        self,
        request: bytes,
        *,
        deflate: bool,
        on_message: Callable[[Client, bytes], None],
        on_lost: Callable[[Client, str], None],
    ) -> None:
        self._request = request
        self._deflate = deflate
        self._on_message = on_message
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._needed = 2
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sent_at = 0.0
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        # uvloop's transports do not register as asyncio.Transport; they have its methods.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that it ended."""
        if not self.opened.done():
            self.opened.set_exception(ConnectionError("closed during the handshake"))
        self._on_lost(self, "closed")

    def send(self, frame: bytes) -> None:
        """Send a frame."""
        if self.transport is not None:
            self.sent_at = time.perf_counter()
            self.transport.write(frame)

    def data_received(self, data: bytes) -> None:
        """Take the 101 or frames."""
        buffer = self._buffer
        buffer += data
        if not self.opened.done() and not self._take_head():
            return
        while len(buffer) >= self._needed:
            opcode, size, start = buffer[0] & 15, buffer[1] & 127, 2
            if size >= 126:
                start = 4 if size == 126 else 10
                if len(buffer) < start:
                    self._needed = start
                    return
                size = int.from_bytes(buffer[2:start], "big")
            if len(buffer) < start + size:
                self._needed = start + size
                return
            payload = bytes(buffer[start : start + size])
            del buffer[: start + size]
            self._needed = 2
            if opcode == _PING:
                self.send(masked_frame(_PONG, payload))
            elif opcode < _CLOSE:
                self._on_message(self, payload)

    def _take_head(self) -> bool:
        head, end, _ = bytes(self._buffer).partition(b"\r\n\r\n")
        if not end:
            return False
        del self._buffer[: len(head) + len(end)]
        agreed = b"permessage-deflate" in head
        if not head.startswith(b"HTTP/1.1 101 ") or agreed != self._deflate:
            self.opened.set_exception(ConnectionError(head.decode("latin-1")))
            return False
        self.opened.set_result(None)
        return True


class Load:
    """All connections, and what they counted."""

    def __init__(self, load: WebSocketLoad, path: str, connections: int) -> None:
        self._load = load
        self._count = load.clients or connections
        self._request = handshake(path, deflate=load.compressed)
        payload = message(load.octets)
        self._expected = payload
        packed = compressed(payload) if load.compressed else payload
        self._frame = masked_frame(_BINARY, packed, compressed=load.compressed)
        self._clients: list[Client] = []
        self._heard = 0
        self._checked = False
        self._failing = True
        self.latencies: list[float] = []
        self.failures: Counter[str] = Counter()
        self.running = False

    async def run(self, port: int, seconds: float) -> dict[str, object]:
        """Open, load for *seconds*, and return the result.

        Raises:
            OSError: The server refused a connection or the handshake.
        """
        await self._open(port)
        start = time.perf_counter()
        self.running = True
        if self._load.octets:
            for client in self._clients[:1] if self._load.broadcast else self._clients:
                client.send(self._frame)
        await asyncio.sleep(seconds)
        self.running = self._failing = False
        elapsed = time.perf_counter() - start
        for client in self._clients:
            if client.transport is not None:
                client.transport.abort()
        latencies = sorted(self.latencies)
        return {
            "requests": len(latencies) if self._load.octets else len(self._clients),
            "seconds": elapsed,
            "p50_us": percentile(latencies, 50) * 1e6,
            "p99_us": percentile(latencies, 99) * 1e6,
            "failures": dict(self.failures),
        }

    async def _open(self, port: int) -> None:
        loop = asyncio.get_running_loop()
        while len(self._clients) < self._count:
            few = min(_OPENED_AT_ONCE, self._count - len(self._clients))
            made = await asyncio.gather(
                *(loop.create_connection(self._client, HOST, port) for _ in range(few))
            )
            clients = [protocol for _, protocol in made]
            await asyncio.wait_for(
                asyncio.gather(*(client.opened for client in clients)), _CONNECT_TIMEOUT_S
            )
            self._clients += clients

    def _client(self) -> Client:
        return Client(
            self._request,
            deflate=self._load.compressed,
            on_message=self._broadcast if self._load.broadcast else self._echo,
            on_lost=self._lost,
        )

    def _lost(self, _client: Client, reason: str) -> None:
        if self._failing:
            self.failures[reason] += 1

    def _right(self, payload: bytes) -> bool:
        # What is compressed depends on what came before it: only the first is looked into.
        if not (self._load.compressed and self._checked):
            self._checked = True
            if self._load.compressed:
                payload = zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")
            if payload != self._expected:
                self.failures["wrong answer"] += 1
        return self.running

    def _echo(self, client: Client, payload: bytes) -> None:
        if self._right(payload):
            self.latencies.append(time.perf_counter() - client.sent_at)
            client.send(self._frame)

    def _broadcast(self, _client: Client, payload: bytes) -> None:
        if not self._right(payload):
            return
        speaker = self._clients[0]
        self.latencies.append(time.perf_counter() - speaker.sent_at)
        self._heard += 1
        if self._heard == self._count:
            self._heard = 0
            speaker.send(self._frame)


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", choices=CASES, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--connections", type=int, default=64)
    options = parser.parse_args()
    case = CASES[options.case]
    if case.websocket is None:
        parser.error(f"{case.name} is no WebSocket case")
    with contextlib.suppress(ImportError):
        import uvloop

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    try:
        result = asyncio.run(_loaded(case.websocket, case.path, options))
    except (OSError, asyncio.TimeoutError) as error:
        sys.exit(f"{type(error).__name__}: {error}")
    print(json.dumps(result))


async def _loaded(load: WebSocketLoad, path: str, options: argparse.Namespace) -> dict[str, object]:
    return await Load(load, path, options.connections).run(options.port, options.seconds)


if __name__ == "__main__":
    main()

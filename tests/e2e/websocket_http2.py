"""A client of WebSockets over HTTP/2: the h2 library with wsproto's frames on one stream."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.settings
from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode

GOAWAY = 7
Pairs = list[tuple[bytes, bytes]]

_CONFIG = h2.config.H2Configuration(client_side=True, header_encoding=None)


class WebSocket:
    """One stream of a connection.

    Attributes:
        status: The status of the answer, 0 before it.
        fields: The fields of the answer.
        body: What a denial says.
        reset: The code of RST_STREAM, or None.
        ended: The server has ended its side.
    """

    def __init__(self, connection: Connection, stream: int) -> None:
        self._connection = connection
        self._stream = stream
        self._frames = FrameProtocol(client=True, extensions=[])
        self.status = 0
        self.fields: dict[bytes, bytes] = {}
        self.body = b""
        self.reset: int | None = None
        self.ended = False

    def answered(self, fields: Pairs, offered: Sequence[PerMessageDeflate]) -> None:
        """Take the head of the answer."""
        self.fields = dict(fields)
        self.status = int(self.fields[b":status"])
        agreed: list[Extension] = []
        value = self.fields.get(b"sec-websocket-extensions")
        if value is not None:
            for extension in offered:
                extension.finalize(value.decode())
                agreed.append(extension)
        self._frames = FrameProtocol(client=True, extensions=agreed)

    def take(self, data: bytes) -> None:
        """Take what a DATA frame held."""
        if self.status == 200:
            self._frames.receive_bytes(data)
        else:
            self.body += data

    async def send(self, message: str | bytes) -> None:
        """Send a message, as the windows allow."""
        await self._connection.send(self._stream, self._frames.send_data(message))

    async def send_raw(self, data: bytes) -> None:
        """Send bytes that may be no frames."""
        await self._connection.send(self._stream, data)

    async def ping(self, payload: bytes) -> None:
        """Send a ping."""
        await self._connection.send(self._stream, self._frames.ping(payload))

    async def close(self, code: int, reason: str = "") -> None:
        """Send a close frame."""
        await self._connection.send(self._stream, self._frames.close(code, reason))

    async def end(self) -> None:
        """End our side of the stream."""
        await self._connection.send(self._stream, b"", end=True)

    async def receive(self) -> Any:
        """Return the next message, a pong's payload, or the pair of a close frame."""
        parts: list[Any] = []
        while True:
            for frame in self._frames.received_frames():
                payload: Any = frame.payload
                if frame.opcode is Opcode.PING:
                    await self._connection.send(self._stream, self._frames.pong(payload))
                elif frame.opcode in (Opcode.PONG, Opcode.CLOSE):
                    return frame.payload
                else:
                    parts.append(frame.payload)
                    if frame.message_finished:
                        return parts[0][:0].join(parts)
            assert not self.ended, "the server has ended the stream"
            assert self.reset is None, f"the stream was reset, code {self.reset}"
            await self._connection.read()

    async def wait_end(self) -> None:
        """Wait until the server has ended its side."""
        while not self.ended and self.reset is None:
            await self._connection.read()


class Connection:
    """One connection, and the WebSockets on it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h2 = h2.connection.H2Connection(_CONFIG)
        self._h2.initiate_connection()
        self._unread = b""
        self._streams: dict[int, WebSocket] = {}
        self._offers: dict[int, list[PerMessageDeflate]] = {}
        self.scheme = b"https" if writer.get_extra_info("ssl_object") else b"http"

    @property
    def announced(self) -> bool:
        """Whether the server takes extended CONNECT."""
        settings = self._h2.remote_settings
        return settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL, 0) == 1

    async def flush(self) -> None:
        """Send what h2 has to send."""
        self._writer.write(self._h2.data_to_send())
        await self._writer.drain()

    async def open(
        self,
        path: str = "/ws",
        more: Sequence[tuple[bytes, bytes]] = (),
        *,
        deflate: bool = False,
        version: bytes = b"13",
    ) -> WebSocket:
        """Open a WebSocket, and wait for the answer."""
        await self.flush()
        while not self.announced:
            await self.read()
        stream = self._h2.get_next_available_stream_id()
        fields = [
            (b":method", b"CONNECT"),
            (b":protocol", b"websocket"),
            (b":scheme", self.scheme),
            (b":authority", b"localhost"),
            (b":path", path.encode()),
            (b"sec-websocket-version", version),
            *more,
        ]
        offered = [PerMessageDeflate()] if deflate else []
        for extension in offered:
            offer = f"{extension.name}; {extension.offer()}"
            fields.append((b"sec-websocket-extensions", offer.encode()))
        self._offers[stream] = offered
        websocket = self._streams[stream] = WebSocket(self, stream)
        self._h2.send_headers(stream, fields)
        await self.flush()
        while not websocket.status:
            await self.read()
        return websocket

    async def send(self, stream: int, data: bytes | bytearray, *, end: bool = False) -> None:
        """Send on a stream, as the windows allow."""
        view = memoryview(bytes(data))
        while view or end:
            room = min(self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size)
            if view and room <= 0:
                await self.read()
                continue
            piece, view = bytes(view[:room]), view[room:]
            last = end and not view
            self._h2.send_data(stream, piece, end_stream=last)
            await self.flush()
            end = end and not last

    async def read(self) -> None:
        """Take what the server sends next."""
        data = await self._reader.read(65_536)
        assert data, "the server has closed the connection"
        self._unread += data
        while len(self._unread) >= 9:
            end = 9 + int.from_bytes(self._unread[:3], "big")
            if len(self._unread) < end:
                break
            frame, self._unread = self._unread[:end], self._unread[end:]
            if frame[3] == GOAWAY:
                continue  # h2 would take it for the end of everything, at once
            for event in self._h2.receive_data(frame):
                self._take(event)
        await self.flush()

    def _take(self, event: h2.events.Event) -> None:
        websocket = self._streams.get(getattr(event, "stream_id", None) or 0)
        if websocket is None:
            return
        if isinstance(event, h2.events.ResponseReceived):
            websocket.answered(event.headers, self._offers[event.stream_id])
        elif isinstance(event, h2.events.DataReceived):
            websocket.take(event.data)
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            websocket.ended = True
        elif isinstance(event, h2.events.StreamReset):
            websocket.reset = int(event.error_code)


@asynccontextmanager
async def connect(
    host: str, port: int, context: ssl.SSLContext | None = None
) -> AsyncIterator[Connection]:
    """Connect with prior knowledge, or by ALPN where *context* is given."""
    if context is not None:
        context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        host, port, ssl=context, server_hostname="localhost" if context else None
    )
    try:
        yield Connection(reader, writer)
    finally:
        writer.transport.abort()

"""The client's end of an in-memory HTTP/2 connection, with the interface of the HTTP/1.1 one.

What a test writes as HTTP/1.1 is translated: a head to HEADERS, a body to DATA, FIN stays
FIN. So the tests of an adapter run over either version, unchanged.

A handshake of a WebSocket becomes an extended CONNECT (RFC 8441) on a stream of its own;
from then on what the client sends is DATA, and what it shows is what HTTP/1.1 would have
shown: a 101 where the wire says 200, and the frames behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h11

from granian_core.errors import RemoteProtocolError
from granian_core.testing.client import (
    DEFAULT_TIMEOUT,
    MAX_HEAD,
    MemoryClient,
    MemoryResponse,
    Pairs,
)

if TYPE_CHECKING:
    from granian_core.testing.memory import MemoryTransport

_DROPPED = frozenset((b"host", b"connection", b"transfer-encoding", b"keep-alive", b"upgrade"))
"""Fields of HTTP/1.1 that HTTP/2 says otherwise, or not at all."""

_CONFIG = h2.config.H2Configuration(
    client_side=True, header_encoding=None, validate_outbound_headers=False
)


class MemoryHTTP2Client(MemoryClient):
    """A client on one in-memory connection that speaks HTTP/2.

    `send` takes HTTP/1.1, one request after another; `receive_response` returns the
    responses in the order of the requests.

    Args:
        transport: The server's end, already joined to its protocol.
        timeout: As for `MemoryClient`.
    """

    def __init__(
        self, transport: MemoryTransport, *, timeout: float | None = DEFAULT_TIMEOUT
    ) -> None:
        super().__init__(transport, timeout=timeout)
        self._h2 = h2.connection.H2Connection(_CONFIG)
        self._h2.initiate_connection()
        self._next_stream = 1
        self._waiting: list[int] = []
        self._responses: dict[int, MemoryResponse] = {}
        self._done: set[int] = set()
        self._failed: dict[int, str] = {}
        self._queues: dict[int, bytearray] = {}
        self._to_end: set[int] = set()
        self._parser: h11.Connection | None = None
        self._stream = 0
        self._websocket = 0
        self._shown = bytearray()
        self._taken = 0
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        # Behind an end of file nothing is sent: acknowledgements neither.
        if data and not self.transport.is_closing() and not self.transport.peer_eof:
            self.transport.feed(data)

    # -- sending -----------------------------------------------------------------

    def send(self, data: bytes) -> None:
        """Send what *data*, a piece of HTTP/1.1, means; or frames of a WebSocket.

        Raises:
            h11.RemoteProtocolError: It is not HTTP/1.1, and can not be translated.
        """
        if self._websocket:
            self._queues.setdefault(self._websocket, bytearray()).extend(data)
            self._send_queued()
            return
        while data:  # h11 takes nothing for the end of the connection
            parser = self._parser
            if parser is None:
                parser = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
                self._parser = parser
            parser.receive_data(data)
            data = b""
            event = parser.next_event()
            while event not in (h11.NEED_DATA, h11.PAUSED):
                self._translate(event)
                if isinstance(event, h11.EndOfMessage):
                    data = parser.trailing_data[0]
                    self._parser = None
                    break
                event = parser.next_event()
            if self._websocket:
                self.send(data)
                return

    def _translate(self, event: object) -> None:
        if isinstance(event, h11.Request):
            self._stream = self._next_stream
            self._next_stream += 2
            fields = [(bytes(name), bytes(value)) for name, value in event.headers]
            authority = next((value for name, value in fields if name == b"host"), b"testserver")
            head = [
                (b":method", bytes(event.method)),
                (b":scheme", self.transport.scheme.encode("ascii")),
                (b":authority", authority),
                (b":path", bytes(event.target)),
            ]
            head += [field for field in fields if field[0] not in _DROPPED]
            if (b"upgrade", b"websocket") in fields:
                self._websocket = self._stream
                head[0] = (b":method", b"CONNECT")
                head.insert(1, (b":protocol", b"websocket"))
                head = [field for field in head if field[0] != b"sec-websocket-key"]
            self._waiting.append(self._stream)
            self._h2.send_headers(self._stream, head)
            self._queues[self._stream] = bytearray()
        elif isinstance(event, h11.Data):
            self._queues[self._stream] += event.data
        elif isinstance(event, h11.EndOfMessage):
            if event.headers:
                self._h2.send_headers(self._stream, list(event.headers), end_stream=True)
            elif not self._websocket:
                self._to_end.add(self._stream)
        self._send_queued()

    def _send_queued(self) -> None:
        for stream, queue in list(self._queues.items()):
            try:
                while queue:
                    window = self._h2.local_flow_control_window(stream)
                    size = min(window, self._h2.max_outbound_frame_size, len(queue))
                    if size <= 0:
                        break
                    self._h2.send_data(stream, bytes(queue[:size]))
                    del queue[:size]
                if not queue and stream in self._to_end:
                    self._to_end.discard(stream)
                    del self._queues[stream]
                    self._h2.end_stream(stream)
            except h2.exceptions.StreamClosedError:
                self._queues.pop(stream, None)
        self._flush()

    def send_eof(self) -> None:
        """Half-close the connection; the stream, where it is a WebSocket's."""
        if self._websocket:
            self._to_end.add(self._websocket)
            self.send(b"")
        else:
            super().send_eof()

    # -- receiving ---------------------------------------------------------------

    @property
    def output(self) -> bytes:
        """As for HTTP/1.1 where the stream is a WebSocket's, else the bytes of the wire."""
        if not self._websocket:
            return super().output
        self._take()
        return bytes(self._shown)

    @property
    def unread(self) -> bytes:
        """What of `output` was not consumed."""
        return self.output[self._position :]

    @property
    def closed(self) -> bool:
        """Whether the server has ended the connection, or the stream of a WebSocket."""
        if self._websocket:
            self._take()
        return super().closed or self._websocket in self._done or self._websocket in self._failed

    async def wait_ended(self) -> None:
        """Wait for the end of the connection, or of the stream of a WebSocket."""
        if self._websocket:
            await self.wait_for(lambda: self.closed)
        else:
            await super().wait_ended()

    @property
    def _arrived(self) -> bool:
        return len(self.transport.output) > self._taken

    async def receive_response(self, method: str = "GET") -> MemoryResponse:
        """Wait for the next response and return it.

        Raises:
            RemoteProtocolError: The stream was reset, or the server closed without one.
            RuntimeError: No whole head of a request was sent.
            TimeoutError: The response was not complete within `timeout`.
        """
        if not self._waiting:
            raise RuntimeError("no request was sent that waits for a response")
        stream = self._waiting.pop(0)
        while True:
            self._take()
            if stream in self._failed:
                raise RemoteProtocolError(self._failed[stream])
            if stream in self._done:
                return self._responses[stream]
            if self.closed:
                raise RemoteProtocolError("the server closed without a response")
            await self.wait_for(lambda: self._arrived or self.closed)

    async def read_until_close(self) -> bytes:
        """Wait until the stream that is waited for was cut, or the connection ended.

        A response that can not be complete ends its connection in HTTP/1.1, and only its
        stream here. What is returned is its head as HTTP/1.1 would have it, and the content
        until then; nothing if it had not begun.
        """
        stream = self._waiting.pop(0) if self._waiting else 0
        while not self.closed and stream not in self._failed and stream not in self._done:
            self._take()
            if stream not in self._failed and stream not in self._done:
                await self.wait_for(lambda: self._arrived or self.closed)
        self._take()
        response = self._responses.get(stream)
        if response is None or not response.status:
            return b""
        lines = [b"HTTP/1.1 %d " % response.status]
        lines += [b"%b: %b" % field for field in response.headers]
        return b"\r\n".join([*lines, b"", response.body])

    def _take(self) -> None:
        data = bytes(self.transport.output[self._taken :])
        self._taken += len(data)
        if data:
            for event in self._h2.receive_data(data):
                self._take_event(event)
        self._send_queued()

    def _take_event(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.InformationalResponseReceived):
            self._responses.setdefault(event.stream_id, _response([])).informational.append(
                _response(event.headers)
            )
        elif isinstance(event, h2.events.ResponseReceived):
            head = _response(event.headers)
            if event.stream_id in self._responses:
                head.informational = self._responses[event.stream_id].informational
            self._responses[event.stream_id] = head
            if event.stream_id == self._websocket and head.status == 200:
                self._waiting.remove(event.stream_id)
                self._show_head(head)
        elif isinstance(event, h2.events.DataReceived):
            self._responses[event.stream_id].body += event.data
            if event.stream_id == self._websocket:
                self._shown += event.data
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.TrailersReceived):
            self._responses[event.stream_id].trailers = _pairs(event.headers)
        elif isinstance(event, h2.events.StreamEnded):
            self._done.add(event.stream_id)
        elif isinstance(event, h2.events.StreamReset) and event.stream_id not in self._done:
            self._failed[event.stream_id] = f"stream reset with code {event.error_code}"

    def _show_head(self, head: MemoryResponse) -> None:
        lines = [b"HTTP/1.1 101 ", *(b"%b: %b" % field for field in head.headers), b"", b""]
        self._shown += b"\r\n".join(lines)


def _pairs(headers: object) -> Pairs:
    return [(bytes(name), bytes(value)) for name, value in headers]  # type: ignore[attr-defined]


def _response(headers: object) -> MemoryResponse:
    pairs = _pairs(headers)
    status = next((int(value) for name, value in pairs if name == b":status"), 0)
    fields = [field for field in pairs if field[0] != b":status"]
    return MemoryResponse(status=status, headers=fields, reason=b"", http_version="2")

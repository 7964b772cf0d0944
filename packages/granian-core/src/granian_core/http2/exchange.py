"""One exchange of an HTTP/2 connection: what its `HTTPStream` calls, and its send queue.

The connection owns every exchange and decides when one may send. An exchange holds bytes
that the application has written and the windows did not let out yet; how many of them it
takes before `write_blocked` says stop is bounded for the stream and for the connection.
"""

from __future__ import annotations

import logging
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, cast

from granian_core.blocking import SEND_WINDOW, BlockingStream
from granian_core.errors import LocalProtocolError
from granian_core.http1.response import is_event_stream
from granian_core.http1.target import decode_path
from granian_core.http2.contract import INTERNAL_ERROR
from granian_core.http2.extended_connect import ExtendedConnect
from granian_core.http2.output import FRAME_CAP
from granian_core.http2.response import (
    ResponseHead,
    check_fields,
    date_field,
    response_head,
    status_field,
    trailer_fields,
)
from granian_core.stream import ABORTED, PENDING, Carrier, Fields, Headers, HTTPStream

if TYPE_CHECKING:
    import asyncio

    from granian_core.http2.connection import HTTP2Connection
    from granian_core.http2.fields import Request

logger = logging.getLogger("_granian.http2")

STREAM_FLOOR: Final = 65_536
"""Bytes that every stream may queue, however much the others have."""
CONNECTION_HIGH_WATER: Final = 4 * 1024 * 1024
"""Bytes queued on all streams of a connection, above which only the floor is left."""

CONTINUE: Final[Fields] = [(b":status", b"100")]


class Exchange:
    """See the module. Implements `Carrier` for one stream.

    Attributes:
        stream: What the interface sees.
        stream_id: Its identifier on the wire.
        urgency: RFC 9218, 0 to 7.
        size: Octets of the request's field section.
        remote_open: The request is incomplete.
        local_open: The response is incomplete on the wire.
        closed: The stream is closed in both directions.
        started: It was handed to the interface.
        running: Its application is not done.
        queued: Bytes that wait for a window.
        ended: Nothing will be queued any more.
        sent: Bytes of content sent.
        held: The application does not read; nothing is credited to the peer.
        uncredited: Bytes received that were not given back to the stream's window.
        held_bytes: Those that arrived while held.
        websocket: What carries a WebSocket here, if an extended CONNECT asks for one.
    """

    # Defaults of the class: an exchange sets only what is not so.
    stream: HTTPStream
    remote_open: bool = True
    local_open: bool = True
    closed: bool = False
    started: bool = False
    running: bool = False
    expects_continue: bool = False
    queue: deque[bytes | memoryview] | None = None
    queued: int = 0
    ended: bool = False
    trailers: Fields | None = None
    waiters: list[asyncio.Future[None]] | None = None
    sent: int = 0
    marked: int = 0
    stalled_at: float = inf
    held: bool = False
    uncredited: int = 0
    held_bytes: int = 0
    body_at: float = inf
    body_bytes: int = 0
    body_wait: float = -1.0
    answered_at: float = inf
    websocket: ExtendedConnect | None = None

    def __init__(
        self, connection: HTTP2Connection, stream_id: int, size: int, urgency: int
    ) -> None:
        self.connection = connection
        self.loop = connection.loop
        self.stream_id = stream_id
        self.size = size
        self.urgency = urgency

    def open_stream(self, request: Request) -> None:
        """Make what the interface sees."""
        connection = self.connection
        method, path, raw_path, query = request.target or _read_target(request)
        self.stream = HTTPStream(
            self,
            "2",
            method,
            connection.scheme,
            path,
            raw_path,
            query,
            request.authority,
            request.headers,
            connection.client,
            connection.server,
            connection.tls,
            request.has_body and request.protocol is None,
            request.expects_continue,
        )
        if request.protocol is not None:
            self.websocket = ExtendedConnect(self)

    # -- Carrier ------------------------------------------------------------------

    def send_response(
        self, stream: HTTPStream, status: int, headers: Headers, body: bytes, reason: bytes | None
    ) -> None:
        """Send a whole response."""
        head = self._head(status, headers, reason)
        declared = head.declared
        size = len(body)
        fits = True
        if stream.method == "HEAD" or status == 204 or status == 304:
            if status == 204:
                declared = -1
            elif declared < 0 and size and status != 304:
                declared = size
            body = b""
        elif declared < 0:
            declared = size
        elif declared != size:
            fits = False
            body = body[:declared]
        connection = self.connection
        fields = head.fields(connection.date_line, declared)
        stream.bytes_sent = len(body)
        if fits or size > declared:
            if not body or not connection.output.send_whole(self, fields, body):
                connection.send_head(self, fields, end_stream=not body)
                if body:
                    self.enqueue(body)
            self._finish(status)
            if not fits:
                raise LocalProtocolError("the response body is longer than its Content-Length")
        else:
            logger.error("Application sent a body shorter than its Content-Length")
            connection.send_head(self, fields, end_stream=False)
            stream.mark_complete(status)
            connection.reset(self, INTERNAL_ERROR)

    def _finish(self, status: int) -> None:
        """Nothing follows what is queued."""
        self.ended = True
        self.stream.mark_complete(status)
        self.connection.output.response_done(self)

    def _head(self, status: int, headers: Headers, reason: bytes | None) -> ResponseHead:
        """Return what is known of a final response head before its length is."""
        head = response_head(status, headers, reason)
        if status < 300 and (status < 200 or self.websocket is not None):
            raise LocalProtocolError(
                f"{status} is not a final response status"
                if status < 200
                else f"{status} would accept the WebSocket, which a denial must not"
            )
        return head

    def accept(self, headers: Headers) -> None:
        """Send the head that accepts an extended CONNECT (RFC 8441 5)."""
        fields = [status_field(200, None)]
        # RFC 9110 9.3.6: no Content-Length here.
        _, has_date, _ = check_fields(headers, fields)
        if not has_date:
            fields.append(date_field(self.connection.date_line))
        self.connection.send_head(self, fields, end_stream=False)

    def send_head(
        self, stream: HTTPStream, status: int, headers: Headers, reason: bytes | None
    ) -> int:
        """Send a response head."""
        head = self._head(status, headers, reason)
        declared = -1 if status == 204 else head.declared
        fields = head.fields(self.connection.date_line, declared)
        stream.event_stream = is_event_stream(fields)
        self.connection.send_head(self, fields, end_stream=False)
        return declared

    def send_data(self, stream: HTTPStream, data: bytes) -> None:
        """Queue a piece of content."""
        self.enqueue(data)

    def enqueue(self, data: bytes) -> None:
        """Take content that waits for its turn."""
        # Large pieces are cut into frames without copying what is left of them.
        if self.queue is None:
            self.queue = deque()
        self.queue.append(memoryview(data) if len(data) > FRAME_CAP // 4 else data)
        self.queued += len(data)
        self.connection.output.data_queued(self, len(data))

    def send_end(self, stream: HTTPStream, trailers: Headers | None) -> None:
        """End the response."""
        if trailers:
            self.trailers = trailer_fields(trailers) or None
        self._finish(stream.status)

    def send_informational(self, stream: HTTPStream, status: int, headers: Headers) -> None:
        """Send a 1xx head."""
        fields = [status_field(status, None)]
        check_fields(headers, fields)
        self.connection.engine.send_headers(self.stream_id, fields, False)

    def want_body(self, stream: HTTPStream) -> None:
        """Send 100 Continue if it is due, and give the peer credit again."""
        if self.closed:
            return
        if self.expects_continue:
            self.expects_continue = False
            self.body_at = self.connection.now()
            if not stream.response_started:
                self.connection.engine.send_headers(self.stream_id, CONTINUE, False)
        if self.held:
            self.connection.release_body(self)

    def hold_body(self, stream: HTTPStream) -> None:
        """Give the peer no credit until the application has read."""
        self.held = True

    def abort_stream(self, stream: HTTPStream) -> None:
        """End the exchange so that it can not pass for complete."""
        self.connection.reset(self, INTERNAL_ERROR)

    def application_done(self, stream: HTTPStream) -> None:
        """The application has returned. Safe from any thread."""
        self.connection.admission.done(self)

    def write_blocked(self) -> bool:
        """Whether the application should stop writing."""
        return not self.closed and self.is_full(self.connection.output.max_send_buffer)

    def is_full(self, limit: int) -> bool:
        """Whether *limit* bytes wait here, or too many on all streams."""
        return self.queued >= limit or (
            self.queued >= STREAM_FLOOR and self.connection.output.queued >= CONNECTION_HIGH_WATER
        )

    def wait_writable(self, stream: HTTPStream) -> asyncio.Future[None]:
        """Return a future that ends when writing may go on, or the peer is gone."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        if self.write_blocked():
            if self.waiters is None:
                self.waiters = []
            self.waiters.append(waiter)
            self.connection.output.blocked.add(self)
        else:
            waiter.set_result(None)
        return waiter

    def make_blocking(self, stream: HTTPStream) -> BlockingStream:
        """Return the thread's view of *stream*."""
        connection = self.connection
        window = min(SEND_WINDOW, connection.output.max_send_buffer)
        return BlockingStream(stream, connection.channel, window)

    # -- called by the connection ---------------------------------------------------

    @property
    def has_output(self) -> bool:
        """Whether anything is left to send."""
        return self.local_open and (self.queued > 0 or self.ended)

    @property
    def is_pending(self) -> bool:
        """Whether the response has not begun."""
        return self.stream.phase == PENDING

    def take(self, limit: int) -> bytes:
        """Return *limit* bytes from the queue, which is not empty, or all that there is.

        Pieces are joined and cut: the end of one that left in a frame of its own would come
        back as credit of its size, and as small frames for the rest of the download.
        """
        queue = self.queue
        assert queue
        first = queue[0]
        if len(first) > limit:
            queue[0] = first[limit:]
            data = bytes(first[:limit])
        else:
            queue.popleft()
            data = bytes(first) if not queue else self._join(first, limit)
        self.queued -= len(data)
        self.sent += len(data)
        return data

    def _join(self, first: bytes | memoryview, limit: int) -> bytes:
        queue = self.queue
        parts = [first]
        room = limit - len(first)
        while queue and room:
            piece = queue[0]
            if len(piece) > room:
                queue[0] = piece[room:]
                piece = piece[:room]
            else:
                queue.popleft()
            parts.append(piece)
            room -= len(piece)
        return b"".join(parts)

    def wake_writers(self) -> None:
        """Wake who waits to write: there is room again, or the stream is closed."""
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)
        if self.websocket is not None:
            self.websocket.writable()

    def drop_queue(self) -> int:
        """Forget what is queued; return how many bytes that was."""
        dropped, self.queued = self.queued, 0
        self.queue = None
        return dropped

    def release(self) -> None:
        """Nobody needs the stream any more: it refers to us, and would wait for the collector."""
        self.stream = _RELEASED


_RELEASED: Final = HTTPStream(
    cast("Carrier", None), "2", "", "", "", b"", b"", None, [], None, None, None, False, False
)
_RELEASED.phase = ABORTED


def _read_target(request: Request) -> tuple[str, str, bytes, bytes]:
    """Return method, path, raw path and query; the engine may keep the request for the next."""
    raw_path, _, query = request.path.partition(b"?")
    path = decode_path(raw_path)
    request.target = (request.method.decode("ascii"), path, raw_path, query)
    return request.target

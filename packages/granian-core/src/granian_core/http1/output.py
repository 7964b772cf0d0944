"""What an HTTP/1.1 connection sends: one response at a time, in as few writes as it can.

Owns the wire form of the response in progress, the gathering of its pieces and of
pipelined responses, and the clock of a peer that does not read. Knows nothing of what
arrives; `granian_core.http1.connection` is the other half.
"""

from __future__ import annotations

import logging
import os
from math import inf
from typing import TYPE_CHECKING, Final

from granian_core.errors import LocalProtocolError
from granian_core.http1.contract import CHUNKED
from granian_core.http1.direct import own_descriptor
from granian_core.http1.phase import GONE, IDLE
from granian_core.http1.response import (
    CLOSE,
    HAS_DATE,
    HAS_SERVER,
    KEPT_LENGTHS,
    LAST_CHUNK,
    LENGTH_FIELDS,
    SERVER_FIELD,
    chunk,
    encode_fields,
    is_event_stream,
    length_field,
    status_line,
    trailer_section,
)
from granian_core.http1.sendfile import FileSending

if TYPE_CHECKING:
    import asyncio
    import socket
    import threading

    from granian_core.context import ConnectionContext
    from granian_core.http1.engine import BaseEngine
    from granian_core.stream import Address, Headers, HTTPStream

logger = logging.getLogger("_granian.http1")

_OK: Final = status_line(200, None)

PIECES_HIGH_WATER: Final = 65_536
"""Bytes of one response that are gathered before they are written."""
GATHER_HIGH_WATER: Final = 65_536
"""Bytes of responses that ``pipeline_flush`` gathers at most."""


class HTTP1Output:
    """The sending half of a connection; see the module."""

    __slots__ = (
        "_body_bytes",
        "_body_length",
        "_chunked",
        "_context",
        "_delimited",
        "_expects_continue",
        "_gather_turns",
        "_gathered",
        "_head",
        "_keep_alive",
        "_limits",
        "_minor",
        "_pieces",
        "_pieces_size",
        "_stalled_at",
        "_taken",
        "_waiters",
        "_write_high",
        "_written",
        "client",
        "dup",
        "engine",
        "file_left",
        "file_sending",
        "lock",
        "loop",
        "phase",
        "pipeline_flush",
        "scheme",
        "stream",
        "transport",
    )

    transport: asyncio.Transport
    # Not the protocol that it fulfils: compiled, the attributes of a class are at hand.
    engine: BaseEngine

    def __init__(self, context: ConnectionContext, scheme: str) -> None:
        config = context.config
        self._context = context
        self._limits = config.limits
        self.pipeline_flush = config.http1.pipeline_flush
        self.loop = context.loop
        self.scheme = scheme
        self.client: Address | None = None
        self.stream: HTTPStream | None = None
        self.phase = IDLE
        self.lock: threading.Lock | None = None
        self.dup: socket.socket | None = None
        self.file_sending: FileSending | None = None
        self.file_left = 0
        self._minor = 1
        self._keep_alive = True
        self._expects_continue = False
        self._body_length = 0  # CHUNKED, or in bytes; 0 once the request is complete
        self._body_bytes = 0  # of which so many have come
        self._chunked = False
        self._delimited = False
        self._write_high = False
        self._waiters: list[asyncio.Future[None]] = []
        self._gathered: list[bytes] = []
        self._head = b""
        self._pieces: list[bytes] = []
        self._pieces_size = 0
        self._gather_turns = -1
        self._written = 0
        self._taken = 0
        self._stalled_at = inf

    def response_done(self, stream: HTTPStream) -> None:
        """Go on after a response."""
        raise NotImplementedError

    def _write(self, data: bytes) -> None:
        if self.pipeline_flush and (self.engine.buffered or self._gathered):
            self._gather(data)
            return
        self._written += len(data)
        self.transport.write(data)

    def _gather(self, data: bytes) -> None:
        """Keep a pipelined response until no other one follows at once."""
        self._gathered.append(data)
        if self._gather_turns < 0:
            self.loop.call_soon(self._gather_turn)
        self._gather_turns = 0
        if sum(map(len, self._gathered)) > GATHER_HIGH_WATER:
            self._flush_gathered()

    def _gather_turn(self) -> None:
        self._gather_turns += 1
        # The next response needs one turn to start and one to end; then it is late.
        if self._gather_turns > 2 or not self._gathered:
            self._gather_turns = -1
            self._flush_gathered()
        else:
            self.loop.call_soon(self._gather_turn)

    def _flush_gathered(self) -> None:
        if self._gathered and self.phase != GONE:
            data = b"".join(self._gathered)
            self._gathered.clear()
            self._written += len(data)
            self.transport.write(data)

    def encode_response(
        self, stream: HTTPStream, status: int, headers: Headers, body: bytes, reason: bytes | None
    ) -> tuple[bytes, bool]:
        """Encode a whole response; the second result says that the body was cut."""
        block, declared, flags = encode_fields(headers)
        size = len(body)
        if (
            (declared < 0 or declared == size)
            and status == 200
            and reason is None
            and not flags
            and self._minor
            and self._keep_alive
            and not self._body_length
            and not self._context.draining
            and stream.method != "HEAD"
        ):
            # What nearly every response is, without the decisions below.
            stream.bytes_sent = size
            length = LENGTH_FIELDS[size] if size < KEPT_LENGTHS else length_field(size)
            return b"".join((_OK, block, length, self._context.server_date_end, body)), False
        if self._may_leave_too_much():
            flags |= CLOSE
        cut = False
        if stream.method == "HEAD" or status == 204 or status == 304:
            if status == 204:
                declared = -1
            elif declared < 0 and size and status != 304:
                declared = size
            body = b""
        elif declared < 0:
            declared = size
        elif declared != size:
            # Never a shifted next response: the connection ends after this one.
            flags |= CLOSE
            if size > declared:
                body = body[:declared]
                cut = True
            else:
                logger.error("Application sent a body shorter than its Content-Length")
        line = self._head_start(status, reason)
        length = length_field(declared) if declared >= 0 else b""
        tail = self._head_end(flags)
        stream.bytes_sent = len(body)
        return b"".join((line, block, length, tail, body)), cut

    def _head_start(self, status: int, reason: bytes | None) -> bytes:
        line = status_line(status, reason)
        if status < 200:
            raise LocalProtocolError(f"{status} is not a final response status")
        return line if self._minor else b"HTTP/1.0" + line[8:]

    def _head_end(self, flags: int) -> bytes:
        """Return the server's own fields and the empty line; settle persistence."""
        context = self._context
        if flags & CLOSE or context.draining or self._expects_continue:
            # A client that still waits for 100 Continue may or may not send its body.
            self._keep_alive = False
        if not flags & (HAS_DATE | HAS_SERVER):
            fields = context.server_date
        else:
            fields = b"" if flags & HAS_SERVER else SERVER_FIELD
            if not flags & HAS_DATE:
                fields += context.date
        if self._keep_alive:
            return fields + (b"\r\n" if self._minor else b"connection: keep-alive\r\n\r\n")
        return fields + b"connection: close\r\n\r\n"

    def _may_leave_too_much(self) -> bool:
        """Whether the rest of the request's body may be more than is drained unread.

        Then the head says that the connection ends: a client that may keep it may have sent
        its next request before it sees that the drain was given up, and nothing answers that.
        """
        length = self._body_length
        return length == CHUNKED or length - self._body_bytes > self._limits.unread_body_bytes

    def send_response(
        self, stream: HTTPStream, status: int, headers: Headers, body: bytes, reason: bytes | None
    ) -> None:
        """Send a whole response in one write."""
        data, cut = self.encode_response(stream, status, headers, body, reason)
        if self.pipeline_flush:
            self._write(data)
        else:
            self._written += len(data)
            self.transport.write(data)
        stream.mark_complete(status)
        self.response_done(stream)
        if cut:
            raise LocalProtocolError("the response body is longer than its Content-Length")

    def encode_head(
        self, stream: HTTPStream, status: int, headers: Headers, reason: bytes | None
    ) -> tuple[bytes, int]:
        """Encode a head whose body follows; settle how the body is delimited."""
        if type(headers) is not list:
            try:
                headers = list(headers)
            except TypeError as exc:
                raise LocalProtocolError("response fields must be pairs of bytes") from exc
        block, declared, flags = encode_fields(headers)
        if not stream.body_wanted and self._may_leave_too_much():
            flags |= CLOSE
        line = self._head_start(status, reason)
        stream.event_stream = is_event_stream(headers)
        self._chunked = False
        self._delimited = True
        framing = b""
        if status == 204:
            declared = -1
        elif declared >= 0:
            framing = length_field(declared)
        elif status != 304 and self._minor:
            framing = b"transfer-encoding: chunked\r\n"
            self._chunked = stream.method != "HEAD"
        elif status != 304 and stream.method != "HEAD":
            flags |= CLOSE
            self._delimited = False
        return b"".join((line, block, framing, self._head_end(flags))), declared

    def send_head(
        self, stream: HTTPStream, status: int, headers: Headers, reason: bytes | None
    ) -> int:
        """Send a response head."""
        data, declared = self.encode_head(stream, status, headers, reason)
        if stream.event_stream and self._context.draining:
            stream.feed_half_close()  # it begins after the others were told to end
        self._head = data
        self.loop.call_soon(self._flush_pieces)
        return declared

    def encode_data(self, data: bytes) -> bytes:
        """Frame a piece of content."""
        return chunk(data) if self._chunked else data

    def send_data(self, stream: HTTPStream, data: bytes) -> None:
        """Send a piece of content, together with the others of this turn of the loop."""
        pieces = self._pieces
        if not pieces and not self._head:
            self.loop.call_soon(self._flush_pieces)
        pieces.append(data)
        self._pieces_size += len(data)
        if self._pieces_size >= PIECES_HIGH_WATER:
            self._flush_pieces()

    def _flush_pieces(self, end: bytes = b"") -> None:
        """Write what this turn has gathered of a response, framed as one chunk at most."""
        head, self._head = self._head, b""
        pieces = self._pieces
        if pieces:
            self._pieces = []
            if self._chunked:
                pieces.insert(0, b"%b%X\r\n" % (head, self._pieces_size))
                pieces.append(b"\r\n" + end)
            else:
                pieces.insert(0, head)
            self._pieces_size = 0
            head = b"".join(pieces)
        else:
            head += end
        if head and self.phase != GONE:
            self._write(head)

    def encode_end(self, trailers: Headers | None) -> bytes:
        """Return what ends the body on the wire."""
        if not self._chunked:
            return b""
        return trailer_section(trailers) if trailers else LAST_CHUNK

    def send_end(self, stream: HTTPStream, trailers: Headers | None) -> None:
        """End the response."""
        self._flush_pieces(self.encode_end(trailers))
        stream.mark_complete(stream.status)
        self.response_done(stream)

    def send_informational(self, stream: HTTPStream, status: int, headers: Headers) -> None:
        """Send a 1xx head; HTTP/1.0 clients do not know them (RFC 9110 15.2)."""
        if self._minor:
            block, _, _ = encode_fields(headers)
            self._write(b"".join((status_line(status, None), block, b"\r\n")))

    def write_blocked(self) -> bool:
        """Whether the transport asked us to stop writing."""
        return self._write_high

    def wait_writable(self, stream: HTTPStream) -> asyncio.Future[None]:
        """Return a future that ends when writing may go on, or the peer is gone."""
        waiter: asyncio.Future[None] = self.loop.create_future()
        if not self._write_high or self.phase == GONE:
            waiter.set_result(None)
        else:
            self._waiters.append(waiter)
        return waiter

    def send_file_part(
        self, stream: HTTPStream, fd: int, offset: int, count: int
    ) -> asyncio.Future[int] | None:
        """Let the kernel send a part of a file; see `granian_core.files.KernelSender`."""
        if self.scheme != "http" or self._chunked or stream is not self.stream:
            return None
        self._flush_pieces()
        self._flush_gathered()
        if not hasattr(os, "sendfile") or not own_descriptor(self) or self.file_sending is not None:
            return None
        self.file_sending = sending = FileSending(self, stream, fd, offset, count)
        # As if it were in the transport's buffer: the deadline for writes covers it.
        self._written += count
        self.file_left = count
        sending.start()
        return sending.done

    def file_ended(self, sending: FileSending) -> None:
        """Nothing more of a file will be sent by the kernel."""
        if self.file_sending is sending:
            self.file_sending = None
            self._written -= self.file_left
            self.file_left = 0

    def _wake_writers(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def take_duplicate(self, dup: socket.socket) -> None:
        """Own a second descriptor of the socket, on which threads send."""
        self.dup = dup
        self._context.duplicates += 1

    def socket_fd(self) -> int:
        """Return the transport's descriptor, or -1."""
        sock = self.transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else -1

    def abort(self) -> None:
        """Drop the connection."""
        if self.phase != GONE:
            self.transport.abort()

    def _sweep_writes(self, now: float) -> None:
        pending = self.transport.get_write_buffer_size() + self.file_left
        if not pending:
            self._stalled_at = inf
            return
        taken = self._written - pending
        # More, not other: TLS adds bytes of its own to what we have written.
        if taken > self._taken or self._stalled_at == inf:
            self._taken = taken
            self._stalled_at = now + self._limits.write_timeout
        elif self._stalled_at <= now:
            logger.debug("%s: takes nothing of what is sent, dropped", self.client)
            self.transport.abort()

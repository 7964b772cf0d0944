"""One HTTP/1.1 connection: a transport, an engine, and one exchange at a time.

Owns the transport and the exchange, and moves from phase to phase. Knows nothing of
interfaces and parses nothing; `granian_core.http1.lifetime` has its deadlines and how
it ends, `granian_core.http1.output` what it sends.

Phases::

    IDLE ─▶ HEAD ─▶ BUSY ─▶ IDLE …          one exchange after another
    IDLE ─▶ HELD ─▶ BUSY                    a head waits for a permit
    BUSY ─▶ UNREAD ─▶ IDLE                  answered; the rest of its body is drained
    any  ─▶ LINGER ─▶ GONE                  answered for good; the peer may still send

A deadline is a plain float that the server's sweep compares; nothing is armed or
cancelled for a request. Only methods named in `direct` run on another thread.
"""

from __future__ import annotations

import contextlib
import logging
from math import inf
from typing import TYPE_CHECKING, Final, cast

from granian_core.addresses import transport_address
from granian_core.http1.contract import BODY, CUT_SHORT, HEAD
from granian_core.http1.direct import HAS_GIL, make_blocking_stream
from granian_core.http1.lifetime import (
    BODY_FULL,
    NO_PERMIT,
    PIPELINE_FULL,
    WRITE_HIGH,
    HTTP1Lifetime,
)
from granian_core.http1.phase import BUSY, GONE, HEAD_PHASE, HELD, IDLE, LINGER, UNREAD
from granian_core.http1.response import CONTINUE
from granian_core.http1.target import decode_path, split_target
from granian_core.http1.upgrade import WebSocketConnection, switching_response
from granian_core.stream import COMPLETE, PENDING, Address, Fields, Headers, HTTPStream, Memo
from granian_core.websocket.handshake import is_upgrade

if TYPE_CHECKING:
    import asyncio
    import threading

    from granian_core.blocking import BlockingStream
    from granian_core.context import ConnectionContext
    from granian_core.http1.engine import BaseEngine
    from granian_core.tls import TLSInfo
    from granian_core.websocket.stream import WebSocketStream

logger = logging.getLogger("_granian.http1")

PIPELINE_HIGH_WATER: Final = 65_536
"""Bytes of pipelined requests that are held back before the peer is no longer read."""


class HTTP1Connection(HTTP1Lifetime):
    """See the module. Implements `Carrier`, `HTTP1Handler` and the server's `Connection`."""

    __slots__ = (
        "_held_data",
        "_max_body",
        "_memo",
        "_upgrading",
        "_watched",
        "application_done",
        "handed_off",
        "server",
        "tls",
    )

    def __init__(
        self,
        context: ConnectionContext,
        engine_class: type[BaseEngine],
        scheme: str = "http",
        tls: TLSInfo | None = None,
    ) -> None:
        super().__init__(context, scheme)
        config = context.config
        self._max_body = config.limits.max_body_size
        # The context's own method: one call less for every request.
        self.application_done = context.application_done
        self.engine = engine_class(self, config.http1, config.limits)
        self.tls = tls
        self.server: Address | None = None
        self.handed_off = False
        self._memo: Memo | None = None
        self._upgrading: WebSocketConnection | None = None
        self._watched: list[HTTPStream] = []
        self._held_data: list[bytes] = []

    # -- asyncio.Protocol --------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)
        self.client = transport_address(transport.get_extra_info("peername"), listener=False)
        self.server = transport_address(transport.get_extra_info("sockname"), listener=True)
        now = self._context.clock()
        self.idle_since = now
        self.deadline = now + self._settings.header_read_timeout / 1000
        self._context.connections.add(self)

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the engine, unless this connection has to wait or has ended."""
        phase = self.phase
        if phase == BUSY:
            stream = self.stream
            if stream is not None and stream.detached:
                self.reap()
        elif phase >= HELD:
            if phase == HELD:
                self._held_data.append(data)
                return
            if phase != UNREAD:
                return
        if self._context.pressed and self.stream is None and self.phase <= HEAD_PHASE:
            self._hold(data)
            return
        self.engine.receive_data(data)
        if self.phase == IDLE:
            if self.engine.state == HEAD:
                self._await_head()
        elif self.engine.buffered:
            stream = self.stream
            if stream is not None and stream.detached:
                # Its thread may have ended it before it could see that more has come.
                self.reap()
            if self.engine.buffered > PIPELINE_HIGH_WATER:
                self._pause(PIPELINE_FULL)

    def eof_received(self) -> bool:
        """Take the peer's FIN; answer what it asked for before."""
        self.half_closed = True
        if self._upgrading is not None:
            return True  # in its turn, behind the bytes that came before it
        for watched in self._watched:
            watched.feed_half_close()
        if self.phase == BUSY and self.stream is not None and self.stream.detached:
            self.reap()
        self.engine.receive_eof()
        stream = self.stream
        if self.phase == HELD:
            return True
        if stream is None or self.phase >= LINGER:
            if self.phase != GONE:
                self._close()
            return True
        stream.feed_half_close()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever still waits for the peer."""
        self.phase = GONE
        self.deadline = inf
        self.idle_since = inf
        self.engine.close()
        self._held_data.clear()
        self._context.connections.discard(self)
        if self._upgrading is not None:
            self._upgrading.connection_lost(exc)
        stream, self.stream = self.stream, None
        if self.file_sending is not None:
            self.file_sending.stop()  # before the descriptor that it watches is closed
        with self._locked():
            if self.dup is not None:
                self.dup.close()
                self.dup = None
                self._context.duplicates -= 1
            if stream is not None:
                stream.feed_disconnect()
        for watched in self._watched:
            watched.feed_half_close()
        self._watched.clear()
        self._wake_writers()
        # Another connection may take the place of this one.
        self._context.on_change()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._write_high = True
        if self._upgrading is not None:
            self._upgrading.pause_writing()

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self._write_high = False
        if self._upgrading is not None:
            self._upgrading.resume_writing()
            return
        self._resume(WRITE_HIGH)
        self._wake_writers()
        if self.phase == HELD and not self._pauses & NO_PERMIT:
            if self._context.pressed and (self.engine.buffered or self._held_data):
                self._await_permit()
            else:
                self.admit()

    def _locked(self) -> contextlib.AbstractContextManager[object]:
        """Return the lock that a thread sends under, if this connection ever had one."""
        return self.lock if self.lock is not None else contextlib.nullcontext()

    # -- reading ----------------------------------------------------------------

    def _hold(self, data: bytes) -> None:
        """Keep a head until a permit is free; its clock stands still meanwhile."""
        if self._first or self.phase == HEAD_PHASE:
            self._head_time = self.deadline - self._context.clock()
        self._held_data.append(data)
        self._await_permit()

    def _await_permit(self) -> None:
        self.phase = HELD
        self.deadline = self.idle_since = inf
        self._pause(NO_PERMIT)
        self._context.waiting.append(self)

    def admit(self) -> None:
        """Go on with the head that was held back."""
        if self.phase != HELD:
            return
        data = b"".join(self._held_data)
        self._held_data.clear()
        self.phase = IDLE
        self._resume(NO_PERMIT | PIPELINE_FULL)
        self.engine.next_request()
        if data:
            self.engine.receive_data(data)
        if self.half_closed:
            self.engine.receive_eof()  # it came before the bytes that it follows
            self._tell_half_close()
        if self.phase == IDLE:
            self._rest()

    def _tell_half_close(self) -> None:
        """Tell a request that came up behind the peer's FIN that this has come already."""
        if self.half_closed and self.stream is not None:
            self.stream.feed_half_close()

    # -- HTTP1Handler -------------------------------------------------------------

    def on_request(
        self,
        method: str,
        target: bytes,
        minor: int,
        headers: Fields,
        keep_alive: bool,
        content_length: int,
        expects_continue: bool,
    ) -> None:
        """Start an exchange."""
        context = self._context
        self._first = False
        self.phase = BUSY
        self.deadline = self.idle_since = inf
        self._minor = minor
        self._keep_alive = keep_alive and self._settings.keep_alive
        authority: bytes | None = None
        if target[0] == 0x2F:
            raw_path, _, query = target.partition(b"?")
        else:
            raw_path, query, authority = split_target(target)
            if authority is not None:
                # RFC 9112 3.2.2: the target's authority replaces Host.
                headers[:] = [field for field in headers if field[0] != b"host"]
                headers.insert(0, (b"host", authority))
        path = decode_path(raw_path)
        stream = HTTPStream(
            self,
            "1.1" if minor else "1.0",
            method,
            self.scheme,
            path,
            raw_path,
            query,
            authority,
            headers,
            self.client,
            self.server,
            self.tls,
            content_length != 0,
            expects_continue,
        )
        self.stream = stream
        engine = self.engine
        if engine.repeated:
            if self._memo is None:
                self._memo = Memo()
            stream.memo = self._memo
        else:
            self._memo = None
        if content_length:
            self._expects_continue = expects_continue
            self._body_length = content_length
            self._body_at = context.clock()
            self._body_bytes = 0
            self._body_wait = -1.0
            if self._max_body is not None and content_length > self._max_body:
                self.stream = None
                self._refuse(413, "request body too large")
                return
        if engine.may_upgrade:
            engine.may_upgrade = False
            # RFC 9110 7.8: with a body, or in HTTP/1.0, Upgrade is ignored.
            if (
                context.handle_websocket is not None
                and minor
                and not content_length
                and is_upgrade(headers)
            ):
                context.run_websocket(stream, self.open_websocket)
                return
        context.run(stream)

    def on_data(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body_at = self._context.clock()
        self._body_bytes += len(data)
        self._expects_continue = False  # the client did not wait
        stream = self.stream
        if self._max_body is not None and self._body_bytes > self._max_body:
            self.on_error(413, "request body too large")
        elif stream is not None:
            stream.feed_data(data)
        elif self._body_bytes > self._limits.unread_body_bytes:
            self._linger()

    def on_end(self, trailers: Fields | None) -> None:
        """The body is complete."""
        self._expects_continue = False
        self._body_length = 0
        if self.stream is not None:
            self.stream.feed_end(trailers)
        elif self.phase == UNREAD:
            self._next()

    def on_error(self, status: int, reason: str) -> None:
        """The peer is at fault: answer once if that is still possible, then leave."""
        stream = self.stream
        if stream is None:
            if self.phase == UNREAD:
                self._linger()
            else:
                self._refuse(status, reason)
            return
        with self._locked():
            if self.handed_off and stream.phase == COMPLETE:
                # Its answer is about to leave, and is the last one: `finish_from_thread`.
                self._keep_alive = False
                self.engine.close()
                return
            pending = stream.phase == PENDING
            stream.feed_disconnect()
        self.stream = None
        if reason == CUT_SHORT:
            self._close()  # it left in the middle of a request: nobody to answer
        elif pending:
            self._refuse(status, reason)
        else:
            self._cut()

    # -- Carrier: what output does not do --------------------------------------------

    def want_body(self, stream: HTTPStream) -> None:
        """Send 100 Continue if it is due, and go on reading."""
        if stream is not self.stream:
            return
        if self._expects_continue:
            self._expects_continue = False
            self._body_at = self._context.clock()
            if not stream.response_started:
                self._write(CONTINUE)
                if self._write_high:
                    self._pause(WRITE_HIGH)
        self._resume(BODY_FULL)

    def hold_body(self, stream: HTTPStream) -> None:
        """Stop reading until the application has read."""
        self._pause(BODY_FULL)

    def make_blocking(self, stream: HTTPStream) -> BlockingStream:
        """Return the thread's view of *stream*."""
        return make_blocking_stream(self, stream, self._context.channel)

    # -- Carrier: WebSockets ---------------------------------------------------------

    def open_websocket(
        self, stream: HTTPStream, websocket: WebSocketStream, headers: Headers
    ) -> WebSocketConnection:
        """Send the 101, and let a `WebSocketConnection` take the transport over.

        It does so on the next turn of the loop: this may be called while the engine is
        still busy with the bytes that came with the head.
        """
        data = switching_response(stream.headers, headers, self._context.date)
        self._flush_gathered()
        self._written += len(data)
        self.transport.write(data)
        connection = WebSocketConnection(
            self._context,
            self.transport,
            websocket,
            self.client,
            write_high=self._write_high,
            written=self._written,
        )
        self._upgrading = connection
        self.stream = None
        self._context.connections.discard(self)
        self._context.connections.add(connection)
        stream.mark_complete(101)
        self.loop.call_soon(self._hand_over)
        return connection

    def _hand_over(self) -> None:
        """Leave the transport to the WebSocket, with what the peer has sent since the head."""
        connection, self._upgrading = self._upgrading, None
        if self.phase == GONE or connection is None:
            return
        self.phase = GONE
        data = self.engine.take_buffered()
        self.engine.close()
        self.transport.set_protocol(cast("asyncio.Protocol", connection))
        if self._pauses and not self.transport.is_closing():
            self.transport.resume_reading()
        if data:
            connection.data_received(data)
        if self.half_closed:
            connection.eof_received()

    # -- the end of an exchange -----------------------------------------------------

    def response_done(self, stream: HTTPStream) -> None:
        """Go on to the next request, or leave."""
        if self.phase != BUSY or self.stream is not stream:
            return
        self.stream = None
        if stream.gone_waiters is not None and stream.is_watched:
            # Its application still waits for the client to leave.
            self._watched = [one for one in self._watched if one.is_watched]
            self._watched.append(stream)
        if self._pauses:
            self._resume(BODY_FULL)
        engine = self.engine
        if not self._keep_alive:
            self._leave()
        elif engine.state == BODY:
            # The application did not read it all: take the rest, within bounds.
            self.phase = UNREAD
            self._body_bytes = 0
            self.deadline = self._context.clock() + self._limits.linger_timeout
        elif engine.buffered or self._write_high or self.half_closed or self._context.draining:
            self._next()
        else:
            # Nothing else to consider: the connection rests.
            engine.next_request()
            self.phase = IDLE
            self.idle_since = now = self._context.clock()
            self.deadline = now + self._keep_alive_timeout

    def _next(self) -> None:
        """The exchange is over in both directions."""
        engine = self.engine
        if self._write_high and (engine.buffered or not self._is_leaving):
            # A peer that does not take its answers gets no further requests answered.
            self.phase = HELD
            self.deadline = inf
            self._pause(WRITE_HIGH)
            return
        if engine.buffered and self._context.pressed:
            self._await_permit()
            return
        self.phase = IDLE
        engine.next_request()
        self._resume(PIPELINE_FULL)
        self._tell_half_close()
        if self.phase == IDLE and self.stream is None:
            self._rest()

    def reap(self) -> None:
        """Take notice that a thread has ended the exchange, if it has."""
        stream = self.stream
        # Not ABORTED: nothing may follow an answer that was never given.
        if stream is None or stream.phase != COMPLETE:
            return
        lock = self.lock
        if lock is not None and (not HAS_GIL or lock.locked()):
            with lock:  # it marks first and sends then, and is still about it
                pass
        if not self.handed_off:
            self.response_done(stream)

    def finish_from_thread(self, stream: HTTPStream, rest: bytes) -> None:
        """Send what a thread could not, and end the exchange."""
        if self.stream is not stream:
            return  # reaped already; what is handed off by now is another exchange's
        self.handed_off = False
        if rest and self.phase != GONE:
            self._write(rest)
        self.response_done(stream)

    def write_for_thread(self, stream: HTTPStream, rest: bytes) -> None:
        """Queue what a thread could not send. Called on the loop."""
        if self.stream is stream:
            self._write(rest)

    @property
    def lock_for_threads(self) -> threading.Lock:
        """The lock that every send from a thread takes; made before a thread has the stream."""
        assert self.lock is not None
        return self.lock

    @property
    def gathering(self) -> bool:
        """Whether earlier responses are still being gathered."""
        return bool(self._gathered) or (self.pipeline_flush and self.engine.buffered > 0)

    def needs_loop(self) -> bool:
        """Whether the loop must act at once on an exchange that a thread has ended."""
        return (
            not self._keep_alive
            or self.engine.state == BODY
            or self.engine.buffered > 0
            or self.half_closed
            or self._pauses != 0
            or self._context.attention
        )

    def drain(self) -> None:
        """Take no further request; tell endless responses that it is time to leave."""
        if self.stream is not None and self.stream.detached:
            self.reap()
        if self.stream is not None and self.stream.event_stream:
            self.stream.feed_half_close()

"""One HTTP/2 connection: a transport, an engine, and many exchanges.

Owns the transport and the exchanges, and knows how each of them ends. Parses nothing and
knows nothing of interfaces. What may run is decided by `admission`, what is sent when by
`output`, what the peer may send by `credit`, what takes too long by `deadlines`, and how
the connection ends by `leaving`.

Phases::

    OPEN ─▶ LINGER ─▶ GONE        a fault, or the end: GOAWAY was written
    OPEN ─▶ GONE                  the peer left
"""

from __future__ import annotations

import logging
import time
from math import inf
from typing import TYPE_CHECKING, Final, cast

from granian_core.addresses import transport_address
from granian_core.http2.admission import Admission
from granian_core.http2.budget import Budget
from granian_core.http2.contract import CANCEL, NO_ERROR, HTTP2Engine
from granian_core.http2.credit import WINDOW_PING, Credit
from granian_core.http2.deadlines import KEEP_ALIVE_PING, Deadlines
from granian_core.http2.exchange import Exchange
from granian_core.http2.leaving import DRAIN_PING, GONE, LINGER, OPEN, Leaving
from granian_core.http2.output import Output
from granian_core.http2.priority import DEFAULT_URGENCY, read_urgency
from granian_core.http2.response import SERVER, date_field
from granian_core.stream import COMPLETE, Address, Fields, HTTPStream

if TYPE_CHECKING:
    import asyncio

    from granian_core.context import ConnectionContext
    from granian_core.http2.contract import Section
    from granian_core.http2.fields import Request
    from granian_core.tls import TLSInfo

logger = logging.getLogger("_granian.http2")

HEADER_MEMORY: Final = 1024 * 1024
"""Octets of the field sections of all requests of a connection."""
MAX_EARLY_PRIORITIES: Final = 32
"""PRIORITY_UPDATE frames kept for streams that do not exist yet."""


class HTTP2Connection:
    """See the module. Implements `HTTP2Handler` and the server's `Connection`.

    Attributes:
        streams: The open exchanges by identifier.
        deadline: When the preface must be here; or when a peer that was told to leave is dropped.
        header_bytes: Octets of the field sections of all requests whose exchange is open, or
            whose application still runs.
    """

    __slots__ = (
        "_budget",
        "_context",
        "_limits",
        "_max_body",
        "_priorities",
        "_watched",
        "admission",
        "channel",
        "client",
        "credit",
        "deadline",
        "deadlines",
        "engine",
        "half_closed",
        "header_bytes",
        "idle_since",
        "leaving",
        "loop",
        "output",
        "phase",
        "scheme",
        "server",
        "streams",
        "tls",
        "transport",
    )

    transport: asyncio.Transport

    def __init__(
        self,
        context: ConnectionContext,
        engine_class: type[HTTP2Engine],
        scheme: str = "http",
        tls: TLSInfo | None = None,
    ) -> None:
        config = context.config
        settings = config.http2
        limits = config.limits
        self._context = context
        self._limits = limits
        self._max_body = limits.max_body_size
        self.loop = context.loop
        self.channel = context.channel
        self.scheme = scheme
        self.tls = tls
        self.client: Address | None = None
        self.server: Address | None = None
        self.phase = OPEN
        self.idle_since = inf
        self.half_closed = False
        self.deadline = inf
        self.streams: dict[int, Exchange] = {}
        self.header_bytes = 0
        self._watched: list[HTTPStream] = []
        self._priorities: dict[int, int] = {}
        self._budget = Budget(context.clock())
        self.output = Output(
            self, self._budget, settings.max_send_buffer_size, limits.write_timeout
        )
        self.credit = Credit(settings)
        self.admission = Admission(self, context, self.output, settings.max_concurrent_streams)
        self.leaving = Leaving(self, limits.linger_timeout)
        self.deadlines = Deadlines(self, settings, limits, config.http1.header_read_timeout)
        self.engine = engine_class(
            self,
            self.output.write,
            settings,
            limits,
            self._budget,
            extended_connect=context.handle_websocket is not None,
        )
        self.output.engine = self.credit.engine = self.engine

    def now(self) -> float:
        """Return the seconds of the server's clock."""
        return self._context.clock()

    @property
    def unread_limit(self) -> int:
        """Bytes that the peer of a stream whose answer is complete may still send."""
        return self._limits.unread_body_bytes

    @property
    def date_line(self) -> bytes:
        """The server's Date as a line of HTTP/1.1: the same object for a second."""
        return self._context.date

    # -- asyncio.Protocol ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport and send our SETTINGS."""
        self.transport = cast("asyncio.Transport", transport)
        self.output.start(self.transport)
        self.client = transport_address(transport.get_extra_info("peername"), listener=False)
        self.server = transport_address(transport.get_extra_info("sockname"), listener=True)
        now = self.now()
        self.idle_since = now
        self.deadlines.start(now)
        self._context.connections.add(self)
        self.engine.start()

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the engine."""
        if self.phase != OPEN:
            return
        now = self._budget.now = self._context.clock()
        engine = self.engine
        engine.receive_data(data)
        deadlines = self.deadlines
        if engine.head_pending:
            if deadlines.head == inf:
                deadlines.start_head(now)
        else:
            deadlines.head = inf
        if self.output.write_high and self.phase == OPEN:
            self.output.pause_reading_if_full()

    def eof_received(self) -> bool:
        """Take the peer's FIN: nothing more can be asked, what was asked is answered."""
        self.half_closed = True
        for watched in self._watched:
            watched.feed_half_close()
        for exchange in list(self.streams.values()):
            if exchange.websocket is not None:
                self._remote_end(exchange, None)
            elif exchange.remote_open and exchange.stream.phase < COMPLETE:
                self._end(exchange, aborted=True)
            else:
                exchange.stream.feed_half_close()
        if self.phase == LINGER or (self.phase == OPEN and not self.streams):
            self.output.flush()
            self.transport.close()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever still waits for the peer."""
        self.phase = GONE
        self.idle_since = self.deadline = inf
        self.engine.close()
        self.output.close()
        self._context.connections.discard(self)
        self.end_all()
        for watched in self._watched:
            watched.feed_half_close()
        self._watched.clear()
        self.deadlines.stop()
        # Another connection may take the place of this one.
        self._context.on_change()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self.output.write_high = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self.output.resume()

    # -- HTTP2Handler: requests ------------------------------------------------------

    def on_request(self, stream_id: int, request: Request) -> None:
        """Start an exchange, or let it wait for its turn."""
        if request.status:
            self._refuse(stream_id, request.status, request.reason, request.has_body)
            return
        if self.header_bytes + request.size > HEADER_MEMORY:
            self._refuse(stream_id, 431, "too many fields on all streams", request.has_body)
            return
        if self._max_body is not None and request.content_length > self._max_body:
            self._refuse(stream_id, 413, "request body too large", request.has_body)
            return
        urgency = self._priorities.pop(stream_id, None) if self._priorities else None
        if urgency is None:
            priority = request.priority
            urgency = DEFAULT_URGENCY if priority is None else read_urgency(priority)
        exchange = Exchange(self, stream_id, request.size, urgency)
        exchange.remote_open = request.has_body
        exchange.expects_continue = request.expects_continue
        exchange.open_stream(request)
        if request.has_body:
            exchange.body_at = self._budget.now
        self.streams[stream_id] = exchange
        self.header_bytes += request.size
        self.idle_since = inf
        self.admission.request(exchange)

    def _refuse(self, stream_id: int, status: int, reason: str, has_body: bool) -> None:
        """Answer a request that no application sees."""
        logger.debug("%s: stream %d: %d %s", self.client, stream_id, status, reason)
        if self._context.access_log is not None:
            self._context.access_log.log_rejected(self.client, status, time.time())
        fields = [
            (b":status", b"%d" % status),
            SERVER,
            date_field(self.date_line),
            (b"content-length", b"0"),
        ]
        self.engine.send_headers(stream_id, fields, True)
        if has_body:
            # RFC 9113 8.1: the answer does not depend on what has not been sent.
            self.engine.send_reset(stream_id, NO_ERROR)

    def admit(self) -> None:
        """Go on with a request that was held back for want of a permit."""
        self.admission.admit()

    # -- HTTP2Handler: bodies ----------------------------------------------------------

    def on_data(self, stream_id: int, data: bytes, flow_size: int) -> None:
        """Take a piece of a body."""
        credit = self.credit
        credit.measure(flow_size)
        exchange = self.streams.get(stream_id)
        if exchange is None:
            credit.give_connection(flow_size)
            return
        if exchange.websocket is not None:
            exchange.websocket.take_data(data, flow_size)
            return
        exchange.body_at = self._budget.now
        exchange.body_bytes += len(data)
        exchange.expects_continue = False  # the client did not wait
        exchange.uncredited += flow_size
        stream = exchange.stream
        if stream.phase >= COMPLETE:
            # Answered already: credited and dropped, within bounds.
            credit.give_connection(flow_size)
            if exchange.body_bytes > self._limits.unread_body_bytes:
                self.stop_upload(exchange)
                return
        elif self._max_body is not None and exchange.body_bytes > self._max_body:
            credit.give_connection(flow_size)
            self.fail_request(exchange, 413, "request body too large")
            return
        else:
            if exchange.held:
                credit.hold(exchange, flow_size)
            credit.give_connection(flow_size)
            if data:
                stream.feed_data(data)
        if not exchange.held:
            credit.give_stream(exchange)

    def on_end(self, stream_id: int, trailers: Fields | None) -> None:
        """A body is complete."""
        exchange = self.streams.get(stream_id)
        if exchange is not None:
            self._remote_end(exchange, trailers)

    def _remote_end(self, exchange: Exchange, trailers: Fields | None) -> None:
        """The peer sends nothing more on a stream."""
        exchange.remote_open = False
        exchange.expects_continue = False
        if exchange.websocket is None:
            exchange.stream.feed_end(trailers)
        else:
            exchange.websocket.receive_end()
        if not exchange.local_open:
            self._end(exchange, aborted=False)

    def fail_request(self, exchange: Exchange, status: int, reason: str) -> None:
        """End an exchange for what its request is: answer if that is still possible."""
        if exchange.is_pending:
            self._refuse(exchange.stream_id, status, reason, exchange.remote_open)
            self._end(exchange, aborted=True)
        else:
            self.reset(exchange, CANCEL)

    def stop_upload(self, exchange: Exchange) -> None:
        """Tell the peer of an answered request to stop sending it (RFC 9113 8.1)."""
        if exchange.local_open:
            return  # what is left of the answer goes first
        self.engine.send_reset(exchange.stream_id, NO_ERROR)
        self._end(exchange, aborted=False)

    def on_reset(self, stream_id: int, code: int, remote: bool) -> None:
        """A stream ended before its time; its application may still run."""
        exchange = self.streams.get(stream_id)
        if exchange is None:
            return
        logger.debug("%s: stream %d reset, code %d", self.client, stream_id, code)
        self._end(exchange, aborted=True)
        if exchange.running:
            self.header_bytes += exchange.size
            running = self.deadlines.add_orphan(exchange, self._budget.now)
            if running > 1:
                self._budget.orphans(running)

    # -- HTTP2Handler: the rest -----------------------------------------------------

    def on_window(self, stream_id: int) -> None:
        """Let who has something to send have a turn."""
        if stream_id:
            exchange = self.streams.get(stream_id)
            if exchange is not None:
                self.output.wake((exchange,))
        else:
            self.output.wake(self.streams.values())

    def on_priority(self, stream_id: int, value: bytes) -> None:
        """Change the urgency of a stream (RFC 9218 7)."""
        urgency = read_urgency(value)
        exchange = self.streams.get(stream_id)
        if exchange is not None:
            self.output.set_urgency(exchange, urgency)
        elif stream_id > self.engine.highest_id:
            self._priorities[stream_id] = urgency
            if len(self._priorities) > MAX_EARLY_PRIORITIES:
                del self._priorities[next(iter(self._priorities))]

    def on_ping_ack(self, data: bytes) -> None:
        """Take the answer to one of our PINGs."""
        if data == KEEP_ALIVE_PING:
            self.deadlines.ping_acknowledged()
        elif data == DRAIN_PING and self.leaving.final_at < inf:
            self.leaving.send_final()
        elif data == WINDOW_PING:
            self.credit.ping_acknowledged()

    def on_goaway(self, code: int) -> None:
        """The peer opens no more streams: leave when the open ones have ended."""
        self.leaving.peer_leaves = True
        if not self.streams:
            self.leaving.leave(NO_ERROR)

    def on_error(self, code: int, reason: str) -> None:
        """The connection is over; GOAWAY was written."""
        logger.debug("%s: error %d: %s", self.client, code, reason)
        self.leaving.linger()
        self.end_all()

    # -- called by exchanges ----------------------------------------------------------

    def send_head(self, exchange: Exchange, fields: Section, *, end_stream: bool) -> None:
        """Write a response head."""
        self.engine.send_headers(exchange.stream_id, fields, end_stream)
        if end_stream:
            self.local_end(exchange)

    def release_body(self, exchange: Exchange) -> None:
        """The application has read what was held."""
        exchange.held = False
        exchange.body_at = self.now()
        self.credit.release(exchange)

    # -- the ends of exchanges ----------------------------------------------------------

    def local_end(self, exchange: Exchange) -> None:
        """The end of a response was written."""
        exchange.local_open = False
        if not exchange.remote_open:
            self._end(exchange, aborted=False)
        else:
            # The peer may still be sending: it has a while to notice.
            exchange.answered_at = self.now()
            self.credit.forget(exchange)
            exchange.held = False
            self.credit.give_stream(exchange)

    def reset(self, exchange: Exchange, code: int) -> None:
        """End an exchange from our side, before it is complete."""
        if not exchange.closed:
            self.engine.send_reset(exchange.stream_id, code)
            self._end(exchange, aborted=True)

    def _end(self, exchange: Exchange, *, aborted: bool) -> None:
        """Forget a stream that is closed in both directions."""
        if exchange.closed:
            return
        exchange.closed = True
        exchange.local_open = exchange.remote_open = False
        del self.streams[exchange.stream_id]
        self.header_bytes -= exchange.size
        if exchange.held_bytes:
            self.credit.forget(exchange)
        if not exchange.started:
            self.admission.forget(exchange)
        stream = exchange.stream
        if exchange.websocket is not None:
            exchange.websocket.lost()
        if aborted:
            stream.feed_disconnect()
        elif stream.gone_waiters is not None and stream.is_watched:
            # Its application still waits for the client to leave.
            self._watched = [one for one in self._watched if one.is_watched]
            self._watched.append(stream)
        self.output.forget(exchange)
        if exchange.started and not exchange.running:
            exchange.release()
        if not self.streams:
            self._rest()

    def end_all(self) -> None:
        """Every exchange ends here, whatever the peer has of it."""
        for exchange in list(self.streams.values()):
            self._end(exchange, aborted=True)

    def _rest(self) -> None:
        """No stream is open: leave, or wait for the next."""
        if self.phase != OPEN:
            return
        self.idle_since = self.now()
        self.leaving.when_idle()

    # -- leaving and the server ---------------------------------------------------

    def drain(self) -> None:
        """Take no further request."""
        self.leaving.drain()

    def close_idle(self) -> bool:
        """Close if no stream is open and none has begun to arrive."""
        if self.streams or self.engine.head_pending or self.phase != OPEN:
            return False
        self.leaving.leave(NO_ERROR)
        return True

    def abort(self) -> None:
        """Drop the connection."""
        if self.phase != GONE:
            self.transport.abort()

    def socket_fd(self) -> int:
        """Return the transport's descriptor, or -1."""
        sock = self.transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else -1

    def sweep(self, now: float, elapsed: float) -> None:
        """Act on every deadline that has passed."""
        self._budget.now = now
        if self.phase == OPEN:
            self.deadlines.sweep_open(now, elapsed)
        elif self.phase == LINGER and self.deadline <= now:
            self.transport.abort()
        if self.phase != GONE:
            self.output.sweep(now)

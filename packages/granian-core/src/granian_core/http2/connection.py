"""One HTTP/2 connection: a transport, an engine, and many exchanges.

Owns the transport, whose turn it is to send, what credit the peer gets, the deadlines,
and how the connection ends. Parses nothing and knows nothing of interfaces.

Output of one turn of the loop leaves in one write. Deadlines are plain floats that the
server's sweep compares.

Phases::

    OPEN ─▶ LINGER ─▶ GONE        a fault, or the end: GOAWAY was written
    OPEN ─▶ GONE                  the peer left
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from math import inf
from typing import TYPE_CHECKING, Final, cast

from granian_core.addresses import transport_address
from granian_core.http1.target import decode_path
from granian_core.http2.adaptive import WindowEstimator
from granian_core.http2.budget import Budget
from granian_core.http2.contract import (
    CANCEL,
    ENHANCE_YOUR_CALM,
    MAX_STREAM_ID,
    NO_ERROR,
    HTTP2Engine,
)
from granian_core.http2.exchange import CONNECTION_HIGH_WATER, FRAME_CAP, Exchange
from granian_core.http2.priority import DEFAULT_URGENCY, SendOrder, read_urgency
from granian_core.http2.response import SERVER
from granian_core.stream import COMPLETE, Address, Fields, HTTPStream

if TYPE_CHECKING:
    from granian_core.context import ConnectionContext
    from granian_core.http2.fields import Request
    from granian_core.tls import TLSInfo

logger = logging.getLogger("_granian.http2")

OPEN: Final = 0
LINGER: Final = 1
GONE: Final = 2

WRITE_PER_TURN: Final = 131_072
"""Bytes of content that one connection sends in one turn of the loop."""
CONTROL_HIGH_WATER: Final = 65_536
"""Bytes of our answers that wait for a peer that does not read, before we stop reading it."""
HEADER_MEMORY: Final = 1024 * 1024
"""Octets of the field sections of all requests of a connection."""
HELD_WINDOWS: Final = 4
"""How many connection windows of unread bodies there may be before uploads wait for each other."""
RESET_GRACE: Final = 1.0
"""Seconds that an application has to notice that its stream was reset; then it is cancelled."""
GOAWAY_GRACE: Final = 1.0
"""Seconds between the two GOAWAY frames of a drain, where the peer acknowledges nothing."""
STALL_PROGRESS: Final = 1024
"""Bytes that have to leave within the write timeout for a stream not to count as stalled."""
MAX_EARLY_PRIORITIES: Final = 32
"""PRIORITY_UPDATE frames kept for streams that do not exist yet."""

_KEEP_ALIVE_PING: Final = b"granianK"
_DRAIN_PING: Final = b"granianD"
_WINDOW_PING: Final = b"granianW"


class HTTP2Connection(asyncio.Protocol):
    """See the module. Implements `HTTP2Handler` and the server's `Connection`.

    Attributes:
        streams: The open exchanges by identifier.
        queued: Bytes of content that wait on all of them.
        blocked: Exchanges whose applications wait to write.
    """

    __slots__ = (
        "_budget",
        "_connection_credit",
        "_connection_threshold",
        "_context",
        "_control_paused",
        "_estimator",
        "_final_goaway_at",
        "_final_sent",
        "_flush_scheduled",
        "_head_deadline",
        "_header_bytes",
        "_held_bytes",
        "_held_limit",
        "_in_waiting",
        "_limits",
        "_max_body",
        "_order",
        "_orphans",
        "_out",
        "_out_size",
        "_peer_leaves",
        "_pending",
        "_ping_at",
        "_ping_sent_at",
        "_priorities",
        "_running",
        "_settings",
        "_stalled_at",
        "_stream_threshold",
        "_taken",
        "_watched",
        "_write_high",
        "_written",
        "blocked",
        "client",
        "deadline",
        "engine",
        "half_closed",
        "idle_since",
        "loop",
        "max_send_buffer",
        "phase",
        "queued",
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
        self._context = context
        self._settings = settings
        self._limits = config.limits
        self._max_body = config.limits.max_body_size
        self.loop = context.loop
        self.scheme = scheme
        self.tls = tls
        self.client: Address | None = None
        self.server: Address | None = None
        self.phase = OPEN
        self.idle_since = inf
        self.half_closed = False
        self.streams: dict[int, Exchange] = {}
        self._running: set[Exchange] = set()
        self._pending: deque[Exchange] = deque()
        self._in_waiting = False
        self._orphans: dict[Exchange, float] = {}
        self._watched: list[HTTPStream] = []
        self._priorities: dict[int, int] = {}
        self._header_bytes = 0
        # Output.
        self.max_send_buffer = settings.max_send_buffer_size
        self.queued = 0
        self.blocked: set[Exchange] = set()
        self._order = SendOrder()
        self._out: list[bytes] = []
        self._out_size = 0
        self._flush_scheduled = False
        self._write_high = False
        self._control_paused = False
        self._written = 0
        self._taken = 0
        self._stalled_at = inf
        # Credit for the peer.
        self._estimator = WindowEstimator() if settings.adaptive_window else None
        self._stream_threshold = max(1, settings.stream_window // 4)
        self._connection_threshold = max(1, settings.connection_window // 4)
        self._connection_credit = 0
        self._held_bytes = 0
        self._held_limit = HELD_WINDOWS * settings.connection_window
        # Deadlines.
        self.deadline = inf
        self._head_deadline = inf
        self._ping_at = inf
        self._ping_sent_at = inf
        self._final_goaway_at = inf
        self._final_sent = False
        self._peer_leaves = False
        self._budget = Budget(context.clock())
        self.engine = engine_class(self, self._write, settings, config.limits, self._budget)

    def now(self) -> float:
        """Return the seconds of the server's clock."""
        return self._context.clock()

    @property
    def date(self) -> bytes:
        """The value of the Date field."""
        return self._context.date[6:-2]

    # -- asyncio.Protocol ---------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport and send our SETTINGS."""
        self.transport = cast("asyncio.Transport", transport)
        self.client = transport_address(transport.get_extra_info("peername"), listener=False)
        self.server = transport_address(transport.get_extra_info("sockname"), listener=True)
        now = self.now()
        self.idle_since = now
        self.deadline = now + self._context.config.http1.header_read_timeout / 1000
        if self._settings.keep_alive_interval is not None:
            self._ping_at = now + self._settings.keep_alive_interval / 1000
        self._context.connections.add(self)
        self.engine.start()

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the engine."""
        if self.phase != OPEN:
            return
        now = self._budget.now = self._context.clock()
        self.engine.receive_data(data)
        if self.engine.head_pending:
            if self._head_deadline == inf:
                self._head_deadline = now + self._context.config.http1.header_read_timeout / 1000
        else:
            self._head_deadline = inf
        if self._write_high and self._out_size > CONTROL_HIGH_WATER:
            self._pause_for_control()

    def eof_received(self) -> bool:
        """Take the peer's FIN: nothing more can be asked, what was asked is answered."""
        self.half_closed = True
        for watched in self._watched:
            watched.feed_half_close()
        for exchange in list(self.streams.values()):
            if exchange.remote_open and exchange.stream.phase < COMPLETE:
                self._end(exchange, aborted=True)
            else:
                exchange.stream.feed_half_close()
        if self.phase == LINGER or (self.phase == OPEN and not self.streams):
            self._flush()
            self.transport.close()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever still waits for the peer."""
        self.phase = GONE
        self.idle_since = inf
        self.deadline = inf
        self.engine.close()
        self._out.clear()
        self._context.connections.discard(self)
        self._end_all()
        for watched in self._watched:
            watched.feed_half_close()
        self._watched.clear()
        self._orphans.clear()
        # Another connection may take the place of this one.
        self._context.on_change()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._write_high = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self._write_high = False
        if self._control_paused:
            self._control_paused = False
            if self.phase != GONE and not self.transport.is_closing():
                self.transport.resume_reading()
        self._schedule_flush()

    def _pause_for_control(self) -> None:
        """Read no more from a peer that makes us answer and does not read the answers."""
        if not self._control_paused and self.phase == OPEN:
            self._control_paused = True
            self.transport.pause_reading()

    # -- HTTP2Handler: requests ------------------------------------------------------

    def on_request(self, stream_id: int, request: Request) -> None:
        """Start an exchange, or let it wait for its turn."""
        if request.status:
            self._refuse(stream_id, request.status, request.reason, request.has_body)
            return
        if self._header_bytes + request.size > HEADER_MEMORY:
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
        exchange.stream = self._make_stream(exchange, request)
        if request.has_body:
            exchange.body_at = self._budget.now
        self.streams[stream_id] = exchange
        self._header_bytes += request.size
        self.idle_since = inf
        if self._pending or self._context.pressed or not self._may_start():
            self._hold(exchange)
        else:
            self._start(exchange)

    def _make_stream(self, exchange: Exchange, request: Request) -> HTTPStream:
        raw_path, _, query = request.path.partition(b"?")
        path = decode_path(raw_path) if b"%" in raw_path else raw_path.decode("ascii")
        return HTTPStream(
            exchange,
            "2",
            request.method.decode("ascii"),
            self.scheme,
            path,
            raw_path,
            query,
            request.authority,
            request.headers,
            self.client,
            self.server,
            self.tls,
            request.has_body,
            request.expects_continue,
        )

    def _refuse(self, stream_id: int, status: int, reason: str, has_body: bool) -> None:
        """Answer a request that no application sees."""
        logger.debug("%s: stream %d: %d %s", self.client, stream_id, status, reason)
        if self._context.access_log is not None:
            self._context.access_log.log_rejected(self.client, status, time.time())
        fields = [
            (b":status", b"%d" % status),
            SERVER,
            (b"date", self.date),
            (b"content-length", b"0"),
        ]
        self.engine.send_headers(stream_id, fields, True)
        if has_body:
            # RFC 9113 8.1: the answer does not depend on what has not been sent.
            self.engine.send_reset(stream_id, NO_ERROR)

    def _may_start(self) -> bool:
        """Whether there is room for one more running application.

        Reset streams count until their application is done. So do bytes that wait for a
        peer that does not take them: no more work for one that lets them pile up.
        """
        context = self._context
        return (
            len(context.streams) < context.limit
            and len(self._running) < self._settings.max_concurrent_streams
            and self.queued < CONNECTION_HIGH_WATER
        )

    def _hold(self, exchange: Exchange) -> None:
        self._pending.append(exchange)
        self._wait_for_permit()

    def _wait_for_permit(self) -> None:
        """Queue for a permit if that is what is missing."""
        context = self._context
        if not self._in_waiting and (context.pressed or len(context.streams) >= context.limit):
            self._in_waiting = True
            context.waiting.append(self)

    def admit(self) -> None:
        """Go on with a request that was held back for want of a permit."""
        self._in_waiting = False
        if self._pending and self._may_start():
            self._start(self._pending.popleft())
        if self._pending and self._may_start():
            # One at a time, so that other connections get their turn.
            self._in_waiting = True
            self._context.waiting.append(self)
        elif self._pending:
            self._wait_for_permit()

    def _admit_pending(self) -> None:
        """Go on with requests that were held back by what this connection itself does."""
        while self._pending and not self._context.pressed and self._may_start():
            self._start(self._pending.popleft())
        if self._pending:
            self._wait_for_permit()

    def _start(self, exchange: Exchange) -> None:
        exchange.started = exchange.running = True
        self._running.add(exchange)
        self._context.run(exchange.stream)

    def application_done(self, exchange: Exchange) -> None:
        """Give a permit back. Safe from any thread."""
        exchange.running = False
        self._running.discard(exchange)
        self._context.application_done(exchange.stream)
        if self._pending:
            # A thread may outlive the loop: then nobody waits for it.
            with contextlib.suppress(RuntimeError):
                self.loop.call_soon_threadsafe(self._admit_pending)

    # -- HTTP2Handler: bodies ----------------------------------------------------------

    def on_data(self, stream_id: int, data: bytes, flow_size: int) -> None:
        """Take a piece of a body."""
        if self._estimator is not None and self._estimator.data_received(flow_size):
            self.engine.send_ping(_WINDOW_PING)
        exchange = self.streams.get(stream_id)
        if exchange is None:
            self._credit_connection(flow_size)
            return
        exchange.body_at = self._budget.now
        exchange.body_bytes += len(data)
        exchange.expects_continue = False  # the client did not wait
        exchange.uncredited += flow_size
        stream = exchange.stream
        if stream.phase >= COMPLETE:
            # Answered already: credited and dropped, within bounds.
            self._credit_connection(flow_size)
            if exchange.body_bytes > self._limits.unread_body_bytes:
                self._stop_upload(exchange)
                return
        elif self._max_body is not None and exchange.body_bytes > self._max_body:
            self._credit_connection(flow_size)
            self._fail_request(exchange, 413, "request body too large")
            return
        else:
            if exchange.held:
                exchange.held_bytes += flow_size
                self._held_bytes += flow_size
            self._credit_connection(flow_size)
            if data:
                stream.feed_data(data)
        if not exchange.held:
            self._credit_stream(exchange)

    def _credit_stream(self, exchange: Exchange) -> None:
        if exchange.uncredited >= self._stream_threshold and exchange.remote_open:
            self.engine.credit(exchange.stream_id, exchange.uncredited)
            exchange.uncredited = 0

    def _credit_connection(self, size: int) -> None:
        """Give the connection's window back, unless too much lies unread on its streams.

        Not tied to the reading of each stream: one application that does not read would
        stop the uploads to all others.
        """
        self._connection_credit += size
        if (
            self._connection_credit >= self._connection_threshold
            and self._held_bytes < self._held_limit
        ):
            self.engine.credit(0, self._connection_credit)
            self._connection_credit = 0

    def release_body(self, exchange: Exchange) -> None:
        """The application has read what was held."""
        exchange.held = False
        exchange.body_at = self.now()
        self._forget_held(exchange)
        self._credit_stream(exchange)
        self._credit_connection(0)

    def _forget_held(self, exchange: Exchange) -> None:
        self._held_bytes -= exchange.held_bytes
        exchange.held_bytes = 0

    def on_end(self, stream_id: int, trailers: Fields | None) -> None:
        """A body is complete."""
        exchange = self.streams.get(stream_id)
        if exchange is None:
            return
        exchange.remote_open = False
        exchange.expects_continue = False
        exchange.stream.feed_end(trailers)
        if not exchange.local_open:
            self._end(exchange, aborted=False)

    def _fail_request(self, exchange: Exchange, status: int, reason: str) -> None:
        """End an exchange for what its request is: answer if that is still possible."""
        if exchange.is_pending:
            self._refuse(exchange.stream_id, status, reason, exchange.remote_open)
            self._end(exchange, aborted=True)
        else:
            self.reset(exchange, CANCEL)

    def _stop_upload(self, exchange: Exchange) -> None:
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
            self._orphans[exchange] = self._budget.now + RESET_GRACE
            self._header_bytes += exchange.size
            if len(self._orphans) > 1:
                self._budget.orphans(sum(orphan.running for orphan in self._orphans))

    # -- HTTP2Handler: the rest -----------------------------------------------------

    def on_window(self, stream_id: int) -> None:
        """Let who has something to send have a turn."""
        if stream_id:
            exchange = self.streams.get(stream_id)
            if exchange is not None and exchange.has_output:
                self._order.add(exchange)
        else:
            for exchange in self.streams.values():
                if exchange.has_output:
                    self._order.add(exchange)
        if self._order:
            self._schedule_flush()

    def on_priority(self, stream_id: int, value: bytes) -> None:
        """Change the urgency of a stream (RFC 9218 7)."""
        urgency = read_urgency(value)
        exchange = self.streams.get(stream_id)
        if exchange is not None:
            self._order.discard(exchange)
            exchange.urgency = urgency
            if exchange.has_output:
                self._order.add(exchange)
        elif stream_id > self.engine.highest_id:
            self._priorities[stream_id] = urgency
            if len(self._priorities) > MAX_EARLY_PRIORITIES:
                del self._priorities[next(iter(self._priorities))]

    def on_ping_ack(self, data: bytes) -> None:
        """Take the answer to one of our PINGs."""
        if data == _KEEP_ALIVE_PING:
            self._ping_sent_at = inf
        elif data == _DRAIN_PING and self._final_goaway_at < inf:
            self._send_final_goaway()
        elif data == _WINDOW_PING and self._estimator is not None and self._estimator.measuring:
            self._grow_windows(self._estimator)

    def _grow_windows(self, estimator: WindowEstimator) -> None:
        growth = estimator.ping_acknowledged()
        if growth:
            self._stream_threshold = self._connection_threshold = estimator.window // 4
            self._held_limit = HELD_WINDOWS * estimator.window
            self.engine.send_window_setting(estimator.window)
            self.engine.credit(0, growth)

    def on_goaway(self, code: int) -> None:
        """The peer opens no more streams: leave when the open ones have ended."""
        self._peer_leaves = True
        if not self.streams:
            self._leave(NO_ERROR)

    def on_error(self, code: int, reason: str) -> None:
        """The connection is over; GOAWAY was written."""
        logger.debug("%s: error %d: %s", self.client, code, reason)
        self._linger()
        self._end_all()

    # -- output -----------------------------------------------------------------

    def _write(self, data: bytes) -> None:
        self._out.append(data)
        self._out_size += len(data)
        self._schedule_flush()

    def _schedule_flush(self) -> None:
        if not self._flush_scheduled and self.phase != GONE:
            self._flush_scheduled = True
            self.loop.call_soon(self._flush_turn)

    def _flush_turn(self) -> None:
        self._flush_scheduled = False
        if self.phase == GONE or self._write_high:
            return
        if self._order:
            self._pump()
        self._flush()
        if self._pending:
            self._admit_pending()

    def _flush(self) -> None:
        """Write what this turn has gathered."""
        if self._out and self.phase != GONE:
            out, self._out = self._out, []
            self._written += self._out_size
            self._out_size = 0
            self.transport.write(out[0] if len(out) == 1 else b"".join(out))

    def _pump(self) -> None:
        """Let exchanges send, in turn, as much as one turn of the loop allows."""
        room = WRITE_PER_TURN
        while room > 0:
            exchange = self._order.take()
            if exchange is None:
                break
            room -= self._send_some(exchange)
        if self._order:
            self._schedule_flush()
        if self.blocked:
            self._wake_writers()

    def _send_some(self, exchange: Exchange) -> int:
        """Send one frame of an exchange; return how many bytes of content were in it."""
        engine = self.engine
        stream_id = exchange.stream_id
        size = 0
        if exchange.queued:
            window = engine.window(stream_id)
            if window <= 0:
                return 0  # `on_window` brings it back
            data = exchange.take(min(window, engine.max_frame, FRAME_CAP))
            size = len(data)
            self.queued -= size
            ends = exchange.ended and not exchange.queued and exchange.trailers is None
            engine.send_data(stream_id, data, ends)
            if not ends:
                if exchange.has_output:
                    self._order.add(exchange)
                return size
        elif not exchange.ended:
            return 0
        elif exchange.trailers is not None:
            engine.send_headers(stream_id, exchange.trailers, True)
        else:
            engine.send_data(stream_id, b"", True)
        self._local_end(exchange)
        return size

    def _wake_writers(self) -> None:
        low = max(1, self.max_send_buffer // 2)
        for exchange in list(self.blocked):
            if exchange.wake_if_free(low):
                self.blocked.discard(exchange)

    def send_head(self, exchange: Exchange, fields: Fields, *, end_stream: bool) -> None:
        """Write a response head."""
        self.engine.send_headers(exchange.stream_id, fields, end_stream)
        if end_stream:
            self._local_end(exchange)

    def data_queued(self, exchange: Exchange, size: int) -> None:
        """An exchange has taken content from its application."""
        self.queued += size
        self._order.add(exchange)
        self._schedule_flush()

    def response_done(self, exchange: Exchange) -> None:
        """The application has ended its response; some of it may still be queued."""
        if exchange.local_open:
            self._order.add(exchange)
            self._schedule_flush()

    def _local_end(self, exchange: Exchange) -> None:
        """The end of a response was written."""
        exchange.local_open = False
        if not exchange.remote_open:
            self._end(exchange, aborted=False)
        else:
            # The peer may still be sending: it has a while to notice.
            exchange.answered_at = self.now()
            self._forget_held(exchange)
            exchange.held = False
            self._credit_stream(exchange)

    # -- the ends of exchanges ----------------------------------------------------------

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
        self._header_bytes -= exchange.size
        self._forget_held(exchange)
        self._order.discard(exchange)
        self.queued -= exchange.drop_queue()
        if not exchange.started:
            self._pending.remove(exchange)
        stream = exchange.stream
        if aborted:
            stream.feed_disconnect()
        elif stream.is_watched:
            # Its application still waits for the client to leave.
            self._watched = [one for one in self._watched if one.is_watched]
            self._watched.append(stream)
        exchange.wake_if_free(0)
        self.blocked.discard(exchange)
        if not self.streams:
            self._rest()

    def _end_all(self) -> None:
        for exchange in list(self.streams.values()):
            self._end(exchange, aborted=True)

    def _rest(self) -> None:
        """No stream is open: leave, or wait for the next."""
        if self.phase != OPEN:
            return
        self.idle_since = self.now()
        if self._final_sent or self._peer_leaves or self.half_closed:
            self._leave(NO_ERROR)

    # -- leaving ----------------------------------------------------------------

    def _leave(self, code: int) -> None:
        """Say GOAWAY, and close when it is written."""
        if self.phase != OPEN:
            return
        if not self._final_sent:
            self._final_sent = True
            self.engine.send_goaway(self.engine.highest_id, code)
        self.phase = LINGER
        self.idle_since = inf
        self.deadline = self.now() + self._limits.linger_timeout
        self.engine.close()
        self._flush()
        self.transport.close()

    def _linger(self) -> None:
        """Half-close, then read and drop for a while, so that GOAWAY is not lost to a reset."""
        if self.phase != OPEN:
            return
        self.phase = LINGER
        self.idle_since = inf
        self.deadline = self.now() + self._limits.linger_timeout
        self._flush()
        if self.half_closed or not self.transport.can_write_eof():
            self.transport.close()
            return
        self.transport.write_eof()
        if self._control_paused:
            self._control_paused = False
            self.transport.resume_reading()

    def _send_final_goaway(self) -> None:
        self._final_goaway_at = inf
        self._final_sent = True
        self.engine.send_goaway(self.engine.highest_id, NO_ERROR)
        if not self.streams:
            self._leave(NO_ERROR)

    def drain(self) -> None:
        """Take no further request, in two steps (RFC 9113 6.8).

        The first GOAWAY only warns. The second follows when the peer has answered a PING,
        and so has seen the first; or after a while, for it need not answer.
        """
        if self.phase != OPEN or self._final_goaway_at < inf or self._final_sent:
            return
        for exchange in self.streams.values():
            if exchange.stream.event_stream:
                exchange.stream.feed_half_close()
        self.engine.send_goaway(MAX_STREAM_ID, NO_ERROR)
        self.engine.send_ping(_DRAIN_PING)
        self._final_goaway_at = self.now() + GOAWAY_GRACE

    def close_idle(self) -> bool:
        """Close if no stream is open and none has begun to arrive."""
        if self.streams or self.engine.head_pending or self.phase != OPEN:
            return False
        self._leave(NO_ERROR)
        return True

    def abort(self) -> None:
        """Drop the connection."""
        if self.phase != GONE:
            self.transport.abort()

    def socket_fd(self) -> int:
        """Return the transport's descriptor, or -1."""
        sock = self.transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else -1

    # -- deadlines --------------------------------------------------------------

    def sweep(self, now: float, elapsed: float) -> None:
        """Act on every deadline that has passed."""
        self._budget.now = now
        if self.phase == OPEN:
            self._sweep_open(now, elapsed)
        elif self.phase == LINGER and self.deadline <= now:
            self.transport.abort()
        if self.phase != GONE:
            self._sweep_writes(now)

    def _sweep_open(self, now: float, elapsed: float) -> None:
        if self.deadline <= now:
            if not self.engine.started:
                self._leave(NO_ERROR)
                return
            self.deadline = inf  # the preface came in time; now the connection is idle, or busy
        if self._head_deadline <= now:
            self.engine.fail(ENHANCE_YOUR_CALM, "request head timed out")
            return
        if self.idle_since + self._settings.idle_timeout <= now:
            self._leave(NO_ERROR)
            return
        if self._final_goaway_at <= now:
            self._send_final_goaway()
        stalled = []
        for exchange in list(self.streams.values()):
            if exchange.remote_open:
                self._sweep_body(exchange, now, elapsed)
            if exchange.queued and self._is_stalled(exchange, now):
                stalled.append(exchange)
        if stalled:
            self._drop_stalled(stalled)
        if self._orphans:
            self._sweep_orphans(now)
        if self._ping_at <= now:
            self._keep_alive(now)

    def _sweep_body(self, exchange: Exchange, now: float, elapsed: float) -> None:
        limits = self._limits
        if exchange.answered_at < inf:
            if exchange.answered_at + limits.linger_timeout <= now:
                self._stop_upload(exchange)
            return
        if (
            exchange.held
            or exchange.expects_continue
            or not exchange.started
            or exchange.stream.phase >= COMPLETE
            or self._held_bytes >= self._held_limit
        ):
            exchange.body_at = now
            return  # it is not the peer that we are waiting for
        if now - exchange.body_at >= limits.body_idle_timeout:
            self._fail_request(exchange, 408, "request body idle")
            return
        # The first sweep of a body only starts the clock: late by a period, never early.
        exchange.body_wait = 0.0 if exchange.body_wait < 0 else exchange.body_wait + elapsed
        if (
            exchange.body_wait >= limits.body_min_rate_grace
            and exchange.body_bytes < limits.body_min_rate * exchange.body_wait
        ):
            self._fail_request(exchange, 408, "request body too slow")

    def _is_stalled(self, exchange: Exchange, now: float) -> bool:
        """Whether the peer has given a stream that has data no window for too long."""
        if (
            exchange.stalled_at == inf
            or exchange.sent - exchange.marked >= STALL_PROGRESS
            or self.engine.window(exchange.stream_id) > 0
        ):
            exchange.marked = exchange.sent
            exchange.stalled_at = now + self._limits.write_timeout
            return False
        return exchange.stalled_at <= now

    def _drop_stalled(self, stalled: list[Exchange]) -> None:
        if len(stalled) == len(self.streams):
            self.engine.fail(ENHANCE_YOUR_CALM, "no stream makes progress")
            return
        for exchange in stalled:
            logger.debug("%s: stream %d stalled, reset", self.client, exchange.stream_id)
            self.reset(exchange, CANCEL)

    def _sweep_orphans(self, now: float) -> None:
        """Cancel applications whose streams were reset and that did not notice by themselves."""
        for exchange, deadline in list(self._orphans.items()):
            if not exchange.running:
                del self._orphans[exchange]
                self._header_bytes -= exchange.size
            elif deadline <= now:
                self._orphans[exchange] = inf
                task = exchange.stream.task
                if task is not None:
                    exchange.stream.cancelled = True
                    task.cancel()

    def _keep_alive(self, now: float) -> None:
        """Send a PING when it is time, and leave a peer that answers none."""
        if self._ping_sent_at + self._settings.keep_alive_timeout <= now:
            logger.debug("%s: answers no PING", self.client)
            self._end_all()
            self._leave(NO_ERROR)
        elif self._ping_sent_at == inf:
            interval = self._settings.keep_alive_interval
            assert interval is not None
            self._ping_sent_at = now
            self._ping_at = now + interval / 1000
            self.engine.send_ping(_KEEP_ALIVE_PING)

    def _sweep_writes(self, now: float) -> None:
        """Drop a peer that takes nothing of what the transport has for it."""
        pending = self.transport.get_write_buffer_size()
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

"""What one HTTP/2 connection sends, and whose turn it is.

Everything that the engine writes in one turn of the loop leaves in one `transport.write`.
Exchanges that have content queue here by urgency (RFC 9218), send a frame at a time, and no
more of them in a turn than `WRITE_PER_TURN`, so that other connections get theirs.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Final

from granian_core.http2.priority import DEFAULT_URGENCY, SendOrder

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable

    from granian_core.http2.budget import Budget
    from granian_core.http2.connection import HTTP2Connection
    from granian_core.http2.contract import HTTP2Engine, Section
    from granian_core.http2.exchange import Exchange

logger = logging.getLogger("_granian.http2")

WRITE_PER_TURN: Final = 131_072
"""Bytes of content that one connection sends in one turn of the loop."""
WHOLE: Final = 16_384
"""Bytes of content that leave without queueing where nobody waits; every peer takes such frames."""
FRAME_CAP: Final = 65_536
"""Most content of one DATA frame, even where the peer takes more: frames take turns."""
CONTROL_HIGH_WATER: Final = 65_536
"""Bytes of our answers that wait for a peer that does not read, before we stop reading it."""


class Output:
    """See the module.

    Attributes:
        order: The exchanges that have something to send.
        queued: Bytes of content that wait on all exchanges.
        size: Bytes that wait to be handed to the transport.
        blocked: Exchanges whose applications wait to write.
        max_send_buffer: Bytes that one exchange may queue.
        write_high: The transport asked us to stop writing.
        closed: Nothing is sent any more.
    """

    __slots__ = (
        "_budget",
        "_connection",
        "_loop",
        "_parts",
        "_reading_paused",
        "_scheduled",
        "_stalled_at",
        "_taken",
        "_transport",
        "_write_timeout",
        "_written",
        "blocked",
        "closed",
        "engine",
        "max_send_buffer",
        "order",
        "queued",
        "size",
        "write_high",
    )

    _transport: asyncio.Transport
    engine: HTTP2Engine

    def __init__(
        self,
        connection: HTTP2Connection,
        budget: Budget,
        max_send_buffer: int,
        write_timeout: float,
    ) -> None:
        self._connection = connection
        self._budget = budget
        self._loop = connection.loop
        self.max_send_buffer = max_send_buffer
        self._write_timeout = write_timeout
        self.order = SendOrder()
        self.queued = 0
        self.blocked: set[Exchange] = set()
        self._parts: list[bytes] = []
        self.size = 0
        self._scheduled = False
        self.write_high = False
        self._reading_paused = False
        self.closed = False
        self._written = 0
        self._taken = 0
        self._stalled_at = inf

    def start(self, transport: asyncio.Transport) -> None:
        """Take the transport."""
        self._transport = transport

    def close(self) -> None:
        """The transport is gone."""
        self.closed = True
        self._parts.clear()

    # -- gathering ----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Take bytes from the engine."""
        self._parts.append(data)
        self.size += len(data)
        if not self._scheduled:
            self.schedule()

    def unsent(self) -> bool:
        """Whether bytes wait to be taken, of any stream."""
        return self.size > 0 or self._transport.get_write_buffer_size() > 0

    def schedule(self) -> None:
        """Have a turn at the end of this one of the loop."""
        if not self._scheduled and not self.closed:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self.closed or self.write_high:
            return
        if self.order:
            self._pump()
        self.flush()
        self._connection.admission.admit_pending()

    def flush(self) -> None:
        """Write what has been gathered."""
        if self._parts and not self.closed:
            parts, self._parts = self._parts, []
            self._written += self.size
            self.size = 0
            self._transport.write(parts[0] if len(parts) == 1 else b"".join(parts))

    # -- content ------------------------------------------------------------------

    def send_whole(self, exchange: Exchange, fields: Section, data: bytes) -> bool:
        """Send a whole response, if nobody waits and its content is small.

        Returns:
            Whether it was sent; else it has to queue.
        """
        if (
            self.order
            or self.write_high
            or len(data) > WHOLE
            or exchange.urgency > DEFAULT_URGENCY  # who is more urgent may come in this turn
            or self.size > WRITE_PER_TURN
        ):
            return False
        engine = self.engine
        stream_id = exchange.stream_id
        if len(data) > engine.window(stream_id):
            return False
        engine.send_response(stream_id, fields, data)
        self._connection.local_end(exchange)
        return True

    def data_queued(self, exchange: Exchange, size: int) -> None:
        """An exchange has taken content from its application."""
        self.queued += size
        self.order.add(exchange)
        if not self._scheduled:
            self.schedule()

    def response_done(self, exchange: Exchange) -> None:
        """The application has ended its response; some of it may still be queued."""
        if exchange.local_open:
            self.order.add(exchange)
            if not self._scheduled:
                self.schedule()

    def wake(self, exchanges: Iterable[Exchange]) -> None:
        """The peer has given credit: those that have something to send get a turn."""
        for exchange in exchanges:
            if exchange.has_output:
                self.order.add(exchange)
        if self.order:
            self.schedule()

    def set_urgency(self, exchange: Exchange, urgency: int) -> None:
        """Change an exchange's place in the order (RFC 9218)."""
        self.order.discard(exchange)
        exchange.urgency = urgency
        if exchange.has_output:
            self.order.add(exchange)

    def forget(self, exchange: Exchange) -> None:
        """An exchange is closed: drop what it has, and wake who waits for room."""
        if self.order:
            self.order.discard(exchange)
        if exchange.queued:
            self.queued -= exchange.drop_queue()
        if self.blocked:
            self.blocked.discard(exchange)
        if exchange.waiters is not None or exchange.websocket is not None:
            exchange.wake_writers()

    def _pump(self) -> None:
        """Let exchanges send, in turn, as much as one turn of the loop allows."""
        room = WRITE_PER_TURN
        while room > 0:
            exchange = self.order.take()
            if exchange is None:
                break
            room -= self._send_some(exchange)
        if self.order:
            self.schedule()
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
                return 0  # `HTTP2Handler.on_window` brings it back
            data = exchange.take(min(window, engine.max_frame, FRAME_CAP))
            size = len(data)
            self.queued -= size
            self._budget.data_frames += 1
            ends = exchange.ended and not exchange.queued and exchange.trailers is None
            engine.send_data(stream_id, data, ends)
            if not ends:
                if exchange.has_output:
                    self.order.add(exchange)
                return size
        elif not exchange.ended:
            return 0
        elif exchange.trailers is not None:
            engine.send_headers(stream_id, exchange.trailers, True)
        else:
            engine.send_data(stream_id, b"", True)
        self._connection.local_end(exchange)
        return size

    def _wake_writers(self) -> None:
        low = max(1, self.max_send_buffer // 2)
        for exchange in list(self.blocked):
            if not exchange.is_full(low):
                self.blocked.discard(exchange)
                exchange.wake_writers()

    # -- a peer that does not read --------------------------------------------------

    def resume(self) -> None:
        """The transport's buffer has room again."""
        self.write_high = False
        self.resume_reading()
        self.schedule()

    def pause_reading_if_full(self) -> None:
        """Read no more from a peer that makes us answer and does not read the answers."""
        if self.size > CONTROL_HIGH_WATER and not self._reading_paused:
            self._reading_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes from the peer again."""
        if self._reading_paused:
            self._reading_paused = False
            if not self.closed and not self._transport.is_closing():
                self._transport.resume_reading()

    def sweep(self, now: float) -> None:
        """Drop a peer that takes nothing of what the transport has for it."""
        pending = self._transport.get_write_buffer_size()
        if not pending:
            self._stalled_at = inf
            return
        taken = self._written - pending
        # More, not other: TLS adds bytes of its own to what we have written.
        if taken > self._taken or self._stalled_at == inf:
            self._taken = taken
            self._stalled_at = now + self._write_timeout
        elif self._stalled_at <= now:
            logger.debug("%s: takes nothing of what is sent, dropped", self._connection.client)
            self._transport.abort()

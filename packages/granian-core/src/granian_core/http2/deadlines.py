"""The deadlines of one HTTP/2 connection: plain floats that the server's sweep compares.

The preface, a field section, a request body, a response that the peer gives no window,
applications of reset streams, keep-alive PINGs, the two GOAWAY frames of a drain, and how
long a peer may take to read the last one.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Final

from granian_core.http2.contract import CANCEL, ENHANCE_YOUR_CALM, NO_ERROR
from granian_core.stream import COMPLETE

if TYPE_CHECKING:
    from granian_core.http2.connection import HTTP2Connection
    from granian_core.http2.exchange import Exchange
    from granian_core.settings import HTTP2Settings, Limits

logger = logging.getLogger("_granian.http2")

RESET_GRACE: Final = 1.0
"""Seconds that an application has to notice that its stream was reset; then it is cancelled."""
STALL_PROGRESS: Final = 1024
"""Bytes that have to leave within the write timeout for a stream not to count as stalled."""
KEEP_ALIVE_PING: Final = b"granianK"
"""The PING that finds out who is gone."""


class Deadlines:
    """See the module.

    Attributes:
        head: When the rest of a field section must be here.
    """

    __slots__ = (
        "_connection",
        "_head_timeout",
        "_limits",
        "_orphans",
        "_ping_at",
        "_ping_sent_at",
        "_settings",
        "head",
    )

    def __init__(
        self,
        connection: HTTP2Connection,
        settings: HTTP2Settings,
        limits: Limits,
        head_timeout: int,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._limits = limits
        self._head_timeout = head_timeout / 1000
        self._orphans: dict[Exchange, float] = {}
        self._ping_at = inf
        self._ping_sent_at = inf
        self.head = inf

    def start(self, now: float) -> None:
        """The connection is made."""
        self._connection.deadline = now + self._head_timeout
        if self._settings.keep_alive_interval is not None:
            self._ping_at = now + self._settings.keep_alive_interval / 1000

    def start_head(self, now: float) -> None:
        """A field section has begun to arrive."""
        self.head = now + self._head_timeout

    def stop(self) -> None:
        """The connection is gone."""
        self._orphans.clear()

    def ping_acknowledged(self) -> None:
        """The peer has answered a keep-alive PING."""
        self._ping_sent_at = inf

    def add_orphan(self, exchange: Exchange, now: float) -> int:
        """Note an application whose stream was reset; return how many of them run."""
        orphans = self._orphans
        orphans[exchange] = now + RESET_GRACE
        return 1 if len(orphans) == 1 else sum(orphan.running for orphan in orphans)

    # -- the sweep ------------------------------------------------------------------

    def sweep_open(self, now: float, elapsed: float) -> None:
        """Act on every deadline that has passed, on a connection that is open."""
        connection = self._connection
        if connection.deadline <= now:
            if not connection.engine.started:
                connection.leaving.leave(NO_ERROR)
                return
            connection.deadline = inf  # it came in time; now the connection is idle, or busy
        if self.head <= now:
            connection.engine.fail(ENHANCE_YOUR_CALM, "request head timed out")
            return
        if connection.idle_since + self._settings.idle_timeout <= now:
            connection.leaving.leave(NO_ERROR)
            return
        if connection.leaving.final_at <= now:
            connection.leaving.send_final()
        stalled = []
        for exchange in list(connection.streams.values()):
            if exchange.websocket is not None and exchange.answered_at == inf:
                exchange.websocket.sweep(now)
            elif exchange.remote_open:
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
        connection = self._connection
        if exchange.answered_at < inf:
            if exchange.answered_at + limits.linger_timeout <= now:
                connection.stop_upload(exchange)
            return
        if (
            exchange.held
            or exchange.expects_continue
            or not exchange.started
            or exchange.stream.phase >= COMPLETE
            or connection.credit.exhausted
        ):
            exchange.body_at = now
            return  # it is not the peer that we are waiting for
        if now - exchange.body_at >= limits.body_idle_timeout:
            connection.fail_request(exchange, 408, "request body idle")
            return
        # The first sweep of a body only starts the clock: late by a period, never early.
        exchange.body_wait = 0.0 if exchange.body_wait < 0 else exchange.body_wait + elapsed
        if (
            exchange.body_wait >= limits.body_min_rate_grace
            and exchange.body_bytes < limits.body_min_rate * exchange.body_wait
        ):
            connection.fail_request(exchange, 408, "request body too slow")

    def _is_stalled(self, exchange: Exchange, now: float) -> bool:
        """Whether the peer has given a stream that has data no window for too long."""
        if (
            exchange.stalled_at == inf
            or exchange.sent - exchange.marked >= STALL_PROGRESS
            or self._connection.engine.window(exchange.stream_id) > 0
        ):
            exchange.marked = exchange.sent
            exchange.stalled_at = now + self._limits.write_timeout
            return False
        return exchange.stalled_at <= now

    def _drop_stalled(self, stalled: list[Exchange]) -> None:
        connection = self._connection
        if len(stalled) == len(connection.streams):
            connection.engine.fail(ENHANCE_YOUR_CALM, "no stream makes progress")
            return
        for exchange in stalled:
            logger.debug("%s: stream %d stalled, reset", connection.client, exchange.stream_id)
            connection.reset(exchange, CANCEL)

    def _sweep_orphans(self, now: float) -> None:
        """Cancel applications whose streams were reset and that did not notice by themselves."""
        for exchange, deadline in list(self._orphans.items()):
            if not exchange.running:
                del self._orphans[exchange]
                self._connection.header_bytes -= exchange.size
            elif deadline <= now:
                self._orphans[exchange] = inf
                task = exchange.stream.task
                if task is not None:
                    exchange.stream.cancelled = True
                    task.cancel()

    def _keep_alive(self, now: float) -> None:
        """Send a PING when it is time, and leave a peer that answers none."""
        connection = self._connection
        if self._ping_sent_at + self._settings.keep_alive_timeout <= now:
            logger.debug("%s: answers no PING", connection.client)
            connection.end_all()
            connection.leaving.leave(NO_ERROR)
        elif self._ping_sent_at == inf:
            interval = self._settings.keep_alive_interval
            assert interval is not None
            self._ping_sent_at = now
            self._ping_at = now + interval / 1000
            connection.engine.send_ping(KEEP_ALIVE_PING)

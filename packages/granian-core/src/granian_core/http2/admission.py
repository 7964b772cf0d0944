"""Which exchanges of one HTTP/2 connection may run, and which wait for their turn.

An application holds a permit of the server's (`granian_core.context`) from its request's head
to its end, also where its stream was reset meanwhile: what one peer can have running is
bounded by what it may have open.
"""

from __future__ import annotations

import contextlib
from collections import deque
from typing import TYPE_CHECKING

from granian_core.http2.exchange import CONNECTION_HIGH_WATER

if TYPE_CHECKING:
    from granian_core.context import ConnectionContext
    from granian_core.http2.connection import HTTP2Connection
    from granian_core.http2.exchange import Exchange
    from granian_core.http2.output import Output


class Admission:
    """See the module."""

    __slots__ = (
        "_connection",
        "_context",
        "_in_waiting",
        "_limit",
        "_output",
        "_pending",
        "_running",
    )

    def __init__(
        self, connection: HTTP2Connection, context: ConnectionContext, output: Output, limit: int
    ) -> None:
        self._connection = connection
        self._context = context
        self._output = output
        self._limit = limit
        self._running: set[Exchange] = set()
        self._pending: deque[Exchange] = deque()
        self._in_waiting = False

    def request(self, exchange: Exchange) -> None:
        """Start an exchange, or let it wait for its turn."""
        if self._pending or self._context.pressed or not self._may_start():
            self._pending.append(exchange)
            self._wait_for_permit()
        else:
            self._start(exchange)

    def forget(self, exchange: Exchange) -> None:
        """An exchange that waits has ended."""
        self._pending.remove(exchange)

    def _may_start(self) -> bool:
        """Whether there is room for one more running application.

        Reset streams count until their application is done. So do bytes that wait for a
        peer that does not take them: no more work for one that lets them pile up.
        """
        context = self._context
        return (
            len(context.streams) < context.limit
            and len(self._running) < self._limit
            and self._output.queued < CONNECTION_HIGH_WATER
        )

    def _wait_for_permit(self) -> None:
        """Queue for a permit if that is what is missing."""
        context = self._context
        if not self._in_waiting and (context.pressed or len(context.streams) >= context.limit):
            self._in_waiting = True
            context.waiting.append(self._connection)

    def admit(self) -> None:
        """Go on with a request that was held back for want of a permit."""
        self._in_waiting = False
        if self._pending and self._may_start():
            self._start(self._pending.popleft())
        if self._pending and self._may_start():
            # One at a time, so that other connections get their turn.
            self._in_waiting = True
            self._context.waiting.append(self._connection)
        elif self._pending:
            self._wait_for_permit()

    def admit_pending(self) -> None:
        """Go on with requests that were held back by what this connection itself does."""
        while self._pending and not self._context.pressed and self._may_start():
            self._start(self._pending.popleft())
        if self._pending:
            self._wait_for_permit()

    def _start(self, exchange: Exchange) -> None:
        exchange.started = exchange.running = True
        self._running.add(exchange)
        if exchange.websocket is None:
            self._context.run(exchange.stream)
        else:
            self._context.run_websocket(exchange.stream, exchange.websocket.open, keyed=False)

    def done(self, exchange: Exchange) -> None:
        """Give a permit back. Safe from any thread."""
        self._context.application_done(exchange.stream)
        self.forget_running(exchange)
        if exchange.closed:
            exchange.release()

    def forget_running(self, exchange: Exchange) -> None:
        """An application is done; a WebSocket's has given its permit back before."""
        exchange.running = False
        self._running.discard(exchange)
        if self._pending:
            # A thread may outlive the loop: then nobody waits for it.
            with contextlib.suppress(RuntimeError):
                self._connection.loop.call_soon_threadsafe(self.admit_pending)

"""How long an HTTP/1.1 connection waits for its peer, and how it ends.

Owns the pauses of reading, the deadline of each phase, and the ways to leave: at once,
after a last answer, or cutting one short. Knows nothing of exchanges beyond the present
one; `granian_core.http1.connection` is the other half.
"""

from __future__ import annotations

import logging
import time
from math import inf
from typing import TYPE_CHECKING, Final

from granian_core.http1.contract import BODY, CLOSED, HEAD
from granian_core.http1.output import HTTP1Output
from granian_core.http1.phase import BUSY, GONE, HEAD_PHASE, IDLE, LINGER, UNREAD
from granian_core.http1.response import simple_response

if TYPE_CHECKING:
    from granian_core.context import ConnectionContext
    from granian_core.stream import HTTPStream

logger = logging.getLogger("_granian.http1")

# Why the transport is not read; reading goes on when no reason is left.
BODY_FULL: Final = 1
PIPELINE_FULL: Final = 2
NO_PERMIT: Final = 4
WRITE_HIGH: Final = 8


class HTTP1Lifetime(HTTP1Output):
    """Pauses, deadlines and endings of a connection; see the module."""

    __slots__ = (
        "_body_at",
        "_body_wait",
        "_first",
        "_head_time",
        "_keep_alive_timeout",
        "_pauses",
        "_settings",
        "deadline",
        "half_closed",
        "idle_since",
    )

    def __init__(self, context: ConnectionContext, scheme: str) -> None:
        super().__init__(context, scheme)
        self._settings = context.config.http1
        self._keep_alive_timeout = self._settings.keep_alive_timeout
        self.deadline = inf
        self.idle_since = inf
        self.half_closed = False
        self._first = True
        self._pauses = 0
        self._head_time: float | None = None
        self._body_at = inf
        self._body_wait = -1.0

    def reap(self) -> None:
        """Take notice that a thread has ended the exchange, if it has."""
        raise NotImplementedError

    def on_error(self, status: int, reason: str) -> None:
        """Answer a fault of the peer's, and leave."""
        raise NotImplementedError

    # -- reading ----------------------------------------------------------------

    def _pause(self, reason: int) -> None:
        if not self._pauses and self.phase != GONE:
            self.transport.pause_reading()
        self._pauses |= reason

    def _resume(self, reason: int) -> None:
        if self._pauses & reason:
            self._pauses &= ~reason
            if not self._pauses and self.phase != GONE:
                self._body_at = self._context.clock()
                if not self.transport.is_closing():
                    self.transport.resume_reading()

    # -- resting ----------------------------------------------------------------

    def _await_head(self) -> None:
        """Start the clock of a head of which a part is here."""
        self.phase = HEAD_PHASE
        self.idle_since = inf
        if self._head_time is not None:
            # It was held back before it was complete: its clock goes on.
            self.deadline = self._context.clock() + self._head_time
            self._head_time = None
        elif not self._first:
            self.deadline = self._context.clock() + self._settings.header_read_timeout / 1000

    @property
    def _is_leaving(self) -> bool:
        return self.half_closed or self._context.draining

    def _rest(self) -> None:
        """Wait for the next head, or for the rest of one that is here in part."""
        if self._is_leaving:
            self._leave()
            return
        if self.engine.state == HEAD:
            self._await_head()
            return
        now = self._context.clock()
        self.idle_since = now
        self.deadline = now + self._keep_alive_timeout

    # -- leaving ----------------------------------------------------------------

    def _refuse(self, status: int, reason: str) -> None:
        logger.debug("%s: %d %s", self.client, status, reason)
        if self._context.access_log is not None:
            self._context.access_log.log_rejected(self.client, status, time.time())
        self._write(simple_response(status, self._context.date))
        self._linger()

    def _leave(self) -> None:
        """Close after the last response; linger if the peer may still be sending."""
        # CLOSED: it has sent what nobody reads on from.
        if self.engine.buffered or self.engine.state in (BODY, HEAD, CLOSED):
            self._linger()
        else:
            self._close()

    def _close(self) -> None:
        """Close when everything is sent."""
        self.phase = LINGER
        self.deadline = self.idle_since = inf
        self.engine.close()
        self._flush_gathered()
        self.transport.close()

    def _linger(self) -> None:
        """Half-close, then read and drop for a while, so that the answer is not reset."""
        if self.phase >= LINGER:
            return
        self.phase = LINGER
        self.idle_since = inf
        self.engine.close()
        self.deadline = self._context.clock() + self._limits.linger_timeout
        self._flush_gathered()
        if self.half_closed:
            self.transport.close()
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._resume(self._pauses)

    def abort_stream(self, stream: HTTPStream) -> None:
        """End the exchange so that it can not pass for complete."""
        if self.stream is stream:
            self.stream = None
            self._cut()

    def _cut(self) -> None:
        """End a response that has started."""
        self._flush_pieces()
        self.phase = LINGER
        self.idle_since = inf
        self.engine.close()
        self._flush_gathered()
        if self._delimited:
            # The missing rest shows; let the peer have what was sent.
            self.transport.close()
        else:
            self.transport.abort()

    def close_idle(self) -> bool:
        """Close if no request is in progress or has begun to arrive."""
        if self.phase == IDLE and self.engine.state != HEAD:
            self._leave()
            return True
        return False

    # -- deadlines --------------------------------------------------------------

    def sweep(self, now: float, elapsed: float) -> None:
        """Act on every deadline that has passed."""
        if self.phase == BUSY:
            stream = self.stream
            if stream is not None:
                if stream.detached:
                    self.reap()
                if self.engine.state == BODY and not self._pauses and not self._expects_continue:
                    self._sweep_body(now, elapsed)
        elif self.deadline <= now:
            self._expire()
        if self.phase != GONE:
            self._sweep_writes(now)

    def _expire(self) -> None:
        phase = self.phase
        if phase == HEAD_PHASE:
            self._refuse(408, "request head timed out")
        elif phase == LINGER:
            if self.transport.get_write_buffer_size():
                # The peer's time to read begins when everything is sent; the clock of a
                # stalled write runs meanwhile.
                self.deadline = self._context.clock() + self._limits.linger_timeout
            else:
                self.transport.abort()
        elif phase == UNREAD:
            self._linger()
        else:
            self._leave()

    def _sweep_body(self, now: float, elapsed: float) -> None:
        limits = self._limits
        if now - self._body_at >= limits.body_idle_timeout:
            self._time_out_body("request body idle")
            return
        # The first sweep of a body only starts the clock: late by a period, never early.
        self._body_wait = 0.0 if self._body_wait < 0 else self._body_wait + elapsed
        if (
            self._body_wait >= limits.body_min_rate_grace
            and self._body_bytes < limits.body_min_rate * self._body_wait
        ):
            self._time_out_body("request body too slow")

    def _time_out_body(self, reason: str) -> None:
        self.engine.close()
        self.on_error(408, reason)

"""How one HTTP/2 connection ends from our side: GOAWAY (RFC 9113 6.8), and what follows it.

After a fault the peer gets a moment to read why; after the last exchange nothing is left to
wait for; a drain says it twice, so that requests under way are not lost.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Final

from granian_core.http2.contract import MAX_STREAM_ID, NO_ERROR

if TYPE_CHECKING:
    from granian_core.http2.connection import HTTP2Connection

# Phases of a connection.
OPEN: Final = 0
LINGER: Final = 1
GONE: Final = 2

GOAWAY_GRACE: Final = 1.0
"""Seconds between the two GOAWAY frames of a drain, where the peer acknowledges nothing."""
DRAIN_PING: Final = b"granianD"
"""The PING whose answer shows that the first of them was seen."""


class Leaving:
    """See the module.

    Attributes:
        peer_leaves: The peer opens no more streams.
        final_at: When the second GOAWAY of a drain follows.
    """

    __slots__ = ("_connection", "_final_sent", "_linger_timeout", "final_at", "peer_leaves")

    def __init__(self, connection: HTTP2Connection, linger_timeout: float) -> None:
        self._connection = connection
        self._linger_timeout = linger_timeout
        self._final_sent = False
        self.peer_leaves = False
        self.final_at = inf

    def when_idle(self) -> None:
        """No stream is open: leave, if no other can follow."""
        if self._final_sent or self.peer_leaves or self._connection.half_closed:
            self.leave(NO_ERROR)

    def leave(self, code: int) -> None:
        """Say GOAWAY, and close when it is written."""
        connection = self._connection
        if connection.phase != OPEN:
            return
        if not self._final_sent:
            self._final_sent = True
            connection.engine.send_goaway(connection.engine.highest_id, code)
        self._end_phase()
        connection.engine.close()
        connection.output.flush()
        connection.transport.close()

    def linger(self) -> None:
        """Half-close, then read and drop for a while, so that GOAWAY is not lost to a reset."""
        connection = self._connection
        if connection.phase != OPEN:
            return
        self._end_phase()
        connection.output.flush()
        transport = connection.transport
        if connection.half_closed or not transport.can_write_eof():
            transport.close()
            return
        transport.write_eof()
        connection.output.resume_reading()

    def _end_phase(self) -> None:
        connection = self._connection
        connection.phase = LINGER
        connection.idle_since = inf
        connection.deadline = connection.now() + self._linger_timeout

    def drain(self) -> None:
        """Take no further request, in two steps (RFC 9113 6.8).

        The first GOAWAY only warns. The second follows when the peer has answered a PING,
        and so has seen the first; or after a while, for it need not answer.
        """
        connection = self._connection
        if connection.phase != OPEN or self.final_at < inf or self._final_sent:
            return
        for exchange in list(connection.streams.values()):
            if exchange.websocket is not None:
                exchange.websocket.drain()
            elif exchange.stream.event_stream:
                exchange.stream.feed_half_close()
        connection.engine.send_goaway(MAX_STREAM_ID, NO_ERROR)
        connection.engine.send_ping(DRAIN_PING)
        self.final_at = connection.now() + GOAWAY_GRACE

    def send_final(self) -> None:
        """Say which request was the last one that is served."""
        connection = self._connection
        self.final_at = inf
        self._final_sent = True
        connection.engine.send_goaway(connection.engine.highest_id, NO_ERROR)
        if not connection.streams:
            self.leave(NO_ERROR)

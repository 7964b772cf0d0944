"""A WebSocket on an HTTP/1.1 connection, once its 101 has left.

`WebSocketConnection` takes the transport over from `HTTP1Connection`: it is the protocol of
the transport, the link of the session, and what the server sees in its list of
connections. The rules for leaving are those of HTTP/1.1: after a fault the peer gets a
moment to read why.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Final

from granian_core.http1.response import encode_fields
from granian_core.websocket.handshake import accept_value

if TYPE_CHECKING:
    import asyncio

    from granian_core.context import ConnectionContext
    from granian_core.stream import Address, Fields, Headers
    from granian_core.websocket.session import WebSocketSession
    from granian_core.websocket.stream import WebSocketStream

logger = logging.getLogger("_granian.websocket")

_SWITCHING: Final = (
    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
)


def switching_response(request: Fields, headers: Headers, date: bytes) -> bytes:
    """Return the 101 that accepts a handshake.

    Args:
        request: The request's fields, with a valid key.
        headers: Further fields.
        date: The Date field, with its CRLF.

    Raises:
        LocalProtocolError: A field is invalid.
    """
    block, _, _ = encode_fields(headers)
    accept = b"sec-websocket-accept: %b\r\n" % accept_value(request)
    return b"".join((_SWITCHING, accept, block, date, b"\r\n"))


class WebSocketConnection:
    """See the module. Implements `WebSocketLink` and the server's `Connection`."""

    __slots__ = (
        "_context",
        "_deadline",
        "_gone",
        "_paused",
        "_stalled_at",
        "_taken",
        "_transport",
        "_write_high",
        "_written",
        "client",
        "idle_since",
        "websocket",
    )

    def __init__(
        self,
        context: ConnectionContext,
        transport: asyncio.Transport,
        websocket: WebSocketStream,
        client: Address | None,
        *,
        write_high: bool,
        written: int,
    ) -> None:
        self._context = context
        self._transport = transport
        self.websocket = websocket
        self.client = client
        self.idle_since = inf  # never closed for being quiet: pings find out who is gone
        self._deadline = inf
        self._gone = False
        self._paused = False
        self._write_high = write_high
        self._written = written
        self._taken = 0
        self._stalled_at = inf

    @property
    def _session(self) -> WebSocketSession:
        session = self.websocket.session
        assert session is not None, "made when the handshake is accepted"
        return session

    # -- asyncio.Protocol ----------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the session, unless we have ended."""
        session = self.websocket.session
        if self._deadline == inf and session is not None:
            session.receive_data(data)

    def eof_received(self) -> bool:
        """Take the peer's FIN."""
        if self._deadline < inf:
            self._transport.close()
        else:
            self._session.receive_eof()
        return True

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever still waits for the peer."""
        self._gone = True
        self._deadline = inf
        self._session.lost()
        self.websocket.wake_writers()
        self._context.connections.discard(self)
        self._context.on_change()

    def pause_writing(self) -> None:
        """The transport's buffer is full."""
        self._write_high = True

    def resume_writing(self) -> None:
        """The transport's buffer has room again."""
        self._write_high = False
        if self._deadline == inf:
            self._session.writable()
        self.websocket.wake_writers()

    # -- WebSocketLink ---------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if not self._gone:
            self._written += len(data)
            self._transport.write(data)

    def write_blocked(self) -> bool:
        """Whether the transport asked us to stop writing."""
        return self._write_high and not self._gone

    def unsent(self) -> bool:
        """Whether the transport still has bytes."""
        return self._transport.get_write_buffer_size() > 0

    def pause_reading(self) -> None:
        """Take no more bytes from the peer."""
        if not self._paused and not self._gone:
            self._paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes from the peer again."""
        if self._paused and not self._gone:
            self._paused = False
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def end(self) -> None:
        """Close, once everything has left."""
        self._transport.close()

    def end_lingering(self) -> None:
        """Half-close, then read and drop for a while, so that the close frame is not reset."""
        if self._gone or self._deadline < inf:
            return
        self._deadline = self._context.clock() + self._context.config.limits.linger_timeout
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self.resume_reading()

    def abort(self) -> None:
        """Drop the connection."""
        if not self._gone:
            self._transport.abort()

    def application_done(self) -> None:
        """Nothing: the socket is what counts."""

    # -- Connection ------------------------------------------------------------------

    def sweep(self, now: float, elapsed: float) -> None:
        """Act on every deadline that has passed."""
        if self._deadline <= now:
            self.abort()
            return
        if self._deadline == inf:
            self._session.sweep(now)
        pending = self._transport.get_write_buffer_size()
        if not pending:
            self._stalled_at = inf
            return
        taken = self._written - pending
        if taken > self._taken or self._stalled_at == inf:
            self._taken = taken
            self._stalled_at = now + self._context.config.limits.write_timeout
        elif self._stalled_at <= now:
            logger.debug("%s: takes nothing of what is sent, dropped", self.client)
            self.abort()

    def admit(self) -> None:
        """Nothing is held back: a WebSocket needs no permit."""

    def drain(self) -> None:
        """Close with 1012, and wait for the peer's answer."""
        self.websocket.go_away()

    def close_idle(self) -> bool:
        """No: it ends by its closing handshake."""
        return False

    def socket_fd(self) -> int:
        """Return the transport's descriptor, or -1."""
        sock = self._transport.get_extra_info("socket")
        return sock.fileno() if sock is not None else -1

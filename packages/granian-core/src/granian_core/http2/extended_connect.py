"""A WebSocket on one stream of an HTTP/2 connection (RFC 8441).

`ExtendedConnect` is the link of a session, as `granian_core.http1.upgrade` has one for a
whole socket: what the session writes leaves as DATA in the exchange's turn, what the peer
sends is credited as the session reads it. An end of stream stands for FIN, RST_STREAM with
CANCEL for a reset (RFC 8441 5).
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

from granian_core.http2.contract import CANCEL

if TYPE_CHECKING:
    from granian_core.http2.exchange import Exchange
    from granian_core.stream import Headers, HTTPStream
    from granian_core.websocket.session import WebSocketSession
    from granian_core.websocket.stream import WebSocketStream


class ExtendedConnect:
    """See the module. Implements `WebSocketLink`."""

    __slots__ = ("_early", "_ended", "_exchange", "_paused", "_session", "_websocket")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._websocket: WebSocketStream | None = None
        self._session: WebSocketSession | None = None
        self._early: list[bytes] = []
        self._ended = False
        self._paused = False
        # What arrives before the answer waits, and the stream's window bounds it.
        exchange.held = True

    def open(
        self, stream: HTTPStream, websocket: WebSocketStream, headers: Headers
    ) -> ExtendedConnect:
        """Accept the handshake with a 200.

        The session begins on the next turn of the loop: this may be called while the
        engine is still busy with the bytes that came with the head.

        Raises:
            LocalProtocolError: A field is invalid; nothing was sent.
        """
        self._exchange.accept(headers)
        self._websocket = websocket
        stream.mark_complete(200)
        self._exchange.loop.call_soon(self._begin)
        return self

    def _begin(self) -> None:
        """Let the session have what the peer has sent since the head."""
        exchange, websocket = self._exchange, self._websocket
        assert websocket is not None
        session = self._session = websocket.session
        if exchange.closed or session is None:
            return
        early, self._early = self._early, []
        if early:
            session.receive_data(b"".join(early))
        if self._ended:
            session.receive_eof()
        if not self._paused:
            self.resume_reading()

    # -- called by the connection ---------------------------------------------------

    def take_data(self, data: bytes, flow_size: int) -> None:
        """Take a DATA frame, and give the peer credit for it unless it has to wait."""
        exchange = self._exchange
        connection = exchange.connection
        credit = connection.credit
        exchange.uncredited += flow_size
        if exchange.held:
            credit.hold(exchange, flow_size)
        credit.give_connection(flow_size)
        if exchange.answered_at < inf:
            # Our side has ended: dropped, within bounds.
            exchange.body_bytes += len(data)
            if exchange.body_bytes > connection.unread_limit:
                connection.stop_upload(exchange)
                return
        elif data:
            self._receive(data)
        if not exchange.held:
            credit.give_stream(exchange)

    def _receive(self, data: bytes) -> None:
        if self._session is None:
            self._early.append(data)
        else:
            self._session.receive_data(data)

    def receive_end(self) -> None:
        """Take the peer's end of stream, or its FIN."""
        self._ended = True
        if self._session is not None:
            self._session.receive_eof()
        else:
            self._exchange.stream.feed_half_close()

    def writable(self) -> None:
        """There is room again for what the session writes, or the peer is gone."""
        if self._session is not None and not self._exchange.closed:
            self._session.writable()
        if self._websocket is not None:
            self._websocket.wake_writers()

    def lost(self) -> None:
        """The stream is closed."""
        self._early.clear()
        websocket = self._websocket
        if websocket is not None and websocket.session is not None:
            websocket.session.lost()

    def drain(self) -> None:
        """The server leaves: close with 1012, and wait for the peer's answer."""
        if self._websocket is not None:
            self._websocket.go_away()

    def sweep(self, now: float) -> None:
        """Act on every deadline of the session that has passed."""
        if self._session is not None:
            self._session.sweep(now)

    # -- WebSocketLink ---------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Queue bytes; dropped when the stream has ended."""
        exchange = self._exchange
        if not exchange.closed and not exchange.ended:
            exchange.enqueue(data)
            if exchange.write_blocked():
                exchange.connection.output.blocked.add(exchange)

    def write_blocked(self) -> bool:
        """Whether more bytes wait for a window than should."""
        return self._exchange.write_blocked()

    def unsent(self) -> bool:
        """Whether bytes wait for a window, or the transport has some, of any stream."""
        exchange = self._exchange
        return exchange.queued > 0 or exchange.connection.output.unsent()

    def pause_reading(self) -> None:
        """Give the peer no credit."""
        self._paused = True
        self._exchange.held = True

    def resume_reading(self) -> None:
        """Give the peer credit again."""
        self._paused = False
        exchange = self._exchange
        if exchange.held and not exchange.closed and self._session is not None:
            exchange.connection.release_body(exchange)

    def end(self) -> None:
        """End the stream, once everything has left."""
        exchange = self._exchange
        if not exchange.closed and not exchange.ended:
            exchange.ended = True
            exchange.connection.output.response_done(exchange)

    def end_lingering(self) -> None:
        """End our side; the connection drops what still comes, and not for long."""
        self.end()

    def abort(self) -> None:
        """Reset the stream."""
        self._exchange.connection.reset(self._exchange, CANCEL)

    def application_done(self) -> None:
        """The application has returned."""
        self._exchange.connection.admission.forget_running(self._exchange)

"""One WebSocket over any byte stream: the state of RFC 6455 7, keep-alive, back-pressure.

Sans-I/O: bytes come in by `WebSocketSession.receive_data`, time by `WebSocketSession.sweep`,
and everything goes out through one `WebSocketLink`. What carries the bytes (an HTTP/1.1
transport after its 101, or the DATA frames of an extended CONNECT) implements the link,
and calls ``receive_data``, ``receive_eof``, ``lost``, ``writable`` and ``sweep``.

States move one way only::

    OPEN ── our close frame ──▶ CLOSING ── the peer's, or a deadline ──▶ CLOSED
      ├──── the peer's close frame (answered at once) ─────────────────▶ CLOSED
      └──── the peer's fault (close frame with its code), or its end ──▶ CLOSED

In CLOSING, messages of the peer are still delivered if the server closes (it drains), and
dropped if the application does: it has said that it is done.
"""

from __future__ import annotations

import logging
from math import inf
from typing import TYPE_CHECKING, Final, Protocol

from granian_core.websocket.contract import (
    ABNORMAL_CLOSURE,
    INTERNAL_ERROR,
    POLICY_VIOLATION,
)

if TYPE_CHECKING:
    from granian_core.settings import WebSocketSettings
    from granian_core.websocket.contract import WebSocketEngine
    from granian_core.websocket.deflate import DeflateParameters

logger = logging.getLogger("_granian.websocket")

OPEN: Final = 0
CLOSING: Final = 1
CLOSED: Final = 2

MAX_PONGS: Final = 32
"""Pings that are answered of those that arrive at once, or while nothing can be sent."""


class WebSocketLink(Protocol):
    """What carries a session's bytes. One implementation per HTTP version."""

    def write(self, data: bytes) -> None:
        """Send bytes, in order; dropped when the peer is gone."""

    def write_blocked(self) -> bool:
        """Whether more bytes wait to be taken than should."""

    def unsent(self) -> bool:
        """Whether any bytes wait to be taken."""

    def pause_reading(self) -> None:
        """Take no more bytes from the peer. Calling it twice is allowed."""

    def resume_reading(self) -> None:
        """Take bytes from the peer again. Calling it twice is allowed."""

    def end(self) -> None:
        """Close: both sides have said what they had to."""

    def end_lingering(self) -> None:
        """End our side, then read and drop for a while, so that the peer can read the end."""

    def abort(self) -> None:
        """Drop the connection."""

    def application_done(self) -> None:
        """The application has returned; the closing handshake may still go on."""


class SessionOwner(Protocol):
    """Who a session tells what happens."""

    def on_message(self, message: str | bytes) -> bool:
        """Take a message; say whether the peer must wait before it may send more."""

    def on_closed(self, code: int, reason: str) -> None:
        """The WebSocket has ended; *code* as in RFC 6455 7.1.5. Comes once."""


class WebSocketSession:
    """See the module. Implements `WebSocketHandler`.

    Attributes:
        state: OPEN, CLOSING or CLOSED.
        closed_here: The application has closed: it gets no further message.
        code: The close code, once CLOSED.
        reason: The peer's reason, once CLOSED.
        peer_closed: A close frame of the peer has arrived.
    """

    __slots__ = (
        "_close_timeout",
        "_closing_at",
        "_engine",
        "_heard",
        "_interval",
        "_link",
        "_message_at",
        "_message_timeout",
        "_owner",
        "_ping_at",
        "_pinged",
        "_pongs",
        "_timeout",
        "closed_here",
        "code",
        "peer_closed",
        "reason",
        "state",
    )

    def __init__(
        self,
        engine_class: type[WebSocketEngine],
        settings: WebSocketSettings,
        deflate: DeflateParameters | None,
        link: WebSocketLink,
        owner: SessionOwner,
        phase: float = 0.0,
    ) -> None:
        """Open a session; the handshake is complete.

        Args:
            engine_class: What reads and writes the frames.
            settings: Limits and timeouts.
            deflate: The compression agreed on, or None.
            link: Where bytes go.
            owner: Who is told.
            phase: 0 to 1; how much of the first ping interval has passed already. Different
                ones keep many WebSockets from being pinged at once.
        """
        self._engine = engine_class(self, settings, deflate)
        self._link = link
        self._owner = owner
        self._interval = settings.ping_interval if settings.ping_interval > 0 else inf
        self._timeout = settings.ping_timeout if settings.ping_timeout > 0 else inf
        self._close_timeout = settings.close_timeout
        self._message_timeout = settings.message_timeout
        self._ping_at = -phase  # what the first sweep makes a time of
        self._pinged = False
        self._heard = False
        self._message_at = inf
        self._closing_at = inf
        self._pongs: list[bytes] = []
        self.state = OPEN
        self.closed_here = False
        self.peer_closed = False
        self.code = ABNORMAL_CLOSURE
        self.reason = ""

    @property
    def held(self) -> bool:
        """Whether the peer has to wait until the owner calls `resume`."""
        return self._engine.held

    # -- from the link -----------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self._heard = True
        self._engine.receive_data(data)
        if self._pongs:
            self._answer_pings()

    def receive_eof(self) -> None:
        """Take the peer's end of stream: a WebSocket has no half-closed state."""
        if self.state != CLOSED:
            self._end(ABNORMAL_CLOSURE, "")
            self._link.end()

    def lost(self) -> None:
        """The connection is gone."""
        if self.state != CLOSED:
            self._end(ABNORMAL_CLOSURE, "")

    def writable(self) -> None:
        """The peer has taken what was waiting."""
        if self._pongs:
            self._answer_pings()
        if not self._engine.held:
            self._link.resume_reading()

    def sweep(self, now: float) -> None:
        """Act on every deadline that *now* has passed; ping when it is time."""
        if self.state == CLOSING:
            if self._closing_at == inf:
                self._closing_at = now + self._close_timeout
            elif self._closing_at <= now:
                logger.debug("the peer does not answer the close frame, dropped")
                self._end(ABNORMAL_CLOSURE, "")
                self._link.abort()
        elif self.state == OPEN:
            if self._engine.held:
                # We do not read: neither a pong nor the rest of a message can arrive.
                self._heard = True
                self._message_at = inf
            elif self._engine.in_message:
                if self._message_at == inf:
                    self._message_at = now + self._message_timeout
                elif self._message_at <= now:
                    self._fail(POLICY_VIOLATION, "message takes too long")
                    return
            else:
                self._message_at = inf
            self._keep_alive(now)

    def _keep_alive(self, now: float) -> None:
        if self._ping_at <= 0:
            if self._interval == inf:
                return
            self._ping_at = now + self._interval * (1 + self._ping_at)
        elif self._pinged and self._heard:
            # Whatever arrives shows that the peer is there: in the middle of a long
            # frame it can not send a pong.
            self._pinged = False
            self._ping_at = now + self._interval
        elif self._ping_at <= now:
            if self._pinged and self._link.unsent():
                # It may not have left. A peer that takes nothing is the write timeout's.
                self._ping_at = now + self._timeout
            elif self._pinged:
                self._fail(INTERNAL_ERROR, "keep-alive ping timed out")
            elif not self._link.write_blocked():
                self._pinged = True
                self._heard = False
                self._ping_at = now + self._timeout
                self._link.write(self._engine.ping_frame(b""))

    # -- from the owner ----------------------------------------------------------

    def send(self, message: str | bytes) -> bool:
        """Send a message; dropped unless the WebSocket is open.

        Returns:
            Whether more bytes wait to be taken by the peer than should.
        """
        if self.state != OPEN:
            return False
        link = self._link
        link.write(self._engine.message_frame(message))
        return link.write_blocked()

    def close(self, code: int, reason: str, *, by_server: bool = False) -> None:
        """Send a close frame and wait for the peer's, within the close timeout.

        Args:
            code: The close code; `NO_STATUS` for an empty frame.
            reason: For the peer; cut to 123 bytes of UTF-8.
            by_server: The application goes on receiving what the peer has still sent.
        """
        if not by_server:
            self.closed_here = True
        if self.state == OPEN:
            self.state = CLOSING
            self._link.write(self._engine.close_frame(code, reason))
        if self.closed_here and self._engine.held:
            self.resume()

    def resume(self) -> None:
        """The owner has room for messages again."""
        self._engine.resume()
        if self._pongs:
            self._answer_pings()
        if not self._engine.held and not self._pongs:
            self._link.resume_reading()

    # -- WebSocketHandler --------------------------------------------------------

    def on_message(self, message: str | bytes) -> None:
        """Pass a message on."""
        if not self.closed_here and self._owner.on_message(message):
            self._engine.hold()
            self._link.pause_reading()

    def on_ping(self, payload: bytes) -> None:
        """Remember the latest pings; RFC 6455 5.5.3 lets us leave older ones unanswered."""
        self._pongs.append(payload)
        if len(self._pongs) > MAX_PONGS:
            del self._pongs[0]

    def on_pong(self, payload: bytes) -> None:
        """Nothing to do: that something arrived is what counts."""

    def on_close(self, code: int, reason: str) -> None:
        """Answer the peer's close frame, or take it as the answer to ours."""
        self.peer_closed = True
        if self.state == OPEN:
            self._link.write(self._engine.close_frame(code, ""))
        self._end(code, reason)
        self._link.end()

    def on_error(self, code: int, reason: str) -> None:
        """Fail the connection (RFC 6455 7.1.7)."""
        self._fail(code, reason)

    # -- inside ------------------------------------------------------------------

    def _answer_pings(self) -> None:
        """Send pongs, unless the peer does not even take what it was sent before."""
        if self.state != OPEN:
            self._pongs.clear()
        elif self._link.write_blocked():
            self._link.pause_reading()
        else:
            pongs, self._pongs = self._pongs, []
            self._link.write(b"".join(map(self._engine.pong_frame, pongs)))

    def _fail(self, code: int, reason: str) -> None:
        logger.debug("failing the connection: %d %s", code, reason)
        if self.state == OPEN:
            self._link.write(self._engine.close_frame(code, ""))
        if self.state != CLOSED:
            self._end(code, "")
            self._link.end_lingering()

    def _end(self, code: int, reason: str) -> None:
        self.state = CLOSED
        self.code = code
        self.reason = reason
        self._pongs.clear()
        self._engine.close()
        self._owner.on_closed(code, reason)

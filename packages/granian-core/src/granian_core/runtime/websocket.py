"""A WebSocket whose application runs on another loop: the application's half.

The session (frames, pings, deadlines, compression) stays with the connection; messages
cross over, from and to `granian_core.runtime.websocket_relay`. As for HTTP, the application's
mistakes raise in its own frame, and both directions are bounded by credit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from granian_core.errors import LocalProtocolError
from granian_core.handover import check_head, copy_fields
from granian_core.runtime.carrier import SEND_WINDOW
from granian_core.websocket.contract import ABNORMAL_CLOSURE
from granian_core.websocket.fast import FastEngine
from granian_core.websocket.handshake import accept_fields, choose_deflate
from granian_core.websocket.session import CLOSED, CLOSING, OPEN, WebSocketSession
from granian_core.websocket.stream import WebSocketStream

if TYPE_CHECKING:
    from granian_core.channel import Channel
    from granian_core.runtime.application import ApplicationContext
    from granian_core.runtime.websocket_relay import WebSocketRelay
    from granian_core.stream import Headers, HTTPStream
    from granian_core.websocket.session import WebSocketLink

RECEIVE_WINDOW: Final = 65_536
"""Bytes of messages on their way to the application at which the relay stops receiving."""
MESSAGE_COST: Final = 64
"""Bytes that every message counts for besides its content."""


class RemoteSession(WebSocketSession):
    """The open WebSocket as the application's half knows it.

    Attributes:
        in_flight: Bytes of messages on their way to the I/O loop.
    """

    __slots__ = ("_far", "_held", "_io", "_relay", "_unsaid", "in_flight")

    def __init__(self, far: RemoteWebSocket, relay: WebSocketRelay, io: Channel) -> None:
        # Not the base's: frames are the business of the session on the I/O loop.
        self._far = far
        self._relay = relay
        self._io = io
        self._held = False
        self._unsaid = 0
        self.in_flight = 0
        self.state = OPEN
        self.closed_here = False
        self.peer_closed = False
        self.code = ABNORMAL_CLOSURE
        self.reason = ""

    @property
    def held(self) -> bool:
        """Whether the relay has to wait until the owner calls `resume`."""
        return self._held

    def send(self, message: str | bytes) -> bool:
        """Send a message; dropped unless the WebSocket is open.

        Returns:
            Whether enough is on its way.
        """
        if self.state != OPEN:
            return False
        self.in_flight += len(message)
        self._io.post(self._relay.send, message)
        return self.in_flight >= SEND_WINDOW

    def close(self, code: int, reason: str, *, by_server: bool = False) -> None:
        """Begin the closing handshake."""
        self.closed_here = True
        if self.state == OPEN:
            self.state = CLOSING
            self._io.post(self._relay.close, code, reason)

    def resume(self) -> None:
        """The application has room for messages again."""
        self._held = False
        size, self._unsaid = self._unsaid, 0
        self._io.post(self._relay.credit, size)

    def lost(self) -> None:
        """For the application, the peer is gone."""
        self.end(ABNORMAL_CLOSURE, "", peer_closed=False)

    def take(self, messages: list[str | bytes], size: int) -> None:
        """Pass messages on; *size* is what they count for."""
        self._unsaid += size
        if not self.closed_here:
            for message in messages:
                self._held = self._far.on_message(message)
        if not self._held and self._unsaid >= RECEIVE_WINDOW // 2:
            self.resume()

    def end(self, code: int, reason: str, *, peer_closed: bool) -> None:
        """The WebSocket has ended."""
        if self.state != CLOSED:
            self.state = CLOSED
            self.code = code
            self.reason = reason
            self.peer_closed = peer_closed
            self._far.on_closed(code, reason)


class RemoteWebSocket(WebSocketStream):
    """The application's half. Made on the I/O thread, used on the application's loop.

    Attributes:
        relay: The other half.
    """

    def __init__(self, relay: WebSocketRelay, context: ApplicationContext, io: Channel) -> None:
        # There are no frames on this side, so neither engine nor link.
        super().__init__(relay.handshake.far, context, FastEngine, _no_link)
        self.relay = relay
        self._io = io
        self._remote: RemoteSession | None = None

    def accept(self, subprotocol: str | None = None, headers: Headers = ()) -> None:
        """Complete the handshake; see `WebSocketStream.accept`."""
        request = self.request
        if request.disconnected and self.session is None:
            return
        if self.answered:
            raise LocalProtocolError("the WebSocket handshake has been answered")
        given = list(headers)
        deflate = choose_deflate(self.headers, self._context.config.websocket)
        fields = accept_fields(given, subprotocol, self.subprotocols, deflate)
        check_head(self.http_version, 200, fields, None)
        self._io.post(
            self.relay.accept, subprotocol, copy_fields(given), self.log_client, self.log_scheme
        )
        self.session = self._remote = RemoteSession(self, self.relay, self._io)
        request.mark_complete(101)
        self._context.application_done(request)

    @property
    def write_blocked(self) -> bool:
        """Whether `drain` would wait."""
        remote = self._remote
        return remote is not None and not self._ended and remote.in_flight >= SEND_WINDOW

    # -- from the relay, on the application's loop -----------------------------------------

    def take(self, messages: list[str | bytes], size: int) -> None:
        """Take messages of the peer."""
        if self._remote is not None:
            self._remote.take(messages, size)

    def credit(self, size: int) -> None:
        """The transport has taken *size* bytes."""
        if self._remote is not None:
            self._remote.in_flight -= size
            if not self.write_blocked:
                self.wake_writers()

    def closing(self) -> None:
        """The server has begun to close, or the end comes behind messages on their way."""
        if self._remote is not None and self._remote.state == OPEN:
            self._remote.state = CLOSING

    def end(self, code: int, reason: str, peer_closed: bool) -> None:
        """The WebSocket has ended."""
        if self._remote is not None:
            self._remote.end(code, reason, peer_closed=peer_closed)

    def cancel(self) -> None:
        """The server gives up on the application."""
        if self.task is not None:
            self.cancelled = True
            self.task.cancel()

    def application_ended(self) -> None:
        """The application is done, and the outcome settled."""
        self._io.post(self.relay.done)


def _no_link(request: HTTPStream, websocket: WebSocketStream, headers: Headers) -> WebSocketLink:
    raise AssertionError("the I/O loop's half opens the link")

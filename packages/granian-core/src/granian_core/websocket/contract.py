"""The contract between a WebSocket engine and the session that owns it.

An engine turns bytes into calls, and messages into bytes; it keeps no state of the
closing handshake and answers nothing by itself. A peer's fault never raises out of it:
it becomes one `WebSocketHandler.on_error`, after which all input is ignored. Our own
misuse (a ping of 126 bytes) raises.

While the engine is `held`, bytes are kept and nothing is reported; so what one read can
make the application's queue grow by is one message.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from granian_core.settings import WebSocketSettings
    from granian_core.websocket.deflate import DeflateParameters

NORMAL_CLOSURE: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
"""Never on the wire: the peer's close frame had no code (RFC 6455 7.1.5)."""
ABNORMAL_CLOSURE: Final = 1006
"""Never on the wire: the connection ended without a close frame (RFC 6455 7.1.5)."""
INVALID_DATA: Final = 1007
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009
INTERNAL_ERROR: Final = 1011
SERVICE_RESTART: Final = 1012

MAX_CONTROL_PAYLOAD: Final = 125
"""Bytes of payload that a control frame may have (RFC 6455 5.5)."""


class WebSocketHandler(Protocol):
    """What an engine calls. Tests record the calls as tuples."""

    def on_message(self, message: str | bytes) -> None:
        """A whole message has arrived."""

    def on_ping(self, payload: bytes) -> None:
        """A ping has arrived, perhaps between the fragments of a message."""

    def on_pong(self, payload: bytes) -> None:
        """A pong has arrived."""

    def on_close(self, code: int, reason: str) -> None:
        """A close frame has arrived; *code* is `NO_STATUS` if it had none.

        Nothing follows.
        """

    def on_error(self, code: int, reason: str) -> None:
        """The peer broke the protocol or a limit; *code* is the close code that says so.

        *reason* is for the debug log. Nothing follows.
        """


class WebSocketEngine(Protocol):
    """Frames to calls, and messages to frames, on the server's side."""

    held: bool
    """Whether bytes are only kept; see `hold`."""

    @property
    def in_message(self) -> bool:
        """Whether the peer has begun a message that is not complete."""

    def __init__(
        self,
        handler: WebSocketHandler,
        settings: WebSocketSettings,
        deflate: DeflateParameters | None,
    ) -> None: ...

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""

    def hold(self) -> None:
        """Report nothing further until `resume`. May be called from the handler."""

    def resume(self) -> None:
        """Go on, first with the bytes that were kept."""

    def close(self) -> None:
        """Parse nothing any more."""

    def message_frame(self, message: str | bytes) -> bytes:
        """Return *message* as one frame."""

    def ping_frame(self, payload: bytes) -> bytes:
        """Return a ping; *payload* has at most `MAX_CONTROL_PAYLOAD` bytes."""

    def pong_frame(self, payload: bytes) -> bytes:
        """Return a pong; *payload* has at most `MAX_CONTROL_PAYLOAD` bytes."""

    def close_frame(self, code: int, reason: str) -> bytes:
        """Return a close frame: an empty one for `NO_STATUS`; the reason is cut to fit."""

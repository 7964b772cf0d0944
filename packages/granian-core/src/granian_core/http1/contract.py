"""The contract between an HTTP/1.1 engine and the connection that owns it.

An engine is sans-I/O: bytes in, calls out. It parses one request and then waits,
holding back whatever follows, until `HTTP1Engine.next_request` says that the
response has ended; so pipelined requests are answered in order and nothing behind
an error is ever parsed. A peer's fault never raises out of an engine: it becomes
one `HTTP1Handler.on_error`, after which the engine ignores all input.

Responses are written by `granian_core.http1.response`, the same for both engines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from granian_core.settings import HTTP1Settings, Limits
    from granian_core.stream import Fields

IDLE: Final = 0
"""Between requests; nothing is buffered."""
HEAD: Final = 1
"""A part of a request head is buffered."""
BODY: Final = 2
"""The head was reported; its body is incomplete."""
WAITING: Final = 3
"""The request is complete; further bytes are only held back."""
CLOSED: Final = 4
"""Nothing is parsed any more."""

CHUNKED: Final = -1
"""The ``content_length`` of `HTTP1Handler.on_request` for a chunked body."""

CUT_SHORT: Final = "body cut short"
"""The reason of the error for a FIN inside a body: the peer is not there for an answer."""


class HTTP1Handler(Protocol):
    """What an engine calls. Tests record the calls as tuples."""

    def on_request(
        self,
        method: str,
        target: bytes,
        minor: int,
        headers: Fields,
        keep_alive: bool,
        content_length: int,
        expects_continue: bool,
    ) -> None:
        """A request head is complete and valid.

        Args:
            method: As sent, case kept.
            target: The request target as sent: origin-form, absolute-form or ``*``.
            minor: The effective minor version, 0 or 1.
            headers: Names lower-case, values without surrounding whitespace.
            keep_alive: Whether the connection persists if the server agrees (RFC 9112 9.3).
            content_length: 0 when there is no body (the request is complete and no
                `on_end` follows), `CHUNKED`, or the length in bytes.
            expects_continue: Whether the client waits for ``100 Continue``.
        """

    def on_data(self, data: bytes) -> None:
        """A piece of the body, never empty."""

    def on_end(self, trailers: Fields | None) -> None:
        """The body is complete; *trailers* is its trailer section, if it had one."""

    def on_error(self, status: int, reason: str) -> None:
        """The peer broke the protocol; *status* answers it, *reason* is for the debug log."""


class HTTP1Engine(Protocol):
    """A request parser."""

    state: int
    buffered: int
    """Bytes held back while WAITING."""
    may_upgrade: bool
    """The request's head may ask for another protocol; the handler looks, and resets it."""
    repeated: bool
    """The request's fields are those of the one before on this connection, to the byte."""

    def __init__(self, handler: HTTP1Handler, settings: HTTP1Settings, limits: Limits) -> None: ...

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""

    def receive_eof(self) -> None:
        """Take the peer's FIN: silent between requests and in a head, an error in a body."""

    def next_request(self) -> None:
        """Go on after a response; may report the next request at once.

        May be called from within `HTTP1Handler.on_request` or ``on_end``.
        """

    def close(self) -> None:
        """Parse nothing any more."""

    def take_buffered(self) -> bytes:
        """Return and forget the bytes held back, for a protocol upgrade."""

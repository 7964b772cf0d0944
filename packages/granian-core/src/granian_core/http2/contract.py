"""The contract between an HTTP/2 engine and the connection that owns it.

An engine is sans-I/O: bytes in, calls on a handler and bytes to one ``write`` sink out;
no socket, no clock, no loop. It owns framing, field compression, the states of streams and
the flow-control windows. It does *not* own what is sent when (the connection schedules),
when credit is given back to the peer (the application's reading decides), or time.

A peer's fault never raises out of an engine:

- a *stream* error is answered with RST_STREAM and told by `HTTP2Handler.on_reset` if the
  stream was known to the handler;
- a *connection* error is answered with GOAWAY and told by `HTTP2Handler.on_error`, after
  which all input is ignored.

Misuse by the caller (sending on a stream that is closed, or past a window) raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from granian_core.http2.budget import Budget
    from granian_core.http2.fields import Request
    from granian_core.settings import HTTP2Settings, Limits
    from granian_core.stream import Fields

    Section: TypeAlias = Sequence[tuple[bytes, bytes]]
    """A field section to send."""

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What a client sends first (RFC 9113 3.4)."""

# Error codes (RFC 9113 7).
NO_ERROR: Final = 0x0
PROTOCOL_ERROR: Final = 0x1
INTERNAL_ERROR: Final = 0x2
FLOW_CONTROL_ERROR: Final = 0x3
STREAM_CLOSED: Final = 0x5
FRAME_SIZE_ERROR: Final = 0x6
REFUSED_STREAM: Final = 0x7
CANCEL: Final = 0x8
COMPRESSION_ERROR: Final = 0x9
ENHANCE_YOUR_CALM: Final = 0xB

MAX_STREAM_ID: Final = 0x7FFF_FFFF
"""Also what the first of two GOAWAY frames names (RFC 9113 6.8)."""
DEFAULT_WINDOW: Final = 65_535
"""Flow-control window before anybody changes it (RFC 9113 6.9.2), in bytes."""
MAX_WINDOW: Final = 0x7FFF_FFFF
MIN_FRAME_SIZE: Final = 16_384
MAX_FRAME_SIZE: Final = 16_777_215

FRAME_OVERHEAD: Final = 9
"""Bytes of a frame's header."""


class ConnectionFault(Exception):
    """A peer's fault that ends the connection; never leaves an engine."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class StreamFault(Exception):
    """A peer's fault that ends one stream; never leaves an engine."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class HTTP2Handler(Protocol):
    """What an engine calls. Tests record the calls as tuples."""

    def on_request(self, stream_id: int, request: Request) -> None:
        """A request head is complete and valid.

        ``request.status`` is not 0 where it is well-formed but has to be refused with a
        response (431 and others): then there is nothing else to read from it.
        """

    def on_data(self, stream_id: int, data: bytes, flow_size: int) -> None:
        """A piece of a body.

        Args:
            stream_id: The stream.
            data: Maybe empty, where a frame held only padding.
            flow_size: What it takes of both windows: give it back by `HTTP2Engine.credit`.
        """

    def on_end(self, stream_id: int, trailers: Fields | None) -> None:
        """The body is complete; *trailers* is its trailer section, if it had one."""

    def on_reset(self, stream_id: int, code: int, remote: bool) -> None:
        """The stream ended before its time: by the peer, or (not *remote*) for its fault."""

    def on_window(self, stream_id: int) -> None:
        """More may be sent on a stream; on any of them if it is 0."""

    def on_priority(self, stream_id: int, value: bytes) -> None:
        """A PRIORITY_UPDATE frame (RFC 9218 7.1); the stream may not exist yet."""

    def on_ping_ack(self, data: bytes) -> None:
        """The peer has answered our PING with *data*."""

    def on_goaway(self, code: int) -> None:
        """The peer opens no more streams."""

    def on_error(self, code: int, reason: str) -> None:
        """The connection is over: GOAWAY with *code* was written. *reason* is for the debug log."""


class HTTP2Engine(Protocol):
    """One HTTP/2 connection, server side.

    Attributes:
        highest_id: The highest stream that the peer has opened.
        started: The peer's first SETTINGS have arrived.
        head_pending: A part of a field block is here, the rest is not.
        closed: Nothing is parsed any more.
        max_frame: The largest frame payload that the peer takes, in bytes.

    An extended CONNECT (RFC 8441) is a request as any other: what the peer sends on its
    stream comes by `HTTP2Handler.on_data` and `HTTP2Handler.on_end`, and DATA may be sent
    once a 2xx head was.
    """

    highest_id: int
    started: bool
    closed: bool

    @property
    def head_pending(self) -> bool: ...  # noqa: D102 - see the class
    @property
    def max_frame(self) -> int: ...  # noqa: D102

    def __init__(
        self,
        handler: HTTP2Handler,
        write: Callable[[bytes], None],
        settings: HTTP2Settings,
        limits: Limits,
        budget: Budget,
        extended_connect: bool = False,
    ) -> None:
        """Make an engine.

        Args:
            handler: What is called.
            write: Where bytes go.
            settings: Windows and limits.
            limits: Limits that HTTP versions share.
            budget: What the peer may make us do.
            extended_connect: Announce SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441 3), and
                pass it to `granian_core.http2.fields.read_request`.
        """

    def start(self) -> None:
        """Write our SETTINGS and raise the connection's window to what is configured."""

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""

    def window(self, stream_id: int) -> int:
        """Return how many bytes may be sent on a stream now; below 0 after a SETTINGS change."""

    def connection_window(self) -> int:
        """Return how many bytes may be sent on all streams together now."""

    def send_headers(self, stream_id: int, fields: Section, end_stream: bool) -> None:
        """Write a response head, an informational one, or a trailer section."""

    def send_data(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        """Write one DATA frame; it must fit both windows and ``max_frame``."""

    def send_response(self, stream_id: int, fields: Section, data: bytes) -> None:
        """Write a whole response: a head and one DATA frame, as the two methods above."""

    def send_reset(self, stream_id: int, code: int) -> None:
        """End a stream early; what the peer still sends on it is credited and dropped."""

    def send_goaway(self, last_id: int, code: int) -> None:
        """Write GOAWAY; streams above *last_id* are ignored from here on."""

    def send_ping(self, data: bytes) -> None:
        """Write PING with 8 bytes of *data*."""

    def send_window_setting(self, size: int) -> None:
        """Write SETTINGS with a new initial window for streams, larger than the last one."""

    def credit(self, stream_id: int, size: int) -> None:
        """Write WINDOW_UPDATE: the peer may send *size* more; on the connection if 0."""

    def fail(self, code: int, reason: str) -> None:
        """End the connection as for a peer's fault that was noticed above the engine."""

    def close(self) -> None:
        """Parse nothing any more."""

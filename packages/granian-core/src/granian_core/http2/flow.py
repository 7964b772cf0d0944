"""Flow control, both ways (RFC 9113 5.2, 6.9): windows, and the settings that move them.

*Outbound* is what the peer lets us send, *inbound* what we let it. A window is a signed
number of bytes: a smaller SETTINGS_INITIAL_WINDOW_SIZE can take it below 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_core.http2.contract import (
    DEFAULT_WINDOW,
    FLOW_CONTROL_ERROR,
    MAX_WINDOW,
    ConnectionFault,
    StreamFault,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class Stream:
    """A stream that is not closed.

    Attributes:
        state: One of `granian_core.http2.states`.
        outbound: Bytes that we may send, the connection's window aside.
        inbound: Bytes that the peer may send.
        expected: Its content-length, or -1.
        received: Bytes of content received.
    """

    __slots__ = ("expected", "inbound", "outbound", "received", "state")

    def __init__(self, state: int, outbound: int, inbound: int) -> None:
        self.state = state
        self.outbound = outbound
        self.inbound = inbound
        self.expected = -1
        self.received = 0


class Flow:
    """The windows of a connection, and those that new streams begin with.

    Attributes:
        outbound: Bytes that we may send on all streams together.
        inbound: Bytes that the peer may.
        new_outbound: The first window of new streams, as the peer has set it.
        new_inbound: As we have, and it knows.
    """

    __slots__ = ("_pending", "inbound", "new_inbound", "new_outbound", "outbound")

    def __init__(self, stream_window: int) -> None:
        self.outbound = self.inbound = DEFAULT_WINDOW
        self.new_outbound = DEFAULT_WINDOW
        self.new_inbound = max(stream_window, DEFAULT_WINDOW)
        # A smaller one applies when the peer has acknowledged it (RFC 9113 6.9.2).
        self._pending = [stream_window] if stream_window < DEFAULT_WINDOW else []

    def consume(self, stream: Stream, size: int) -> None:
        """Take *size* bytes of DATA from both inbound windows.

        Raises:
            ConnectionFault: The peer sends more than it may (RFC 9113 6.9.1).
        """
        self.inbound -= size
        stream.inbound -= size
        if self.inbound < 0 or stream.inbound < 0:
            raise ConnectionFault(FLOW_CONTROL_ERROR, "DATA beyond the window")

    def open(self, stream: Stream | None, size: int) -> None:
        """Take a WINDOW_UPDATE, of the connection if there is no stream.

        Raises:
            ConnectionFault: The connection's window exceeds 2^31-1 (RFC 9113 6.9.1).
            StreamFault: The stream's does.
        """
        if stream is None:
            if self.outbound + size > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "window overflow")
            self.outbound += size
        else:
            if stream.outbound + size > MAX_WINDOW:
                raise StreamFault(FLOW_CONTROL_ERROR, "window overflow")
            stream.outbound += size

    def set_outbound(self, size: int, streams: Iterable[Stream]) -> None:
        """Take SETTINGS_INITIAL_WINDOW_SIZE of the peer, for open streams too.

        Raises:
            ConnectionFault: A window exceeds 2^31-1 (RFC 9113 6.9.2).
        """
        change = size - self.new_outbound
        self.new_outbound = size
        for stream in streams:
            stream.outbound += change
            if stream.outbound > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "initial window overflows a stream")

    def announce(self, size: int) -> None:
        """Note that we have sent SETTINGS_INITIAL_WINDOW_SIZE."""
        self._pending.append(size)

    def acknowledged(self, streams: Iterable[Stream]) -> None:
        """Take the peer's acknowledgement of our SETTINGS."""
        if not self._pending:
            return
        size = self._pending.pop(0)
        change = size - self.new_inbound
        self.new_inbound = size
        for stream in streams:
            stream.inbound += change

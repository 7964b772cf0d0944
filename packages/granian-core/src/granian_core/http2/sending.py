"""What the fast engine writes, and which streams there are.

Everything here is called by the connection, with the exchange's state in order; a call that is
not raises `LocalProtocolError`.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final

from granian_core.errors import LocalProtocolError
from granian_core.http2.contract import MAX_STREAM_ID, MIN_FRAME_SIZE
from granian_core.http2.flow import Flow, Stream
from granian_core.http2.frames import (
    CONTINUATION,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    frame,
    goaway_frame,
    ping_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from granian_core.http2.hpack import Encoder
from granian_core.http2.states import (
    CLOSED,
    HALF_CLOSED_REMOTE,
    IDLE,
    MISUSE,
    RESET_BY_US,
    SEND,
    SEND_END,
    SEND_RESET,
    SKIPPED,
    STREAM,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from granian_core.http2.budget import Budget
    from granian_core.http2.contract import Section

REMEMBERED: Final = 1024
"""Streams that were reset, of which it is known by whom."""
MAX_SKIPPED: Final = 64
"""Gaps between the identifiers that the peer has used, as far as they are remembered."""
JOIN: Final = 2048
"""Bytes of content up to which a frame is made in one piece."""

HEADER: Final = Struct(">IBI")
"""Length and type in one, flags, stream identifier: a frame's header (RFC 9113 4.1)."""


class Sender:
    """The sending half; `granian_core.http2.fast` adds the other.

    Args:
        write: Takes what goes to the peer.
        stream_window: The window that we give to new streams, in bytes.
        budget: Is told how much was sent.
    """

    __slots__ = (
        "_accepting_to",
        "_budget",
        "_encoder",
        "_ending",
        "_flow",
        "_resets",
        "_skipped",
        "_streams",
        "_write",
        "highest_id",
        "max_frame",
    )

    def __init__(self, write: Callable[[bytes], None], stream_window: int, budget: Budget) -> None:
        self.highest_id = 0
        self.max_frame = MIN_FRAME_SIZE
        self._write = write
        self._budget = budget
        self._accepting_to = MAX_STREAM_ID
        self._encoder = Encoder()
        # The stream whose last DATA is being told of: it needs no credit any more.
        self._ending = 0
        self._flow = Flow(stream_window)
        self._streams: dict[int, Stream] = {}
        self._resets: dict[int, int] = {}
        self._skipped: list[tuple[int, int]] = []

    # -- streams ----------------------------------------------------------------

    def _closed_state(self, stream_id: int) -> int:
        """Return the state of a stream that is not open."""
        if stream_id > self.highest_id or not stream_id & 1:
            return IDLE
        if stream_id > self._accepting_to:
            return RESET_BY_US
        state = self._resets.get(stream_id)
        if state is not None:
            return state
        for first, beyond in self._skipped:
            if first <= stream_id < beyond:
                return SKIPPED
        return CLOSED

    def _skip(self, first: int, beyond: int) -> None:
        """Remember identifiers that the peer did not use."""
        self._skipped.append((first, beyond))
        if len(self._skipped) > MAX_SKIPPED:
            del self._skipped[0]

    def _forget(self, stream_id: int, state: int) -> None:
        """Close a stream; remember it if it was reset."""
        del self._streams[stream_id]
        if state != CLOSED:
            resets = self._resets
            resets[stream_id] = state
            if len(resets) > REMEMBERED:
                del resets[next(iter(resets))]

    # -- output -----------------------------------------------------------------

    def connection_window(self) -> int:
        """Return how many bytes may be sent on all streams together."""
        return self._flow.outbound

    def window(self, stream_id: int) -> int:
        """Return how many bytes may be sent on a stream."""
        window = self._streams[stream_id].outbound
        total = self._flow.outbound
        return window if window < total else total  # noqa: FURB136 - min() is a call

    def _move(self, stream_id: int, event: int) -> Stream:
        """Move a stream for what we send."""
        stream = self._streams.get(stream_id)
        if stream is None:
            raise LocalProtocolError("the stream is closed")
        state = STREAM[stream.state][event]
        if state >= CLOSED:
            if state == MISUSE:
                raise LocalProtocolError("the stream is closed for sending")
            self._forget(stream_id, state)
        stream.state = state
        return stream

    def send_headers(self, stream_id: int, fields: Section, end_stream: bool) -> None:
        """Write a field section."""
        self._move(stream_id, SEND_END if end_stream else SEND)
        block = self._encoder.encode(fields)
        ended = END_STREAM if end_stream else 0
        size = len(block)
        if size > self.max_frame:
            self._send_parts(stream_id, block, ended)
        else:
            self._write(HEADER.pack(size << 8 | HEADERS, END_HEADERS | ended, stream_id) + block)

    def _send_parts(self, stream_id: int, block: bytes, ended: int) -> None:
        """Write a field block that is longer than the peer's largest frame."""
        parts = [block[at : at + self.max_frame] for at in range(0, len(block), self.max_frame)]
        self._write(frame(HEADERS, ended, stream_id, parts[0]))
        for part in parts[1:-1]:
            self._write(frame(CONTINUATION, 0, stream_id, part))
        self._write(frame(CONTINUATION, END_HEADERS, stream_id, parts[-1]))

    def send_data(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        """Write one DATA frame."""
        size = len(data)
        stream = self._move(stream_id, SEND_END if end_stream else SEND)
        flow = self._flow
        if size:
            if size > stream.outbound or size > flow.outbound or size > self.max_frame:
                raise LocalProtocolError("DATA that the peer does not take")
            stream.outbound -= size
            flow.outbound -= size
            self._budget.data_sent += size
        header = HEADER.pack(size << 8, 1 if end_stream else 0, stream_id)
        if size <= JOIN:
            self._write(header + data)
        else:
            self._write(header)
            self._write(data)

    def send_response(self, stream_id: int, fields: Section, data: bytes) -> None:
        """Write a head and its content, in one piece where both are small."""
        if len(data) > JOIN:
            self.send_headers(stream_id, fields, False)
            self.send_data(stream_id, data, True)
            return
        streams = self._streams
        stream = streams.get(stream_id)
        if stream is not None and stream.state == HALF_CLOSED_REMOTE:
            # As `_move` does, for what nearly all streams come to.
            del streams[stream_id]
            stream.state = CLOSED
        else:
            stream = self._move(stream_id, SEND_END)
        flow = self._flow
        content = len(data)
        if content > stream.outbound or content > flow.outbound:
            raise LocalProtocolError("DATA that the peer does not take")
        block = self._encoder.encode(fields)
        size = len(block)
        stream.outbound -= content  # it still takes credit if its request has not ended
        flow.outbound -= content
        self._budget.data_sent += content
        if size > self.max_frame:
            self._send_parts(stream_id, block, 0)
            self._write(HEADER.pack(content << 8, END_STREAM, stream_id) + data)
            return
        head = HEADER.pack(size << 8 | HEADERS, END_HEADERS, stream_id)
        self._write(head + block + HEADER.pack(content << 8, END_STREAM, stream_id) + data)

    def send_reset(self, stream_id: int, code: int) -> None:
        """End a stream early."""
        self._move(stream_id, SEND_RESET)
        self._write(reset_frame(stream_id, code))

    def send_goaway(self, last_id: int, code: int) -> None:
        """Write GOAWAY."""
        self._accepting_to = min(self._accepting_to, last_id)
        self._write(goaway_frame(self._accepting_to, code))

    def send_ping(self, data: bytes) -> None:
        """Write PING."""
        self._write(ping_frame(data))

    def send_window_setting(self, size: int) -> None:
        """Write SETTINGS with a larger initial window."""
        self._flow.announce(size)
        self._write(settings_frame([(INITIAL_WINDOW_SIZE, size)]))

    def credit(self, stream_id: int, size: int) -> None:
        """Write WINDOW_UPDATE."""
        if not stream_id:
            self._flow.inbound += size
        else:
            stream = self._streams.get(stream_id)
            if stream is None or stream_id == self._ending:
                return
            stream.inbound += size
        self._write(window_frame(stream_id, size))

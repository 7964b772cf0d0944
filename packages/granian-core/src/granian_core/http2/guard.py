"""What HTTP/2 frames may look like: the rules of RFC 9113 4 and 6 that need no stream state.

The reference engine judges every frame here before h2 sees it, because h2 answers most
stream errors by ending the connection, and bounds neither frames nor field blocks. The
checks look at a frame's header and its fixed fields, never at more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from granian_core.http2.contract import (
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    MAX_FRAME_SIZE,
    MAX_STREAM_ID,
    MAX_WINDOW,
    MIN_FRAME_SIZE,
    PROTOCOL_ERROR,
    ConnectionFault,
    StreamFault,
)
from granian_core.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE_SETTING,
    NO_RFC7540_PRIORITIES,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    SETTING,
    SETTINGS,
    UINT32,
    WINDOW_UPDATE,
)

if TYPE_CHECKING:
    from granian_core.http2.budget import Budget

MAX_CONTINUATIONS: Final = 64
"""CONTINUATION frames of one field block."""
MAX_EMPTY_CONTINUATIONS: Final = 8
"""Those among them that hold nothing."""
MAX_PEER_TABLE: Final = 4096
"""Most of the peer's field compression table that we use, in bytes."""

_OF_STREAMS: Final = frozenset((DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION))
_OF_CONNECTION: Final = frozenset((SETTINGS, PING, GOAWAY, PRIORITY_UPDATE))
_SIZES: Final = {RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}


class FieldBlock:
    """A field section that arrives as HEADERS and CONTINUATION frames (RFC 9113 4.3).

    Attributes:
        stream_id: Its stream.
        flags: Those of its HEADERS frame.
        self_dependent: Its priority fields name the stream itself.
    """

    __slots__ = (
        "_empty",
        "_frames",
        "_limit",
        "_parts",
        "_size",
        "flags",
        "self_dependent",
        "stream_id",
    )

    def __init__(self, stream_id: int, flags: int, payload: bytes, limit: int) -> None:
        start, end = unpadded(flags, payload)
        self.self_dependent = False
        if flags & PRIORITY_FLAG:
            if end - start < 5:
                raise ConnectionFault(FRAME_SIZE_ERROR, "HEADERS too short")
            self.self_dependent = depends_on(payload, start) == stream_id
            start += 5
        self.stream_id = stream_id
        self.flags = flags
        self._limit = limit
        self._parts = [payload[start:end]]
        self._size = end - start
        self._frames = 0
        self._empty = 0
        self._check()

    def add(self, payload: bytes) -> None:
        """Take a CONTINUATION frame.

        Raises:
            ConnectionFault: There are too many, or too many bytes in them.
        """
        self._frames += 1
        if not payload:
            self._empty += 1
        self._parts.append(payload)
        self._size += len(payload)
        self._check()

    def _check(self) -> None:
        if (
            self._size > self._limit
            or self._frames > MAX_CONTINUATIONS
            or self._empty > MAX_EMPTY_CONTINUATIONS
        ):
            raise ConnectionFault(ENHANCE_YOUR_CALM, "field block too large")

    def take(self) -> bytes:
        """Return the whole block."""
        return b"".join(self._parts)


class FrameGuard:
    """Judges frames one after another."""

    __slots__ = ("_budget", "_limit", "block")

    def __init__(self, budget: Budget, block_limit: int) -> None:
        self._budget = budget
        self._limit = block_limit
        self.block: FieldBlock | None = None

    def check(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Judge one frame, field blocks aside.

        Raises:
            ConnectionFault: For the connection.
            StreamFault: For its stream alone.
        """
        if kind in _OF_STREAMS:
            # RFC 9113 5.1.1: clients use odd identifiers; we have opened no even ones.
            if not stream_id & 1:
                raise ConnectionFault(PROTOCOL_ERROR, "frame on a wrong stream")
        elif stream_id and kind in _OF_CONNECTION:
            raise ConnectionFault(PROTOCOL_ERROR, "connection frame on a stream")
        size = _SIZES.get(kind)
        if size is not None and len(payload) != size:
            raise ConnectionFault(FRAME_SIZE_ERROR, "frame of a wrong size")
        if kind == WINDOW_UPDATE:
            self._check_window(stream_id, payload)
        elif kind == PRIORITY:
            self._check_priority(stream_id, payload)
        elif kind == PING:
            self._budget.useless("PING")
        elif kind == PRIORITY_UPDATE:
            self._check_priority_update(payload)
        elif kind == GOAWAY:
            if len(payload) < 8:
                raise ConnectionFault(FRAME_SIZE_ERROR, "GOAWAY too short")
            self._budget.useless("GOAWAY")
        elif kind == PUSH_PROMISE:
            raise ConnectionFault(PROTOCOL_ERROR, "PUSH_PROMISE from a client")

    def _check_window(self, stream_id: int, payload: bytes) -> None:
        if not UINT32.unpack(payload)[0] & MAX_WINDOW:
            if stream_id:
                raise StreamFault(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
            raise ConnectionFault(PROTOCOL_ERROR, "WINDOW_UPDATE of 0")
        self._budget.credit_received()

    def _check_priority(self, stream_id: int, payload: bytes) -> None:
        self._budget.signal_received("PRIORITY")
        if len(payload) != 5:
            raise StreamFault(FRAME_SIZE_ERROR, "PRIORITY of a wrong size")
        if depends_on(payload, 0) == stream_id:
            raise StreamFault(PROTOCOL_ERROR, "a stream depends on itself")

    def _check_priority_update(self, payload: bytes) -> None:
        self._budget.signal_received("PRIORITY_UPDATE")
        if len(payload) < 4:
            raise ConnectionFault(FRAME_SIZE_ERROR, "PRIORITY_UPDATE too short")
        if not UINT32.unpack_from(payload)[0] & MAX_STREAM_ID & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "PRIORITY_UPDATE of a wrong stream")

    def begin_block(self, stream_id: int, flags: int, payload: bytes) -> FieldBlock | None:
        """Take a HEADERS frame; return its field block if that is complete."""
        block = FieldBlock(stream_id, flags, payload, self._limit)
        if flags & END_HEADERS:
            return block
        self.block = block
        return None

    def continue_block(
        self, kind: int, flags: int, stream_id: int, payload: bytes
    ) -> FieldBlock | None:
        """Take the frame after a HEADERS frame without END_HEADERS (RFC 9113 6.10)."""
        block = self.block
        assert block is not None
        if kind != CONTINUATION or stream_id != block.stream_id:
            raise ConnectionFault(PROTOCOL_ERROR, "frame inside a field block")
        block.add(payload)
        if flags & END_HEADERS:
            self.block = None
            return block
        return None

    def read_settings(self, flags: int, payload: bytes) -> list[tuple[int, int]]:
        """Judge a SETTINGS frame; return those of its pairs that concern us.

        Of one that comes twice the last counts. A smaller table before it counts, too, and
        comes first: it has emptied the peer's (RFC 7541 4.2).

        Raises:
            ConnectionFault: RFC 9113 6.5 and 6.5.2.
        """
        if len(payload) % 6 or (flags & ACK and payload):
            raise ConnectionFault(FRAME_SIZE_ERROR, "SETTINGS of a wrong size")
        self._budget.signal_received("SETTINGS")
        settings: dict[int, int] = {}
        smallest = MAX_PEER_TABLE
        for name, value in SETTING.iter_unpack(payload):
            if name in (ENABLE_PUSH, NO_RFC7540_PRIORITIES) and value > 1:
                raise ConnectionFault(PROTOCOL_ERROR, "invalid setting")
            if name == INITIAL_WINDOW_SIZE and value > MAX_WINDOW:
                raise ConnectionFault(FLOW_CONTROL_ERROR, "initial window too large")
            if name == MAX_FRAME_SIZE_SETTING and not MIN_FRAME_SIZE <= value <= MAX_FRAME_SIZE:
                raise ConnectionFault(PROTOCOL_ERROR, "invalid frame size setting")
            if name == HEADER_TABLE_SIZE:
                settings[name] = min(value, MAX_PEER_TABLE)
                smallest = min(smallest, value)
            elif name in (INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE_SETTING):
                settings[name] = value
        pairs = list(settings.items())
        if smallest < settings.get(HEADER_TABLE_SIZE, 0):
            pairs.insert(0, (HEADER_TABLE_SIZE, smallest))
        return pairs


def depends_on(payload: bytes, start: int) -> int:
    """Return the stream dependency of priority fields (RFC 7540 6.3)."""
    dependency: int = UINT32.unpack_from(payload, start)[0]
    return dependency & MAX_STREAM_ID


def unpadded(flags: int, payload: bytes) -> tuple[int, int]:
    """Return where the content of a DATA or HEADERS payload starts and ends.

    Raises:
        ConnectionFault: RFC 9113 6.1: the padding is as long as the payload, or longer.
    """
    if not flags & PADDED:
        return 0, len(payload)
    if not payload:
        raise ConnectionFault(FRAME_SIZE_ERROR, "padded frame without a length")
    end = len(payload) - payload[0]
    if end < 1:
        raise ConnectionFault(PROTOCOL_ERROR, "padding longer than the frame")
    return 1, end

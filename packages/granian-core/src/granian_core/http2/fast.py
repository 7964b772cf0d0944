"""The fast engine: HTTP/2 in plain Python, strict by construction.

Frames are cut by index from what was read; nothing is made per frame. What a frame means for
its stream, or for the connection, is looked up in the tables of `granian_core.http2.states`.
Request heads that come again are neither decoded nor judged again, as long as the decoder's
table has not changed; response heads that go again are not encoded again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from granian_core.http2.contract import (
    DEFAULT_WINDOW,
    ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR,
    MAX_STREAM_ID,
    MAX_WINDOW,
    PREFACE,
    PROTOCOL_ERROR,
    REFUSED_STREAM,
    STREAM_CLOSED,
    ConnectionFault,
    HTTP2Handler,
    StreamFault,
)
from granian_core.http2.fields import read_trailers
from granian_core.http2.flow import Stream
from granian_core.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE_SETTING,
    MAX_HEADER_LIST_SIZE,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PRIORITY_UPDATE,
    RST_STREAM,
    SETTINGS,
    UINT32,
    WINDOW_UPDATE,
    frame,
    goaway_frame,
    ping_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from granian_core.http2.guard import FrameGuard, unpadded
from granian_core.http2.heads import MAX_HEAD_SIZE, HeadReader
from granian_core.http2.sending import HEADER, Sender
from granian_core.http2.states import (
    AWAIT_PREFACE,
    CLOSE,
    CLOSED,
    CONNECTION,
    DROP,
    GOAWAY_CLOSED,
    GOT_CONTINUATION,
    GOT_CONTINUATION_PART,
    GOT_HEADERS,
    GOT_HEADERS_PART,
    GOT_OTHER,
    GOT_PREFACE,
    GOT_SETTINGS,
    IDLE,
    IN_BLOCK,
    READY,
    RECV_HEADERS,
    RECV_HEADERS_END,
    RECV_RESET,
    RECV_WINDOW,
    RESET_BY_PEER,
    RESET_CLOSED,
    STREAM,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from granian_core.http2.budget import Budget
    from granian_core.settings import HTTP2Settings, Limits
    from granian_core.stream import Fields

_SETTINGS_ACK: Final = frame(SETTINGS, ACK, 0)
_EVENTS: Final = {
    SETTINGS: (GOT_SETTINGS, GOT_SETTINGS),
    HEADERS: (GOT_HEADERS_PART, GOT_HEADERS),
    CONTINUATION: (GOT_CONTINUATION_PART, GOT_CONTINUATION),
}
"""What a frame means for the connection, without and with END_HEADERS."""
_OTHER: Final = (GOT_OTHER, GOT_OTHER)
_OPENED: Final = STREAM[IDLE][RECV_HEADERS : RECV_HEADERS_END + 1]
"""The state of a new stream, without and with END_STREAM."""
_PLAIN_MASK: Final = END_HEADERS | PADDED | PRIORITY_FLAG


class FastEngine(Sender):
    """See the contract for the public methods."""

    __slots__ = (
        "_buffer",
        "_extended_connect",
        "_guard",
        "_handler",
        "_heads",
        "_list_limit",
        "_max_inbound",
        "_max_streams",
        "_missing",
        "_settings",
        "_state",
        "closed",
        "started",
    )

    def __init__(
        self,
        handler: HTTP2Handler,
        write: Callable[[bytes], None],
        settings: HTTP2Settings,
        limits: Limits,
        budget: Budget,
        extended_connect: bool = False,
    ) -> None:
        super().__init__(write, settings.stream_window, budget)
        self.started = False
        self.closed = False
        self._handler = handler
        self._extended_connect = extended_connect
        self._settings = settings
        self._list_limit = limits.header_list_bytes
        self._guard = FrameGuard(budget, limits.header_list_bytes)
        self._state = AWAIT_PREFACE
        # The beginning of a frame, and how many bytes are missing before it is looked at.
        self._buffer = bytearray()
        self._missing = 0
        self._max_inbound = settings.frame_size
        self._max_streams = settings.max_concurrent_streams
        self._heads = HeadReader(settings, limits.header_list_bytes, extended_connect)

    @property
    def head_pending(self) -> bool:
        """Whether a part of a field block is here, and the rest is not."""
        if self._state == IN_BLOCK:
            return True
        return len(self._buffer) > 3 and self.started and self._buffer[3] == HEADERS

    # -- input ------------------------------------------------------------------

    def start(self) -> None:
        """Write our SETTINGS and raise the connection's window."""
        settings = self._settings
        values = [
            (MAX_CONCURRENT_STREAMS, settings.max_concurrent_streams),
            (INITIAL_WINDOW_SIZE, settings.stream_window),
            (MAX_FRAME_SIZE_SETTING, settings.frame_size),
            (MAX_HEADER_LIST_SIZE, min(settings.max_headers_size, self._list_limit)),
        ]
        if self._extended_connect:
            values.append((ENABLE_CONNECT_PROTOCOL, 1))
        self._write(settings_frame(values))
        if settings.connection_window > DEFAULT_WINDOW:
            self.credit(0, settings.connection_window - DEFAULT_WINDOW)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self.closed:
            return
        buffer = self._buffer
        if buffer:
            buffer += data
            if len(data) < self._missing:
                self._missing -= len(data)
                return
            data = bytes(buffer)
            buffer.clear()
        try:
            at = 0
            if not self.started:
                at = self._take_preface(data)
            if self.started:
                at = self._take_frames(data, at)
        except ConnectionFault as fault:
            self.fail(fault.code, fault.reason)
            return
        if at < len(data) and not self.closed:
            buffer += data[at:]

    def _take_preface(self, data: bytes) -> int:
        """Take the client's preface and look at the next frame; return where that starts."""
        size = len(PREFACE)
        if data[:size] != PREFACE[: len(data)]:
            raise ConnectionFault(PROTOCOL_ERROR, "no HTTP/2 preface")
        if len(data) < size + 9:
            self._missing = 1
            return 0
        self._advance(GOT_PREFACE)
        kind = data[size + 3]
        # RFC 9113 3.4: the preface ends in a SETTINGS frame, which may be empty.
        if kind != SETTINGS or data[size + 4] & ACK:
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS do not come first")
        self.started = True
        return size

    def _advance(self, event: int) -> None:
        """Move the connection's state."""
        state = CONNECTION[self._state][event]
        if state >= DROP:
            raise ConnectionFault(PROTOCOL_ERROR, "unexpected frame")
        self._state = state

    def _take_frames(self, data: bytes, at: int) -> int:
        """Take the frames that are complete; return where the rest starts."""
        size = len(data)
        budget = self._budget
        read_header = HEADER.unpack_from
        while not self.closed:
            start = at + 9
            if start > size:
                self._missing = start - size
                break
            length, flags, stream_id = read_header(data, at)
            kind = length & 0xFF
            length >>= 8
            end = start + length
            if end > size or length > self._max_inbound:
                if length > self._max_inbound:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "frame too large")
                self._missing = end - size
                break
            at = end
            budget.frames += 1
            if stream_id > MAX_STREAM_ID:
                stream_id -= MAX_STREAM_ID + 1  # RFC 9113 4.1: the reserved bit
            try:
                if self._state != READY or kind > HEADERS:
                    self._take_other(kind, flags, stream_id, data[start:end])
                elif not stream_id & 1:
                    # RFC 9113 5.1.1: clients use odd identifiers; we have opened no even ones.
                    raise ConnectionFault(PROTOCOL_ERROR, "frame on a wrong stream")
                elif kind == DATA:
                    self._take_data(flags, stream_id, data[start:end])
                elif flags & _PLAIN_MASK != END_HEADERS:
                    self._take_unusual_headers(flags, stream_id, data[start:end])
                elif stream_id > self.highest_id and length <= MAX_HEAD_SIZE:
                    self._take_request(stream_id, flags, data[start:end], False)
                else:
                    self._take_block(stream_id, flags, data[start:end], False)
            except StreamFault as fault:
                self._fail_stream(stream_id, fault)
        return at

    def _take_other(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """Take a frame that is not on the usual way of a request."""
        was = self._state
        self._advance(_EVENTS.get(kind, _OTHER)[flags & END_HEADERS != 0])
        guard = self._guard
        if was == IN_BLOCK:
            block = guard.continue_block(kind, flags, stream_id, payload)
            if block is not None:
                self._take_block(stream_id, block.flags, block.take(), block.self_dependent)
            return
        guard.check(kind, flags, stream_id, payload)
        if kind == WINDOW_UPDATE:
            self._take_window_update(stream_id, payload)
        elif kind == RST_STREAM:
            self._take_reset(stream_id, payload)
        elif kind == SETTINGS:
            self._take_settings(flags, payload)
        elif kind == PING:
            if flags & ACK:
                self._handler.on_ping_ack(payload)
            else:
                self._write(ping_frame(payload, ack=True))
        elif kind == GOAWAY:
            self._handler.on_goaway(UINT32.unpack_from(payload, 4)[0])
        elif kind == PRIORITY_UPDATE:
            self._handler.on_priority(UINT32.unpack_from(payload)[0] & MAX_STREAM_ID, payload[4:])
        elif kind != PRIORITY:
            # RFC 9113 5.5: unknown types are ignored. PRIORITY is, too (5.3.2).
            self._budget.useless("unknown")

    # -- bodies -----------------------------------------------------------------

    def _take_data(self, flags: int, stream_id: int, data: bytes) -> None:
        flow_size = len(data)
        if flags & PADDED:
            start, end = unpadded(flags, data)
            data = data[start:end]
        ended = flags & END_STREAM
        stream = self._streams.get(stream_id)
        if stream is None:
            self._refuse_late_data(stream_id, ended, flow_size)
            return
        state = STREAM[stream.state][ended]
        if state >= DROP:
            self._credit_unseen(flow_size)
            raise StreamFault(STREAM_CLOSED, "DATA after the end")
        stream.received += len(data)
        if stream.expected >= 0 and (
            stream.received > stream.expected or (ended and stream.received < stream.expected)
        ):
            self._credit_unseen(flow_size)
            raise StreamFault(PROTOCOL_ERROR, "content differs from content-length")
        if not data and not ended:
            self._budget.useless("empty DATA")
        if flow_size:
            self._flow.consume(stream, flow_size)
            if ended:
                self._ending = stream_id
            self._handler.on_data(stream_id, data, flow_size)
            self._ending = 0
        if ended and stream.state < RESET_BY_PEER:
            self._end_remote(stream_id, stream, None)

    def _refuse_late_data(self, stream_id: int, ended: int, size: int) -> None:
        """Answer DATA on a stream that is not open any more (RFC 9113 5.1, 6.1)."""
        verdict = STREAM[self._closed_state(stream_id)][ended]
        self._raise_for_connection(verdict, "DATA on a closed stream")
        self._credit_unseen(size)
        self._budget.useless("late DATA")
        if verdict == RESET_CLOSED:
            raise StreamFault(STREAM_CLOSED, "DATA on a reset stream")

    def _credit_unseen(self, size: int) -> None:
        """Give back what DATA took of the connection's window by no stream of ours."""
        if size:
            self._write(window_frame(0, size))

    def _end_remote(self, stream_id: int, stream: Stream, trailers: Fields | None) -> None:
        stream.state = STREAM[stream.state][RECV_HEADERS_END]
        if stream.state == CLOSED:
            del self._streams[stream_id]
        self._handler.on_end(stream_id, trailers)

    # -- field sections -----------------------------------------------------------

    def _take_unusual_headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        """Take HEADERS that are padded, with a priority, or not the whole block."""
        block = self._guard.begin_block(stream_id, flags, payload)
        if block is None:
            self._advance(GOT_HEADERS_PART)
        else:
            self._take_block(stream_id, flags, block.take(), block.self_dependent)

    def _take_block(self, stream_id: int, flags: int, block: bytes, self_dependent: bool) -> None:
        if len(block) > self._list_limit:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "field block too large")
        if stream_id > self.highest_id:
            self._take_request(stream_id, flags, block, self_dependent)
            return
        ended = flags & END_STREAM
        stream = self._streams.get(stream_id)
        if stream is None:
            self._refuse_late_headers(stream_id, ended, block)
            return
        state = STREAM[stream.state][RECV_HEADERS | ended]
        fields = self._heads.decode(block)
        if state == RESET_CLOSED:
            raise StreamFault(STREAM_CLOSED, "HEADERS after the end")
        if state >= DROP:
            raise StreamFault(PROTOCOL_ERROR, "trailers that do not end the stream")
        if self_dependent:
            raise StreamFault(PROTOCOL_ERROR, "a stream depends on itself")
        trailers = read_trailers(fields)
        if stream.expected >= 0 and stream.received != stream.expected:
            raise StreamFault(PROTOCOL_ERROR, "content differs from content-length")
        self._end_remote(stream_id, stream, trailers or None)

    def _refuse_late_headers(self, stream_id: int, ended: int, block: bytes) -> None:
        """Answer HEADERS on a stream that is not open any more (RFC 9113 5.1, 5.1.1)."""
        verdict = STREAM[self._closed_state(stream_id)][RECV_HEADERS | ended]
        self._raise_for_connection(verdict, "HEADERS on a closed stream")
        self._heads.decode(block)
        self._budget.useless("late HEADERS")
        if verdict == RESET_CLOSED:
            raise StreamFault(STREAM_CLOSED, "HEADERS on a reset stream")

    def _take_request(self, stream_id: int, flags: int, block: bytes, self_dependent: bool) -> None:
        if stream_id > self.highest_id + 2:
            self._skip(self.highest_id + 1, stream_id)
        self.highest_id = stream_id
        if stream_id > self._accepting_to:
            # We have said that we would not; its sender tries elsewhere (RFC 9113 6.8).
            self._heads.decode(block)
            self._budget.useless("ignored HEADERS")
            return
        ended = flags & END_STREAM
        heads = self._heads
        request = heads.known(block, ended)
        fields = heads.decode(block) if request is None else []
        flow = self._flow
        streams = self._streams
        stream = streams[stream_id] = Stream(_OPENED[ended], flow.new_outbound, flow.new_inbound)
        self._budget.stream_opened()
        if len(streams) > self._max_streams:
            raise StreamFault(REFUSED_STREAM, "too many concurrent streams")
        if self_dependent:
            raise StreamFault(PROTOCOL_ERROR, "a stream depends on itself")
        if request is None:
            request = heads.judge(block, fields, ended)
        if not ended:
            stream.expected = request.content_length
        self._handler.on_request(stream_id, request)

    # -- control frames -------------------------------------------------------------

    def _take_window_update(self, stream_id: int, payload: bytes) -> None:
        # The reserved bit is not to be looked at (RFC 9113 6.9).
        size = UINT32.unpack(payload)[0] & MAX_WINDOW
        stream = None
        if stream_id:
            stream = self._streams.get(stream_id)
            if stream is None:
                verdict = STREAM[self._closed_state(stream_id)][RECV_WINDOW]
                self._raise_for_connection(verdict, "WINDOW_UPDATE on an idle stream")
                return
        self._flow.open(stream, size)
        self._handler.on_window(stream_id)

    def _take_reset(self, stream_id: int, payload: bytes) -> None:
        stream = self._streams.get(stream_id)
        if stream is None:
            verdict = STREAM[self._closed_state(stream_id)][RECV_RESET]
            self._raise_for_connection(verdict, "RST_STREAM on an idle stream")
            self._budget.useless("late RST_STREAM")
            return
        self._forget(stream_id, STREAM[stream.state][RECV_RESET])
        self._handler.on_reset(stream_id, UINT32.unpack(payload)[0], True)
        self._budget.stream_reset()

    def _take_settings(self, flags: int, payload: bytes) -> None:
        values = self._guard.read_settings(flags, payload)
        if flags & ACK:
            self._flow.acknowledged(self._streams.values())
            return
        for name, value in values:
            if name == INITIAL_WINDOW_SIZE:
                self._flow.set_outbound(value, self._streams.values())
            elif name == MAX_FRAME_SIZE_SETTING:
                self.max_frame = value
            elif name == HEADER_TABLE_SIZE:
                self._encoder.set_max_table_size(value)
        self._write(_SETTINGS_ACK)
        if values:
            self._handler.on_window(0)

    # -- the ends of streams --------------------------------------------------------

    @staticmethod
    def _raise_for_connection(verdict: int, reason: str) -> None:
        """Raise if a verdict is a connection error."""
        if verdict > RESET_CLOSED:
            code = STREAM_CLOSED if verdict == GOAWAY_CLOSED else PROTOCOL_ERROR
            raise ConnectionFault(code, reason)

    def _fail_stream(self, stream_id: int, fault: StreamFault) -> None:
        """Reset a stream for the peer's fault."""
        if stream_id > self.highest_id or not stream_id & 1:
            # RST_STREAM must not name an idle stream (RFC 9113 6.4).
            raise ConnectionFault(fault.code, fault.reason)
        if stream_id in self._streams:
            self.send_reset(stream_id, fault.code)
            self._handler.on_reset(stream_id, fault.code, False)
        else:
            self._write(reset_frame(stream_id, fault.code))
        self._budget.stream_reset()

    def fail(self, code: int, reason: str) -> None:
        """End the connection for the peer's fault."""
        if self.closed:
            return
        self.close()
        self._write(goaway_frame(min(self.highest_id, self._accepting_to), code))
        self._handler.on_error(code, reason)

    def close(self) -> None:
        """Parse nothing any more."""
        self.closed = True
        self._state = CONNECTION[self._state][CLOSE]
        self._guard.block = None
        self._buffer = bytearray()

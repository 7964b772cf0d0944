"""The reference engine: h2 behind the contract, and what h2 leaves open done around it.

This module cuts frames, lets `FrameGuard` judge them, and knows which streams are open and
how the others ended, because RFC 9113 5.1 wants different answers for each. h2 sees a
frame only when it is in order: so a stream error stays one, and nothing that came before an
error is lost with it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from h2.events import (
    DataReceived,
    PingAckReceived,
    RemoteSettingsChanged,
    StreamReset,
    WindowUpdated,
)
from h2.exceptions import StreamClosedError

from granian_core.http2.contract import (
    DEFAULT_WINDOW,
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
from granian_core.http2.fields import MAX_COOKIE_CRUMBS, read_request, read_trailers
from granian_core.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    ENABLE_CONNECT_PROTOCOL,
    END_HEADERS,
    END_STREAM,
    FRAME_HEADER,
    GOAWAY,
    HEADER_TABLE_SIZE,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE_SETTING,
    MAX_HEADER_LIST_SIZE,
    PING,
    PRIORITY,
    PRIORITY_UPDATE,
    RST_STREAM,
    SETTINGS,
    UINT32,
    WINDOW_UPDATE,
    frame,
    goaway_frame,
    reset_frame,
    settings_frame,
    window_frame,
)
from granian_core.http2.guard import FieldBlock, FrameGuard, unpadded
from granian_core.http2.reference_h2 import FieldDecoder, H2Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from granian_core.http2.budget import Budget
    from granian_core.http2.contract import Section
    from granian_core.settings import HTTP2Settings, Limits
    from granian_core.stream import Fields

BY_END: Final = 0
BY_PEER: Final = 1
BY_US: Final = 2

REMEMBERED: Final = 1024
"""Closed streams of which it is known how they ended."""


class _Stream:
    """An open stream, as far as frames from the peer are concerned."""

    local_open: bool = True
    expected: int = -1
    received: int = 0

    def __init__(self, *, remote_open: bool) -> None:
        self.remote_open = remote_open


class ReferenceEngine(H2Sender):
    """See the contract for the public methods."""

    def __init__(
        self,
        handler: HTTP2Handler,
        write: Callable[[bytes], None],
        settings: HTTP2Settings,
        limits: Limits,
        budget: Budget,
        extended_connect: bool = False,
    ) -> None:
        self._decoder = FieldDecoder(
            limits.header_list_bytes, settings.max_fields + MAX_COOKIE_CRUMBS + 8
        )
        super().__init__(write, self._decoder, settings.stream_window)
        self.highest_id = 0
        self.started = False
        self.closed = False
        self._handler = handler
        self._settings = settings
        self._budget = budget
        self._extended_connect = extended_connect
        self._buffer = bytearray()
        self._guard = FrameGuard(budget, limits.header_list_bytes)
        self._max_inbound = settings.frame_size
        self._max_streams = settings.max_concurrent_streams
        self._accepting_to = MAX_STREAM_ID
        # The stream whose last DATA is being told of: it needs no credit any more.
        self._ending = 0
        self._streams: dict[int, _Stream] = {}
        self._closed: dict[int, int] = {}

    @property
    def head_pending(self) -> bool:
        """Whether a part of a field block is here, and the rest is not."""
        if self._guard.block is not None:
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
            (
                MAX_HEADER_LIST_SIZE,
                min(settings.max_headers_size, self._decoder.max_header_list_size),
            ),
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
        buffer += data
        try:
            if not self.started and not self._take_preface():
                return
            self._take_frames()
        except ConnectionFault as fault:
            self.fail(fault.code, fault.reason)

    def _take_preface(self) -> bool:
        """Take the client's preface; say whether it is complete."""
        buffer = self._buffer
        if buffer[: len(PREFACE)] != PREFACE[: len(buffer)]:
            raise ConnectionFault(PROTOCOL_ERROR, "no HTTP/2 preface")
        if len(buffer) < len(PREFACE) + 9:
            return False
        if buffer[len(PREFACE) + 3] != SETTINGS or buffer[len(PREFACE) + 4] & ACK:
            # RFC 9113 3.4: the preface ends in a SETTINGS frame, which may be empty.
            raise ConnectionFault(PROTOCOL_ERROR, "SETTINGS do not come first")
        self.started = True
        del buffer[: len(PREFACE)]
        return True

    def _take_frames(self) -> None:
        buffer = self._buffer
        position = 0
        try:
            while len(buffer) - position >= 9 and not self.closed:
                high, low, kind, flags, stream_id = FRAME_HEADER.unpack_from(buffer, position)
                size = (high << 8) | low
                if size > self._max_inbound:
                    raise ConnectionFault(FRAME_SIZE_ERROR, "frame too large")
                end = position + 9 + size
                if end > len(buffer):
                    break
                raw = bytes(buffer[position:end])
                position = end
                self._budget.frames += 1
                self._take_frame(kind, flags, stream_id & MAX_STREAM_ID, raw)
        finally:
            del buffer[:position]

    def _take_frame(self, kind: int, flags: int, stream_id: int, raw: bytes) -> None:
        payload = raw[9:]
        try:
            if self._guard.block is not None:
                block = self._guard.continue_block(kind, flags, stream_id, payload)
                if block is not None:
                    self._take_block(block)
                return
            self._guard.check(kind, flags, stream_id, payload)
            take = _TAKE.get(kind)
            if take is None:
                # RFC 9113 5.5: unknown types are ignored.
                self._budget.useless("unknown")
            else:
                take(self, flags, stream_id, payload, raw)
        except StreamFault as fault:
            self._fail_stream(stream_id, fault)

    # -- one method per frame type ------------------------------------------------

    def _take_data(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        start, end = unpadded(flags, payload)
        size = end - start
        ended = bool(flags & END_STREAM)
        stream = self._streams.get(stream_id)
        if stream is None or not stream.remote_open:
            self._refuse_data(stream_id, stream, len(payload))
            return
        stream.received += size
        if stream.expected >= 0 and (
            stream.received > stream.expected or (ended and stream.received < stream.expected)
        ):
            self._credit_unseen(len(payload))
            raise StreamFault(PROTOCOL_ERROR, "content differs from content-length")
        if not size and not ended:
            self._budget.useless("empty DATA")
        for event in self._feed(raw) if payload else self._feed_empty_data(stream_id, ended):
            if isinstance(event, DataReceived) and event.flow_controlled_length:
                self._ending = stream_id if ended else 0
                self._handler.on_data(stream_id, bytes(event.data), event.flow_controlled_length)
                self._ending = 0
        if ended and stream_id in self._streams:
            self._end_remote(stream_id, stream, None)

    def _refuse_data(self, stream_id: int, stream: _Stream | None, size: int) -> None:
        """Answer DATA on a stream that takes none any more (RFC 9113 5.1, 6.1)."""
        if stream is None:
            how = self._how_closed(stream_id)
            if how == BY_END:
                raise ConnectionFault(STREAM_CLOSED, "DATA on a closed stream")
            self._credit_unseen(size)
            self._budget.useless("late DATA")
            if how == BY_US:
                return
        else:
            self._credit_unseen(size)
        raise StreamFault(STREAM_CLOSED, "DATA after the end")

    def _credit_unseen(self, size: int) -> None:
        """Give back what DATA took of the connection's window without h2's knowledge."""
        if size:
            self._write(window_frame(0, size))

    def _take_headers(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        block = self._guard.begin_block(stream_id, flags, payload)
        if block is not None:
            self._take_block(block)

    def _take_block(self, block: FieldBlock) -> None:
        stream_id = block.stream_id
        stream = self._streams.get(stream_id)
        if stream is not None:
            self._take_trailers(stream_id, stream, block)
        elif stream_id > self.highest_id:
            self._take_request(stream_id, block)
        else:
            how = BY_US if stream_id > self._accepting_to else self._closed.get(stream_id)
            if how is None:
                raise ConnectionFault(PROTOCOL_ERROR, "stream identifiers must grow")
            if how == BY_END:
                raise ConnectionFault(STREAM_CLOSED, "HEADERS on a closed stream")
            self._decoder.decode_unseen(block.take())
            self._budget.useless("late HEADERS")
            if how == BY_PEER:
                raise StreamFault(STREAM_CLOSED, "HEADERS on a reset stream")

    def _feed_block(self, block: FieldBlock) -> None:
        """Let h2 see a block as one HEADERS frame without padding and priority."""
        flags = END_HEADERS | (block.flags & END_STREAM)
        self._feed(frame(HEADERS, flags, block.stream_id, block.take()))

    def _take_request(self, stream_id: int, block: FieldBlock) -> None:
        self.highest_id = stream_id
        if stream_id > self._accepting_to:
            # We have said that we would not; its sender tries elsewhere (RFC 9113 6.8).
            self._decoder.decode_unseen(block.take())
            self._budget.useless("ignored HEADERS")
            return
        self._feed_block(block)
        ended = bool(block.flags & END_STREAM)
        stream = _Stream(remote_open=not ended)
        self._streams[stream_id] = stream
        self._budget.stream_opened()
        if len(self._streams) > self._max_streams:
            raise StreamFault(REFUSED_STREAM, "too many concurrent streams")
        if block.self_dependent:
            raise StreamFault(PROTOCOL_ERROR, "a stream depends on itself")
        request = read_request(self._decoder.fields, ended, self._settings, self._extended_connect)
        stream.expected = request.content_length if not ended else -1
        self._handler.on_request(stream_id, request)

    def _take_trailers(self, stream_id: int, stream: _Stream, block: FieldBlock) -> None:
        if not stream.remote_open or not block.flags & END_STREAM:
            self._decoder.decode_unseen(block.take())
            if not stream.remote_open:
                raise StreamFault(STREAM_CLOSED, "HEADERS after the end")
            raise StreamFault(PROTOCOL_ERROR, "trailers that do not end the stream")
        self._feed_block(block)
        if block.self_dependent:
            raise StreamFault(PROTOCOL_ERROR, "a stream depends on itself")
        trailers = read_trailers(self._decoder.fields)
        if stream.expected >= 0 and stream.received != stream.expected:
            raise StreamFault(PROTOCOL_ERROR, "content differs from content-length")
        self._end_remote(stream_id, stream, trailers or None)

    def _end_remote(self, stream_id: int, stream: _Stream, trailers: Fields | None) -> None:
        stream.remote_open = False
        if not stream.local_open:
            self._forget(stream_id, BY_END)
        self._handler.on_end(stream_id, trailers)

    def _take_priority(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        """Priorities of RFC 7540 are deprecated and ignored (RFC 9113 5.3.2)."""

    def _take_priority_update(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        self._handler.on_priority(UINT32.unpack_from(payload)[0] & MAX_STREAM_ID, payload[4:])

    def _take_reset(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        if stream_id not in self._streams:
            self._how_closed(stream_id)
            self._budget.useless("late RST_STREAM")
            return
        self._feed(raw)
        self._forget(stream_id, BY_PEER)
        self._handler.on_reset(stream_id, UINT32.unpack(payload)[0], True)
        self._budget.stream_reset()

    def _take_settings(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        settings = self._guard.read_settings(flags, payload)
        if flags & ACK:
            self._feed(raw)
            return
        # Counting makes h2 forget closed streams, whose windows would else overflow, too.
        assert self._h2.open_inbound_streams >= 0
        if settings and settings[0][0] == HEADER_TABLE_SIZE:
            # The smaller one of two in a frame, of which h2 sees the last alone.
            self._h2.encoder.header_table_size = settings[0][1]
        for event in self._feed(settings_frame(settings)):
            if isinstance(event, RemoteSettingsChanged) and settings:
                self._handler.on_window(0)

    def _take_ping(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        for event in self._feed(raw):
            if isinstance(event, PingAckReceived):
                self._handler.on_ping_ack(payload)

    def _take_goaway(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        # Not h2's business: it would stop sending, but the peer still takes its answers.
        self._handler.on_goaway(UINT32.unpack_from(payload, 4)[0])

    def _take_window_update(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        if stream_id and stream_id not in self._streams:
            self._how_closed(stream_id)
            return
        # Anew, because the reserved bit is not to be looked at (RFC 9113 6.9).
        size = UINT32.unpack(payload)[0] & MAX_WINDOW
        for event in self._feed(window_frame(stream_id, size)):
            if isinstance(event, WindowUpdated):
                self._handler.on_window(stream_id)
            elif isinstance(event, StreamReset):  # h2 has found that the window overflows
                self._forget(stream_id, BY_US)
                self._handler.on_reset(stream_id, int(event.error_code), False)
                self._budget.stream_reset()

    def _take_continuation(self, flags: int, stream_id: int, payload: bytes, raw: bytes) -> None:
        raise ConnectionFault(PROTOCOL_ERROR, "CONTINUATION without HEADERS")

    # -- the ends of streams --------------------------------------------------------

    def _how_closed(self, stream_id: int) -> int:
        """Return how a stream that is not open has ended.

        Raises:
            ConnectionFault: It never was open (RFC 9113 5.1, idle).
        """
        if stream_id > self.highest_id or not stream_id & 1:
            raise ConnectionFault(PROTOCOL_ERROR, "frame on an idle stream")
        if stream_id > self._accepting_to:
            return BY_US
        return self._closed.get(stream_id, BY_END)

    def _forget(self, stream_id: int, how: int) -> None:
        del self._streams[stream_id]
        closed = self._closed
        closed[stream_id] = how
        if len(closed) > REMEMBERED:
            del closed[next(iter(closed))]

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
        self._guard.block = None

    # -- output -----------------------------------------------------------------

    def send_headers(self, stream_id: int, fields: Section, end_stream: bool) -> None:
        """Write a field section."""
        self._h2.send_headers(stream_id, fields, end_stream)
        self._flush()
        if end_stream:
            self._end_local(stream_id)

    def send_data(self, stream_id: int, data: bytes, end_stream: bool) -> None:
        """Write one DATA frame."""
        self._h2.send_data(stream_id, data, end_stream)
        self._budget.data_sent += len(data)
        self._flush()
        if end_stream:
            self._end_local(stream_id)

    def send_response(self, stream_id: int, fields: Section, data: bytes) -> None:
        """Write a head and its content."""
        self.send_headers(stream_id, fields, False)
        self.send_data(stream_id, data, True)

    def _end_local(self, stream_id: int) -> None:
        stream = self._streams[stream_id]
        stream.local_open = False
        if not stream.remote_open:
            self._forget(stream_id, BY_END)

    def send_reset(self, stream_id: int, code: int) -> None:
        """End a stream early."""
        try:
            self._h2.reset_stream(stream_id, code)
        except StreamClosedError:  # h2 has seen the DATA that the handler is being told of
            self._write(reset_frame(stream_id, code))
        self._flush()
        self._forget(stream_id, BY_US)

    def send_goaway(self, last_id: int, code: int) -> None:
        """Write GOAWAY. h2's own would end the connection at once."""
        self._accepting_to = min(self._accepting_to, last_id)
        self._write(goaway_frame(self._accepting_to, code))

    def credit(self, stream_id: int, size: int) -> None:
        """Write WINDOW_UPDATE."""
        if stream_id and (stream_id not in self._streams or stream_id == self._ending):
            return
        self._h2.increment_flow_control_window(size, stream_id or None)
        self._flush()


_TAKE: Final[dict[int, Callable[[ReferenceEngine, int, int, bytes, bytes], None]]] = {
    DATA: ReferenceEngine._take_data,  # noqa: SLF001 - its own table
    HEADERS: ReferenceEngine._take_headers,  # noqa: SLF001
    PRIORITY: ReferenceEngine._take_priority,  # noqa: SLF001
    RST_STREAM: ReferenceEngine._take_reset,  # noqa: SLF001
    SETTINGS: ReferenceEngine._take_settings,  # noqa: SLF001
    PING: ReferenceEngine._take_ping,  # noqa: SLF001
    GOAWAY: ReferenceEngine._take_goaway,  # noqa: SLF001
    WINDOW_UPDATE: ReferenceEngine._take_window_update,  # noqa: SLF001
    CONTINUATION: ReferenceEngine._take_continuation,  # noqa: SLF001
    PRIORITY_UPDATE: ReferenceEngine._take_priority_update,  # noqa: SLF001
}

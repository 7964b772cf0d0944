"""h2 as the reference engine uses it: what it keeps, and what is kept from it.

It keeps the field compression, the windows, the settings and the sending side of streams. It
gets frames that are in order only, and never meets a request's fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes, Settings
from hpack import Decoder, HPACKError, OversizedHeaderListError

from granian_core.http2.contract import (
    COMPRESSION_ERROR,
    DEFAULT_WINDOW,
    ENHANCE_YOUR_CALM,
    MAX_FRAME_SIZE,
    MAX_WINDOW,
    PREFACE,
    ConnectionFault,
)
from granian_core.http2.frames import END_HEADERS, END_STREAM, HEADERS, frame

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from h2.events import Event
    from hpack import HeaderTuple

    from granian_core.stream import Fields

_CONFIG: Final = H2Configuration(
    client_side=False,
    header_encoding=None,
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class FieldDecoder(Decoder):
    """hpack's decoder, bounded in fields as in bytes; it keeps what it decoded from h2.

    hpack copies the rest of the block for every literal, so that bytes alone would let a
    block of many tiny fields cost their square.
    """

    def __init__(self, max_bytes: int, max_fields: int) -> None:
        super().__init__(max_bytes)
        self.fields: Fields = []
        self._max_fields = max_fields
        self._decoded = 0
        self._updates = 0

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:
        """Decode a block into `fields`; return nothing, which is all that h2 needs."""
        self._decoded = self._updates = 0
        self.fields = [(bytes(name), bytes(value)) for name, value in super().decode(data, True)]
        return ()

    def decode_unseen(self, data: bytes) -> None:
        """Decode a block that h2 does not get to see: the compression state needs it.

        Raises:
            ConnectionFault: It is invalid, or too large.
        """
        try:
            self.decode(data)
        except OversizedHeaderListError as exc:
            raise ConnectionFault(ENHANCE_YOUR_CALM, "field section too large") from exc
        except HPACKError as exc:
            raise ConnectionFault(COMPRESSION_ERROR, str(exc)) from exc

    def _count(self) -> None:
        self._decoded += 1
        if self._decoded > self._max_fields:
            raise OversizedHeaderListError("too many fields")

    def _decode_indexed(self, data: bytes | memoryview) -> tuple[HeaderTuple, int]:
        self._count()
        return super()._decode_indexed(data)

    def _decode_literal(
        self, data: bytes | memoryview, should_index: bool
    ) -> tuple[HeaderTuple, int]:
        self._count()
        return super()._decode_literal(data, should_index)

    def _update_encoding_context(self, data: bytes | memoryview) -> int:
        # RFC 7541 4.2: at most two updates, and only at the start of a block.
        self._updates += 1
        if self._updates > 2:
            raise HPACKError("too many table size updates")
        return super()._update_encoding_context(data)


class _H2(H2Connection):
    """h2's connection, which need not remember closed streams: the engine does."""

    MAX_CLOSED_STREAMS = 64


class H2Sender:
    """What h2 does for the engine without further ado.

    Args:
        write: Takes what goes to the peer.
        decoder: The decoder of field blocks.
        stream_window: The window that we give to new streams, in bytes.
    """

    __slots__ = ("_h2", "_write")

    def __init__(
        self, write: Callable[[bytes], None], decoder: FieldDecoder, stream_window: int
    ) -> None:
        self._write = write
        self._h2 = _make_h2(decoder, stream_window)

    @property
    def max_frame(self) -> int:
        """The largest frame payload that the peer takes."""
        return self._h2.max_outbound_frame_size

    def _feed(self, raw: bytes) -> list[Event]:
        """Let h2 see a frame that is in order."""
        try:
            events = self._h2.receive_data(raw)
        except ProtocolError as exc:
            self._h2.clear_outbound_data_buffer()
            raise translate(exc) from exc
        self._flush()
        return events

    def _feed_empty_data(self, stream_id: int, ended: bool) -> list[Event]:
        """Let h2 see an empty DATA frame as empty trailers, if it ends the stream.

        It needs no window (RFC 9113 6.9.1), but h2 refuses it where the window is negative.
        """
        return self._feed(frame(HEADERS, END_HEADERS | END_STREAM, stream_id)) if ended else []

    def _flush(self) -> None:
        output = self._h2.data_to_send()
        if output:
            self._write(output)

    def connection_window(self) -> int:
        """Return how many bytes may be sent on all streams together."""
        return self._h2.outbound_flow_control_window

    def window(self, stream_id: int) -> int:
        """Return how many bytes may be sent on a stream."""
        return self._h2.local_flow_control_window(stream_id)

    def send_ping(self, data: bytes) -> None:
        """Write PING."""
        self._h2.ping(data)
        self._flush()

    def send_window_setting(self, size: int) -> None:
        """Write SETTINGS with a larger initial window."""
        self._h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: size})
        self._flush()


def _make_h2(decoder: Decoder, stream_window: int) -> H2Connection:
    """Return an h2 connection that leaves to the engine what the engine decides."""
    connection = _H2(_CONFIG)
    # What we announce to the peer is written by `start`; these are in force at once, so that
    # a peer that has not seen our SETTINGS yet is never refused for using more.
    connection.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: MAX_WINDOW,
            SettingCodes.INITIAL_WINDOW_SIZE: max(stream_window, DEFAULT_WINDOW),
            SettingCodes.MAX_FRAME_SIZE: MAX_FRAME_SIZE,
        },
    )
    if stream_window < DEFAULT_WINDOW:
        # A smaller one applies when the peer has acknowledged it (RFC 9113 6.9.2).
        connection.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = stream_window
    connection.max_inbound_frame_size = MAX_FRAME_SIZE
    connection.decoder = decoder
    connection.receive_data(PREFACE)
    return connection


def translate(exc: ProtocolError) -> ConnectionFault:
    """Return what an error of h2's means on the wire."""
    cause = exc.__cause__
    if isinstance(cause, OversizedHeaderListError):
        return ConnectionFault(ENHANCE_YOUR_CALM, "field section too large")
    if isinstance(cause, HPACKError):
        return ConnectionFault(COMPRESSION_ERROR, str(cause))
    return ConnectionFault(int(exc.error_code), str(exc))

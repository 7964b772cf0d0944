"""The fast engine: frames are cut by index from what was read, with no object for each.

A whole uncompressed message that arrived in one read, which nearly all are, goes from the
bytes to the handler in one method. Whatever else there is (fragments, control frames,
compression, frames that arrive in pieces) takes the longer way below it, which judges
every header before it waits for the payload.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from granian_core.websocket.assembly import Assembly, Fault
from granian_core.websocket.contract import (
    INVALID_DATA,
    MAX_CONTROL_PAYLOAD,
    MESSAGE_TOO_BIG,
    NO_STATUS,
    POLICY_VIOLATION,
    PROTOCOL_ERROR,
    WebSocketHandler,
)
from granian_core.websocket.deflate import MIN_COMPRESSED, Deflater, Inflater
from granian_core.websocket.frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    FIN,
    PING,
    PONG,
    SHARED_MOST,
    TEXT,
    close_frame,
    control_frame,
    data_frame,
    latest,
    unmask,
)

if TYPE_CHECKING:
    from granian_core.settings import WebSocketSettings
    from granian_core.websocket.deflate import DeflateParameters

_WHOLE_TEXT: Final = FIN | TEXT
_WHOLE_BINARY: Final = FIN | BINARY
_OPCODES: Final = frozenset((0, TEXT, BINARY, CLOSE, PING, PONG))
_CODES: Final = frozenset(
    (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, *range(3000, 5000))
)
"""Close codes that a peer may send (RFC 6455 7.4)."""


class FastEngine:
    """Implements `WebSocketEngine`."""

    __slots__ = (
        "_closed",
        "_data",
        "_deflater",
        "_fin",
        "_handler",
        "_inflater",
        "_key",
        "_left",
        "_message",
        "_position",
        "_running",
        "_settings",
        "_waiting",
        "_whole",
        "held",
    )

    def __init__(
        self,
        handler: WebSocketHandler,
        settings: WebSocketSettings,
        deflate: DeflateParameters | None,
    ) -> None:
        self._handler = handler
        self._settings = settings
        self._whole = min(settings.max_frame_size, settings.max_message_size)
        self._inflater = None if deflate is None else Inflater(deflate, settings)
        self._deflater = None if deflate is None else Deflater(deflate)
        self._message: Assembly | None = None
        self._data = b""
        self._position = 0
        self._waiting: list[bytes] | None = None  # what came while held, behind _data
        self._left = 0  # bytes of the data frame in progress that are still to come
        self._key = b""
        self._fin = False
        self._running = False
        self._closed = False
        self.held = False

    @property
    def in_message(self) -> bool:
        """Whether the peer has begun a message that is not complete."""
        return self._message is not None

    # -- in ----------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._closed:
            return
        if self.held or self._running:
            if self._waiting is None:
                self._waiting = []
            self._waiting.append(data)
            return
        # Not held, so what is left is less than a header and a control frame's payload.
        self._advance(self._data + data if self._data else data, 0)

    def hold(self) -> None:
        """Report nothing further until `resume`."""
        self.held = True

    def resume(self) -> None:
        """Go on with what was kept."""
        self.held = False
        if not self._running and not self._closed:
            self._advance(self._data, self._position)

    def close(self) -> None:
        """Parse nothing any more."""
        self._closed = True
        self._data = b""
        self._message = self._waiting = None

    def _advance(self, data: bytes, position: int) -> None:
        """Report what *data* holds from *position* on, and keep the rest."""
        self._running = True
        try:
            while True:
                position = self._parse(data, position)
                if self._waiting is None or self.held or self._closed:
                    break
                data = data[position:] + b"".join(self._waiting)
                self._waiting = None
                position = 0
        except Fault as fault:
            self.close()
            self._handler.on_error(fault.code, str(fault))
        finally:
            self._running = False
        if self._closed:
            return
        if self.held:
            self._data = data  # not cut: it may be resumed for each of many messages
            self._position = position
        else:
            self._data = data[position:]
            self._position = 0

    def _parse(self, data: bytes, position: int) -> int:
        """Report until *data* ends, or somebody holds or closes; return where that was."""
        end = len(data)
        while not self.held and not self._closed and position < end:
            first = data[position]
            if (
                _WHOLE_TEXT <= first <= _WHOLE_BINARY
                and self._message is None
                and position + 8 <= end
            ):
                size = data[position + 1] - 128
                start = position + 6
                if size == 126:
                    start = position + 8
                    size = data[position + 2] << 8 | data[position + 3]
                    if size < 126:
                        size = -1  # not in its shortest form: refused below
                elif size == 127:
                    size = -1
                if 0 <= size <= self._whole and start + size <= end:
                    position = start + size
                    payload = unmask(data[start - 4 : position])
                    if first == _WHOLE_BINARY:
                        self._handler.on_message(bytes(payload))
                    else:
                        try:
                            text = str(payload, "utf-8")
                        except UnicodeDecodeError as exc:
                            raise Fault(INVALID_DATA, str(exc)) from None
                        self._handler.on_message(text)
                    continue
            after = self._take_more(data, position, end)
            if after == position:
                break
            position = after
        return position

    # -- the longer way ------------------------------------------------------------

    def _take_more(self, data: bytes, position: int, end: int) -> int:
        """Take the rest of a frame, or a frame from its header on.

        Returns:
            Where it ends; *position* if more has to come first.

        Raises:
            Fault: The peer is at fault.
        """
        if self._left:
            return self._take_payload(data, position, end)
        if end - position < 2:
            return position
        first = data[position]
        opcode = first & 15
        size = data[position + 1] & 127
        if opcode not in _OPCODES:
            raise Fault(PROTOCOL_ERROR, "unknown opcode")
        if opcode >= CLOSE:
            _check_control(first, size)
        start = position + 2
        if size > 125:
            start += 2 if size == 126 else 8
            if end < start:
                return position
            size = _long_size(data[position + 2 : start])
        if opcode < CLOSE:
            self._check_data(opcode, size)
        if first & 0x30 or (first & COMPRESSED and not self._may_compress(opcode)):
            raise Fault(PROTOCOL_ERROR, "reserved bit set")
        if not data[position + 1] & 128:
            raise Fault(PROTOCOL_ERROR, "frame is not masked")
        start += 4
        if opcode >= CLOSE:
            if end < start + size:
                return position
            self._take_control(opcode, bytes(unmask(data[start - 4 : start + size])))
            return start + size
        if end < start:
            return position
        self._begin_frame(first, size)
        self._key = data[start - 4 : start]
        return self._take_payload(data, start, end)

    def _check_data(self, opcode: int, size: int) -> None:
        """Judge the header of a data frame."""
        message = self._message
        total = fragments = 0
        if message is not None:
            total, fragments = message.total, message.fragments
        if (opcode == 0) is (message is None):
            raise Fault(PROTOCOL_ERROR, "continuation out of place")
        settings = self._settings
        # Compressed or not: no compressor makes a message longer but by a few bytes.
        if size > settings.max_frame_size or total + size > settings.max_message_size:
            raise Fault(MESSAGE_TOO_BIG, "message too big")
        if fragments >= settings.max_fragments:
            raise Fault(POLICY_VIOLATION, "too many fragments")

    def _may_compress(self, opcode: int) -> bool:
        """Whether RSV1 has a meaning here: only on the first frame of a message (RFC 7692 6)."""
        return self._inflater is not None and 0 < opcode < CLOSE

    def _begin_frame(self, first: int, size: int) -> None:
        message = self._message
        if message is None:
            inflater = self._inflater if first & COMPRESSED else None
            message = self._message = Assembly(inflater, text=first & 15 == TEXT)
        message.total += size
        message.fragments += 1
        self._left = size
        self._fin = first >= FIN

    def _take_payload(self, data: bytes, position: int, end: int) -> int:
        """Take what there is of a data frame's payload."""
        message = self._message
        assert message is not None, "a data frame is in progress"
        size = min(self._left, end - position)
        if size:
            key = self._key
            self._left -= size
            message.add(unmask(key + data[position : position + size]))
            turned = size & 3
            if turned:
                self._key = key[turned:] + key[:turned]
        if not self._left and self._fin:
            whole = message.finish()
            self._message = None
            self._handler.on_message(whole)
        return position + size

    def _take_control(self, opcode: int, payload: bytes) -> None:
        if opcode == PING:
            self._handler.on_ping(payload)
        elif opcode == PONG:
            self._handler.on_pong(payload)
        else:
            code, reason = _read_close(payload)
            self.close()
            self._handler.on_close(code, reason)

    # -- out ---------------------------------------------------------------------

    def message_frame(self, message: str | bytes) -> bytes:
        """Return *message* as one frame."""
        deflater = self._deflater
        if deflater is not None and len(message) >= MIN_COMPRESSED // 4:
            return self._compressed_frame(deflater, message)
        kept, frame = latest.plain
        if kept is message:
            return frame
        if isinstance(message, str):
            frame = data_frame(TEXT, message.encode())
        else:
            frame = data_frame(BINARY, message)
        if len(frame) <= SHARED_MOST:
            latest.plain = (message, frame)
        return frame

    def _compressed_frame(self, deflater: Deflater, message: str | bytes) -> bytes:
        bits = deflater.shared_bits
        if bits:
            kept, kept_bits, frame = latest.packed
            if kept is message and kept_bits == bits:
                return frame
        if isinstance(message, str):
            opcode, payload = TEXT, message.encode()
        else:
            opcode, payload = BINARY, message
        if len(payload) < MIN_COMPRESSED:
            return data_frame(opcode, payload)
        frame = data_frame(opcode | COMPRESSED, deflater.deflate(payload))
        if bits and len(payload) <= SHARED_MOST:
            latest.packed = (message, bits, frame)
        return frame

    def ping_frame(self, payload: bytes) -> bytes:
        """Return a ping."""
        return control_frame(PING, payload)

    def pong_frame(self, payload: bytes) -> bytes:
        """Return a pong."""
        return control_frame(PONG, payload)

    def close_frame(self, code: int, reason: str) -> bytes:
        """Return a close frame."""
        return close_frame(code, reason)


def _decode(payload: bytes) -> str:
    """Return the text of a close frame."""
    try:
        return str(payload, "utf-8")
    except UnicodeDecodeError as exc:
        raise Fault(INVALID_DATA, str(exc)) from None


def _check_control(first: int, size: int) -> None:
    """Judge the first two bytes of a control frame (RFC 6455 5.5)."""
    if not first & FIN:
        raise Fault(PROTOCOL_ERROR, "fragmented control frame")
    if size > MAX_CONTROL_PAYLOAD:
        raise Fault(PROTOCOL_ERROR, "control frame too long")


def _long_size(field: bytes) -> int:
    """Return a length of 16 or 64 bits, which has to be the shortest form (RFC 6455 5.2)."""
    size = int.from_bytes(field, "big")
    if size <= (MAX_CONTROL_PAYLOAD if len(field) == 2 else 65_535):
        raise Fault(PROTOCOL_ERROR, "length not in its shortest form")
    if size >> 63:
        raise Fault(PROTOCOL_ERROR, "length above 63 bits")
    return size


def _read_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a close frame (RFC 6455 5.5.1)."""
    if not payload:
        return NO_STATUS, ""
    code = int.from_bytes(payload[:2], "big")
    if len(payload) == 1 or code not in _CODES:
        raise Fault(PROTOCOL_ERROR, "invalid close code")
    return code, _decode(payload[2:])

"""The reference engine: wsproto reads and writes the frames; what it lacks is added here.

wsproto streams the payload of a frame as it arrives and checks no size: `LengthGuard` sees
every header before its payload is read. Unmasking is wsproto's too: it translates four
strided slices, in C. Measured (CPython 3.11, bytes: µs): 32: 1.8, 1 Ki: 5, 64 Ki: 105,
1 Mi: 1220; one XOR of two big integers, the usual replacement: 0.9, 5.7, 327, 3290.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsproto.extensions import Extension, PerMessageDeflate
from wsproto.frame_protocol import CloseReason, FrameProtocol, Opcode, ParseFailed, RsvBits

from granian_core.websocket.contract import MAX_CONTROL_PAYLOAD, NO_STATUS, WebSocketHandler
from granian_core.websocket.deflate import MIN_COMPRESSED, Deflater, InflateError, Inflater

if TYPE_CHECKING:
    from wsproto.frame_protocol import Frame, FrameDecoder

    from granian_core.settings import WebSocketSettings
    from granian_core.websocket.deflate import DeflateParameters

_NO_RSV: Final = RsvBits(False, False, False)

GATHERED: Final = 256
"""Pieces of a message that are joined into one, so that tiny ones cost no objects."""


class LengthGuard(Extension):
    """Looks at every frame header; refuses what would be too much before it is read."""

    name = "length-guard"

    def __init__(self, settings: WebSocketSettings) -> None:
        self._max_message = settings.max_message_size
        self._max_frame = settings.max_frame_size
        self._max_fragments = settings.max_fragments
        self._total = 0
        self._fragments = 0
        self._length = 0
        self._control = False
        self._open = False

    def enabled(self) -> bool:
        """Yes: it is never negotiated."""
        return True

    def offer(self) -> bool | str:
        """Nothing: it is never negotiated."""
        return False

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Judge a frame by its header.

        wsproto asks again, with the same answer, when a header arrives in pieces; so frames
        are counted when they are complete.
        """
        if opcode >= Opcode.CLOSE:
            self._control = True
            return _NO_RSV
        self._control = False
        if (opcode is Opcode.CONTINUATION) is not self._open:
            # wsproto sees it too, but only once payload has come.
            return CloseReason.PROTOCOL_ERROR
        if not self._open:
            self._total = self._fragments = 0
        self._length = payload_length
        # Compressed or not: no compressor makes a message longer but by a few bytes.
        if payload_length > self._max_frame or self._total + payload_length > self._max_message:
            return CloseReason.MESSAGE_TOO_BIG
        if self._fragments >= self._max_fragments:
            return CloseReason.POLICY_VIOLATION
        return _NO_RSV

    def frame_inbound_complete(self, proto: FrameDecoder | FrameProtocol, fin: bool) -> None:
        """Count a data frame towards its message."""
        if not self._control:
            self._total += self._length
            self._fragments += 1
            self._open = not fin


class BoundedDeflate(PerMessageDeflate):
    """wsproto's extension, which inflates whatever a frame holds in one go, with bounds.

    Args:
        parameters: What was agreed.
        settings: The message limit and the ratio.
    """

    def __init__(self, parameters: DeflateParameters, settings: WebSocketSettings) -> None:
        super().__init__()
        self._enabled = True
        self._inflater = Inflater(parameters, settings)
        self._deflater = Deflater(parameters)

    def frame_inbound_header(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        payload_length: int,
    ) -> CloseReason | RsvBits:
        """Judge the bit, and note where a message begins."""
        control = opcode.iscontrol()
        if rsv.rsv1 and (control or opcode is Opcode.CONTINUATION):
            return CloseReason.PROTOCOL_ERROR
        self._inbound_is_compressible = not control
        if self._inbound_compressed is None and not control:
            self._inbound_compressed = rsv.rsv1
            self._inflater.begin()
        return RsvBits(True, False, False)

    def frame_inbound_payload_data(
        self, proto: FrameDecoder | FrameProtocol, data: bytes
    ) -> bytes | CloseReason:
        """Inflate a piece of a compressed message."""
        if not self._inbound_compressed or not self._inbound_is_compressible:
            return data
        try:
            return self._inflater.inflate(data)
        except InflateError as exc:
            return CloseReason(exc.code)

    def frame_inbound_complete(
        self, proto: FrameDecoder | FrameProtocol, fin: bool
    ) -> bytes | CloseReason | None:
        """Inflate what the end of a compressed message still holds."""
        if not fin or not self._inbound_is_compressible:
            return None
        compressed, self._inbound_compressed = self._inbound_compressed, None
        if not compressed:
            return None
        try:
            return self._inflater.finish()
        except InflateError as exc:
            return CloseReason(exc.code)

    def frame_outbound(
        self,
        proto: FrameDecoder | FrameProtocol,
        opcode: Opcode,
        rsv: RsvBits,
        data: bytes,
        fin: bool,
    ) -> tuple[RsvBits, bytes]:
        """Compress a message, which is always one frame; small ones stay as they are."""
        if len(data) < MIN_COMPRESSED or opcode.iscontrol():
            return rsv, data
        return RsvBits(True, False, False), self._deflater.deflate(data)


class ReferenceEngine:
    """Implements `WebSocketEngine` on wsproto's `FrameProtocol`."""

    __slots__ = ("_closed", "_fresh", "_handler", "_parts", "_running", "_wsproto", "held")

    def __init__(
        self,
        handler: WebSocketHandler,
        settings: WebSocketSettings,
        deflate: DeflateParameters | None,
    ) -> None:
        extensions: list[Extension] = [LengthGuard(settings)]
        if deflate is not None:
            extensions.append(BoundedDeflate(deflate, settings))
        self._handler = handler
        self._wsproto = FrameProtocol(client=False, extensions=extensions)
        self._parts: list[str] | list[bytes] | None = None
        self._closed = False
        self._fresh = 0
        self._running = False
        self.held = False

    @property
    def in_message(self) -> bool:
        """Whether the peer has begun a message that is not complete."""
        return self._parts is not None

    # -- in ----------------------------------------------------------------------

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._closed:
            return
        self._wsproto.receive_bytes(data)
        self._advance()

    def hold(self) -> None:
        """Report nothing further until `resume`."""
        self.held = True

    def resume(self) -> None:
        """Go on with what was kept."""
        self.held = False
        self._advance()

    def close(self) -> None:
        """Parse nothing any more."""
        self._closed = True
        self._parts = None

    def _advance(self) -> None:
        if self._running or self._stopped():
            return
        self._running = True
        try:
            for frame in self._wsproto.received_frames():
                self._take(frame)
                if self._stopped():
                    break
        except ParseFailed as exc:
            self._fail(int(exc.code), str(exc))
        finally:
            self._running = False

    def _stopped(self) -> bool:
        return self.held or self._closed

    def _fail(self, code: int, reason: str) -> None:
        self.close()
        self._handler.on_error(code, reason)

    def _take(self, frame: Frame) -> None:
        opcode = frame.opcode
        if opcode < Opcode.CLOSE:
            if frame.message_finished and self._parts is None:
                self._handler.on_message(frame.payload)  # type: ignore[arg-type]
            else:
                self._gather(frame)
        elif opcode is Opcode.PING:
            self._handler.on_ping(frame.payload)  # type: ignore[arg-type]
        elif opcode is Opcode.PONG:
            self._handler.on_pong(frame.payload)  # type: ignore[arg-type]
        else:
            assert isinstance(frame.payload, tuple)
            code, reason = frame.payload
            self.close()
            self._handler.on_close(int(code), reason)

    def _gather(self, frame: Frame) -> None:
        """Keep a piece of a message; report the message once it is complete."""
        text = frame.opcode is Opcode.TEXT
        parts = self._parts
        if parts is None:
            parts = self._parts = []
            self._fresh = 0
        if frame.payload:
            parts.append(frame.payload)  # type: ignore[arg-type]
            self._fresh += 1
        if frame.message_finished:
            self._parts = None
            self._handler.on_message(_join(parts, text=text))
        elif self._fresh == GATHERED:
            # An object for each byte would cost fifty times the message.
            parts[-GATHERED:] = [_join(parts[-GATHERED:], text=text)]  # type: ignore[list-item]
            self._fresh = 0

    # -- out ---------------------------------------------------------------------

    def message_frame(self, message: str | bytes) -> bytes:
        """Return *message* as one frame."""
        return bytes(self._wsproto.send_data(message))

    def ping_frame(self, payload: bytes) -> bytes:
        """Return a ping."""
        _check_control(payload)
        return bytes(self._wsproto.ping(payload))

    def pong_frame(self, payload: bytes) -> bytes:
        """Return a pong."""
        _check_control(payload)
        return bytes(self._wsproto.pong(payload))

    def close_frame(self, code: int, reason: str) -> bytes:
        """Return a close frame."""
        if code == NO_STATUS:
            return bytes(self._wsproto.close())
        return bytes(self._wsproto.close(code, reason))


def _join(parts: list[str] | list[bytes], *, text: bool) -> str | bytes:
    if text:
        return "".join(parts)  # type: ignore[arg-type]
    return b"".join(parts)  # type: ignore[arg-type]


def _check_control(payload: bytes) -> None:
    if len(payload) > MAX_CONTROL_PAYLOAD:
        raise ValueError("the payload of a control frame has at most 125 bytes")

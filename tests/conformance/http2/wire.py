"""HTTP/2 bytes built and read by hand: nothing here comes from the code under test."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

from hpack import Decoder

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS = 0, 1, 2, 3, 4
PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 5, 6, 7, 8, 9
PRIORITY_UPDATE = 16

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8
WITH_PRIORITY = 0x20

NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11

Pair = tuple[bytes, bytes]

PROBE = b"battery!"


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """Return one frame; *stream* may hold the reserved bit."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def integer(value: int, bits: int, first: int = 0) -> bytes:
    """Return an HPACK integer (RFC 7541 5.1)."""
    most = (1 << bits) - 1
    if value < most:
        return bytes((first | value,))
    out = bytearray((first | most,))
    value -= most
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def literal(name: bytes, value: bytes) -> bytes:
    """Return a literal field without indexing and without Huffman (RFC 7541 6.2.2)."""
    return b"\0" + integer(len(name), 7) + name + integer(len(value), 7) + value


def block(fields: list[Pair]) -> bytes:
    """Return a field block."""
    return b"".join(literal(*pair) for pair in fields)


def pseudo(
    method: bytes | None = b"GET",
    path: bytes | None = b"/",
    scheme: bytes | None = b"http",
    authority: bytes | None = b"example.org",
) -> list[Pair]:
    """Return the pseudo-headers of a request; None leaves one out."""
    pairs = [
        (b":method", method),
        (b":scheme", scheme),
        (b":authority", authority),
        (b":path", path),
    ]
    return [(name, value) for name, value in pairs if value is not None]


def headers(
    stream: int, fields: list[Pair], *, end: bool = True, flags: int = END_HEADERS
) -> bytes:
    """Return a HEADERS frame."""
    return frame(HEADERS, flags | (END_STREAM if end else 0), stream, block(fields))


def get(stream: int = 1, *more: Pair, path: bytes = b"/") -> bytes:
    """Return a GET."""
    return headers(stream, [*pseudo(path=path), *more])


def post(stream: int = 1, *more: Pair, path: bytes = b"/") -> bytes:
    """Return the HEADERS of a POST whose body follows."""
    return headers(stream, [*pseudo(b"POST", path), *more], end=False)


def data(payload: bytes = b"", stream: int = 1, *, end: bool = False) -> bytes:
    """Return a DATA frame."""
    return frame(DATA, END_STREAM if end else 0, stream, payload)


def settings(*pairs: tuple[int, int]) -> bytes:
    """Return a SETTINGS frame."""
    return frame(SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def window(size: int, stream: int = 0) -> bytes:
    """Return a WINDOW_UPDATE frame."""
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def rst(stream: int = 1, code: int = CANCEL) -> bytes:
    """Return a RST_STREAM frame."""
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def ping(payload: bytes = PROBE, *, ack: bool = False) -> bytes:
    """Return a PING frame."""
    return frame(PING, ACK if ack else 0, 0, payload)


def priority(stream: int, depends_on: int = 0, weight: int = 15) -> bytes:
    """Return a PRIORITY frame."""
    return frame(PRIORITY, 0, stream, struct.pack(">IB", depends_on, weight))


def goaway(last: int = 0, code: int = 0, debug: bytes = b"") -> bytes:
    """Return a GOAWAY frame."""
    return frame(GOAWAY, 0, 0, struct.pack(">II", last, code) + debug)


HELLO = PREFACE + settings()
"""How a client begins."""


@dataclass(slots=True)
class Answer:
    """What the server said on one stream."""

    status: int = 0
    informational: list[int] = field(default_factory=list)
    headers: list[Pair] = field(default_factory=list)
    body: bytes = b""
    trailers: list[Pair] = field(default_factory=list)
    ended: bool = False
    reset: int | None = None

    def header(self, name: bytes) -> bytes | None:
        """Return the first value of *name*."""
        return next((value for key, value in self.headers if key == name), None)


class Reader:
    """Reads what a server sends, frame by frame, and checks that it may say so."""

    def __init__(self) -> None:
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.answers: dict[int, Answer] = {}
        self.goaways: list[tuple[int, int]] = []
        self.pings: list[bytes] = []
        self.acked_pings: list[bytes] = []
        self.settings: dict[int, int] = {}
        self.settings_acks = 0
        self.credits: dict[int, int] = {}
        self._buffer = b""
        self._decoder = Decoder()
        self._block = b""
        self._block_of = (0, 0)

    def feed(self, received: bytes) -> None:
        """Take bytes from the server."""
        self._buffer += received
        while len(self._buffer) >= 9:
            size = int.from_bytes(self._buffer[:3], "big")
            if len(self._buffer) < 9 + size:
                break
            kind, flags, stream = struct.unpack_from(">BBI", self._buffer, 3)
            payload = self._buffer[9 : 9 + size]
            self._buffer = self._buffer[9 + size :]
            if not self.frames:
                assert (kind, flags) == (SETTINGS, 0), "SETTINGS come first"
            self.frames.append((kind, flags, stream, payload))
            self._take(kind, flags, stream, payload)

    def answer(self, stream: int) -> Answer:
        """Return what was said on *stream*."""
        return self.answers.setdefault(stream, Answer())

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind in (HEADERS, CONTINUATION):
            self._take_block(kind, flags, stream, payload)
        elif kind == DATA:
            answer = self.answer(stream)
            assert answer.status >= 200
            assert not answer.ended
            assert answer.reset is None
            answer.body += payload
            answer.ended = bool(flags & END_STREAM)
        elif kind == RST_STREAM:
            answer = self.answer(stream)
            (answer.reset,) = struct.unpack(">I", payload)
        elif kind == GOAWAY:
            self.goaways.append(struct.unpack_from(">II", payload))
        elif kind == PING:
            (self.acked_pings if flags & ACK else self.pings).append(payload)
        elif kind == SETTINGS:
            if flags & ACK:
                self.settings_acks += 1
            else:
                self.settings.update(struct.iter_unpack(">HI", payload))
        elif kind == WINDOW_UPDATE:
            (size,) = struct.unpack(">I", payload)
            assert size > 0
            self.credits[stream] = self.credits.get(stream, 0) + size
        else:
            raise AssertionError(f"a server does not send frames of type {kind}")

    def _take_block(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == HEADERS:
            assert not flags & (PADDED | WITH_PRIORITY)
            self._block_of = (stream, flags)
            self._block = b""
        self._block += payload
        if not flags & END_HEADERS:
            return
        stream, flags = self._block_of
        fields = [(bytes(n), bytes(v)) for n, v in self._decoder.decode(self._block, raw=True)]
        answer = self.answer(stream)
        assert not answer.ended
        if answer.status >= 200:
            assert flags & END_STREAM
            answer.trailers = fields
        else:
            name, status = fields[0]
            assert name == b":status"
            if int(status) < 200:
                answer.informational.append(int(status))
            else:
                answer.status = int(status)
                answer.headers = fields[1:]
        assert all(name == name.lower() for name, _ in fields)
        answer.ended = bool(flags & END_STREAM)

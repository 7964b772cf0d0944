"""Streams of HTTP/2 frames at random: mostly in order, with faults of every kind among them."""

from __future__ import annotations

import random
import struct

from hpack import Encoder
from hpack.struct import NeverIndexedHeaderTuple

from granian_core.http2.contract import PREFACE
from granian_core.http2.frames import (
    ACK,
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    GOAWAY,
    HEADERS,
    PADDED,
    PING,
    PRIORITY,
    PRIORITY_FLAG,
    PRIORITY_UPDATE,
    PUSH_PROMISE,
    RST_STREAM,
    frame,
    ping_frame,
    reset_frame,
    settings_frame,
    window_frame,
)

Pairs = list[tuple[bytes, bytes]]

PATHS = (b"/", b"/now", b"/big", b"/hints", b"/reset", b"/full", b"/hold", b"/a%20b?c=d")
WINDOWS = (0, 1, 5, 1000, 65_535, 70_000, 0x7FFF_0000, 0x7FFF_FFFF)
FIELDS: Pairs = [
    (b"accept", b"*/*"), (b"accept", b"text/html"), (b"cookie", b"a=b"), (b"cookie", b"c=d"),
    (b"user-agent", b"x" * 50), (b"x-long", b"y" * 300), (b"priority", b"u=1"),
    (b"expect", b"100-continue"), (b"te", b"trailers"), (b"host", b"a"),
]  # fmt: skip
FAULTS: Pairs = [
    (b"Upper", b"x"), (b"connection", b"close"), (b"a b", b"c"), (b"x", b" y"), (b"x", b"a\nb"),
    (b":late", b"x"), (b"te", b"gzip"), (b"content-length", b"x"), (b"host", b"b"), (b"", b""),
    (b"expect", b"something"), (b"transfer-encoding", b"chunked"), (b"x", b"\x7f"),
]  # fmt: skip


class Session:
    """One client's bytes, with its compression state."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.encoder = Encoder()
        self.blocks: list[bytes] = []
        self.next_id = 1
        self.used: list[int] = []

    def stream_id(self) -> int:
        """Return a stream to say something about: mostly one in use."""
        rng = self.rng
        if self.used and rng.random() < 0.9:
            return rng.choice(self.used[-4:])
        return rng.choice((0, 1, 2, 3, 7, 99, self.next_id, 0x7FFF_FFFF))

    def new_id(self) -> int:
        """Return the next stream's identifier, sometimes with a gap, seldom a wrong one."""
        rng = self.rng
        if rng.random() < 0.03:
            return self.stream_id()
        if rng.random() < 0.1:
            self.next_id += 2 * rng.randint(1, 3)
        self.next_id += 2
        self.used.append(self.next_id - 2)
        return self.next_id - 2

    def head(self) -> Pairs:
        """Return the fields of a request, sometimes malformed."""
        rng = self.rng
        method = rng.choice((b"GET", b"POST", b"HEAD", b"OPTIONS"))
        pairs = [
            (b":method", method), (b":scheme", b"http"), (b":path", rng.choice(PATHS)),
            (b":authority", b"a"),
        ]  # fmt: skip
        pairs += rng.choices(FIELDS, k=rng.choice((0, 0, 1, 2, 5, 30)))
        if rng.random() < 0.15:
            pairs.append((b"content-length", rng.choice((b"0", b"4", b"10", b"16384"))))
        if rng.random() < 0.06:
            pairs.insert(rng.randint(0, len(pairs)), rng.choice(FAULTS))
        if rng.random() < 0.03:
            del pairs[rng.randrange(4)]
        if rng.random() < 0.03:
            pairs = [(b":method", b"CONNECT"), (b":protocol", rng.choice((b"websocket", b"x"))),
                     *pairs[1:]]  # fmt: skip
        return pairs

    def block(self, pairs: Pairs) -> bytes:
        """Return a field block; sometimes one that was sent before, with what it inserts."""
        rng = self.rng
        if self.blocks and rng.random() < 0.15:
            return rng.choice(self.blocks)
        if rng.random() < 0.05:
            self.encoder.header_table_size = rng.choice((0, 100, 4096))
        if rng.random() < 0.1:
            pairs = [NeverIndexedHeaderTuple(*pair) for pair in pairs]
        self.blocks.append(self.encoder.encode(pairs, huffman=rng.random() < 0.7))
        return self.blocks[-1]

    def headers(self, stream_id: int, pairs: Pairs, *, end: bool) -> bytes:
        """Return HEADERS, sometimes padded, with a priority, or in several frames."""
        rng = self.rng
        block = self.block(pairs)
        flags = END_STREAM if end else 0
        if rng.random() < 0.1:
            flags |= PRIORITY_FLAG
            parent = stream_id if rng.random() < 0.1 else 0
            block = struct.pack(">IB", parent, 7) + block
        padding = b""
        if rng.random() < 0.1:
            flags |= PADDED
            padding = bytes(rng.randint(0, 9))
        first = block
        rest: list[bytes] = []
        if rng.random() < 0.15:
            at = rng.randint(0, len(block))
            first, rest = block[:at], [block[at:]]
            rest += [b""] * rng.choice((0, 0, 1, 9))
        else:
            flags |= END_HEADERS
        if flags & PADDED:
            first = bytes((len(padding),)) + first + padding
        out = frame(HEADERS, flags, stream_id, first)
        for number, part in enumerate(rest, 1):
            last = number == len(rest)
            out += frame(CONTINUATION, END_HEADERS if last else 0, stream_id, part)
        return out

    def request(self) -> bytes:
        """Return a request, maybe with content and trailers; maybe one sent before."""
        rng = self.rng
        stream_id = self.new_id()
        if rng.random() < 0.5:
            return self.headers(stream_id, self.head(), end=True)
        out = self.headers(stream_id, self.head(), end=False)
        if rng.random() < 0.6:
            out += self.data(stream_id, end=rng.random() < 0.7)
        return out

    def data(self, stream_id: int, *, end: bool) -> bytes:
        """Return DATA."""
        rng = self.rng
        content = rng.choice((b"", b"abcd", b"stop", b"x" * 10, b"x" * 700, b"x" * 16_000))
        flags = END_STREAM if end else 0
        if rng.random() < 0.15:
            padding = rng.randint(0, 20)
            content = bytes((padding,)) + content + bytes(padding)
            flags |= PADDED
        return frame(DATA, flags, stream_id, content)

    def trailers(self) -> bytes:
        """Return a trailer section."""
        rng = self.rng
        pairs = rng.choices([*FIELDS[:2], (b"x", b"y")], k=rng.randint(0, 3))
        if rng.random() < 0.2:
            pairs.append(rng.choice(FAULTS))
        return self.headers(self.stream_id(), pairs, end=rng.random() < 0.9)

    def control(self) -> bytes:
        """Return one of the other frames."""
        rng = self.rng
        stream_id = self.stream_id()
        kind = rng.randrange(12)
        if kind <= 1:
            return window_frame(rng.choice((0, stream_id)), rng.choice(WINDOWS))
        if kind <= 3:
            return settings_frame(self.settings())
        simple = {
            4: ping_frame(b"12345678", ack=rng.random() < 0.5),
            5: reset_frame(stream_id, rng.choice((0, 8, 99))),
            6: frame(PRIORITY, 0, stream_id, struct.pack(">IB", rng.choice((0, stream_id)), 1)),
            7: frame(PRIORITY_UPDATE, 0, 0, struct.pack(">I", stream_id) + b"u=1"),
            8: frame(GOAWAY, 0, 0, struct.pack(">II", 0, 0) + b"bye"),
            9: frame(rng.choice((PUSH_PROMISE, 0x20, 0xEE)), 0, stream_id, b"data"),
            10: frame(4, ACK, 0),
        }
        return simple.get(kind) or self.wrong()

    def settings(self) -> list[tuple[int, int]]:
        """Return SETTINGS, mostly allowed."""
        rng = self.rng
        every = [
            (1, rng.choice((0, 100, 4096, 65_536))), (2, rng.choice((0, 0, 1, 2))), (3, 100),
            (4, rng.choice(WINDOWS)), (5, rng.choice((16_384, 20_000, 1 << 23, 5))), (6, 100),
            (8, 1), (9, rng.choice((0, 1))), (0x99, 7),
        ]  # fmt: skip
        return rng.sample(every, rng.randint(0, 4))

    def wrong(self) -> bytes:
        """Return a frame of a wrong size, on a wrong stream, or out of place."""
        rng = self.rng
        kind = rng.choice((DATA, HEADERS, PRIORITY, RST_STREAM, PING, GOAWAY, 8, CONTINUATION, 4))
        flags = rng.choice((0, 1, 4, 5, PADDED, PRIORITY_FLAG))
        size = rng.choice((0, 1, 4, 5, 6, 8, 12))
        return frame(kind, flags, rng.choice((0, self.stream_id())), rng.randbytes(size))


def stream(rng: random.Random, most: int = 12) -> bytes:
    """Return what one client sends."""
    session = Session(rng)
    parts = [PREFACE, settings_frame(session.settings() if rng.random() < 0.2 else [])]
    for _ in range(rng.randint(1, most)):
        choice = rng.random()
        if choice < 0.5:
            parts.append(session.request())
        elif choice < 0.7:
            parts.append(session.data(session.stream_id(), end=rng.random() < 0.4))
        elif choice < 0.76:
            parts.append(session.trailers())
        else:
            parts.append(session.control())
    if rng.random() < 0.1:
        parts.insert(rng.randint(0, len(parts)), rng.choice(parts))
    return b"".join(parts)


def mutate(rng: random.Random, wire: bytes) -> bytes:
    """Return *wire* as it is, or damaged in a few places behind the preface."""
    if rng.random() < 0.6:
        return wire
    damaged = bytearray(wire)
    for _ in range(rng.choice((1, 1, 2, 5))):
        at = rng.randrange(0 if rng.random() < 0.02 else len(PREFACE), len(damaged))
        choice = rng.random()
        if choice < 0.6:
            damaged[at] = rng.choice((0, 1, 0x80, 0xFF, rng.randrange(256)))
        elif choice < 0.8:
            del damaged[at : at + rng.choice((1, 1, 9, 40))]
        else:
            damaged[at:at] = rng.randbytes(rng.choice((1, 9)))
        if len(damaged) <= len(PREFACE):
            break
    return bytes(damaged)

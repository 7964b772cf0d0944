"""Make the bytes of WebSocket clients: valid ones, and damaged ones.

The generator takes any `random.Random`, so that hypothesis can drive (and shrink) it and
the long-running fuzzer can seed it.
"""

from __future__ import annotations

import random
import struct
import zlib

from granian_core.websocket.deflate import DeflateParameters
from tests.core.websocket.wire import BINARY, CLOSE, CONT, PING, PONG, TEXT, frame

WORDS = (
    b"", b"a", b"hello", "κόσμε".encode(), "€😀".encode(), b"\xff", b"\xe2\x82", b"\xac",
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\xaf", b"\x00", b"\x80\xbf", b"x" * 130,
    b"y" * 700, "é".encode() * 90, b"\xf0\x9f", b"\x98\x80",
)  # fmt: skip
"""What payloads are made of: UTF-8 that is right, wrong, or cut."""
CODES = (1000, 1001, 1004, 1005, 1006, 1011, 1012, 1013, 1015, 2999, 3000, 4999, 5000, 0, 65_535)
OPCODES = (CONT, TEXT, BINARY, CLOSE, PING, PONG)


class Sender:
    """A client that writes messages as it likes.

    Args:
        rng: Where its choices come from.
        deflate: The compression agreed on, or None.
    """

    def __init__(self, rng: random.Random, deflate: DeflateParameters | None) -> None:
        self._rng = rng
        self._deflate = deflate
        self._compressor: zlib._Compress | None = None

    def payload(self) -> bytes:
        """Return some words, right or wrong."""
        rng = self._rng
        if rng.random() < 0.1:
            return rng.randbytes(2) * rng.randrange(750)
        good = rng.random() < 0.7
        pool = WORDS[:5] + WORDS[13:16] if good else WORDS
        return b"".join(rng.choice(pool) for _ in range(rng.randrange(5)))

    def pack(self, payload: bytes) -> bytes:
        """Compress a message, sometimes in ways that few clients use."""
        rng = self._rng
        assert self._deflate is not None
        compressor = self._compressor
        if compressor is None or self._deflate.client_no_context_takeover:
            bits = max(9, self._deflate.client_max_window_bits)
            compressor = zlib.compressobj(rng.choice((0, 1, 9)), zlib.DEFLATED, -bits)
        if rng.random() < 0.1:
            self._compressor = None  # a final block ends what the window held
            return compressor.compress(payload) + compressor.flush() + b"\0"
        self._compressor = compressor
        return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def control(self) -> bytes:
        """Return a control frame, right or wrong."""
        rng = self._rng
        opcode = rng.choice((PING, PONG, PING, PONG, CLOSE))
        if opcode != CLOSE:
            return frame(opcode, rng.randbytes(1) * rng.choice((0, 0, 3, 125, 126)))
        code = struct.pack("!H", rng.choice(CODES))
        return frame(CLOSE, rng.choice((b"", b"\3", code, code + rng.choice(WORDS[:12]))))

    def message(self) -> bytes:
        """Return a message in one frame or several, control frames between them."""
        rng = self._rng
        opcode, payload, rsv = rng.choice((TEXT, BINARY)), self.payload(), 0
        if self._deflate is not None and rng.random() < 0.6:
            payload, rsv = self.pack(payload), 4
        wire = b""
        while rng.random() < 0.3:
            size = rng.randrange(len(payload) + 1)
            wire += frame(opcode, payload[:size], fin=False, rsv=rsv)
            opcode, payload, rsv = CONT, payload[size:], 4 * (rng.random() < 0.03)
            if rng.random() < 0.2:
                wire += self.control()
        return wire + frame(opcode, payload, rsv=rsv)

    def odd(self) -> bytes:
        """Return a frame that is most likely wrong."""
        rng = self._rng
        length = None
        if rng.random() < 0.4:
            form, most = rng.choice((("!BH", 1 << 16), ("!BQ", 1 << 64), ("!BQ", 1 << 20)))
            length = struct.pack(form, 126 if form == "!BH" else 127, rng.randrange(most))
        return frame(
            rng.choice((*OPCODES, rng.randrange(16))),
            self.payload(),
            fin=rng.random() < 0.7,
            rsv=rng.choice((0, 0, 4, rng.randrange(8))),
            masked=rng.random() < 0.9,
            length=length,
        )


def stream(rng: random.Random, deflate: DeflateParameters | None, most: int = 6) -> bytes:
    """Return up to *most* messages, control frames and oddities."""
    sender = Sender(rng, deflate)
    wire = b""
    for _ in range(rng.randint(1, most)):
        kind = rng.random()
        if kind < 0.7:
            wire += sender.message()
        elif kind < 0.9:
            wire += sender.control()
        else:
            wire += sender.odd()
    return wire


def mutate(rng: random.Random, wire: bytes) -> bytes:
    """Damage *wire* in up to three places; sometimes not at all."""
    data = bytearray(wire)
    for _ in range(rng.choice((0, 0, 1, 1, 2, 3))):
        place = rng.randrange(len(data) + 1)
        kind = rng.random()
        if kind < 0.4 and place < len(data):
            data[place] ^= 1 << rng.randrange(8)
        elif kind < 0.6:
            del data[place : place + rng.randint(1, 8)]
        elif kind < 0.8:
            data[place:place] = rng.randbytes(rng.randint(1, 6))
        else:
            del data[place:]
    return bytes(data)

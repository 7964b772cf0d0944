"""Frames as a client writes them, written by hand: the tests share no code with the engine."""

from __future__ import annotations

import struct
import zlib

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""RFC 6455 1.3 gives this pair."""
MASK = b"\x37\xfa\x21\x3d"

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def mask(payload: bytes, key: bytes = MASK) -> bytes:
    """Return *payload* masked, or unmasked (RFC 6455 5.3)."""
    return bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    masked: bool = True,
    length: bytes | None = None,
) -> bytes:
    """Return one frame.

    Args:
        opcode: 0 to 15.
        payload: Unmasked.
        fin: Whether it ends its message.
        rsv: The three reserved bits, RSV1 being 4.
        masked: Whether it is masked, as a client must.
        length: The bytes of the length, without the mask bit, to write a wrong one.
    """
    if length is None:
        size = len(payload)
        if size < 126:
            length = bytes([size])
        elif size < 65_536:
            length = b"\x7e" + struct.pack("!H", size)
        else:
            length = b"\x7f" + struct.pack("!Q", size)
    head = bytes([fin << 7 | rsv << 4 | opcode, length[0] | masked << 7]) + length[1:]
    return head + (MASK + mask(payload) if masked else payload)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame of the client."""
    return frame(CLOSE, b"" if code is None else struct.pack("!H", code) + reason)


def deflated(payload: bytes) -> bytes:
    """Return the payload of a compressed message (RFC 7692 7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -12)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def server_frames(data: bytes) -> list[tuple[int, bytes]]:
    """Split what a server has sent into (opcode, payload), and check its framing."""
    frames = []
    while data:
        assert not data[1] & 0x80, "a server never masks"
        opcode, size, start = data[0], data[1], 2
        if size == 126:
            (size,), start = struct.unpack("!H", data[2:4]), 4
        elif size == 127:
            (size,), start = struct.unpack("!Q", data[2:10]), 10
        assert len(data) >= start + size, "cut short"
        assert opcode & 0x80, "a server sends whole messages"
        frames.append((opcode & 0x7F, data[start : start + size]))
        data = data[start + size :]
    return frames


def handshake(*more: bytes, drop: bytes = b"", method: bytes = b"GET") -> bytes:
    """Return an opening handshake; *drop* names a line to leave out."""
    lines = [
        b"Host: a",
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Version: 13",
    ]
    kept = [line for line in lines if not drop or not line.lower().startswith(drop.lower())]
    return b"\r\n".join([method + b" /chat?x=1 HTTP/1.1", *kept, *more, b"", b""])

"""Frames as bytes (RFC 9113 4 and 6): their header, and the small ones that are written by hand."""

from __future__ import annotations

from struct import Struct
from typing import Final

DATA: Final = 0x0
HEADERS: Final = 0x1
PRIORITY: Final = 0x2
RST_STREAM: Final = 0x3
SETTINGS: Final = 0x4
PUSH_PROMISE: Final = 0x5
PING: Final = 0x6
GOAWAY: Final = 0x7
WINDOW_UPDATE: Final = 0x8
CONTINUATION: Final = 0x9
PRIORITY_UPDATE: Final = 0x10
"""RFC 9218 7.1."""

ACK: Final = 0x1
END_STREAM: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY_FLAG: Final = 0x20

HEADER_TABLE_SIZE: Final = 0x1
ENABLE_PUSH: Final = 0x2
MAX_CONCURRENT_STREAMS: Final = 0x3
INITIAL_WINDOW_SIZE: Final = 0x4
MAX_FRAME_SIZE_SETTING: Final = 0x5
MAX_HEADER_LIST_SIZE: Final = 0x6
ENABLE_CONNECT_PROTOCOL: Final = 0x8
"""RFC 8441 3."""
NO_RFC7540_PRIORITIES: Final = 0x9
"""RFC 9218 2.1."""

FRAME_HEADER: Final = Struct(">HBBBI")
"""Length (16 and 8 bits), type, flags, stream identifier."""
SETTING: Final = Struct(">HI")
UINT32: Final = Struct(">I")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    """Return one frame."""
    size = len(payload)
    return FRAME_HEADER.pack(size >> 8, size & 0xFF, kind, flags, stream_id) + payload


def settings_frame(values: list[tuple[int, int]]) -> bytes:
    """Return a SETTINGS frame of (identifier, value) pairs."""
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(*pair) for pair in values))


def goaway_frame(last_id: int, code: int) -> bytes:
    """Return a GOAWAY frame (RFC 9113 6.8)."""
    return frame(GOAWAY, 0, 0, UINT32.pack(last_id) + UINT32.pack(code))


def reset_frame(stream_id: int, code: int) -> bytes:
    """Return a RST_STREAM frame (RFC 9113 6.4)."""
    return frame(RST_STREAM, 0, stream_id, UINT32.pack(code))


def window_frame(stream_id: int, size: int) -> bytes:
    """Return a WINDOW_UPDATE frame (RFC 9113 6.9)."""
    return frame(WINDOW_UPDATE, 0, stream_id, UINT32.pack(size))


def ping_frame(data: bytes, *, ack: bool = False) -> bytes:
    """Return a PING frame (RFC 9113 6.7)."""
    return frame(PING, ACK if ack else 0, 0, data)

"""The states of an HTTP/2 connection and of its streams, as two tables (RFC 9113 3.4, 5.1).

The fast engine looks every frame up here: what a table holds is either the next state or a
*verdict*, which says how the frame is answered. ``docs/engines.md`` draws its diagrams from
the same tables.
"""

from __future__ import annotations

from typing import Final

# Verdicts. They are larger than any state.
DROP: Final = 16
"""Nothing is answered, but the frame is paid for."""
RESET_PROTOCOL: Final = 17
"""A stream error, PROTOCOL_ERROR."""
RESET_CLOSED: Final = 18
"""A stream error, STREAM_CLOSED."""
GOAWAY_PROTOCOL: Final = 19
"""A connection error, PROTOCOL_ERROR."""
GOAWAY_CLOSED: Final = 20
"""A connection error, STREAM_CLOSED."""
MISUSE: Final = 21
"""We ourselves must not do that: raised to the caller."""

# -- streams (RFC 9113 5.1) -----------------------------------------------------

IDLE: Final = 0
OPEN: Final = 1
HALF_CLOSED_LOCAL: Final = 2
"""Our response has ended, the request has not."""
HALF_CLOSED_REMOTE: Final = 3
"""The request has ended, our response has not."""
CLOSED: Final = 4
"""Both have ended."""
RESET_BY_PEER: Final = 5
"""Closed by RST_STREAM of the peer: it has to know."""
RESET_BY_US: Final = 6
"""Closed by ours, or refused by GOAWAY: what is still under way is no fault."""
SKIPPED: Final = 7
"""Never opened, and closed when a higher stream was opened (RFC 9113 5.1.1)."""

STREAM_STATES: Final = (
    "idle", "open", "half-closed (local)", "half-closed (remote)",
    "closed", "reset by peer", "reset by us", "skipped",
)  # fmt: skip

# Events. The first four are twice the frame's type, and its END_STREAM flag.
RECV_DATA: Final = 0
RECV_DATA_END: Final = 1
RECV_HEADERS: Final = 2
RECV_HEADERS_END: Final = 3
RECV_RESET: Final = 4
RECV_WINDOW: Final = 5
SEND: Final = 6
"""HEADERS or DATA without END_STREAM."""
SEND_END: Final = 7
SEND_RESET: Final = 8

STREAM_EVENTS: Final = (
    "recv DATA", "recv DATA + END_STREAM", "recv HEADERS", "recv HEADERS + END_STREAM",
    "recv RST_STREAM", "recv WINDOW_UPDATE", "send", "send END_STREAM", "send RST_STREAM",
)  # fmt: skip

_L, _R, _C, _P, _U = HALF_CLOSED_LOCAL, HALF_CLOSED_REMOTE, CLOSED, RESET_BY_PEER, RESET_BY_US
_GP, _GC, _RP, _RC, _X = GOAWAY_PROTOCOL, GOAWAY_CLOSED, RESET_PROTOCOL, RESET_CLOSED, MISUSE

STREAM: Final[tuple[tuple[int, ...], ...]] = (
    # DATA  +END  HEADERS +END  RST   WINDOW    send  +END  RST
    (_GP,   _GP,  OPEN,   _R,   _GP,  _GP,      _X,   _X,   _X),  # idle
    (OPEN,  _R,   _RP,    _R,   _P,   OPEN,     OPEN, _L,   _U),  # open
    (_L,    _C,   _RP,    _C,   _P,   _L,       _X,   _X,   _U),  # half-closed (local)
    (_RC,   _RC,  _RC,    _RC,  _P,   _R,       _R,   _C,   _U),  # half-closed (remote)
    (_GC,   _GC,  _GC,    _GC,  DROP, DROP,     _X,   _X,   _X),  # closed
    (_RC,   _RC,  _RC,    _RC,  DROP, DROP,     _X,   _X,   _X),  # reset by peer
    (DROP,  DROP, DROP,   DROP, DROP, DROP,     _X,   _X,   _X),  # reset by us
    (_GC,   _GC,  _GP,    _GP,  DROP, DROP,     _X,   _X,   _X),  # skipped
)  # fmt: skip
"""``STREAM[state][event]`` is the next state, or a verdict.

HEADERS on an open stream are trailers, which end it (RFC 9113 8.1).
"""

# -- the connection (RFC 9113 3.4, 6.10) ------------------------------------------

AWAIT_PREFACE: Final = 0
AWAIT_SETTINGS: Final = 1
READY: Final = 2
IN_BLOCK: Final = 3
"""After HEADERS without END_HEADERS nothing but their CONTINUATION may come."""
GONE: Final = 4

CONNECTION_STATES: Final = ("await preface", "await SETTINGS", "ready", "in a field block", "gone")

GOT_PREFACE: Final = 0
GOT_SETTINGS: Final = 1
GOT_HEADERS: Final = 2
GOT_HEADERS_PART: Final = 3
GOT_CONTINUATION: Final = 4
GOT_CONTINUATION_PART: Final = 5
GOT_OTHER: Final = 6
CLOSE: Final = 7

CONNECTION_EVENTS: Final = (
    "preface", "SETTINGS", "HEADERS + END_HEADERS", "HEADERS",
    "CONTINUATION + END_HEADERS", "CONTINUATION", "another frame", "fault, or close",
)  # fmt: skip

CONNECTION: Final[tuple[tuple[int, ...], ...]] = (
    # preface         SETTINGS HEADERS part      CONT.  part      other  close
    (AWAIT_SETTINGS,  _GP,     _GP,    _GP,      _GP,   _GP,      _GP,   GONE),  # await preface
    (_GP,             READY,   _GP,    _GP,      _GP,   _GP,      _GP,   GONE),  # await SETTINGS
    (_GP,             READY,   READY,  IN_BLOCK, _GP,   _GP,      READY, GONE),  # ready
    (_GP,             _GP,     _GP,    _GP,      READY, IN_BLOCK, _GP,   GONE),  # in a field block
    (DROP,            DROP,    DROP,   DROP,     DROP,  DROP,     DROP,  GONE),  # gone
)  # fmt: skip
"""``CONNECTION[state][event]`` is the next state, or a verdict."""

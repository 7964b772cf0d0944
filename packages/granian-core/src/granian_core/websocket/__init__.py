"""WebSockets (RFC 6455, RFC 7692): handshake, frames, sessions, and what adapters see.

`contract` says what an engine is, which knows frames and nothing else; there are two,
`fast` (with `frames` and `assembly`) and `reference`, which is wsproto. `session` is
the state of one WebSocket over any byte stream (sans-I/O: bytes in, calls out, one link to
write to); `stream` what an adapter is handed. HTTP/1.1 carries a session over its
transport (`granian_core.http1.upgrade`); HTTP/2 over the DATA frames of an
extended CONNECT (RFC 8441, `granian_core.http2.extended_connect`).
"""

from __future__ import annotations

from granian_core.websocket.session import WebSocketLink, WebSocketSession
from granian_core.websocket.stream import WebSocketStream

__all__ = ["WebSocketLink", "WebSocketSession", "WebSocketStream"]

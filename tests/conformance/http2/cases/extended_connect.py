"""WebSockets by extended CONNECT (RFC 8441)."""

from __future__ import annotations

from typing import Any

from tests.conformance.http2.model import Case, case
from tests.conformance.http2.wire import NO_ERROR, PROTOCOL_ERROR, Pair, data, headers, pseudo

MALFORMED = {"resets": {1: PROTOCOL_ERROR}, "calls": 0}


def extended(*more: Pair, end: bool = False, **changed: bytes | None) -> bytes:
    """Return an extended CONNECT for a WebSocket."""
    protocol = changed.pop("protocol", b"websocket")
    fields = [*pseudo(**{"method": b"CONNECT", **changed}), (b":protocol", protocol or b"")]
    return headers(1, [*fields, (b"sec-websocket-version", b"13"), *more], end=end)


def refused(status: int) -> dict[str, Any]:
    """Return what a well-formed extended CONNECT gets that can not succeed."""
    return {"answers": {1: status}, "resets": {1: NO_ERROR}, "calls": 0, "websockets": True}


# The WebSocket is open for a moment: its end needs the client's close frame and END_STREAM.
CLOSING = (data(b"\x88\x80\0\0\0\0"), data(end=True))
OPENED = {"answers": {1: 200}, "calls": 1, "websockets": True}
FORBIDDEN = {**MALFORMED, "websockets": True}


CASES: list[Case] = [
    case("websocket", "RFC 8441 5", extended(path=b"/a%20b?c=d"), *CLOSING, **OPENED,
         seen={"method": "GET", "path": "/a b", "query": b"c=d", "authority": b"example.org"}),
    case("websocket-key-ignored", "RFC 8441 5",
         extended((b"sec-websocket-key", b"not a key")), *CLOSING, **OPENED),
    case("websocket-protocol-upper-case", "RFC 9110 7.8", extended(protocol=b"WebSocket"),
         *CLOSING, **OPENED),
    case("websocket-without-authority", "RFC 8441 4", extended(authority=None), *CLOSING,
         **OPENED, seen={"authority": None}),
    case("websocket-scheme-is-the-transports", "RFC 8441 5", extended(scheme=b"HTTPS"),
         *CLOSING, **OPENED),
    case("websocket-expecting", "RFC 9110 10.1.1", extended((b"expect", b"100-continue")),
         *CLOSING, **OPENED),
    case("websocket-denied", "RFC 8441 5", extended(path=b"/deny"), data(end=True),
         answers={1: 404}, calls=1, websockets=True),
    case("websocket-no-version", "RFC 6455 4.4",
         headers(1, [*pseudo(method=b"CONNECT"), (b":protocol", b"websocket")], end=False),
         data(end=True), answers={1: 426}, calls=0, websockets=True),
    case("websocket-wrong-version", "RFC 6455 4.4",
         headers(1, [*pseudo(method=b"CONNECT"), (b":protocol", b"websocket"),
                     (b"sec-websocket-version", b"8")], end=False),
         data(end=True), answers={1: 426}, calls=0, websockets=True),
    case("websocket-other-protocol", "RFC 9220 3", extended(protocol=b"connect-udp"),
         **refused(501)),
    case("websocket-scheme-wss", "RFC 8441 5", extended(scheme=b"wss"), **refused(400)),
    case("websocket-with-length", "RFC 8441 5", extended((b"content-length", b"6")),
         **refused(400)),
    case("websocket-ended", "RFC 8441 5", extended(end=True), answers={1: 400}, calls=0,
         websockets=True),
    case("websocket-protocol-empty", "RFC 8441 4", extended(protocol=b""), **FORBIDDEN),
    case("websocket-protocol-no-token", "RFC 8441 4", extended(protocol=b"web socket"),
         **FORBIDDEN),
    case("websocket-protocol-twice", "RFC 9113 8.3",
         headers(1, [*pseudo(method=b"CONNECT"), (b":protocol", b"websocket"),
                     (b":protocol", b"websocket")], end=False), **FORBIDDEN),
    case("websocket-by-get", "RFC 8441 4", extended(method=b"GET"), **FORBIDDEN),
    case("websocket-without-path", "RFC 8441 4", extended(path=None), **FORBIDDEN),
    case("websocket-without-scheme", "RFC 8441 4", extended(scheme=None), **FORBIDDEN),
    case("websocket-path-star", "RFC 8441 4", extended(path=b"*"), **FORBIDDEN),
    case("websocket-connection-field", "RFC 8441 5", extended((b"connection", b"upgrade")),
         **FORBIDDEN),
    case("websocket-upgrade-field", "RFC 8441 5", extended((b"upgrade", b"websocket")),
         **FORBIDDEN),
    case("websocket-not-announced", "RFC 8441 3", extended(), **MALFORMED),
    case("connect-beside-websockets", "8.5",
         headers(1, [(b":method", b"CONNECT"), (b":authority", b"example.org:443")]),
         answers={1: 501}, calls=0, websockets=True),
]  # fmt: skip

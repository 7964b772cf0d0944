"""The opening handshake of RFC 6455 4.2, as decisions about a request's fields.

Nothing here does I/O. What is refused never reaches the application; what an application
is offered can still be refused by it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from granian_core.errors import LocalProtocolError
from granian_core.websocket.deflate import DeflateParameters, negotiate

if TYPE_CHECKING:
    from granian_core.settings import WebSocketSettings
    from granian_core.stream import Fields, Headers

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
_TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_TEXT: Final = (b"content-type", b"text/plain; charset=utf-8")

_OURS: Final = frozenset(
    (
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
    )
)
"""Fields of the answer that are the server's business."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The answer to a handshake that can not succeed."""

    status: int
    body: bytes
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)


def is_upgrade(headers: Fields) -> bool:
    """Whether an HTTP/1.1 request asks to become a WebSocket (RFC 6455 4.2.1, 3. and 4.)."""
    return _lists(headers, b"upgrade", b"websocket") and _lists(headers, b"connection", b"upgrade")


def _lists(headers: Fields, name: bytes, token: bytes) -> bool:
    return any(
        token in (part.strip(b" \t").lower() for part in value.split(b","))
        for key, value in headers
        if key == name
    )


def find_refusal(
    method: str, headers: Fields, settings: WebSocketSettings, *, keyed: bool = True
) -> Refusal | None:
    """Say why a handshake can not succeed; None if it is the application's to decide.

    Args:
        method: The request's method.
        headers: The request's fields.
        settings: The origins allowed.
        keyed: Whether there has to be a key; in HTTP/2 there is none (RFC 8441 5.1).
    """
    if keyed and method != "GET":
        return Refusal(405, b"WebSocket handshakes use GET", [(b"allow", b"GET"), _TEXT])
    if keyed:
        keys = _values(headers, b"sec-websocket-key")
        if not keys:
            return Refusal(400, b'No "Sec-WebSocket-Key" header', [_TEXT])
        if len(keys) > 1 or _KEY.fullmatch(keys[0]) is None:
            return Refusal(400, b'Invalid "Sec-WebSocket-Key" header', [_TEXT])
    if _values(headers, b"sec-websocket-version") != [b"13"]:
        return Refusal(
            426,
            b'No "Sec-WebSocket-Version: 13" header',
            [(b"sec-websocket-version", b"13"), _TEXT],
        )
    if settings.origins and not _origin_allowed(headers, settings.origins):
        return Refusal(403, b"Origin not allowed", [_TEXT])
    return None


def _origin_allowed(headers: Fields, allowed: tuple[str, ...]) -> bool:
    """Look an Origin up; what has none is no browser, so nobody is tricked into it."""
    origins = [value.decode("latin-1").lower() for value in _values(headers, b"origin")]
    return not origins or (len(origins) == 1 and origins[0] in map(str.lower, allowed))


def _values(headers: Fields, name: bytes) -> list[bytes]:
    return [value for key, value in headers if key == name]


def offered_subprotocols(headers: Fields) -> list[str]:
    """Return what Sec-WebSocket-Protocol offers, in order, empty members dropped."""
    return [
        token
        for value in _values(headers, b"sec-websocket-protocol")
        for part in value.decode("latin-1").split(",")
        if (token := part.strip(" \t"))
    ]


def choose_deflate(headers: Fields, settings: WebSocketSettings) -> DeflateParameters | None:
    """Agree on compression, if it is on and the client offers it acceptably."""
    offers = _values(headers, b"sec-websocket-extensions") if settings.compression else []
    return negotiate(offers) if offers else None


def accept_fields(
    headers: Headers,
    subprotocol: str | None,
    offered: list[str],
    deflate: DeflateParameters | None,
) -> list[tuple[bytes, bytes]]:
    """Return the fields of the answer that accepts: the application's, then ours.

    Raises:
        LocalProtocolError: The application chose a subprotocol that was not offered, or
            gave a field that is the server's business.
    """
    fields = [(name, value) for name, value in headers]
    for name, _ in fields:
        if bytes(name).lower() in _OURS:
            raise LocalProtocolError(f"{bytes(name).decode('latin-1')} is the server's to send")
    if subprotocol is not None:
        # RFC 6455 4.2.2 5.: the client fails the connection over any other.
        if subprotocol not in offered or _TOKEN.fullmatch(subprotocol) is None:
            raise LocalProtocolError(f"subprotocol {subprotocol!r} was not offered")
        fields.append((b"sec-websocket-protocol", subprotocol.encode("ascii")))
    if deflate is not None:
        fields.append((b"sec-websocket-extensions", deflate.field_value()))
    return fields


def accept_value(headers: Fields) -> bytes:
    """Return the Sec-WebSocket-Accept that answers the request's key (RFC 6455 4.2.2)."""
    key = _values(headers, b"sec-websocket-key")[0]
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())

"""What the fields of an HTTP/2 request may be: the rules of RFC 9113 8, written once.

Both engines decode a field section and hand it here. A *malformed* request is a
`StreamFault`: RST_STREAM with PROTOCOL_ERROR, before any application runs. One that is
well-formed but not acceptable becomes a `Request` with a ``status``.
"""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Final

from granian_core.http1.chunked import (
    FORBIDDEN_TRAILERS,
    MAX_TRAILER_BYTES,
    MAX_TRAILER_FIELDS,
)
from granian_core.http1.guard import is_valid_host
from granian_core.http2.contract import PROTOCOL_ERROR, StreamFault

if TYPE_CHECKING:
    from granian_core.settings import HTTP2Settings
    from granian_core.stream import Fields

MAX_COOKIE_CRUMBS: Final = 256
"""Cookie fields of one request; browsers send each cookie in a field of its own."""
FIELD_OVERHEAD: Final = 32
"""What a field counts beside its bytes (RFC 9113 6.5.2)."""

MAX_JUDGED: Final = 1024
"""Valid fields that are known as such: clients repeat themselves."""
MAX_JUDGED_SIZE: Final = 160
"""Octets of the largest of them."""
SENSITIVE: Final = frozenset((b"authorization", b"cookie", b"proxy-authorization"))
"""Fields that are not kept beyond their request."""

# What one client sends is valid for all: equal bytes have equal verdicts.
_JUDGED: set[tuple[bytes, bytes]] = set()

# RFC 9113 8.2: a token without upper case; no control bytes, no surrounding whitespace.
_NAME: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
_VALUE: Final = re.compile(
    rb"(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?"
)
_METHOD: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH: Final = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+\-.]*")
_DIGITS: Final = re.compile(rb"[0-9]{1,19}")

_CONNECTION_FIELDS: Final = frozenset(
    (b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade")
)
_SPECIAL: Final = _CONNECTION_FIELDS | {b"te", b"content-length", b"host", b"cookie", b"expect"}
_PSEUDO: Final = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))


class Request:
    """A request head.

    Attributes:
        method: As sent, case kept.
        scheme: As sent; streams take theirs from the transport.
        authority: ``:authority``, or None.
        path: ``:path``, or empty for CONNECT.
        protocol: ``:protocol`` of an extended CONNECT (RFC 8441 4), or None.
        headers: Names lower-case, wire order, cookie crumbs joined.
        content_length: The declared length, -1 if there is none, 0 without a body.
        has_body: Whether DATA or trailers may follow.
        expects_continue: Whether the client waits for ``100 Continue``.
        priority: The value of the ``priority`` field (RFC 9218), or None.
        size: Octets of the field section as RFC 9113 6.5.2 counts them.
        target: Method, path, raw path and query as streams have them, once they were read.
        status: 0, or the status that refuses the request; *reason* says why.
    """

    __slots__ = (
        "authority",
        "content_length",
        "expects_continue",
        "has_body",
        "headers",
        "method",
        "path",
        "priority",
        "protocol",
        "reason",
        "scheme",
        "size",
        "status",
        "target",
    )

    def __init__(self) -> None:
        self.method = b""
        self.scheme = b""
        self.authority: bytes | None = None
        self.path = b""
        self.protocol: bytes | None = None
        self.headers: Fields = []
        self.content_length = -1
        self.has_body = True
        self.expects_continue = False
        self.priority: bytes | None = None
        self.size = 0
        self.target: tuple[str, str, bytes, bytes] | None = None
        self.status = 0
        self.reason = ""

    def refuse(self, status: int, reason: str) -> None:
        """Note why the request is not acceptable; the first reason stays."""
        if not self.status:
            self.status = status
            self.reason = reason


def read_request(
    fields: Fields, end_stream: bool, settings: HTTP2Settings, extended_connect: bool = False
) -> Request:
    """Judge the field section of a request.

    Args:
        fields: As decoded, in wire order.
        end_stream: Whether the request ends with it.
        settings: For the limits that are answered with 431.
        extended_connect: Whether the server has announced that it takes ``:protocol``.

    Raises:
        StreamFault: The request is malformed.
    """
    request = Request()
    request.has_body = not end_stream
    count = _take_pseudo(fields, request)
    hosts: list[bytes] = []
    cookies: list[bytes] = []
    headers = request.headers
    for field in fields[count:]:
        name, value = field
        if field not in _JUDGED:
            _check_field(name, value)
        if name in _SPECIAL:
            if name == b"cookie":
                if not cookies:
                    headers.append((name, value))
                cookies.append(value)
                continue
            _take_special(request, name, value, hosts)
        elif name == b"priority":
            request.priority = value
        headers.append((name, value))
    if len(cookies) > 1:
        _join_cookies(headers, cookies)
    _check_authority(request, hosts)
    _check_target(request)
    if request.protocol is not None:
        _check_extended_connect(request, extended_connect, end_stream)
    if end_stream:
        if request.content_length > 0:
            raise StreamFault(PROTOCOL_ERROR, "content-length without content")
        request.content_length = 0
        request.expects_continue = False
    request.size = section_size(fields)
    _check_limits(request, len(fields) - count, len(cookies), settings)
    return request


def _check_limits(request: Request, count: int, cookies: int, settings: HTTP2Settings) -> None:
    """Refuse what is more than the settings allow."""
    if request.size > settings.max_headers_size:
        request.refuse(431, "request head too large")
    elif count - cookies > settings.max_fields:
        request.refuse(431, "too many header fields")
    elif cookies > MAX_COOKIE_CRUMBS:
        request.refuse(431, "too many cookies")


def read_trailers(fields: Fields) -> Fields:
    """Judge a trailer section (RFC 9113 8.1).

    Raises:
        StreamFault: It is malformed.
    """
    if len(fields) > MAX_TRAILER_FIELDS or section_size(fields) > MAX_TRAILER_BYTES:
        raise StreamFault(PROTOCOL_ERROR, "trailer section too large")
    for name, value in fields:
        if name[:1] == b":":
            raise StreamFault(PROTOCOL_ERROR, "pseudo-header in a trailer section")
        _check_field(name, value)
        if name in FORBIDDEN_TRAILERS:
            raise StreamFault(PROTOCOL_ERROR, "forbidden trailer field")
    return [(bytes(name), bytes(value)) for name, value in fields]


def section_size(fields: Fields) -> int:
    """Return the size of a field section as RFC 9113 6.5.2 counts it."""
    return sum(map(len, chain.from_iterable(fields))) + FIELD_OVERHEAD * len(fields)


def _take_pseudo(fields: Fields, request: Request) -> int:
    """Take the pseudo-header fields, which come first; return how many there are."""
    seen: dict[bytes, bytes] = {}
    for name, value in fields:
        if name[:1] != b":":
            break
        if name not in _PSEUDO:
            raise StreamFault(PROTOCOL_ERROR, "unknown pseudo-header")
        if name in seen:
            raise StreamFault(PROTOCOL_ERROR, "repeated pseudo-header")
        if _VALUE.fullmatch(value) is None:
            raise StreamFault(PROTOCOL_ERROR, "invalid pseudo-header value")
        seen[name] = value
    request.protocol = seen.get(b":protocol")
    request.method = seen.get(b":method", b"")
    request.scheme = seen.get(b":scheme", b"")
    request.path = seen.get(b":path", b"")
    request.authority = seen.get(b":authority")
    return len(seen)


def _check_field(name: bytes, value: bytes) -> None:
    if _NAME.fullmatch(name) is None:
        # Upper case too: RFC 9113 8.2.1. A late pseudo-header is not a token either.
        raise StreamFault(PROTOCOL_ERROR, "invalid field name")
    if _VALUE.fullmatch(value) is None:
        raise StreamFault(PROTOCOL_ERROR, "invalid field value")
    if len(name) + len(value) <= MAX_JUDGED_SIZE and name not in SENSITIVE:
        if len(_JUDGED) >= MAX_JUDGED:
            _JUDGED.clear()
        _JUDGED.add((name, value))


def _take_special(request: Request, name: bytes, value: bytes, hosts: list[bytes]) -> None:
    """Take a field that HTTP/2 has an opinion on."""
    if name in _CONNECTION_FIELDS:
        raise StreamFault(PROTOCOL_ERROR, "connection-specific field")
    if name == b"te":
        if value.lower() != b"trailers":
            raise StreamFault(PROTOCOL_ERROR, "TE other than trailers")
    elif name == b"content-length":
        if request.content_length >= 0 or _DIGITS.fullmatch(value) is None:
            raise StreamFault(PROTOCOL_ERROR, "invalid content-length")
        request.content_length = int(value)
    elif name == b"expect":
        if value.lower() == b"100-continue":
            request.expects_continue = True
        else:
            request.refuse(417, "unknown expectation")
    else:
        hosts.append(value)


def _join_cookies(headers: Fields, cookies: list[bytes]) -> None:
    """Make one field of the crumbs (RFC 9113 8.2.3)."""
    at = next(index for index, field in enumerate(headers) if field[0] == b"cookie")
    headers[at] = (b"cookie", b"; ".join(cookies))


def _check_authority(request: Request, hosts: list[bytes]) -> None:
    authority = request.authority
    if len(hosts) > 1:
        raise StreamFault(PROTOCOL_ERROR, "repeated Host")
    for value in hosts if authority is None else (*hosts, authority):
        if not is_valid_host(value):
            raise StreamFault(PROTOCOL_ERROR, "invalid authority")
    if hosts and authority is not None and hosts[0].lower() != authority.lower():
        # RFC 9113 8.3.1: a server should treat this as malformed.
        raise StreamFault(PROTOCOL_ERROR, "Host differs from :authority")


def _check_target(request: Request) -> None:
    """Check the control data that says what is requested (RFC 9113 8.3.1, 8.5)."""
    if _METHOD.fullmatch(request.method) is None:
        raise StreamFault(PROTOCOL_ERROR, "missing or invalid :method")
    if request.method == b"CONNECT" and request.protocol is None:
        if request.path or request.scheme or not request.authority:
            raise StreamFault(PROTOCOL_ERROR, "malformed CONNECT")
        request.refuse(501, "CONNECT")
        return
    if _SCHEME.fullmatch(request.scheme) is None:
        raise StreamFault(PROTOCOL_ERROR, "missing or invalid :scheme")
    if _PATH.fullmatch(request.path) is None and not (
        request.path == b"*" and request.method == b"OPTIONS"
    ):
        raise StreamFault(PROTOCOL_ERROR, "missing or invalid :path")


def _check_extended_connect(request: Request, announced: bool, end_stream: bool) -> None:
    """Check what an extended CONNECT is for (RFC 8441 4 and 5)."""
    protocol = request.protocol or b""
    if not announced or request.method != b"CONNECT" or _METHOD.fullmatch(protocol) is None:
        raise StreamFault(PROTOCOL_ERROR, "malformed extended CONNECT")
    if protocol.lower() != b"websocket":
        request.refuse(501, "extended CONNECT for another protocol")
    elif request.scheme.lower() not in (b"http", b"https"):
        request.refuse(400, "a WebSocket's scheme is http or https")
    elif end_stream or request.content_length >= 0:
        request.refuse(400, "a WebSocket has no content")
    # DATA is the WebSocket's: no length bounds it, and nobody waits for 100 Continue.
    request.content_length = -1
    request.expects_continue = False

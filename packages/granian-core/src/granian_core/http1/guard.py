"""What HTTP/1.1 heads may look like: every rule that both engines share, written once.

*Lexical* rules (`HEAD`, `HeadScanner`) speak of raw bytes: exact line ends, token
names, no control bytes, sizes. *Semantic* rules (`settle_request`) speak of the
parsed request: message framing, Host, Expect, persistence. An engine applies both,
so that no parser library's leniency reaches an application.

A head that arrives whole is judged by one compiled pattern; a head in pieces, or
one that the pattern refuses, is judged line by line in wire order. The two agree:
the first fault in wire order is the verdict, however the bytes were cut.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from granian_core.http1.contract import CHUNKED

if TYPE_CHECKING:
    from granian_core.settings import HTTP1Settings, Limits
    from granian_core.stream import Fields

# RFC 9110 5.6.2: token; RFC 9110 5.5: field-value (VCHAR, obs-text, SP, HTAB).
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*"
# RFC 9112 3.2: a target has no fragment; RFC 3986: visible ASCII only.
_TARGET: Final = rb"[\x21\x22\x24-\x7e]+"
_REQUEST_LINE: Final = rb"(" + _TOKEN + rb") (" + _TARGET + rb") HTTP/([0-9])\.([0-9])"
_FIELD_LINE: Final = _TOKEN + rb":" + _VALUE

HEAD: Final = re.compile(_REQUEST_LINE + rb"(?:\r\n" + _FIELD_LINE + rb")*")
"""A whole request head without its final empty line."""
REQUEST_LINE: Final = re.compile(_REQUEST_LINE)
FIELD_LINE: Final = re.compile(_FIELD_LINE)
TOKEN: Final = re.compile(_TOKEN)
FIELD_VALUE: Final = re.compile(_VALUE)

# RFC 3986 3.2.2 and 3.2.3: host, without userinfo, and an optional port.
_HOST: Final = re.compile(
    rb"(?:\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})*)(?::[0-9]{0,5})?"
)
_ABSOLUTE_FORM: Final = re.compile(rb"https?://([^/?]+)(?:[/?].*)?", re.IGNORECASE)
_DIGITS: Final = re.compile(rb"[0-9]{1,19}")

SPECIAL_FIELDS: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect")
)
"""Fields that decide about framing, routing or persistence."""

OWS: Final = b" \t"


class Fault(Exception):
    """A peer's mistake on its way to `HTTP1Handler.on_error`; never leaves an engine."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason


class HeadScanner:
    """Judges a head line by line, in time linear in its bytes.

    The offset of what has been judged is kept, so that a head that arrives in pieces
    is never looked at twice.
    """

    __slots__ = ("_fields", "_limits", "_position", "_seen", "_settings")

    def __init__(self, settings: HTTP1Settings, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self.reset()

    def reset(self) -> None:
        """Start with a new head."""
        self._position = 0  # start of the first line that is not yet complete
        self._seen = 0  # no line feed stands before this offset of that line
        self._fields = -1  # the first line is not a field

    def scan(self, buffer: bytes | bytearray) -> int:
        """Judge the complete lines of *buffer*.

        Returns:
            The length of the head without its final empty line's CRLF, or -1 while it
            is incomplete.

        Raises:
            Fault: The first fault in wire order.
        """
        while True:
            end = buffer.find(b"\n", max(self._position, self._seen))
            if end < 0:
                self._seen = len(buffer)
                self._check_size(len(buffer))
                return -1
            self._check_size(end + 1)
            if end == self._position or buffer[end - 1] != 0x0D:
                raise Fault(400, "bare LF in a request head")
            line = bytes(buffer[self._position : end - 1])
            if not line and self._fields >= 0:
                return self._position - 2
            self._check_line(line)
            self._position = self._seen = end + 1
            self._fields += 1

    def _check_size(self, end: int) -> None:
        if self._fields < 0 and end - self._position > self._limits.request_line + 2:
            raise Fault(414, "request line too long")
        if end > self._settings.max_buffer_size:
            raise Fault(431, "request head too large")

    def _check_line(self, line: bytes) -> None:
        if self._fields < 0:
            match = REQUEST_LINE.fullmatch(line)
            if match is None:
                raise Fault(400, "malformed request line")
            check_version(match[3])
        elif FIELD_LINE.fullmatch(line) is None:
            raise Fault(400, "malformed field line")
        elif self._fields >= self._settings.max_fields:
            raise Fault(431, "too many header fields")


def check_version(major: bytes) -> None:
    """Refuse what is not HTTP/1.x.

    Raises:
        Fault: 505.
    """
    if major != b"1":
        raise Fault(505, "HTTP version not supported")


def is_valid_host(value: bytes) -> bool:
    """Return whether *value* is a host with an optional port (RFC 9112 3.2)."""
    return _HOST.fullmatch(value) is not None


def settle_request(
    method: bytes, target: bytes, minor: int, special: Fields
) -> tuple[bool, int, bool]:
    """Decide what a syntactically valid head means.

    Args:
        method: As sent.
        target: As sent.
        minor: 0 or 1.
        special: The fields whose names are in `SPECIAL_FIELDS`, in wire order.

    Returns:
        ``(keep_alive, content_length, expects_continue)`` as in `HTTP1Handler.on_request`.

    Raises:
        Fault: The first rule, in the order below, that the request breaks.
    """
    hosts = lengths = 0
    length_value = b""
    codings: list[bytes] = []
    connection: list[bytes] = []
    expectations: list[bytes] = []
    has_coding = False
    for name, value in special:
        if name == b"host":
            hosts += 1
            if not is_valid_host(value):
                raise Fault(400, "invalid Host")
        elif name == b"connection":
            connection += _tokens(value)
        elif name == b"content-length":
            lengths += 1
            length_value = value
        elif name == b"transfer-encoding":
            has_coding = True
            codings += [part.strip(OWS).lower() for part in value.split(b",")]
        else:
            expectations += _tokens(value)
    check_target(method, target)
    if hosts > 1 or (hosts == 0 and minor == 1):
        raise Fault(400, "missing Host" if hosts == 0 else "repeated Host")
    if has_coding:
        content_length = _settle_coding(codings, minor, has_length=lengths > 0)
    elif lengths:
        content_length = _settle_length(length_value, lengths)
    else:
        content_length = 0
    if expectations and expectations != [b"100-continue"]:
        raise Fault(417, "unknown expectation")
    # RFC 9110 10.1.1: an expectation in an HTTP/1.0 request, or without a body, is ignored.
    expects_continue = bool(expectations) and minor == 1 and content_length != 0
    # RFC 9112 9.3: close wins; 1.1 persists by default, 1.0 only by agreement.
    keep_alive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
    return keep_alive, content_length, expects_continue


def _tokens(value: bytes) -> list[bytes]:
    """Split a comma-separated list into lower-case members, empty ones dropped."""
    return [token for part in value.split(b",") if (token := part.strip(OWS).lower())]


def _settle_coding(codings: list[bytes], minor: int, *, has_length: bool) -> int:
    # RFC 9112 6.1 and 6.3: each of these is how requests are smuggled.
    if has_length:
        raise Fault(400, "Transfer-Encoding with Content-Length")
    if minor == 0:
        raise Fault(400, "Transfer-Encoding in HTTP/1.0")
    if codings == [b"chunked"]:
        return CHUNKED
    # Deviation: RFC 9110 5.6.1 forgives empty list members; in framing they are refused,
    # because parsers differ about them (h11 takes none).
    if b"" in codings or b"identity" in codings or b"chunked" in codings[:-1]:
        raise Fault(400, "invalid Transfer-Encoding")
    if any(not FIELD_LINE.fullmatch(coding.partition(b";")[0] + b":") for coding in codings):
        raise Fault(400, "invalid Transfer-Encoding")
    raise Fault(501, "unknown transfer coding")


def _settle_length(value: bytes, count: int) -> int:
    if count > 1 or _DIGITS.fullmatch(value) is None:
        raise Fault(400, "invalid Content-Length")
    return int(value)


def check_target(method: bytes, target: bytes) -> None:
    """Check the form of a request target (RFC 9112 3.2).

    Raises:
        Fault: 501 for CONNECT, 400 for a form that the method does not allow.
    """
    if method == b"CONNECT":
        raise Fault(501, "CONNECT")
    if target[0] == 0x2F:
        return
    if target == b"*":
        if method != b"OPTIONS":
            raise Fault(400, "asterisk-form without OPTIONS")
        return
    match = _ABSOLUTE_FORM.fullmatch(target)
    if match is None or match[1][:1] == b":" or not is_valid_host(match[1]):
        raise Fault(400, "invalid request target")

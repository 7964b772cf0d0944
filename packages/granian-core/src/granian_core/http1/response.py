"""HTTP/1.1 responses as bytes: heads, chunks and trailers, the same for both engines.

Everything that an application may put on the wire is checked here, before a byte
leaves: names are tokens, values hold no CR, LF or NUL (RFC 9110 5.5), one framing
applies (RFC 9112 6). A head that fails is not sent at all.
"""

from __future__ import annotations

import re
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from granian_core.errors import LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from granian_core.stream import Headers

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_STATUS_LINES: Final = {
    status.value: b"HTTP/1.1 %d %s\r\n" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}

HAS_DATE: Final = 1
HAS_SERVER: Final = 2
CLOSE: Final = 4

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK: Final = b"0\r\n\r\n"
SERVER_FIELD: Final = b"server: granian\r\n"

# Fields that applications have sent before, each as the line that it is on the wire.
# Most responses of an application carry the same few; a field that was judged is found
# again at a fifth of the cost. Cookies and long values are not kept; a full table
# starts anew.
_LINES: dict[tuple[bytes, bytes], bytes] = {}
_MAX_LINES: Final = 1024
_MAX_LINE_LENGTH: Final = 160

_LENGTH_VALUES: dict[bytes, int] = {}
"""Declared lengths that have been parsed before."""

_VALUE: Final = re.compile(rb"[^\r\n\0]*")

KEPT_LENGTHS: Final = 4096
LENGTH_FIELDS: Final = [b"content-length: %d\r\n" % size for size in range(KEPT_LENGTHS)]
"""The Content-Length fields of small bodies, by their size."""

_FRAMING_FIELDS: Final = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"upgrade",
        b"date",
        b"server",
    )
)


def status_line(status: int, reason: bytes | None) -> bytes:
    """Return the status line, with its CRLF.

    Args:
        status: 100 to 999.
        reason: The reason phrase; the registered one, or none, if None.

    Raises:
        LocalProtocolError: The status is out of range, or the phrase holds CR, LF or NUL.
        TypeError: The status is not an int.
    """
    if reason is None:
        line = _STATUS_LINES.get(status)
        if line is not None:
            return line
        reason = b""
    check_status_type(status)
    if type(status) is not int or not 100 <= status <= 999:
        raise LocalProtocolError(f"{status!r} is not a response status")
    if b"\r" in reason or b"\n" in reason or b"\0" in reason:
        raise LocalProtocolError("invalid reason phrase")
    return b"HTTP/1.1 %d %s\r\n" % (status, reason)


def check_status_type(status: object) -> None:
    """Refuse what is no status at all; where this is compiled, the call itself does so.

    Raises:
        TypeError: It is not an int.
    """
    if not isinstance(status, int):
        raise TypeError(f"a response status is an int, not {type(status).__name__}")


def encode_fields(headers: Headers) -> tuple[bytes, int, int]:
    """Encode an application's response fields.

    Framing and connection fields are taken out: the server writes its own.

    Returns:
        The field lines, the declared Content-Length or -1, and the flags for the rest.

    Raises:
        LocalProtocolError: A name or value is not allowed on the wire.
    """
    declared = -1
    flags = 0
    lines: list[bytes] = []
    pairs: Iterable[Any] = headers  # whatever an application may have put there
    try:
        for field in pairs:
            try:
                line = _LINES.get(field)
            except TypeError:  # a pair that is a list, or a value that is a bytearray
                line = None
            if line is None:
                if field[0] == b"content-length":
                    # Differs from response to response, and the server writes it itself.
                    declared = _take_length(field[1], declared)
                    continue
                line, declared, flags = _encode_field(field, declared, flags)
            lines.append(line)
    except (TypeError, ValueError) as exc:
        raise LocalProtocolError("response fields must be pairs of bytes") from exc
    return b"".join(lines), declared, flags


def _encode_field(field: Any, declared: int, flags: int) -> tuple[bytes, int, int]:
    """Encode a field that was not found; an empty line if the server writes its own."""
    name, value = field
    lower = check_name(name)
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"the value of {lower.decode()} is not bytes")
    value = bytes(value)
    if _VALUE.fullmatch(value) is None:
        raise LocalProtocolError(f"CR, LF or NUL in the value of {lower.decode()}")
    line = b"%b: %b\r\n" % (lower, value)
    if lower in _FRAMING_FIELDS:
        declared, flags, keep = _take_framing_field(lower, value, declared, flags)
        return (line if keep else b""), declared, flags
    if len(line) <= _MAX_LINE_LENGTH and lower != b"set-cookie" and type(field) is tuple:
        if len(_LINES) >= _MAX_LINES:
            _LINES.clear()
        _LINES[name, value] = line
    return line, declared, flags


def length_field(size: int) -> bytes:
    """Return the Content-Length field for *size* bytes."""
    return LENGTH_FIELDS[size] if size < KEPT_LENGTHS else b"content-length: %d\r\n" % size


def check_name(name: Any) -> bytes:
    """Return the lower-case form of a field name.

    Raises:
        LocalProtocolError: It is not a token (RFC 9110 5.1).
    """
    if type(name) is not bytes or _TOKEN.fullmatch(name) is None:
        raise LocalProtocolError(f"invalid response field name {name!r}")
    return name.lower()


def _take_framing_field(
    lower: bytes, value: bytes, declared: int, flags: int
) -> tuple[int, int, bool]:
    """Note one field that concerns framing; say whether it is sent as it is."""
    if lower == b"content-length":
        return _take_length(value, declared), flags, False
    if lower == b"date":
        return declared, flags | HAS_DATE, True
    if lower == b"server":
        return declared, flags | HAS_SERVER, True
    if lower == b"connection" and b"close" in value.lower():
        flags |= CLOSE
    # Connection, Keep-Alive, Upgrade and Transfer-Encoding belong to the server.
    return declared, flags, False


def _take_length(value: Any, declared: int) -> int:
    length = _LENGTH_VALUES.get(value)
    if length is None:
        length = _parse_length(value)
    if declared >= 0 and declared != length:
        raise LocalProtocolError("conflicting Content-Length fields")
    return length


def _parse_length(value: Any) -> int:
    if type(value) is not bytes or not value.isdigit() or len(value) > 19:
        raise LocalProtocolError(f"invalid Content-Length {value!r}")
    if len(_LENGTH_VALUES) >= _MAX_LINES:
        _LENGTH_VALUES.clear()
    _LENGTH_VALUES[value] = length = int(value)
    return length


def is_event_stream(headers: Headers) -> bool:
    """Return whether the Content-Type is ``text/event-stream``, parameters aside."""
    pairs: Iterable[Any] = headers  # of any kind of buffer
    for field in pairs:
        name, value = field
        if name.lower() == b"content-type" and bytes(value[:17]).lower() == b"text/event-stream":
            return True
    return False


def trailer_section(trailers: Headers) -> bytes:
    """Return the last chunk with a trailer section (RFC 9112 7.1.2).

    Raises:
        LocalProtocolError: A field is invalid, or must not stand in trailers.
    """
    fields: list[Any] = []
    pairs: Iterable[Any] = trailers  # whatever an application may have put there
    try:
        for field in pairs:
            name, value = field
            fields.append((name, value))
    except (TypeError, ValueError) as exc:
        raise LocalProtocolError("trailer fields must be pairs of bytes") from exc
    for name, _ in fields:
        if check_name(name) in _FRAMING_FIELDS:
            raise LocalProtocolError(f"{name!r} must not stand in a trailer section")
    return b"0\r\n%b\r\n" % encode_fields(fields)[0]


def chunk(data: bytes) -> bytes:
    """Return *data* as one chunk (RFC 9112 7.1)."""
    return b"%X\r\n%b\r\n" % (len(data), data)


def date_field(timestamp: float) -> bytes:
    """Return the Date field for *timestamp*, in seconds since the epoch."""
    return b"date: %b\r\n" % formatdate(timestamp, usegmt=True).encode()


def simple_response(status: int, date: bytes, *, body: bytes = b"") -> bytes:
    """Return a whole response of the server's own, which ends the connection."""
    kind = b"content-type: text/plain; charset=utf-8\r\n" if body else b""
    return b"%b%b%b%bcontent-length: %d\r\nconnection: close\r\n\r\n%b" % (
        status_line(status, None),
        kind,
        SERVER_FIELD,
        date,
        len(body),
        body,
    )

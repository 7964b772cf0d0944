"""HTTP/2 responses as field lists, checked before anything is compressed.

The same rules as for HTTP/1.1 (`granian_core.http1.response`): names are tokens, values
hold no CR, LF or NUL, the framing is ours. Here names are lower-case on the wire, and
surrounding whitespace of a value would make the response malformed (RFC 9113 8.2.1).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from granian_core.errors import LocalProtocolError
from granian_core.http1.response import check_name, check_status_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from granian_core.stream import Fields, Headers

Field: TypeAlias = tuple[bytes, bytes]

_VALUE: Final = re.compile(rb"[^\r\n\0]*")
_OWN: Final = frozenset(
    (
        b"connection",
        b"content-length",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""Fields that are the server's to send, or that HTTP/2 does not have (RFC 9113 8.2.2)."""
_NOT_IN_TRAILERS: Final = _OWN | {b"date", b"server"}

SERVER: Final = (b"server", b"granian")

NOT_PAIRS: Final = "response fields must be pairs of bytes"

_STATUS: Final = {status: (b":status", b"%d" % status) for status in range(100, 600)}

# Fields that applications have sent before, and what they are on the wire.
_KNOWN: dict[tuple[bytes, bytes], tuple[bytes, bytes]] = {}
_MAX_KNOWN: Final = 1024
_MAX_LENGTH: Final = 160
_MAX_FIELDS: Final = 16

# Whole heads that applications have sent before.
_HEADS: dict[tuple[int, Headers], ResponseHead] = {}


def status_field(status: int, reason: bytes | None) -> tuple[bytes, bytes]:
    """Return ``:status``.

    Raises:
        LocalProtocolError: The status is out of range, or the phrase, which HTTP/2 does
            not send, would be refused on HTTP/1.1.
    """
    if reason is not None and _VALUE.fullmatch(reason) is None:
        raise LocalProtocolError("invalid reason phrase")
    field = _STATUS.get(status)
    if field is not None:
        return field
    check_status_type(status)
    if type(status) is not int or not 600 <= status <= 999:
        raise LocalProtocolError(f"{status!r} is not a response status")
    return (b":status", b"%d" % status)


def date_field(line: bytes) -> tuple[bytes, bytes]:
    """Return the Date field of *line*, which is that of HTTP/1.1 with its line ending."""
    return (b"date", line[6:-2])


class ResponseHead:
    """A response head that was judged, without its Date and its length.

    Attributes:
        declared: The Content-Length that the application has declared, or -1.
    """

    __slots__ = ("_base", "_has_date", "_last", "declared")

    def __init__(self, base: tuple[Field, ...], declared: int, *, has_date: bool) -> None:
        self.declared = declared
        self._base = base
        self._has_date = has_date
        self._last: tuple[bytes, int, tuple[Field, ...]] = (b"", -2, ())

    def fields(self, date_line: bytes, length: int) -> tuple[Field, ...]:
        """Return the whole field section.

        Args:
            date_line: The server's Date; the same object for a second.
            length: The Content-Length to send, or -1.
        """
        last_date, last_length, fields = self._last
        if last_date is date_line and last_length == length:
            return fields
        fields = self._base
        if not self._has_date:
            fields += (date_field(date_line),)
        if length >= 0:
            fields += ((b"content-length", b"%d" % length),)
        self._last = (date_line, length, fields)
        return fields


def response_head(status: int, headers: Headers, reason: bytes | None) -> ResponseHead:
    """Judge a final response head; one that was judged before is not judged again.

    Raises:
        LocalProtocolError: As for `status_field` and `check_fields`.
    """
    try:
        headers = tuple(headers)
    except (TypeError, ValueError) as exc:
        raise LocalProtocolError(NOT_PAIRS) from exc
    key = None
    if reason is None:
        try:
            key = (status, headers)
            head = _HEADS.get(key)
        except (TypeError, ValueError):  # a pair that is a list, a value that is a bytearray
            head = key = None
        if head is not None:
            return head
    fields = [status_field(status, reason)]
    declared, has_date, has_server = check_fields(headers, fields)
    if not has_server:
        fields.append(SERVER)
    head = ResponseHead(tuple(fields), declared, has_date=has_date)
    if key is not None and _may_remember(fields):
        if len(_HEADS) >= _MAX_KNOWN:
            _HEADS.clear()
        _HEADS[key] = head
    return head


def _may_remember(fields: Fields) -> bool:
    """Whether a head is small, and holds nothing that is for one client."""
    return len(fields) <= _MAX_FIELDS and not any(
        name == b"set-cookie" or len(name) + len(value) > _MAX_LENGTH for name, value in fields
    )


def check_fields(headers: Headers, fields: Fields) -> tuple[int, bool, bool]:
    """Check an application's fields and append them to *fields*.

    Returns:
        The declared Content-Length or -1, and whether Date and Server are among them.

    Raises:
        LocalProtocolError: A name or value is not allowed on the wire.
    """
    declared = -1
    has_date = has_server = False
    pairs: Iterable[Any] = headers  # whatever an application may have put there
    try:
        for field in pairs:
            try:
                line = _KNOWN.get(field)
            except TypeError:  # a pair that is a list, or a value that is a bytearray
                line = None
            if line is None:
                name, value = field
                line = _check_field(name, value)
                name = line[0]
                if name in _OWN:
                    if name == b"content-length":
                        declared = _take_length(line[1], declared)
                    continue
                has_date = has_date or name == b"date"
                has_server = has_server or name == b"server"
            fields.append(line)
    except (TypeError, ValueError) as exc:
        raise LocalProtocolError(NOT_PAIRS) from exc
    return declared, has_date, has_server


def _check_field(name: Any, value: Any) -> tuple[bytes, bytes]:
    lower = check_name(name)
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise TypeError(f"the value of {lower.decode()} is not bytes")
    kept = bytes(value)
    if _VALUE.fullmatch(kept) is None:
        raise LocalProtocolError(f"CR, LF or NUL in the value of {lower.decode()}")
    line = (lower, kept.strip(b" \t"))
    if (
        lower not in _NOT_IN_TRAILERS
        and lower != b"set-cookie"
        and len(lower) + len(kept) <= _MAX_LENGTH
        and type(value) is bytes
    ):
        if len(_KNOWN) >= _MAX_KNOWN:
            _KNOWN.clear()
        _KNOWN[name, value] = line
    return line


def _take_length(value: bytes, declared: int) -> int:
    if not value.isdigit() or len(value) > 19:
        raise LocalProtocolError(f"invalid Content-Length {value!r}")
    length = int(value)
    if declared not in (-1, length):
        raise LocalProtocolError("conflicting Content-Length fields")
    return length


def trailer_fields(trailers: Headers) -> Fields:
    """Return a trailer section.

    Raises:
        LocalProtocolError: A field is invalid, or must not stand in trailers.
    """
    fields: Fields = []
    pairs: Iterable[Any] = trailers  # whatever an application may have put there
    try:
        for field in pairs:
            name, value = field
            line = _check_field(name, value)
            if line[0] in _NOT_IN_TRAILERS:
                raise LocalProtocolError(f"{name!r} must not stand in a trailer section")
            fields.append(line)
    except (TypeError, ValueError) as exc:
        raise LocalProtocolError("trailer fields must be pairs of bytes") from exc
    return fields

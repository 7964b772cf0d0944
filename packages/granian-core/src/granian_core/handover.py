"""A response that crosses to the loop of its connection, from wherever its application runs.

Whatever is the application's fault is found before it crosses, in the application's own
frame: `check_final_head`, `check_trailers`. The functions below them then do on the loop what
was asked for; what is still refused there concerns a response that has ended otherwise
meanwhile, so that nobody is to blame.

What crosses goes through a `granian_core.channel.Channel`.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from granian_core.errors import LocalProtocolError
from granian_core.http1.response import encode_fields, status_line, trailer_section
from granian_core.http2.response import response_head, trailer_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

    from granian_core.stream import Fields, Headers, HTTPStream

logger = logging.getLogger("_granian.serve")

_NO_PAIRS: Final = "response fields must be pairs of bytes"

TOO_LONG: Final = "the response body is longer than its Content-Length"
TOO_SHORT: Final = "the response body is shorter than its Content-Length"


def copy_fields(headers: Headers) -> Fields:
    """Return fields that are checked already as a list of nobody else's."""
    pairs: Iterable[Any] = headers  # of any kind of buffer
    return [(bytes(name), bytes(value)) for name, value in pairs]


def check_head(
    http_version: str, status: int, headers: Headers, reason: bytes | None
) -> tuple[Headers, int]:
    """Check a response head as its connection will.

    Returns:
        The fields, which the application can not change any more, and the declared
        Content-Length or -1.

    Raises:
        LocalProtocolError: The connection would refuse it.
    """
    try:
        fields = tuple(headers)
    except TypeError as exc:
        raise LocalProtocolError(_NO_PAIRS) from exc
    if http_version == "2":
        declared = response_head(status, fields, reason).declared
    else:
        declared = encode_fields(fields)[1]
        status_line(status, reason)
    try:
        hash(fields)
    except (TypeError, ValueError):  # something in it could still change
        return copy_fields(fields), declared
    return fields, declared


def check_final_head(
    http_version: str, status: int, headers: Headers, reason: bytes | None
) -> tuple[Headers, int]:
    """Check the head of a final response; see `check_head`."""
    checked = check_head(http_version, status, headers, reason)
    if status < 200:
        raise LocalProtocolError(f"{status} is not a final response status")
    return checked


def check_trailers(http_version: str, trailers: Headers) -> Fields:
    """Check a trailer section as the connection will; see `check_head`."""
    pairs: Iterable[Any] = trailers
    try:
        fields = [(name, value) for name, value in pairs]
    except (TypeError, ValueError) as exc:
        raise LocalProtocolError("trailer fields must be pairs of bytes") from exc
    if http_version == "2":
        trailer_fields(fields)
    else:
        trailer_section(fields)
    return copy_fields(fields)


def has_no_content(method: str, status: int) -> bool:
    """Whether a response has no content on the wire (RFC 9110 6.4.1)."""
    return method == "HEAD" or status == 204 or status == 304


# -- on the loop ---------------------------------------------------------------------------


def respond(
    stream: HTTPStream, status: int, headers: Headers, body: bytes, reason: bytes | None
) -> None:
    """Send the whole response."""
    try:
        stream.respond(status, headers, body, reason=reason)
    except LocalProtocolError as exc:
        logger.debug("%s: %s", stream.client, exc)


def start(stream: HTTPStream, status: int, headers: Headers, reason: bytes | None) -> None:
    """Send the response head."""
    try:
        stream.start(status, headers, reason=reason)
    except LocalProtocolError as exc:
        logger.debug("%s: %s", stream.client, exc)


def write(stream: HTTPStream, data: bytes) -> None:
    """Send a piece of content."""
    try:
        stream.write(data)
    except LocalProtocolError as exc:
        logger.debug("%s: %s", stream.client, exc)


def finish(stream: HTTPStream, trailers: Headers | None) -> None:
    """End the response."""
    try:
        stream.finish(trailers)
    except LocalProtocolError as exc:
        logger.debug("%s: %s", stream.client, exc)


def inform(stream: HTTPStream, status: int, headers: Headers) -> None:
    """Send an informational response."""
    try:
        stream.inform(status, headers)
    except LocalProtocolError as exc:
        logger.debug("%s: %s", stream.client, exc)

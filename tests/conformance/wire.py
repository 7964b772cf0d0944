"""A strict reader of the responses that came back: what no client should have to forgive."""

from __future__ import annotations

import re
from dataclasses import dataclass

STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)")
FIELD_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ?([\t\x20-\x7e\x80-\xff]*)")
DATE = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")


class BadResponseError(AssertionError):
    """The server sent something that is not one well-formed response."""


@dataclass(slots=True)
class Response:
    """One final response."""

    status: int
    minor: int
    fields: list[tuple[str, str]]
    """Names lower-case."""
    body: bytes
    trailers: list[tuple[str, str]]
    informational: list[int]
    """Statuses of the 1xx responses in front of it."""
    whole: bool
    """False where the connection ended inside the body."""

    def values(self, name: str) -> list[str]:
        """Return the values of every field called *name*."""
        return [value for key, value in self.fields if key == name]

    @property
    def closes(self) -> bool:
        """Whether it announces the end of the connection."""
        return "close" in self.values("connection")


def parse_responses(raw: bytes, heads: list[bool]) -> list[Response]:
    """Take *raw*, everything that came until the end of the connection, apart.

    Args:
        raw: The bytes.
        heads: For each expected response, whether it answers a HEAD. An informational
            response that no final one follows is dropped.

    Raises:
        BadResponseError: The bytes are not a sequence of well-formed responses.
    """
    responses: list[Response] = []
    informational: list[int] = []
    while raw:
        is_head = heads[len(responses)] if len(responses) < len(heads) else False
        response, raw = _parse_one(raw, is_head=is_head)
        if response.status < 200:
            informational.append(response.status)
            continue
        response.informational, informational = informational, []
        responses.append(response)
    return responses


def _parse_one(raw: bytes, *, is_head: bool) -> tuple[Response, bytes]:
    head, end, rest = raw.partition(b"\r\n\r\n")
    if not end:
        raise BadResponseError(f"cut or malformed head {raw[:200]!r}")
    line, *lines = head.split(b"\r\n")
    match = STATUS_LINE.fullmatch(line)
    if match is None:
        raise BadResponseError(f"status line {line!r}")
    status = int(match[2])
    response = Response(status, int(match[1]), _fields(lines), b"", [], [], whole=True)
    _check_head(response)
    if is_head or status < 200 or status in (204, 304):
        return response, rest
    if response.values("transfer-encoding"):
        return response, _take_chunked(response, rest)
    lengths = response.values("content-length")
    if not lengths:
        if not response.closes and response.minor:
            raise BadResponseError("a body without an end")
        response.body = rest
        return response, b""
    length = int(lengths[0])
    response.body, rest = rest[:length], rest[length:]
    response.whole = len(response.body) == length
    return response, rest


def _fields(lines: list[bytes]) -> list[tuple[str, str]]:
    fields = []
    for line in lines:
        match = FIELD_LINE.fullmatch(line)
        if match is None:
            raise BadResponseError(f"field line {line!r}")
        fields.append((match[1].decode().lower(), match[2].decode("latin-1")))
    return fields


def _check_head(response: Response) -> None:
    """Check what holds for every response of this server (RFC 9110 6.6.1, 8.6; 9112 6)."""
    lengths, codings = response.values("content-length"), response.values("transfer-encoding")
    if len(lengths) + len(codings) > 1:
        raise BadResponseError(f"two framings: {response.fields}")
    if lengths and not re.fullmatch(r"[0-9]+", lengths[0]):
        raise BadResponseError(f"Content-Length {lengths[0]!r}")
    if codings and (codings != ["chunked"] or response.minor == 0):
        raise BadResponseError(f"Transfer-Encoding {codings} in 1.{response.minor}")
    if (response.status < 200 or response.status == 204) and (lengths or codings):
        raise BadResponseError(f"{response.status} with framing")
    if response.status >= 200:
        dates = response.values("date")
        if len(dates) != 1 or not DATE.fullmatch(dates[0]):
            raise BadResponseError(f"Date {dates}")


def _take_chunked(response: Response, rest: bytes) -> bytes:
    body = bytearray()
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            break
        if not re.fullmatch(rb"[0-9A-F]+", line):
            raise BadResponseError(f"chunk size {line!r}")
        size = int(line, 16)
        if size == 0:
            return _take_trailers(response, bytes(body), rest)
        if len(rest) < size + 2:
            body += rest[:size]
            break
        if rest[size : size + 2] != b"\r\n":
            raise BadResponseError("chunk data without CRLF")
        body += rest[:size]
        rest = rest[size + 2 :]
    response.body = bytes(body)
    response.whole = False
    return b""


def _take_trailers(response: Response, body: bytes, rest: bytes) -> bytes:
    response.body = body
    lines: list[bytes] = []
    while True:
        line, end, rest = rest.partition(b"\r\n")
        if not end:
            response.whole = False
            return b""
        if not line:
            response.trailers = _fields(lines)
            return rest
        lines.append(line)

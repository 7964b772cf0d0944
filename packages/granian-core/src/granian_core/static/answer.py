"""What to answer about one representation of a file. Pure functions (RFC 9110 8, 13, 14)."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from granian_core.static.conditions import NOT_MODIFIED, PROCEED, evaluate, range_applies
from granian_core.static.ranges import (
    Span,
    content_range,
    multipart,
    parse_range,
    unsatisfied_range,
)

if TYPE_CHECKING:
    from granian_core.stream import Fields

Pieces: TypeAlias = "list[bytes | Span]"
"""Content in order: bytes as they are, and parts of the file."""

LOOKED_AT: Final = frozenset(
    (
        b"accept-encoding",
        b"if-match",
        b"if-modified-since",
        b"if-none-match",
        b"if-range",
        b"if-unmodified-since",
        b"range",
    )
)
"""Request fields that decide about the answer."""

_LISTS: Final = frozenset((b"accept-encoding", b"if-match", b"if-none-match"))
_ON_304: Final = frozenset((b"cache-control", b"etag", b"last-modified", b"vary"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Representation:
    """A file in one content coding, as clients see it."""

    size: int
    etag: bytes
    modified: int
    """Last-Modified, in seconds since the epoch."""
    content_type: bytes | None
    headers: Fields
    """Of a 200, without Content-Length."""


def select_fields(headers: Fields) -> dict[bytes, bytes]:
    """Return the fields of a request that matter here; lists that are repeated are joined."""
    selected: dict[bytes, bytes] = {}
    for name, value in headers:
        if name in LOOKED_AT:
            if name in selected and name in _LISTS:
                value = selected[name] + b"," + value  # noqa: PLW2901 - one list (RFC 9110 5.3)
            selected[name] = value
    return selected


def answer(
    method: str, fields: Mapping[bytes, bytes], file: Representation
) -> tuple[int, Fields, Pieces, int]:
    """Return status, fields and content for GET or HEAD, and how long the content is.

    Args:
        method: ``GET`` or ``HEAD``.
        fields: From `select_fields`.
        file: The representation that was selected.
    """
    status = evaluate(fields, file.etag, file.modified)
    if status == NOT_MODIFIED:
        return 304, [field for field in file.headers if field[0] in _ON_304], [], 0
    if status != PROCEED:
        return 412, [(b"etag", file.etag)], [], 0
    wanted = fields.get(b"range")
    # A Range means nothing with HEAD (RFC 9110 14.2).
    if wanted is None or method != "GET" or not range_applies(fields, file.etag, file.modified):
        return _whole(file)
    spans = parse_range(wanted, file.size)
    if spans is None:
        return _whole(file)
    if not spans:
        return 416, [(b"content-range", unsatisfied_range(file.size))], [], 0
    if len(spans) == 1:
        part = (b"content-range", content_range(spans[0], file.size))
        return 206, [*file.headers, part], [spans[0]], spans[0].length
    return _multipart(file, spans)


def _whole(file: Representation) -> tuple[int, Fields, Pieces, int]:
    return 200, file.headers, [Span(0, file.size)], file.size


def _multipart(file: Representation, spans: list[Span]) -> tuple[int, Fields, Pieces, int]:
    boundary = secrets.token_hex(16).encode()
    pieces, length = multipart(spans, file.size, file.content_type, boundary)
    headers = [field for field in file.headers if field[0] != b"content-type"]
    headers.append((b"content-type", b"multipart/byteranges; boundary=" + boundary))
    return 206, headers, pieces, length

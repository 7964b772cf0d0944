"""Byte ranges (RFC 9110 14). Pure functions.

A field that is not understood is ignored, as is one that asks for more pieces than
`MAX_RANGES`: the whole file is a correct answer to both, and costs less than thousands of
parts. Overlapping ranges are merged, so that no byte is sent twice.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

MAX_RANGES: Final = 32
"""Most ranges of one request; beyond it the whole file is sent."""
MAX_FIELD: Final = 2048
"""Longest Range field, in bytes, that is looked at."""
PART_OVERHEAD: Final = 80
"""Bytes between two parts of a multipart response: a smaller gap is sent as content."""

_RANGE: Final = re.compile(rb"[ \t]*(?:(\d{1,19})-(\d{0,19})|-(\d{1,19}))[ \t]*")


class Span(NamedTuple):
    """Bytes of a file from *start* to before *end*."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes."""
        return self.end - self.start


def parse_range(field: bytes, size: int) -> list[Span] | None:
    """Return the ranges that *field* asks of a file of *size* bytes.

    Returns:
        The satisfiable ranges, overlapping ones merged; empty if none is (416); None if the
        field is to be ignored.
    """
    unit, found, text = field.partition(b"=")
    if not found or unit.strip().lower() != b"bytes" or len(field) > MAX_FIELD:
        return None
    items = [item for item in text.split(b",") if item.strip()]
    if not items or len(items) > MAX_RANGES:
        return None
    spans: list[Span] = []
    for item in items:
        match = _RANGE.fullmatch(item)
        if match is None:
            return None
        if match[3] is not None:
            start, end = max(0, size - int(match[3])), size
        else:
            start = int(match[1])
            end = int(match[2]) + 1 if match[2] else max(size, start + 1)
            if end <= start:
                return None  # "9-8" is not a range (RFC 9110 14.1.1)
        if start < min(end, size):
            spans.append(Span(start, min(end, size)))
    return _merge(spans)


def _merge(spans: list[Span]) -> list[Span]:
    """Merge what overlaps; the order of the request is kept where nothing does."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and span.start <= merged[-1].end + PART_OVERHEAD:
            merged[-1] = Span(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return spans if len(merged) == len(spans) else merged


def content_range(span: Span, size: int) -> bytes:
    """Return the value of Content-Range for one part."""
    return b"bytes %d-%d/%d" % (span.start, span.end - 1, size)


def unsatisfied_range(size: int) -> bytes:
    """Return the value of Content-Range for a 416."""
    return b"bytes */%d" % size


def multipart(
    spans: list[Span], size: int, content_type: bytes | None, boundary: bytes
) -> tuple[list[bytes | Span], int]:
    """Lay out a ``multipart/byteranges`` body (RFC 9110 14.6).

    Returns:
        The pieces in order, bytes as they are and spans of the file; their length together.
    """
    kind = b"Content-Type: %b\r\n" % content_type if content_type else b""
    pieces: list[bytes | Span] = []
    between = b"--%b\r\n" % boundary
    for span in spans:
        pieces.append(b"%b%bContent-Range: %b\r\n\r\n" % (between, kind, content_range(span, size)))
        pieces.append(span)
        between = b"\r\n--%b\r\n" % boundary
    pieces.append(b"\r\n--%b--\r\n" % boundary)
    length = sum(piece.length if isinstance(piece, Span) else len(piece) for piece in pieces)
    return pieces, length

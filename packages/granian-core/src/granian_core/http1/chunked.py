"""The chunked transfer coding (RFC 9112 7.1), strictly.

One scanner serves both engines: the fast one takes its data, the reference one
lets it judge the bytes before h11 sees them. Sizes are bounded before anything is
kept, and every byte is looked at a constant number of times.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from granian_core.http1.guard import FIELD_LINE, OWS, Fault

if TYPE_CHECKING:
    from granian_core.stream import Fields

MAX_EXTENSION_LINE: Final = 256
"""Bytes of chunk extensions in one line."""
MAX_EXTENSION_BYTES: Final = 16_384
"""Bytes of chunk extensions in one body."""
MAX_TRAILER_BYTES: Final = 16_384
"""Bytes of a trailer section."""
MAX_TRAILER_FIELDS: Final = 50
"""Fields of a trailer section."""
_MAX_SIZE_DIGITS: Final = 16
_MAX_SIZE: Final = 0x7FFF_FFFF_FFFF_FFFF

# Deviation: RFC 9112 7.1.1 allows whitespace around an extension's parts ("bad"
# whitespace); it is refused, because implementations differ in where they put it.
_QUOTED: Final = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_NAME: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,16})((?:;" + _NAME + rb"(?:=(?:" + _NAME + rb"|" + _QUOTED + rb"))?)*)"
)

# RFC 9110 6.5.1: fields that frame, route, authenticate or modify the request.
FORBIDDEN_TRAILERS: Final = frozenset(
    (
        b"authorization",
        b"connection",
        b"content-encoding",
        b"content-length",
        b"content-range",
        b"content-type",
        b"cookie",
        b"expect",
        b"host",
        b"keep-alive",
        b"max-forwards",
        b"proxy-authorization",
        b"proxy-connection",
        b"range",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

_SIZE: Final = 0
_DATA: Final = 1
_DATA_END: Final = 2
_TRAILER: Final = 3


class ChunkedScanner:
    """Follows the framing of one chunked body.

    Attributes:
        done: The body, with its trailer section, is complete.
        trailers: The trailer section, or None if it was empty.
    """

    __slots__ = (
        "_extensions",
        "_line",
        "_remaining",
        "_state",
        "_trailer_bytes",
        "done",
        "trailers",
    )

    def __init__(self) -> None:
        self.done = False
        self.trailers: Fields | None = None
        self._state = _SIZE
        self._line = bytearray()
        self._remaining = 0
        self._extensions = 0
        self._trailer_bytes = 0

    def scan(self, data: bytes, out: list[bytes]) -> int:
        """Follow *data*, appending its content to *out*.

        Returns:
            How many bytes belong to this body; less than ``len(data)`` only when done.

        Raises:
            Fault: 400 for anything that is not exactly the grammar, or over a bound.
        """
        position = 0
        length = len(data)
        while position < length and not self.done:
            if self._state == _DATA:
                end = min(length, position + self._remaining)
                out.append(data[position:end])
                self._remaining -= end - position
                position = end
                if not self._remaining:
                    self._state = _DATA_END
            else:
                position = self._scan_line(data, position)
        return position

    def _scan_line(self, data: bytes, position: int) -> int:
        end = data.find(b"\n", position)
        stop = len(data) if end < 0 else end + 1
        self._line += data[position:stop]
        self._check_line_size()
        if end >= 0:
            if self._line[-2:] != b"\r\n":
                raise Fault(400, "bare LF in chunked framing")
            line = bytes(self._line[:-2])
            self._line.clear()
            self._take_line(line)
        return stop

    def _check_line_size(self) -> None:
        size = len(self._line)
        if self._state == _DATA_END:
            # Exactly CRLF ends a chunk; refuse a wrong byte before a whole line of them came.
            if bytes(self._line) != b"\r\n"[:size]:
                raise Fault(400, "chunk data is not followed by CRLF")
        elif self._state == _SIZE:
            if size > _MAX_SIZE_DIGITS + MAX_EXTENSION_LINE + 2:
                raise Fault(400, "chunk size line too long")
        elif self._trailer_bytes + size > MAX_TRAILER_BYTES:
            raise Fault(400, "trailer section too large")

    def _take_line(self, line: bytes) -> None:
        if self._state == _SIZE:
            self._take_size(line)
        elif self._state == _DATA_END:
            self._state = _SIZE
        elif line:
            self._take_trailer(line)
        else:
            self.done = True

    def _take_size(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise Fault(400, "invalid chunk size line")
        extension = len(match[2])
        self._extensions += extension
        if extension > MAX_EXTENSION_LINE or self._extensions > MAX_EXTENSION_BYTES:
            raise Fault(400, "chunk extensions too large")
        self._remaining = int(match[1], 16)
        if self._remaining > _MAX_SIZE:
            raise Fault(400, "chunk size overflows")
        self._state = _DATA if self._remaining else _TRAILER

    def _take_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line) + 2
        if FIELD_LINE.fullmatch(line) is None:
            raise Fault(400, "malformed trailer field")
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in FORBIDDEN_TRAILERS:
            raise Fault(400, "forbidden trailer field")
        if self.trailers is None:
            self.trailers = []
        if len(self.trailers) >= MAX_TRAILER_FIELDS:
            raise Fault(400, "too many trailer fields")
        self.trailers.append((name, value.strip(OWS)))

"""The fast HTTP/1.1 engine: a strict parser of our own.

It exists because the guard that a lenient parser needs already looks at every byte
of a head; splitting the lines that the guard has judged costs less than a second
parser's callbacks (`docs/architecture.md` has the measurement).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from granian_core.http1.chunked import ChunkedScanner
from granian_core.http1.contract import BODY, CHUNKED, WAITING, HTTP1Handler
from granian_core.http1.engine import BaseEngine
from granian_core.http1.guard import (
    HEAD,
    OWS,
    SPECIAL_FIELDS,
    check_version,
    is_valid_host,
    settle_request,
)

if TYPE_CHECKING:
    from granian_core.settings import HTTP1Settings, Limits
    from granian_core.stream import Fields

_METHODS: Final = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
}

# Lower-case forms of field names, found by their spelling on the wire. The special
# ones are absent, so that a miss also says "look closer". Bounded: a peer can fill
# it, which costs the others nothing but the `lower` they would have paid anyway.
_NAMES: dict[bytes, bytes] = {}
_MAX_NAMES: Final = 1024
_MAX_NAME_LENGTH: Final = 64


class FastEngine(BaseEngine):
    """See the module, and the contract for the methods."""

    __slots__ = ("_chunked", "_host", "_max_head", "_remaining")

    def __init__(self, handler: HTTP1Handler, settings: HTTP1Settings, limits: Limits) -> None:
        super().__init__(handler, settings, limits)
        self._chunked: ChunkedScanner | None = None
        self._remaining = 0
        self._host = b""
        # A head no longer than this can break no size limit.
        self._max_head = min(settings.max_buffer_size - 4, limits.request_line)

    def _parse_head(self, data: bytes, end: int) -> None:
        head = data[:end]
        match = HEAD.fullmatch(head)
        if match is None or end > self._max_head:
            self._check_whole_head(data, end)
        self._take_head(head)

    def _take_head(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        if len(lines) - 1 > self._settings.max_fields:
            # The scanner finds which comes first on the wire: this, or another fault.
            self._check_whole_head(head + b"\r\n\r\n", len(head))
        method, target, version = lines[0].split(b" ")
        if version[5] != 0x31:
            check_version(version[5:6])
        minor = 0 if version[7] == 0x30 else 1
        headers: Fields = []
        append = headers.append
        names = _NAMES
        special: Fields = []
        del lines[0]
        for line in lines:
            name, _, value = line.partition(b":")
            value = value.strip(OWS)
            known = names.get(name)
            if known is None:
                known = _learn_name(name)
                if known in SPECIAL_FIELDS:
                    special.append((known, value))
            append((known, value))
        keep_alive = True
        content_length = 0
        expects_continue = False
        if (
            len(special) == 1
            and minor == 1
            and special[0][0] == b"host"
            and target[0] == 0x2F
            and method != b"CONNECT"
            and (special[0][1] == self._host or is_valid_host(special[0][1]))
        ):
            # Host alone: nothing else that could matter is there.
            self._host = special[0][1]
        else:
            keep_alive, content_length, expects_continue = settle_request(
                method, target, minor, special
            )
        name_of_method = _METHODS.get(method)
        if name_of_method is None:
            name_of_method = method.decode("ascii")
        if content_length == 0:
            self.state = WAITING
        else:
            self.state = BODY
            self._remaining = content_length
            self._chunked = ChunkedScanner() if content_length == CHUNKED else None
        self._handler.on_request(
            name_of_method, target, minor, headers, keep_alive, content_length, expects_continue
        )

    def _read_body(self, data: bytes) -> bytes:
        if self._chunked is not None:
            return self._read_chunked(data, self._chunked)
        size = len(data)
        if size < self._remaining:
            self._remaining -= size
            self._handler.on_data(data)
            return b""
        rest = b""
        if size > self._remaining:
            rest = data[self._remaining :]
            data = data[: self._remaining]
        self._remaining = 0
        self._handler.on_data(data)
        self._end_body(None)
        return rest

    def _read_chunked(self, data: bytes, scanner: ChunkedScanner) -> bytes:
        out: list[bytes] = []
        try:
            consumed = scanner.scan(data, out)
        finally:
            # What came before a fault has been received; deliver it in both engines.
            if out:
                self._handler.on_data(out[0] if len(out) == 1 else b"".join(out))
        if scanner.done:
            self._chunked = None
            self._end_body(scanner.trailers)
        return data[consumed:]

    def _end_body(self, trailers: Fields | None) -> None:
        if self.state == BODY:
            self.state = WAITING
            self._handler.on_end(trailers)


def _learn_name(name: bytes) -> bytes:
    lower = name.lower()
    if lower not in SPECIAL_FIELDS and len(name) <= _MAX_NAME_LENGTH and len(_NAMES) < _MAX_NAMES:
        _NAMES[name] = lower
    return lower

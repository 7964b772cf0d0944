"""The fast HTTP/1.1 engine: a strict parser of our own.

It exists because the guard that a lenient parser needs already looks at every byte
of a head; splitting the lines that the guard has judged costs less than a second
parser's callbacks (`docs/architecture.md` has the measurement).

Clients repeat themselves: most lines of a head (User-Agent, Accept, Host …) have been
seen before. Lines that were judged and taken apart are kept in bounded tables and found
again at a fifth of the cost. Only lines that are valid by themselves and hold no secret
are kept, and a full table starts anew. A client that asks again on its connection mostly
sends the same fields: the last ones are kept with the connection, and compared as a
whole first. Equal bytes have equal verdicts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

from granian_core.http1.chunked import ChunkedScanner
from granian_core.http1.contract import BODY, CHUNKED, IDLE, WAITING, HTTP1Handler
from granian_core.http1.engine import BaseEngine
from granian_core.http1.guard import (
    FIELD_VALUE,
    OWS,
    REQUEST_LINE,
    SPECIAL_FIELDS,
    TOKEN,
    Fault,
    check_version,
    settle_request,
)

if TYPE_CHECKING:
    from granian_core.settings import HTTP1Settings, Limits
    from granian_core.stream import Fields

_METHODS: Final = {
    method.encode(): method
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE")
}

_REQUEST_LINES: dict[bytes, tuple[str, bytes]] = {}
"""HTTP/1.1 request lines in origin-form, without a query: ``(method, target)``."""
_FIELD_LINES: dict[bytes, tuple[bytes, bytes]] = {}
"""Field lines that mean the same whatever stands around them: ``(name, value)``."""
_HOST_LINES: dict[bytes, tuple[bytes, bytes]] = {}
"""Valid Host lines; a head needs exactly one of them."""
_NAMES: dict[bytes, bytes] = {}
"""Names that are tokens, with their lower-case forms."""
_MAX_LINES: Final = 1024
_MAX_NAME_LENGTH: Final = 64
_MAX_LINE_LENGTH: Final = 256
_MAX_BLOCK_LENGTH: Final = 1024
"""Longer ones are not kept with a connection, which may be one of thousands."""

_NOT_KEPT: Final = frozenset(
    (
        b"authorization", b"cookie", b"proxy-authorization",
        b"b3", b"traceparent", b"tracestate", b"x-amzn-trace-id", b"x-b3-spanid",
        b"x-b3-traceid", b"x-correlation-id", b"x-request-id",
    )
)  # fmt: skip
"""Secrets; and what is another in every request, and would only push the others out."""


class FastEngine(BaseEngine):
    """See the module, and the contract for the methods."""

    __slots__ = ("_block", "_chunked", "_fields", "_max_fields", "_max_head", "_remaining")

    def __init__(self, handler: HTTP1Handler, settings: HTTP1Settings, limits: Limits) -> None:
        super().__init__(handler, settings, limits)
        # The field lines of the last head that asked for nothing special, and what they say.
        self._block = b""
        self._fields: Fields = []
        self._chunked: ChunkedScanner | None = None
        self._remaining = 0
        self._max_fields = settings.max_fields
        # A head no longer than this can break no size limit.
        self._max_head = min(settings.max_buffer_size - 4, limits.request_line)

    def receive_data(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if (
            self.state == IDLE
            and data[-4:] == b"\r\n\r\n"
            and len(data) <= self._max_head
            and data[0] != 0x0D
            and not self._running
        ):
            # One whole head and nothing else is what most reads bring: no loop, few slices.
            end = data.index(b"\r\n")
            line = data[:end]
            block = data[end:]
            if block == self._block:
                self._repeat(line)
                return
            if self._take_single(line, block):
                return
        super().receive_data(data)

    def _repeat(self, line: bytes) -> None:
        """Take a head whose fields are those of the last one, which were settled."""
        self._running = True
        self._skipped_empty_line = False
        try:
            request = _REQUEST_LINES.get(line)
            minor = 1
            if request is None:
                request, minor = _take_request_line(line)
            method, target = request
            # A copy: an application may change what it is given.
            headers = self._fields.copy()
            if target[0] == 0x2F and minor and method != "CONNECT":
                self.state = WAITING
                self.repeated = True
                self._handler.on_request(method, target, 1, headers, True, 0, False)
            else:
                self._settle(method, target, minor, headers, [])
        except Fault as fault:
            self._fail(fault.status, fault.reason)
        finally:
            self._running = False

    def _take_single(self, line: bytes, block: bytes) -> bool:
        """Take one head; say False, having done nothing, if there are more.

        Args:
            line: The request line.
            block: All after it, from its CRLF to the empty line.
        """
        lines = block.split(b"\r\n")
        if len(lines) - 2 > self._max_fields:
            return False
        del lines[-2:]
        lines[0] = line
        self._running = True
        self._skipped_empty_line = False
        try:
            return self._take_lines(lines, block)
        except Fault as fault:
            self._fail(fault.status, fault.reason)
            return True
        finally:
            self._running = False

    def _parse_head(self, data: bytes, end: int) -> None:
        if end > self._max_head:
            self._check_whole_head(data, end)
        self._take_head(data[:end])

    def _take_head(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        if len(lines) > self._max_fields:
            # The scanner finds which comes first on the wire: this, or another fault.
            self._check_whole_head(head + b"\r\n\r\n", len(head))
        self._take_lines(lines)

    def _take_lines(self, lines: list[bytes], block: bytes = b"") -> bool:
        """Judge and take the lines of a head; False at an empty one, which ends a head.

        Args:
            lines: The request line and the field lines.
            block: As for `_take_single`, if the next head may be compared with it.
        """
        line = lines[0]
        request = _REQUEST_LINES.get(line)
        minor = 1
        if request is None:
            request, minor = _take_request_line(line)
        del lines[0]
        found = list(map(_FIELD_LINES.get, lines))
        hosts = 0
        settled = True
        while None in found:  # a Host, a secret, or a line that was not seen yet
            index = found.index(None)
            line = lines[index]
            field = _HOST_LINES.get(line)
            if field is not None:
                hosts += 1
            elif not line:
                return False
            else:
                field = _take_field_line(line)
                if field[0] in SPECIAL_FIELDS:
                    settled = False
            found[index] = field
        headers = cast("Fields", found)
        method, target = request
        if settled and hosts == 1 and minor == 1 and target[0] == 0x2F and method != "CONNECT":
            # A Host seen before, and nothing else that could matter.
            if 0 < len(block) <= _MAX_BLOCK_LENGTH:
                self._block = block
                self._fields = headers.copy()
            self.state = WAITING
            self.repeated = False
            self._handler.on_request(method, target, 1, headers, True, 0, False)
        else:
            self._settle(method, target, minor, headers, lines)
        return True

    def _settle(
        self, method: str, target: bytes, minor: int, headers: Fields, lines: list[bytes]
    ) -> None:
        """Decide about framing and persistence, then report the request.

        *lines* are those of *headers*, to learn a Host from; none if there is none to learn.
        """
        keep_alive, content_length, expects_continue = settle_request(
            method.encode("ascii"),
            target,
            minor,
            [field for field in headers if field[0] in SPECIAL_FIELDS],
        )
        if lines:
            _learn_host(lines, headers)
        self.repeated = False
        # A Connection field that names Upgrade is never settled (see `_is_default`).
        self.may_upgrade = True
        if content_length == 0:
            self.state = WAITING
        else:
            self.state = BODY
            self._remaining = content_length
            self._chunked = ChunkedScanner() if content_length == CHUNKED else None
        self._handler.on_request(
            method, target, minor, headers, keep_alive, content_length, expects_continue
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


def _take_request_line(line: bytes) -> tuple[tuple[str, bytes], int]:
    match = REQUEST_LINE.fullmatch(line)
    if match is None:
        raise Fault(400, "malformed request line")
    method, target, major, minor = match.groups()
    check_version(major)
    request = (_METHODS.get(method) or method.decode("ascii"), target)
    if (
        line[-8:] == b"HTTP/1.1"
        and target[0] == 0x2F
        and b"?" not in target
        and len(line) <= _MAX_LINE_LENGTH
    ):
        if len(_REQUEST_LINES) >= _MAX_LINES:
            _REQUEST_LINES.clear()
        _REQUEST_LINES[line] = request
    return request, 0 if minor == b"0" else 1


def _take_field_line(line: bytes) -> tuple[bytes, bytes]:
    """Judge and split a field line; the same rule as `FIELD_LINE`, in cheaper steps."""
    name, colon, value = line.partition(b":")
    lower = _NAMES.get(name)
    if lower is None:
        if TOKEN.fullmatch(name) is None:
            raise Fault(400, "malformed field line")
        lower = name.lower()
        if len(name) <= _MAX_NAME_LENGTH:
            if len(_NAMES) >= _MAX_LINES:
                _NAMES.clear()
            _NAMES[name] = lower
    if not colon or not (
        # What nearly all values are; the pattern knows the rest.
        (value.isascii() and value.decode("ascii").isprintable()) or FIELD_VALUE.fullmatch(value)
    ):
        raise Fault(400, "malformed field line")
    field = (lower, value.strip(OWS))
    if (
        lower not in _NOT_KEPT
        and len(line) <= _MAX_LINE_LENGTH
        and (lower not in SPECIAL_FIELDS or _is_default(field))
    ):
        if len(_FIELD_LINES) >= _MAX_LINES:
            _FIELD_LINES.clear()
        _FIELD_LINES[line] = field
    return field


def _is_default(field: tuple[bytes, bytes]) -> bool:
    """Whether it asks for what HTTP/1.1 does anyway; heads of 1.0 are always settled."""
    return field[0] == b"connection" and field[1].lower() == b"keep-alive"


def _learn_host(lines: list[bytes], headers: Fields) -> None:
    """Keep the Host line of a head that `settle_request` has accepted."""
    for line, field in zip(lines, headers, strict=True):
        if field[0] == b"host" and line not in _HOST_LINES and len(line) <= _MAX_LINE_LENGTH:
            if len(_HOST_LINES) >= _MAX_LINES:
                _HOST_LINES.clear()
            _HOST_LINES[line] = field

"""The reference HTTP/1.1 engine: h11, behind the guard that both engines share.

h11 parses; it does not decide alone. A head reaches it when the shared scanner has
judged its bytes and `settle_request` its meaning, a chunked body when the shared
`ChunkedScanner` has judged its framing, because h11 is laxer than RFC 9112 in
places (`docs/architecture.md` lists them). Where h11 is the stricter one, or reads
something else than the guard did, the request is refused: two readings of one
message are what request smuggling is made of.

Only the reading half of an `h11.Connection` is used, a fresh one for each request;
responses are written by `granian_core.http1.response`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import h11

from granian_core.http1.chunked import MAX_TRAILER_BYTES, ChunkedScanner
from granian_core.http1.contract import BODY, CHUNKED, WAITING, HTTP1Handler
from granian_core.http1.engine import BaseEngine
from granian_core.http1.guard import OWS, SPECIAL_FIELDS, Fault, settle_request

if TYPE_CHECKING:
    from granian_core.settings import HTTP1Settings, Limits
    from granian_core.stream import Fields

_MIN_EVENT_SIZE: Final = 2 * MAX_TRAILER_BYTES
"""Bytes of one incomplete event that h11 must bear: a trailer section with its framing."""


class ReferenceEngine(BaseEngine):
    """See the module, and the contract for the methods."""

    __slots__ = ("_chunked", "_h11", "_max_event_size", "_remaining")

    def __init__(self, handler: HTTP1Handler, settings: HTTP1Settings, limits: Limits) -> None:
        super().__init__(handler, settings, limits)
        self._chunked: ChunkedScanner | None = None
        self._h11: h11.Connection | None = None
        self._max_event_size = max(settings.max_buffer_size, _MIN_EVENT_SIZE)
        self._remaining = 0

    def close(self) -> None:
        """Parse nothing any more."""
        super().close()
        self._h11 = None
        self._chunked = None

    def _take_head(self, head: bytes) -> None:
        lines = head.split(b"\r\n")
        method, target, version = lines[0].split(b" ")
        minor = 0 if version == b"HTTP/1.0" else 1
        # From the wire, not from h11, which merges equal Content-Length fields.
        special = _special_fields(lines[1:])
        keep_alive, content_length, expects_continue = settle_request(
            method, target, minor, special
        )
        request = self._parse_with_h11(head)
        if request.method != method or request.target != target:
            raise Fault(400, "h11 reads another request line")
        self._remaining = content_length
        self.may_upgrade = True
        if content_length == 0:
            self._h11 = None
            self.state = WAITING
        else:
            self._chunked = ChunkedScanner() if content_length == CHUNKED else None
            self.state = BODY
        self._handler.on_request(
            method.decode("ascii"),
            target,
            minor,
            _request_fields(request, special),
            keep_alive,
            content_length,
            expects_continue,
        )

    def _parse_with_h11(self, head: bytes) -> h11.Request:
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=self._max_event_size)
        events = self._feed(head + b"\r\n\r\n")
        # A request without a body is followed by its end at once.
        if not events or not isinstance(events[0], h11.Request):
            raise Fault(400, "h11 finds no request head")
        return events[0]

    def _feed(self, data: bytes) -> list[h11.Event]:
        """Give *data* to h11; return the events that it makes of it.

        Raises:
            Fault: 400, whatever h11 suggests: the guard has the say about the others.
        """
        connection = self._h11
        assert connection is not None
        events: list[h11.Event] = []
        try:
            connection.receive_data(data)
            while True:
                event = connection.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return events
                assert not isinstance(event, type)
                events.append(event)
        except h11.RemoteProtocolError as exc:
            raise Fault(400, f"h11: {exc}") from exc

    def _read_body(self, data: bytes) -> bytes:
        if self._chunked is not None:
            return self._read_chunked(data, self._chunked)
        piece, rest = data[: self._remaining], data[self._remaining :]
        self._remaining -= len(piece)
        self._take_events(self._feed(piece), piece, ended=self._remaining == 0)
        return rest

    def _read_chunked(self, data: bytes, scanner: ChunkedScanner) -> bytes:
        out: list[bytes] = []
        try:
            consumed = scanner.scan(data, out)
        except Fault:
            # What came before a fault has been received; deliver it in both engines.
            if out:
                self._handler.on_data(b"".join(out))
            raise
        events = self._feed(data[:consumed])
        self._take_events(events, b"".join(out), ended=scanner.done)
        return data[consumed:]

    def _take_events(self, events: list[h11.Event], expected: bytes, *, ended: bool) -> None:
        """Report what h11 made of the bytes, once it agrees with the guard about them."""
        # Any: h11 says bytes and gives a bytearray.
        pieces: list[Any] = [event for event in events if isinstance(event, h11.Data)]
        parts = [bytes(piece.data) for piece in pieces]
        end = next((event for event in events if isinstance(event, h11.EndOfMessage)), None)
        content = b"".join(parts)
        if content != expected or (end is not None) != ended:
            raise Fault(400, "h11 reads another body")
        if content:
            self._handler.on_data(content)
        if end is not None and self.state == BODY:
            self._h11 = None
            self._chunked = None
            self.state = WAITING
            self._handler.on_end(list(end.headers) or None)


def _special_fields(lines: list[bytes]) -> Fields:
    fields: Fields = []
    for line in lines:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in SPECIAL_FIELDS:
            fields.append((name, value.strip(OWS)))
    return fields


def _request_fields(request: h11.Request, special: Fields) -> Fields:
    """Return the header fields as sent; h11 lower-cases a Transfer-Encoding."""
    coding = next((value for name, value in special if name == b"transfer-encoding"), b"")
    return [
        (name, coding if name == b"transfer-encoding" else value) for name, value in request.headers
    ]

"""One HTTP exchange as an ASGI application sees it: ``receive`` and ``send``.

Rules:

- Both are plain functions that act when they are called; what they return only waits.
- The response head is held until the first body message, so that a response with one
  body message leaves in one write. The head of an event stream (``text/event-stream``)
  leaves at once: its client waits for it before there is an event.
- The application's faults raise in its own frame; a peer that left never does.

Phases of the response move one way only::

    NOT_STARTED ── start ──▶ HEAD_HELD ── body, or pathsend ──▶ FINISHED
                     │           └── body with more_body ──▶ STREAMING
                     └── start of an event stream ──────────▶ STREAMING
    STREAMING ── body ──▶ STREAMED

Spec: ASGI 3.0, "HTTP & WebSocket ASGI Message Format" 2.3, and the extension
``http.response.pathsend``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from typing import TYPE_CHECKING

from granian_core import (
    COMPLETED,
    ClientDisconnected,
    LocalProtocolError,
    completed,
    send_file,
)

if TYPE_CHECKING:
    from granian_asgi.types import Message
    from granian_core import HTTPStream

NOT_STARTED, HEAD_HELD, STREAMING, FINISHED, STREAMED = range(5)

UNSUPPORTED_MESSAGE = "Unsupported ASGI message"
ALREADY_STARTED = "ASGI flow error: Response already started"
ALREADY_FINISHED = "ASGI flow error: Response already finished"
NOT_STARTED_YET = "ASGI flow error: Response not started"
TRANSPORT_CLOSED = "ASGI flow error: Transport not initialized or closed"

EVENT_STREAM = b"text/event-stream"


class HTTPExchange:
    """The two callables of one request.

    Args:
        stream: The request and its response channel.
    """

    __slots__ = ("_body_delivered", "_headers", "_phase", "_status", "_stream")

    _headers: Iterable[tuple[bytes, bytes]]
    _status: int

    def __init__(self, stream: HTTPStream) -> None:
        self._stream = stream
        self._phase = NOT_STARTED
        self._body_delivered = False

    # -- receive -----------------------------------------------------------------

    def receive(self) -> Awaitable[Message]:
        """Return the next event: ``http.request``, then ``http.disconnect``.

        A piece of the body that completes it carries ``more_body: False`` itself; an
        empty event follows only when the end was not known yet. Once the body was
        delivered, the event comes when the response is complete or the client has left.
        Cancelling is safe; no data is lost.
        """
        stream = self._stream
        if self._body_delivered:
            return self._wait_end()
        try:
            data = stream.read_nowait()
        except ClientDisconnected:
            return completed(self._disconnect())
        if data is None:
            return self._read()
        return completed(self._request(data))

    def _request(self, data: bytes) -> Message:
        complete = self._stream.body_complete
        self._body_delivered = complete
        return {"type": "http.request", "body": data, "more_body": not complete}

    def _disconnect(self) -> Message:
        self._body_delivered = True
        return {"type": "http.disconnect"}

    async def _read(self) -> Message:
        try:
            data = await self._stream.read()
        except ClientDisconnected:
            return self._disconnect()
        return self._request(data)

    async def _wait_end(self) -> Message:
        await self._stream.wait_end()
        return {"type": "http.disconnect"}

    # -- send --------------------------------------------------------------------

    def send(self, message: Message) -> Awaitable[None]:
        """Take an event; wait on what is returned for the peer to keep up.

        Raises:
            LocalProtocolError: The event is malformed, unknown or out of order, or HTTP
                does not allow what it says (it is a `RuntimeError` too).
            TypeError: *message* is not a dictionary.
        """
        try:
            kind = message["type"]
        except KeyError:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE) from None
        if kind == "http.response.start":
            if self._phase != NOT_STARTED:
                raise LocalProtocolError(OUT_OF_PHASE_START[self._phase])
            try:
                status = message["status"]
                headers = message.get("headers", ())
                if type(status) is not int or type(headers) is not list:
                    status, headers = _integer(status), list(headers)
                event_stream = False
                for name, value in headers:
                    # One byte of text/event-stream settles most fields without a call.
                    if len(value) > 16 and value[5] | 0x20 == 0x65:
                        event_stream = event_stream or is_event_stream(name, value)
            except (AttributeError, KeyError, TypeError, ValueError) as exc:
                raise LocalProtocolError(UNSUPPORTED_MESSAGE) from exc
            self._status = status
            self._headers = headers
            self._phase = HEAD_HELD
            if event_stream:
                self._start_event_stream()
            return COMPLETED
        if kind == "http.response.body":
            body = message.get("body", b"")
            if type(body) is not bytes and not isinstance(body, (bytes, bytearray, memoryview)):
                raise LocalProtocolError(UNSUPPORTED_MESSAGE)
            more_body = message.get("more_body", False)
            if self._phase == HEAD_HELD and not more_body:
                self._stream.respond(self._status, self._headers, body)
                self._phase = FINISHED
                return COMPLETED
            return self._send_piece(body, more_body=more_body)
        if kind == "http.response.pathsend":
            return self._pathsend(message)
        raise LocalProtocolError(UNSUPPORTED_MESSAGE)

    def _start_event_stream(self) -> None:
        self._stream.event_stream = True
        self._stream.start(self._status, self._headers)
        self._phase = STREAMING

    def _send_piece(
        self, body: bytes | bytearray | memoryview, *, more_body: bool
    ) -> Awaitable[None]:
        stream = self._stream
        if self._phase == HEAD_HELD:
            stream.start(self._status, self._headers)
            self._phase = STREAMING
        elif self._phase != STREAMING:
            raise LocalProtocolError(OUT_OF_PHASE[self._phase])
        if body:
            stream.write(body)
        if not more_body:
            self._phase = STREAMED
            stream.finish()
            return COMPLETED
        return stream.drain() if stream.write_blocked else COMPLETED

    def _pathsend(self, message: Message) -> Awaitable[None]:
        path = message.get("path")
        if not isinstance(path, str):
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        if self._phase != HEAD_HELD:
            raise LocalProtocolError(NOT_STARTED_YET)
        self._phase = FINISHED
        return send_file(self._stream, self._status, self._headers, path)


OUT_OF_PHASE = {
    NOT_STARTED: NOT_STARTED_YET,
    FINISHED: ALREADY_FINISHED,
    STREAMED: TRANSPORT_CLOSED,
}
"""What a body message is told in a phase that takes none."""

OUT_OF_PHASE_START = {
    HEAD_HELD: ALREADY_STARTED,
    STREAMING: ALREADY_STARTED,
    FINISHED: ALREADY_FINISHED,
    STREAMED: ALREADY_FINISHED,
}
"""What a start message is told in a phase that takes none."""


def is_event_stream(name: bytes, value: bytes) -> bool:
    """Whether a field is a Content-Type of ``text/event-stream``, parameters aside."""
    return value[: len(EVENT_STREAM)].lower() == EVENT_STREAM and name.lower() == b"content-type"


def _integer(status: object) -> int:
    """Return an ``http.HTTPStatus`` as the plain number; refuse what is no integer."""
    if not isinstance(status, int):
        raise TypeError("the status is not an integer")
    return int(status)

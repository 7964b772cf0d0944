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

A response whose start announces trailers leaves its head at once, too, and ends with them::

    STREAMING ── body ──▶ BODY_ENDED ── trailers ──▶ STREAMED

Spec: ASGI 3.0, "HTTP & WebSocket ASGI Message Format" 2.3, and the extensions
``http.response.pathsend``, ``.zerocopysend``, ``.trailers``, ``.early_hint``, ``.debug``.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from granian_core import (
    COMPLETED,
    ClientDisconnected,
    LocalProtocolError,
    completed,
    send_file,
    send_open_file,
)

if TYPE_CHECKING:
    from granian_asgi.types import Message
    from granian_core import HTTPStream

logger = logging.getLogger("_granian.asgi")

NOT_STARTED: Final = 0
HEAD_HELD: Final = 1
STREAMING: Final = 2
FINISHED: Final = 3
STREAMED: Final = 4
BODY_ENDED: Final = 5

_COMPLETED: Final = COMPLETED

UNSUPPORTED_MESSAGE = "Unsupported ASGI message"
ALREADY_STARTED = "ASGI flow error: Response already started"
ALREADY_FINISHED = "ASGI flow error: Response already finished"
NOT_STARTED_YET = "ASGI flow error: Response not started"
TRANSPORT_CLOSED = "ASGI flow error: Transport not initialized or closed"
TRAILERS_DUE = "ASGI flow error: Response body ended, its trailers are due"
NO_TRAILERS_DUE = "ASGI flow error: No trailers announced, or the body has not ended"
NO_DESCRIPTOR = "http.response.zerocopysend needs a file that has a descriptor"
NO_PUSH = "HTTP server push is not supported (it is not in the scope's extensions)"

EVENT_STREAM = b"text/event-stream"


class HTTPExchange:
    """The two callables of one request.

    Args:
        stream: The request and its response channel.
    """

    __slots__ = ("_body_delivered", "_headers", "_phase", "_status", "_stream", "_trailers")

    _headers: Iterable[Any]
    _status: int

    def __init__(self, stream: HTTPStream) -> None:
        self._stream = stream
        self._phase = NOT_STARTED
        self._trailers: list[Any] | None = None
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
        event: dict[str, Any] = message if type(message) is dict else _plain(message)
        try:
            kind = event["type"]
        except KeyError:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE) from None
        if kind == "http.response.start":
            if self._phase != NOT_STARTED:
                raise LocalProtocolError(OUT_OF_PHASE_START[self._phase])
            try:
                status = event["status"]
                headers = event.get("headers", ())
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
            if event_stream or event.get("trailers"):
                self._start_at_once(event_stream, event)
            return _COMPLETED
        if kind == "http.response.body":
            body = event.get("body", b"")
            if type(body) is not bytes and not isinstance(body, (bytes, bytearray, memoryview)):
                raise LocalProtocolError(UNSUPPORTED_MESSAGE)
            more_body = bool(event.get("more_body", False))
            if self._phase == HEAD_HELD and not more_body:
                self._stream.respond(self._status, self._headers, body)
                self._phase = FINISHED
                return _COMPLETED
            return self._send_piece(body, more_body=more_body)
        return self._send_extension(kind, event)

    def _send_extension(self, kind: object, message: Message) -> Awaitable[None]:
        if kind == "http.response.pathsend":
            return self._pathsend(message)
        if kind == "http.response.zerocopysend":
            return self._zerocopysend(message)
        if kind == "http.response.trailers":
            return self._send_trailers(message)
        if kind == "http.response.early_hint":
            return self._send_early_hint(message)
        if kind == "http.response.debug":
            logger.debug("Debug information from the application: %r", message.get("info"))
            return COMPLETED
        if kind == "http.response.push":
            raise LocalProtocolError(NO_PUSH)
        raise LocalProtocolError(UNSUPPORTED_MESSAGE)

    def _start_at_once(self, event_stream: bool, message: Message) -> None:
        self._stream.event_stream = event_stream
        self._stream.start(self._status, self._headers)
        self._phase = STREAMING
        if message.get("trailers"):
            self._trailers = []

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
            self._end_body()
            return COMPLETED
        return stream.drain() if stream.write_blocked else COMPLETED

    def _end_body(self) -> None:
        if self._trailers is None:
            self._phase = STREAMED
            self._stream.finish()
        else:
            self._phase = BODY_ENDED
            self._stream.finish_on_return = True  # there may be none after all

    def _send_trailers(self, message: Message) -> Awaitable[None]:
        if self._phase != BODY_ENDED or self._trailers is None:
            raise LocalProtocolError(NO_TRAILERS_DUE)
        try:
            self._trailers += [(name, value) for name, value in message["headers"]]
        except (KeyError, TypeError, ValueError) as exc:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE) from exc
        if not message.get("more_trailers", False):
            self._phase = STREAMED
            self._stream.finish(self._trailers)
        return COMPLETED

    def _send_early_hint(self, message: Message) -> Awaitable[None]:
        if self._phase != NOT_STARTED:
            raise LocalProtocolError(OUT_OF_PHASE_START[self._phase])
        try:
            links = [(b"link", bytes(memoryview(link))) for link in message["links"]]
        except (KeyError, TypeError) as exc:
            raise LocalProtocolError(UNSUPPORTED_MESSAGE) from exc
        if links:
            self._stream.inform(103, links)
        return COMPLETED

    def _pathsend(self, message: Message) -> Awaitable[None]:
        path = message.get("path")
        if not isinstance(path, str):
            raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        if self._phase != HEAD_HELD:
            raise LocalProtocolError(NOT_STARTED_YET)
        self._phase = FINISHED
        return send_file(self._stream, self._status, self._headers, path)

    def _zerocopysend(self, message: Message) -> Awaitable[None]:
        file, offset, count = message.get("file"), message.get("offset"), message.get("count")
        fd = _descriptor(file)
        for number in (offset, count):
            if number is not None and (not isinstance(number, int) or number < 0):
                raise LocalProtocolError(UNSUPPORTED_MESSAGE)
        if self._phase not in (HEAD_HELD, STREAMING):
            raise LocalProtocolError(OUT_OF_PHASE[self._phase])
        if offset is None:
            tell = getattr(file, "tell", None)
            offset = tell() if tell is not None else os.lseek(fd, 0, os.SEEK_CUR)
        if count is None:
            count = max(0, os.fstat(fd).st_size - offset)
        more_body = bool(message.get("more_body", False))
        if self._phase == HEAD_HELD:
            headers = list(self._headers)
            if not more_body and not any(name.lower() == b"content-length" for name, _ in headers):
                headers.append((b"content-length", b"%d" % count))
            self._stream.start(self._status, headers)
        # From now on the file is in the middle of being sent: no other message fits.
        self._phase = FINISHED
        return self._send_open_file(fd, offset, count, more_body=more_body)

    async def _send_open_file(self, fd: int, offset: int, count: int, *, more_body: bool) -> None:
        await send_open_file(self._stream, fd, offset, count)
        if more_body:
            self._phase = STREAMING
        else:
            self._end_body()


OUT_OF_PHASE = {
    NOT_STARTED: NOT_STARTED_YET,
    FINISHED: ALREADY_FINISHED,
    STREAMED: TRANSPORT_CLOSED,
    BODY_ENDED: TRAILERS_DUE,
}
"""What a body message is told in a phase that takes none."""

OUT_OF_PHASE_START = {
    HEAD_HELD: ALREADY_STARTED,
    STREAMING: ALREADY_STARTED,
    FINISHED: ALREADY_FINISHED,
    STREAMED: ALREADY_FINISHED,
    BODY_ENDED: ALREADY_STARTED,
}
"""What a start message is told in a phase that takes none."""


def is_event_stream(name: Any, value: Any) -> bool:
    """Whether a field is a Content-Type of ``text/event-stream``, parameters aside."""
    return bool(value[: len(EVENT_STREAM)].lower() == EVENT_STREAM) and (
        bool(name.lower() == b"content-type")
    )


def _plain(message: object) -> dict[str, Any]:
    """Return an event of another kind of mapping as a dictionary."""
    if not isinstance(message, Mapping):
        raise TypeError(f"an ASGI event is a dictionary, not {type(message).__name__!r}")
    return dict(message)


def _descriptor(file: Any) -> int:
    """Return the descriptor of an open file, or of what has one."""
    try:
        fd = file if isinstance(file, int) else file.fileno()
    except (AttributeError, OSError, ValueError) as exc:  # io.UnsupportedOperation is both
        raise LocalProtocolError(NO_DESCRIPTOR) from exc
    if not isinstance(fd, int):
        raise LocalProtocolError(NO_DESCRIPTOR)
    return fd


def _integer(status: object) -> int:
    """Return an ``http.HTTPStatus`` as the plain number; refuse what is no integer."""
    if not isinstance(status, int):
        raise TypeError("the status is not an integer")
    return int(status)

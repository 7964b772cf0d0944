"""One HTTP exchange as an adapter sees it: a request and its response channel.

Rules:

- Everything about message framing that does not depend on the HTTP version is
  decided here; how it looks on the wire is the carrier's (the connection's) work.
- Nothing here is thread-safe but `HTTPStream.blocking`; everything else is called
  on the loop's thread.
- A peer's fault shows as `ClientDisconnected` when reading and is silent when
  writing; the application's own faults raise `LocalProtocolError` in its frame.

Response phases move one way only::

    PENDING ── respond ──────────────────────▶ COMPLETE
       └────── start ──▶ STARTED ── finish ──▶ COMPLETE
    any phase ── abort, or the peer is gone ──▶ ABORTED
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from granian_core.errors import BodyTooLarge, ClientDisconnected, LocalProtocolError

if TYPE_CHECKING:
    from granian_core.blocking import BlockingStream
    from granian_core.tls import TLSInfo

logger = logging.getLogger("_granian.serve")

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]
"""Response fields as an application gives them: (name, value) pairs, order kept."""
Fields: TypeAlias = list[tuple[bytes, bytes]]
"""Request fields: names lower-case, wire order, repeats kept."""
Address: TypeAlias = tuple[str, int | None]
"""``(host, port)``; for a unix socket ``(path, None)``."""
Data: TypeAlias = bytes | bytearray | memoryview

PENDING: Final = 0
STARTED: Final = 1
COMPLETE: Final = 2
ABORTED: Final = 3

BODY_HIGH_WATER: Final = 65_536
"""Unread request body, in bytes, at which the peer is no longer read."""
BODY_LOW_WATER: Final = BODY_HIGH_WATER // 2
"""Unread request body, in bytes, at which a peer is read again for a thread."""

INTERNAL_ERROR_BODY: Final = b"Internal server error"
INTERNAL_ERROR_HEADERS: Final = [(b"content-type", b"text/plain; charset=utf-8")]


class Carrier(Protocol):
    """What a connection does for its streams. One implementation per HTTP version."""

    loop: asyncio.AbstractEventLoop

    def send_response(
        self, stream: HTTPStream, status: int, headers: Headers, body: bytes, reason: bytes | None
    ) -> None:
        """Send a whole response in one write.

        Raises:
            LocalProtocolError: A field is invalid (nothing was sent), or the body is
                longer than the declared Content-Length (it was cut, and the connection ends).
        """

    def send_head(
        self, stream: HTTPStream, status: int, headers: Headers, reason: bytes | None
    ) -> int:
        """Send a response head; return the declared Content-Length, or -1.

        Raises:
            LocalProtocolError: A field is invalid; nothing was sent.
        """

    def send_data(self, stream: HTTPStream, data: bytes) -> None:
        """Send a piece of content that already fits its framing."""

    def send_end(self, stream: HTTPStream, trailers: Headers | None) -> None:
        """End the response."""

    def send_informational(self, stream: HTTPStream, status: int, headers: Headers) -> None:
        """Send a 1xx head."""

    def want_body(self, stream: HTTPStream) -> None:
        """The application reads: send 100 Continue if it is due, resume the peer."""

    def hold_body(self, stream: HTTPStream) -> None:
        """The body buffer is full: stop reading the peer."""

    def abort_stream(self, stream: HTTPStream) -> None:
        """End the exchange so that the peer can not take it for complete."""

    def application_done(self, stream: HTTPStream) -> None:
        """The application has returned; the stream will not be written any more."""

    def write_blocked(self) -> bool:
        """Whether the transport asked us to stop writing."""

    def wait_writable(self, stream: HTTPStream) -> asyncio.Future[None]:
        """Return a future that ends when writing may go on, or the peer is gone."""

    def make_blocking(self, stream: HTTPStream) -> BlockingStream:
        """Return the thread's view of *stream*."""


class Memo:
    """A place in which an adapter keeps what it made of a request's fields.

    A connection gives the same one to all requests that repeat the fields of the one
    before, to the byte. They also have `HTTPStream.client`, ``server``, ``scheme`` and
    ``tls`` in common, and no body; method and target may differ.

    Attributes:
        value: None at first; the adapter's own.
    """

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: object = None


class HTTPStream:
    """One request and its response channel.

    Attributes:
        http_version: ``"1.0"``, ``"1.1"`` or ``"2"``.
        method: As sent, case kept.
        scheme: ``"http"`` or ``"https"``, from the transport alone.
        path: Percent-decoded, UTF-8, invalid bytes replaced.
        raw_path: As sent, without the query.
        query_string: As sent, without ``?``; empty if there is none.
        authority: ``:authority``, or that of an absolute-form target, else None.
        headers: ``(name, value)`` pairs of bytes, names lower-case, wire order, repeats kept.
        client: The peer's ``(host, port)``; None on a unix socket.
        server: The listener's ``(host, port)``, or ``(path, None)``.
        tls: Facts about the TLS session, or None.
        log_client: The client for the access log; writable.
        log_scheme: The scheme for the access log; writable.
        trailers: The request's trailer section once the body has ended, else None.
        status: The status sent, or 0.
        half_closed: The peer has sent its FIN after a complete request.
        disconnected: The peer is gone: reading raises, writes are dropped.
        finish_on_return: Whether a started response ends cleanly when the application
            returns; otherwise it is aborted, so that it can not pass for complete.
        detached: A pool thread has the stream and will say when the application is done.
        sending: A task of the adapter's that sends the response; when the application
            has returned, the outcome waits for it.
        phase: PENDING, STARTED, COMPLETE or ABORTED; see the module.
        no_content: The response has no content on the wire (HEAD, 204, 304).
        expects_continue: The client waits for ``100 Continue``, which was not sent yet.
        body_wanted: The application has begun to read the body.
        memo: What the adapter keeps between requests that repeat their fields; None if
            this one does not.
        event_stream: Whether the response is endless by nature (``text/event-stream``).
        task: What the application runs as, while there is one: a task, unless the
            application runs on another thread's loop.
        cancelled: The server itself cancelled the task (a shutdown deadline).
    """

    carrier: Carrier
    http_version: str
    method: str
    scheme: str
    log_scheme: str
    path: str
    raw_path: bytes
    query_string: bytes
    authority: bytes | None
    headers: Fields
    client: Address | None
    log_client: Address | None
    server: Address | None
    tls: TLSInfo | None
    expects_continue: bool
    _body_done: bool
    # Defaults of the class: an exchange sets only what is not so.
    trailers: Fields | None = None
    status: int = 0
    bytes_sent: int = 0
    started_at: float = 0.0
    half_closed: bool = False
    disconnected: bool = False
    cancelled: bool = False
    detached: bool = False
    finish_on_return: bool = False
    event_stream: bool = False
    no_content: bool = False
    body_wanted: bool = False
    task: asyncio.Future[None] | None = None
    sending: asyncio.Task[None] | None = None
    phase: int = PENDING
    memo: Memo | None = None
    _remaining: int = -1
    _chunks: deque[bytes] | None = None
    _buffered: int = 0
    _held: bool = False
    _read_waiter: asyncio.Future[None] | None = None
    gone_waiters: list[tuple[asyncio.Future[None], bool]] | None = None

    def __init__(
        self,
        carrier: Carrier,
        http_version: str,
        method: str,
        scheme: str,
        path: str,
        raw_path: bytes,
        query_string: bytes,
        authority: bytes | None,
        headers: Fields,
        client: Address | None,
        server: Address | None,
        tls: TLSInfo | None,
        has_body: bool,
        expects_continue: bool,
    ) -> None:
        self.carrier = carrier
        self.http_version = http_version
        self.method = method
        self.scheme = self.log_scheme = scheme
        self.path = path
        self.raw_path = raw_path
        self.query_string = query_string
        self.authority = authority
        self.headers = headers
        self.client = self.log_client = client
        self.server = server
        self.tls = tls
        self.expects_continue = expects_continue
        self._body_done = not has_body

    # -- state -----------------------------------------------------------------

    @property
    def response_started(self) -> bool:
        """Whether a response head has been handed to the connection."""
        return self.status != 0

    @property
    def response_complete(self) -> bool:
        """Whether the response has ended, cleanly or not."""
        return self.phase >= COMPLETE

    @property
    def is_watched(self) -> bool:
        """Whether somebody waits for the client to leave."""
        return self.gone_waiters is not None and any(
            not waiter.done() for waiter, _ in self.gone_waiters
        )

    @property
    def aborted(self) -> bool:
        """Whether the response ended before it was complete."""
        return self.phase == ABORTED

    @property
    def body_complete(self) -> bool:
        """Whether the whole request body has arrived (it may still be unread)."""
        return self._body_done

    @property
    def body_held(self) -> bool:
        """Whether the peer is not read until the application has read."""
        return self._held

    # -- body in ---------------------------------------------------------------

    def read_nowait(self) -> bytes | None:
        """Return what has arrived of the body; ``b""`` at its end, None if nothing is there.

        The first call makes the server send ``100 Continue`` if the client waits for it.

        Raises:
            ClientDisconnected: The body will not be complete any more.
        """
        chunks = self._chunks
        if chunks:
            self.body_wanted = True
            data = chunks.popleft() if len(chunks) == 1 else self._take_all(chunks)
            self._buffered = 0
            if self._held:
                self._held = False
                self.carrier.want_body(self)
            return data
        if self._body_done:
            return b""
        if self.disconnected or self.phase >= COMPLETE:
            raise ClientDisconnected
        self.body_wanted = True
        if self.expects_continue:
            self.expects_continue = False
            self.carrier.want_body(self)
        return None

    @staticmethod
    def _take_all(chunks: deque[bytes]) -> bytes:
        data = b"".join(chunks)
        chunks.clear()
        return data

    def take_piece(self) -> bytes | None:
        """Return what has arrived first and was not read, or None. Safe from any one thread.

        The loop has to hear of it by `note_taken`: the peer may be kept waiting.
        """
        chunks = self._chunks
        if chunks:
            self.body_wanted = True
            return chunks.popleft()
        return None

    def note_taken(self, size: int) -> None:
        """*size* bytes were taken by `take_piece`: let the peer go on if that makes room."""
        self._buffered -= size
        if self._held and self._buffered <= BODY_LOW_WATER:
            self._held = False
            self.carrier.want_body(self)

    async def read(self) -> bytes:
        """Return the next piece of the body, or ``b""`` at its end.

        Cancelling is safe: no data is lost.

        Raises:
            ClientDisconnected: The body will not be complete any more.
        """
        while (data := self.read_nowait()) is None:
            await self.wait_readable()
        return data

    async def read_all(self, limit: int | None = None) -> bytes:
        """Return the whole body.

        Args:
            limit: Most bytes to accept; None for no limit but the configured one.

        Raises:
            BodyTooLarge: The body exceeds *limit*.
            ClientDisconnected: The body will not be complete any more.
        """
        parts: list[bytes] = []
        total = 0
        while data := await self.read():
            total += len(data)
            if limit is not None and total > limit:
                raise BodyTooLarge(f"request body exceeds {limit} bytes")
            parts.append(data)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def __aiter__(self) -> BodyIterator:
        """Iterate over the pieces of the body as they arrive."""
        return BodyIterator(self)

    def wait_readable(self) -> asyncio.Future[None]:
        """Return a future that ends when `read_nowait` has something to say.

        Raises:
            LocalProtocolError: Somebody waits already; a body has one reader.
        """
        if self._read_waiter is not None and not self._read_waiter.done():
            raise LocalProtocolError("the request body is already being read")
        waiter: asyncio.Future[None] = self.carrier.loop.create_future()
        self._read_waiter = waiter
        return waiter

    # -- disconnection ---------------------------------------------------------

    def wait_disconnect(self) -> asyncio.Future[None]:
        """Return a future that ends when the client is gone or has sent its FIN."""
        return self._wait_gone(also_complete=False)

    def wait_end(self) -> asyncio.Future[None]:
        """Return a future that ends when the client left or the response is complete."""
        return self._wait_gone(also_complete=True)

    def _wait_gone(self, *, also_complete: bool) -> asyncio.Future[None]:
        waiter: asyncio.Future[None] = self.carrier.loop.create_future()
        if self.disconnected or self.half_closed or (also_complete and self.phase >= COMPLETE):
            waiter.set_result(None)
        else:
            # A framework may ask, and give up, many times while it streams.
            waiters = [one for one in self.gone_waiters or () if not one[0].done()]
            waiters.append((waiter, also_complete))
            self.gone_waiters = waiters
        return waiter

    def _wake_gone(self, *, complete_only: bool) -> None:
        waiters, self.gone_waiters = self.gone_waiters, None
        for waiter, also_complete in waiters or ():
            if complete_only and not also_complete:
                self.gone_waiters = self.gone_waiters or []
                self.gone_waiters.append((waiter, also_complete))
            elif not waiter.done():
                waiter.set_result(None)

    # -- response out ----------------------------------------------------------

    def respond(
        self, status: int, headers: Headers = (), body: Data = b"", *, reason: bytes | None = None
    ) -> None:
        """Send the whole response; head and body leave in one write.

        Args:
            status: 200 to 999.
            headers: Pairs of bytes; Content-Length, Date and Server are added if absent.
            body: The whole content; not sent for HEAD, 204 and 304.
            reason: Reason phrase for HTTP/1; the registered one if None.

        Raises:
            LocalProtocolError: The response has started already, the status or a field
                is invalid, or the body is longer than the declared Content-Length.
        """
        if self.phase != PENDING:
            self._refuse_start()
            return
        if type(body) is not bytes:
            body = bytes(memoryview(body))  # an int would become that many zeros
        self.carrier.send_response(self, status, headers, body, reason)

    def start(self, status: int, headers: Headers = (), *, reason: bytes | None = None) -> None:
        """Send the response head; the body follows by `write` and `finish`.

        Without a Content-Length the body is chunked (HTTP/1.1), ends with the
        connection (HTTP/1.0), or with the stream (HTTP/2).

        Raises:
            LocalProtocolError: The response has started already, or the status or a
                field is invalid.
        """
        if self.phase != PENDING:
            self._refuse_start()
            return
        self.mark_started(status, self.carrier.send_head(self, status, headers, reason))

    def _refuse_start(self) -> None:
        if self.phase != ABORTED:
            raise LocalProtocolError("the response has already started")

    def _refuse_body(self) -> None:
        if self.phase == PENDING:
            raise LocalProtocolError("the response has not started")
        if self.phase == COMPLETE:
            raise LocalProtocolError("the response has ended")

    def write(self, data: Data) -> None:
        """Queue a piece of the body. Follow it with `drain` where the body is long.

        Raises:
            LocalProtocolError: The response has not started or has ended, or the body
                is longer than the declared Content-Length (what fits was sent, and the
                connection ends).
        """
        if self.phase != STARTED:
            if self.phase == ABORTED:
                return
            raise LocalProtocolError(
                "the response has not started"
                if self.phase == PENDING
                else "the response has ended"
            )
        if self.no_content or not data:
            return
        if type(data) is not bytes:
            data = bytes(memoryview(data))
        if not self.may_send(len(data)):
            self._overflow(data)
        self.note_sent(len(data))
        self.carrier.send_data(self, data)

    def _overflow(self, data: bytes) -> None:
        fitting = data[: self._remaining]
        if fitting:
            self.note_sent(len(fitting))
            self.carrier.send_data(self, fitting)
        self.abort()
        raise LocalProtocolError("the response body is longer than its Content-Length")

    def finish(self, trailers: Headers | None = None) -> None:
        """End the response.

        Args:
            trailers: Trailer section; dropped where the framing has no place for it.

        Raises:
            LocalProtocolError: The response has not started or has ended, the body is
                shorter than its Content-Length (the exchange is aborted), or a trailer
                field is invalid.
        """
        if self.phase != STARTED:
            if self.phase == ABORTED:
                return
            raise LocalProtocolError(
                "the response has not started"
                if self.phase == PENDING
                else "the response has ended"
            )
        if not self.may_finish:
            self.abort()
            raise LocalProtocolError("the response body is shorter than its Content-Length")
        self.carrier.send_end(self, trailers)

    def inform(self, status: int, headers: Headers = ()) -> None:
        """Send an informational response, such as 103 Early Hints.

        Silently does nothing for HTTP/1.0 clients, which do not know them.

        Raises:
            LocalProtocolError: The final response has started, or the status is not
                102 to 199, or a field is invalid.
        """
        if self.phase != PENDING:
            self._refuse_start()
            return
        if not 102 <= status <= 199:
            raise LocalProtocolError(f"{status} is not an informational status")
        self.carrier.send_informational(self, status, headers)

    @property
    def write_blocked(self) -> bool:
        """Whether `drain` would wait."""
        return self.phase < COMPLETE and self.carrier.write_blocked()

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was written.

        Returns at once when the peer is gone.
        """
        while self.phase < COMPLETE and self.carrier.write_blocked():
            await self.carrier.wait_writable(self)

    def abort(self) -> None:
        """End the exchange so that the peer can not take a cut response for whole."""
        if self.phase < COMPLETE:
            self.phase = ABORTED
            self.carrier.abort_stream(self)
            self._wake_all()

    def blocking(self) -> BlockingStream:
        """Return the same operations for a thread that is not the loop's."""
        return self.carrier.make_blocking(self)

    # -- called by the carrier ---------------------------------------------------

    def feed_data(self, data: bytes) -> None:
        """Take a piece of the body from the connection."""
        if self.phase >= COMPLETE:
            return
        if self._chunks is None:
            self._chunks = deque()
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered >= BODY_HIGH_WATER and not self._held:
            self._held = True
            self.carrier.hold_body(self)
        if self._read_waiter is not None:
            self._wake_reader()

    def feed_end(self, trailers: Fields | None) -> None:
        """The request is complete."""
        self.expects_continue = False
        self.trailers = trailers
        self._body_done = True  # last: a thread that sees it sees the rest
        if self._read_waiter is not None:
            self._wake_reader()

    def feed_half_close(self) -> None:
        """The peer has sent its FIN after a complete request."""
        self.half_closed = True
        if self.gone_waiters:
            self._wake_gone(complete_only=False)

    def feed_disconnect(self) -> None:
        """The peer is gone."""
        if self.disconnected:
            return
        self.disconnected = True
        if self.phase < COMPLETE:
            self.phase = ABORTED
        self._wake_all()

    def mark_started(self, status: int, declared: int) -> None:
        """The carrier has sent the head; *declared* is its Content-Length, or -1."""
        self._remaining = declared
        self.status = status
        self.no_content = self.method == "HEAD" or status == 204 or status == 304
        self.phase = STARTED

    def may_send(self, size: int) -> bool:
        """Whether *size* more bytes fit the declared Content-Length."""
        return self._remaining < 0 or size <= self._remaining or self.no_content

    def note_sent(self, size: int) -> None:
        """The carrier has sent *size* bytes of content."""
        if self._remaining >= 0:
            self._remaining -= size
        self.bytes_sent += size

    @property
    def remaining(self) -> int:
        """How many bytes of content the declared Content-Length still has room for, or -1."""
        return -1 if self.no_content else self._remaining

    @property
    def may_finish(self) -> bool:
        """Whether the declared Content-Length has been met."""
        return self._remaining <= 0 or self.no_content

    def mark_complete(self, status: int) -> None:
        """The carrier has sent the end of the response."""
        self.status = status
        self.phase = COMPLETE
        if self._read_waiter is not None:
            self._wake_reader()
        if self.gone_waiters:
            self._wake_gone(complete_only=True)

    def _wake_reader(self) -> None:
        waiter, self._read_waiter = self._read_waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _wake_all(self) -> None:
        self._wake_reader()
        if self.gone_waiters:
            self._wake_gone(complete_only=False)

    # -- the application's outcome ---------------------------------------------

    def application_returned(self) -> None:
        """Give a response that the application left unfinished its one outcome."""
        if self.sending is not None:
            sending, self.sending = self.sending, None
            sending.add_done_callback(self._sending_done)
            return
        if self.phase == STARTED:
            if self.finish_on_return:
                try:
                    self.finish()
                except LocalProtocolError as exc:
                    logger.error("Application ended a response early: %s", exc)
            else:
                logger.error("Application returned without ending its response")
                self.abort()
        elif self.phase == PENDING:
            logger.error("Application returned without a response")
            self._internal_error()
        self.carrier.application_done(self)

    def _sending_done(self, sending: asyncio.Task[None]) -> None:
        if sending.cancelled():
            self.application_abandoned()
        elif (exc := sending.exception()) is None:
            self.application_returned()
        elif isinstance(exc, ClientDisconnected) and self.disconnected:
            self.application_abandoned()
        else:
            self.application_failed(exc)

    def application_failed(self, exc: BaseException) -> None:
        """Log what escaped from the application; answer 500, or abort what has started."""
        logger.error("Application callable raised an exception", exc_info=exc)
        if self.sending is not None:
            self.sending.cancel()
            self.sending = None
        if self.phase == PENDING:
            self._internal_error()
        else:
            self.abort()
        self.carrier.application_done(self)

    def application_abandoned(self) -> None:
        """The application gave up because its client had left: nobody is at fault."""
        self.abort()
        self.carrier.application_done(self)

    def _internal_error(self) -> None:
        self.respond(500, INTERNAL_ERROR_HEADERS, INTERNAL_ERROR_BODY)


class BodyIterator:
    """The pieces of a request body as they arrive (mypyc compiles no asynchronous generator)."""

    __slots__ = ("_stream",)

    def __init__(self, stream: HTTPStream) -> None:
        self._stream = stream

    def __aiter__(self) -> BodyIterator:
        return self

    async def __anext__(self) -> bytes:
        data = await self._stream.read()
        if not data:
            raise StopAsyncIteration
        return data

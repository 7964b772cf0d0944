"""One WebSocket as an adapter sees it.

The handshake is an ordinary exchange: its `HTTPStream` carries the refusal, if there is
one, and the facts of the request. Once it is accepted, a `WebSocketSession` takes over; the
handshake's permit is given back, and the WebSocket counts as a connection only.

Everything is called on the loop's thread. A peer's fault shows when receiving and is silent
when sending; the application's own faults raise `LocalProtocolError` in its frame.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Final, TypeAlias

from granian_core.errors import ClientDisconnected, LocalProtocolError, WebSocketClosed
from granian_core.stream import (
    PENDING,
    Address,
    Data,
    Headers,
    HTTPStream,
)
from granian_core.websocket.contract import (
    ABNORMAL_CLOSURE,
    INTERNAL_ERROR,
    NO_STATUS,
    SERVICE_RESTART,
)
from granian_core.websocket.handshake import accept_fields, choose_deflate, offered_subprotocols
from granian_core.websocket.session import CLOSED, CLOSING, OPEN, WebSocketSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from granian_core.context import ConnectionContext
    from granian_core.websocket.contract import WebSocketEngine
    from granian_core.websocket.session import WebSocketLink

logger = logging.getLogger("_granian.websocket")

RECEIVE_HIGH_WATER: Final = 65_536
"""Bytes of messages that wait for the application before the peer is no longer read."""
RECEIVE_MOST: Final = 256
"""Messages that wait for the application before the peer is no longer read."""
RECEIVE_LOW_WATER: Final = 16_384
"""Bytes of waiting messages at which the peer is read again."""
RECEIVE_FEW: Final = 64
"""Waiting messages at which the peer is read again."""

_FREE_CODES: Final = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013))


OpenLink: TypeAlias = "Callable[[HTTPStream, WebSocketStream, Headers], WebSocketLink]"
"""What a carrier gives with a handshake: accepts it, and returns what carries the frames.

It raises `LocalProtocolError`, having sent nothing, if a field is invalid. From the next
turn of the loop on, what the peer sends goes to `WebSocketStream.session`.
"""


class WebSocketStream:
    """One WebSocket, from its handshake to its close (RFC 6455, RFC 8441).

    Attributes:
        request: The handshake as an exchange.
        http_version: ``"1.1"`` or ``"2"``.
        scheme: ``"http"`` or ``"https"``, from the transport alone.
        method: ``"GET"``, in HTTP/2 too, where the wire says CONNECT.
        path: Percent-decoded, UTF-8, invalid bytes replaced.
        raw_path: As sent, without the query.
        query_string: As sent, without ``?``; empty if there is none.
        authority: As in `HTTPStream`.
        headers: ``(name, value)`` pairs of bytes, names lower-case, wire order, repeats kept.
        subprotocols: What the client offers, in its order.
        client: The peer's ``(host, port)``; None on a unix socket.
        server: The listener's ``(host, port)``, or ``(path, None)``.
        tls: Facts about the TLS session, or None.
        session: The open WebSocket; None before it is accepted.
        task: The application's task, while there is one.
        cancelled: The server itself cancelled the task (a shutdown deadline).
        watcher: Called when the server begins to close, and when the WebSocket has ended;
            for who stands in for an application that is elsewhere.
    """

    __slots__ = (
        "_context",
        "_ended",
        "_engine_class",
        "_link",
        "_messages",
        "_open_link",
        "_queued",
        "_receiver",
        "_writers",
        "authority",
        "cancelled",
        "client",
        "headers",
        "http_version",
        "path",
        "query_string",
        "raw_path",
        "request",
        "scheme",
        "server",
        "session",
        "subprotocols",
        "task",
        "tls",
        "watcher",
    )

    method = "GET"

    def __init__(
        self,
        request: HTTPStream,
        context: ConnectionContext,
        engine_class: type[WebSocketEngine],
        open_link: OpenLink,
    ) -> None:
        self.request = request
        self.http_version = request.http_version
        self.scheme = request.scheme
        self.path = request.path
        self.raw_path = request.raw_path
        self.query_string = request.query_string
        self.authority = request.authority
        self.headers = request.headers
        self.subprotocols = offered_subprotocols(request.headers)
        self.client = request.client
        self.server = request.server
        self.tls = request.tls
        self.session: WebSocketSession | None = None
        self.task: asyncio.Task[None] | None = None
        self.cancelled = False
        self.watcher: Callable[[], None] | None = None
        self._context = context
        self._engine_class = engine_class
        self._open_link = open_link
        self._link: WebSocketLink | None = None
        self._messages: deque[str | bytes] = deque()
        self._queued = 0
        self._ended = False
        self._receiver: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []

    # -- state -------------------------------------------------------------------

    @property
    def log_client(self) -> Address | None:
        """The client for the access log; writable until the WebSocket is accepted."""
        return self.request.log_client

    @log_client.setter
    def log_client(self, value: Address | None) -> None:
        self.request.log_client = value

    @property
    def log_scheme(self) -> str:
        """The scheme for the access log; writable until the WebSocket is accepted."""
        return self.request.log_scheme

    @log_scheme.setter
    def log_scheme(self, value: str) -> None:
        self.request.log_scheme = value

    @property
    def accepted(self) -> bool:
        """Whether the handshake has succeeded."""
        return self.session is not None

    @property
    def answered(self) -> bool:
        """Whether the handshake was accepted, or its refusal has begun."""
        return self.session is not None or self.request.phase != PENDING

    @property
    def closed(self) -> bool:
        """Whether nothing can be sent any more: either side has closed, or the peer is gone."""
        session = self.session
        return session.state != OPEN if session is not None else self.request.disconnected

    @property
    def closed_here(self) -> bool:
        """Whether the application has closed the WebSocket."""
        return self.session is not None and self.session.closed_here

    @property
    def close_code(self) -> int:
        """The close code once it has ended (RFC 6455 7.1.5): 1006 if no close frame came."""
        return self.session.code if self.session is not None else ABNORMAL_CLOSURE

    # -- handshake ---------------------------------------------------------------

    def accept(self, subprotocol: str | None = None, headers: Headers = ()) -> None:
        """Complete the handshake. Does nothing if the client has left.

        Args:
            subprotocol: One of `subprotocols`, or None.
            headers: Further fields for the response.

        Raises:
            LocalProtocolError: The handshake has been answered, the subprotocol was not
                offered, or a field is invalid or the server's own.
        """
        if self.request.disconnected and self.session is None:
            return
        if self.answered:
            raise LocalProtocolError("the WebSocket handshake has been answered")
        context = self._context
        settings = context.config.websocket
        deflate = choose_deflate(self.headers, settings)
        fields = accept_fields(headers, subprotocol, self.subprotocols, deflate)
        # From here on bytes for the link come back through `session`.
        self._link = self._open_link(self.request, self, fields)
        self.session = WebSocketSession(
            self._engine_class,
            settings,
            deflate,
            self._link,
            self,
            random.random() / 2,  # noqa: S311 - spreads the pings, guards nothing
        )
        context.application_done(self.request)
        if context.draining:
            self.go_away()

    def reject(self, status: int = 403, headers: Headers = (), body: Data = b"") -> None:
        """Answer the handshake with an ordinary response.

        Raises:
            LocalProtocolError: The handshake has been answered, or the status or a field
                is invalid.
        """
        if self.session is not None:
            raise LocalProtocolError("the WebSocket handshake has been answered")
        self.request.respond(status, headers, body)

    # -- messages ----------------------------------------------------------------

    def receive_nowait(self) -> str | bytes | None:
        """Return the next message, or None if none has arrived.

        Raises:
            WebSocketClosed: The WebSocket has ended and every message was received.
            LocalProtocolError: The WebSocket was not accepted.
        """
        messages = self._messages
        if messages:
            message = messages.popleft()
            self._queued -= len(message)
            session = self.session
            if session is not None and session.held and self._has_room():
                session.resume()
            return message
        session = self.session
        if session is not None and session.state == OPEN:
            return None
        if self._ended or self.request.disconnected:
            if session is None:
                raise WebSocketClosed(ABNORMAL_CLOSURE)
            raise WebSocketClosed(session.code, session.reason, clean=session.peer_closed)
        if session is None:
            raise LocalProtocolError("the WebSocket was not accepted")
        if session.closed_here:
            raise WebSocketClosed(ABNORMAL_CLOSURE)
        return None

    def _has_room(self) -> bool:
        return self._queued <= RECEIVE_LOW_WATER and len(self._messages) <= RECEIVE_FEW

    async def receive(self) -> str | bytes:
        """Return the next message. Cancelling is safe: none is lost.

        Raises:
            WebSocketClosed: The WebSocket has ended and every message was received; at
                once if the application has closed it.
            LocalProtocolError: The WebSocket was not accepted, or somebody waits already.
        """
        while (message := self.receive_nowait()) is None:
            await self.wait_message()
        return message

    def wait_message(self) -> asyncio.Future[None]:
        """Return what is done once `receive_nowait` has something else to say than None.

        Call it when `receive_nowait` has just said None, in the same turn of the loop: what
        came before the call wakes nobody.

        Raises:
            LocalProtocolError: Somebody waits already.
        """
        if self._receiver is not None and not self._receiver.done():
            raise LocalProtocolError("a message is already being waited for")
        self._receiver = self._context.loop.create_future()
        return self._receiver

    def send(self, message: str | Data) -> bool:
        """Queue a message. Follow it with `drain`. Dropped when the peer has closed.

        Returns:
            Whether `drain` would wait.

        Raises:
            LocalProtocolError: The WebSocket was not accepted, or the application has
                closed it.
        """
        session = self.session
        if session is None:
            if self.request.disconnected:
                return False
            raise LocalProtocolError("the WebSocket was not accepted")
        if session.closed_here:
            raise LocalProtocolError("the WebSocket was closed")
        if type(message) is not str and type(message) is not bytes:
            message = message if isinstance(message, str) else bytes(memoryview(message))
        return session.send(message)

    @property
    def write_blocked(self) -> bool:
        """Whether `drain` would wait."""
        return self._link is not None and not self._ended and self._link.write_blocked()

    async def drain(self) -> None:
        """Wait until the peer has taken enough of what was queued.

        Returns at once when the peer is gone.
        """
        while self.write_blocked:
            waiter: asyncio.Future[None] = self._context.loop.create_future()
            self._writers.append(waiter)
            await waiter

    async def wait_answer(self) -> None:
        """Wait until the handshake was answered, or the client has left.

        A half-close counts as leaving: a WebSocket has no such state.
        """
        if not self.answered:
            await self.request.wait_end()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake; a second time, or after the peer's close, do nothing.

        Args:
            code: 1000 to 1014 as RFC 6455 7.4.1 defines them, or 3000 to 4999; 1005 sends
                none.
            reason: For the peer; cut to what fits a close frame (123 bytes of UTF-8).

        Raises:
            LocalProtocolError: The WebSocket was not accepted, or the code must not be sent.
        """
        if self.session is None:
            if self.request.disconnected:
                return
            raise LocalProtocolError("the WebSocket was not accepted")
        if not (code in _FREE_CODES or code == NO_STATUS or 3000 <= code <= 4999):
            raise LocalProtocolError(f"{code} is not a close code that may be sent")
        self._messages.clear()
        self._queued = 0
        self.session.close(code, reason)
        self._wake_receiver()

    # -- SessionOwner --------------------------------------------------------------

    def on_message(self, message: str | bytes) -> bool:
        """Queue a message; True when the queue is full."""
        messages = self._messages
        messages.append(message)
        self._queued += len(message)
        receiver = self._receiver
        if receiver is not None:
            self._receiver = None
            if not receiver.done():
                receiver.set_result(None)
        return self._queued >= RECEIVE_HIGH_WATER or len(messages) >= RECEIVE_MOST

    def on_closed(self, code: int, reason: str) -> None:
        """The WebSocket has ended."""
        self._ended = True
        self._wake_receiver()
        self.wake_writers()
        if self.watcher is not None:
            self.watcher()

    # -- called by the carrier and the server --------------------------------------

    def wake_writers(self) -> None:
        """The peer has taken enough of what was queued, or is gone."""
        writers, self._writers = self._writers, []
        for waiter in writers:
            if not waiter.done():
                waiter.set_result(None)

    def _wake_receiver(self) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is not None and not receiver.done():
            receiver.set_result(None)

    def go_away(self) -> None:
        """The server leaves: close with 1012, and wait for the peer's answer."""
        if self.session is not None:
            self.session.close(SERVICE_RESTART, "", by_server=True)
            if self.watcher is not None:
                self.watcher()

    def release(self) -> None:
        """The application is done: what carries the WebSocket need not count it any more."""
        if self._link is not None:
            self._link.application_done()

    def feed_disconnect(self) -> None:
        """The drain deadline has passed: for the application, the peer is gone."""
        if self.session is not None:
            self.session.lost()
        else:
            self.request.feed_disconnect()

    # -- the application's outcome --------------------------------------------------

    def application_returned(self) -> None:
        """The application is done: refuse what it did not answer, close what it left open."""
        session = self.session
        if session is None:
            if self.request.phase == PENDING and not self.request.disconnected:
                self.reject()
            self.request.application_returned()
        elif session.state == OPEN:
            self.close(NO_STATUS)
        elif session.state == CLOSING:
            session.close(NO_STATUS, "")  # nobody receives any more

    def application_failed(self, exc: BaseException) -> None:
        """Log what escaped from the application; answer 500, or close with 1011."""
        session = self.session
        if session is None:
            self.request.application_failed(exc)
            return
        logger.error("Application callable raised an exception", exc_info=exc)
        if session.state != CLOSED:
            self.close(INTERNAL_ERROR)

    def application_abandoned(self) -> None:
        """The application gave up because its client had left: nobody is at fault."""
        if self.session is None:
            self.request.application_abandoned()
        else:
            self.application_returned()


async def run_websocket(
    websocket: WebSocketStream, awaitable: object, done: Callable[[WebSocketStream], None]
) -> None:
    """Await what an interface returned for *websocket*, and settle the outcome.

    Args:
        websocket: The WebSocket.
        awaitable: What the interface returned.
        done: Called in the end, whatever happens. It is no coroutine around this one, because
            every message would go through it.
    """
    try:
        await awaitable  # type: ignore[misc]
    except asyncio.CancelledError as exc:
        if not websocket.cancelled:
            websocket.application_failed(exc)
            return
        websocket.application_abandoned()
        raise
    except ClientDisconnected as exc:
        if websocket.closed:
            logger.debug("%s: WebSocket closed", websocket.client)
            websocket.application_abandoned()
        else:
            websocket.application_failed(exc)
    except (KeyboardInterrupt, GeneratorExit) as exc:
        websocket.application_failed(exc)
        raise
    except BaseException as exc:  # SystemExit too: an application can not stop the server
        websocket.application_failed(exc)
    else:
        websocket.application_returned()
    finally:
        done(websocket)

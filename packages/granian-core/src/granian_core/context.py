"""What the connections of one server share: settings, permits, clocks, registries.

A *permit* is held by a request from its head until the application is done with
it. Permits are counted, not stored: they are the streams in `ConnectionContext.streams`.
At the limit the context is *pressed*: connections hold back new heads, in the order
in which these arrived, and the server stops accepting.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from granian_core.application import run_application
from granian_core.channel import Channel
from granian_core.http1.response import SERVER_FIELD, date_field
from granian_core.static import StaticFiles
from granian_core.websocket.engines import engine_class
from granian_core.websocket.handshake import find_refusal
from granian_core.websocket.stream import WebSocketStream, run_websocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from granian_core.access import AccessLogger
    from granian_core.interface import Interface
    from granian_core.settings import ServerConfig
    from granian_core.stream import HTTPStream
    from granian_core.websocket.stream import OpenLink


class Connection(Protocol):
    """What the server needs of a connection, whatever its HTTP version."""

    idle_since: float
    """When the connection became idle, or infinity while it is busy."""

    def sweep(self, now: float, elapsed: float) -> None:
        """Act on every deadline that *now* has passed."""

    def admit(self) -> None:
        """Go on with the head that was held back for want of a permit."""

    def drain(self) -> None:
        """Take no further request; leave when the current one is answered."""

    def close_idle(self) -> bool:
        """Close if nothing is in progress; say whether that was so."""

    def socket_fd(self) -> int:
        """Return the transport's descriptor, or -1."""

    def abort(self) -> None:
        """Drop the connection."""


class ConnectionContext:
    """See the module.

    Attributes:
        streams: Exchanges whose application is not done: the permits in use.
        websockets: WebSockets whose application is not done; they hold no permit once
            they are accepted.
        connections: Open connections.
        duplicates: Descriptors that they hold besides their sockets.
        pressed: No permit is free.
        attention: A thread that ends an exchange must wake the loop (pressed or draining).
        channel: To the loop, for threads.
        draining: No further request is taken on any connection.
        server_date: The Server and Date fields, refreshed by the sweep.
        server_date_end: The same, with the empty line that ends a head.
    """

    __slots__ = (
        "_second",
        "_websocket_engine",
        "access_log",
        "attention",
        "channel",
        "clock",
        "config",
        "connections",
        "date",
        "draining",
        "duplicates",
        "handle_http",
        "handle_websocket",
        "limit",
        "loop",
        "on_change",
        "pressed",
        "server_date",
        "server_date_end",
        "spawn",
        "streams",
        "waiting",
        "websockets",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interface: Interface,
        config: ServerConfig,
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        access_log: AccessLogger | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.loop = loop
        # Not the context of whichever thread wakes the loop.
        self.channel = Channel(loop, contextvars.copy_context())
        self.handle_http: Callable[[HTTPStream], Awaitable[None] | None] = interface.handle_http
        if config.static.mount:
            self.handle_http = StaticFiles(config.static, interface.handle_http, loop).handle_http
        # None where the interface has no WebSockets: then nobody looks for handshakes.
        self.handle_websocket: Callable[[WebSocketStream], Awaitable[None] | None] | None = (
            interface.handle_websocket if getattr(interface, "websockets", False) else None
        )
        self.config = config
        self._websocket_engine = engine_class(config.websocket.engine)
        self.spawn = spawn
        self.access_log = access_log
        self.clock = clock
        self.limit = config.backpressure
        self.streams: set[HTTPStream] = set()
        self.websockets: set[WebSocketStream] = set()
        self.connections: set[Connection] = set()
        self.duplicates = 0
        self.waiting: deque[Connection] = deque()
        self.pressed = False
        self.attention = False
        self.draining = False
        self.on_change: Callable[[], None] = _nothing
        self._second = 0
        self.date = b""
        self.server_date = b""
        self.server_date_end = b""
        self.refresh_date()

    def refresh_date(self) -> None:
        """Make the Date field anew if its second has passed."""
        second = int(time.time())
        if second == self._second:
            return
        self._second = second
        self.date = date_field(second)
        self.server_date = SERVER_FIELD + self.date
        self.server_date_end = self.server_date + b"\r\n"

    @property
    def exchanges(self) -> list[HTTPStream | WebSocketStream]:
        """Whatever has an application that is not done."""
        return [*self.streams, *self.websockets]

    def _enter(self, stream: HTTPStream) -> None:
        """Give *stream* a permit."""
        self.streams.add(stream)
        if len(self.streams) >= self.limit:
            self._press()
        if self.access_log is not None:
            stream.started_at = time.time()

    def run_websocket(self, stream: HTTPStream, open_link: OpenLink, *, keyed: bool = True) -> None:
        """Hand a WebSocket handshake to the interface, or refuse it.

        Args:
            stream: The handshake.
            open_link: What accepts it.
            keyed: As for `find_refusal`.
        """
        self._enter(stream)
        refusal = find_refusal(stream.method, stream.headers, self.config.websocket, keyed=keyed)
        if refusal is not None:
            stream.respond(refusal.status, refusal.headers, refusal.body)
            stream.carrier.application_done(stream)
            return
        self.start_websocket(WebSocketStream(stream, self, self._websocket_engine, open_link))

    def start_websocket(self, websocket: WebSocketStream) -> None:
        """Hand a WebSocket to the interface."""
        assert self.handle_websocket is not None
        self.websockets.add(websocket)
        try:
            awaitable = self.handle_websocket(websocket)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exc:  # SystemExit too: an application can not stop the server
            websocket.application_failed(exc)
            self._forget_websocket(websocket)
            return
        if awaitable is None:
            websocket.application_returned()
            self._forget_websocket(websocket)
        else:
            done = self._websocket_done
            websocket.task = self.spawn(run_websocket(websocket, awaitable, done))

    def _websocket_done(self, websocket: WebSocketStream) -> None:
        """The application of a WebSocket is done, in its own task."""
        self._forget_websocket(websocket)
        if self.attention:
            self.relieve()

    def _forget_websocket(self, websocket: WebSocketStream) -> None:
        """The application of a WebSocket is done."""
        self.websockets.discard(websocket)
        websocket.release()

    def run(self, stream: HTTPStream) -> None:
        """Hand a request to the interface, as its permit's holder."""
        self.streams.add(stream)
        if len(self.streams) >= self.limit:
            self._press()
        if self.access_log is not None:
            stream.started_at = time.time()
        try:
            awaitable = self.handle_http(stream)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as exc:  # SystemExit too: an application can not stop the server
            stream.application_failed(exc)
            return
        if awaitable is not None:
            stream.task = self.spawn(run_application(stream, awaitable))
        elif not stream.detached:
            stream.application_returned()

    def application_done(self, stream: HTTPStream) -> None:
        """Give the permit of *stream* back. Safe from any thread."""
        self.streams.discard(stream)
        if self.access_log is not None:
            self.access_log.log(stream, time.time() - stream.started_at)
        if self.attention:
            self._relieve_soon()

    def _relieve_soon(self) -> None:
        if _running_loop() is self.loop:
            self.loop.call_soon(self.relieve)  # without the wake-up that a thread needs
            return
        # A thread may outlive the loop: then nobody waits for the permit.
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self.relieve)

    def _press(self) -> None:
        if not self.pressed:
            self.pressed = self.attention = True
            self.on_change()
            # A thread may have given a permit back just before it could see the flag.
            if len(self.streams) < self.limit:
                self.relieve()

    def relieve(self) -> None:
        """Let held-back requests go on while permits are free."""
        while self.waiting and len(self.streams) < self.limit:
            self.waiting.popleft().admit()
        if self.pressed and len(self.streams) < self.limit:
            self.pressed = False
            self.attention = self.draining
        self.on_change()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:  # a thread of a pool
        return None


def _nothing() -> None:
    """Stand in for a server that does not listen."""

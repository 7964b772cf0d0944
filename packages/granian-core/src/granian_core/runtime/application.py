"""The application's loop as I/O threads see it, and the interface that their servers get."""

from __future__ import annotations

import contextvars
import dataclasses
import sys
from typing import TYPE_CHECKING

from granian_core.context import ConnectionContext
from granian_core.interface import BaseInterface
from granian_core.runtime.relay import HTTPRelay, RemoteTask
from granian_core.runtime.websocket import RemoteWebSocket
from granian_core.runtime.websocket_relay import WebSocketRelay
from granian_core.settings import StaticSettings

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable

    from granian_core.channel import Channel
    from granian_core.interface import Interface
    from granian_core.server import Spawn
    from granian_core.settings import ServerConfig
    from granian_core.stream import HTTPStream
    from granian_core.websocket import WebSocketStream


class ApplicationContext(ConnectionContext):
    """Runs the application's halves of exchanges. It holds no connections and no permits.

    Make it on the application's loop: exchanges see the context variables of that moment.
    """

    __slots__ = ("_variables",)

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        interface: Interface,
        config: ServerConfig,
        spawn: Spawn,
    ) -> None:
        # Files are served on the I/O threads, and it is there that requests are counted.
        remote = dataclasses.replace(config, static=StaticSettings(), backpressure=sys.maxsize)
        super().__init__(loop, interface, remote, spawn, None)
        self._variables = contextvars.copy_context()

    def begin(self, stream: HTTPStream) -> None:
        """Hand a request to the interface."""
        self._variables.copy().run(self.run, stream)

    def begin_websocket(self, websocket: RemoteWebSocket) -> None:
        """Hand a WebSocket to the interface."""
        self._variables.copy().run(self.start_websocket, websocket)

    def _forget_websocket(self, websocket: WebSocketStream) -> None:
        super()._forget_websocket(websocket)
        assert isinstance(websocket, RemoteWebSocket)
        websocket.application_ended()

    def application_done(self, stream: HTTPStream) -> None:
        """Forget an exchange. Safe from any thread."""
        self.streams.discard(stream)


class BridgedInterface(BaseInterface):
    """The interface of a server on an I/O loop: hands exchanges to the application's loop.

    Args:
        context: The application's.
        io: To the server's loop.
        websockets: Whether the application takes WebSockets.
    """

    def __init__(self, context: ApplicationContext, io: Channel, *, websockets: bool) -> None:
        self._context = context
        self._io = io
        self.websockets = websockets

    def handle_http(self, stream: HTTPStream) -> None:
        """Hand an exchange over."""
        context = self._context
        stream.detached = True
        relay = HTTPRelay(stream, context, self._io)
        stream.task = RemoteTask(relay, stream.carrier.loop)
        if stream.body_complete or stream.expects_continue:
            relay.begin(context.begin, relay.far)
        else:
            # What came with the head is with the connection's stream in the next turn.
            stream.carrier.loop.call_soon(relay.begin, context.begin, relay.far)

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None]:
        """Hand a WebSocket over."""
        return WebSocketRelay(stream, self._context, self._io).run()


class PooledInterface(BridgedInterface):
    """The same for an interface that hands its requests to pool threads.

    They go from the I/O thread to the pool and back, without the application's loop.

    Args:
        context: The application's.
        io: To the server's loop.
        websockets: Whether the application takes WebSockets.
        interface: The application's.
    """

    def __init__(
        self, context: ApplicationContext, io: Channel, interface: Interface, *, websockets: bool
    ) -> None:
        super().__init__(context, io, websockets=websockets)
        self._interface = interface

    def handle_http(self, stream: HTTPStream) -> None:
        """Let the interface hand the request to its pool."""
        awaitable = self._interface.handle_http(stream)
        if awaitable is not None:
            raise TypeError("a blocking interface returned an awaitable for a request")

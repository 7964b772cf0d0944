"""A server with I/O threads on a loopback socket."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from granian_core import BaseInterface, HTTPStream, ServerConfig, WebSocketStream
from granian_core.listener import Accepting
from granian_core.loops import loops
from granian_core.runtime.server import RuntimeMode, ThreadedServer
from granian_core.sockets import bind_tcp
from tests.core.loopback import Loopback, until

Handler = Callable[[HTTPStream], Awaitable[None] | None]
SocketHandler = Callable[[WebSocketStream], Awaitable[None] | None]


class FromFunctions(BaseInterface):
    """An interface made of functions."""

    def __init__(self, handler: Handler, websocket: SocketHandler | None = None) -> None:
        self._handler = handler
        self._websocket = websocket
        self.websockets = websocket is not None

    def handle_http(self, stream: HTTPStream) -> Awaitable[None] | None:
        return self._handler(stream)

    def handle_websocket(self, stream: WebSocketStream) -> Awaitable[None] | None:
        assert self._websocket is not None
        return self._websocket(stream)


class Threads(Loopback):
    """A running server, and clients of it."""

    server: ThreadedServer

    @property
    def counts(self) -> list[int]:
        """How many connections each loop has."""
        return [len(context.connections) for context in self.server.contexts]

    @property
    def accepting(self) -> list[Accepting]:
        """Who accepts for each loop."""
        found = [server._listeners for server in self.server._servers]
        return [one for one in found if one is not None]

    @property
    def idle(self) -> int:
        """How many connections have no request."""
        return sum(
            one.idle_since < float("inf")
            for context in self.server.contexts
            for one in list(context.connections)
        )


@contextlib.asynccontextmanager
async def serving(
    interface: BaseInterface | Handler,
    config: ServerConfig | None = None,
    *,
    threads: int = 2,
    mode: RuntimeMode = "auto",
    loop_name: str = "asyncio",
    **options: Any,
) -> AsyncIterator[Threads]:
    """Serve *interface*; afterwards drop every client and stop."""
    if not isinstance(interface, BaseInterface):
        interface = FromFunctions(interface)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(sock) for sock in bind_tcp(["127.0.0.1"], 0)]
        async with ThreadedServer(
            interface,
            threads=threads,
            mode=mode,
            new_loop=functools.partial(loops.get, loop_name),
            sockets=sockets,
            config=config,
            **options,
        ) as server:
            subject = Threads(server)
            try:
                yield subject
            finally:
                for client in subject.clients:
                    client.abort()
                await until(lambda: not any(subject.counts))

"""A server whose connections live on I/O threads."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from granian_core.channel import Channel
from granian_core.runtime.acceptor import Acceptor
from granian_core.runtime.application import ApplicationContext, BridgedInterface, PooledInterface
from granian_core.runtime.io_server import IOServer
from granian_core.runtime.permits import Permits
from granian_core.runtime.threads import IOThread, NewLoop
from granian_core.server import Server, ServerState, task_spawner

if TYPE_CHECKING:
    import os
    import socket

    from granian_core.context import ConnectionContext
    from granian_core.interface import Interface
    from granian_core.settings import ServerConfig

RuntimeMode: TypeAlias = Literal["auto", "mt", "st"]
"""Who accepts: one loop for all (``mt``), or each for itself (``st``); ``auto`` is ``mt``."""


class ThreadedServer(Server):
    """Serves one interface with its I/O on several threads, and the application here.

    Args:
        interface: What handles the requests, on the running loop.
        threads: I/O threads, at least 1.
        mode: Who accepts.
        new_loop: Makes the loop of an I/O thread, on that thread.
        blocking: The interface hands its requests to pool threads: then I/O threads do so
            directly. Its ``handle_http`` is called on all of them.
        sockets: As for `Server`.
        config: As for `Server`.
        host: As for `Server`.
        port: As for `Server`.
        uds: As for `Server`.

    Raises:
        ConfigurationError: A certificate file can not be used.
    """

    def __init__(
        self,
        interface: Interface,
        *,
        threads: int,
        mode: RuntimeMode = "auto",
        new_loop: NewLoop = asyncio.new_event_loop,
        blocking: bool = False,
        sockets: Sequence[socket.socket] = (),
        config: ServerConfig | None = None,
        host: str | None = None,
        port: int = 0,
        uds: str | os.PathLike[str] | None = None,
    ) -> None:
        super().__init__(interface, sockets=sockets, config=config, host=host, port=port, uds=uds)
        self._threads = [IOThread(number, new_loop) for number in range(threads)]
        self._mode = mode
        self._blocking = blocking
        self._servers: list[IOServer] = []

    @property
    def contexts(self) -> list[ConnectionContext]:
        """What the connections of each I/O loop share."""
        return [context for server in self._servers for context in server.contexts]

    @property
    def tls_handshakes(self) -> tuple[int, int]:
        """How many TLS handshakes succeeded, and how many failed."""
        pairs = [server.tls_handshakes for server in self._servers]
        return sum(pair[0] for pair in pairs), sum(pair[1] for pair in pairs)

    def reload_tls(self) -> None:
        """Read the certificate files again; see `Server.reload_tls`."""
        super().reload_tls()
        assert self._tls is not None
        for server in self._servers:
            server.share_tls(self._tls.contexts)

    # -- start ---------------------------------------------------------------------------

    async def _start(self) -> None:
        loop = asyncio.get_running_loop()
        self.setup(loop)
        self._warn()
        await self.interface.startup()
        context = ApplicationContext(
            loop, self.interface, self.config, task_spawner(loop, self.config.task_impl)
        )
        self._context = context
        try:
            loops = [await thread.start() for thread in self._threads]
            self._make_servers(context, loops)
            await self._on_all(server.start() for server in self._servers)
        except BaseException:
            if self._servers:
                await self._on_all(server.stop(0.0) for server in self._servers)
            await self._end_threads()
            await self.interface.shutdown()
            raise
        self.state = ServerState.SERVING
        self.started.set()

    def _make_servers(
        self, context: ApplicationContext, loops: list[asyncio.AbstractEventLoop]
    ) -> None:
        sockets = [*self._sockets, *self._own.sockets]
        acceptor = None
        if self._mode != "st":
            acceptor = Acceptor(loops[0], sockets, self.config.backlog)
        permits = Permits(self.config.backpressure)
        for loop in loops:
            server = IOServer(
                self._io_interface(context, loop),
                config=self.config,
                sockets=sockets if acceptor is None else (),
                acceptor=acceptor,
                permits=permits,
                contexts=self._tls.contexts if self._tls is not None else None,
                siblings=self._servers,
            )
            self._servers.append(server)

    def _io_interface(
        self, context: ApplicationContext, loop: asyncio.AbstractEventLoop
    ) -> Interface:
        websockets = context.handle_websocket is not None
        if self._blocking:
            return PooledInterface(context, Channel(loop), self.interface, websockets=websockets)
        return BridgedInterface(context, Channel(loop), websockets=websockets)

    async def _on_all(self, coroutines: Iterable[Coroutine[Any, Any, None]]) -> None:
        """Run one coroutine on each thread; raise what the first of them raised."""
        running = [
            thread.run(coroutine)
            for thread, coroutine in zip(self._threads, coroutines, strict=True)
        ]
        for outcome in await asyncio.gather(*running, return_exceptions=True):
            if isinstance(outcome, BaseException):
                raise outcome

    # -- stop ----------------------------------------------------------------------------

    async def _stop_accepting(self, *, final: bool) -> None:
        if self.state is not ServerState.SERVING:
            return
        self.state = ServerState.DRAINING
        await self._on_all(server.stop_accepting(final=final) for server in self._servers)
        self._own.close()

    async def stop(self, timeout: float = 25.0, *, final: bool = True) -> None:
        """Stop accepting on all loops, answer what was accepted, end; see `Server.stop`."""
        async with self._stopping:
            await self._stop_accepting(final=final)
            if self.state is not ServerState.DRAINING:
                return
            for server in self._servers:
                server.idle_grace = self.idle_grace
            await self._on_all(server.stop(timeout, final=final) for server in self._servers)
            await self._end_threads()
            self.state = ServerState.STOPPED
            await self.interface.shutdown()

    async def _end_threads(self) -> None:
        await asyncio.gather(*(thread.stop() for thread in self._threads))

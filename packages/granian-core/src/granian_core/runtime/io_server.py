"""The server of one I/O loop: like any other, but its bounds are the worker's."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from granian_core.access import compile_access_log
from granian_core.runtime.acceptor import Acceptor, Share
from granian_core.runtime.permits import Permits, SharedContext
from granian_core.server import Server, task_spawner

if TYPE_CHECKING:
    import asyncio
    import socket

    from granian_core.context import Connection, ConnectionContext
    from granian_core.interface import Interface
    from granian_core.listener import Accepting
    from granian_core.settings import ServerConfig
    from granian_core.tls import TLSEndpoint
    from granian_core.tls.contexts import TLSContexts


class IOServer(Server):
    """See the module.

    Args:
        interface: What hands exchanges over.
        config: Settings and limits, the worker's.
        sockets: What this loop accepts from, if it accepts for itself.
        acceptor: Who accepts for it otherwise.
        permits: The worker's.
        contexts: What TLS sessions start with, the worker's.
        siblings: The servers of all I/O loops, this one included.
    """

    def __init__(
        self,
        interface: Interface,
        *,
        config: ServerConfig,
        sockets: Sequence[socket.socket],
        acceptor: Acceptor | None,
        permits: Permits,
        contexts: TLSContexts | None,
        siblings: list[IOServer],
    ) -> None:
        self._tls_contexts = contexts
        super().__init__(interface, sockets=sockets, config=config)
        self._acceptor = acceptor
        self._permits = permits
        self._siblings = siblings

    def _make_tls_endpoint(self, contexts: TLSContexts | None = None) -> TLSEndpoint:
        return super()._make_tls_endpoint(self._tls_contexts)

    def share_tls(self, contexts: TLSContexts) -> None:
        """Begin new sessions with other contexts. Safe from any thread."""
        if self._tls is not None:
            self._tls.contexts = contexts

    def _make_context(self, loop: asyncio.AbstractEventLoop) -> ConnectionContext:
        fmt = self.config.access_log_format
        return SharedContext(
            loop,
            self.interface,
            self.config,
            task_spawner(loop, "asyncio"),
            compile_access_log(fmt) if fmt is not None else None,
            self._permits,
        )

    def _make_listeners(self) -> Accepting:
        if self._acceptor is None:
            return super()._make_listeners()
        context = self.context
        return Share(
            self._acceptor, context.loop, self.connection_factory, lambda: len(context.connections)
        )

    def _warn(self) -> None:
        """The worker's server has said it."""

    # -- bounds ------------------------------------------------------------------------

    def _serving(self) -> list[ConnectionContext]:
        return [context for server in self._siblings for context in server.contexts]

    def _is_full(self) -> bool:
        contexts = self._serving()
        count = sum(len(context.connections) for context in contexts)
        duplicates = sum(context.duplicates for context in contexts)
        return count >= self._max_connections or count + duplicates >= self._max_descriptors

    def _candidates(self) -> Iterable[Connection]:
        # A copy of each: they change on their own threads.
        return [one for context in self._serving() for one in list(context.connections)]

    def _close_candidate(self, connection: Connection) -> bool:
        for context in self._serving():
            if connection in context.connections:
                return _close_on(context, self.context, connection.close_idle)
        return False

    # -- draining ----------------------------------------------------------------------

    def _note_drained(self) -> None:
        if self._drained is None:
            return
        # The permits of the others are theirs to wait for.
        if self.context.exchanges or self.context.connections:
            self._drained.clear()
        else:
            self._drained.set()


def _close_on(owner: ConnectionContext, here: ConnectionContext, close: Callable[[], bool]) -> bool:
    """Close an idle connection on its own loop; elsewhere it may be found busy after all."""
    if owner is here:
        return close()
    owner.loop.call_soon_threadsafe(close)
    return True

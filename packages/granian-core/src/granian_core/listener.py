"""Listening sockets that can pause: accepting runs on a dup that is closed and remade.

The sockets themselves belong to the caller and may be shared with other processes,
so that no queue of connections dies with one of them. Pausing closes only the
dup's accept loop; what the kernel has queued waits, or another process takes it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from typing import TYPE_CHECKING

from granian_core.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from granian_core.stream import Address

logger = logging.getLogger("_granian.serve")

ACCEPT_TURNS = 4
"""Turns of the loop from `accept` to `connection_made`: three on asyncio, two on uvloop."""


class Listeners:
    """The listening side of one server.

    Args:
        sockets: Bound sockets; `listen` makes them listen.
        factory: Makes the protocol of a new connection.
        backlog: Length of each socket's queue.
    """

    __slots__ = (
        "_accepting",
        "_backlog",
        "_changing",
        "_factory",
        "_servers",
        "_sockets",
        "_wanted",
    )

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        factory: Callable[[], asyncio.Protocol],
        backlog: int,
    ) -> None:
        self._sockets = list(sockets)
        self._factory = factory
        self._backlog = backlog
        self._servers: list[asyncio.Server] = []
        self._wanted = False
        self._accepting = False
        self._changing: asyncio.Task[None] | None = None

    @property
    def addresses(self) -> list[Address]:
        """The bound addresses: ``(host, port)``, or ``(path, None)``."""
        result: list[Address] = []
        for sock in self._sockets:
            name = sock.getsockname()
            result.append((name[0], name[1]) if isinstance(name, tuple) else (str(name), None))
        return result

    @property
    def accepting(self) -> bool:
        """Whether new connections are being accepted."""
        return self._accepting

    async def start(self) -> None:
        """Listen and accept.

        Raises:
            BindError: Another server took an address since it was bound.
        """
        for sock in self._sockets:
            listen(sock, self._backlog)
        self._wanted = True
        await self._open()

    def set_accepting(self, wanted: bool) -> None:
        """Accept, or pause; what changes last wins."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if not wanted:
            self._close()
        elif self._changing is None and self._sockets:
            self._changing = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        try:
            if self._wanted and not self._accepting:
                await self._open()
        finally:
            self._changing = None
        if not self._wanted:
            self._close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._accepting = True
        for sock in self._sockets:
            dup = sock.dup()
            if sock.family == getattr(socket, "AF_UNIX", None):
                server = await _create_unix_server(loop, self._factory, dup, self._backlog)
            else:
                server = await loop.create_server(self._factory, sock=dup, backlog=self._backlog)
            self._servers.append(server)

    def _close(self) -> None:
        self._accepting = False
        servers, self._servers = self._servers, []
        loop = asyncio.get_running_loop()
        for server in servers:
            if isinstance(loop, asyncio.SelectorEventLoop):
                # asyncio accepts in one turn and attaches to the server in the next; what
                # is in between would be lost if the server were closed now.
                for listening in server.sockets:
                    loop.remove_reader(listening.fileno())
                loop.call_soon(server.close)
            else:
                server.close()

    async def close(self, *, empty_queue: bool) -> None:
        """Stop accepting for good.

        Args:
            empty_queue: Take what the kernel has queued first; for the last process that
                accepts from these sockets.
        """
        self._wanted = False
        if self._changing is not None:
            await asyncio.gather(self._changing, return_exceptions=True)
        self._close()
        # Those that the loop has accepted count as connections only some turns later; whoever
        # counts them after us must not miss them.
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        if empty_queue:
            for sock in self._sockets:
                await self._empty(sock)

    async def _empty(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        sock.setblocking(False)
        # Bounded: a flood must not keep a leaving server alive.
        for _ in range(2 * self._backlog):
            try:
                accepted, _ = sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                logger.debug("emptying the accept queue: %s", exc)
                return
            accepted.setblocking(False)
            try:
                await loop.connect_accepted_socket(self._factory, accepted)
            except OSError as exc:
                logger.debug("a queued connection was gone: %s", exc)


async def _create_unix_server(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], asyncio.Protocol],
    sock: socket.socket,
    backlog: int,
) -> asyncio.Server:
    if sys.version_info >= (3, 13) and isinstance(loop, asyncio.BaseEventLoop):
        # Pausing must not unlink the path that another process may be serving.
        return await loop.create_unix_server(
            factory, sock=sock, backlog=backlog, cleanup_socket=False
        )
    return await loop.create_unix_server(factory, sock=sock, backlog=backlog)

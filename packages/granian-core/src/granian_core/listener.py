"""Listening sockets that can pause: accepting runs on a dup that is closed and remade.

The sockets themselves belong to the caller and may be shared with other processes,
so that no queue of connections dies with one of them. Pausing closes only the
dup's accept loop; what the kernel has queued waits, or another process takes it.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import sys
import time
from math import inf
from typing import TYPE_CHECKING, Any, Protocol, cast

from granian_core.sockets import listen

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from granian_core.stream import Address

logger = logging.getLogger("_granian.serve")

ACCEPT_TURNS = 4
"""Turns of the loop from `accept` to `connection_made`: three on asyncio, two on uvloop."""
ACCEPT_BURST = 8
"""Connections that are accepted from one socket in one turn of an asyncio loop."""
RESERVED_DESCRIPTORS = 32
"""Least files that are left to the application, of those that the process may open."""
NOTICE_INTERVAL = 60.0
"""Seconds between two lines in the log that say the same."""

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class Accepting(Protocol):
    """What brings a server its connections."""

    @property
    def accepting(self) -> bool:
        """Whether new connections are accepted, or will be in a turn of the loop."""

    async def start(self) -> None:
        """Listen and accept."""

    def set_accepting(self, accepting: bool) -> None:
        """Accept, or pause; what changes last wins."""

    async def close(self, *, empty_queue: bool) -> None:
        """Stop accepting for good; who is in the queue is accepted first if so asked."""


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
        "_factory",
        "_is_open",
        "_notice",
        "_opening",
        "_servers",
        "_sockets",
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
        self._servers: list[asyncio.AbstractServer] = []
        self._accepting = False
        self._is_open = False
        self._opening: asyncio.Task[None] | None = None
        self._notice = Notice()

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
        """Whether new connections are accepted, or will be in a turn of the loop."""
        return self._accepting

    async def start(self) -> None:
        """Listen and accept.

        Raises:
            BindError: Another server took an address since it was bound.
        """
        for sock in self._sockets:
            listen(sock, self._backlog)
        self._accepting = True
        await self._open()

    def set_accepting(self, accepting: bool) -> None:
        """Accept, or pause; what changes last wins.

        Accepting may end by itself, where the process has no descriptor left: ask for it
        again from time to time.
        """
        if accepting == self._accepting:
            return
        self._accepting = accepting
        if not accepting:
            self._close()
        elif self._opening is None:
            self._opening = asyncio.get_running_loop().create_task(self._reopen())

    async def _reopen(self) -> None:
        try:
            while self._accepting and not self._is_open:
                await self._open()
        except OSError as exc:
            self._pause_exhausted(exc)
        finally:
            self._opening = None

    def _pause_exhausted(self, exc: OSError) -> None:
        self._notice.warn("Accepting pauses: %s", exc.strerror)
        self._accepting = False
        self._close()

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        self._is_open = True
        for sock in self._sockets:
            server = await self._serve(loop, sock)
            if not self._is_open:  # paused meanwhile
                _close_server(loop, server)
                return
            self._servers.append(server)

    async def _serve(
        self, loop: asyncio.AbstractEventLoop, sock: socket.socket
    ) -> asyncio.AbstractServer:
        dup = self._duplicate(loop, sock)
        try:
            if sock.family == getattr(socket, "AF_UNIX", None):
                return await _create_unix_server(loop, self._factory, dup, self._backlog)
            # Accepted sockets inherit it. asyncio sets it only where the protocol of the
            # listening one was named when that was made.
            dup.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return await loop.create_server(self._factory, sock=dup, backlog=self._backlog)
        except BaseException:
            dup.close()
            raise

    def _duplicate(self, loop: asyncio.AbstractEventLoop, sock: socket.socket) -> socket.socket:
        if not isinstance(loop, asyncio.SelectorEventLoop):
            return sock.dup()
        fd = os.dup(sock.fileno())
        paced = _PacedSocket(sock.family, sock.type, sock.proto, fileno=fd)
        paced.pace(loop, self._pause_exhausted)
        return paced

    def _close(self) -> None:
        self._is_open = False
        servers, self._servers = self._servers, []
        loop = asyncio.get_running_loop()
        for server in servers:
            _close_server(loop, server)

    async def close(self, *, empty_queue: bool) -> None:
        """Stop accepting for good.

        Args:
            empty_queue: Take what the kernel has queued first; for the last process that
                accepts from these sockets.
        """
        self._accepting = False
        if self._opening is not None:
            await asyncio.gather(self._opening, return_exceptions=True)
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


def usable_descriptors() -> float:
    """Return how many of the files that this process may open can be connections."""
    if resource is None:
        return inf
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return inf
    return max(1, limit - max(RESERVED_DESCRIPTORS, limit // 8))


class Notice:
    """Warnings that are worth a line, but not one each time."""

    __slots__ = ("_given_at",)

    def __init__(self) -> None:
        self._given_at = -inf

    def warn(self, message: str, *args: object) -> None:
        """Log a warning, unless one was logged in the last minute."""
        now = time.monotonic()
        if now - self._given_at >= NOTICE_INTERVAL:
            self._given_at = now
            logger.warning(message, *args)


class _PacedSocket(socket.socket):
    """A listening socket as asyncio needs it: a few connections a turn, and no errors.

    asyncio itself accepts as many as the backlog is long before the first of them can say
    that the server is full, and logs an error for each that the process has no descriptor
    for.
    """

    def pace(
        self, loop: asyncio.AbstractEventLoop, on_exhausted: Callable[[OSError], None]
    ) -> None:
        self._loop = loop
        self._on_exhausted = on_exhausted
        self._accepted = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self._accepted >= ACCEPT_BURST:
            raise BlockingIOError(errno.EAGAIN, "enough for this turn")
        try:
            result = super().accept()
        except OSError as exc:
            if exc.errno not in _EXHAUSTED:
                raise
            self._on_exhausted(exc)
            raise BlockingIOError(errno.EAGAIN, "no descriptor is free") from exc
        if not self._accepted:
            self._loop.call_soon(self._end_turn)
        self._accepted += 1
        return result

    def _end_turn(self) -> None:
        self._accepted = 0


def _close_server(loop: asyncio.AbstractEventLoop, server: asyncio.AbstractServer) -> None:
    """Close on the next turn: who is accepted in this one has yet to attach to the server."""
    if isinstance(loop, asyncio.SelectorEventLoop):
        for listening in cast("asyncio.Server", server).sockets:
            loop.remove_reader(listening.fileno())
    loop.call_soon(server.close)


async def _create_unix_server(
    loop: asyncio.AbstractEventLoop,
    factory: Callable[[], asyncio.Protocol],
    sock: socket.socket,
    backlog: int,
) -> asyncio.AbstractServer:
    if sys.version_info >= (3, 13):
        # Pausing must not unlink the path that another process may be serving.
        try:
            return await loop.create_unix_server(
                factory, sock=sock, backlog=backlog, cleanup_socket=False
            )
        except TypeError:  # a loop that does not unlink, and does not know the word
            logger.debug("%s has no cleanup_socket", type(loop).__module__)
    return await loop.create_unix_server(factory, sock=sock, backlog=backlog)

"""One loop that accepts for all, and hands every connection to the least-loaded of them.

`Acceptor` lives on one I/O loop. Each server has a `Share` of it, in the place of its
listeners: while a server has no permit or no socket left, its share takes none.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from typing import TYPE_CHECKING

from granian_core.listener import ACCEPT_BURST, Notice
from granian_core.sockets import listen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

logger = logging.getLogger("_granian.runtime")


class Share:
    """What one server gets of the connections. Implements `Accepting`, on its own loop.

    Args:
        acceptor: Who accepts.
        loop: The server's.
        factory: Makes the protocol of a new connection.
        count: Says how many connections the server has.

    Attributes:
        accepting: Whether the server takes connections.
    """

    __slots__ = (
        "_acceptor",
        "_adoptions",
        "_arrived",
        "_count",
        "_factory",
        "_handed",
        "_loop",
        "accepting",
    )

    def __init__(
        self,
        acceptor: Acceptor,
        loop: asyncio.AbstractEventLoop,
        factory: Callable[[], asyncio.Protocol],
        count: Callable[[], int],
    ) -> None:
        self._acceptor = acceptor
        self._loop = loop
        self._factory = factory
        self._count = count
        # Each is written by one thread only: the acceptor's, and ours.
        self._handed = 0
        self._arrived = 0
        self._adoptions: set[asyncio.Task[None]] = set()
        self.accepting = False

    @property
    def load(self) -> int:
        """Connections that this server has, or is about to have."""
        return self._count() + self._handed - self._arrived

    async def start(self) -> None:
        """Take connections."""
        self._acceptor.join(self)
        self.set_accepting(True)

    def set_accepting(self, accepting: bool) -> None:
        """Take connections, or let the others have them."""
        if accepting != self.accepting:
            self.accepting = accepting
            self._acceptor.update()

    async def close(self, *, empty_queue: bool) -> None:
        """Have nobody accept any more, and see those through that are on their way."""
        await self._acceptor.close(empty_queue=empty_queue)
        self.accepting = False
        while self._arrived != self._handed:
            await asyncio.sleep(0)
            if self._adoptions:
                await asyncio.wait(self._adoptions)

    def hand_over(self, sock: socket.socket) -> None:
        """Give the server a connection. Called on the acceptor's loop."""
        try:
            self._loop.call_soon_threadsafe(self._adopt, sock)
        except RuntimeError:  # the loop has closed
            sock.close()
        else:
            self._handed += 1

    def _adopt(self, sock: socket.socket) -> None:
        task = self._loop.create_task(self._connect(sock))
        self._adoptions.add(task)
        task.add_done_callback(self._adoptions.discard)

    async def _connect(self, sock: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._factory, sock)
        except OSError as exc:
            logger.debug("a connection was gone before it began: %s", exc)
            sock.close()
        finally:
            self._arrived += 1


class Acceptor:
    """See the module. Its methods may be called on any loop; it accepts on *loop*.

    Args:
        loop: Where to accept.
        sockets: Bound sockets, the caller's.
        backlog: Length of each socket's queue.
    """

    __slots__ = (
        "_backlog",
        "_closing",
        "_dups",
        "_lock",
        "_loop",
        "_notice",
        "_reading",
        "_shares",
        "_sockets",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, sockets: Sequence[socket.socket], backlog: int
    ) -> None:
        self._loop = loop
        self._sockets = list(sockets)
        self._backlog = backlog
        self._lock = threading.Lock()
        self._shares: list[Share] = []
        self._dups: list[socket.socket] = []
        self._reading = False
        self._closing: Future[None] | None = None
        self._notice = Notice()

    def join(self, share: Share) -> None:
        """Let a server have connections; the sockets listen from then on.

        Raises:
            BindError: Another server took an address since it was bound.
        """
        with self._lock:
            if not self._shares:
                for sock in self._sockets:
                    listen(sock, self._backlog)
                    self._dups.append(_duplicate(sock))
            self._shares.append(share)

    def update(self) -> None:
        """Look whether anybody takes connections."""
        self._loop.call_soon_threadsafe(self._update)

    async def close(self, *, empty_queue: bool) -> None:
        """Stop accepting for good; *empty_queue* first, if this is asked for."""
        with self._lock:
            if self._closing is None:
                closing = self._close(empty_queue=empty_queue)
                self._closing = asyncio.run_coroutine_threadsafe(closing, self._loop)
        await asyncio.shield(asyncio.wrap_future(self._closing))

    # -- on its loop ---------------------------------------------------------------------

    def _update(self) -> None:
        wanted = self._closing is None and any(share.accepting for share in self._shares)
        if wanted == self._reading:
            return
        self._reading = wanted
        for dup in self._dups:
            if wanted:
                self._loop.add_reader(dup.fileno(), self._accept, dup)
            else:
                self._loop.remove_reader(dup.fileno())

    def _accept(self, dup: socket.socket) -> None:
        for _ in range(ACCEPT_BURST):
            ready = [share for share in self._shares if share.accepting]
            if not ready:
                return
            try:
                sock, _ = dup.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:  # no descriptor is free, most likely
                self._pause(exc)
                return
            sock.setblocking(False)
            min(ready, key=_load).hand_over(sock)

    def _pause(self, exc: OSError) -> None:
        """Accept nothing until a server, at its next sweep, asks for it again."""
        self._notice.warn("Accepting pauses: %s", exc.strerror)
        for share in self._shares:
            share.accepting = False
        self._update()

    async def _close(self, *, empty_queue: bool) -> None:
        self._update()
        for dup in self._dups:
            if empty_queue:
                self._empty(dup)
            dup.close()
        self._dups.clear()

    def _empty(self, dup: socket.socket) -> None:
        # Bounded: a flood must not keep a leaving server alive.
        for _ in range(2 * self._backlog):
            try:
                sock, _ = dup.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as exc:
                logger.debug("emptying the accept queue: %s", exc)
                return
            sock.setblocking(False)
            min(self._shares, key=_load).hand_over(sock)


def _load(share: Share) -> int:
    return share.load


def _duplicate(sock: socket.socket) -> socket.socket:
    """Return a descriptor of our own to accept from."""
    dup = sock.dup()
    dup.setblocking(False)
    if sock.family != getattr(socket, "AF_UNIX", None):
        dup.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
    return dup

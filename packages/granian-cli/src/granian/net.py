"""Sockets to bind, and sockets that are bound, as values that cross process borders."""

from __future__ import annotations

import socket
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import Any

from granian_core.errors import ConfigurationError
from granian_core.sockets import bind_tcp, bind_unix

__all__ = ["SocketHolder", "SocketSpec", "UnixSocketSpec"]


class SocketHolder:
    """A descriptor of a bound socket. It belongs to whoever made it, and is not closed.

    Args:
        fd: The descriptor.
        uds: Whether it is a unix socket.
        backlog: Length of the queue to listen with.
    """

    __slots__ = ("_backlog", "_fd", "_uds")

    def __init__(self, fd: int, uds: bool, backlog: int) -> None:
        self._fd = fd
        self._uds = uds
        self._backlog = backlog

    def get_fd(self) -> int:
        """Return the descriptor."""
        return self._fd

    def is_uds(self) -> bool:
        """Whether it is a unix socket."""
        return self._uds

    def socket(self) -> socket.socket:
        """Return a socket object on the descriptor, which owns it from now on."""
        return socket.socket(fileno=self._fd)

    def __reduce__(self) -> tuple[Any, ...]:
        # multiprocessing passes the descriptor while it spawns a process.
        return (_receive, (DupFd(self._fd), self._uds, self._backlog))


def _receive(fd: Any, uds: bool, backlog: int) -> SocketHolder:
    return SocketHolder(fd.detach(), uds, backlog)


class SocketSpec:
    """A TCP socket to bind.

    Args:
        host: Address or name.
        port: 0 lets the system choose.
        backlog: Length of the queue.
    """

    __slots__ = ("backlog", "host", "port")

    def __init__(self, host: str, port: int, backlog: int) -> None:
        self.host = host
        self.port = port
        self.backlog = backlog

    def is_uds(self) -> bool:
        """Whether it is a unix socket: no."""
        return False

    def build(self) -> SocketHolder:
        """Bind it.

        Raises:
            BindError: The address can not be bound.
            ConfigurationError: The host stands for several addresses.
        """
        sockets = bind_tcp([self.host], self.port)
        if len(sockets) > 1:
            for sock in sockets:
                sock.close()
            raise ConfigurationError("host", self.host, "name one address, it stands for several")
        return SocketHolder(sockets[0].detach(), False, self.backlog)


class UnixSocketSpec:
    """A unix socket to bind.

    Args:
        bind: Its path.
        backlog: Length of the queue.
        permissions: Mode bits of the file; None leaves them to the umask.
    """

    __slots__ = ("backlog", "bind", "permissions")

    def __init__(self, bind: str | Path, backlog: int, permissions: int | None = None) -> None:
        self.bind = bind
        self.backlog = backlog
        self.permissions = permissions

    def is_uds(self) -> bool:
        """Whether it is a unix socket: yes."""
        return True

    def build(self) -> SocketHolder:
        """Bind it.

        Raises:
            BindError: The path can not be bound.
        """
        sock = bind_unix(self.bind, self.permissions)
        return SocketHolder(sock.detach(), True, self.backlog)

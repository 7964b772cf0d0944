"""Listening sockets: bound here, listened on by the server, one clear line when it fails.

A socket that this module returns is bound, not listening, non-inheritable (PEP 446) and
owned by the caller. Rules:

- An address means the same on every platform: an IPv6 socket never takes IPv4 clients
  (``IPV6_V6ONLY``), so no client shows up as ``::ffff:192.0.2.1``. ``::`` alone asks for
  every address, and gets a second socket on ``0.0.0.0``.
- ``localhost`` is both loopback addresses (RFC 6761 §6.3), whatever ``/etc/hosts`` says.
- ``SO_REUSEADDR``, so that a restart does not wait for TIME_WAIT; never ``SO_REUSEPORT``,
  which would let two servers share a port without noticing.

Linux lets two sockets with ``SO_REUSEADDR`` bind one port as long as neither listens: of
two servers started in the same instant the later one learns it from `listen`.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
import stat
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from granian_core.errors import BindError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from granian_core.stream import Address

PORT_ATTEMPTS = 32
"""How often port 0 is tried again when the kernel's choice is taken on another host."""

_ABSENT = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT})
"""What a machine without that address, or without IPv6, answers."""

_REMEDIES = {
    errno.EADDRINUSE: "the address is in use; stop the other server or choose another --port",
    errno.EACCES: "permission denied; choose a --port of 1024 or more, or grant the process "
    "CAP_NET_BIND_SERVICE",
    errno.EADDRNOTAVAIL: "this machine has no such address; check --host",
    errno.EAFNOSUPPORT: "this machine does not support this kind of address; check --host",
}

_UNIX_REMEDIES = {
    errno.ENOENT: "its directory does not exist; create it or choose another --uds",
    errno.ENOTDIR: "its directory is not a directory; choose another --uds",
    errno.EACCES: "permission denied; choose a --uds in a directory that is writable",
    errno.EROFS: "the file system is read-only; choose another --uds",
}


@dataclass(frozen=True, slots=True)
class _Candidate:
    """One address to bind, out of those that a host stands for."""

    family: socket.AddressFamily
    host: str
    scope: int = 0

    def sockaddr(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        if self.family == socket.AF_INET6:
            return (self.host, port, 0, self.scope)
        return (self.host, port)


class _PortTakenError(Exception):
    """The port that the kernel chose for the first socket is taken for another one."""


def bind_tcp(hosts: Sequence[str], port: int) -> list[socket.socket]:
    """Bind TCP sockets for every address that *hosts* stand for.

    Args:
        hosts: Names and literals, IPv6 with or without brackets. A name binds all the
            addresses it resolves to that this machine has.
        port: 0 to 65535; 0 lets the kernel pick one port, the same for all sockets.

    Raises:
        BindError: An address can not be bound; the message names it and says what to do.
        ConfigurationError: The port is out of range, or there is no host.
    """
    if not 0 <= port <= 65_535:
        raise ConfigurationError("--port", port, "use 0 to 65535")
    if not hosts:
        raise ConfigurationError("--host", None, "name at least one address")
    groups = _resolve(hosts, port)
    for _ in range(PORT_ATTEMPTS):
        with contextlib.suppress(_PortTakenError):
            return _bind_groups(groups, port)
    raise BindError(f"cannot bind {', '.join(hosts)}: no port is free on all of them")


def bind_unix(path: str | os.PathLike[str], permissions: int | None = None) -> socket.socket:
    """Bind a unix stream socket.

    A socket file on which nobody listens any more is replaced; anything else that exists
    at *path* is left alone.

    Args:
        path: Where; made absolute.
        permissions: Mode bits of the socket file; None leaves them to the umask. (Nobody
            can connect before they are set: the socket does not listen yet.)

    Raises:
        BindError: The path is taken, or can not be bound.
        ConfigurationError: The permissions are not mode bits.
    """
    if permissions is not None and not 0 <= permissions <= 0o777:
        raise ConfigurationError("--uds-permissions", f"0o{permissions:o}", "use 0 to 0o777")
    if not hasattr(socket, "AF_UNIX"):
        raise BindError("cannot bind a unix socket: this platform has none; use --host and --port")
    full = os.path.abspath(os.fspath(path))  # resolving links would change what the user named
    refusal = _remove_stale(full)
    if refusal:
        raise BindError(f"cannot bind unix:{full}: {refusal}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(full)
        if permissions is not None:
            os.chmod(full, permissions)
    except (OSError, ValueError) as exc:
        sock.close()
        reason = _explain(exc, _UNIX_REMEDIES)
        if isinstance(exc, OSError) and exc.errno is None:  # Python's own: the path is too long
            reason += "; choose a shorter --uds"
        raise BindError(f"cannot bind unix:{full}: {reason}") from exc
    return sock


def unlink_unix(path: str | os.PathLike[str]) -> bool:
    """Remove a unix socket's file at the end, unless somebody else listens there by now.

    Call it when our own sockets for *path* are closed.

    Returns:
        Whether nothing is left at *path*.
    """
    return _remove_stale(os.path.abspath(os.fspath(path))) is None


class OwnSockets:
    """The sockets that a server binds for itself, if any.

    Args:
        host: Address or name to bind, or None.
        port: TCP port for *host*.
        uds: Path of a unix socket to bind, or None.
    """

    __slots__ = ("_host", "_port", "_uds", "sockets")

    def __init__(
        self, host: str | None, port: int = 0, uds: str | os.PathLike[str] | None = None
    ) -> None:
        self._host = host
        self._port = port
        self._uds = uds
        self.sockets: list[socket.socket] = []

    def open(self) -> None:
        """Bind what was asked for.

        Raises:
            BindError: An address can not be bound.
            ConfigurationError: The port is out of range.
        """
        if self._host is not None:
            self.sockets += bind_tcp([self._host], self._port)
        if self._uds is not None:
            try:
                self.sockets.append(bind_unix(self._uds))
            except BindError:
                self.close()
                raise

    def close(self) -> None:
        """Close them, and remove the file of a unix socket."""
        unix = any(local_address(sock)[1] is None for sock in self.sockets)
        for sock in self.sockets:
            sock.close()
        self.sockets.clear()
        if unix and self._uds is not None:
            unlink_unix(self._uds)


def listen(sock: socket.socket, backlog: int) -> None:
    """Start listening on a bound socket, which is non-blocking from now on.

    All copies of a socket share the flag, and `socket.socket.dup` gives it anew what the Python
    object has: a copy of a blocking one would block whoever accepts from another copy.

    Raises:
        BindError: Another server took the address since it was bound.
    """
    sock.setblocking(False)
    try:
        sock.listen(backlog)
    except OSError as exc:
        name = format_address(local_address(sock))
        raise BindError(f"cannot listen on {name}: {_explain(exc, _REMEDIES)}") from exc


def local_address(sock: socket.socket) -> Address:
    """Return the bound address: ``(host, port)``, or ``(path, None)``."""
    return to_address(sock.getsockname())


def to_address(name: object) -> Address:
    """Return a socket name (``getsockname``, ``getpeername``, ``accept``) as an `Address`."""
    if isinstance(name, tuple):
        return name[0], name[1]
    return os.fsdecode(name) if isinstance(name, bytes) else str(name), None


def format_address(address: Address) -> str:
    """Return an address as people write it: ``host:port``, ``[v6]:port``, ``unix:path``."""
    host, port = address
    if port is None:
        return f"unix:{host}"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


# -- resolving -------------------------------------------------------------------


def _resolve(hosts: Sequence[str], port: int) -> list[tuple[str, list[_Candidate]]]:
    """Return for each host the addresses that no earlier host stands for."""
    seen: set[_Candidate] = set()
    groups = []
    for host in hosts:
        name = host[1:-1] if host.startswith("[") and host.endswith("]") else host
        fresh = [c for c in dict.fromkeys(_candidates(name, port)) if c not in seen]
        seen.update(fresh)
        if fresh:
            groups.append((name, fresh))
    return groups


def _candidates(host: str, port: int) -> Iterator[_Candidate]:
    if host.lower().rstrip(".") == "localhost":
        yield _Candidate(socket.AF_INET, "127.0.0.1")
        yield _Candidate(socket.AF_INET6, "::1")
        return
    if not host or "\0" in host:  # the resolver would stop reading at the NUL
        raise BindError(f"cannot bind {host!r}: not a host; name an address with --host")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as exc:  # ValueError: not encodable as IDNA
        name = format_address((host, port))
        raise BindError(f"cannot bind {name}: unknown host ({_text(exc)}); check --host") from exc
    for family, _, _, _, sockaddr in found:
        if family == socket.AF_INET:
            yield _Candidate(family, str(sockaddr[0]))
        elif family == socket.AF_INET6:
            scope = sockaddr[3] if len(sockaddr) == 4 else 0
            yield _Candidate(family, str(sockaddr[0]), scope)
    if _is_unspecified_v6(host):
        yield _Candidate(socket.AF_INET, "0.0.0.0")  # noqa: S104 - "::" says every address


def _is_unspecified_v6(host: str) -> bool:
    try:
        return ipaddress.IPv6Address(host).is_unspecified
    except ValueError:
        return False


# -- binding ---------------------------------------------------------------------


def _bind_groups(groups: list[tuple[str, list[_Candidate]]], port: int) -> list[socket.socket]:
    with contextlib.ExitStack() as undo:
        bound: list[socket.socket] = []
        for host, candidates in groups:
            for sock in _bind_group(host, candidates, port, bound):
                undo.callback(sock.close)
                bound.append(sock)
        undo.pop_all()
    return bound


def _bind_group(
    host: str, candidates: list[_Candidate], port: int, others: Sequence[socket.socket]
) -> Iterator[socket.socket]:
    """Bind what *host* stands for; addresses that this machine lacks may be left out."""
    failure: OSError | None = None
    made = 0
    shared = others[0].getsockname()[1] if others else port
    for candidate in candidates:
        try:
            sock = _bind_one(candidate, shared)
        except OSError as exc:
            if exc.errno == errno.EADDRINUSE and shared != port:
                raise _PortTakenError from exc
            failure = failure or exc
            if exc.errno in _ABSENT:
                continue
            raise _bind_error(candidate.host, shared, exc) from exc
        made += 1
        shared = sock.getsockname()[1]
        yield sock
    if not made and failure is not None:
        raise _bind_error(host, port, failure) from failure


def _bind_one(candidate: _Candidate, port: int) -> socket.socket:
    sock = socket.socket(candidate.family, socket.SOCK_STREAM)
    try:
        if sys.platform == "win32":  # there SO_REUSEADDR means stealing the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if candidate.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(candidate.sockaddr(port))
    except BaseException:
        sock.close()
        raise
    return sock


def _bind_error(host: str, port: int, exc: OSError) -> BindError:
    return BindError(f"cannot bind {format_address((host, port))}: {_explain(exc, _REMEDIES)}")


def _explain(exc: Exception, remedies: dict[int, str]) -> str:
    number = exc.errno if isinstance(exc, OSError) else None
    return remedies.get(number, _text(exc)) if number is not None else _text(exc)


def _text(exc: Exception) -> str:
    return getattr(exc, "strerror", None) or str(exc)


# -- unix sockets ----------------------------------------------------------------


def _remove_stale(path: str) -> str | None:
    """Remove a socket file that nobody listens on; return why not, or None if it is gone."""
    try:
        mode = os.lstat(path).st_mode
    except OSError as exc:
        # Absent is what we want; about the rest, bind() has the better message.
        return None if exc.errno in (errno.ENOENT, errno.ENOTDIR) else _text(exc)
    except ValueError as exc:  # a NUL in the path
        return _text(exc)
    if not stat.S_ISSOCK(mode):
        return "a file that is not a socket is in the way; remove it or choose another --uds"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)  # a live server with a full backlog must not hold us
        result = probe.connect_ex(path)
    if result == errno.ECONNREFUSED:
        with contextlib.suppress(FileNotFoundError):
            try:
                os.unlink(path)
            except PermissionError as exc:
                return f"a stale socket is in the way and can not be removed ({_text(exc)})"
        return None
    if result == errno.ENOENT:
        return None
    if result in (0, errno.EAGAIN, errno.EINPROGRESS):
        return "another server listens there; stop it or choose another --uds"
    return f"a socket is in the way ({os.strerror(result)}); remove it or choose another --uds"

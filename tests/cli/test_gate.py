"""Shutting the gate: whoever is queued gets in, nobody else does, and nobody is reset."""

from __future__ import annotations

import select
import socket
import sys
from pathlib import Path

import pytest

from granian_cli.gate import UnixGate, shut_tcp


def connecting(listener: socket.socket) -> socket.socket:
    """Begin to connect; on the loopback the handshake is over at once, or not at all."""
    sock = socket.socket(listener.family)
    sock.setblocking(False)
    sock.connect_ex(listener.getsockname()[:2])
    return sock


def connected(sock: socket.socket) -> bool:
    return bool(select.select([], [sock], [], 0)[1])


@pytest.mark.skipif(sys.platform != "linux", reason="filters are Linux's")
@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_tcp(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError:
        pytest.skip(f"this machine has no {host}")
    with listener, listener.dup() as other, connecting(listener) as early:
        assert connected(early)
        assert shut_tcp(listener)
        with connecting(other) as late:
            assert not connected(late)
            accepted, _ = other.accept()
            with accepted:
                early.sendall(b"question")
                assert accepted.recv(100) == b"question"
                accepted.sendall(b"answer")
                listener.close()
                other.close()
                select.select([early], [], [])
                assert early.recv(100) == b"answer"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_filter_is_for_tcp() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        assert not shut_tcp(sock)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_unix(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        gate = UnixGate(path)
        gate.shut()
        assert not path.exists()
        gate.shut()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_file_of_a_successor_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as ours, socket.socket(socket.AF_UNIX) as theirs:
        ours.bind(str(path))
        gate = UnixGate(path)
        path.rename(tmp_path / "away.sock")  # else its inode could be used again
        theirs.bind(str(path))
        gate.shut()
        assert path.is_socket()

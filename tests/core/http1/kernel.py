"""A connection's own descriptor as threads see it, under the control of a test."""

from __future__ import annotations

import socket

from granian_core import BlockingStream, HTTPStream
from granian_core.http1.connection import HTTP1Connection


class Kernel:
    """Stands for a connection's own descriptor; does to each send what a test says.

    Args:
        dup: The descriptor.
        acts: One for each send: how many bytes to take, an error, or a function that is
            called first and returns one of the two. None, and after the last: everything.
    """

    def __init__(self, dup: socket.socket, *acts: object) -> None:
        self.dup = dup
        self.acts = list(acts)
        self.sends = 0
        self.closes = 0

    def send(self, data: bytes) -> int:
        self.sends += 1
        act = self.acts.pop(0) if self.acts else None
        if callable(act):
            act = act()
        if isinstance(act, OSError):
            raise act
        return self.dup.send(data if act is None else data[:act])  # type: ignore[misc]

    def close(self) -> None:
        self.closes += 1
        self.dup.close()


def carrier(stream: HTTPStream) -> HTTP1Connection:
    assert isinstance(stream.carrier, HTTP1Connection)
    return stream.carrier


def answer(stream: BlockingStream) -> None:
    """Answer with the path."""
    stream.respond(200, [], stream.stream.path.encode())

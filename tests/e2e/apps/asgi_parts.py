"""What the framework applications of the end-to-end tests have in common.

Each offers the same routes, in the way that its framework wants them written::

    GET  /            "hello"
    POST /echo        the request's body, with its content type
    POST /upload      reads the body as a stream; "<bytes> <sha256>"
    GET  /stream      "part 0 " to "part 9 ", as a stream
    GET  /large       50 MiB of zeros, as a stream
    GET  /cookies     sets a=1 and b=2; answers with the cookies of the request
    GET  /redirect    302 to /
    GET  /error       raises
    GET  /forever     streams until the client leaves
    GET  /gone        waits until a client of /forever has left; "gone"
    GET  /scope       client, scheme and root path as the framework sees them
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator

MIB = 1 << 20
LARGE = 50 * MIB


class Digest:
    """Counts and hashes a body without keeping it."""

    def __init__(self) -> None:
        self.size = 0
        self._hash = hashlib.sha256()

    def add(self, data: bytes) -> None:
        """Take a piece."""
        self.size += len(data)
        self._hash.update(data)

    @property
    def text(self) -> str:
        """The size in bytes and the hash."""
        return f"{self.size} {self._hash.hexdigest()}"


class Failure(Exception):
    """What ``/error`` raises."""


class Departure:
    """Notes that a client has left."""

    def __init__(self) -> None:
        self._left = asyncio.Event()

    def note(self) -> None:
        """One has left."""
        self._left.set()

    async def wait(self) -> str:
        """Wait until one has."""
        await asyncio.wait_for(self._left.wait(), 20)
        return "gone"


async def parts() -> AsyncIterator[bytes]:
    """Yield a few small pieces."""
    for number in range(10):
        yield b"part %d " % number
        await asyncio.sleep(0)


async def zeros() -> AsyncIterator[bytes]:
    """Yield `LARGE` bytes."""
    piece = bytes(MIB // 4)
    for _ in range(LARGE // len(piece)):
        yield piece


async def forever(departure: Departure) -> AsyncIterator[bytes]:
    """Yield pieces until the consumer stops."""
    try:
        while True:
            yield b"tick\n"
            await asyncio.sleep(0.01)
    finally:
        departure.note()

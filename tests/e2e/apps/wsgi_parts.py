"""What the WSGI framework applications of the end-to-end tests have in common.

Each offers the same routes, in the way that its framework wants them written::

    GET  /            "hello"
    POST /echo        the request's body, with its content type
    POST /upload      reads the body as a stream; "<bytes> <sha256>"
    POST /form        reads the file "file" of a form; "<bytes> <sha256>"
    GET  /stream      "part 0 " to "part 9 ", as a stream
    GET  /large       50 MiB of zeros, as a stream
    GET  /file        the file that `FILE_VARIABLE` names, as a file
    GET  /cookies     sets a=1 and b=2; answers with the cookies of the request
    GET  /redirect    302 to /
    GET  /error       raises
    GET  /forever     streams until the client leaves
    GET  /gone        waits until a client of /forever has left; "gone"
    GET  /environ     client, scheme, script name and path as the framework sees them
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

MIB = 1 << 20
LARGE = 50 * MIB

FILE_VARIABLE = "WSGI_TEST_FILE"
"""Environment variable with the path of the file that ``/file`` sends."""


def file_path() -> Path:
    """Return the path of the file to send."""
    return Path(os.environ[FILE_VARIABLE])


def digest(read: Callable[[int], bytes]) -> str:
    """Count and hash what can be read, without keeping it."""
    size, state = 0, hashlib.sha256()
    while piece := read(65_536):
        size += len(piece)
        state.update(piece)
    return f"{size} {state.hexdigest()}"


class Failure(Exception):
    """What ``/error`` raises."""


class Departure:
    """Notes that a client has left."""

    def __init__(self) -> None:
        self._left = threading.Event()

    def note(self) -> None:
        """One has left."""
        self._left.set()

    def wait(self) -> str:
        """Wait until one has."""
        return "gone" if self._left.wait(20) else "still there"


def parts() -> Iterator[bytes]:
    """Yield a few small pieces."""
    for number in range(10):
        yield b"part %d " % number


def zeros() -> Iterator[bytes]:
    """Yield `LARGE` bytes."""
    piece = bytes(MIB // 4)
    for _ in range(LARGE // len(piece)):
        yield piece


def forever(departure: Departure) -> Iterator[bytes]:
    """Yield pieces until the consumer stops."""
    try:
        while True:
            yield b"tick\n"
            time.sleep(0.01)
    finally:
        departure.note()

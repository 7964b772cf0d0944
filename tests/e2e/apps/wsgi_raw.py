"""WSGI applications without a framework, each for one question."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Environ = dict[str, Any]
Start = Callable[..., Callable[[bytes], None]]


def environ(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Answer with the part of the environ that JSON can tell."""
    start_response("200 Fine by me", [("Content-Type", "application/json")])
    plain = {key: value for key, value in environ.items() if isinstance(value, str | int | bool)}
    return [json.dumps(plain).encode()]


def factory() -> Callable[[Environ, Start], Iterable[bytes]]:
    """Make the application, for ``--factory``."""
    return environ


class Together:
    """Answers once as many calls run at the same time as the path says."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0

    def __call__(self, environ: Environ, start_response: Start) -> Iterator[bytes]:
        """Wait for the others."""
        wanted = int(environ["PATH_INFO"][1:])
        with self._changed:
            self._running += 1
            self._changed.notify_all()
            met = self._changed.wait_for(lambda: self._running >= wanted, 20)
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"together" if met else b"alone"


together = Together()


def cut(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Fail in the middle of the body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"part"
    raise ValueError("in the middle")


def leave(environ: Environ, start_response: Start) -> Iterable[bytes]:
    """Try to stop the server."""
    raise SystemExit(7)


async def not_wsgi(scope: object, receive: object, send: object) -> None:
    """Of another interface."""

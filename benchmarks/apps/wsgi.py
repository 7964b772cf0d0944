"""The WSGI application under load (PEP 3333)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

_BODIES = {"/": b"x" * 1024, "/10k": b"x" * 10_000, "/1m": b"x" * 1_048_576}
_CHUNK = b"x" * 1024
_CHUNKS = 16


def application(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer one request."""
    path = environ["PATH_INFO"]
    body = _BODIES.get(path)
    if body is not None:
        return _respond(start_response, body)
    if path == "/echo":
        return _respond(start_response, environ["wsgi.input"].read())
    if path == "/stream":
        start_response("200 OK", [("content-type", "text/plain")])
        return _chunks()
    return _respond(start_response, b"Not found", "404 Not Found")


def _respond(
    start_response: Callable[..., object], body: bytes, status: str = "200 OK"
) -> list[bytes]:
    headers = [("content-type", "text/plain"), ("content-length", str(len(body)))]
    start_response(status, headers)
    return [body]


def _chunks() -> Iterator[bytes]:
    for _ in range(_CHUNKS):
        yield _CHUNK

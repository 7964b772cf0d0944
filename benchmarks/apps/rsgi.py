"""The RSGI 1.6 application under load."""

from __future__ import annotations

from typing import Protocol

_BODIES = {"/": b"x" * 1024, "/10k": b"x" * 10_000}
_CHUNK = b"x" * 1024
_CHUNKS = 16
_HEADERS = [("content-type", "text/plain")]


class _Scope(Protocol):
    @property
    def path(self) -> str: ...


class _Transport(Protocol):
    async def send_bytes(self, data: bytes) -> None: ...


class _HTTPProtocol(Protocol):
    async def __call__(self) -> bytes: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> _Transport: ...


async def application(scope: _Scope, protocol: _HTTPProtocol) -> None:
    """Answer one request."""
    path = scope.path
    body = _BODIES.get(path)
    if body is not None:
        protocol.response_bytes(200, _HEADERS, body)
    elif path == "/echo":
        protocol.response_bytes(200, _HEADERS, await protocol())
    elif path == "/stream":
        transport = protocol.response_stream(200, _HEADERS)
        for _ in range(_CHUNKS):
            await transport.send_bytes(_CHUNK)
    else:
        protocol.response_bytes(404, _HEADERS, b"Not found")

"""The RSGI 1.6 application under load."""

from __future__ import annotations

from typing import Protocol, cast

_BODIES = {"/": b"x" * 1024, "/10k": b"x" * 10_000, "/1m": b"x" * 1_048_576}
_CHUNK = b"x" * 1024
_CHUNKS = 16
_HEADERS = [("content-type", "text/plain")]
_CLOSED = 0
_EVERYONE: set[_WebsocketTransport] = set()


class _Scope(Protocol):
    @property
    def path(self) -> str: ...

    @property
    def proto(self) -> str: ...


class _Message(Protocol):
    @property
    def kind(self) -> int: ...

    @property
    def data(self) -> bytes: ...


class _WebsocketTransport(Protocol):
    async def receive(self) -> _Message: ...

    async def send_bytes(self, data: bytes) -> None: ...


class _WebsocketProtocol(Protocol):
    async def accept(self) -> _WebsocketTransport: ...

    def close(self, status: int | None = None) -> object: ...


class _Transport(Protocol):
    async def send_bytes(self, data: bytes) -> None: ...


class _HTTPProtocol(Protocol):
    async def __call__(self) -> bytes: ...

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None: ...

    def response_stream(self, status: int, headers: list[tuple[str, str]]) -> _Transport: ...


async def application(scope: _Scope, protocol: _HTTPProtocol | _WebsocketProtocol) -> None:
    """Answer one request, or serve one WebSocket."""
    if scope.proto == "ws":
        await _websocket(scope.path, cast("_WebsocketProtocol", protocol))
    else:
        await _respond(scope.path, cast("_HTTPProtocol", protocol))


async def _websocket(path: str, protocol: _WebsocketProtocol) -> None:
    transport = await protocol.accept()
    if path == "/broadcast":
        await _broadcast(transport)
    else:
        while (message := await transport.receive()).kind != _CLOSED:
            await transport.send_bytes(message.data)
    protocol.close()


async def _broadcast(transport: _WebsocketTransport) -> None:
    _EVERYONE.add(transport)
    try:
        while (message := await transport.receive()).kind != _CLOSED:
            for other in list(_EVERYONE):
                await other.send_bytes(message.data)
    finally:
        _EVERYONE.discard(transport)


async def _respond(path: str, protocol: _HTTPProtocol) -> None:
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

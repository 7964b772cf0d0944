"""The ASGI 3.0 application under load."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_BODIES = {"/": b"x" * 1024, "/10k": b"x" * 10_000, "/1m": b"x" * 1_048_576}
_CHUNK = b"x" * 1024
_CHUNKS = 16
_EVERYONE: set[Send] = set()


async def application(scope: Message, receive: Receive, send: Send) -> None:
    """Answer one request, or follow the lifespan protocol."""
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    if scope["type"] == "websocket":
        await _websocket(scope["path"], receive, send)
        return
    path = scope["path"]
    body = _BODIES.get(path)
    if body is not None:
        await _respond(send, body)
    elif path == "/echo":
        await _respond(send, await _read_body(receive))
    elif path == "/stream":
        await _stream(send)
    else:
        await _respond(send, b"Not found", status=404)


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _respond(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-type", b"text/plain"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _read_body(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


async def _stream(send: Send) -> None:
    headers = [(b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(_CHUNKS):
        await send({"type": "http.response.body", "body": _CHUNK, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _websocket(path: str, receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    if path == "/broadcast":
        await _broadcast(receive, send)
        return
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "bytes": message["bytes"]})


async def _broadcast(receive: Receive, send: Send) -> None:
    _EVERYONE.add(send)
    try:
        while (message := await receive())["type"] != "websocket.disconnect":
            said = {"type": "websocket.send", "bytes": message["bytes"]}
            for other in list(_EVERYONE):
                await other(said)
    finally:
        _EVERYONE.discard(send)

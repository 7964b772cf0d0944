"""Sends the same messages to every WebSocket once ``/go`` is asked for; ``/sent`` says how many."""

from __future__ import annotations

import asyncio
import json

COUNT = 600
MESSAGE = b"x" * 16_384

sent: dict[str, int] = {}
go = asyncio.Event()


async def asgi(scope, receive, send):
    assert scope["type"] in ("http", "websocket")
    if scope["type"] == "http":
        if scope["path"] == "/go":
            go.set()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(sent).encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    name = scope["query_string"].decode()
    sent[name] = 0
    await go.wait()
    for _ in range(COUNT):
        await send({"type": "websocket.send", "bytes": MESSAGE})
        sent[name] += 1
    await receive()

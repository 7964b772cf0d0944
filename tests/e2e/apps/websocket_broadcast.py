"""Sends the same messages to every WebSocket once ``/go`` is asked for; ``/sent`` says how many.

For one that is named ``stalled`` there are far more of them.
"""

from __future__ import annotations

import asyncio
import json

COUNT = 600
FOR_STALLED = 8000
"""Messages that would be 125 MiB if they were not held back."""

sent: dict[str, int] = {}
go = asyncio.Event()


def message(number: int) -> bytes:
    """Return a message of 16 KiB; a new object each time, so that what is kept takes memory."""
    return b"%08d" % number + b"x" * 16_376


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
    for number in range(FOR_STALLED if name == "stalled" else COUNT):
        await send({"type": "websocket.send", "bytes": message(number)})
        sent[name] += 1
    await receive()

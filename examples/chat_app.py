"""A chat, whose page is a static file.

``granian --interface asginl --working-dir examples --static-path-mount examples/pages
--static-path-route /pages --static-path-dir-to-file index.html chat_app:app``; then open
http://localhost:8000/pages/ twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

members: dict[Send, asyncio.Queue[str]] = {}
"""What waits to be told to each member."""

MOST_WAITING = 100
"""Messages for one member; further ones are dropped."""


async def app(scope: dict[str, Any], receive: Receive, send: Send) -> None:
    """Send what anybody writes to everybody."""
    if scope["type"] != "websocket":
        headers = [(b"location", b"/pages/")]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body"})
        return
    await receive()  # websocket.connect
    members[send] = asyncio.Queue(MOST_WAITING)
    teller = asyncio.create_task(tell(send, members[send]))
    try:
        while (message := await receive())["type"] == "websocket.receive":
            publish(message.get("text") or "")
    finally:
        del members[send]
        teller.cancel()


def publish(text: str) -> None:
    """Queue a message for everybody: a slow reader keeps nobody else waiting."""
    for queue in members.values():
        if not queue.full():
            queue.put_nowait(text)


async def tell(send: Send, queue: asyncio.Queue[str]) -> None:
    """Let one member in, and send what waits for it."""
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": await queue.get()})

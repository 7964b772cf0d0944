"""An ASGI application for the soak: some of everything, and ``/state`` to look inside.

``/`` answers, ``/echo`` sends the body back, ``/large`` is 1 MiB in pieces, ``/slow`` waits for
20 ms, a WebSocket echoes. ``/state`` is what must not grow.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

PIECE = bytes(65_536)


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve one connection scope."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    elif scope["type"] == "websocket":
        await echo_messages(receive, send)
    elif scope["path"] == "/large":
        await respond(send, *[PIECE] * 16)
    elif scope["path"] == "/echo":
        await respond(send, *[piece async for piece in body(receive)])
    elif scope["path"] == "/state":
        await respond(send, json.dumps(state()).encode())
    else:
        if scope["path"] == "/slow":
            await asyncio.sleep(0.02)
        await respond(send, b"hello")


async def lifespan(receive: Receive, send: Send) -> None:
    """Start and stop."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


async def body(receive: Receive) -> Any:
    """Yield the pieces of the request body; end where the client leaves."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        yield message.get("body", b"")
        more = message.get("more_body", False)


async def respond(send: Send, *pieces: bytes) -> None:
    """Send a whole response."""
    length = sum(map(len, pieces))
    headers = [(b"content-length", b"%d" % length)]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for piece in pieces:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body"})


async def echo_messages(receive: Receive, send: Send) -> None:
    """Send every message back."""
    await receive()
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


def state() -> dict[str, int]:
    """Return what this process holds, the asking request included."""
    gc.collect()
    status = Path("/proc/self/status").read_text(encoding="ascii")
    resident = status.partition("VmRSS:")[2].split()[0]
    return {
        "pid": os.getpid(),
        "resident": int(resident) * 1024,
        "descriptors": len(os.listdir("/proc/self/fd")),
        "tasks": len(asyncio.all_tasks()),
        "threads": len(os.listdir("/proc/self/task")),
        "objects": len(gc.get_objects()),
    }

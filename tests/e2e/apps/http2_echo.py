"""An ASGI application for looking at flow control: ``/flood``, ``/written``, ``/sink``."""

from __future__ import annotations

from granian_asgi import Receive, Scope, Send

PIECE = b"x" * 8192
written = 0


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    global written  # noqa: PLW0603 - one number that another request reads
    if scope["type"] != "http":
        return
    path = scope["path"]
    if path == "/sink":
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    if path == "/flood":
        written = 0
        for _ in range(200):
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            written += len(PIECE)
    body = str(written).encode() if path == "/written" else b"ok"
    await send({"type": "http.response.body", "body": body})

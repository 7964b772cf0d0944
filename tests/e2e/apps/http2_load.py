"""``/size/N`` answers with N MiB, as fast as the client takes them; anything else with "fine"."""

from __future__ import annotations

from typing import Any

PIECE = b"x" * 65_536


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Answer over ASGI."""
    head = {"type": "http.response.start", "status": 200}
    if not scope["path"].startswith("/size/"):
        await send(head)
        await send({"type": "http.response.body", "body": b"fine"})
        return
    pieces = int(scope["path"].removeprefix("/size/")) * 16
    await send({**head, "headers": [(b"content-length", b"%d" % (pieces * len(PIECE)))]})
    for number in range(pieces):
        await send({"type": "http.response.body", "body": PIECE, "more_body": number < pieces - 1})

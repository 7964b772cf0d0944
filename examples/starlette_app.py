"""Starlette: ``granian --interface asgi --working-dir examples starlette_app:app``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route, WebSocketRoute

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket


async def hello(request: Request) -> PlainTextResponse:
    """Say hello, or send a posted body back."""
    if request.method == "POST":
        return PlainTextResponse(await request.body())
    return PlainTextResponse("Hello from Starlette\n")


async def chat(websocket: WebSocket) -> None:
    """Send messages back."""
    await websocket.accept()
    async for text in websocket.iter_text():
        await websocket.send_text(text)


app = Starlette(routes=[Route("/", hello, methods=["GET", "POST"]), WebSocketRoute("/chat", chat)])

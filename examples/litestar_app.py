"""Litestar: ``granian --interface asgi --working-dir examples litestar_app:app``."""

from typing import Any

from litestar import Litestar, MediaType, Request, get, post


@get("/", media_type=MediaType.TEXT)
async def hello() -> str:
    """Say hello."""
    return "Hello from Litestar\n"


@post("/", media_type=MediaType.TEXT, status_code=200)
async def echo(request: Request[Any, Any, Any]) -> bytes:
    """Send a posted body back."""
    return await request.body()


app = Litestar([hello, echo])

"""FastAPI: ``granian --interface asgi --working-dir examples fastapi_app:app``."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/", response_class=PlainTextResponse)
async def hello() -> str:
    """Say hello."""
    return "Hello from FastAPI\n"


@app.post("/", response_class=PlainTextResponse)
async def echo(request: Request) -> bytes:
    """Send a posted body back."""
    return await request.body()

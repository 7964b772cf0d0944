"""An emmett55 application: what a real RSGI framework asks of a server."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from emmett55 import App, abort, redirect, request, response

app = App(__name__)


@app.route("/")
async def index() -> str:
    return f"{request.method} {request.scheme} {request.client}"


@app.route("/hello/<str:name>")
async def hello(name: str) -> str:
    greeting = request.query_params.greeting or "Hello"
    return f"{greeting}, {name}!"


@app.route("/echo", methods="post", output="bytes")
async def echo() -> bytes:
    response.content_type = request.headers.get("content-type", "application/octet-stream")
    body: bytes = await request.body
    return body


@app.route("/json", methods="post")
async def json() -> dict[str, object]:
    params = await request.body_params
    return {"sum": sum(params.numbers)}


@app.route("/form", methods="post")
async def form() -> str:
    files = await request.files
    content = files.document.read()
    params = await request.body_params
    return f"{params.title}: {files.document.filename}, {len(content)} bytes"


@app.route("/upload", methods="put")
async def upload() -> str:
    digest = hashlib.sha256()
    async for chunk in request.body:
        digest.update(chunk)
    return digest.hexdigest()


@app.route("/count")
async def count() -> str:
    seen = int(request.cookies.seen.value) if "seen" in request.cookies else 0
    response.cookies["seen"] = str(seen + 1)
    response.cookies["seen"]["path"] = "/"
    response.cookies["other"] = "x"
    return str(seen)


@app.route("/old")
async def old() -> None:
    redirect("/hello/redirected")


@app.route("/teapot")
async def teapot() -> None:
    abort(418, "short and stout")


@app.route("/boom")
async def boom() -> None:
    raise KeyError("boom")


@app.route("/lines", output="aiter")
async def lines() -> AsyncIterator[bytes]:
    async def produce() -> AsyncIterator[bytes]:
        for index in range(100):
            yield b"line %d\n" % index
            await asyncio.sleep(0)

    return produce()


@app.route("/endless")
async def endless() -> object:
    async def produce() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 4096
                await asyncio.sleep(0.01)
        finally:
            print("the endless response has ended", flush=True)

    return await response.stream(produce())


@app.route("/file")
async def file() -> object:
    return response.wrap_file(Path(__file__))


@app.route("/events")
async def events() -> object:
    async def produce() -> AsyncIterator[str]:
        for index in range(3):
            yield f"data: {index}\n\n"

    response.content_type = "text/event-stream"
    return await response.stream(produce())

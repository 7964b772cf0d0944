"""The common routes (see `asgi_parts`) in FastAPI."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse, RedirectResponse, StreamingResponse

from tests.e2e.apps.asgi_parts import Departure, Digest, Failure, forever, parts, zeros

departure = Departure()


@contextlib.asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[dict[str, str]]:
    print("lifespan startup", flush=True)
    yield {"greeting": "hello"}
    print("lifespan shutdown", flush=True)


app = FastAPI(lifespan=lifespan)


@app.get("/", response_class=PlainTextResponse)
async def hello(request: Request) -> str:
    return str(request.state.greeting)


@app.post("/echo")
async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers.get("content-type"))


@app.post("/upload", response_class=PlainTextResponse)
async def upload(request: Request) -> str:
    digest = Digest()
    async for piece in request.stream():
        digest.add(piece)
    return digest.text


@app.get("/stream")
async def stream() -> Response:
    return StreamingResponse(parts(), media_type="text/plain")


@app.get("/large")
async def large() -> Response:
    return StreamingResponse(zeros())


@app.get("/cookies", response_class=PlainTextResponse)
async def cookies(request: Request, response: Response) -> str:
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return repr(sorted(request.cookies.items()))


@app.get("/redirect")
async def redirect() -> Response:
    return RedirectResponse("/", status_code=302)


@app.get("/error")
def error() -> None:
    """Raise in a thread: FastAPI runs plain functions there."""
    raise Failure("on purpose")


@app.get("/forever")
async def endless() -> Response:
    return StreamingResponse(forever(departure))


@app.get("/gone", response_class=PlainTextResponse)
async def gone() -> str:
    return await departure.wait()


@app.get("/scope", response_class=PlainTextResponse)
async def scope(request: Request) -> str:
    client = request.client.host if request.client else None
    return f"{client} {request.url.scheme} {request.scope['root_path']!r}"

"""The common routes (see `asgi_parts`) in Litestar."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from typing import Any

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import Cookie, State
from litestar.response import Redirect, Stream

from tests.e2e.apps.asgi_parts import Departure, Digest, Failure, forever, parts, zeros

departure = Departure()


@get("/", media_type=MediaType.TEXT)
async def hello(state: State) -> str:
    return str(state.greeting)


@post("/echo")
async def echo(request: Request[Any, Any, Any]) -> Response[bytes]:
    content_type = request.headers.get("content-type", "application/octet-stream")
    return Response(await request.body(), status_code=200, media_type=content_type)


@post("/upload", status_code=200, media_type=MediaType.TEXT, request_max_body_size=None)
async def upload(request: Request[Any, Any, Any]) -> str:
    digest = Digest()
    async for piece in request.stream():
        digest.add(piece)
    return digest.text


@get("/stream")
async def stream() -> Stream:
    return Stream(parts(), media_type=MediaType.TEXT)


@get("/large")
async def large() -> Stream:
    return Stream(zeros())


@get("/cookies")
async def cookies(request: Request[Any, Any, Any]) -> Response[str]:
    return Response(
        repr(sorted(request.cookies.items())),
        media_type=MediaType.TEXT,
        cookies=[Cookie("a", value="1"), Cookie("b", value="2", httponly=True)],
    )


@get("/redirect", status_code=302)
async def redirect() -> Redirect:
    return Redirect("/")


@get("/error")
async def error() -> None:
    raise Failure("on purpose")


@get("/forever")
async def endless() -> Stream:
    return Stream(forever(departure))


@get("/gone", media_type=MediaType.TEXT)
async def gone() -> str:
    return await departure.wait()


@get("/scope", media_type=MediaType.TEXT)
async def scope(request: Request[Any, Any, Any]) -> str:
    client = request.client.host if request.client else None
    return f"{client} {request.url.scheme} {request.scope['root_path']!r}"


@contextlib.asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    print("lifespan startup", flush=True)
    app.state.greeting = "hello"
    yield
    print("lifespan shutdown", flush=True)


app = Litestar(
    [hello, echo, upload, stream, large, cookies, redirect, error, endless, gone, scope],
    lifespan=[lifespan],
    openapi_config=None,
)

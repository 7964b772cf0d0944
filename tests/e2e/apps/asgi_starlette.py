"""The common routes (see `asgi_parts`) in Starlette."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from tests.e2e.apps.asgi_parts import Departure, Digest, Failure, forever, parts, zeros

departure = Departure()


async def hello(request: Request) -> Response:
    return PlainTextResponse(request.state.greeting)


async def echo(request: Request) -> Response:
    return Response(await request.body(), media_type=request.headers.get("content-type"))


async def upload(request: Request) -> Response:
    digest = Digest()
    async for piece in request.stream():
        digest.add(piece)
    return PlainTextResponse(digest.text)


async def stream(request: Request) -> Response:
    return StreamingResponse(parts(), media_type="text/plain")


async def large(request: Request) -> Response:
    return StreamingResponse(zeros())


async def cookies(request: Request) -> Response:
    response = PlainTextResponse(repr(sorted(request.cookies.items())))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


async def redirect(request: Request) -> Response:
    return RedirectResponse("/", status_code=302)


async def error(request: Request) -> Response:
    raise Failure("on purpose")


async def endless(request: Request) -> Response:
    return StreamingResponse(forever(departure))


async def gone(request: Request) -> Response:
    return PlainTextResponse(await departure.wait())


async def scope(request: Request) -> Response:
    client = request.client.host if request.client else None
    return PlainTextResponse(f"{client} {request.url.scheme} {request.scope['root_path']!r}")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, str]]:
    print("lifespan startup", flush=True)
    yield {"greeting": "hello"}
    print("lifespan shutdown", flush=True)


app = Starlette(
    routes=[
        Route("/", hello),
        Route("/echo", echo, methods=["POST"]),
        Route("/upload", upload, methods=["POST"]),
        Route("/stream", stream),
        Route("/large", large),
        Route("/cookies", cookies),
        Route("/redirect", redirect),
        Route("/error", error),
        Route("/forever", endless),
        Route("/gone", gone),
        Route("/scope", scope),
    ],
    lifespan=lifespan,
)

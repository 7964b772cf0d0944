"""The common routes (see `asgi_parts`) in Falcon."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import falcon
import falcon.asgi
from falcon.asgi import Request, Response, SSEvent

from tests.e2e.apps.asgi_parts import Departure, Digest, Failure, parts, zeros

departure = Departure()


class Lifespan:
    greeting = ""

    async def process_startup(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        print("lifespan startup", flush=True)
        self.greeting = "hello"

    async def process_shutdown(self, scope: dict[str, Any], event: dict[str, Any]) -> None:
        print("lifespan shutdown", flush=True)


lifespan = Lifespan()


class Hello:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.text, resp.content_type = lifespan.greeting, falcon.MEDIA_TEXT


class Echo:
    async def on_post(self, req: Request, resp: Response) -> None:
        resp.data, resp.content_type = await req.stream.read(), req.content_type


class Upload:
    async def on_post(self, req: Request, resp: Response) -> None:
        digest = Digest()
        async for piece in req.stream:
            digest.add(piece)
        resp.text, resp.content_type = digest.text, falcon.MEDIA_TEXT


class Stream:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.stream, resp.content_type = parts(), falcon.MEDIA_TEXT


class Large:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.stream = zeros()


class Cookies:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.set_cookie("a", "1", secure=False, http_only=False)
        resp.set_cookie("b", "2", secure=False)
        resp.text, resp.content_type = repr(sorted(req.cookies.items())), falcon.MEDIA_TEXT


class Redirect:
    async def on_get(self, req: Request, resp: Response) -> None:
        raise falcon.HTTPFound("/")


class Error:
    async def on_get(self, req: Request, resp: Response) -> None:
        raise Failure("on purpose")


class Forever:
    """An event stream: for others Falcon does not look whether the client is there."""

    async def on_get(self, req: Request, resp: Response) -> None:
        resp.sse = self.events()

    async def events(self) -> AsyncIterator[SSEvent]:
        try:
            while True:
                yield SSEvent(text="tick")
                await asyncio.sleep(0.01)
        finally:
            departure.note()


class Gone:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.text, resp.content_type = await departure.wait(), falcon.MEDIA_TEXT


class Scope:
    async def on_get(self, req: Request, resp: Response) -> None:
        resp.text = f"{req.remote_addr} {req.scheme} {req.root_path!r}"
        resp.content_type = falcon.MEDIA_TEXT


app = falcon.asgi.App(middleware=[lifespan])
for path, resource in {
    "/": Hello(),
    "/echo": Echo(),
    "/upload": Upload(),
    "/stream": Stream(),
    "/large": Large(),
    "/cookies": Cookies(),
    "/redirect": Redirect(),
    "/error": Error(),
    "/forever": Forever(),
    "/gone": Gone(),
    "/scope": Scope(),
}.items():
    app.add_route(path, resource)

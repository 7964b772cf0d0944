"""The common routes (see `wsgi_parts`) in Falcon."""

from __future__ import annotations

import falcon
from falcon import Request, Response

from tests.e2e.apps.wsgi_parts import (
    Departure,
    Failure,
    digest,
    file_path,
    forever,
    parts,
    zeros,
)

departure = Departure()


def say(resp: Response, content: str) -> None:
    resp.text, resp.content_type = content, falcon.MEDIA_TEXT


class Hello:
    def on_get(self, req: Request, resp: Response) -> None:
        say(resp, "hello")


class Echo:
    def on_post(self, req: Request, resp: Response) -> None:
        # The bounded stream knows Content-Length alone; ours ends by itself.
        resp.data, resp.content_type = req.stream.read(), req.content_type


class Upload:
    def on_post(self, req: Request, resp: Response) -> None:
        say(resp, digest(req.stream.read))


class Form:
    def on_post(self, req: Request, resp: Response) -> None:
        for part in req.get_media():
            if part.name == "file":
                say(resp, digest(part.stream.read))


class Stream:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.stream, resp.content_type = parts(), falcon.MEDIA_TEXT


class Large:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.stream = zeros()


class File:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.content_length = file_path().stat().st_size
        resp.stream = file_path().open("rb")


class Cookies:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.set_cookie("a", "1", secure=False, http_only=False)
        resp.set_cookie("b", "2", secure=False)
        say(resp, repr(sorted(req.cookies.items())))


class Redirect:
    def on_get(self, req: Request, resp: Response) -> None:
        raise falcon.HTTPFound("/")


class Error:
    def on_get(self, req: Request, resp: Response) -> None:
        raise Failure("on purpose")


class Forever:
    def on_get(self, req: Request, resp: Response) -> None:
        resp.stream = forever(departure)


class Gone:
    def on_get(self, req: Request, resp: Response) -> None:
        say(resp, departure.wait())


class Environ:
    def on_get(self, req: Request, resp: Response) -> None:
        say(resp, f"{req.remote_addr} {req.scheme} {req.root_path!r} {req.path!r}")


app = falcon.App()
for path, resource in {
    "/": Hello(),
    "/echo": Echo(),
    "/upload": Upload(),
    "/form": Form(),
    "/stream": Stream(),
    "/large": Large(),
    "/file": File(),
    "/cookies": Cookies(),
    "/redirect": Redirect(),
    "/error": Error(),
    "/forever": Forever(),
    "/gone": Gone(),
    "/environ": Environ(),
}.items():
    app.add_route(path, resource)

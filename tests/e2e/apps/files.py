"""Applications for the tests of static files and file responses.

An application that is called answers 299, so that a test sees who answered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FILE = os.environ.get("TEST_FILE", __file__)
LINK = "</a.css>; rel=preload; as=style"


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """Answer 299; at /hints after a hint, at /zerocopy with a file, at /trailers with trailers."""
    if scope["path"] == "/hints":
        await send({"type": "http.response.early_hint", "links": [LINK.encode()]})
    if scope["path"] == "/zerocopy":
        with Path(FILE).open("rb") as file:  # noqa: ASYNC230 - it is the message that waits
            await send({"type": "http.response.start", "status": 200})
            await send({"type": "http.response.zerocopysend", "file": file})
        return
    trailers = scope["path"] == "/trailers"
    await send({"type": "http.response.start", "status": 299, "trailers": trailers})
    await send({"type": "http.response.body", "body": b"application"})
    if trailers:
        await send({"type": "http.response.trailers", "headers": [(b"grpc-status", b"0")]})


class RSGI:
    """The same for RSGI."""

    async def __rsgi__(self, scope: Any, protocol: Any) -> None:
        if scope.path == "/hints":
            protocol.early_hints([("link", LINK)])
        protocol.response_str(299, [], "application")


rsgi = RSGI()


def wsgi(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """The same for WSGI."""
    if environ["PATH_INFO"] == "/hints":
        environ["wsgi.early_hints"]([("Link", LINK)])
    start_response("299 Application", [])
    return [b"application"]


async def starlette(scope: Any, receive: Any, send: Any) -> None:
    """Answer with Starlette's FileResponse; say on standard output if it sends by path."""
    from starlette.responses import FileResponse

    async def watch(message: Any) -> None:
        if message["type"] == "http.response.pathsend":
            print("sent by path", flush=True)
        await send(message)

    await FileResponse(FILE)(scope, receive, watch)


def django(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
    """Answer with Django's FileResponse."""
    return _django_application()(environ, start_response)


def _django_application() -> Any:
    from django.conf import settings
    from django.core.handlers.wsgi import WSGIHandler
    from django.http import FileResponse
    from django.urls import path

    if not settings.configured:
        settings.configure(
            ALLOWED_HOSTS=["*"],
            ROOT_URLCONF=(path("", lambda _: FileResponse(Path(FILE).open("rb"))),),  # noqa: SIM115
            SECRET_KEY="tests",
        )
        import django

        django.setup()
    return _Watched(WSGIHandler())


class _Watched:
    """Says on standard output what kind of object the handler returns."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        result = self._application(environ, start_response)
        print("returned", type(result).__name__, flush=True)
        return result

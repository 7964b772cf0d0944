"""The common routes (see `asgi_parts`) in Django, in one file."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase, HttpResponseRedirect
from django.urls import path

from tests.e2e.apps.asgi_parts import Departure, Digest, Failure, forever, parts, zeros

settings.configure(
    ALLOWED_HOSTS=["*"],
    DEBUG=False,
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",
    USE_TZ=True,
)
django.setup()

departure = Departure()


def text(content: str) -> HttpResponse:
    return HttpResponse(content, content_type="text/plain; charset=utf-8")


async def hello(request: HttpRequest) -> HttpResponseBase:
    return text("hello")


def echo(request: HttpRequest) -> HttpResponseBase:
    """Run in a thread: Django does that with plain functions."""
    return HttpResponse(request.body, content_type=request.content_type)


async def upload(request: HttpRequest) -> HttpResponseBase:
    digest = Digest()
    while piece := request.read(65_536):
        digest.add(piece)
    return text(digest.text)


async def stream(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(parts(), content_type="text/plain")


async def large(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(zeros())


async def cookies(request: HttpRequest) -> HttpResponseBase:
    response = text(repr(sorted(request.COOKIES.items())))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


async def redirect(request: HttpRequest) -> HttpResponseBase:
    return HttpResponseRedirect("/")


async def error(request: HttpRequest) -> HttpResponseBase:
    raise Failure("on purpose")


async def endless(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(forever(departure))


async def gone(request: HttpRequest) -> HttpResponseBase:
    return text(await departure.wait())


async def scope(request: HttpRequest) -> HttpResponseBase:
    address = request.META.get("REMOTE_ADDR")
    return text(f"{address} {request.scheme} {request.META.get('SCRIPT_NAME', '')!r}")


urlpatterns = [
    path("", hello),
    path("echo", echo),
    path("upload", upload),
    path("stream", stream),
    path("large", large),
    path("cookies", cookies),
    path("redirect", redirect),
    path("error", error),
    path("forever", endless),
    path("gone", gone),
    path("scope", scope),
]

app = get_asgi_application()

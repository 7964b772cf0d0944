"""The common routes (see `wsgi_parts`) in Django, in one file."""

from __future__ import annotations

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase, HttpResponseRedirect
from django.urls import path

from tests.e2e.apps.wsgi_parts import (
    Departure,
    Failure,
    digest,
    file_path,
    forever,
    parts,
    zeros,
)

settings.configure(
    ALLOWED_HOSTS=["*"],
    APPEND_SLASH=False,
    DATA_UPLOAD_MAX_MEMORY_SIZE=None,
    DEBUG=False,
    MIDDLEWARE=["django.middleware.common.CommonMiddleware"],  # declares lengths
    ROOT_URLCONF=__name__,
    SECRET_KEY="for tests only",
    USE_TZ=True,
)
django.setup()

departure = Departure()


def text(content: str) -> HttpResponse:
    return HttpResponse(content, content_type="text/plain; charset=utf-8")


def hello(request: HttpRequest) -> HttpResponseBase:
    return text("hello")


def echo(request: HttpRequest) -> HttpResponseBase:
    return HttpResponse(request.body, content_type=request.content_type)


def upload(request: HttpRequest) -> HttpResponseBase:
    return text(digest(request.read))


def form(request: HttpRequest) -> HttpResponseBase:
    return text(digest(request.FILES["file"].read))


def stream(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(parts(), content_type="text/plain")


def large(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(zeros())


def file(request: HttpRequest) -> HttpResponseBase:
    return FileResponse(file_path().open("rb"))


def cookies(request: HttpRequest) -> HttpResponseBase:
    response = text(repr(sorted(request.COOKIES.items())))
    response.set_cookie("a", "1")
    response.set_cookie("b", "2", httponly=True)
    return response


def redirect(request: HttpRequest) -> HttpResponseBase:
    return HttpResponseRedirect("/")


def error(request: HttpRequest) -> HttpResponseBase:
    raise Failure("on purpose")


def endless(request: HttpRequest) -> HttpResponseBase:
    return StreamingHttpResponse(forever(departure))


def gone(request: HttpRequest) -> HttpResponseBase:
    return text(departure.wait())


def environ(request: HttpRequest) -> HttpResponseBase:
    meta = request.META
    address, root = meta["REMOTE_ADDR"], meta["SCRIPT_NAME"]
    return text(f"{address} {request.scheme} {root!r} {request.path_info!r}")


urlpatterns = [
    path("", hello),
    path("echo", echo),
    path("upload", upload),
    path("form", form),
    path("stream", stream),
    path("large", large),
    path("file", file),
    path("cookies", cookies),
    path("redirect", redirect),
    path("error", error),
    path("forever", endless),
    path("gone", gone),
    path("environ", environ),
]

app = get_wsgi_application()

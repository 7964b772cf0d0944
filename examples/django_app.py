"""Django in one file, for both of its interfaces.

``granian --interface asginl --working-dir examples django_app:asgi``, or
``granian --interface wsgi --working-dir examples django_app:wsgi``.
"""

from __future__ import annotations

import django
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.urls import path

settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    ROOT_URLCONF=__name__,
    SECRET_KEY="an example has no secrets",  # noqa: S106 - it guards nothing
    USE_TZ=True,
)
django.setup()


def hello(request: HttpRequest) -> HttpResponse:
    """Say hello, or send a posted body back."""
    body = request.body if request.method == "POST" else b"Hello from Django\n"
    return HttpResponse(body, content_type="text/plain")


urlpatterns = [path("", hello)]
asgi = get_asgi_application()
wsgi = get_wsgi_application()

"""The three interfaces behind the proxy wrappers: each answers with what it is told."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from typing import Any

from granian.utils.proxies import (
    wrap_asgi_with_proxy_headers,
    wrap_rsgi_with_proxy_headers,
    wrap_wsgi_with_proxy_headers,
)

TRUSTED = os.environ.get("TRUSTED", "127.0.0.1,unix")
FAMILY: Any = os.environ.get("FAMILY", "x-forwarded")
OPTIONS: dict[str, Any] = {"family": FAMILY, "host": True}


def told(client: str, scheme: str, headers: Iterable[tuple[str, str]]) -> bytes:
    return json.dumps(
        {"client": client, "scheme": scheme, "headers": {k.lower(): v for k, v in headers}}
    ).encode()


async def asgi_app(scope: Any, receive: Any, send: Any) -> None:
    client = scope["client"][0] if scope["client"] else ""
    headers = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": told(client, scope["scheme"], headers)})


async def rsgi_app(scope: Any, protocol: Any) -> None:
    client = scope.client.rpartition(":")[0].strip("[]")
    protocol.response_bytes(200, [], told(client, scope.scheme, scope.headers.items()))


def wsgi_app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    headers = [
        (key[5:].replace("_", "-"), value)
        for key, value in environ.items()
        if key.startswith("HTTP_")
    ]
    start_response("200 OK", [])
    return [told(environ["REMOTE_ADDR"], environ["wsgi.url_scheme"], headers)]


asgi = wrap_asgi_with_proxy_headers(asgi_app, TRUSTED, **OPTIONS)
rsgi = wrap_rsgi_with_proxy_headers(rsgi_app, TRUSTED, **OPTIONS)
wsgi = wrap_wsgi_with_proxy_headers(wsgi_app, TRUSTED, **OPTIONS)

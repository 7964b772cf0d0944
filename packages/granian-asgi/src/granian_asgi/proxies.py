"""An ASGI application behind proxies: the scope tells of the client, not of the proxy."""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING

from granian_core import ProxyHeaders

if TYPE_CHECKING:
    from granian_asgi.types import ASGIApplication, Receive, Scope, Send
    from granian_core import Family, Fields, Forwarded


def wrap_asgi_with_proxy_headers(
    app: ASGIApplication,
    trusted_hosts: Sequence[str] | str = "127.0.0.1",
    *,
    family: Family = "x-forwarded",
    host: bool = False,
    port: bool = False,
    prefix: bool = False,
) -> ASGIApplication:
    """Return *app*, told the client and scheme that trusted proxies have named.

    Forwarding fields of peers that are not trusted are removed from its headers.

    Args:
        app: The application.
        trusted_hosts: Addresses, networks, ``unix`` for the peers of unix sockets, or ``*``;
            separated by commas, or as a list.
        family: The fields that the proxies set, ``x-forwarded`` or ``forwarded`` (RFC 7239).
        host: Whether to replace Host and ``server`` by what the proxy was asked for.
        port: Whether to take its port from ``X-Forwarded-Port``.
        prefix: Whether ``X-Forwarded-Prefix`` becomes ``root_path``.

    Raises:
        ConfigurationError: An argument makes no sense.
    """
    reader = ProxyHeaders(trusted_hosts, family=family, host=host, port=port, prefix=prefix)

    @functools.wraps(app)
    def wrapped(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] in ("http", "websocket"):
            _apply(reader, scope)
        return app(scope, receive, send)

    return wrapped


def _apply(reader: ProxyHeaders, scope: Scope) -> None:
    client = scope.get("client")
    headers: Fields = scope["headers"]
    found = reader.read(client[0] if client else None, scope["scheme"], headers)
    kept = [field for field in headers if not reader.drops(field[0], trusted=found.trusted)]
    if len(kept) != len(headers):
        scope["headers"] = kept
    if found.client is not None:
        scope["client"] = (found.client, found.port)
    if found.scheme is not None:
        scope["scheme"] = _scheme(found.scheme, scope["type"])
    if found.host is not None:
        _replace_host(scope, found)
    if found.prefix is not None:
        scope["root_path"] = found.prefix


def _scheme(scheme: str, kind: str) -> str:
    return scheme.replace("http", "ws") if kind == "websocket" else scheme


def _replace_host(scope: Scope, found: Forwarded) -> None:
    assert found.host is not None
    others = [field for field in scope["headers"] if field[0] != b"host"]
    scope["headers"] = [(b"host", found.host.encode("latin-1")), *others]
    scope["server"] = found.server

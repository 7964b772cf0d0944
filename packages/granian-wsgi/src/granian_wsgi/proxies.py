"""A WSGI application behind proxies: the environ tells of the client, not of the proxy."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from granian_core import ProxyHeaders

if TYPE_CHECKING:
    from granian_core import Family, Fields, Forwarded
    from granian_wsgi.environ import Environ
    from granian_wsgi.interface import WSGIApplication


def wrap_wsgi_with_proxy_headers(
    app: WSGIApplication,
    trusted_hosts: Sequence[str] | str = "127.0.0.1",
    *,
    family: Family = "x-forwarded",
    host: bool = False,
    port: bool = False,
    prefix: bool = False,
) -> WSGIApplication:
    """Return *app*, told the client and scheme that trusted proxies have named.

    Forwarding fields of peers that are not trusted are removed from its environ.

    Args:
        app: The application.
        trusted_hosts: Addresses, networks, ``unix`` for the peers of unix sockets, or ``*``;
            separated by commas, or as a list.
        family: The fields that the proxies set, ``x-forwarded`` or ``forwarded`` (RFC 7239).
        host: Whether to replace HTTP_HOST, SERVER_NAME and SERVER_PORT by what the proxy
            was asked for.
        port: Whether to take its port from ``X-Forwarded-Port``.
        prefix: Whether ``X-Forwarded-Prefix`` becomes SCRIPT_NAME.

    Raises:
        ConfigurationError: An argument makes no sense.
    """
    reader = ProxyHeaders(trusted_hosts, family=family, host=host, port=port, prefix=prefix)

    @functools.wraps(app)
    def wrapped(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        _apply(reader, environ)
        return app(environ, start_response)

    return wrapped


def _apply(reader: ProxyHeaders, environ: Environ) -> None:
    fields = _fields(environ)
    found = reader.read(environ.get("REMOTE_ADDR"), environ["wsgi.url_scheme"], fields)
    for name, _ in fields:
        if reader.drops(name, trusted=found.trusted):
            del environ["HTTP_" + name.decode("latin-1").upper().replace("-", "_")]
    if found.client is not None:
        environ["REMOTE_ADDR"] = found.client
        environ.pop("REMOTE_PORT", None)  # it was the proxy's
        if found.port:
            environ["REMOTE_PORT"] = str(found.port)
    if found.scheme in ("http", "https"):
        environ["wsgi.url_scheme"] = found.scheme
    _apply_target(found, environ)


def _apply_target(found: Forwarded, environ: Environ) -> None:
    if found.host is not None and found.server is not None:
        environ["HTTP_HOST"] = found.host
        environ["SERVER_NAME"] = found.server[0]
        environ["SERVER_PORT"] = str(found.server[1])
    if found.prefix is not None:
        environ["SCRIPT_NAME"] = found.prefix


def _fields(environ: Environ) -> Fields:
    """Return the fields that matter, as they were before they became an environ."""
    return [
        (
            key[5:].replace("_", "-").lower().encode("latin-1", "replace"),
            str(value).encode("latin-1", "replace"),
        )
        for key, value in environ.items()
        if key.startswith(("HTTP_X_FORWARDED_", "HTTP_FORWARDED", "HTTP_HOST", "HTTP_X_REAL_IP"))
    ]

"""An RSGI application behind proxies: the scope tells of the client, not of the proxy."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from granian_core import ConfigurationError, ProxyHeaders
from granian_rsgi.scope import HTTPScope, Scope, WebsocketScope, bracketed

if TYPE_CHECKING:
    from granian_core import Family, Fields, Forwarded, HTTPStream, WebSocketStream
    from granian_rsgi.http import HTTPProtocol
    from granian_rsgi.websocket import WebsocketProtocol

    Application = Callable[
        [HTTPScope | WebsocketScope, HTTPProtocol | WebsocketProtocol], Awaitable[None]
    ]

_SCHEMES = {"ws": "http", "wss": "https"}
"""RSGI's schemes of WebSockets."""


class ForwardedScope(Scope):
    """A scope in which a trusted proxy, or the want of trust, has changed something.

    Args:
        stream: The request.
        found: What the proxy told.
        fields: The request's fields that the application may see.
    """

    __slots__ = ("_fields", "_found")

    def __init__(
        self, stream: HTTPStream | WebSocketStream, found: Forwarded, fields: Fields
    ) -> None:
        super().__init__(stream)
        self._found = found
        self._fields = fields

    def _request_fields(self) -> Fields:
        return self._fields

    @property
    def scheme(self) -> str:
        """``http`` or ``https``, as the client has spoken to the outermost proxy."""
        scheme = self._found.scheme
        return super().scheme if scheme is None else _SCHEMES.get(scheme, scheme)

    @property
    def client(self) -> str:
        """The client's ``host:port`` (IPv6 in brackets), with port 0 if nobody told it."""
        found = self._found
        if found.client is None:
            return super().client
        return f"{bracketed(found.client)}:{found.port}"

    @property
    def authority(self) -> str | None:
        """What the client has asked for, where there was an authority at all."""
        authority = super().authority
        return authority if self._found.host is None or authority is None else self._found.host


class ForwardedHTTPScope(ForwardedScope, HTTPScope):
    """Scope of an HTTP request."""

    __slots__ = ()


class ForwardedWebsocketScope(ForwardedScope, WebsocketScope):
    """Scope of a WebSocket."""

    __slots__ = ()


class ForwardedApplication:
    """An RSGI application that is told who the client is. Made by the function below."""

    def __init__(self, app: object, reader: ProxyHeaders) -> None:
        own = getattr(app, "__rsgi__", None)
        if own is None and not callable(app):
            raise ConfigurationError("app", type(app).__name__, "use an RSGI application")
        self._app = app
        self._call = cast("Application", app if own is None else own)
        self._reader = reader
        functools.update_wrapper(cast(Any, self), cast(Any, app), updated=())

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass on."""
        hook = getattr(self._app, "__rsgi_init__", None)
        if hook is not None:
            hook(loop)

    def __rsgi_del__(self, loop: asyncio.AbstractEventLoop) -> None:
        """Pass on."""
        hook = getattr(self._app, "__rsgi_del__", None)
        if hook is not None:
            hook(loop)

    def __rsgi__(
        self, scope: HTTPScope | WebsocketScope, protocol: HTTPProtocol | WebsocketProtocol
    ) -> Awaitable[None]:
        """Call the application with a scope that tells the truth."""
        return self._call(self._forwarded(scope), protocol)

    def __call__(
        self, scope: HTTPScope | WebsocketScope, protocol: HTTPProtocol | WebsocketProtocol
    ) -> Awaitable[None]:
        """Do the same: an application may be any callable."""
        return self._call(self._forwarded(scope), protocol)

    def _forwarded(self, scope: HTTPScope | WebsocketScope) -> HTTPScope | WebsocketScope:
        stream = scope.stream
        fields, reader = stream.headers, self._reader
        peer = stream.client
        found = reader.read(None if peer is None else peer[0], stream.scheme, fields)
        kept = [field for field in fields if not reader.drops(field[0], trusted=found.trusted)]
        told = found.client is not None or found.scheme is not None or found.host is not None
        if not told and len(kept) == len(fields):
            return scope
        if found.host is not None:
            host = (b"host", found.host.encode("latin-1"))
            kept = [host, *(field for field in kept if field[0] != b"host")]
        if found.client is not None:
            stream.log_client = (bracketed(found.client), found.port)
        if found.scheme is not None:
            stream.log_scheme = _SCHEMES.get(found.scheme, found.scheme)
        kind = ForwardedHTTPScope if isinstance(scope, HTTPScope) else ForwardedWebsocketScope
        return kind(stream, found, kept)


def wrap_rsgi_with_proxy_headers(
    app: object,
    trusted_hosts: Sequence[str] | str = "127.0.0.1",
    *,
    family: Family = "x-forwarded",
    host: bool = False,
    port: bool = False,
) -> ForwardedApplication:
    """Return *app*, told the client and scheme that trusted proxies have named.

    Forwarding fields of peers that are not trusted are removed from its headers.

    Args:
        app: The application, a callable or an object with ``__rsgi__``; its
            ``__rsgi_init__`` and ``__rsgi_del__`` are called as without the wrapper.
        trusted_hosts: Addresses, networks, ``unix`` for the peers of unix sockets, or ``*``;
            separated by commas, or as a list.
        family: The fields that the proxies set, ``x-forwarded`` or ``forwarded`` (RFC 7239).
        host: Whether to replace Host by what the proxy was asked for.
        port: Whether to take its port from ``X-Forwarded-Port``.

    Raises:
        ConfigurationError: An argument makes no sense.
    """
    reader = ProxyHeaders(trusted_hosts, family=family, host=host, port=port)
    return ForwardedApplication(app, reader)

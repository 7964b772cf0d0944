"""The RSGI scope: the request's facts, worked out when they are read.

A scope is two slots over the server's stream. Every attribute is a property without
a setter, so setting one raises AttributeError.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from granian_rsgi.headers import Headers

if TYPE_CHECKING:
    from granian_core import Address, Fields, HTTPStream, WebSocketStream

RSGI_VERSION = "1.6"

_HTTP_VERSIONS = {"1.0": "1", "1.1": "1.1", "2": "2"}


class Scope:
    """What an RSGI application is told about a request. Read-only."""

    __slots__ = ("_headers", "_stream")

    rsgi_version = RSGI_VERSION

    def __init__(self, stream: HTTPStream | WebSocketStream) -> None:
        self._stream = stream
        self._headers: Headers | None = None

    @property
    def http_version(self) -> str:
        """``"1"``, ``"1.1"`` or ``"2"``."""
        return _HTTP_VERSIONS[self._stream.http_version]

    @property
    def scheme(self) -> str:
        """``"http"`` or ``"https"``, from the transport; never from the request."""
        return self._stream.scheme

    @property
    def method(self) -> str:
        """As sent, case kept."""
        return self._stream.method

    @property
    def path(self) -> str:
        """Percent-decoded, UTF-8, invalid bytes replaced."""
        return self._stream.path

    @property
    def query_string(self) -> str:
        """As sent, without ``?``; empty if there is none."""
        return self._stream.query_string.decode("latin-1")

    @property
    def server(self) -> str:
        """The listener's ``host:port`` (IPv6 in brackets), or its path if it is a unix socket."""
        return _address(self._stream.server)

    @property
    def client(self) -> str:
        """The peer's ``host:port`` (IPv6 in brackets); empty on a unix socket."""
        return _address(self._stream.client)

    @property
    def authority(self) -> str | None:
        """``:authority`` of HTTP/2, or that of an absolute-form target."""
        authority = self._stream.authority
        return None if authority is None else authority.decode("latin-1")

    @property
    def headers(self) -> Headers:
        """The request's fields; the same object each time."""
        headers = self._headers
        if headers is None:
            self._headers = headers = Headers(self._request_fields())
        return headers

    @property
    def stream(self) -> HTTPStream | WebSocketStream:
        """The server's stream, for code that wraps applications."""
        return self._stream

    def _request_fields(self) -> Fields:
        return self._stream.headers


class HTTPScope(Scope):
    """Scope of an HTTP request."""

    __slots__ = ()

    proto: Literal["http"] = "http"


class WebsocketScope(Scope):
    """Scope of a WebSocket; its scheme is ``http`` or ``https`` too."""

    __slots__ = ()

    proto: Literal["ws"] = "ws"


def bracketed(host: str) -> str:
    """Return *host* as it stands before a port: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def _address(address: Address | None) -> str:
    if address is None:
        return ""
    host, port = address
    return host if port is None else f"{bracketed(host)}:{port}"

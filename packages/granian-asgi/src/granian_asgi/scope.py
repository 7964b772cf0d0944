"""From a request to an ASGI scope: plain functions, no I/O.

Nothing in a scope is shared with another request: applications write into scopes.

Spec: ASGI 3.0, "HTTP & WebSocket ASGI Message Format" 2.3, "TLS Extension".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from granian_asgi.types import Scope
    from granian_core import Fields, HTTPStream, TLSInfo, WebSocketStream


def http_scope(stream: HTTPStream, root_path: str, state: dict[str, Any], *, debug: bool) -> Scope:
    """Return the scope of an HTTP request.

    Args:
        stream: The request.
        root_path: Where the application is mounted.
        state: What the lifespan has left; copied.
        debug: Whether somebody would see what ``http.response.debug`` says.
    """
    headers = stream.headers
    if not headers or headers[0][0] != b"host":  # the first one with almost any client
        headers = with_host(headers, stream.authority)
    # Nothing in it is shared with another request: applications write into scopes.
    scope: Scope = {
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "extensions": {
            "http.response.pathsend": {},
            "http.response.zerocopysend": {},
            "http.response.trailers": {},
            "http.response.early_hint": {},
        },
        "type": "http",
        "http_version": stream.http_version,
        "server": stream.server,
        "client": stream.client,
        "scheme": stream.scheme,
        "path": stream.path,
        "raw_path": stream.raw_path,
        "query_string": stream.query_string,
        "headers": headers,
        "method": stream.method,
        "root_path": root_path,
        "state": state.copy(),
    }
    if debug or stream.http_version == "1.0":
        _adapt_extensions(scope["extensions"], stream, debug)
    if stream.tls is not None:
        scope["extensions"]["tls"] = tls_extension(stream.tls)
    return scope


def _adapt_extensions(extensions: dict[str, Any], stream: HTTPStream, debug: bool) -> None:
    if debug:
        extensions["http.response.debug"] = {}
    if stream.http_version == "1.0":  # it has neither chunks nor informational responses
        del extensions["http.response.trailers"], extensions["http.response.early_hint"]


def websocket_scope(stream: WebSocketStream, root_path: str, state: dict[str, Any]) -> Scope:
    """Return the scope of a WebSocket; the arguments are those of `http_scope`."""
    headers = stream.headers
    if not headers or headers[0][0] != b"host":
        headers = with_host(headers, stream.authority)
    scope: Scope = {
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "extensions": {"websocket.http.response": {}},
        "type": "websocket",
        "http_version": stream.http_version,
        "server": stream.server,
        "client": stream.client,
        "scheme": "wss" if stream.scheme == "https" else "ws",
        "path": stream.path,
        "raw_path": stream.raw_path,
        "query_string": stream.query_string,
        "headers": headers,
        "subprotocols": list(stream.subprotocols),
        "root_path": root_path,
        "state": state.copy(),
    }
    if stream.tls is not None:
        scope["extensions"]["tls"] = tls_extension(stream.tls)
    return scope


def tls_extension(tls: TLSInfo) -> dict[str, Any]:
    """Return the ASGI TLS extension; nothing in it is shared with another request."""
    return {
        "server_cert": tls.server_cert,
        "client_cert_chain": list(tls.client_cert_chain),
        "client_cert_name": tls.client_cert_name,
        "client_cert_error": tls.client_cert_error,
        "tls_version": tls.version,
        "cipher_suite": tls.cipher_suite,
    }


def with_host(headers: Fields, authority: bytes | None) -> Fields:
    """Return *headers*, with a Host inserted first if there is none.

    Its value is *authority*, or empty: HTTP/1.0 requests may lack one, and in HTTP/2
    ``:authority`` stands for it.
    """
    for name, _ in headers:
        if name == b"host":
            return headers
    return [(b"host", authority or b""), *headers]

"""The RSGI 1.6 interface for granian-core."""

from __future__ import annotations

from granian_rsgi.errors import ProtocolClosed, ProtocolError
from granian_rsgi.headers import HeaderPairs, Headers
from granian_rsgi.http import HTTPProtocol
from granian_rsgi.interface import RSGIFactory, RSGIInterface, rsgi
from granian_rsgi.proxies import wrap_rsgi_with_proxy_headers
from granian_rsgi.scope import RSGI_VERSION, HTTPScope, Scope, WebsocketScope
from granian_rsgi.transport import HTTPStreamTransport
from granian_rsgi.websocket import (
    WebsocketMessage,
    WebsocketMessageType,
    WebsocketProtocol,
    WebsocketTransport,
)

__all__ = [
    "RSGI_VERSION",
    "HTTPProtocol",
    "HTTPScope",
    "HTTPStreamTransport",
    "HeaderPairs",
    "Headers",
    "ProtocolClosed",
    "ProtocolError",
    "RSGIFactory",
    "RSGIInterface",
    "Scope",
    "WebsocketMessage",
    "WebsocketMessageType",
    "WebsocketProtocol",
    "WebsocketScope",
    "WebsocketTransport",
    "rsgi",
    "wrap_rsgi_with_proxy_headers",
]

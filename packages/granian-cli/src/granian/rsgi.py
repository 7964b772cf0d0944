"""The types that RSGI applications meet."""

from __future__ import annotations

from granian_rsgi import (
    Headers,
    HTTPProtocol,
    ProtocolClosed,
    ProtocolError,
    Scope,
    WebsocketMessage,
    WebsocketMessageType,
    WebsocketProtocol,
)

__all__ = [
    "HTTPProtocol",
    "Headers",
    "ProtocolClosed",
    "ProtocolError",
    "Scope",
    "WebsocketMessage",
    "WebsocketMessageType",
    "WebsocketProtocol",
]

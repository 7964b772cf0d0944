"""The ASGI 3 interface of the granian-* server.

`asgi` and `asginl` (ASGI without the lifespan protocol) are the factories that the
entry-point group ``granian.interfaces`` names; the types describe applications.
"""

from __future__ import annotations

from granian_asgi.interface import ASGIFactory, ASGIInterface, asgi, asginl
from granian_asgi.proxies import wrap_asgi_with_proxy_headers
from granian_asgi.types import ASGIApplication, Message, Receive, Scope, Send

__all__ = [
    "ASGIApplication",
    "ASGIFactory",
    "ASGIInterface",
    "Message",
    "Receive",
    "Scope",
    "Send",
    "asgi",
    "asginl",
    "wrap_asgi_with_proxy_headers",
]

"""Applications behind proxies, told of the client instead of the proxy."""

from __future__ import annotations

from granian_asgi import wrap_asgi_with_proxy_headers
from granian_rsgi import wrap_rsgi_with_proxy_headers
from granian_wsgi import wrap_wsgi_with_proxy_headers

__all__ = [
    "wrap_asgi_with_proxy_headers",
    "wrap_rsgi_with_proxy_headers",
    "wrap_wsgi_with_proxy_headers",
]

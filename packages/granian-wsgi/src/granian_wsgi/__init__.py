"""The WSGI (PEP 3333) interface for granian-core."""

from __future__ import annotations

from granian_wsgi.environ import Environ
from granian_wsgi.errors import RequestBodyError
from granian_wsgi.files import FileWrapper
from granian_wsgi.input import Input
from granian_wsgi.interface import WSGIApplication, WSGIInterface, wsgi
from granian_wsgi.proxies import wrap_wsgi_with_proxy_headers

__all__ = [
    "Environ",
    "FileWrapper",
    "Input",
    "RequestBodyError",
    "WSGIApplication",
    "WSGIInterface",
    "wrap_wsgi_with_proxy_headers",
    "wsgi",
]

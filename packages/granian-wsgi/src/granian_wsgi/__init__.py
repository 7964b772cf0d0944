"""The WSGI (PEP 3333) interface for granian-core."""

from __future__ import annotations

from granian_wsgi.environ import Environ
from granian_wsgi.files import FileWrapper
from granian_wsgi.input import Input, RequestBodyError
from granian_wsgi.interface import WSGIApplication, WSGIInterface, wsgi

__all__ = [
    "Environ",
    "FileWrapper",
    "Input",
    "RequestBodyError",
    "WSGIApplication",
    "WSGIInterface",
    "wsgi",
]

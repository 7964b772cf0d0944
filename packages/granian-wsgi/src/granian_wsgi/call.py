"""A call of a WSGI application, on a pool thread: from the request to the response's end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from granian_wsgi.environ import Environ, request_environ
from granian_wsgi.input import Input
from granian_wsgi.response import Responder

if TYPE_CHECKING:
    from granian_core import BlockingStream, HTTPStream
    from granian_wsgi.interface import WSGIApplication


class ApplicationCall:
    """Calls *application* for one exchange, and for others beside it.

    Args:
        application: The WSGI application.
        constants: The part of the environ that all requests have in common.
        access_log: Whether somebody wants to know what proxy wrappers found out.
    """

    __slots__ = ("_access_log", "_application", "_constants")

    def __init__(
        self, application: WSGIApplication, constants: Environ, *, access_log: bool
    ) -> None:
        self._application = application
        self._constants = constants
        self._access_log = access_log

    def __call__(self, stream: BlockingStream) -> None:
        """Call the application for *stream* and send what it returns."""
        environ = request_environ(stream.stream, self._constants, Input(stream))
        responder = Responder(stream)
        environ["wsgi.early_hints"] = responder.early_hints
        try:
            result = self._application(environ, responder.start_response)
        finally:
            if self._access_log:
                note_for_log(stream.stream, environ)
        try:
            responder.send(result)
        finally:
            # PEP 3333: whatever happened, and whatever it is (a plain list has none).
            if type(result) is not list:
                close = getattr(result, "close", None)
                if close is not None:
                    close()


def note_for_log(stream: HTTPStream, environ: Environ) -> None:
    """Copy client and scheme from *environ*, where proxy wrappers have written them."""
    client, scheme = environ.get("REMOTE_ADDR"), environ.get("wsgi.url_scheme")
    if isinstance(client, str):
        stream.log_client = (client, None) if client else None
    if isinstance(scheme, str):
        stream.log_scheme = scheme

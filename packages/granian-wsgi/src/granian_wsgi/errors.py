"""What goes wrong beside the application."""

from __future__ import annotations

from granian_core import ClientDisconnected


class RequestBodyError(ClientDisconnected, OSError):
    """The request body will not be complete any more.

    An `OSError`, because that is what frameworks expect of a file they read from.
    """
